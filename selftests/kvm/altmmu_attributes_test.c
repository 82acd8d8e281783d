// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is private or shared by KVM_SET_MEMORY_ATTRIBUTES, in a
 * software-protected VM: private pages are guest_memfd's, shared ones are those
 * of the slot's address.
 */
#include "kselftest_harness.h"
#include "altmmu.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)
#define NR_HUGE		(TEST_SIZE / SZ_2M)

#define NR_ROUNDS	10

enum {
	PHASE_SHARED = PHASE_CHANGING + 1,
	PHASE_PRIVATE,
};

FIXTURE(attributes) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	u64 *mem;
};

FIXTURE_VARIANT(attributes) {
	u64 mmu;
};

FIXTURE_VARIANT_ADD(attributes, kvm) {
	.mmu = KVM_X86_MMU_KVM,
};

FIXTURE_VARIANT_ADD(attributes, altmmu) {
	.mmu = KVM_X86_MMU_ALTMMU,
};

FIXTURE_SETUP(attributes)
{
	if (!mmu_has_tdp_mmu(variant->mmu))
		SKIP(return, "KVM's own MMU without the TDP MMU");

	self->vm = mmu_create_vm(variant->mmu, KVM_X86_SW_PROTECTED_VM);
	mmu_boot_vm(self->vm, TEST_VCPUS, guest_touch, self->vcpus);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
}

FIXTURE_TEARDOWN(attributes)
{
	kvm_vm_free(self->vm);
}

static u64 *add_memory(struct kvm_vm *vm, enum vm_mem_backing_src_type backing,
		       u32 flags)
{
	vm_userspace_mem_region_add(vm, backing, TEST_GPA, TEST_SLOT, NR_PAGES,
				    flags);
	return addr_gpa2hva(vm, TEST_GPA);
}

/* Guest: the word that it finds in a page, and the one that it leaves there. */
static u64 guest_page, guest_found, guest_leaves;

static void guest_exchange(void)
{
	for (;;) {
		u64 *p = (u64 *)(TEST_GPA + guest_page * PAGE_SIZE);

		guest_found = READ_ONCE(*p);
		if (guest_leaves)
			WRITE_ONCE(*p, guest_leaves);
		GUEST_SYNC(0);
	}
}

static u64 exchange(struct kvm_vcpu *vcpu, u64 page, u64 leave)
{
	*(u64 *)host_pointer(vcpu->vm, &guest_page) = page;
	*(u64 *)host_pointer(vcpu->vm, &guest_leaves) = leave;
	run_until_sync(vcpu);
	return *(u64 *)host_pointer(vcpu->vm, &guest_found);
}

/* Each of a page's two contents is there whenever it is the page's turn. */
TEST_F(attributes, contents)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];

	vcpu_arch_set_entry_point(vcpu, guest_exchange);
	self->mem = add_memory(self->vm, VM_MEM_SRC_ANONYMOUS,
			       KVM_MEM_GUEST_MEMFD);
	EXPECT_EQ(0, exchange(vcpu, 3, 0xaaaa));
	EXPECT_EQ(0xaaaa, self->mem[3 * PAGE_SIZE / sizeof(u64)]);

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0, exchange(vcpu, 3, 0xbbbb));
	EXPECT_EQ(0xaaaa, self->mem[3 * PAGE_SIZE / sizeof(u64)]);

	vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xaaaa, exchange(vcpu, 3, 0xcccc));
	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xbbbb, exchange(vcpu, 3, 0));
	vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xcccc, exchange(vcpu, 3, 0));
}

/* One page that is converted is no matter for the pages beside it. */
TEST_F(attributes, one_page)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];

	vcpu_arch_set_entry_point(vcpu, guest_exchange);
	self->mem = add_memory(self->vm, VM_MEM_SRC_ANONYMOUS,
			       KVM_MEM_GUEST_MEMFD);
	for (u64 page = 3; page < 6; page++)
		EXPECT_EQ(0, exchange(vcpu, page, page));

	vm_mem_set_private(self->vm, TEST_GPA + 4 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(3, exchange(vcpu, 3, 0));
	EXPECT_EQ(0, exchange(vcpu, 4, 0));
	EXPECT_EQ(5, exchange(vcpu, 5, 0));
}

TEST_F(attributes, punch_hole)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];
	u64 pages;

	vcpu_arch_set_entry_point(vcpu, guest_exchange);
	add_memory(self->vm, VM_MEM_SRC_ANONYMOUS, KVM_MEM_GUEST_MEMFD);
	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0, exchange(vcpu, 3, 0xaaaa));
	EXPECT_EQ(0, exchange(vcpu, 4, 0xbbbb));
	pages = vm_get_stat(self->vm, pages_4k);

	vm_guest_mem_punch_hole(self->vm, TEST_GPA + 3 * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(pages - 1, vm_get_stat(self->vm, pages_4k));
	EXPECT_EQ(0, exchange(vcpu, 3, 0));
	EXPECT_EQ(0xbbbb, exchange(vcpu, 4, 0));
}

/* A slot that has no private pages: user space is told what the guest wants. */
TEST_F(attributes, private_without_guest_memfd)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];
	struct kvm_run *run = vcpu->run;

	vcpu_arch_set_entry_point(vcpu, guest_exchange);
	add_memory(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	EXPECT_EQ(0, exchange(vcpu, 3, 0xaaaa));

	vm_mem_set_private(self->vm, TEST_GPA + 3 * PAGE_SIZE, PAGE_SIZE);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-1, __vcpu_run(vcpu));
		EXPECT_EQ(EFAULT, errno);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MEMORY_FAULT);
		EXPECT_EQ(KVM_MEMORY_EXIT_FLAG_PRIVATE,
			  run->memory_fault.flags);
		EXPECT_EQ(TEST_GPA + 3 * PAGE_SIZE, run->memory_fault.gpa);
		EXPECT_EQ(PAGE_SIZE, run->memory_fault.size);
	}

	/* When it has what it wants it goes on. */
	vm_mem_set_shared(self->vm, TEST_GPA + 3 * PAGE_SIZE, PAGE_SIZE);
	run_until_sync(vcpu);
	EXPECT_EQ(0xaaaa, *(u64 *)host_pointer(self->vm, &guest_found));
}

/* Private pages are small; a huge page is not mapped where both kinds are. */
TEST_F_TIMEOUT(attributes, levels, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];

	if (!thp_configured())
		SKIP(return, "the host has no huge pages");
	self->mem = add_memory(self->vm, VM_MEM_SRC_ANONYMOUS_THP,
			       KVM_MEM_GUEST_MEMFD);
	memset(self->mem, 0, TEST_SIZE);
	if (!is_all_huge(self->mem, TEST_SIZE))
		SKIP(return, "the host has no huge pages");

	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));

	vm_mem_set_private(self->vm, TEST_GPA + SZ_2M + 7 * PAGE_SIZE,
			   PAGE_SIZE);
	EXPECT_EQ(NR_HUGE - 1, vm_get_stat(self->vm, pages_2m));
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE - 1, vm_get_stat(self->vm, pages_2m));

	vm_mem_set_shared(self->vm, TEST_GPA + SZ_2M + 7 * PAGE_SIZE,
			  PAGE_SIZE);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
}

/* In each phase every page has the content that belongs to it. */
static void guest_look(u32 vcpu_id)
{
	while (!guest_stopped()) {
		for (u64 page = 0; page < NR_PAGES; page += 16) {
			u64 phase = guest_phase();
			u64 word = READ_ONCE(*(u64 *)(TEST_GPA +
						      page * PAGE_SIZE));

			if (phase == PHASE_CHANGING || phase != guest_phase())
				continue;
			GUEST_ASSERT_EQ(word,
					phase == PHASE_SHARED ? page + 1 : 0);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

TEST_F_TIMEOUT(attributes, conversion_under_vcpus, TEST_TIMEOUT_LONG)
{
	struct vcpu_thread threads[TEST_VCPUS];

	self->mem = add_memory(self->vm, VM_MEM_SRC_ANONYMOUS_THP,
			       KVM_MEM_GUEST_MEMFD);
	for (u64 page = 0; page < NR_PAGES; page++)
		self->mem[page * PAGE_SIZE / sizeof(u64)] = page + 1;
	for (int i = 0; i < TEST_VCPUS; i++)
		vcpu_arch_set_entry_point(self->vcpus[i], guest_look);
	vcpu_threads_start(threads, self->vcpus, TEST_VCPUS);

	for (int i = 0; i < NR_ROUNDS; i++) {
		vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
		set_phase(self->vm, PHASE_PRIVATE);
		vcpu_threads_wait_passes(threads, TEST_VCPUS);
		set_phase(self->vm, PHASE_CHANGING);

		vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
		set_phase(self->vm, PHASE_SHARED);
		vcpu_threads_wait_passes(threads, TEST_VCPUS);
		set_phase(self->vm, PHASE_CHANGING);
	}
	vcpu_threads_stop(threads, TEST_VCPUS);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) &
		     BIT(KVM_X86_SW_PROTECTED_VM));
	return test_harness_run(argc, argv);
}
