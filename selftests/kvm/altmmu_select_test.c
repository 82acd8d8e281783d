// SPDX-License-Identifier: GPL-2.0
/*
 * Choosing a VM's MMU: KVM_CAP_X86_MMU, and the parameter kvm.mmu.
 */
#include <fcntl.h>
#include <string.h>

#include "kselftest_harness.h"
#include "altmmu.h"
#include "svm_util.h"

#define MMU_PARAM	KVM_PARAM("mmu")

static int enable_mmu(struct kvm_vm *vm, struct kvm_enable_cap *cap)
{
	cap->cap = KVM_CAP_X86_MMU;
	return __vm_ioctl(vm, KVM_ENABLE_CAP, cap);
}

static int select_mmu(struct kvm_vm *vm, u64 mmu)
{
	struct kvm_enable_cap cap = { .args = { mmu } };

	return enable_mmu(vm, &cap);
}

static void boot_vm(struct kvm_vm *vm, struct kvm_vcpu **vcpu)
{
	mmu_boot_vm(vm, 1, guest_touch, vcpu);
}

/* Which MMU a VM is on shows when its guest has run. */
static u64 mmu_of(struct kvm_vcpu *vcpu)
{
	run_until_sync(vcpu);
	return vm_get_stat(vcpu->vm, altmmu_tables) ? KVM_X86_MMU_ALTMMU :
						      KVM_X86_MMU_KVM;
}

static u64 mmu_of_new_vm(struct kvm_vm *vm)
{
	struct kvm_vcpu *vcpu;

	boot_vm(vm, &vcpu);
	return mmu_of(vcpu);
}

FIXTURE(select) {
	struct kvm_vm *vm;
};

FIXTURE_SETUP(select)
{
}

FIXTURE_TEARDOWN(select)
{
	kvm_vm_free(self->vm);
}

TEST_F(select, mask)
{
	unsigned int mask = kvm_check_cap(KVM_CAP_X86_MMU);
	unsigned int expected = BIT(KVM_X86_MMU_KVM);

	if (kvm_is_tdp_enabled())
		expected |= BIT(KVM_X86_MMU_ALTMMU);
	EXPECT_EQ(expected, mask);

	self->vm = vm_create_barebones();
	EXPECT_EQ(mask, vm_check_cap(self->vm, KVM_CAP_X86_MMU));
}

TEST_F(select, unknown_mmu)
{
	const u64 unknown[] = { 2, 31, 32, 63, 64, BIT_ULL(32), BIT_ULL(32) | 1,
				~0ULL };

	self->vm = vm_create_barebones();
	for (int i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(-1, select_mmu(self->vm, unknown[i]));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(select, reserved_arguments)
{
	self->vm = vm_create_barebones();
	for (int i = 1; i < 4; i++) {
		struct kvm_enable_cap cap = { };

		cap.args[i] = 1;
		EXPECT_EQ(-1, enable_mmu(self->vm, &cap));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(select, flags)
{
	struct kvm_enable_cap cap = { .flags = 1 };

	self->vm = vm_create_barebones();
	EXPECT_EQ(-1, enable_mmu(self->vm, &cap));
	EXPECT_EQ(EINVAL, errno);
}

/* It is a VM's property: a vCPU does not have it. */
TEST_F(select, not_for_a_vcpu)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_MMU };
	struct kvm_vcpu *vcpu;

	self->vm = vm_create_with_one_vcpu(&vcpu, guest_touch);
	EXPECT_EQ(-1, __vcpu_ioctl(vcpu, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(EINVAL, errno);
}

/* A VM that was refused an MMU is on the one that it had. */
TEST_F(select, refusal_changes_nothing)
{
	struct kvm_enable_cap cap = {
		.args = { KVM_X86_MMU_ALTMMU, 0, 0, 1 },
	};

	self->vm = vm_create_barebones();
	EXPECT_EQ(0, select_mmu(self->vm, KVM_X86_MMU_KVM));
	EXPECT_EQ(-1, enable_mmu(self->vm, &cap));
	EXPECT_EQ(KVM_X86_MMU_KVM, mmu_of_new_vm(self->vm));
}

/* Where the host has no nested paging altmmu is refused by name... */
TEST_F(select, refused_without_tdp)
{
	if (kvm_is_tdp_enabled())
		SKIP(return, "the host has nested paging");

	self->vm = vm_create_barebones();
	EXPECT_EQ(-1, select_mmu(self->vm, KVM_X86_MMU_ALTMMU));
	EXPECT_EQ(EINVAL, errno);
}

/* How often the kernel has said something since it booted. */
static int kernel_said(const char *text)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[8192];
	int count = 0;
	ssize_t n;

	TEST_ASSERT(fd >= 0, "Can't open /dev/kmsg");
	while ((n = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[max_t(ssize_t, n, 0)] = '\0';
		count += !!strstr(record, text);
	}
	close(fd);
	return count;
}

/* ...and VMs that would be on it by default are on KVM's own, which is said once. */
TEST_F(select, falls_back_without_tdp)
{
	if (kvm_is_tdp_enabled())
		SKIP(return, "the host has nested paging");

	ASSERT_TRUE(write_file(MMU_PARAM, "altmmu"));
	self->vm = vm_create_barebones();
	EXPECT_EQ(KVM_X86_MMU_KVM, mmu_of_new_vm(self->vm));
	kvm_vm_free(self->vm);
	self->vm = vm_create_barebones();
	EXPECT_EQ(1, kernel_said("no nested paging on this host"));
}

FIXTURE(mmu) {
	struct kvm_vm *vm;
};

FIXTURE_VARIANT(mmu) {
	u64 mmu;
	const char *name;
};

FIXTURE_VARIANT_ADD(mmu, kvm) {
	.mmu = KVM_X86_MMU_KVM,
	.name = "kvm",
};

FIXTURE_VARIANT_ADD(mmu, altmmu) {
	.mmu = KVM_X86_MMU_ALTMMU,
	.name = "altmmu",
};

FIXTURE_SETUP(mmu)
{
	if (!mmu_is_there(variant->mmu))
		SKIP(return, "not on this host");
}

FIXTURE_TEARDOWN(mmu)
{
	kvm_vm_free(self->vm);
}

TEST_F(mmu, select)
{
	self->vm = vm_create_barebones();
	ASSERT_EQ(0, select_mmu(self->vm, variant->mmu));
	EXPECT_EQ(variant->mmu, mmu_of_new_vm(self->vm));
}

TEST_F(mmu, back_and_forth)
{
	if (!mmu_is_there(!variant->mmu))
		SKIP(return, "the host has one MMU only");

	self->vm = vm_create_barebones();
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, select_mmu(self->vm, !variant->mmu));
		ASSERT_EQ(0, select_mmu(self->vm, variant->mmu));
		/* Nothing happens when it is chosen again. */
		ASSERT_EQ(0, select_mmu(self->vm, variant->mmu));
	}
	EXPECT_EQ(variant->mmu, mmu_of_new_vm(self->vm));
}

/* A limit for shadow pages is taken, and is nothing to a guest that has none. */
TEST_F(mmu, nr_mmu_pages)
{
	struct kvm_vcpu *vcpu;
	u64 mapped;

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, 16, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, 16);
	touch_memory(vcpu, TEST_GPA, 16 * PAGE_SIZE, true);
	mapped = vm_get_stat(self->vm, pages_4k);

	EXPECT_EQ(-1, __vm_ioctl(self->vm, KVM_SET_NR_MMU_PAGES, (void *)1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, __vm_ioctl(self->vm, KVM_SET_NR_MMU_PAGES, (void *)64));
	EXPECT_EQ(mapped, vm_get_stat(self->vm, pages_4k));
	touch_memory(vcpu, TEST_GPA, 16 * PAGE_SIZE, true);
	EXPECT_EQ(mapped, vm_get_stat(self->vm, pages_4k));
}

TEST_F(mmu, busy_with_a_vcpu)
{
	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	__vm_vcpu_add(self->vm, 0);
	for (u64 mmu = KVM_X86_MMU_KVM; mmu <= KVM_X86_MMU_ALTMMU; mmu++) {
		EXPECT_EQ(-1, select_mmu(self->vm, mmu));
		EXPECT_EQ(mmu_is_there(mmu) ? EBUSY : EINVAL, errno);
	}
}

TEST_F(mmu, busy_with_a_memslot)
{
	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, 1, 0);
	for (u64 mmu = KVM_X86_MMU_KVM; mmu <= KVM_X86_MMU_ALTMMU; mmu++) {
		EXPECT_EQ(-1, select_mmu(self->vm, mmu));
		EXPECT_EQ(mmu_is_there(mmu) ? EBUSY : EINVAL, errno);
	}

	vm_mem_region_delete(self->vm, TEST_SLOT);
	if (mmu_is_there(!variant->mmu))
		EXPECT_EQ(0, select_mmu(self->vm, !variant->mmu));
}

TEST_F(mmu, parameter)
{
	struct kvm_vcpu *vcpu;
	char text[16];

	if (!write_file(MMU_PARAM, variant->name))
		SKIP(return, "no permission to write " MMU_PARAM);
	ASSERT_TRUE(read_file(MMU_PARAM, text, sizeof(text)));
	EXPECT_EQ(0, strncmp(text, variant->name, strlen(variant->name)));

	self->vm = vm_create_with_one_vcpu(&vcpu, guest_touch);
	EXPECT_EQ(variant->mmu, mmu_of(vcpu));
}

/* It is read once, when a VM is made. */
TEST_F(mmu, parameter_is_for_new_vms)
{
	if (!write_file(MMU_PARAM, variant->name))
		SKIP(return, "no permission to write " MMU_PARAM);
	self->vm = vm_create_barebones();
	ASSERT_TRUE(write_file(MMU_PARAM,
			       variant->mmu == KVM_X86_MMU_KVM ? "altmmu" :
								 "kvm"));
	EXPECT_EQ(variant->mmu, mmu_of_new_vm(self->vm));
}

TEST_F(mmu, capability_beats_parameter)
{
	if (!write_file(MMU_PARAM, variant->mmu == KVM_X86_MMU_KVM ? "altmmu" :
								     "kvm"))
		SKIP(return, "no permission to write " MMU_PARAM);
	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	EXPECT_EQ(variant->mmu, mmu_of_new_vm(self->vm));
}

TEST_F(mmu, bad_parameter)
{
	static const char * const bad[] = { "tdp", "altmm", "altmmu2", "1" };
	char text[16];

	if (!write_file(MMU_PARAM, variant->name))
		SKIP(return, "no permission to write " MMU_PARAM);
	for (int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_FALSE(write_file(MMU_PARAM, bad[i]));
		EXPECT_EQ(EINVAL, errno);
	}
	ASSERT_TRUE(read_file(MMU_PARAM, text, sizeof(text)));
	EXPECT_EQ(0, strncmp(text, variant->name, strlen(variant->name)));
}

/* Which types there are does not depend on the MMU; which MMUs they have does. */
TEST_F(mmu, vm_types)
{
	unsigned int types = kvm_check_cap(KVM_CAP_VM_TYPES);
	const unsigned long served[] = { KVM_X86_DEFAULT_VM,
					 KVM_X86_SW_PROTECTED_VM };

	for (int i = 0; i < ARRAY_SIZE(served); i++) {
		if (!(types & BIT(served[i])))
			continue;
		if (served[i] == KVM_X86_SW_PROTECTED_VM &&
		    !mmu_has_tdp_mmu(variant->mmu))
			continue;
		self->vm = mmu_create_vm(variant->mmu, served[i]);
		EXPECT_EQ(types, vm_check_cap(self->vm, KVM_CAP_VM_TYPES));
		EXPECT_EQ(variant->mmu, mmu_of_new_vm(self->vm));
		kvm_vm_free(self->vm);
		self->vm = NULL;
	}
}

/* A TD can have either, if it is asked for. */
TEST_F(mmu, tdx)
{
	const u64 both = BIT(KVM_X86_MMU_KVM) | BIT(KVM_X86_MMU_ALTMMU);

	if (!(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_TDX_VM)))
		SKIP(return, "the host has no TDX");

	if (!write_file(MMU_PARAM, variant->name))
		SKIP(return, "no permission to write " MMU_PARAM);
	self->vm = vm_create_barebones_type(KVM_X86_TDX_VM);
	EXPECT_EQ(both, vm_check_cap(self->vm, KVM_CAP_X86_MMU));
	EXPECT_EQ(0, select_mmu(self->vm, !variant->mmu));
	EXPECT_EQ(0, select_mmu(self->vm, variant->mmu));
}

TEST_F(mmu, nested_state)
{
	int on_host = kvm_check_cap(KVM_CAP_NESTED_STATE);
	int expected = variant->mmu == KVM_X86_MMU_ALTMMU ? 0 : on_host;

	if (!on_host)
		SKIP(return, "the host has no nested guests");

	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	EXPECT_EQ(expected, vm_check_cap(self->vm, KVM_CAP_NESTED_STATE));
	EXPECT_EQ(on_host, kvm_check_cap(KVM_CAP_NESTED_STATE));
}

/* Where there are no nested guests, saving and restoring does no harm. */
TEST_F(mmu, restore_nested_state)
{
	int size = kvm_check_cap(KVM_CAP_NESTED_STATE);
	struct kvm_nested_state *state;
	struct kvm_vcpu *vcpu;

	if (!size)
		SKIP(return, "the host has no nested guests");

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	state = calloc(1, size);
	ASSERT_TRUE(state);
	state->size = size;
	vcpu_nested_state_get(vcpu, state);
	EXPECT_EQ(0, __vcpu_nested_state_set(vcpu, state));

	state->flags |= KVM_STATE_NESTED_GUEST_MODE;
	EXPECT_EQ(-1, __vcpu_nested_state_set(vcpu, state));
	EXPECT_EQ(EINVAL, errno);
	free(state);
	EXPECT_EQ(variant->mmu, mmu_of(vcpu));
}

/* What user space says of SVM and VMX, a guest on altmmu has neither. */
TEST_F(mmu, nested_guests)
{
	struct kvm_sregs sregs;
	struct kvm_vcpu *vcpu;
	bool can;

	if (!kvm_check_cap(KVM_CAP_NESTED_STATE))
		SKIP(return, "the host has no nested guests");

	/* With CPUID as the host supports it. */
	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	can = vcpu_cpuid_has(vcpu, X86_FEATURE_SVM) ||
	      vcpu_cpuid_has(vcpu, X86_FEATURE_VMX);
	EXPECT_EQ(variant->mmu == KVM_X86_MMU_KVM, can);

	vcpu_sregs_get(vcpu, &sregs);
	if (kvm_cpu_has(X86_FEATURE_SVM))
		sregs.efer |= EFER_SVME;
	else
		sregs.cr4 |= X86_CR4_VMXE;
	can = !_vcpu_sregs_set(vcpu, &sregs);
	EXPECT_EQ(variant->mmu == KVM_X86_MMU_KVM, can);
}

/* Guest: how its VMRUN ended. */
static u64 vmrun_exit_code;

static void guest_nested(void)
{
	vmmcall();
}

/* Without SVM the guest may not set what user space has set already. */
static void guest_skip_wrmsr(struct ex_regs *regs)
{
	const u8 wrmsr[] = { 0x0f, 0x30 };

	GUEST_ASSERT(!memcmp((void *)regs->rip, wrmsr, sizeof(wrmsr)));
	regs->rip += sizeof(wrmsr);
}

static void guest_vmrun(struct svm_test_data *svm)
{
	generic_svm_setup(svm, guest_nested);
	run_guest(svm->vmcb, svm->vmcb_gpa);
	vmrun_exit_code = svm->vmcb->control.exit_code;
	GUEST_SYNC(0);
	guest_touch();
}

/*
 * User space can write EFER as it was saved elsewhere, SVME with it, and then VMRUN
 * is an instruction.  On altmmu it enters nothing all the same: the nested guest's
 * EFER must have SVME too, and that is not legal for who has no SVM.
 */
TEST_F(mmu, forced_svm)
{
	bool can = variant->mmu == KVM_X86_MMU_KVM;
	struct kvm_vcpu *vcpu;
	gva_t svm;

	if (!kvm_cpu_has(X86_FEATURE_SVM))
		SKIP(return, "the host has no nested guests, or not with SVM");

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_vmrun, &vcpu);
	vm_install_exception_handler(self->vm, GP_VECTOR, guest_skip_wrmsr);
	vcpu_alloc_svm(self->vm, &svm);
	vcpu_args_set(vcpu, 1, svm);
	vcpu_set_msr(vcpu, MSR_EFER, vcpu_get_msr(vcpu, MSR_EFER) | EFER_SVME);

	run_until_sync(vcpu);
	EXPECT_EQ(can ? SVM_EXIT_VMMCALL : SVM_EXIT_ERR,
		  *(u64 *)host_pointer(self->vm, &vmrun_exit_code));
	/* The VM has taken no harm. */
	EXPECT_EQ(variant->mmu, mmu_of(vcpu));
}

static void guest_allow_vmx(void)
{
	const u64 allow = FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;

	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_FEAT_CTL, allow), 0);
	GUEST_ASSERT_EQ(rdmsr(MSR_IA32_FEAT_CTL), allow);
	GUEST_SYNC(0);
	guest_touch();
}

/* Firmware allows VMX if it was told to, and does not look whether there is any. */
TEST_F(mmu, allowed_vmx)
{
	struct kvm_vcpu *vcpu;

	if (!kvm_cpu_has(X86_FEATURE_VMX))
		SKIP(return, "the host has no nested guests, or not with VMX");

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_allow_vmx, &vcpu);
	run_until_sync(vcpu);
	EXPECT_EQ(variant->mmu, mmu_of(vcpu));
}

/* VMs on both at once, that come and go in any order. */
TEST_F_TIMEOUT(mmu, many_vms, TEST_TIMEOUT_LONG)
{
	enum { NR_VMS = 6 };
	struct kvm_vcpu *vcpus[NR_VMS];

	for (int i = 0; i < NR_VMS; i++) {
		u64 mmu = i % 3 ? variant->mmu : KVM_X86_MMU_KVM;

		mmu_create_with_vcpus(mmu, 1, guest_touch, &vcpus[i]);
	}
	for (int i = 0; i < NR_VMS; i += 2) {
		u64 mmu = i % 3 ? variant->mmu : KVM_X86_MMU_KVM;

		EXPECT_EQ(mmu, mmu_of(vcpus[i]));
		kvm_vm_free(vcpus[i]->vm);
	}
	for (int i = NR_VMS - 1; i > 0; i -= 2) {
		u64 mmu = i % 3 ? variant->mmu : KVM_X86_MMU_KVM;

		EXPECT_EQ(mmu, mmu_of(vcpus[i]));
		kvm_vm_free(vcpus[i]->vm);
	}
}

int main(int argc, char *argv[])
{
	__TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_MMU),
		       "this kernel has no altmmu");
	keep_file(MMU_PARAM);
	return test_harness_run(argc, argv);
}
