// SPDX-License-Identifier: GPL-2.0
/*
 * What the tree's tests of private memory do in software-protected VMs, in
 * soft-mirror VMs: the guest asks for conversions by hypercall, memslots go while
 * it uses them, and are pre-faulted meanwhile.
 */
#include <linux/kvm_para.h>
#include <pthread.h>

#include "kselftest_harness.h"
#include "altmmu_private.h"

/* Each vCPU has this much to itself, from a multiple of 4M on. */
#define AREA_SIZE	(SZ_2M + PAGE_SIZE)
#define AREA_STRIDE	SZ_4M

/* Flags of the hypercall; what they mean is between guest and host here. */
#define CONVERT		BIT(0)
#define TO_SHARED	BIT(1)
#define FALLOCATE	BIT(2)	/* a hole where it gets shared, else memory */

#define BY_HOST		BIT(3)	/* check what is shared, and write it anew */
#define WAS(kind)	((u64)(kind) << 8)
#define BECOMES(kind)	((u64)(kind) << 16)
#define KIND_MASK	0xff

/* Every word of memory says who has written it, and where. */
enum kind {
	GUEST_PRIVATE = 1,
	GUEST_SHARED,
	HOST_FIRST,
	HOST_SECOND,
};

#define WORD(kind, gpa)	((u64)(kind) << 56 | (gpa))

/* Holes are made of every other page of so many: some at the begin are enough. */
#define HOLES_SIZE	(10 * PAGE_SIZE)

static const struct {
	u64 offset;
	u64 size;
} ranges[] = {
	{ 0, PAGE_SIZE },
	{ 0, SZ_2M },
	{ PAGE_SIZE, PAGE_SIZE },
	{ PAGE_SIZE, SZ_2M },
	{ SZ_2M, PAGE_SIZE },
};

static void guest_ask(u64 gpa, u64 size, u64 flags)
{
	GUEST_ASSERT_EQ(__kvm_hypercall_map_gpa_range(gpa, size, flags), 0);
}

static void guest_fill(u64 view, u64 gpa, u64 size, u64 kind)
{
	for (u64 at = gpa; at < gpa + size; at += sizeof(u64))
		WRITE_ONCE(*(u64 *)(view + at), WORD(kind, at));
}

static void guest_look(u64 view, u64 gpa, u64 size, u64 kind)
{
	for (u64 at = gpa; at < gpa + size; at += sizeof(u64))
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(view + at)), WORD(kind, at));
}

static void guest_look_for_zeroes(u64 gpa, u64 size)
{
	for (u64 at = gpa; at < gpa + size; at += sizeof(u64))
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)at), 0);
}

/* The host finds in what is shared what is expected there, and leaves its own. */
static void guest_let_host(u64 gpa, u64 size, u64 was, u64 becomes)
{
	guest_ask(gpa, size, BY_HOST | WAS(was) | BECOMES(becomes));
}

/* Pages in what is private get shared one by one, and those between do not. */
static void guest_convert_holes(u64 gpa, u64 size, u64 fallocate)
{
	for (u64 at = gpa + PAGE_SIZE; at < gpa + min_t(u64, size, HOLES_SIZE);
	     at += 2 * PAGE_SIZE) {
		guest_ask(at, PAGE_SIZE, CONVERT | TO_SHARED | fallocate);
		guest_look(SHARED_VIEW, at, PAGE_SIZE, HOST_SECOND);
		guest_fill(SHARED_VIEW, at, PAGE_SIZE, GUEST_SHARED);
		guest_let_host(at, PAGE_SIZE, GUEST_SHARED, HOST_SECOND);
		guest_look(SHARED_VIEW, at, PAGE_SIZE, HOST_SECOND);
		guest_look(0, at - PAGE_SIZE, PAGE_SIZE, GUEST_PRIVATE);
		guest_look(0, at + PAGE_SIZE, PAGE_SIZE, GUEST_PRIVATE);
	}
}

/*
 * Parts of shared memory get private, and shared again; what is beside does not.
 * What the host does with what is shared is seen there, and nowhere else.
 */
static void guest_convert(u64 area, u64 fallocate)
{
	guest_fill(SHARED_VIEW, area, AREA_SIZE, GUEST_SHARED);
	guest_let_host(area, AREA_SIZE, GUEST_SHARED, HOST_FIRST);
	guest_look(SHARED_VIEW, area, AREA_SIZE, HOST_FIRST);
	for (int i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 gpa = area + ranges[i].offset, size = ranges[i].size;
		u64 end = gpa + size;

		/* There is nothing left of what was private. */
		guest_ask(area, AREA_SIZE, TO_SHARED | FALLOCATE);
		guest_ask(gpa, size, CONVERT | fallocate);
		guest_look_for_zeroes(gpa, size);
		guest_fill(0, gpa, size, GUEST_PRIVATE);
		guest_let_host(gpa, size, HOST_FIRST, HOST_SECOND);
		guest_look(0, gpa, size, GUEST_PRIVATE);
		guest_look(SHARED_VIEW, area, gpa - area, HOST_FIRST);
		guest_look(SHARED_VIEW, end, area + AREA_SIZE - end,
			   HOST_FIRST);

		guest_convert_holes(gpa, size, fallocate);
		guest_ask(gpa, size, CONVERT | TO_SHARED | fallocate);
		guest_look(SHARED_VIEW, gpa, size, HOST_SECOND);
		guest_let_host(gpa, size, HOST_SECOND, HOST_FIRST);
		guest_look(SHARED_VIEW, area, AREA_SIZE, HOST_FIRST);
	}
}

/*
 * A hole without a conversion: the memory is still private, and empty, and what is
 * beside is as it was.  With @precise there is nothing beside.
 */
static void guest_punch(u64 area, bool precise)
{
	guest_ask(area, AREA_SIZE, CONVERT);
	for (int i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 gpa = area + ranges[i].offset, size = ranges[i].size;
		u64 start = precise ? gpa : area;
		u64 end = precise ? gpa + size : area + AREA_SIZE;

		guest_ask(area, AREA_SIZE, TO_SHARED | FALLOCATE);
		guest_fill(0, start, end - start, GUEST_PRIVATE);
		guest_look(0, start, end - start, GUEST_PRIVATE);
		guest_ask(gpa, size, TO_SHARED | FALLOCATE);
		guest_look(0, start, gpa - start, GUEST_PRIVATE);
		guest_look(0, gpa + size, end - gpa - size, GUEST_PRIVATE);
		guest_look_for_zeroes(gpa, size);
	}
	guest_ask(area, AREA_SIZE, CONVERT | TO_SHARED);
}

static void guest_flow(u64 area)
{
	guest_convert(area, 0);
	guest_convert(area, FALLOCATE);
	guest_punch(area, false);
	guest_punch(area, true);
	GUEST_DONE();
}

static void use_shared(struct kvm_vm *vm, u64 gpa, u64 size, u64 was, u64 becomes)
{
	for (u64 at = gpa; at < gpa + size; at += sizeof(u64)) {
		u64 *word = addr_gpa2hva(vm, at);

		TEST_ASSERT_EQ(*word, WORD(was, at));
		*word = WORD(becomes, at);
	}
}

static void serve_hypercall(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 gpa = run->hypercall.args[0];
	u64 size = run->hypercall.args[1] * PAGE_SIZE;
	u64 flags = run->hypercall.args[2];

	TEST_ASSERT_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	if (flags & BY_HOST)
		use_shared(vcpu->vm, gpa, size, flags / WAS(1) & KIND_MASK,
			   flags / BECOMES(1) & KIND_MASK);
	if (flags & FALLOCATE)
		vm_guest_mem_fallocate(vcpu->vm, gpa, size, flags & TO_SHARED);
	if (flags & CONVERT)
		vm_set_memory_attributes(vcpu->vm, gpa, size,
					 flags & TO_SHARED ? 0 :
					 KVM_MEMORY_ATTRIBUTE_PRIVATE);
	run->hypercall.ret = 0;
}

static void *run_flow(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	for (;;) {
		vcpu_run(vcpu);
		if (vcpu->run->exit_reason == KVM_EXIT_HYPERCALL)
			serve_hypercall(vcpu);
		else if (guest_is_done(vcpu))
			return NULL;
	}
}

FIXTURE(flows) {
	struct kvm_vm *vm;
};

FIXTURE_SETUP(flows)
{
	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
}

FIXTURE_TEARDOWN(flows)
{
	kvm_vm_free(self->vm);
}

/* All vCPUs at once, in as many slots of one guest_memfd. */
static void convert_by_hypercall(struct kvm_vm *vm, u32 nr_vcpus, u32 nr_slots)
{
	const u64 size = nr_vcpus * AREA_STRIDE, slot_size = size / nr_slots;
	struct kvm_vcpu *vcpus[4];
	pthread_t threads[4];
	int fd;

	private_boot_vm(vm, nr_vcpus, guest_flow, vcpus);
	vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));
	fd = vm_create_guest_memfd(vm, size, 0);
	for (u32 i = 0; i < nr_slots; i++)
		vm_mem_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA + i * slot_size,
			   TEST_SLOT + i, slot_size / PAGE_SIZE,
			   KVM_MEM_GUEST_MEMFD, fd, i * slot_size);
	for (u32 i = 0; i < nr_vcpus; i++) {
		private_map_views(vm, TEST_GPA + i * AREA_STRIDE, AREA_SIZE,
				  PG_LEVEL_4K);
		vcpu_args_set(vcpus[i], 1, TEST_GPA + i * AREA_STRIDE);
	}
	for (u32 i = 0; i < nr_vcpus; i++)
		kvm_pthread_create(&threads[i], NULL, run_flow, vcpus[i]);
	for (u32 i = 0; i < nr_vcpus; i++)
		kvm_pthread_join(threads[i], NULL);
	kvm_close(fd);
}

TEST_F_TIMEOUT(flows, hypercall, TEST_TIMEOUT_LONG)
{
	convert_by_hypercall(self->vm, 1, 1);
}

TEST_F_TIMEOUT(flows, hypercall_two_vcpus, TEST_TIMEOUT_LONG)
{
	convert_by_hypercall(self->vm, 2, 1);
}

TEST_F_TIMEOUT(flows, hypercall_two_slots, TEST_TIMEOUT_LONG)
{
	convert_by_hypercall(self->vm, 2, 2);
}

/* A file that outlives its VM still takes holes and memory. */
TEST_F(flows, file_outlives_vm)
{
	struct kvm_vcpu *vcpu;
	int fd;

	private_boot_vm(self->vm, 1, guest_touch, &vcpu);
	fd = vm_create_guest_memfd(self->vm, SZ_2M, 0);
	vm_mem_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
		   SZ_2M / PAGE_SIZE, KVM_MEM_GUEST_MEMFD, fd, 0);
	private_map_views(self->vm, TEST_GPA, SZ_2M, PG_LEVEL_4K);
	vm_mem_set_private(self->vm, TEST_GPA, SZ_2M);
	touch_memory(vcpu, TEST_GPA, SZ_2M, true);
	kvm_vm_free(self->vm);
	self->vm = NULL;

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, SZ_2M);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SZ_2M);
	kvm_close(fd);
}

/* Guest: what is read where memory was; ends when it is told so. */
static void guest_read_on(void)
{
	while (!guest_stopped()) {
		READ_ONCE(*(u64 *)TEST_GPA);
		guest_end_pass(0);
		guest_leave();
	}
	GUEST_DONE();
}

struct reader {
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	u64 removed;
	int error;
};

static void *run_to_exit(void *arg)
{
	struct reader *reader = arg;

	reader->error = __vcpu_run(reader->vcpu) ? errno : 0;
	return NULL;
}

/* A page of private memory that a guest has mapped, and goes on reading. */
static void reader_start(struct reader *reader, struct kvm_vm *vm)
{
	struct provider_counts counts;

	private_boot_vm(vm, 1, guest_read_on, &reader->vcpu);
	private_add_memory(vm, TEST_GPA, TEST_SLOT, SZ_2M);
	private_map_views(vm, TEST_GPA, SZ_2M, PG_LEVEL_4K);
	vm_mem_set_private(vm, TEST_GPA, SZ_2M);
	kvm_pthread_create(&reader->thread, NULL, run_to_exit, reader);
	vcpu_wait_first_pass(reader->vcpu);
	provider_read(vm, &counts);
	reader->removed = counts.remove;
}

/* The guest could not go on, because its page, and no other, was removed. */
static void reader_join(struct reader *reader)
{
	struct provider_counts counts;

	kvm_pthread_join(reader->thread, NULL);
	provider_read(reader->vcpu->vm, &counts);
	TEST_ASSERT_EQ(reader->removed + 1, counts.remove);
}

/* A slot goes while its private memory is used: there is nothing then. */
TEST_F(flows, slot_deleted)
{
	struct reader reader = { };
	struct kvm_vcpu *vcpu;

	reader_start(&reader, self->vm);
	vm_mem_region_delete(self->vm, TEST_SLOT);
	reader_join(&reader);

	vcpu = reader.vcpu;
	EXPECT_EQ(0, reader.error);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(TEST_GPA, vcpu->run->mmio.phys_addr);
}

/* Memory that is made shared while it is used as private: the host is told. */
TEST_F(flows, converted_behind_its_back)
{
	struct reader reader = { };
	struct kvm_vcpu *vcpu;

	reader_start(&reader, self->vm);
	vm_mem_set_shared(self->vm, TEST_GPA, SZ_2M);
	reader_join(&reader);

	vcpu = reader.vcpu;
	EXPECT_EQ(EFAULT, reader.error);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MEMORY_FAULT);
	EXPECT_EQ(KVM_MEMORY_EXIT_FLAG_PRIVATE, vcpu->run->memory_fault.flags);
	EXPECT_EQ(TEST_GPA, vcpu->run->memory_fault.gpa);
	EXPECT_EQ(PAGE_SIZE, vcpu->run->memory_fault.size);
}

struct deletion {
	struct kvm_vm *vm;
	bool begin;
};

static void *delete_slot(void *arg)
{
	struct deletion *deletion = arg;

	while (!READ_ONCE(deletion->begin))
		sched_yield();
	vm_mem_region_delete(deletion->vm, TEST_SLOT);
	return NULL;
}

/* Pre-fault until it ends; what comes after the memory is none. */
static void pre_fault_up_to(struct kvm_vcpu *vcpu, u64 gpa, u64 size, u64 left)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	u64 before;
	int r;

	do {
		before = range.size;
		r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
		TEST_ASSERT(!r == (range.size < before) &&
			    range.gpa + range.size == gpa + size,
			    "pre-faulting: %d, and of %lu bytes %llu are left",
			    r, before, range.size);
	} while (range.size && (!r || errno == EINTR));
	TEST_ASSERT_EQ(range.size, left);
	if (left)
		TEST_ASSERT_EQ(errno, ENOENT);
}

/*
 * A slot is pre-faulted while it goes: whatever that says, it does so for a
 * reason, and it does all when the slot is there again.
 */
static void pre_fault_beside_deletion(struct kvm_vcpu *vcpu, bool private)
{
	const u64 size = SZ_2M + PAGE_SIZE;
	const u64 view = private ? 0 : SHARED_VIEW;

	private_map_views(vcpu->vm, TEST_GPA, size, PG_LEVEL_4K);
	vm_set_memory_attributes(vcpu->vm, TEST_GPA, size + PAGE_SIZE,
				 private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
	/* The program's pages are not to be among what is counted. */
	pre_fault_up_to(vcpu, 0, SZ_8M, 0);
	touch_memory(vcpu, 0, 0, false);

	for (int i = 0; i < 8; i++) {
		struct kvm_pre_fault_memory range = {
			.gpa = TEST_GPA,
			.size = size,
		};
		struct deletion deletion = { .vm = vcpu->vm };
		pthread_t thread;
		u64 faults;
		int r;

		private_add_memory(vcpu->vm, TEST_GPA, TEST_SLOT, size);
		kvm_pthread_create(&thread, NULL, delete_slot, &deletion);
		WRITE_ONCE(deletion.begin, true);
		do {
			r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
		} while ((!r && range.size) || (r && errno == EINTR));
		TEST_ASSERT(!r || errno == ENOENT || errno == EAGAIN ||
			    errno == EFAULT, "pre-faulting: errno %d", errno);
		kvm_pthread_join(thread, NULL);

		private_add_memory(vcpu->vm, TEST_GPA, TEST_SLOT, size);
		pre_fault_up_to(vcpu, TEST_GPA, size, 0);
		pre_fault_up_to(vcpu, TEST_GPA + size - PAGE_SIZE,
				2 * PAGE_SIZE, PAGE_SIZE);
		pre_fault_up_to(vcpu, TEST_GPA + size, PAGE_SIZE, PAGE_SIZE);
		faults = vcpu_get_stat(vcpu, pf_taken);
		touch_memory(vcpu, view + TEST_GPA, size, false);
		TEST_ASSERT_EQ(vcpu_get_stat(vcpu, pf_taken), faults);
		vm_mem_region_delete(vcpu->vm, TEST_SLOT);
	}
}

TEST_F_TIMEOUT(flows, pre_fault_private, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu;

	private_boot_vm(self->vm, 1, guest_touch, &vcpu);
	pre_fault_beside_deletion(vcpu, true);
}

TEST_F_TIMEOUT(flows, pre_fault_shared, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu;

	private_boot_vm(self->vm, 1, guest_touch, &vcpu);
	pre_fault_beside_deletion(vcpu, false);
}

int main(int argc, char *argv[])
{
	private_require();
	return test_harness_run(argc, argv);
}
