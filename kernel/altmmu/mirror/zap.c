// SPDX-License-Identifier: GPL-2.0
/*
 * Letting go of private pages and tables: block, track, kick, remove.
 *
 * An epoch is one round of it.  All leaves of a range are blocked, and with them
 * the links of tables that earlier rounds have emptied; then there is one track
 * and one kick for all of them; then what is blocked goes.  A blocked entry keeps
 * what it was, so nothing else is remembered: the second half finds what the
 * first has done by walking the same gfns, and finds also what others have
 * blocked there and could not finish because they let go of the lock.
 *
 * All of it runs with the lock held exclusively, so an entry is not frozen: who
 * may look at it otherwise, under RCU, only reads.
 */
#include <linux/errno.h>

#include "internal.h"

/* Whether something was left blocked for so long that it has to be finished. */
static bool mirror_is_late(const struct mirror *mirror)
{
	return mirror->blocked &&
	       mirror->tracks - mirror->oldest >= MIRROR_MAX_AGE;
}

/*
 * Let others have the lock.  Those whom a window keeps out of the guest may wait
 * for it.
 */
static bool mirror_rest(struct mirror *mirror, struct pgt_walk *w,
			struct pgt_batch *batch)
{
	/* As the walk would rest, which asks again if somebody waits. */
	if (unlikely(mirror->window) && w->steps == 1 && w->gfn != w->rested) {
		if (!pgt_batch_should_yield(batch)) {
			w->steps = PGT_WALK_STEPS;
			return false;
		}
		mirror_close_window(mirror);
	}
	return pgt_walk_rest(w, batch);
}

/*
 * The same for a walk that is about to block more: whoever comes back finishes
 * first what has got too old meanwhile.
 */
static bool mirror_rest_blocking(struct mirror *mirror, struct pgt_walk *w,
				 struct pgt_batch *batch)
{
	if (!mirror_rest(mirror, w, batch))
		return false;
	/* The walk goes on from the root. */
	rcu_read_unlock();
	mirror_catch_up(mirror, batch);
	rcu_read_lock();
	return true;
}

static void mirror_range_join(struct pgt_range *all,
			      const struct pgt_range *range)
{
	if (range->start >= range->end)
		return;
	if (all->start >= all->end) {
		*all = *range;
		return;
	}
	all->start = min(all->start, range->start);
	all->end = max(all->end, range->end);
}

/* Block what a present entry leads to. */
int mirror_block(struct mirror *mirror, struct pgt_batch *batch,
		 struct pgt_pos *pos)
{
	struct pgt_range range = { pos->gfn, pos->gfn + pgt_pages(pos->level) };
	struct mirror_provider *p = mirror->provider;
	int ret;

	ret = mirror_insist(mirror, MIRROR_BLOCK, pos->gfn, pos->level,
			    p->ops->block(p, pos->gfn, pos->level));
	if (ret)
		return ret;
	mirror->untracked = true;
	if (!mirror->blocked) {
		mirror->oldest = mirror->tracks;
		mirror->blocked_in = (struct pgt_range){ };
	}
	mirror_range_join(&mirror->blocked_in, &range);
	mirror_publish(mirror, batch, pos,
		       (pos->old & ~PGT_PRESENT) | MIRROR_BLOCKED);
	return 0;
}

/*
 * Make sure that no CPU uses anything that is blocked.  Whoever blocked it: all
 * that is blocked anywhere in the mirror is tracked from then on, until
 * somebody blocks something else.
 *
 * The track and the kick are one section, for the lock is held all the while: a
 * provider refuses the next track as long as a vCPU is inside with the epoch
 * before this one's.
 */
void mirror_track(struct mirror *mirror)
{
	struct mirror_provider *p = mirror->provider;

	mirror_close_window(mirror);
	if (!mirror->untracked)
		return;
	if (!mirror_insist(mirror, MIRROR_TRACK, 0, 0, p->ops->track(p))) {
		atomic_long_inc(&p->kicks);
		mirror_env_kick(mirror);
		mirror->tracks++;
	}
	mirror->untracked = false;
	mirror_close_window(mirror);
}

/* The provider does not let go of a leaf: nobody else must get its memory. */
void mirror_give_up_leaf(struct mirror *mirror, struct pgt_batch *batch,
			 struct pgt_pos *pos)
{
	mirror_env_leak(mirror,
			pgt_leaf_pfn(&mirror->fmt, pos->old, pos->level),
			pos->level);
	mirror_publish(mirror, batch, pos, mirror->fmt.nonpresent);
}

/* The pages below a table that the provider does not let go of, either. */
static void mirror_give_up_table(struct mirror *mirror,
				 struct pgt_batch *batch, u64 *table, u64 gfn,
				 int level)
{
	struct pgt_pos pos = { .entry = table, .gfn = gfn, .level = level };

	for (int i = 0; i < PGT_ENTRIES; i++) {
		u64 was = READ_ONCE(*pos.entry);

		pos.old = was;
		if (mirror_is_blocked(was))
			was = mirror_unblocked(was);
		if (pgt_is_leaf(was, level)) {
			mirror_give_up_leaf(mirror, batch, &pos);
		} else if (pgt_is_table(was, level)) {
			mirror_publish(mirror, batch, &pos,
				       mirror->fmt.nonpresent);
			mirror_give_up_table(mirror, batch,
					     pgt_table_of(&mirror->fmt, was),
					     pos.gfn, level - 1);
		}
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	mirror_link_provided(table, NULL);
	mirror_free_table(table);
}

/* Let go of a blocked leaf that is tracked. */
static void mirror_remove(struct mirror *mirror, struct pgt_batch *batch,
			  struct pgt_pos *pos)
{
	struct mirror_provider *p = mirror->provider;
	u64 pfn = pgt_leaf_pfn(&mirror->fmt, pos->old, pos->level);

	if (mirror_insist(mirror, MIRROR_REMOVE, pos->gfn, pos->level,
			  p->ops->remove(p, pos->gfn, pos->level, pfn)))
		mirror_give_up_leaf(mirror, batch, pos);
	else
		mirror_publish(mirror, batch, pos, mirror->fmt.nonpresent);
}

/* Let go of a table that is empty, whose link is blocked and tracked. */
static void mirror_unlink(struct mirror *mirror, struct pgt_batch *batch,
			  struct pgt_pos *pos)
{
	struct mirror_provider *p = mirror->provider;
	u64 *table = pgt_table_of(&mirror->fmt, pos->old);
	int ret = -EIO;

	/* Only a provider that is broken leaves another one here. */
	if (mirror_table_is_empty(table))
		ret = mirror_insist(mirror, MIRROR_UNLINK, pos->gfn, pos->level,
				    p->ops->unlink(p, pos->gfn, pos->level,
						   mirror_provided(table)));
	mirror_publish(mirror, batch, pos, mirror->fmt.nonpresent);
	if (ret)
		mirror_give_up_table(mirror, batch, table, pos->gfn,
				     pos->level - 1);
	else
		mirror_free_table(table);
}

/*
 * Block every leaf in @part; one that its end cuts goes whole.
 *
 * Return: the end of it; or the gfn of a leaf that reaches beyond @limit, which
 * somebody made while the lock was dropped.
 */
static u64 mirror_block_leaves(struct mirror *mirror, struct pgt_batch *batch,
			       const struct pgt_range *part,
			       const struct pgt_range *limit)
{
	u64 reached = part->end;
	struct pgt_walk w;

	rcu_read_lock();
	pgt_for_each(&w, mirror->root, part, 1) {
		if (mirror_rest_blocking(mirror, &w, batch) ||
		    !pgt_is_leaf(w.pos.old, w.pos.level))
			continue;
		if (w.pos.gfn < limit->start ||
		    w.pos.gfn + pgt_pages(w.pos.level) > limit->end) {
			reached = w.gfn;
			break;
		}
		if (mirror_block(mirror, batch, &w.pos))
			mirror_give_up_leaf(mirror, batch, &w.pos);
	}
	rcu_read_unlock();
	return reached;
}

/* Block the links at @level whose tables are empty. */
static void mirror_block_tables(struct mirror *mirror, struct pgt_batch *batch,
				const struct pgt_range *range, int level)
{
	struct pgt_walk w;

	rcu_read_lock();
	pgt_for_each(&w, mirror->root, range, level) {
		if (mirror_rest_blocking(mirror, &w, batch) ||
		    w.pos.level != level ||
		    !pgt_is_table(w.pos.old, level) ||
		    !mirror_table_is_empty(pgt_table_of(&mirror->fmt,
							w.pos.old)))
			continue;
		/* If that can't be it stays, until the end of the VM. */
		mirror_block(mirror, batch, &w.pos);
	}
	rcu_read_unlock();
}

/* Finish all that is blocked, by whomever, in a range at @level and above. */
static void mirror_finish(struct mirror *mirror, struct pgt_batch *batch,
			  const struct pgt_range *range, int level)
{
	struct pgt_walk w;

	rcu_read_lock();
	pgt_for_each(&w, mirror->root, range, level) {
		if (mirror_rest(mirror, &w, batch)) {
			/* Others may have blocked more meanwhile. */
			mirror_track(mirror);
			continue;
		}
		if (!mirror_is_blocked(w.pos.old))
			continue;
		if (pgt_is_leaf(mirror_unblocked(w.pos.old), w.pos.level))
			mirror_remove(mirror, batch, &w.pos);
		else
			mirror_unlink(mirror, batch, &w.pos);
	}
	rcu_read_unlock();
}

/*
 * Before more is blocked: finish what has been for too long, wherever it is.
 * Whose it is may be far from here, or not come to it for as long as he waits
 * for the lock.
 *
 * The lock may be dropped on the way, for whoever has it then does the same
 * before he blocks anything, until nothing is left blocked.  So nothing is
 * blocked meanwhile, there is no track to be made, and nothing gets older.
 */
void mirror_catch_up(struct mirror *mirror, struct pgt_batch *batch)
{
	while (unlikely(mirror_is_late(mirror))) {
		struct pgt_range range = mirror->blocked_in;
		u64 oldest = mirror->oldest;

		mirror_track(mirror);
		mirror_finish(mirror, batch, &range, 1);
		mirror_close_window(mirror);
		/* What is left was blocked since, or we would never end. */
		if (WARN_ON_ONCE(mirror->blocked && mirror->oldest == oldest))
			break;
	}
}

/*
 * One epoch: let go of the leaves in @part, a part of @limit, and of what is empty
 * since earlier ones.  With @part empty tables alone are worth it.
 *
 * Return: how far it came in @part.
 */
static u64 mirror_epoch(struct mirror *mirror, struct pgt_batch *batch,
			const struct pgt_range *part,
			const struct pgt_range *limit)
{
	struct pgt_range leaves = { part->start, part->end };
	struct pgt_range emptied[PGT_MAX_LEVEL + 1] = { };
	int levels = mirror->root->levels;

	mirror_catch_up(mirror, batch);
	leaves.end = mirror_block_leaves(mirror, batch, part, limit);
	for (int level = 2; level <= levels; level++) {
		if (!mirror->untracked && part->start < part->end)
			break;
		swap(emptied[level], mirror->emptied[level]);
		mirror_block_tables(mirror, batch, &emptied[level], level);
	}
	mirror_track(mirror);

	mirror_finish(mirror, batch, &leaves, 1);
	mirror_range_join(&mirror->emptied[2], &leaves);
	for (int level = 2; level <= levels; level++) {
		mirror_finish(mirror, batch, &emptied[level], level);
		if (level < levels)
			mirror_range_join(&mirror->emptied[level + 1],
					  &emptied[level]);
	}
	mirror_close_window(mirror);
	return leaves.end;
}

/* Split leaves that reach beyond the range, those of each level at once. */
static int mirror_split_ends(struct mirror *mirror, struct pgt_batch *batch,
			     const struct pgt_range *range,
			     struct mirror_cache *cache)
{
	int ret = 0;

	for (int level = mirror->fmt.max_leaf_level; level > 1 && !ret;
	     level--) {
		u64 ends[2];
		unsigned int nr = 0;

		if (range->start != pgt_base(range->start, level))
			ends[nr++] = range->start;
		if (range->end != pgt_base(range->end, level) &&
		    (!nr || pgt_base(range->end, level) !=
			    pgt_base(range->start, level)))
			ends[nr++] = range->end;
		mirror_catch_up(mirror, batch);
		ret = mirror_split_at(mirror, batch, ends, nr, level, cache);
	}
	return ret;
}

/* The first gfn in a range of which something is left, or its end. */
static u64 mirror_first(struct mirror *mirror, struct pgt_batch *batch,
			const struct pgt_range *range)
{
	u64 first = range->end;
	struct pgt_walk w;

	rcu_read_lock();
	pgt_for_each(&w, mirror->root, range, 1) {
		if (mirror_rest(mirror, &w, batch))
			continue;
		if (mirror_is_blocked(w.pos.old) ||
		    pgt_is_leaf(w.pos.old, w.pos.level)) {
			first = max(w.pos.gfn, range->start);
			break;
		}
	}
	rcu_read_unlock();
	return first;
}

int mirror_zap(struct mirror *mirror, struct pgt_range *range, bool may_yield,
	       struct mirror_cache *cache)
{
	struct pgt_range left;
	struct pgt_batch batch;
	int ret = 0;

	pgt_batch_begin(&batch, &mirror->mmu, PGT_EXCLUSIVE, may_yield);
	pgt_clip(mirror->root, range, &left.start, &left.end);
	for (;;) {
		struct pgt_range part = { };

		/* Small batches must not go step by step where nothing is. */
		left.start = mirror_first(mirror, &batch, &left);
		if (left.start >= left.end)
			break;
		/* A leaf that is cut goes whole, unless by the end of all. */
		part.start = left.start;
		part.end = left.start + min(mirror->batch,
					    left.end - left.start);
		ret = mirror_split_ends(mirror, &batch, &left, cache);
		if (ret == -ENOMEM)
			break;
		left.start = mirror_epoch(mirror, &batch, &part, &left);
	}
	range->start = left.start;
	pgt_batch_end(&batch);
	return ret == -ENOMEM ? ret : 0;
}

int mirror_zap_tables(struct mirror *mirror, struct pgt_range *range,
		      bool may_yield, struct mirror_cache *cache)
{
	struct pgt_range all, none = { }, left = *range;
	struct pgt_batch batch;
	int ret;

	/* From the start each time, for tables are given back at the end. */
	ret = mirror_zap(mirror, &left, may_yield, cache);
	if (ret)
		return ret;
	pgt_clip(mirror->root, range, &all.start, &all.end);
	pgt_batch_begin(&batch, &mirror->mmu, PGT_EXCLUSIVE, may_yield);
	for (int level = 2; level <= mirror->root->levels; level++) {
		mirror_range_join(&mirror->emptied[level], &all);
		mirror_epoch(mirror, &batch, &none, &none);
	}
	pgt_batch_end(&batch);
	return 0;
}
