// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that goes while guests accept it: holes are punched into it, and its
 * memslot is deleted and made again.
 *
 * None of that is for user space to decide, nothing may hang, and whatever was
 * taken is given back.
 */
#include "kselftest_harness.h"
#include "altmmu_private.h"

#define TEST_SIZE	SZ_2M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)

#define NR_ROUNDS	8

/* Guest: what accepting has returned, how often. */
static struct accepts {
	u64 done;
	u64 nothing_there;
} accepts[TEST_VCPUS];

/*
 * All vCPUs accept all pages: one may find that another was there first, and what
 * is there of a large page is small ones.
 */
static void guest_accept_all(u32 vcpu_id)
{
	while (!guest_stopped()) {
		for (u64 page = 0; page < NR_PAGES; page++) {
			u64 gpa = PAGE_GPA(page);
			u64 result = guest_accept(gpa, 1);

			if (result == ACCEPT_OK)
				accepts[vcpu_id].done++;
			else if (result == ACCEPT_OPERAND)
				accepts[vcpu_id].nothing_there++;
			else
				GUEST_ASSERT_EQ(result, ACCEPT_ALREADY);
			if (gpa % SZ_2M)
				continue;
			result = guest_accept(gpa, 2);
			GUEST_ASSERT(result == ACCEPT_SIZE ||
				     result == ACCEPT_OPERAND);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

FIXTURE(race) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	long page_tables;
};

FIXTURE_VARIANT(race) {
	bool deletes;
	bool holes;
	bool busy;
};

FIXTURE_VARIANT_ADD(race, slot_deleted) {
	.deletes = true,
};

FIXTURE_VARIANT_ADD(race, holes) {
	.holes = true,
};

FIXTURE_VARIANT_ADD(race, both) {
	.deletes = true,
	.holes = true,
};

FIXTURE_VARIANT_ADD(race, both_busy) {
	.deletes = true,
	.holes = true,
	.busy = true,
};

static void add_private_slot(struct kvm_vm *vm)
{
	private_add_memory(vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
}

FIXTURE_SETUP(race)
{
	self->page_tables = page_table_kb();
	self->vm = private_create_vm(0, 0);
	private_boot_vm(self->vm, TEST_VCPUS, guest_accept_all, self->vcpus);
	add_private_slot(self->vm);
	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	private_finalize(self->vm);
}

FIXTURE_TEARDOWN(race)
{
	kvm_vm_free(self->vm);
}

static void punch_somewhere(struct kvm_vm *vm)
{
	u64 first = random_below(NR_PAGES);
	u64 nr = random_below(NR_PAGES - first) + 1;

	vm_guest_mem_punch_hole(vm, PAGE_GPA(first), nr * PAGE_SIZE);
}

/* Pages and slots go while they are accepted, and come back. */
TEST_F_TIMEOUT(race, under_vcpus, TEST_TIMEOUT_LONG)
{
	struct vcpu_thread threads[TEST_VCPUS];
	struct accepts *counted = host_pointer(self->vm, accepts);
	struct provider_counts start, counts;

	if (variant->busy)
		provider_inject(self->vm, "busy_every 3");
	provider_read(self->vm, &start);
	private_threads_start(threads, self->vcpus, TEST_VCPUS);
	for (int i = 0; i < NR_ROUNDS; i++) {
		for (int j = 0; variant->holes && j < 8; j++)
			punch_somewhere(self->vm);
		if (variant->deletes) {
			vm_mem_region_delete(self->vm, TEST_SLOT);
			/* Most of the time it is back before that is seen. */
			if (i % 4 == 0)
				vcpu_threads_wait_passes(threads, TEST_VCPUS);
			add_private_slot(self->vm);
		}
		/* What a vCPU is at when it is disturbed is to differ. */
		if (i % 2)
			vcpu_threads_wait_passes(threads, TEST_VCPUS);
		else
			usleep(random_below(20000));
	}
	/* Until each vCPU has been first at a page: chance may have left one out. */
	for (u32 i = 0; i < TEST_VCPUS; i++) {
		while (!READ_ONCE(counted[i].done)) {
			punch_somewhere(self->vm);
			usleep(random_below(20000));
		}
	}
	vcpu_threads_wait_passes(threads, TEST_VCPUS);
	vcpu_threads_stop(threads, TEST_VCPUS);

	for (u32 i = 0; i < TEST_VCPUS; i++) {
		/* Whatever has gone on, none of it was for user space to decide. */
		EXPECT_EQ(0, threads[i].bad_addresses);
		EXPECT_EQ(variant->deletes, !!counted[i].nothing_there);
	}
	provider_read(self->vm, &counts);
	EXPECT_EQ(start.add, counts.add);
	EXPECT_EQ(start.add - start.remove + NR_PAGES,
		  counts.add + counts.map - counts.remove);
	if (variant->busy)
		EXPECT_LT(0, counts.busy);

	private_check_mirror(self->vm);
	private_delete_all(self->vm);
	kvm_vm_free(self->vm);
	self->vm = NULL;
	/* Less is what was left of an earlier test when this one began. */
	EXPECT_GE(self->page_tables, page_table_kb_after(self->page_tables));
}

int main(int argc, char *argv[])
{
	private_require();
	return test_harness_run(argc, argv);
}
