// SPDX-License-Identifier: GPL-2.0
/*
 * Batches: what is stale, and the one order in which it goes: unlink,
 * invalidate, reclaim.
 *
 * Everything that change.h finds stale is a range of gfns here, and every
 * unlinked table is on a list.  The list is freed only behind the invalidation
 * of the range, in pgt_batch_settle().
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "change.h"

void pgt_mmu_init(struct pgt_mmu *mmu, rwlock_t *lock, u64 max_gfn,
		  u64 nonpresent, const struct pgt_counters *counters)
{
	mmu->lock = lock;
	mmu->max_gfn = max_gfn;
	mmu->nonpresent = nonpresent;
	INIT_LIST_HEAD(&mmu->roots);
	spin_lock_init(&mmu->roots_lock);
	mmu->root_nr = 0;
	INIT_LIST_HEAD(&mmu->open);
	mmu->counters = *counters;
}

/*
 * Open batches.  The list is changed exclusively, so whoever holds the lock
 * shared sees each batch that unlinked anything under an earlier hold: it was
 * put on the list before its first unlink, and it is taken off after its
 * invalidation.
 */
void pgt_batch_open(struct pgt_batch *batch, struct pgt_open *open, u64 start,
		    u64 end)
{
	lockdep_assert_held_write(batch->mmu->lock);
	open->batch = batch;
	open->start = start;
	open->end = end;
	list_add(&open->link, &batch->mmu->open);
	batch->open = open;
}

/* A batch other than @but that may have left something stale in a range. */
bool pgt_find_open(struct pgt_mmu *mmu, const struct pgt_batch *but, u64 start,
		   u64 end)
{
	const struct pgt_open *open;

	/* A huge leaf that went reaches beyond what was asked for. */
	list_for_each_entry(open, &mmu->open, link)
		if (open->batch != but &&
		    start < max(open->end, open->batch->stale_end) &&
		    end > min(open->start, open->batch->stale_start))
			return true;
	return false;
}

/*
 * The entry that linked a table stays frozen until the invalidation, so that
 * nobody installs anything there.  The table, which waits for the same, keeps
 * where it is.
 */
void pgt_batch_freeze(struct pgt_batch *batch, u64 *table,
		      const struct pgt_pos *pos)
{
	virt_to_ptdesc(table)->pt_index = (unsigned long)pos->entry;
	if (!batch->nr_frozen++)
		batch->frozen_steps = 0;
}

static noinline void pgt_batch_thaw(struct pgt_batch *batch)
{
	struct pgt_pos pos = { };
	struct ptdesc *pt;

	list_for_each_entry(pt, &batch->unlinked, pt_list) {
		pos.entry = (u64 *)(unsigned long)pt->pt_index;
		if (!pos.entry)
			continue;
		/*
		 * Everybody leaves a frozen entry alone but for unlinking its
		 * table, and who does that waits for us (pgt_unlink_table()).
		 * Neither value is present: there is nothing to count, and to
		 * trace there was when the entry was frozen.
		 */
		pgt_change(NULL, NULL, &pos, batch->mmu->nonpresent, PGT_FILL);
		pt->pt_index = 0;
	}
	batch->nr_frozen = 0;
}

static void pgt_batch_forget(struct pgt_batch *batch)
{
	batch->stale_start = ~0ULL;
	batch->stale_end = 0;
}

/*
 * Bring a batch to where the lock may be dropped: nothing stale, nothing
 * frozen, nothing to reclaim.
 */
void pgt_batch_settle(struct pgt_batch *batch)
{
	/* No CPU can reach an invalidated root, see pgt_env_obsolete(). */
	if (batch->stale_start < batch->stale_end && !batch->obsolete)
		pgt_env_flush(batch->mmu, batch->stale_start,
			      batch->stale_end);
	pgt_batch_forget(batch);
	if (unlikely(batch->nr_frozen))
		pgt_batch_thaw(batch);
	if (unlikely(!list_empty(&batch->unlinked)))
		pgt_tables_free_rcu(&batch->unlinked);
	pgt_batch_add_up(batch);
}

void pgt_batch_end_slow(struct pgt_batch *batch)
{
	pgt_batch_settle(batch);
	if (batch->open) {
		lockdep_assert_held_write(batch->mmu->lock);
		list_del(&batch->open->link);
		batch->open = NULL;
	}
}

bool pgt_batch_defer(struct pgt_batch *batch)
{
	bool stale = batch->stale_start < batch->stale_end;

	if (!list_empty(&batch->unlinked) || batch->open || batch->obsolete) {
		pgt_batch_end(batch);
		return false;
	}
	pgt_batch_assert(batch);
	pgt_batch_forget(batch);
	pgt_batch_add_up(batch);
	return stale;
}

/* Let others have the lock; called outside of RCU. */
void pgt_batch_yield(struct pgt_batch *batch)
{
	/* An open batch is on the list, and keeps what is stale. */
	if (batch->open)
		pgt_batch_add_up(batch);
	else
		pgt_batch_settle(batch);
	if (batch->mode == PGT_EXCLUSIVE)
		cond_resched_rwlock_write(batch->mmu->lock);
	else
		cond_resched_rwlock_read(batch->mmu->lock);
}

/*
 * What is frozen must not be so for longer.  The invalidation ends the hold of
 * the lock, even if nobody waits for that, so that there is one for each.
 * Called outside of RCU.
 */
void pgt_batch_relieve(struct pgt_batch *batch)
{
	rwlock_t *lock = batch->mmu->lock;

	pgt_batch_settle(batch);
	if (!batch->may_yield)
		return;
	if (batch->mode == PGT_EXCLUSIVE) {
		write_unlock(lock);
		cond_resched();
		write_lock(lock);
	} else {
		read_unlock(lock);
		cond_resched();
		read_lock(lock);
	}
}

/* Whether an operation that has come to another gfn should yield there. */
bool pgt_batch_should_yield(const struct pgt_batch *batch)
{
	return batch->may_yield &&
	       (need_resched() || rwlock_needbreak(batch->mmu->lock));
}

/*
 * An entry is frozen by somebody else, who holds the lock shared as we do and
 * will not wait for anything of ours, provided that we keep nothing frozen.
 */
void pgt_batch_wait(struct pgt_batch *batch)
{
	if (batch->nr_frozen)
		pgt_batch_settle(batch);
	cpu_relax();
}
