// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping private pages for faults: a page, and the neighbours of it that the
 * host has.
 *
 * Faults run at the same time, with the MMU lock held for reading.  An entry is
 * frozen, by compare and exchange, for as long as its provider call takes, and
 * that is all the order there is between them: who finds it frozen tries again.
 * Nobody who holds the lock exclusively ever sees such an entry.
 */
#include <linux/errno.h>

#include "internal.h"

/* Not a result: the entry has changed, look at it again. */
#define MIRROR_LOOK_AGAIN	1

/* Take an empty entry for ourselves; false if somebody else was faster. */
static bool mirror_freeze(struct mirror *mirror, struct pgt_pos *pos)
{
	if (!pgt_change(NULL, &mirror->fmt, pos, mirror->fmt.frozen,
			PGT_REPLACE))
		return false;
	pos->old = mirror->fmt.frozen;
	return true;
}

static void mirror_thaw(struct mirror *mirror, struct pgt_pos *pos)
{
	mirror_publish(mirror, NULL, pos, mirror->fmt.nonpresent);
}

/* A call with the lock held for reading: who is busy lets the fault try again. */
static int mirror_ask(struct mirror *mirror, enum mirror_call call, u64 gfn,
		      int level, int ret)
{
	mirror_count(mirror, call, gfn, level, ret);
	if (ret == -EBUSY || ret == -EINTR)
		return -EAGAIN;
	return mirror_check(mirror, call, gfn, level, ret);
}

/* Put a table under an empty entry, the provider's first. */
static int mirror_link(struct mirror *mirror, struct pgt_batch *batch,
		       struct pgt_pos *pos, struct mirror_cache *cache)
{
	struct mirror_provider *p = mirror->provider;
	u64 *table, *provided;
	int ret;

	if (!cache->tables.nr || !cache->provided.nr)
		return -ENOMEM;
	if (!mirror_freeze(mirror, pos))
		return MIRROR_LOOK_AGAIN;
	table = pgt_cache_pop(&cache->tables);
	provided = pgt_cache_pop(&cache->provided);
	ret = mirror_ask(mirror, MIRROR_LINK, pos->gfn, pos->level,
			 p->ops->link(p, pos->gfn, pos->level, provided));
	if (ret) {
		mirror_thaw(mirror, pos);
		pgt_cache_push(&cache->tables, table);
		pgt_cache_push(&cache->provided, provided);
		return ret;
	}
	mirror_link_provided(table, provided);
	/* A full barrier: who follows the link finds the empty table. */
	pgt_change(batch, &mirror->fmt, pos,
		   pgt_make_table(&mirror->fmt, __pa(table), pos->level),
		   PGT_TAKE);
	return MIRROR_LOOK_AGAIN;
}

/* A leaf is there already. */
static int mirror_meet_leaf(struct mirror *mirror, const struct pgt_pos *pos,
			    const struct mirror_map *map, u64 pfn)
{
	if (pgt_leaf_pfn(&mirror->fmt, pos->old, pos->level) +
	    (map->gfn - pos->gfn) != pfn)
		return -EEXIST;
	return pos->level > map->max_level ? -E2BIG : 0;
}

/*
 * Come to the empty entry where the leaf goes, or to a leaf, at @level at the
 * lowest.
 *
 * Return: 0 with an entry of @level that was empty; MIRROR_LOOK_AGAIN with what
 * else is there: a leaf, or a table at @level; or an error.
 */
static int mirror_reach(struct mirror *mirror, struct pgt_batch *batch,
			struct pgt_pos *pos, u64 gfn, int level,
			struct mirror_cache *cache)
{
	int ret;

	pgt_pos_in(pos, mirror->root->table, gfn, mirror->root->levels);
	for (;;) {
		pgt_pos_dive(pos, &mirror->fmt, gfn, level);
		if (pgt_is_frozen(&mirror->fmt, pos->old) ||
		    mirror_is_blocked(pos->old))
			return -EAGAIN;
		if (pgt_is_present(pos->old))
			return MIRROR_LOOK_AGAIN;
		if (pos->level == level)
			return 0;
		ret = mirror_link(mirror, batch, pos, cache);
		if (ret != MIRROR_LOOK_AGAIN)
			return ret;
		pos->old = READ_ONCE(*pos->entry);
	}
}

/**
 * struct mirror_run - neighbours in one table, of which some are to be mapped
 * @pos:	the entry of the first of them
 * @pfns:	theirs, PGT_NO_PFN for none
 * @nr:		how many
 * @finalized:	the guest may run
 */
struct mirror_run {
	struct pgt_pos pos;
	const u64 *pfns;
	unsigned int nr;
	bool finalized;
};

static void mirror_run_skip(struct mirror_run *run, unsigned int nr)
{
	run->pos.entry += nr;
	run->pos.gfn += nr * pgt_pages(run->pos.level);
	run->pfns += nr;
	run->nr -= nr;
}

/* Freeze what is empty and has a page, from the first on; how many. */
static unsigned int mirror_run_freeze(struct mirror *mirror,
				      struct mirror_run run)
{
	unsigned int nr = 0;

	while (run.nr && run.pfns[0] != PGT_NO_PFN) {
		run.pos.old = READ_ONCE(*run.pos.entry);
		if (!pgt_is_empty(&mirror->fmt, run.pos.old) ||
		    !mirror_freeze(mirror, &run.pos))
			break;
		mirror_run_skip(&run, 1);
		nr++;
	}
	return nr;
}

/* Make frozen entries leaves. */
static void mirror_run_publish(struct mirror *mirror, struct pgt_batch *batch,
			       struct mirror_run run, unsigned int nr)
{
	for (; nr; nr--) {
		run.pos.old = mirror->fmt.frozen;
		mirror_publish(mirror, batch, &run.pos,
			       mirror_leaf(run.pfns[0], run.pos.level));
		mirror_run_skip(&run, 1);
	}
}

/* Make frozen entries empty again. */
static void mirror_run_thaw(struct mirror *mirror, struct mirror_run run,
			    unsigned int nr)
{
	for (; nr; nr--) {
		run.pos.old = mirror->fmt.frozen;
		mirror_thaw(mirror, &run.pos);
		mirror_run_skip(&run, 1);
	}
}

/* Have the provider map the first @nr of a run; how many it has mapped. */
static int mirror_run_provide(struct mirror *mirror,
			      const struct mirror_run *run, unsigned int nr)
{
	struct mirror_provider *p = mirror->provider;
	int level = run->pos.level;
	u64 gfn = run->pos.gfn;
	int ret;

	if (run->finalized) {
		ret = p->ops->map(p, gfn, level, run->pfns, nr);
		/* None, or more than there are: no answer. */
		if (!ret || ret > (int)nr)
			ret = -EIO;
		return mirror_ask(mirror, MIRROR_MAP, gfn, level, ret);
	}
	return mirror_ask(mirror, MIRROR_ADD, gfn, level,
			  p->ops->add(p, gfn, run->pfns[0])) ?: 1;
}

/*
 * Map what can be mapped of a run from its first entry on, and skip that.
 *
 * Return: how many leaves were mapped, 0 if somebody else has the first entry,
 * or the error of the first.
 */
static int mirror_run_map(struct mirror *mirror, struct pgt_batch *batch,
			  struct mirror_run *run)
{
	unsigned int nr = mirror_run_freeze(mirror, *run);
	int ret;

	if (!nr) {
		mirror_run_skip(run, 1);
		return 0;
	}
	ret = mirror_run_provide(mirror, run, nr);
	if (ret < 0) {
		mirror_run_thaw(mirror, *run, nr);
		mirror_run_skip(run, nr);
		return ret;
	}
	mirror_run_publish(mirror, batch, *run, ret);
	mirror_run_skip(run, ret);
	mirror_run_thaw(mirror, *run, nr - ret);
	return ret;
}

/*
 * Neighbours, for which nobody waits: what is in the way of one is no matter.
 *
 * Return: how many were mapped.
 */
static int mirror_run_map_some(struct mirror *mirror, struct pgt_batch *batch,
			       struct mirror_run run)
{
	int mapped = 0;

	/* Pairs with mirror_check(). */
	while (run.nr && !smp_load_acquire(&mirror->broken))
		mapped += max(mirror_run_map(mirror, batch, &run), 0);
	return mapped;
}

/* The page of a fault first, with what follows it, then the others. */
static int mirror_map_around(struct mirror *mirror, struct pgt_batch *batch,
			     struct mirror_run *run, unsigned int index)
{
	struct mirror_run before = *run;
	int ret;

	before.nr = index;
	mirror_run_skip(run, index);
	ret = mirror_run_map(mirror, batch, run);
	if (ret <= 0)
		return ret ?: -EAGAIN;
	return ret + mirror_run_map_some(mirror, batch, *run) +
	       mirror_run_map_some(mirror, batch, before);
}

/*
 * Make @run, which is at the entry of the fault's leaf, the part of its window
 * that is in the same table.
 *
 * Return: where in it the fault's leaf is.
 */
static unsigned int mirror_run_widen(struct mirror *mirror,
				     const struct mirror_map *map,
				     struct mirror_run *run)
{
	int level = run->pos.level;
	u64 base = pgt_base(map->gfn, level + 1);
	u64 start = max(map->start, base);
	u64 end = min3(map->start + map->nr * pgt_pages(level),
		       base + pgt_pages(level + 1),
		       min(mirror->root->end, mirror->mmu.max_gfn));
	unsigned int index = (run->pos.gfn - start) / pgt_pages(level);

	run->pos.entry -= index;
	run->pos.gfn = start;
	run->pfns = map->pfns + (start - map->start) / pgt_pages(level);
	run->nr = (end - start) / pgt_pages(level);
	return index;
}

static bool mirror_map_valid(const struct mirror *mirror,
			     const struct mirror_map *map)
{
	u64 mask;

	if (map->level < 1 || map->level > mirror->provider->max_map_level)
		return false;
	mask = pgt_pages(map->level) - 1;
	if (map->start & mask || map->gfn < map->start ||
	    map->gfn - map->start >= map->nr * pgt_pages(map->level))
		return false;
	for (unsigned int i = 0; i < map->nr; i++)
		if (map->pfns[i] != PGT_NO_PFN && map->pfns[i] & mask)
			return false;
	return map->pfns[(map->gfn - map->start) / pgt_pages(map->level)] !=
	       PGT_NO_PFN;
}

int mirror_map(struct mirror *mirror, const struct mirror_map *map,
	       struct mirror_cache *cache)
{
	struct pgt_root *root = mirror->root;
	unsigned int index = 0;
	struct mirror_run run;
	struct pgt_batch batch;
	u64 base, pfn;
	int ret;

	if (!mirror_map_valid(mirror, map))
		return -EINVAL;
	base = pgt_base(map->gfn, map->level);
	if (base + pgt_pages(map->level) > min(root->end, mirror->mmu.max_gfn))
		return -ERANGE;
	/* Pairs with mirror_check(): the caller looks at the VM then. */
	if (smp_load_acquire(&mirror->broken))
		return -EIO;
	/* Pairs with the release in the provider: all pages were added. */
	run.finalized = smp_load_acquire(&mirror->provider->finalized);
	if (!run.finalized && map->level > 1)
		return -EINVAL;
	pfn = map->pfns[(base - map->start) / pgt_pages(map->level)] +
	      (map->gfn - base);
	run.pfns = &pfn;
	run.nr = 1;

	pgt_batch_begin(&batch, &mirror->mmu, PGT_SHARED, false);
	rcu_read_lock();
	ret = mirror_reach(mirror, &batch, &run.pos, map->gfn, map->level,
			   cache);
	if (!ret && run.finalized)
		index = mirror_run_widen(mirror, map, &run);
	/* A table is where the leaf would go: one page in it serves as well. */
	if (ret == MIRROR_LOOK_AGAIN &&
	    pgt_is_table(run.pos.old, run.pos.level))
		ret = mirror_reach(mirror, &batch, &run.pos, map->gfn, 1,
				   cache);
	if (ret == MIRROR_LOOK_AGAIN)
		ret = mirror_meet_leaf(mirror, &run.pos, map, pfn);
	else if (!ret)
		ret = mirror_map_around(mirror, &batch, &run, index);
	rcu_read_unlock();
	pgt_batch_end(&batch);
	return ret;
}
