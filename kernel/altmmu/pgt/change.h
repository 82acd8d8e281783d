/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one function that changes an entry.
 *
 * Whoever wants an entry changed says what it was found to hold and what it
 * shall hold.  That the change is atomic, counted, traced, and that whatever a
 * CPU may have cached is noted as stale in the batch, is seen to here and
 * nowhere else.  Inline, because every caller knows which way it wants: what is
 * left of it is a few instructions around the exchange.
 */
#ifndef ALTMMU_PGT_CHANGE_H
#define ALTMMU_PGT_CHANGE_H

#include "internal.h"

enum pgt_how {
	PGT_REPLACE,	/* if it still holds pos->old */
	PGT_REFINE,	/* the same, by a table of the very same translations */
	PGT_TRIM,	/* the same, by a leaf of fewer bits, untracked */
	PGT_TAKE,	/* whatever it holds */
	PGT_STRIP,	/* the same, in a table that is stale since unlinked */
	PGT_FILL,	/* neither a CPU nor a lock-free path may change it */
};

static __always_inline void pgt_count(struct pgt_batch *batch,
				      const struct pgt_format *fmt, u64 entry,
				      int level, int nr)
{
	if (!pgt_is_present(entry))
		return;
	if (pgt_is_leaf(entry, level)) {
		pgt_batch_count(batch, level, nr);
	} else {
		pgt_batch_count(batch, 0, nr);
		if (entry & fmt->nx_disallowed)
			atomic_long_add(nr, batch->mmu->counters.nx_tables);
		pgt_env_account_table(pgt_table_of(fmt, entry), nr);
	}
}

/*
 * Whether a CPU that has cached @old must be told.  Everything present counts as
 * cached.  So does what an access-tracked leaf allowed before: aging does not
 * flush.  An accessed bit that is cleared does not matter, see pgt_age(); a
 * dirty bit does, or the CPU would not set it again.
 */
static __always_inline bool pgt_is_cut(const struct pgt_format *fmt, u64 old,
				       u64 new)
{
	if (!pgt_is_present(old))
		return false;
	if (unlikely(pgt_is_tracked(fmt, old)))
		old = pgt_untrack(fmt, old);
	return (old & ~new & fmt->lose) | (new & ~old & fmt->nx) |
	       ((old ^ new) & fmt->same);
}

/**
 * pgt_change() - change one entry
 * @batch:	counts the change and notes what gets stale; NULL where presence
 *		does not change and nobody waits for an invalidation (RCU only),
 *		or where the table is not linked yet
 * @fmt:	format of the entry
 * @pos:	the entry, and what it was found to hold
 * @new:	what it shall hold
 * @how:	in which way
 *
 * A present entry may change under our hands: the CPU sets accessed and dirty
 * bits, also in a table that is unlinked already, through an upper entry that it
 * has cached; pgt_fix() and pgt_age() run under RCU alone.  So the exchange is
 * atomic and compares, or takes what it finds.
 *
 * Ordering: both exchanges are full barriers, so what was written to a new table
 * before it is linked here is visible to whoever reads the link; readers follow
 * it by address dependency (READ_ONCE() in walk.h).  PGT_FILL orders nothing,
 * on x86 it is a release all the same.
 *
 * Return: true if the entry holds @new now; @pos->old is what it held.  false
 * if it held something else than @pos->old; @pos->old is what it holds.
 */
static __always_inline bool pgt_change(struct pgt_batch *batch,
				       const struct pgt_format *fmt,
				       struct pgt_pos *pos, u64 new,
				       enum pgt_how how)
{
	u64 old = pos->old;
	u64 seen = old;

	switch (how) {
	case PGT_REPLACE:
	case PGT_REFINE:
	case PGT_TRIM:
		if (unlikely(!try_cmpxchg64(pos->entry, &seen, new))) {
			pos->old = seen;
			return false;
		}
		break;
	case PGT_TAKE:
	case PGT_STRIP:
		old = xchg(pos->entry, new);
		pos->old = old;
		break;
	case PGT_FILL:
		WRITE_ONCE(*pos->entry, new);
		break;
	}

	/* Of level 0 are entries that nobody knows the place of (batch.c). */
	if (pgt_env_trace_change_enabled() && pos->level)
		pgt_env_trace_change(pos->gfn, pos->level, old, new);
	if (!batch)
		return true;
	if (how != PGT_TRIM && (old ^ new) & (PGT_PRESENT | PGT_HUGE)) {
		pgt_count(batch, fmt, old, pos->level, -1);
		pgt_count(batch, fmt, new, pos->level, 1);
	}
	if (how == PGT_REFINE || how == PGT_STRIP)
		return true;
	if (how == PGT_TRIM ? old & ~new & fmt->lose :
			      pgt_is_cut(fmt, old, new))
		pgt_batch_stale(batch, pos->gfn,
				pos->gfn + pgt_pages(pos->level));
	return true;
}

#endif /* ALTMMU_PGT_CHANGE_H */
