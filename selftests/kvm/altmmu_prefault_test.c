// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_PRE_FAULT_MEMORY: what it has mapped costs the guest no fault.
 */
#include <pthread.h>

#include "altmmu_fixture.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)
#define NR_HUGE		(TEST_SIZE / SZ_2M)

#define OTHER_SLOT	(TEST_SLOT + 1)
#define OTHER_GPA	(TEST_GPA + SZ_1G)

static struct kvm_vcpu *create_vcpu(u64 mmu)
{
	struct kvm_vcpu *vcpu;

	mmu_create_with_vcpus(mmu, 1, guest_touch, &vcpu);
	return vcpu;
}

/* A slot of small pages that are there, and the guest's page tables too. */
static void *add_small_slot(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;
	void *mem;

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(vm, TEST_GPA, TEST_GPA, NR_PAGES);
	mem = addr_gpa2hva(vm, TEST_GPA);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	kvm_madvise(mem, TEST_SIZE, MADV_DONTNEED);
	memset(mem, 0, TEST_SIZE);
	return mem;
}

static int pre_fault(struct kvm_vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	int r;

	do {
		r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, range);
	} while ((r && errno == EINTR) || (!r && range->size));
	return r;
}

static int pre_fault_all(struct kvm_vcpu *vcpu)
{
	struct kvm_pre_fault_memory range = {
		.gpa = TEST_GPA,
		.size = TEST_SIZE,
	};

	return pre_fault(vcpu, &range);
}

TEST_F_TIMEOUT(mmu, no_fault_is_left, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	u64 pages, faults;

	self->vm = vcpu->vm;
	add_small_slot(vcpu);
	pages = vm_get_stat(self->vm, pages_4k);
	ASSERT_EQ(0, pre_fault_all(vcpu));
	EXPECT_EQ(pages + NR_PAGES, vm_get_stat(self->vm, pages_4k));

	faults = vcpu_get_stat(vcpu, pf_taken);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, false);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(faults, vcpu_get_stat(vcpu, pf_taken));
}

/* Without it each page is a fault, or the test above would show nothing. */
TEST_F_TIMEOUT(mmu, faults_without_it, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	u64 faults;

	self->vm = vcpu->vm;
	add_small_slot(vcpu);
	faults = vcpu_get_stat(vcpu, pf_taken);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_LE(faults + NR_PAGES, vcpu_get_stat(vcpu, pf_taken));
}

TEST_F_TIMEOUT(mmu, huge, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	if (!add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE))
		SKIP(return, "the host has no huge pages");
	ASSERT_EQ(0, pre_fault_all(vcpu));
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
}

/* Where a table of small pages stands that has become empty. */
TEST_F_TIMEOUT(mmu, huge_over_small, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	u64 faults;
	void *mem;

	self->vm = vcpu->vm;
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	kvm_madvise(mem, TEST_SIZE, MADV_DONTNEED);
	kvm_madvise(mem, TEST_SIZE, MADV_NOHUGEPAGE);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	kvm_madvise(mem, TEST_SIZE, MADV_DONTNEED);
	kvm_madvise(mem, TEST_SIZE, MADV_HUGEPAGE);
	memset(mem, 0, TEST_SIZE);

	ASSERT_EQ(0, pre_fault_all(vcpu));
	faults = vcpu_get_stat(vcpu, pf_taken);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(faults, vcpu_get_stat(vcpu, pf_taken));
}

static bool keep_on;

static void *keep_pre_faulting(void *vcpu)
{
	while (READ_ONCE(keep_on))
		TEST_ASSERT(!pre_fault_all(vcpu), "pre-fault: errno %d", errno);
	return NULL;
}

/* All roots go while it is at work; whoever wants that waits for it. */
TEST_F_TIMEOUT(mmu, beside_deletion, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	pthread_t thread;

	self->vm = vcpu->vm;
	add_small_slot(vcpu);
	WRITE_ONCE(keep_on, true);
	pthread_create(&thread, NULL, keep_pre_faulting, vcpu);
	for (int i = 0; i < 10; i++) {
		vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS,
					    OTHER_GPA, OTHER_SLOT, 1, 0);
		vm_mem_region_delete(self->vm, OTHER_SLOT);
	}
	WRITE_ONCE(keep_on, false);
	pthread_join(thread, NULL);
}

/* What is mapped already is left alone. */
TEST_F_TIMEOUT(mmu, again, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	u64 pages, faults;

	self->vm = vcpu->vm;
	add_small_slot(vcpu);
	ASSERT_EQ(0, pre_fault_all(vcpu));
	pages = vm_get_stat(self->vm, pages_4k);
	ASSERT_EQ(0, pre_fault_all(vcpu));
	EXPECT_EQ(pages, vm_get_stat(self->vm, pages_4k));

	faults = vcpu_get_stat(vcpu, pf_taken);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(faults, vcpu_get_stat(vcpu, pf_taken));
}

/* On altmmu it is not a write: a page of a logged slot does not get dirty. */
TEST_F_TIMEOUT(mmu, not_dirty, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	unsigned long log[BITS_TO_LONGS(NR_PAGES)];
	int dirty = 0;

	self->vm = vcpu->vm;
	if (variant->mmu == KVM_X86_MMU_KVM)
		SKIP(return, "KVM's own MMU reports what it pre-faults");

	add_small_slot(vcpu);
	vm_mem_region_set_flags(self->vm, TEST_SLOT, KVM_MEM_LOG_DIRTY_PAGES);
	ASSERT_EQ(0, pre_fault_all(vcpu));
	kvm_vm_get_dirty_log(self->vm, TEST_SLOT, log);
	for (int i = 0; i < NR_PAGES; i++)
		dirty += test_bit(i, log);
	EXPECT_EQ(0, dirty);

	touch_memory(vcpu, TEST_GPA, 3 * PAGE_SIZE, true);
	kvm_vm_get_dirty_log(self->vm, TEST_SLOT, log);
	for (int i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(i < 3, test_bit(i, log));
}

/* It stops at the end of the slot, and says how far it came. */
TEST_F_TIMEOUT(mmu, beyond_the_slot, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	struct kvm_pre_fault_memory range = {
		.gpa = TEST_GPA + TEST_SIZE - 2 * PAGE_SIZE,
		.size = 5 * PAGE_SIZE,
	};

	self->vm = vcpu->vm;
	add_small_slot(vcpu);
	EXPECT_EQ(-1, pre_fault(vcpu, &range));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(TEST_GPA + TEST_SIZE, range.gpa);
	EXPECT_EQ(3 * PAGE_SIZE, range.size);
}

/* Where no slot is nothing can be mapped, also when the guest has been there. */
TEST_F(mmu, hole)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	struct guest_control *control = host_control(vcpu->vm);
	struct kvm_pre_fault_memory range = {
		.gpa = OTHER_GPA,
		.size = PAGE_SIZE,
	};

	self->vm = vcpu->vm;
	virt_map(self->vm, OTHER_GPA, OTHER_GPA, 1);
	control->start = OTHER_GPA;
	control->nr_pages = 1;
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-1, pre_fault(vcpu, &range));
		EXPECT_EQ(ENOENT, errno);
		EXPECT_EQ(PAGE_SIZE, range.size);

		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(OTHER_GPA, vcpu->run->mmio.phys_addr);
		run_until_sync(vcpu);
	}
}

TEST_F(mmu, bad_arguments)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	struct kvm_pre_fault_memory bad[] = {
		{ .gpa = TEST_GPA, .size = PAGE_SIZE, .flags = 1 },
		{ .gpa = TEST_GPA, .size = 0 },
		{ .gpa = TEST_GPA + 1, .size = PAGE_SIZE },
		{ .gpa = TEST_GPA, .size = PAGE_SIZE + 1 },
		{ .gpa = -PAGE_SIZE, .size = 2 * PAGE_SIZE },
	};

	self->vm = vcpu->vm;
	for (int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &bad[i]));
		EXPECT_EQ(EINVAL, errno);
	}
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	TEST_REQUIRE(kvm_check_cap(KVM_CAP_PRE_FAULT_MEMORY));
	return test_harness_run(argc, argv);
}
