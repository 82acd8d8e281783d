// SPDX-License-Identifier: GPL-2.0
/*
 * What the host asks for: pages that it takes back, and whether pages are used.
 */
#include "glue.h"
#include "trace.h"

/*
 * Unmap leaves in every root of an address space, those being emptied too.  In a
 * VM with a mirror this is the shared half.
 */
static bool altmmu_zap_range(struct kvm *kvm, int space, gfn_t start, gfn_t end,
			     bool may_yield)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	pgt_batch_begin(&batch, mmu, PGT_EXCLUSIVE, may_yield);
	pgt_for_each_root(mmu, root, space, PGT_ALL_ROOTS) {
		struct pgt_range range = altmmu_shared_range(kvm, start, end);

		pgt_zap_leaves(&batch, root, &range);
	}
	if (!may_yield)
		return pgt_batch_defer(&batch);
	/*
	 * No flush may be owed when the lock is dropped: who finds no leaf then
	 * takes the page for unused.  A caller who lets us yield may unmap another
	 * part of memory next, where we yield again.
	 */
	pgt_batch_end(&batch);
	return false;
}

/**
 * altmmu_unmap_gfn_range() - unmap a part of a memslot
 * @kvm:	the VM
 * @range:	which
 *
 * Context: exclusive; drops the lock on its way if @range may block.
 * Return: true if the caller has to flush before it drops the lock, which is only
 * if @range may not block.
 */
bool altmmu_unmap_gfn_range(struct kvm *kvm, struct kvm_gfn_range *range)
{
	bool mirrored = altmmu_has_mirror(kvm);
	bool private = mirrored && range->attr_filter & KVM_FILTER_PRIVATE;
	bool flush = false;

	trace_altmmu_unmap(kvm, range->start, range->end);
	/*
	 * It may let go of the lock, and sleep: whoever asks for private pages
	 * may block, for the host's MMU has none of them.
	 */
	if (private)
		altmmu_zap_private(kvm, range->start, range->end);
	if (!mirrored || range->attr_filter & KVM_FILTER_SHARED)
		flush = altmmu_zap_range(kvm, range->slot->as_id, range->start,
					 range->end, range->may_block);
	/* Conversions, holes and memslots that go; not all that the host does. */
	if (private)
		altmmu_prove_locked(kvm);
	return flush;
}

/**
 * altmmu_zap_gfn_range() - unmap gfns of every address space
 * @kvm:	the VM; what it has mirrored stays
 * @start:	first gfn
 * @end:	end of the gfns
 *
 * No flush is owed when it returns.
 *
 * Context: exclusive; drops the lock on its way.
 */
void altmmu_zap_gfn_range(struct kvm *kvm, gfn_t start, gfn_t end)
{
	trace_altmmu_unmap(kvm, start, end);
	altmmu_zap_range(kvm, PGT_ANY_SPACE, start, end, true);
}

static bool altmmu_age(struct kvm *kvm, struct kvm_gfn_range *range, bool test)
{
	struct pgt_range r = altmmu_shared_range(kvm, range->start, range->end);

	return pgt_age_roots(&kvm->arch.altmmu->mmu, range->slot->as_id, &r,
			     test);
}

/* Context: none, the lock may be held. */
bool altmmu_age_gfn(struct kvm *kvm, struct kvm_gfn_range *range)
{
	return altmmu_age(kvm, range, false);
}

bool altmmu_test_age_gfn(struct kvm *kvm, struct kvm_gfn_range *range)
{
	return altmmu_age(kvm, range, true);
}
