/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Walking the entries of a root in the order of their gfns, links before what
 * is below them.
 *
 * A walk reads each entry once and never writes.  It holds no lock of its own:
 * the caller is in an RCU read-side section, which keeps every table that it can
 * come to from being freed, though not from being unlinked.  What is found in an
 * unlinked table is frozen or about to be, and an exchange there fails.
 */
#ifndef ALTMMU_PGT_WALK_H
#define ALTMMU_PGT_WALK_H

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>

#include "change.h"

/* The entry for @gfn in a table whose entries are of @level. */
static __always_inline void pgt_pos_in(struct pgt_pos *pos, u64 *table, u64 gfn,
				       int level)
{
	pos->level = level;
	pos->entry = table + pgt_index(gfn, level);
	pos->gfn = pgt_base(gfn, level);
	pos->old = READ_ONCE(*pos->entry);
}

/*
 * Follow links towards @gfn, down to @level or to the first entry that is none.
 * Pairs with the exchange in pgt_change(), by address dependency.
 */
static __always_inline void pgt_pos_dive(struct pgt_pos *pos,
					 const struct pgt_format *fmt, u64 gfn,
					 int level)
{
	/* As pgt_is_table(): no level that is above another one is 1. */
	while (pos->level > level &&
	       (pos->old & (PGT_PRESENT | PGT_HUGE)) == PGT_PRESENT) {
		pos->level--;
		pos->entry = pgt_table_of(fmt, pos->old) +
			     pgt_index(gfn, pos->level);
		pos->old = READ_ONCE(*pos->entry);
	}
	pos->gfn = pgt_base(gfn, pos->level);
}

/*
 * The last entry on the way to @gfn, at @level at the lowest; false if the
 * engine has none.
 */
static __always_inline bool pgt_pos_find(struct pgt_pos *pos,
					 const struct pgt_root *root, u64 gfn,
					 int level)
{
	if (gfn < root->foreign_end || gfn >= root->end ||
	    gfn >= root->mmu->max_gfn)
		return false;
	pgt_pos_in(pos, root->table, gfn, root->levels);
	pgt_pos_dive(pos, root->fmt, gfn, level);
	return true;
}

/* Entries between two looks at whether somebody waits for the lock. */
#ifdef CONFIG_KVM_PROVE_MMU
#define PGT_WALK_STEPS		1
#else
#define PGT_WALK_STEPS		64
#endif

/**
 * struct pgt_walk - a walk in progress
 * @pos:	the entry that the walk is at
 * @fmt:	its format
 * @root:	the root walked
 * @gfn:	where in the range the walk is; @pos.gfn may be lower
 * @end:	end of the range
 * @rested:	the gfn at which the walk last let others have the lock
 * @steps:	entries until the next look at whether somebody waits
 * @floor:	the walk doesn't go below this level
 * @again:	go to @gfn from the root instead of going on
 * @table:	the tables on the way, by level
 */
struct pgt_walk {
	struct pgt_pos pos;
	const struct pgt_format *fmt;
	struct pgt_root *root;
	u64 gfn;
	u64 end;
	u64 rested;
	int steps;
	int floor;
	bool again;
	u64 *table[PGT_MAX_LEVEL + 1];
};

/* Come to the entry for the walk's gfn in its table at @level. */
static __always_inline void pgt_walk_to(struct pgt_walk *w, int level)
{
	pgt_pos_in(&w->pos, w->table[level], w->gfn, level);
}

/* Follow the link that the walk is at. */
static __always_inline void pgt_walk_down(struct pgt_walk *w)
{
	int level = w->pos.level - 1;

	/* Pairs with the exchange in pgt_change(), by address dependency. */
	w->table[level] = pgt_table_of(w->fmt, w->pos.old);
	pgt_walk_to(w, level);
}

/* Gfns of @root that the engine may look at, of those in @range. */
static inline void pgt_clip(const struct pgt_root *root,
			    const struct pgt_range *range, u64 *start, u64 *end)
{
	*start = max(range->start, root->foreign_end);
	*end = min3(range->end, root->end, root->mmu->max_gfn);
}

static __always_inline void pgt_walk_start(struct pgt_walk *w,
					   struct pgt_root *root,
					   const struct pgt_range *range,
					   int floor)
{
	w->fmt = root->fmt;
	w->root = root;
	w->floor = floor;
	w->steps = PGT_WALK_STEPS;
	w->again = false;
	pgt_clip(root, range, &w->gfn, &w->end);
	w->rested = w->gfn;
	w->table[root->levels] = root->table;
	if (w->gfn < w->end)
		pgt_walk_to(w, root->levels);
}

/* The next step is to go to the same gfn again, from the root. */
static inline void pgt_walk_again(struct pgt_walk *w)
{
	w->again = true;
}

static __always_inline void pgt_walk_next(struct pgt_walk *w)
{
	int level = w->pos.level;

	if (unlikely(w->again)) {
		w->again = false;
		pgt_walk_to(w, w->root->levels);
		return;
	}
	if (level > w->floor && pgt_is_table(w->pos.old, level)) {
		pgt_walk_down(w);
		return;
	}
	w->gfn = w->pos.gfn + pgt_pages(level);
	if (w->gfn >= w->end)
		return;
	if (likely(pgt_index(w->gfn, level))) {
		w->pos.entry++;
		w->pos.gfn = w->gfn;
		w->pos.old = READ_ONCE(*w->pos.entry);
		return;
	}
	/* The range ends before the top table does, so this ends. */
	do {
		level++;
	} while (!pgt_index(w->gfn, level));
	pgt_walk_to(w, level);
}

/*
 * The loop ends with w->gfn >= w->end.  The body may call pgt_walk_again(), or
 * write w->pos.old to have a link followed that it has made.
 */
#define pgt_for_each(w, root, range, floor)				\
	for (pgt_walk_start(w, root, range, floor); (w)->gfn < (w)->end;\
	     pgt_walk_next(w))

/*
 * Whether the root belongs to whoever empties it.  That happens under the shared
 * lock too and reckons with nobody else who changes entries; and nothing need be
 * done where no CPU can come.  The state changes exclusively only, so it is
 * enough to look when the lock was taken.
 */
static inline bool pgt_root_is_left(const struct pgt_batch *batch,
				    const struct pgt_root *root)
{
	return batch->mode == PGT_SHARED && !batch->obsolete &&
	       READ_ONCE(root->state) != PGT_ROOT_VALID;
}

/*
 * The lock is back: the walk starts again at the same gfn.  If the root was
 * invalidated meanwhile it ends.
 */
static inline void pgt_walk_resume(struct pgt_walk *w, struct pgt_batch *batch)
{
	pgt_batch_meet_open(batch, w->gfn, w->end);
	if (pgt_root_is_left(batch, w->root))
		w->end = w->gfn;
	w->rested = w->gfn;
	pgt_walk_again(w);
}

/*
 * Let others have the lock from time to time.  True if that happened: the walk
 * then starts again at the same gfn, and the body must not use what it saw.
 * Nothing is given up before a step was made, so that every walk ends.
 */
static __always_inline bool pgt_walk_rest(struct pgt_walk *w,
					  struct pgt_batch *batch)
{
	if (likely(--w->steps))
		return false;
	w->steps = PGT_WALK_STEPS;
	if (w->gfn == w->rested || !pgt_batch_should_yield(batch))
		return false;
	rcu_read_unlock();
	pgt_batch_yield(batch);
	rcu_read_lock();
	pgt_walk_resume(w, batch);
	return true;
}

/*
 * In a walk that freezes entries, before the next: settle if there are enough, or
 * the first was frozen long ago.  True if so, as from pgt_walk_rest().
 */
static inline bool pgt_walk_relieve(struct pgt_walk *w, struct pgt_batch *batch)
{
	if (likely(!batch->nr_frozen))
		return false;
	if (batch->nr_frozen < PGT_BATCH_FROZEN &&
	    ++batch->frozen_steps < PGT_BATCH_FROZEN_STEPS)
		return false;
	rcu_read_unlock();
	pgt_batch_relieve(batch);
	rcu_read_lock();
	pgt_walk_resume(w, batch);
	return true;
}

/* An entry that somebody is about to change: wait, then look again. */
static inline bool pgt_walk_frozen(struct pgt_walk *w, struct pgt_batch *batch)
{
	if (likely(!pgt_is_frozen(w->fmt, w->pos.old)))
		return false;
	pgt_batch_wait(batch);
	pgt_walk_again(w);
	return true;
}

/*
 * Entries that one call under RCU looks at, after which the caller may let go of
 * it.  More than lead to any gfn, so that every call gets on.
 */
#define PGT_RCU_STEPS		4096

static inline void pgt_assert_rcu(void)
{
	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "not in an RCU section");
}

/*
 * Around every operation over a range that takes a batch.  Where there is
 * nothing to do for it, nothing is left of the range.
 */
static inline void pgt_enter(struct pgt_batch *batch,
			     const struct pgt_root *root,
			     struct pgt_range *range)
{
	u64 start, end;

	pgt_batch_assert(batch);
	pgt_clip(root, range, &start, &end);
	pgt_batch_meet_open(batch, start, end);
	if (pgt_root_is_left(batch, root))
		range->start = range->end;
	rcu_read_lock();
}

static inline void pgt_leave(struct pgt_range *range)
{
	rcu_read_unlock();
	range->start = range->end;
}

/*
 * Whether a fault at @gfn may map what is between @start and @end.
 * The state of the root and the open batches change exclusively only, so they
 * stay as they are while we hold the lock.  A new leaf under an open batch could
 * be another page than the one that some TLB still has for the gfn.
 */
static __always_inline int pgt_map_allowed(const struct pgt_batch *batch,
					   const struct pgt_root *root,
					   u64 gfn, u64 start, u64 end)
{
	pgt_batch_assert(batch);
	/* The last gfn, for the end of the highest leaf of all rolls over. */
	if (unlikely(gfn < root->foreign_end || end - 1 >= root->end ||
		     end - 1 >= root->mmu->max_gfn))
		return -ERANGE;
	if (unlikely(READ_ONCE(root->state) != PGT_ROOT_VALID ||
		     pgt_is_open(root->mmu, start, end)))
		return -EAGAIN;
	return 0;
}

/* map.c */
int pgt_link_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		   struct pgt_pos *pos, u64 link_bits, struct pgt_cache *cache);

#endif /* ALTMMU_PGT_WALK_H */
