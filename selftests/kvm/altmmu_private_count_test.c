// SPDX-License-Identifier: GPL-2.0
/*
 * What private memory costs, as numbers that the kernel counts: how often all
 * vCPUs are thrown out of the guest for a conversion, how often a guest leaves
 * by itself to get its memory; and that whatever is taken is given back.
 *
 * A vCPU runs all the while, or there would be nobody to throw out.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "altmmu_private.h"

#define NR_PAGES_2M	(SZ_2M / PAGE_SIZE)

/* How long a vCPU is in the guest before it leaves by itself. */
#define NR_SPINS	10000

/* Guest: use or accept every page of a range. */
static struct work {
	u64 gpa;
	u64 size;
	u64 accept;
} guest_work;

static void guest_do_work(void)
{
	for (;;) {
		for (u64 at = 0; at < guest_work.size; at += PAGE_SIZE) {
			u64 gpa = guest_work.gpa + at;

			if (guest_work.accept)
				GUEST_ASSERT_EQ(guest_accept(gpa, 1), ACCEPT_OK);
			else
				guest_write(gpa, gpa);
		}
		GUEST_SYNC(0);
	}
}

/* Guest: be there. */
static void guest_spin(u32 vcpu_id)
{
	while (!guest_stopped()) {
		for (int i = 0; i < NR_SPINS && !guest_stopped(); i++)
			barrier();
		guest_end_pass(vcpu_id);
		guest_leave();
	}
	GUEST_DONE();
}

struct counted {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	struct vcpu_thread threads[1];
	bool spins;
	/* Private memory that is mapped here, if it is. */
	void *mapped;
	u64 size;
	int fd;
};

FIXTURE(count) {
	struct counted counted;
};

FIXTURE_VARIANT(count) {
	u64 flags;
};

FIXTURE_VARIANT_ADD(count, auto_accept) {
	.flags = KVM_X86_SOFT_MIRROR_AUTO_ACCEPT,
};

FIXTURE_VARIANT_ADD(count, accept) {
};

/* Who has no permission to write them finds them so, or can't say more. */
FIXTURE_SETUP(count)
{
	write_file(PRIVATE_BATCH, "262144");
	write_file(PRIVATE_AROUND, "512");
}

FIXTURE_TEARDOWN(count)
{
	struct counted *c = &self->counted;

	if (c->spins)
		vcpu_threads_stop(c->threads, 1);
	kvm_vm_free(c->vm);
	if (c->mapped) {
		kvm_munmap(c->mapped, c->size);
		close(c->fd);
	}
}

/* Have the guest take all of a range that is private. */
static void take(struct counted *c, u64 flags, gpa_t gpa, u64 size)
{
	struct work *work = host_pointer(c->vm, &guest_work);

	*work = (struct work) {
		.gpa = gpa,
		.size = size,
		.accept = !(flags & KVM_X86_SOFT_MIRROR_AUTO_ACCEPT),
	};
	run_until_sync(c->vcpus[0]);
}

static void create(struct counted *c, u64 flags)
{
	c->vm = private_create_vm(0, flags);
	private_boot_vm(c->vm, TEST_VCPUS, guest_do_work, c->vcpus);
}

/* Have memory that was added used as private, and the second vCPU run. */
static void start(struct counted *c, u64 flags, u64 size, int level)
{
	private_map_views(c->vm, TEST_GPA, size, level);
	vm_mem_set_private(c->vm, TEST_GPA, size);
	if (!(flags & KVM_X86_SOFT_MIRROR_AUTO_ACCEPT))
		private_finalize(c->vm);

	vcpu_arch_set_entry_point(c->vcpus[1], guest_spin);
	vcpu_threads_start(c->threads, &c->vcpus[1], 1);
	c->spins = true;
	vcpu_wait_first_pass(c->vcpus[1]);

	/* The program's own pages are not to be among what is counted. */
	take(c, flags, TEST_GPA, PAGE_SIZE);
	vm_mem_set_shared(c->vm, TEST_GPA, PAGE_SIZE);
	vm_mem_set_private(c->vm, TEST_GPA, PAGE_SIZE);
}

static void set_up(struct counted *c, u64 flags, u64 size, int level)
{
	create(c, flags);
	private_add_memory(c->vm, TEST_GPA, TEST_SLOT, size);
	start(c, flags, size, level);
}

/* The same with pages that are all there, which the host can see to by itself. */
static void set_up_resident(struct counted *c, u64 flags, u64 size, int level)
{
	create(c, flags);
	c->size = size;
	c->mapped = private_add_mapped(c->vm, TEST_GPA, TEST_SLOT, size, &c->fd);
	kvm_madvise(c->mapped, size, MADV_POPULATE_WRITE);
	start(c, flags, size, level);
	/* What was mapped along with the guest's first access. */
	vm_mem_set_shared(c->vm, TEST_GPA, size);
	vm_mem_set_private(c->vm, TEST_GPA, size);
}

/* What all vCPUs have been disturbed for. */
struct cost {
	struct provider_counts calls;
	u64 flushes;
};

static void read_cost(struct counted *c, struct cost *cost)
{
	provider_read(c->vm, &cost->calls);
	cost->flushes = vm_get_stat(c->vm, remote_tlb_flush) +
			vm_get_stat(c->vm, remote_tlb_flush_requests);
}

/* So many epochs, each with a kick, and besides no flush of KVM's and no window. */
static void expect_epochs(struct __test_metadata *_metadata,
			  const struct cost *before, const struct cost *after,
			  u64 nr)
{
	EXPECT_EQ(before->calls.track + nr, after->calls.track);
	EXPECT_EQ(before->calls.kicks + nr, after->calls.kicks);
	EXPECT_EQ(before->calls.open_window, after->calls.open_window);
	EXPECT_EQ(before->flushes, after->flushes);
}

/* One track and one kick, however many pages. */
TEST_F_TIMEOUT(count, convert_2m, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct cost before, after;

	set_up(c, variant->flags, SZ_2M, PG_LEVEL_4K);
	take(c, variant->flags, TEST_GPA, SZ_2M);
	read_cost(c, &before);
	vm_mem_set_shared(c->vm, TEST_GPA, SZ_2M);
	read_cost(c, &after);
	EXPECT_EQ(before.calls.block + NR_PAGES_2M, after.calls.block);
	EXPECT_EQ(before.calls.remove + NR_PAGES_2M, after.calls.remove);
	expect_epochs(_metadata, &before, &after, 1);

	/* The way back has nothing to remove. */
	vm_mem_set_private(c->vm, TEST_GPA, SZ_2M);
	read_cost(c, &before);
	expect_epochs(_metadata, &after, &before, 0);
}

/* Nor do ends that are not those of a table make a difference. */
TEST_F_TIMEOUT(count, convert_mixed, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	const u64 size = SZ_2M + 100 * PAGE_SIZE;
	struct cost before, after;

	set_up(c, variant->flags, 3 * SZ_2M, PG_LEVEL_4K);
	take(c, variant->flags, TEST_GPA, 3 * SZ_2M);
	read_cost(c, &before);
	vm_mem_set_shared(c->vm, TEST_GPA + SZ_1M, size);
	read_cost(c, &after);
	EXPECT_EQ(before.calls.remove + size / PAGE_SIZE, after.calls.remove);
	expect_epochs(_metadata, &before, &after, 1);
}

/* A hole is no more expensive than a conversion. */
TEST_F_TIMEOUT(count, punch_2m, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct cost before, after;

	set_up(c, variant->flags, SZ_2M, PG_LEVEL_4K);
	take(c, variant->flags, TEST_GPA, SZ_2M);
	read_cost(c, &before);
	vm_guest_mem_punch_hole(c->vm, TEST_GPA, SZ_2M);
	read_cost(c, &after);
	EXPECT_EQ(before.calls.remove + NR_PAGES_2M, after.calls.remove);
	expect_epochs(_metadata, &before, &after, 1);
}

/* With batches of one page it is as KVM has it today. */
TEST_F_TIMEOUT(count, convert_2m_unbatched, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct cost before, after;

	if (!write_file(PRIVATE_BATCH, "1"))
		SKIP(return, "no permission to write " PRIVATE_BATCH);
	set_up(c, variant->flags, SZ_2M, PG_LEVEL_4K);
	take(c, variant->flags, TEST_GPA, SZ_2M);
	read_cost(c, &before);
	vm_mem_set_shared(c->vm, TEST_GPA, SZ_2M);
	read_cost(c, &after);
	EXPECT_EQ(before.calls.remove + NR_PAGES_2M, after.calls.remove);
	expect_epochs(_metadata, &before, &after, NR_PAGES_2M);
}

/* Whether the machine is that large: if its memory is in use the test fails. */
static bool has_memory(u64 size)
{
	return meminfo_kb("MemTotal") > (long)(size / SZ_1K);
}

/*
 * 1 GiB is a batch, too; and when the slot goes its tables take no more than a
 * track for each of their levels.
 */
TEST_F_TIMEOUT(count, convert_1g, 4 * TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct cost before, after;

	if (!(variant->flags & KVM_X86_SOFT_MIRROR_AUTO_ACCEPT))
		SKIP(return, "the same, with much more to accept");
	if (!has_memory(SZ_1G + SZ_512M))
		SKIP(return, "less than 1.5 GiB of memory");
	set_up_resident(c, variant->flags, SZ_1G, PG_LEVEL_2M);
	/* A fault for each table maps all that there is. */
	read_cost(c, &before);
	for (u64 offset = 0; offset < SZ_1G; offset += SZ_2M)
		ASSERT_EQ(0, private_pre_fault(c->vcpus[0], TEST_GPA + offset,
					       PAGE_SIZE));
	read_cost(c, &after);
	EXPECT_EQ(before.calls.map + SZ_1G / PAGE_SIZE, after.calls.map);

	vm_mem_set_shared(c->vm, TEST_GPA, SZ_1G);
	read_cost(c, &before);
	EXPECT_EQ(after.calls.remove + SZ_1G / PAGE_SIZE, before.calls.remove);
	expect_epochs(_metadata, &after, &before, 1);

	/* All of its tables go; none could go before. */
	EXPECT_EQ(0, before.calls.unlink);
	vm_set_user_memory_region2(c->vm, TEST_SLOT, KVM_MEM_GUEST_MEMFD,
				   TEST_GPA, 0, c->mapped, c->fd, 0);
	read_cost(c, &after);
	EXPECT_LE(SZ_1G / SZ_2M, after.calls.unlink);
	EXPECT_GE(before.calls.track + 3, after.calls.track);
	EXPECT_GE(before.calls.kicks + 3, after.calls.kicks);
}

/* The same where all of it is still mapped. */
TEST_F_TIMEOUT(count, delete_mapped_slot, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct provider_counts before, after;

	set_up(c, variant->flags, 8 * SZ_2M, PG_LEVEL_4K);
	take(c, variant->flags, TEST_GPA, 8 * SZ_2M);
	provider_read(c->vm, &before);
	vm_mem_region_delete(c->vm, TEST_SLOT);
	provider_read(c->vm, &after);
	EXPECT_LE(before.remove + 8 * NR_PAGES_2M, after.remove);
	EXPECT_LE(before.unlink + 8, after.unlink);
	EXPECT_GE(before.track + 4, after.track);
	EXPECT_GE(before.kicks + 4, after.kicks);
}

/*
 * Have pages that the guest has once had, and has no longer: they are in the
 * guest_memfd, and cleared.
 */
static void make_resident(struct counted *c, gpa_t gpa, u64 size)
{
	TEST_ASSERT(!private_pre_fault(c->vcpus[0], gpa, size),
		    "pre-faulting: errno %d", errno);
	vm_mem_set_shared(c->vm, gpa, size);
	vm_mem_set_private(c->vm, gpa, size);
}

/* How often the guest has left to get memory, for pages that the host has. */
static u64 faults_to_take_2m(struct counted *c, u64 flags)
{
	struct provider_counts before, after;
	u64 faults;

	set_up(c, flags, SZ_2M, PG_LEVEL_4K);
	make_resident(c, TEST_GPA, SZ_2M);
	provider_read(c->vm, &before);
	faults = vcpu_get_stat(c->vcpus[0], pf_taken);
	take(c, flags, TEST_GPA, SZ_2M);
	provider_read(c->vm, &after);
	TEST_ASSERT_EQ(before.map + NR_PAGES_2M, after.map);
	return vcpu_get_stat(c->vcpus[0], pf_taken) - faults;
}

TEST_F_TIMEOUT(count, fault_around, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;

	EXPECT_EQ(1, faults_to_take_2m(c, variant->flags));
}

TEST_F_TIMEOUT(count, no_fault_around, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;

	if (!write_file(PRIVATE_AROUND, "1"))
		SKIP(return, "no permission to write " PRIVATE_AROUND);
	EXPECT_EQ(NR_PAGES_2M, faults_to_take_2m(c, variant->flags));
}

/* A window of 16 pages, of which each costs a fault. */
TEST_F_TIMEOUT(count, narrow_fault_around, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;

	if (!write_file(PRIVATE_AROUND, "16"))
		SKIP(return, "no permission to write " PRIVATE_AROUND);
	EXPECT_EQ(NR_PAGES_2M / 16, faults_to_take_2m(c, variant->flags));
}

/* Neighbours that the host does not have are not made for it. */
TEST_F(count, around_is_resident)
{
	struct counted *c = &self->counted;
	struct provider_counts before, after;

	set_up(c, variant->flags, SZ_2M, PG_LEVEL_4K);
	make_resident(c, TEST_GPA + 8 * PAGE_SIZE, 3 * PAGE_SIZE);
	/* This is there, too, but not cleared, so it is not to be had yet. */
	vm_guest_mem_allocate(c->vm, TEST_GPA + 20 * PAGE_SIZE, PAGE_SIZE);
	provider_read(c->vm, &before);
	take(c, variant->flags, TEST_GPA + 7 * PAGE_SIZE, PAGE_SIZE);
	provider_read(c->vm, &after);
	EXPECT_EQ(before.map + 4, after.map);
}

/* Nor are those mapped that are shared, or not of this slot. */
TEST_F(count, around_is_private)
{
	struct counted *c = &self->counted;
	struct provider_counts before, after;

	set_up(c, variant->flags, SZ_1M, PG_LEVEL_4K);
	vm_userspace_mem_region_add(c->vm, VM_MEM_SRC_ANONYMOUS,
				    TEST_GPA + SZ_1M, TEST_SLOT + 1,
				    SZ_1M / PAGE_SIZE, KVM_MEM_GUEST_MEMFD);
	vm_mem_set_private(c->vm, TEST_GPA + SZ_1M, SZ_1M);
	make_resident(c, TEST_GPA, SZ_2M);
	vm_mem_set_shared(c->vm, TEST_GPA, 100 * PAGE_SIZE);
	vm_mem_set_shared(c->vm, TEST_GPA + SZ_1M - PAGE_SIZE, PAGE_SIZE);
	provider_read(c->vm, &before);
	take(c, variant->flags, TEST_GPA + 200 * PAGE_SIZE, PAGE_SIZE);
	provider_read(c->vm, &after);
	EXPECT_EQ(before.map + SZ_1M / PAGE_SIZE - 101, after.map);
}

/*
 * Without memslots there are neither leaves nor tables: what was mapped was removed,
 * what was linked was unlinked, and what was blocked was finished.
 */
static void take_and_give_back(struct counted *c, u64 flags, const char *inject)
{
	set_up(c, flags, 4 * SZ_2M, PG_LEVEL_4K);
	if (inject)
		provider_inject(c->vm, inject);
	for (int i = 0; i < 4; i++) {
		take(c, flags, TEST_GPA, 4 * SZ_2M);
		vm_mem_set_shared(c->vm, TEST_GPA + SZ_1M, SZ_2M);
		vm_mem_set_shared(c->vm, TEST_GPA, 4 * SZ_2M);
		vm_mem_set_private(c->vm, TEST_GPA, 4 * SZ_2M);
		take(c, flags, TEST_GPA, SZ_2M);
		vm_guest_mem_punch_hole(c->vm, TEST_GPA, 4 * SZ_2M);
	}
	take(c, flags, TEST_GPA, SZ_2M);
	vcpu_threads_stop(c->threads, 1);
	c->spins = false;
	private_check_mirror(c->vm);
	private_delete_all(c->vm);
}

TEST_F_TIMEOUT(count, balanced, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct provider_counts counts;

	take_and_give_back(c, variant->flags, NULL);
	provider_read(c->vm, &counts);
	EXPECT_EQ(0, counts.open_window);
}

/* Nor where a window is opened in about every phase. */
TEST_F_TIMEOUT(count, balanced_busy, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	struct provider_counts counts;

	take_and_give_back(c, variant->flags, "busy_every 3");
	provider_read(c->vm, &counts);
	EXPECT_LT(0, counts.open_window);
}

/* Tables of both kinds go with the VM, whatever it had when it ended. */
TEST_F_TIMEOUT(count, no_tables_are_left, TEST_TIMEOUT_LONG)
{
	struct counted *c = &self->counted;
	long before = page_table_kb_at_rest();

	if (before < 0)
		SKIP(return, "no SecPageTables in /proc/meminfo, or others' VMs");
	for (int i = 0; i < 4; i++) {
		set_up(c, variant->flags, 4 * SZ_2M, PG_LEVEL_4K);
		take(c, variant->flags, TEST_GPA, 4 * SZ_2M);
		if (i & 1)
			vm_mem_set_shared(c->vm, TEST_GPA, 2 * SZ_2M);
		ASSERT_LT(before, page_table_kb());
		vcpu_threads_stop(c->threads, 1);
		c->spins = false;
		kvm_vm_free(c->vm);
		c->vm = NULL;
	}
	EXPECT_EQ(before, page_table_kb_after(before));
}

int main(int argc, char *argv[])
{
	private_require();
	keep_file(PRIVATE_BATCH);
	keep_file(PRIVATE_AROUND);
	return test_harness_run(argc, argv);
}
