/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A fixture whose tests run on both MMUs.
 *
 * KVM's own is the control: what fails there too is wrong with the test or with
 * the machine.  Tests leave their VM in self->vm.
 */
#ifndef SELFTEST_KVM_ALTMMU_FIXTURE_H
#define SELFTEST_KVM_ALTMMU_FIXTURE_H

#include "kselftest_harness.h"
#include "altmmu.h"

FIXTURE(mmu) {
	struct kvm_vm *vm;
};

FIXTURE_VARIANT(mmu) {
	u64 mmu;
};

FIXTURE_VARIANT_ADD(mmu, kvm) {
	.mmu = KVM_X86_MMU_KVM,
};

FIXTURE_VARIANT_ADD(mmu, altmmu) {
	.mmu = KVM_X86_MMU_ALTMMU,
};

FIXTURE_SETUP(mmu)
{
}

FIXTURE_TEARDOWN(mmu)
{
	kvm_vm_free(self->vm);
}

#endif /* SELFTEST_KVM_ALTMMU_FIXTURE_H */
