// SPDX-License-Identifier: GPL-2.0
/*
 * The two address spaces of a VM: a guest in system management mode has memslots of
 * its own.  Here each space has a page at the same GPA, and what befalls one of them
 * must leave the other alone.
 */
#include "kselftest_harness.h"
#include "altmmu.h"
#include "smm.h"

#define SMRAM_GPA	SZ_16M
#define COUNT_GPA	SZ_32M

#define NR_SPACES	2
#define SLOT_OF(space)	((space) << 16 | TEST_SLOT)

/* Runs in real mode with segments of 4G, and counts as guest_count() does. */
static const u8 count_in_smm[] = {
	0x66, 0x67, 0xa1, 0x00, 0x00, 0x00, 0x02,	/* mov COUNT_GPA, %eax */
	0x66, 0x40,					/* inc %eax */
	0x66, 0x67, 0xa3, 0x00, 0x00, 0x00, 0x02,	/* mov %eax, COUNT_GPA */
	0x0f, 0xaa,					/* rsm */
};

static_assert(COUNT_GPA == 0x02000000);

FIXTURE(smm) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u32 *count[NR_SPACES];
};

FIXTURE_VARIANT(smm) {
	u64 mmu;
	bool zap_all;
};

FIXTURE_VARIANT_ADD(smm, kvm_zap_all) {
	.mmu = KVM_X86_MMU_KVM,
	.zap_all = true,
};

FIXTURE_VARIANT_ADD(smm, kvm_zap_slot) {
	.mmu = KVM_X86_MMU_KVM,
};

FIXTURE_VARIANT_ADD(smm, altmmu_zap_all) {
	.mmu = KVM_X86_MMU_ALTMMU,
	.zap_all = true,
};

FIXTURE_VARIANT_ADD(smm, altmmu_zap_slot) {
	.mmu = KVM_X86_MMU_ALTMMU,
};

static void guest_count(void)
{
	u32 *count = (u32 *)COUNT_GPA;

	for (;;) {
		WRITE_ONCE(*count, READ_ONCE(*count) + 1);
		GUEST_SYNC(0);
	}
}

static void add_slot(FIXTURE_DATA(smm) * self, u32 space, u32 flags)
{
	vm_set_user_memory_region(self->vm, SLOT_OF(space), flags, COUNT_GPA,
				  PAGE_SIZE, self->count[space]);
}

static void delete_slot(FIXTURE_DATA(smm) * self, u32 space)
{
	vm_set_user_memory_region(self->vm, SLOT_OF(space), 0, COUNT_GPA, 0,
				  self->count[space]);
}

FIXTURE_SETUP(smm)
{
	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	if (!variant->zap_all)
		vm_enable_cap(self->vm, KVM_CAP_DISABLE_QUIRKS2,
			      KVM_X86_QUIRK_SLOT_ZAP_ALL);
	mmu_boot_vm(self->vm, 1, guest_count, &self->vcpu);
	setup_smram(self->vm, self->vcpu, SMRAM_GPA, count_in_smm,
		    sizeof(count_in_smm));
	virt_map(self->vm, COUNT_GPA, COUNT_GPA, 1);
	for (u32 space = 0; space < NR_SPACES; space++) {
		self->count[space] = kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1);
		add_slot(self, space, 0);
	}
}

FIXTURE_TEARDOWN(smm)
{
	kvm_vm_free(self->vm);
	for (u32 space = 0; space < NR_SPACES; space++)
		kvm_munmap(self->count[space], PAGE_SIZE);
}

/* Have the guest count in space 1 and then in space 0. */
static void count_in_both(FIXTURE_DATA(smm) * self)
{
	inject_smi(self->vcpu);
	run_until_sync(self->vcpu);
}

/* The same where one of the spaces has no memory to count in. */
static void count_without(FIXTURE_DATA(smm) * self, u32 space)
{
	struct kvm_run *run = self->vcpu->run;

	inject_smi(self->vcpu);
	for (int write = 0; write <= 1; write++) {
		vcpu_run(self->vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(self->vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(run->mmio.phys_addr, COUNT_GPA);
		TEST_ASSERT_EQ(run->mmio.is_write, write);
		TEST_ASSERT_EQ(!!(run->flags & KVM_RUN_X86_SMM), space);
	}
	run_until_sync(self->vcpu);
}

TEST_F(smm, delete)
{
	for (u32 space = 0; space < NR_SPACES; space++) {
		u32 other = !space;
		u64 before;

		count_in_both(self);
		before = vm_get_stat(self->vm, pages_4k);
		ASSERT_LT(NR_SPACES, before);

		delete_slot(self, space);
		EXPECT_EQ(variant->zap_all ? 0 : before - 1,
			  vm_get_stat(self->vm, pages_4k));
		count_without(self, space);
		EXPECT_EQ(1, self->count[space][0]);
		EXPECT_EQ(2, self->count[other][0]);

		add_slot(self, space, 0);
		count_in_both(self);
		EXPECT_EQ(2, self->count[space][0]);
		EXPECT_EQ(3, self->count[other][0]);

		self->count[space][0] = 0;
		self->count[other][0] = 0;
	}
}

/* The host takes the page of one space. */
TEST_F(smm, unmap)
{
	for (u32 space = 0; space < NR_SPACES; space++) {
		u32 other = !space, before;

		count_in_both(self);
		before = self->count[other][0];
		ASSERT_EQ(0, madvise(self->count[space], PAGE_SIZE,
				     MADV_DONTNEED));
		count_in_both(self);
		EXPECT_EQ(1, self->count[space][0]);
		EXPECT_EQ(before + 1, self->count[other][0]);
	}
}

static bool is_dirty(FIXTURE_DATA(smm) * self, u32 space)
{
	unsigned long log = 0;

	kvm_vm_get_dirty_log(self->vm, SLOT_OF(space), &log);
	return log;
}

/* Each space has its log, and only its writes are in there. */
TEST_F(smm, log)
{
	count_in_both(self);
	for (u32 space = 0; space < NR_SPACES; space++)
		add_slot(self, space, KVM_MEM_LOG_DIRTY_PAGES);

	for (int round = 0; round < 2; round++) {
		count_in_both(self);
		for (u32 space = 0; space < NR_SPACES; space++) {
			EXPECT_TRUE(is_dirty(self, space));
			EXPECT_FALSE(is_dirty(self, space));
		}
		run_until_sync(self->vcpu);
		EXPECT_TRUE(is_dirty(self, 0));
		EXPECT_FALSE(is_dirty(self, 1));
	}
}

/* While one space is logged, the other's memory comes and goes. */
TEST_F(smm, log_one)
{
	for (u32 space = 0; space < NR_SPACES; space++) {
		u32 other = !space;

		count_in_both(self);
		add_slot(self, space, KVM_MEM_LOG_DIRTY_PAGES);
		count_in_both(self);
		EXPECT_TRUE(is_dirty(self, space));
		delete_slot(self, other);
		count_without(self, other);
		EXPECT_TRUE(is_dirty(self, space));
		add_slot(self, other, 0);
		count_in_both(self);
		EXPECT_TRUE(is_dirty(self, space));
		add_slot(self, space, 0);
	}
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_SMM));
	return test_harness_run(argc, argv);
}
