// SPDX-License-Identifier: GPL-2.0
/*
 * How a soft-mirror VM is made, and what is refused: shared bits that can't be,
 * choices that come too late, guests that would not fit.
 */
#include <pthread.h>
#include <string.h>

#include "kselftest_harness.h"
#include "altmmu_private.h"
#include "apic.h"

#define NR_PAGES	16
#define NR_MOVES	20

static void guest_code(void)
{
	for (;;)
		GUEST_SYNC(0);
}

FIXTURE(select) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
};

FIXTURE_SETUP(select)
{
	self->vm = NULL;
}

FIXTURE_TEARDOWN(select)
{
	kvm_vm_free(self->vm);
}

static struct kvm_vm *create(void)
{
	return vm_create_barebones_type(KVM_X86_SOFT_MIRROR_VM);
}

#define EXPECT_REFUSED(error, expression)	\
do {						\
	EXPECT_EQ(-1, expression);		\
	EXPECT_EQ(error, errno);		\
} while (0)

/* Where the bit is stands in a capability, and it is an address bit. */
TEST_F(select, capability)
{
	u64 bit = kvm_check_cap(KVM_CAP_X86_SOFT_MIRROR);

	EXPECT_LT(32, bit);
	EXPECT_GT(kvm_cpu_property(X86_PROPERTY_MAX_PHY_ADDR), bit);
	self->vm = create();
	EXPECT_EQ(bit, private_shared_bit(self->vm));
	EXPECT_EQ(0, private_set(self->vm, bit - 1, 0));
	EXPECT_EQ(bit - 1, private_shared_bit(self->vm));
	/* 0 leaves it. */
	EXPECT_EQ(0, private_set(self->vm, 0, 0));
	EXPECT_EQ(bit - 1, private_shared_bit(self->vm));
}

static void *move_bit(void *data)
{
	u64 bit = kvm_check_cap(KVM_CAP_X86_SOFT_MIRROR);
	struct kvm_vm *vm = data;

	/* It is too late while there is a memslot. */
	for (int i = 0; i < NR_MOVES; i++)
		private_set(vm, bit - i % 2, 0);
	return NULL;
}

/* Somebody else may have memslots come and go; no table is left, or counted twice. */
TEST_F_TIMEOUT(select, bit_moves_with_memslots, TEST_TIMEOUT_LONG)
{
	u64 bit = kvm_check_cap(KVM_CAP_X86_SOFT_MIRROR);
	pthread_t thread;
	u64 tables, most;

	/* How many there are depends on the bit. */
	self->vm = create();
	ASSERT_EQ(0, private_set(self->vm, bit - 1, 0));
	most = vm_get_stat(self->vm, altmmu_tables);
	ASSERT_EQ(0, private_set(self->vm, bit, 0));
	tables = vm_get_stat(self->vm, altmmu_tables);
	ASSERT_LT(0, tables);
	most = max(most, tables);
	ASSERT_EQ(0, pthread_create(&thread, NULL, move_bit, self->vm));
	for (int i = 0; i < NR_MOVES; i++) {
		vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS,
					    TEST_GPA, TEST_SLOT, 1, 0);
		vm_mem_region_delete(self->vm, TEST_SLOT);
		EXPECT_GE(most, vm_get_stat(self->vm, altmmu_tables));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, private_set(self->vm, bit, 0));
	EXPECT_EQ(tables, vm_get_stat(self->vm, altmmu_tables));
}

TEST_F(select, not_for_other_types)
{
	self->vm = vm_create_barebones();
	EXPECT_EQ(0, private_shared_bit(self->vm));
	EXPECT_REFUSED(EINVAL, private_set(self->vm, 0, 0));
}

/* The type has one MMU only. */
TEST_F(select, always_on_altmmu)
{
	self->vm = create();
	EXPECT_EQ(BIT(KVM_X86_MMU_ALTMMU),
		  vm_check_cap(self->vm, KVM_CAP_X86_MMU));
	EXPECT_EQ(0, __vm_enable_cap(self->vm, KVM_CAP_X86_MMU,
				     KVM_X86_MMU_ALTMMU));
	EXPECT_REFUSED(EINVAL, __vm_enable_cap(self->vm, KVM_CAP_X86_MMU,
					       KVM_X86_MMU_KVM));
}

TEST_F(select, also_if_the_default_is_kvm)
{
	if (!write_file(KVM_PARAM("mmu"), "kvm"))
		SKIP(return, "no permission to write " KVM_PARAM("mmu"));
	self->vm = create();
	EXPECT_EQ(BIT(KVM_X86_MMU_ALTMMU),
		  vm_check_cap(self->vm, KVM_CAP_X86_MMU));
}

TEST_F(select, bit_too_high)
{
	u64 bit = kvm_check_cap(KVM_CAP_X86_SOFT_MIRROR);

	self->vm = create();
	EXPECT_REFUSED(EINVAL, private_set(self->vm, bit + 1, 0));
	EXPECT_REFUSED(EINVAL, private_set(self->vm, 63, 0));
	EXPECT_REFUSED(EINVAL, private_set(self->vm, 64, 0));
	EXPECT_REFUSED(EINVAL, private_set(self->vm, ~0ULL, 0));
	EXPECT_EQ(bit, private_shared_bit(self->vm));
}

/* What is below has no room for what KVM puts below 4G. */
TEST_F(select, bit_too_low)
{
	self->vm = create();
	for (u64 bit = 1; bit < 32; bit++)
		EXPECT_REFUSED(EINVAL, private_set(self->vm, bit, 0));
}

TEST_F(select, unknown_flags)
{
	self->vm = create();
	for (int i = 2; i < 64; i++)
		EXPECT_REFUSED(EINVAL, private_set(self->vm, 0, BIT_ULL(i)));
	/* Two that contradict each other. */
	EXPECT_REFUSED(EINVAL,
		       private_set(self->vm, 0,
				   KVM_X86_SOFT_MIRROR_AUTO_ACCEPT |
				   KVM_X86_SOFT_MIRROR_FINALIZE));
}

/* Arguments that mean nothing must be zero. */
TEST_F(select, unused_arguments)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_SOFT_MIRROR,
		.args[2] = 1,
	};

	self->vm = create();
	EXPECT_REFUSED(EINVAL, __vm_ioctl(self->vm, KVM_ENABLE_CAP, &cap));
	cap.args[2] = 0;
	cap.flags = 1;
	EXPECT_REFUSED(EINVAL, __vm_ioctl(self->vm, KVM_ENABLE_CAP, &cap));
}

TEST_F(select, busy_with_a_vcpu)
{
	u64 bit;

	self->vm = create();
	bit = private_shared_bit(self->vm);
	__vm_vcpu_add(self->vm, 0);
	EXPECT_REFUSED(EBUSY, private_set(self->vm, bit - 1, 0));
	EXPECT_REFUSED(EBUSY, private_set(self->vm, 0,
					  KVM_X86_SOFT_MIRROR_AUTO_ACCEPT));
	EXPECT_EQ(bit, private_shared_bit(self->vm));
}

TEST_F(select, busy_with_a_memslot)
{
	self->vm = create();
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, KVM_MEM_GUEST_MEMFD);
	EXPECT_REFUSED(EBUSY, private_set(self->vm, 38, 0));
	EXPECT_REFUSED(EBUSY, private_set(self->vm, 0,
					  KVM_X86_SOFT_MIRROR_AUTO_ACCEPT));
}

/* A VM is finalized once, at birth if there is nothing to wait for. */
TEST_F(select, finalize_twice)
{
	self->vm = create();
	private_boot_vm(self->vm, 1, guest_code, &self->vcpu);
	private_finalize(self->vm);
	EXPECT_REFUSED(EINVAL, private_set(self->vm, 0,
					   KVM_X86_SOFT_MIRROR_FINALIZE));
	run_until_sync(self->vcpu);
}

TEST_F(select, finalize_auto_accept)
{
	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	EXPECT_REFUSED(EINVAL, private_set(self->vm, 0,
					   KVM_X86_SOFT_MIRROR_FINALIZE));
}

TEST_F(select, run_before_finalize)
{
	self->vm = create();
	private_boot_vm(self->vm, 1, guest_code, &self->vcpu);
	for (int i = 0; i < 2; i++)
		EXPECT_REFUSED(EINVAL, __vcpu_run(self->vcpu));
	private_finalize(self->vm);
	run_until_sync(self->vcpu);
}

/* The guest must be able to say the bit. */
TEST_F(select, maxphyaddr)
{
	struct kvm_cpuid_entry2 *entry;
	u64 bit;

	self->vm = create();
	bit = private_shared_bit(self->vm);
	self->vcpu = __vm_vcpu_add(self->vm, 0);
	vcpu_init_cpuid(self->vcpu, kvm_get_supported_cpuid());
	entry = vcpu_get_cpuid_entry(self->vcpu, 0x80000008);
	for (u64 width = 36; width <= bit; width++) {
		entry->eax = (entry->eax & ~0xff) | width;
		EXPECT_REFUSED(EINVAL, __vcpu_set_cpuid(self->vcpu));
	}
	entry->eax = (entry->eax & ~0xff) | (bit + 1);
	EXPECT_EQ(0, __vcpu_set_cpuid(self->vcpu));
}

/* A vCPU that got no CPUID has 36 bits, which are too few for most guests. */
TEST_F(select, maxphyaddr_without_cpuid)
{
	self->vm = private_create_vm(36, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	self->vcpu = __vm_vcpu_add(self->vm, 0);
	for (int i = 0; i < 2; i++)
		EXPECT_REFUSED(EINVAL, __vcpu_run(self->vcpu));
	/* There is nothing to be run, but it is tried. */
	vcpu_init_cpuid(self->vcpu, kvm_get_supported_cpuid());
	EXPECT_EQ(0, __vcpu_run(self->vcpu));
}

TEST_F(select, bit_of_vcpus_without_cpuid)
{
	self->vm = private_create_vm(35, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	self->vcpu = __vm_vcpu_add(self->vm, 0);
	EXPECT_EQ(0, __vcpu_run(self->vcpu));
}

/* Guests have no guests, whatever CPUID is asked for. */
TEST_F(select, nested)
{
	struct kvm_sregs sregs;

	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	EXPECT_EQ(0, vm_check_cap(self->vm, KVM_CAP_NESTED_STATE));
	private_boot_vm(self->vm, 1, guest_code, &self->vcpu);
	vcpu_get_cpuid_entry(self->vcpu, 1)->ecx |= BIT(5);
	if (host_cpu_is_amd_compatible)
		vcpu_get_cpuid_entry(self->vcpu, 0x80000001)->ecx |= BIT(2);
	if (!__vcpu_set_cpuid(self->vcpu))
		vcpu_get_cpuid(self->vcpu);

	vcpu_sregs_get(self->vcpu, &sregs);
	if (host_cpu_is_amd_compatible)
		sregs.efer |= EFER_SVME;
	else
		sregs.cr4 |= X86_CR4_VMXE;
	EXPECT_NE(0, _vcpu_sregs_set(self->vcpu, &sregs));
}

/* There is one address space, so there is no SMM. */
TEST_F(select, smm)
{
	struct kvm_vcpu_events events;

	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	EXPECT_EQ(0, vm_check_cap(self->vm, KVM_CAP_X86_SMM));
	EXPECT_EQ(1, max(1, vm_check_cap(self->vm,
					 KVM_CAP_MULTI_ADDRESS_SPACE)));
	EXPECT_REFUSED(EINVAL, __vm_set_user_memory_region(self->vm, 1 << 16, 0,
							   TEST_GPA, PAGE_SIZE,
							   (void *)(1UL << 30)));
	private_boot_vm(self->vm, 1, guest_code, &self->vcpu);
	EXPECT_NE(0, __vcpu_ioctl(self->vcpu, KVM_SMI, NULL));

	vcpu_events_get(self->vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	events.smi.smm = 1;
	EXPECT_NE(0, __vcpu_ioctl(self->vcpu, KVM_SET_VCPU_EVENTS, &events));
	run_until_sync(self->vcpu);
}

/* An interrupt by which a guest asks for SMM does not bring it there. */
static void guest_send_smi(void)
{
	x2apic_enable();
	x2apic_write_reg(APIC_ICR, APIC_DEST_SELF | APIC_INT_ASSERT |
				   APIC_DM_SMI);
	GUEST_SYNC(0);
}

TEST_F(select, smi_by_apic)
{
	struct kvm_vcpu_events events;

	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	private_boot_vm(self->vm, 1, guest_send_smi, &self->vcpu);
	run_until_sync(self->vcpu);
	vcpu_events_get(self->vcpu, &events);
	EXPECT_EQ(0, events.smi.smm);
	EXPECT_EQ(0, events.smi.pending);
}

/* A slot can't reach the shared bit: a gfn would mean two things. */
TEST_F(select, slot_beyond_the_bit)
{
	void *mem = kvm_mmap(2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1);
	u64 end;

	self->vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	end = BIT_ULL(private_shared_bit(self->vm));
	EXPECT_REFUSED(EINVAL, __vm_set_user_memory_region(self->vm, TEST_SLOT,
							   0, end, PAGE_SIZE,
							   mem));
	EXPECT_REFUSED(EINVAL, __vm_set_user_memory_region(self->vm, TEST_SLOT,
							   0, end - PAGE_SIZE,
							   2 * PAGE_SIZE, mem));
	EXPECT_EQ(0, __vm_set_user_memory_region(self->vm, TEST_SLOT, 0,
						 end - PAGE_SIZE, PAGE_SIZE,
						 mem));
	kvm_munmap(mem, 2 * PAGE_SIZE);
}

/* Only memory of this type can be both mapped by the host and private. */
TEST_F(select, guest_memfd_flags)
{
	const u64 both = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	int fd;

	self->vm = create();
	EXPECT_EQ(both, vm_check_cap(self->vm, KVM_CAP_GUEST_MEMFD_FLAGS) &
			both);
	fd = __vm_create_guest_memfd(self->vm, SZ_2M, both);
	EXPECT_LE(0, fd);
	close(fd);
	kvm_vm_free(self->vm);

	self->vm = NULL;
	if (!(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM)))
		return;
	self->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	EXPECT_REFUSED(EINVAL, __vm_create_guest_memfd(self->vm, SZ_2M, both));
}

int main(int argc, char *argv[])
{
	private_require();
	keep_file(KVM_PARAM("mmu"));
	return test_harness_run(argc, argv);
}
