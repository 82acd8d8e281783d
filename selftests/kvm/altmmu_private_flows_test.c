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

#define WORD_SHARED	0x1111
#define WORD_PRIVATE	0x2222

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

static void guest_fill(u64 gva, u64 size, u64 word)
{
	for (u64 at = 0; at < size; at += PAGE_SIZE)
		WRITE_ONCE(*(u64 *)(gva + at), word + at);
}

static void guest_look(u64 gva, u64 size, u64 word)
{
	for (u64 at = 0; at < size; at += PAGE_SIZE)
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(gva + at)), word + at);
}

static void guest_look_for_zeroes(u64 gva, u64 size)
{
	for (u64 at = 0; at < size; at += PAGE_SIZE)
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(gva + at)), 0);
}

/* Parts of shared memory get private, and shared again; what is beside does not. */
static void guest_convert(u64 area, u64 fallocate)
{
	guest_fill(SHARED_VIEW + area, AREA_SIZE, WORD_SHARED);
	for (int i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 gpa = area + ranges[i].offset, size = ranges[i].size;
		u64 shared = SHARED_VIEW + area, before = ranges[i].offset;

		guest_ask(gpa, size, CONVERT | fallocate);
		guest_fill(gpa, size, WORD_PRIVATE);
		guest_look(gpa, size, WORD_PRIVATE);
		guest_look(shared, before, WORD_SHARED);
		guest_look(shared + before + size, AREA_SIZE - before - size,
			   WORD_SHARED + before + size);

		/* A hole in what is private, made of every other page. */
		for (u64 at = PAGE_SIZE; at < size; at += 2 * PAGE_SIZE) {
			guest_ask(gpa + at, PAGE_SIZE,
				  CONVERT | TO_SHARED | fallocate);
			guest_look(shared + before + at, PAGE_SIZE,
				   WORD_SHARED + before + at);
			guest_look(gpa + at - PAGE_SIZE, PAGE_SIZE,
				   WORD_PRIVATE + at - PAGE_SIZE);
			/* Some at the begin are enough. */
			if (at > 8 * PAGE_SIZE)
				break;
		}
		guest_ask(gpa, size, CONVERT | TO_SHARED | fallocate);
		guest_look(shared, AREA_SIZE, WORD_SHARED);
	}
}

/* A hole without a conversion: the memory is still private, and empty. */
static void guest_punch(u64 area)
{
	guest_ask(area, AREA_SIZE, CONVERT);
	for (int i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 gpa = area + ranges[i].offset, size = ranges[i].size;

		guest_fill(area, AREA_SIZE, WORD_PRIVATE);
		guest_ask(gpa, size, TO_SHARED | FALLOCATE);
		guest_look_for_zeroes(gpa, size);
		guest_look(area, ranges[i].offset, WORD_PRIVATE);
		guest_ask(area, AREA_SIZE, TO_SHARED | FALLOCATE);
	}
	guest_ask(area, AREA_SIZE, CONVERT | TO_SHARED);
}

static void guest_flow(u64 area)
{
	guest_convert(area, 0);
	guest_convert(area, FALLOCATE);
	guest_punch(area);
	GUEST_DONE();
}

static void serve_hypercall(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 gpa = run->hypercall.args[0];
	u64 size = run->hypercall.args[1] * PAGE_SIZE;
	u64 flags = run->hypercall.args[2];

	TEST_ASSERT_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
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
	while (!guest_stopped())
		READ_ONCE(*(u64 *)TEST_GPA);
	GUEST_DONE();
}

struct exit {
	struct kvm_vcpu *vcpu;
	int error;
};

static void *run_to_exit(void *arg)
{
	struct exit *exit = arg;

	exit->error = __vcpu_run(exit->vcpu) ? errno : 0;
	return NULL;
}

/* A slot goes while its private memory is used: there is nothing then. */
TEST_F(flows, slot_deleted)
{
	struct exit exit = { };
	struct kvm_vcpu *vcpu;
	pthread_t thread;

	private_boot_vm(self->vm, 1, guest_read_on, &vcpu);
	private_add_memory(self->vm, TEST_GPA, TEST_SLOT, SZ_2M);
	private_map_views(self->vm, TEST_GPA, SZ_2M, PG_LEVEL_4K);
	vm_mem_set_private(self->vm, TEST_GPA, SZ_2M);
	exit.vcpu = vcpu;
	kvm_pthread_create(&thread, NULL, run_to_exit, &exit);
	while (!vcpu_get_stat(vcpu, pf_taken))
		usleep(1000);
	vm_mem_region_delete(self->vm, TEST_SLOT);
	kvm_pthread_join(thread, NULL);

	EXPECT_EQ(0, exit.error);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(TEST_GPA, vcpu->run->mmio.phys_addr);
}

/* Memory that is made shared while it is used as private: the host is told. */
TEST_F(flows, converted_behind_its_back)
{
	struct exit exit = { };
	struct kvm_vcpu *vcpu;
	pthread_t thread;

	private_boot_vm(self->vm, 1, guest_read_on, &vcpu);
	private_add_memory(self->vm, TEST_GPA, TEST_SLOT, SZ_2M);
	private_map_views(self->vm, TEST_GPA, SZ_2M, PG_LEVEL_4K);
	vm_mem_set_private(self->vm, TEST_GPA, SZ_2M);
	exit.vcpu = vcpu;
	kvm_pthread_create(&thread, NULL, run_to_exit, &exit);
	while (!vcpu_get_stat(vcpu, pf_taken))
		usleep(1000);
	vm_mem_set_shared(self->vm, TEST_GPA, SZ_2M);
	kvm_pthread_join(thread, NULL);

	EXPECT_EQ(EFAULT, exit.error);
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

/*
 * A slot is pre-faulted while it goes: whatever that says, it does so for a
 * reason, and it does all when the slot is there again.
 */
static void pre_fault_beside_deletion(struct kvm_vcpu *vcpu, bool private)
{
	const u64 size = SZ_2M + PAGE_SIZE;

	for (int i = 0; i < 8; i++) {
		struct kvm_pre_fault_memory range = {
			.gpa = TEST_GPA,
			.size = size,
		};
		struct deletion deletion = { .vm = vcpu->vm };
		pthread_t thread;
		int r;

		private_add_memory(vcpu->vm, TEST_GPA, TEST_SLOT, size);
		vm_set_memory_attributes(vcpu->vm, TEST_GPA, size, private ?
					 KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
		kvm_pthread_create(&thread, NULL, delete_slot, &deletion);
		WRITE_ONCE(deletion.begin, true);
		do {
			r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
		} while ((!r && range.size) || (r && errno == EINTR));
		TEST_ASSERT(!r || errno == ENOENT || errno == EAGAIN ||
			    errno == EFAULT, "pre-faulting: errno %d", errno);
		kvm_pthread_join(thread, NULL);

		private_add_memory(vcpu->vm, TEST_GPA, TEST_SLOT, size);
		TEST_ASSERT(!private_pre_fault(vcpu, TEST_GPA, size),
			    "pre-faulting again: errno %d", errno);
		/* What is beyond the slot is not memory. */
		TEST_ASSERT(private_pre_fault(vcpu, TEST_GPA + size, PAGE_SIZE),
			    "pre-faulted where nothing is");
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
