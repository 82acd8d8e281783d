// SPDX-License-Identifier: GPL-2.0
/*
 * Faults where no memslot is.  The entry that remembers it spares the next such
 * fault the look at the memslots; the access is emulated either way.
 */
#include "glue.h"
#include "mmu/mmutrace.h"
#include "x86.h"

int altmmu_map_mmio(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
		    struct pgt_root *root)
{
	u64 gen = kvm_vcpu_memslots(vcpu)->generation;
	struct pgt_batch batch;
	int r;

	pgt_batch_begin(&batch, root->mmu, PGT_SHARED, false);
	r = pgt_map_mmio(&batch, root,
			 altmmu_shared_gfn(vcpu->kvm, fault->gfn), gen, ACC_ALL,
			 &vcpu->arch.altmmu->cache);
	pgt_batch_end(&batch);

	switch (r) {
	case -EAGAIN:
	case -ENOMEM:
	case -EEXIST:
		/* A slot came or goes: the next look will tell. */
		return RET_PF_RETRY;
	case PGT_DONE:
		vcpu->stat.pf_mmio_spte_created++;
		fallthrough;
	default:
		return RET_PF_EMULATE;
	}
}

/* Whether the CPU is right: an entry on the way has a bit that is reserved. */
static bool altmmu_has_reserved(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	u64 entries[PT64_ROOT_MAX_LEVEL + 1];
	int level, last;

	last = altmmu_walk(vcpu, gpa, entries, &level);
	for (; last >= 0 && level >= last; level--) {
		if (!pgt_is_present(entries[level]) ||
		    !is_rsvd_spte(&vcpu->arch.mmu->fmt,
				  entries[level], level))
			continue;
		WARN_ONCE(1, "altmmu: reserved bits: gpa 0x%llx, entry 0x%llx at level %d\n",
			  gpa, entries[level], level);
		return true;
	}
	return false;
}

/**
 * altmmu_mmio_fault() - look up a fault that an MMIO entry may have caused
 * @vcpu:	current
 * @gpa:	the address
 *
 * Context: SRCU.
 * Return: RET_PF_EMULATE; RET_PF_INVALID if the entry is out of date;
 * RET_PF_RETRY if it is gone; -EINVAL if there is what should never be.
 */
int altmmu_mmio_fault(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	struct pgt_root *root = altmmu_vcpu_root(vcpu);
	gfn_t gfn = gpa_to_gfn(gpa);
	u64 access;
	int r;

	rcu_read_lock();
	r = pgt_lookup_mmio(root, gfn, kvm_vcpu_memslots(vcpu)->generation,
			    &access);
	rcu_read_unlock();
	switch (r) {
	case 0:
		gfn = altmmu_slot_gfn(vcpu->kvm, gfn);
		trace_handle_mmio_page_fault(0, gfn, access);
		vcpu_cache_mmio_info(vcpu, 0, gfn, access);
		return RET_PF_EMULATE;
	case -ESTALE:
		return RET_PF_INVALID;
	default:
		return altmmu_has_reserved(vcpu, gpa) ? -EINVAL : RET_PF_RETRY;
	}
}

/**
 * altmmu_expire_mmio() - forget what was MMIO in any generation
 * @kvm:	the VM, whose memslot generation has just wrapped around
 *
 * Context: slots_lock; takes the MMU lock shared.
 */
void altmmu_expire_mmio(struct kvm *kvm)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&kvm->mmu_lock);
	pgt_batch_begin(&batch, mmu, PGT_SHARED, true);
	pgt_for_each_root(mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range all = { .end = ~0ULL };

		pgt_expire_mmio(&batch, root, &all, PGT_GEN_IN_PROGRESS);
	}
	pgt_batch_end(&batch);
	read_unlock(&kvm->mmu_lock);
}
