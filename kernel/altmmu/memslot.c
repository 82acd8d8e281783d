// SPDX-License-Identifier: GPL-2.0
/*
 * What memslot updates ask for: dirty logging, write tracking, large pages,
 * dropping everything.
 */
#include "glue.h"
#include "trace.h"

#ifdef CONFIG_KVM_PROVE_MMU
/*
 * Look at everything, after an operation that changed much of it.
 *
 * Context: exclusive, as at the end of a hold of the lock.
 */
void altmmu_prove_locked(struct kvm *kvm)
{
	struct pgt_verdict verdict;
	bool ok;

	ok = pgt_validate(&kvm->arch.altmmu->mmu, &verdict);
	if (ok && altmmu_has_mirror(kvm))
		ok = altmmu_validate_private(kvm->arch.altmmu, &verdict);
	WARN_ONCE(!ok, "altmmu: %s: gfn 0x%llx, entry 0x%llx at level %d\n",
		  verdict.what, verdict.gfn, verdict.entry, verdict.level);
}

/* The same where the lock is not held. */
void altmmu_prove(struct kvm *kvm)
{
	write_lock(&kvm->mmu_lock);
	altmmu_prove_locked(kvm);
	write_unlock(&kvm->mmu_lock);
}
#endif

/*
 * Unmap all that roots map, and flush.
 *
 * Context: exclusive.
 */
static void altmmu_zap_roots(struct kvm *kvm)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	pgt_batch_begin(&batch, mmu, PGT_EXCLUSIVE, true);
	pgt_for_each_root(mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range all = { .end = ~0ULL };

		pgt_zap_tables(&batch, root, &all);
	}
	pgt_batch_end(&batch);
}

/**
 * altmmu_invalidate_roots() - make all vCPUs start with empty roots
 * @kvm:	the VM
 *
 * altmmu_empty_roots() has to follow.
 *
 * Context: exclusive, slots_lock.
 */
void altmmu_invalidate_roots(struct kvm *kvm)
{
	/*
	 * The root of a VM with a mirror is where the CPU finds private memory,
	 * which nobody has asked to drop.
	 */
	if (kvm_has_soft_mirror(kvm)) {
		/*
		 * Pending, it makes faults stale that have begun before; also if
		 * they get the lock while the zap yields.
		 */
		kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
		altmmu_zap_roots(kvm);
	} else {
		pgt_roots_invalidate(&kvm->arch.altmmu->mmu, PGT_ANY_SPACE);
	}
}

/**
 * altmmu_empty_roots() - unmap what invalidated roots map
 * @kvm:	the VM
 *
 * Context: slots_lock, so that there is only one; takes the MMU lock shared.
 */
void altmmu_empty_roots(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->slots_lock);
	read_lock(&kvm->mmu_lock);
	pgt_roots_empty(&kvm->arch.altmmu->mmu, PGT_SHARED, true);
	read_unlock(&kvm->mmu_lock);
	altmmu_prove(kvm);
}

/**
 * altmmu_zap_all() - unmap everything at the end of a VM's memory
 * @kvm:	the VM; no vCPU runs any more
 *
 * Somebody may be at emptying invalidated roots, and goes on after us.
 *
 * Context: exclusive.
 */
void altmmu_zap_all(struct kvm *kvm)
{
	altmmu_zap_roots(kvm);
	/* A TD's pages are none of the process's, and its key may be gone. */
	if (kvm_has_soft_mirror(kvm))
		altmmu_zap_private_tables(kvm, 0, kvm_gfn_direct_bits(kvm));
	altmmu_prove_locked(kvm);
}

static struct pgt_range altmmu_slot_range(struct kvm *kvm,
					  const struct kvm_memory_slot *slot)
{
	return altmmu_shared_range(kvm, slot->base_gfn,
				   slot->base_gfn + slot->npages);
}

/*
 * The callers flush when all of a memslot's flags are applied, under the hold of
 * slots_lock that also keeps other updates of dirty state out until then.
 */

/* Context: slots_lock; takes the MMU lock shared. */
void altmmu_wrprot_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
			int min_level)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&kvm->mmu_lock);
	pgt_batch_begin(&batch, mmu, PGT_SHARED, true);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		struct pgt_range range = altmmu_slot_range(kvm, slot);

		pgt_wrprot(&batch, root, &range, min_level, false);
	}
	pgt_batch_defer(&batch);
	read_unlock(&kvm->mmu_lock);
	altmmu_prove(kvm);
}

/* Context: slots_lock; takes the MMU lock shared. */
void altmmu_clear_dirty_slot(struct kvm *kvm,
			     const struct kvm_memory_slot *slot)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&kvm->mmu_lock);
	pgt_batch_begin(&batch, mmu, PGT_SHARED, true);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		struct pgt_range range = altmmu_slot_range(kvm, slot);

		pgt_clear_dirty(&batch, root, &range);
	}
	pgt_batch_defer(&batch);
	read_unlock(&kvm->mmu_lock);
	altmmu_prove(kvm);
}

/*
 * Whoever took the bits from the log comes here after: a fault logs and grants
 * in one hold of the lock, so its page is either protected here or logged anew.
 *
 * Context: exclusive.
 */
void altmmu_clear_dirty_mask(struct kvm *kvm,
			     const struct kvm_memory_slot *slot, gfn_t gfn,
			     unsigned long mask, bool wrprot)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	pgt_batch_begin(&batch, mmu, PGT_EXCLUSIVE, false);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS)
		pgt_clear_dirty_mask(&batch, root, altmmu_shared_gfn(kvm, gfn),
				     mask, wrprot);
	pgt_batch_defer(&batch);
}

/**
 * altmmu_wrprot_gfn() - take write permission from one gfn
 * @kvm:	the VM
 * @slot:	where it is
 * @gfn:	the gfn
 * @min_level:	1: somebody is going to watch its writes; else: huge leaves of
 *		this level and above only, for dirty logging
 *
 * Context: exclusive.
 * Return: true if the caller has to flush before it drops the lock.
 */
bool altmmu_wrprot_gfn(struct kvm *kvm, const struct kvm_memory_slot *slot,
		       gfn_t gfn, int min_level)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	pgt_batch_begin(&batch, mmu, PGT_EXCLUSIVE, false);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		struct pgt_range range = altmmu_shared_range(kvm, gfn, gfn + 1);

		pgt_wrprot(&batch, root, &range, min_level,
			   min_level == PG_LEVEL_4K);
	}
	return pgt_batch_defer(&batch);
}

static void altmmu_lock(struct kvm *kvm, enum pgt_mode mode)
{
	if (mode == PGT_SHARED)
		read_lock(&kvm->mmu_lock);
	else
		write_lock(&kvm->mmu_lock);
}

static void altmmu_unlock(struct kvm *kvm, enum pgt_mode mode)
{
	if (mode == PGT_SHARED)
		read_unlock(&kvm->mmu_lock);
	else
		write_unlock(&kvm->mmu_lock);
}

/*
 * Tables that splitting a range in one root may take: one for each huge leaf
 * that reaches into it, whatever level it has.  As many as KVM allocates at a
 * time are enough, the rest is for the next time.
 */
static unsigned int altmmu_split_tables(const struct pgt_range *range,
					int level)
{
	u64 tables = 0;

	while (++level <= PGT_MAX_LEAF_LEVEL)
		tables += (range->end - 1) / KVM_PAGES_PER_HPAGE(level) -
			  range->start / KVM_PAGES_PER_HPAGE(level) + 1;
	return min(tables, KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE);
}

/* Split in one root, with the lock held; false if memory ran out. */
static bool altmmu_split_root(struct kvm *kvm, struct pgt_root *root,
			      gfn_t start, gfn_t end, int level,
			      enum pgt_mode mode)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;
	struct pgt_range range = altmmu_shared_range(kvm, start, end);
	u8 exec = is_nx_huge_page_enabled(kvm) ? altmmu_exec(root->fmt) : 0;
	struct pgt_batch batch;
	int r;

	for (;;) {
		pgt_batch_begin(&batch, root->mmu, mode, true);
		r = pgt_split(&batch, root, &range, level, exec,
			      &vm->split_cache);
		pgt_batch_end(&batch);
		if (!r)
			return true;
		altmmu_unlock(kvm, mode);
		cond_resched();
		r = pgt_cache_fill(&vm->split_cache,
				   altmmu_split_tables(&range, level), false);
		altmmu_lock(kvm, mode);
		/* Those that are left are split when they are written to. */
		if (r)
			return false;
	}
}

static void altmmu_split(struct kvm *kvm, const struct kvm_memory_slot *slot,
			 gfn_t start, gfn_t end, int level, enum pgt_mode mode)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_root *root;

	lockdep_assert_held(&kvm->slots_lock);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		if (!altmmu_split_root(kvm, root, start, end, level, mode)) {
			pgt_root_put(root);
			break;
		}
	}
}

/**
 * altmmu_split_range() - split huge leaves of pages that are about to be logged
 * @kvm:	the VM
 * @slot:	where
 * @start:	first gfn
 * @end:	end of the gfns; 64 at the most
 * @level:	level to get to
 *
 * Comes once for each word of a bitmap, mostly with nothing to split.  So it has
 * no more tables than the pages can need, and the few that are not used stay in
 * the cache for the next word, instead of being freed with the lock held.
 *
 * Context: exclusive, slots_lock; drops the lock on the way.
 */
void altmmu_split_range(struct kvm *kvm, const struct kvm_memory_slot *slot,
			gfn_t start, gfn_t end, int level)
{
	altmmu_split(kvm, slot, start, end, level, PGT_EXCLUSIVE);
}

/**
 * altmmu_split_slot() - split all huge leaves of a memslot
 * @kvm:	the VM
 * @slot:	where
 * @level:	level to get to
 *
 * Context: slots_lock; takes the MMU lock shared, and drops it on the way.
 */
void altmmu_split_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
		       int level)
{
	read_lock(&kvm->mmu_lock);
	altmmu_split(kvm, slot, slot->base_gfn, slot->base_gfn + slot->npages,
		     level, PGT_SHARED);
	read_unlock(&kvm->mmu_lock);
	pgt_cache_drain(&kvm->arch.altmmu->split_cache);
}

/**
 * altmmu_recover_huge_pages() - map huge again what dirty logging split
 * @kvm:	the VM
 * @slot:	where; logging is off
 *
 * Context: slots_lock; takes the MMU lock shared.
 */
void altmmu_recover_huge_pages(struct kvm *kvm,
			       const struct kvm_memory_slot *slot)
{
	struct pgt_mmu *mmu = &kvm->arch.altmmu->mmu;
	struct pgt_batch batch;
	struct pgt_root *root;

	/* What altmmu_split_range() has left. */
	pgt_cache_drain(&kvm->arch.altmmu->split_cache);

	read_lock(&kvm->mmu_lock);
	pgt_batch_begin(&batch, mmu, PGT_SHARED, true);
	pgt_for_each_root(mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		struct pgt_range range = altmmu_slot_range(kvm, slot);

		pgt_collapse(&batch, root, &range,
			     is_nx_huge_page_enabled(kvm));
	}
	pgt_batch_end(&batch);
	read_unlock(&kvm->mmu_lock);
	altmmu_prove(kvm);
}

/**
 * altmmu_zap_slot() - let go of the private half of a memslot, and its tables
 * @kvm:	the VM
 * @slot:	about to go; nobody maps from it any more
 *
 * The shared half is left to altmmu_unmap_gfn_range().
 *
 * Context: exclusive, slots_lock; drops the lock, and may sleep.
 */
void altmmu_zap_slot(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	if (altmmu_has_mirror(kvm))
		altmmu_zap_private_tables(kvm, slot->base_gfn,
					  slot->base_gfn + slot->npages);
}
