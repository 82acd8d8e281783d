// SPDX-License-Identifier: GPL-2.0
/*
 * The size of private leaves: large ones are split (demoted) when a part of them
 * goes, and made (promoted) of tables whose pages belong together.
 *
 * The lock is held exclusively from the block to the end, so nobody meets what is
 * blocked here.
 */
#include <linux/errno.h>

#include "internal.h"

/* The leaf at @level over @gfn, if there is one that nobody has blocked. */
static bool mirror_find_leaf(struct mirror *mirror, u64 gfn, int level,
			     struct pgt_pos *pos)
{
	return pgt_pos_find(pos, mirror->root, gfn, level) &&
	       pos->level == level && pgt_is_leaf(pos->old, level);
}

/* Make a table of a leaf that is blocked and tracked. */
static int mirror_demote(struct mirror *mirror, struct pgt_batch *batch,
			 struct pgt_pos *pos, struct mirror_cache *cache)
{
	struct mirror_provider *p = mirror->provider;
	u64 *table = pgt_cache_pop(&cache->tables);
	void *provided = pgt_cache_pop(&cache->provided);
	u64 pfn = pgt_leaf_pfn(&mirror->fmt, pos->old, pos->level);
	struct pgt_pos child = {
		.entry = table,
		.gfn = pos->gfn,
		.level = pos->level - 1,
	};
	int ret;

	ret = mirror_insist(mirror, MIRROR_DEMOTE, pos->gfn, pos->level,
			    p->ops->demote(p, pos->gfn, pos->level, provided));
	if (ret) {
		pgt_cache_push(&cache->tables, table);
		pgt_cache_push(&cache->provided, provided);
		mirror_give_up_leaf(mirror, batch, pos);
		return ret;
	}
	for (int i = 0; i < PGT_ENTRIES; i++) {
		child.old = mirror->fmt.nonpresent;
		mirror_publish(mirror, NULL, &child,
			       mirror_leaf(pfn, child.level));
		child.entry++;
		child.gfn += pgt_pages(child.level);
		pfn += pgt_pages(child.level);
	}
	mirror_link_provided(table, provided);
	/* Full barrier: a reader that follows the link finds the leaves. */
	pgt_change(batch, &mirror->fmt, pos,
		   pgt_make_table(&mirror->fmt, __pa(table), pos->level),
		   PGT_TAKE);
	pgt_batch_count(batch, child.level, PGT_ENTRIES);
	mirror->blocked--;
	return 0;
}

/**
 * mirror_split_at() - split the leaves at a level that gfns are in
 * @mirror:	whose
 * @batch:	of the caller, who has caught up
 * @gfns:	the gfns, no two in one leaf
 * @nr:		how many, at most two
 * @level:	of the leaves, 2 or 3
 * @cache:	a pair of tables for each leaf
 *
 * Context: exclusive.
 * Return: 0, -ENOMEM with nothing done, -EIO.
 */
int mirror_split_at(struct mirror *mirror, struct pgt_batch *batch,
		    const u64 *gfns, unsigned int nr, int level,
		    struct mirror_cache *cache)
{
	struct pgt_pos leaf[2];
	unsigned int found = 0;
	int ret = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (mirror_find_leaf(mirror, gfns[i], level, &leaf[found]))
			found++;
	if (!found)
		return 0;
	if (cache->tables.nr < found || cache->provided.nr < found)
		return -ENOMEM;

	for (unsigned int i = 0; i < found && !ret; i++) {
		ret = mirror_block(mirror, batch, &leaf[i]);
		if (!ret)
			continue;
		/* Who wants it split must not find it again and again. */
		mirror_give_up_leaf(mirror, batch, &leaf[i]);
		found = i;
	}
	mirror_track(mirror);
	for (unsigned int i = 0; i < found; i++)
		ret = mirror_demote(mirror, batch, &leaf[i], cache) ?: ret;
	mirror_close_window(mirror);
	return ret;
}

int mirror_split(struct mirror *mirror, u64 gfn, int level,
		 struct mirror_cache *cache)
{
	struct pgt_batch batch;
	int ret = 0;

	pgt_batch_begin(&batch, &mirror->mmu, PGT_EXCLUSIVE, true);
	for (int at = mirror->fmt.max_leaf_level; at > level && !ret; at--) {
		mirror_catch_up(mirror, &batch);
		ret = mirror_split_at(mirror, &batch, &gfn, 1, at, cache);
	}
	pgt_batch_end(&batch);
	return ret;
}

/* Whether the leaves of a table could be one, as far as the mirror knows. */
static bool mirror_is_uniform(struct mirror *mirror, const u64 *table,
			      int level)
{
	u64 first = pgt_leaf_pfn(&mirror->fmt, READ_ONCE(table[0]), level);

	if (first & (pgt_pages(level + 1) - 1))
		return false;
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (READ_ONCE(table[i]) !=
		    mirror_leaf(first + i * pgt_pages(level), level))
			return false;
	return true;
}

/* Make a leaf of a table whose link is blocked and tracked, or unblock it. */
static bool mirror_promote_table(struct mirror *mirror,
				 struct pgt_batch *batch, struct pgt_pos *pos)
{
	struct mirror_provider *p = mirror->provider;
	u64 *table = pgt_table_of(&mirror->fmt, pos->old);
	u64 pfn = pgt_leaf_pfn(&mirror->fmt, READ_ONCE(table[0]),
			       pos->level - 1);
	int ret;

	ret = mirror_insist(mirror, MIRROR_PROMOTE, pos->gfn, pos->level,
			    p->ops->promote(p, pos->gfn, pos->level,
					    mirror_provided(table)));
	if (!ret) {
		pgt_batch_count(batch, pos->level - 1, -PGT_ENTRIES);
		mirror_publish(mirror, batch, pos,
			       mirror_leaf(pfn, pos->level));
		mirror_free_table(table);
		return true;
	}
	ret = mirror_insist(mirror, MIRROR_UNBLOCK, pos->gfn, pos->level,
			    p->ops->unblock(p, pos->gfn, pos->level));
	/* If not even that can be had it goes when the range is zapped. */
	if (!ret)
		mirror_publish(mirror, batch, pos, mirror_unblocked(pos->old));
	return false;
}

/* Promote tables under links at @level; one track for all of them. */
static unsigned int mirror_promote_part(struct mirror *mirror,
					struct pgt_batch *batch,
					const struct pgt_range *range,
					int level)
{
	unsigned int promoted = 0;
	bool any = false;
	struct pgt_walk w;

	mirror_catch_up(mirror, batch);
	rcu_read_lock();
	pgt_for_each(&w, mirror->root, range, level) {
		if (w.pos.level != level || !pgt_is_table(w.pos.old, level) ||
		    w.pos.gfn < range->start ||
		    w.pos.gfn + pgt_pages(level) > range->end)
			continue;
		if (mirror_is_uniform(mirror,
				      pgt_table_of(&mirror->fmt, w.pos.old),
				      level - 1))
			any |= !mirror_block(mirror, batch, &w.pos);
	}
	mirror_track(mirror);
	if (any) {
		pgt_for_each(&w, mirror->root, range, level) {
			u64 was = mirror_unblocked(w.pos.old);

			/* Others block links of tables that are empty. */
			if (w.pos.level == level &&
			    mirror_is_blocked(w.pos.old) &&
			    pgt_is_table(was, level) &&
			    mirror_is_uniform(mirror,
					      pgt_table_of(&mirror->fmt, was),
					      level - 1))
				promoted += mirror_promote_table(mirror, batch,
								 &w.pos);
		}
	}
	rcu_read_unlock();
	mirror_close_window(mirror);
	return promoted;
}

unsigned int mirror_promote(struct mirror *mirror,
			    const struct pgt_range *range, bool may_yield)
{
	unsigned int promoted = 0;
	struct pgt_batch batch;
	u64 start, end;

	pgt_batch_begin(&batch, &mirror->mmu, PGT_EXCLUSIVE, may_yield);
	for (int level = 2; level <= mirror->fmt.max_leaf_level; level++) {
		pgt_clip(mirror->root, range, &start, &end);
		while (start < end) {
			u64 next = (start | (MIRROR_BATCH - 1)) + 1;
			struct pgt_range part = { start, min(next, end) };

			promoted += mirror_promote_part(mirror, &batch, &part,
							level);
			start = part.end;
			if (start < end && pgt_batch_should_yield(&batch))
				pgt_batch_yield(&batch);
		}
	}
	pgt_batch_end(&batch);
	return promoted;
}
