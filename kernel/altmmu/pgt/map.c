// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping pages for faults that brought one in: a leaf, or a run of leaves.
 * Faults that need no page are fix.c's.
 */
#include "walk.h"

/* Not a result: the entry has changed, look at it again. */
#define PGT_LOOK_AGAIN		2

/* The rights that a leaf for @map gets at @level. */
static __always_inline u8 pgt_map_access(const struct pgt_map *map, int level)
{
	return level > 1 && map->nx_huge ? map->access & ~(PGT_X | PGT_UX) :
					   map->access;
}

/* What has to be true of @map whatever it meets. */
static __always_inline bool pgt_map_valid(const struct pgt_root *root,
					  const struct pgt_map *map, u64 pfn)
{
	const struct pgt_format *fmt = root->fmt;
	u8 access;

	if (unlikely((u8)(map->level - 1) >= fmt->max_leaf_level))
		return false;
	access = pgt_map_access(map, map->level) & PGT_ALL_RIGHTS;
	/* Out of line; no address; no right that is wanted; no right at all. */
	if (unlikely(((map->gfn ^ pfn) & (pgt_pages(map->level) - 1)) |
		     ((pfn << PGT_PAGE_SHIFT) & ~fmt->addr) |
		     (map->want & ~access) |
		     (map->mmu_writable && !map->host_writable)) ||
	    unlikely(!(fmt->access[access] & fmt->reach)))
		return false;
	/* What is logged is a 4K page. */
	return likely(map->level == 1) || !map->log || !(access & PGT_W);
}

/*
 * The leaf that a fault wants at @level.  If it may be written it is logged
 * here, before anybody can write.  Whoever takes the gfn from the log excludes
 * us until it has write-protected the leaf.
 */
static __always_inline u64 pgt_map_leaf(struct pgt_root *root,
					const struct pgt_map *map, u64 gfn,
					u64 pfn, int level)
{
	struct pgt_attr attr = {
		.access = pgt_map_access(map, level),
		.memtype = map->memtype,
		.host_writable = map->host_writable,
		.mmu_writable = map->mmu_writable,
		.encrypted = map->encrypted,
		.accessed = !map->prefetch,
	};

	u64 leaf = pgt_make_leaf(root->fmt, pgt_base(pfn, level), level, &attr);

	if (unlikely(map->log) && leaf & root->fmt->write)
		pgt_env_log_dirty(root, gfn);
	return leaf;
}

/**
 * pgt_link_table() - put a new table under an empty or MMIO entry
 * @batch:	counts it
 * @fmt:	format of the entry
 * @pos:	the entry
 * @link_bits:	set in the link besides
 * @cache:	for the table
 *
 * Return: 0, also when another CPU was faster; @pos->old is what the entry holds
 * now.  -ENOMEM if @cache is empty.
 */
int pgt_link_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		   struct pgt_pos *pos, u64 link_bits, struct pgt_cache *cache)
{
	u64 *table = pgt_cache_pop(cache);
	u64 link;

	if (!table)
		return -ENOMEM;
	link = pgt_make_table(fmt, __pa(table), pos->level) | link_bits;
	if (pgt_change(batch, fmt, pos, link, PGT_REPLACE))
		pos->old = link;
	else
		pgt_cache_push(cache, table);
	return 0;
}

/* What the link to a table says that the mitigation asked for. */
static u64 pgt_link_bits(const struct pgt_format *fmt,
			 const struct pgt_map *map, int level)
{
	return map->nx_disallow && level <= map->req_level ?
	       fmt->nx_disallowed : 0;
}

/* The rights to execute that a huge leaf lacks because of the mitigation. */
static u8 pgt_split_exec(const struct pgt_map *map)
{
	return map->nx_huge ? map->access & (PGT_X | PGT_UX) : 0;
}

/*
 * A table stands where a huge leaf is wanted.  Frozen first, so that nobody adds
 * to the table or takes it for a part of the tree any more; then its entries
 * are taken, which collects what the CPU noted in them; then the leaf appears.
 * The batch invalidates before the table is freed.  Until then CPUs may use the
 * old leaves, which map the same pages, or meet a frozen one and fault.
 */
static int pgt_map_over_table(struct pgt_batch *batch, struct pgt_root *root,
			      const struct pgt_map *map, struct pgt_pos *pos)
{
	const struct pgt_format *fmt = root->fmt;
	struct pgt_gather gather = { };
	struct pgt_map one = *map;
	u64 link = pos->old;
	u64 leaf;

	if (!pgt_change(batch, fmt, pos, fmt->frozen, PGT_REPLACE))
		return -EAGAIN;
	pgt_unlink_table(batch, fmt, pgt_table_of(fmt, link), pos->gfn,
			 pos->level - 1, &gather);
	/* Another fault was there after pgt_map_spares() has looked. */
	if (gather.accessed)
		one.prefetch = false;
	leaf = pgt_map_leaf(root, &one, map->gfn, map->pfn, pos->level);
	if (gather.dirty)
		leaf |= fmt->dirty;
	/* Frozen by us: neither a CPU nor another path changes it. */
	pos->old = fmt->frozen;
	pgt_change(batch, fmt, pos, leaf, PGT_FILL);
	return PGT_DONE;
}

/* A leaf stands there, at the level that is wanted or above. */
static int pgt_map_over_leaf(struct pgt_batch *batch, struct pgt_root *root,
			     const struct pgt_map *map, struct pgt_pos *pos,
			     struct pgt_cache *cache)
{
	const struct pgt_format *fmt = root->fmt;
	u64 leaf;

	if (pgt_leaf_pfn(fmt, pos->old, pos->level) + (map->gfn - pos->gfn) !=
	    map->pfn)
		return -EEXIST;
	if (map->prefetch || pgt_allows(fmt, pos->old, map->want))
		return PGT_SPURIOUS;
	if (pos->level > map->level)
		return pgt_split_leaf(batch, fmt, pos,
				      pgt_link_bits(fmt, map, pos->level),
				      pgt_split_exec(map), cache) ?:
		       PGT_LOOK_AGAIN;
	leaf = pgt_map_leaf(root, map, map->gfn, map->pfn, map->level) |
	       (pos->old & (fmt->accessed | fmt->dirty));
	return pgt_change(batch, fmt, pos, leaf, PGT_REPLACE) ? PGT_DONE :
								-EAGAIN;
}

/* Whether a table whose entries are of @level has a leaf in it. */
static bool pgt_has_leaves(const u64 *table, int level)
{
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (pgt_is_leaf(READ_ONCE(table[i]), level))
			return true;
	return false;
}

/*
 * Whether a table stays, though a huge leaf is wanted in its place: it is there
 * for the mitigation, it leads to foreign entries, or nobody asked for the leaf,
 * and there are others in the table.
 */
static bool pgt_map_spares(const struct pgt_root *root,
			   const struct pgt_map *map, const struct pgt_pos *pos)
{
	const struct pgt_format *fmt = root->fmt;

	return (map->nx_huge && pos->old & fmt->nx_disallowed) ||
	       pos->gfn < root->foreign_end ||
	       (map->prefetch && pgt_has_leaves(pgt_table_of(fmt, pos->old),
						pos->level - 1));
}

/* Whether a table that is below where a huge leaf is wanted may go: it is bare. */
static bool pgt_map_may_drop(const struct pgt_format *fmt,
			     const struct pgt_map *map,
			     const struct pgt_pos *pos)
{
	const u64 *table = pgt_table_of(fmt, pos->old);
	int level = pos->level - 1;

	return !(map->nx_huge && pos->old & fmt->nx_disallowed) &&
	       !pgt_has_leaves(table, level) && !pgt_links_tables(table, level);
}

/*
 * A table that stands where a huge leaf is wanted may link others, which would
 * make the step that replaces it as long as all of them.  What has been zapped
 * leaves tables that map nothing: they go first, some at a time, from the one
 * that is on the way to the gfn on.  The first that maps anything ends that, for
 * then the leaf has to be a smaller one anyway.
 *
 * Return: PGT_DONE if no table is left below, -EAGAIN if some are or an entry is
 * frozen until the invalidation, PGT_LOOK_AGAIN if one stays.
 */
static int pgt_map_prune(struct pgt_batch *batch, const struct pgt_format *fmt,
			 const struct pgt_map *map, const struct pgt_pos *pos)
{
	u64 *table = pgt_table_of(fmt, pos->old);
	int level = pos->level - 1;
	int left = PGT_MAP_DROPS;
	int ret = PGT_DONE;

	for (int i = 0; level > 1 && i < PGT_ENTRIES; i++) {
		u64 index = (pgt_index(map->gfn, level) + i) % PGT_ENTRIES;
		struct pgt_pos child;

		pgt_pos_in(&child, table, pos->gfn + index * pgt_pages(level),
			   level);
		if (pgt_is_table(child.old, level)) {
			if (!pgt_map_may_drop(fmt, map, &child))
				return PGT_LOOK_AGAIN;
			if (!left-- || batch->nr_frozen == PGT_BATCH_FROZEN)
				return -EAGAIN;
			/* If another CPU was faster it is still at it. */
			if (!pgt_drop_table(batch, fmt, &child))
				return -EAGAIN;
		}
		if (pgt_is_frozen(fmt, child.old))
			ret = -EAGAIN;
	}
	return ret;
}

/*
 * On the way to the entry that a fault wants, or there, something stands that is
 * not empty, or nothing where a table should.
 *
 * Return: the result of the fault, or PGT_LOOK_AGAIN.
 */
static noinline int pgt_map_meet(struct pgt_batch *batch, struct pgt_root *root,
				 struct pgt_map *map, struct pgt_pos *pos,
				 struct pgt_cache *cache)
{
	const struct pgt_format *fmt = root->fmt;
	int ret = PGT_LOOK_AGAIN;

	if (pgt_is_frozen(fmt, pos->old))
		return -EAGAIN;
	if (!pgt_is_present(pos->old))
		return pgt_link_table(batch, fmt, pos,
				      pgt_link_bits(fmt, map, pos->level),
				      cache) ?: PGT_LOOK_AGAIN;
	if (pgt_is_leaf(pos->old, pos->level))
		return pgt_map_over_leaf(batch, root, map, pos, cache);
	if (!pgt_map_spares(root, map, pos))
		ret = pgt_map_prune(batch, fmt, map, pos);
	if (ret == PGT_DONE)
		return pgt_map_over_table(batch, root, map, pos);
	/* What is valid at a level is so below: no right gets lost. */
	if (ret == PGT_LOOK_AGAIN)
		map->level--;
	return ret;
}

/* Whether a leaf may simply be put there. */
static __always_inline bool pgt_is_free(const struct pgt_format *fmt, u64 entry)
{
	return !pgt_is_present(entry) && !pgt_is_frozen(fmt, entry);
}

int pgt_map(struct pgt_batch *batch, struct pgt_root *root,
	    struct pgt_map *map, struct pgt_cache *cache)
{
	const struct pgt_format *fmt = root->fmt;
	int level = map->level;
	struct pgt_pos pos, met;
	u64 base, leaf;
	int ret;

	if (!pgt_map_valid(root, map, map->pfn))
		return -EINVAL;
	base = pgt_base(map->gfn, level);
	ret = pgt_map_allowed(batch, root, map->gfn, base,
			      base + pgt_pages(level));
	if (unlikely(ret))
		return ret;

	rcu_read_lock();
	pgt_pos_in(&pos, root->table, map->gfn, root->levels);
	for (;;) {
		pgt_pos_dive(&pos, fmt, map->gfn, level);
		if (likely(pos.level == level && pgt_is_free(fmt, pos.old))) {
			leaf = pgt_map_leaf(root, map, map->gfn, map->pfn,
					    level);
			ret = likely(pgt_change(batch, fmt, &pos, leaf,
						PGT_REPLACE)) ? PGT_DONE :
								-EAGAIN;
			break;
		}
		/* A copy, so that the common case has @pos in registers. */
		met = pos;
		ret = pgt_map_meet(batch, root, map, &met, cache);
		pos = met;
		level = map->level;
		if (ret != PGT_LOOK_AGAIN)
			break;
	}
	rcu_read_unlock();
	return ret;
}

int pgt_map_run(struct pgt_batch *batch, struct pgt_root *root,
		const struct pgt_map *map, const u64 *pfns, unsigned int nr,
		struct pgt_cache *cache)
{
	u64 end = min(root->end, root->mmu->max_gfn);
	const struct pgt_format *fmt = root->fmt;
	int level = map->level;
	struct pgt_pos pos;
	int mapped = 0;
	int ret;

	/* All but the pfns; a gfn in line with 0 is at the start of a leaf. */
	if (!pgt_map_valid(root, map, 0))
		return -EINVAL;
	nr = min(nr, PGT_ENTRIES - pgt_index(map->gfn, level));
	if (map->gfn >= end)
		return -ERANGE;
	/* Where not even the first fits, the range is refused below. */
	if (map->gfn + pgt_pages(level) <= end)
		nr = min_t(u64, nr, (end - map->gfn) / pgt_pages(level));
	for (unsigned int i = 0; i < nr; i++)
		if (pfns[i] != PGT_NO_PFN && !pgt_map_valid(root, map, pfns[i]))
			return -EINVAL;
	ret = pgt_map_allowed(batch, root, map->gfn, map->gfn,
			      map->gfn + nr * pgt_pages(level));
	if (ret)
		return ret;

	rcu_read_lock();
	pgt_pos_in(&pos, root->table, map->gfn, root->levels);
	for (;;) {
		pgt_pos_dive(&pos, fmt, map->gfn, level);
		if (pos.level == level)
			break;
		if (pgt_is_frozen(fmt, pos.old))
			ret = -EAGAIN;
		else if (!pgt_is_present(pos.old))
			ret = pgt_link_table(batch, fmt, &pos,
					     pgt_link_bits(fmt, map, pos.level),
					     cache);
		/* A huge leaf maps all of the run already. */
		if (ret || pgt_is_leaf(pos.old, pos.level))
			goto out;
	}
	for (unsigned int i = 0; i < nr; i++) {
		pos.old = READ_ONCE(*pos.entry);
		if (pfns[i] != PGT_NO_PFN && pgt_is_empty(fmt, pos.old)) {
			u64 leaf = pgt_map_leaf(root, map, pos.gfn, pfns[i],
						level);

			mapped += pgt_change(batch, fmt, &pos, leaf,
					     PGT_REPLACE);
		}
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	ret = mapped;
out:
	rcu_read_unlock();
	return ret;
}
