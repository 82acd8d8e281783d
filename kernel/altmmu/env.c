// SPDX-License-Identifier: GPL-2.0
/*
 * What the engine asks of KVM (pgt/env.h).
 */
#include "glue.h"
#include "pgt/env.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void pgt_env_flush(struct pgt_mmu *mmu, u64 start, u64 end)
{
	struct kvm *kvm = altmmu_kvm(mmu);

	trace_altmmu_flush(kvm, start, end);
	kvm_flush_remote_tlbs_range(kvm, start, end - start);
}

/*
 * The request waits until no vCPU is in the guest with such a root.  Before it
 * goes in again it drops the root, and flushes when it has loaded another.
 */
void pgt_env_obsolete(struct pgt_mmu *mmu)
{
	struct kvm *kvm = altmmu_kvm(mmu);

	trace_altmmu_obsolete(kvm);
	kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
}

static struct kvm_memory_slot *altmmu_slot(struct pgt_root *root, gfn_t gfn)
{
	struct kvm *kvm = altmmu_kvm(root->mmu);

	return __gfn_to_memslot(__kvm_memslots(kvm, root->space), gfn);
}

void pgt_env_log_dirty(struct pgt_root *root, u64 gfn)
{
	struct kvm *kvm = altmmu_kvm(root->mmu);

	gfn = altmmu_slot_gfn(kvm, gfn);
	mark_page_dirty_in_slot(kvm, altmmu_slot(root, gfn), gfn);
}

int pgt_env_max_level(struct pgt_root *root, u64 gfn, u64 pfn)
{
	struct kvm *kvm = altmmu_kvm(root->mmu);
	struct kvm_memory_slot *slot;
	gfn_t start, end;
	int level;

	gfn = altmmu_slot_gfn(kvm, gfn);
	slot = altmmu_slot(root, gfn);

	/* Where there is a guest_memfd only a fault knows a page's order. */
	if (!slot || kvm_slot_has_gmem(slot))
		return PG_LEVEL_4K;
	level = kvm_mmu_max_mapping_level(kvm, NULL, slot, gfn);
	/* What the host is about to take back must not be mapped. */
	start = gfn_round_for_level(gfn, level);
	end = start + KVM_PAGES_PER_HPAGE(level);
	if (altmmu_is_invalidating(kvm, start, end))
		return PG_LEVEL_4K;
	return level;
}

void pgt_env_trace_change(u64 gfn, int level, u64 old, u64 new)
{
	trace_altmmu_change(gfn, level, old, new);
}

void pgt_env_account_table(void *table, int nr)
{
	kvm_account_pgtable_pages(table, nr);
}
