// SPDX-License-Identifier: GPL-2.0
/*
 * Changing the size of leaves in place: splitting huge ones, and collapsing
 * tables back into them.
 */
#include <linux/errno.h>

#include "walk.h"

/* Add rights to execute to a leaf, access-tracked or not. */
static u64 pgt_add_exec(const struct pgt_format *fmt, u64 leaf, u8 exec)
{
	bool tracked = pgt_is_tracked(fmt, leaf);

	if (tracked)
		leaf = pgt_untrack(fmt, leaf);
	leaf = pgt_set_exec(fmt, leaf, pgt_rights(fmt, leaf) | exec);
	return tracked ? pgt_track(fmt, leaf) : leaf;
}

/**
 * pgt_split_leaf() - replace a huge leaf by a table of leaves
 * @batch:	counts the change
 * @fmt:	format of the leaf
 * @pos:	the huge leaf
 * @link_bits:	set in the link besides
 * @exec:	rights to execute that 4K leaves have besides the huge one's
 * @cache:	for the table
 *
 * CPUs may go on using the huge leaf from their TLBs: it says the same.  An
 * invalidation of one page of it drops it.
 *
 * Return: 0, also when the entry had changed; @pos->old is what it holds now.
 * -ENOMEM if @cache is empty.
 */
int pgt_split_leaf(struct pgt_batch *batch, const struct pgt_format *fmt,
		   struct pgt_pos *pos, u64 link_bits, u8 exec,
		   struct pgt_cache *cache)
{
	u64 *table = pgt_cache_pop(cache);
	struct pgt_pos child = {
		.entry = table,
		.old = fmt->nonpresent,
		.gfn = pos->gfn,
		.level = pos->level - 1,
	};
	u64 link;

	if (!table)
		return -ENOMEM;
	for (int i = 0; i < PGT_ENTRIES; i++) {
		u64 leaf = pgt_leaf_child(fmt, pos->old, pos->level, i);

		if (exec && child.level == 1)
			leaf = pgt_add_exec(fmt, leaf, exec);
		/* Nobody else has the table yet; counted once it is linked. */
		pgt_change(NULL, fmt, &child, leaf, PGT_FILL);
		child.entry++;
		child.gfn += pgt_pages(child.level);
	}

	link = pgt_make_table(fmt, __pa(table), pos->level) | link_bits;
	if (!pgt_change(batch, fmt, pos, link, PGT_REFINE)) {
		pgt_cache_push(cache, table);
		return 0;
	}
	pgt_batch_count(batch, child.level, PGT_ENTRIES);
	pos->old = link;
	return 0;
}

int pgt_split(struct pgt_batch *batch, struct pgt_root *root,
	      struct pgt_range *range, int level, u8 exec,
	      struct pgt_cache *cache)
{
	struct pgt_walk w;

	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, level + 1) {
		if (pgt_walk_rest(&w, batch) || pgt_walk_frozen(&w, batch))
			continue;
		/* If it changes under us, what it becomes is looked at too. */
		while (pgt_is_leaf(w.pos.old, w.pos.level)) {
			if (!pgt_split_leaf(batch, w.fmt, &w.pos, 0, exec,
					    cache))
				continue;
			rcu_read_unlock();
			range->start = max(range->start, w.gfn);
			return -ENOMEM;
		}
		if (pgt_is_frozen(w.fmt, w.pos.old))
			pgt_walk_again(&w);
	}
	pgt_leave(range);
	return 0;
}

/* The huge leaf that stands for all leaves of a table. */
static u64 pgt_collapsed(const struct pgt_format *fmt,
			 const struct pgt_gather *gather, int level,
			 bool nx_huge)
{
	u64 leaf = pgt_leaf_parent(fmt, gather->model, level - 1);

	leaf &= ~(fmt->accessed | fmt->dirty | fmt->write | fmt->mmu_writable);
	if (gather->accessed)
		leaf |= fmt->accessed;
	if (gather->dirty)
		leaf |= fmt->dirty;
	/* Who tracks writes to one page must go on seeing them. */
	if (gather->mmu_writable)
		leaf |= fmt->mmu_writable;
	if (gather->write)
		leaf |= fmt->write;
	if (nx_huge)
		leaf = pgt_set_exec(fmt, leaf, 0);
	if (!gather->accessed && !fmt->accessed)
		leaf = pgt_track(fmt, leaf);
	return leaf;
}

/* Whether the leaves of the table that the walk is at could be one. */
static bool pgt_may_collapse(struct pgt_walk *w, bool nx_huge)
{
	struct pgt_gather gather = { };
	struct pgt_pos pos = {
		.entry = pgt_table_of(w->fmt, w->pos.old),
		.gfn = w->pos.gfn,
		.level = w->pos.level - 1,
	};
	u64 pfn;

	for (int i = 0; i < PGT_ENTRIES; i++) {
		pos.old = READ_ONCE(*pos.entry);
		if (pgt_is_leaf(pos.old, pos.level)) {
			pgt_gather_leaf(&gather, w->fmt, &pos);
			/* Of small pages the second is out of line mostly. */
			if (!gather.uniform)
				return false;
		} else if (!pgt_is_empty(w->fmt, pos.old)) {
			return false;
		}
		pos.entry++;
		pos.gfn += pgt_pages(pos.level);
	}
	if (!gather.model)
		return false;
	/* Nothing would be left of execute-only leaves. */
	if (nx_huge && !(gather.model & w->fmt->read))
		return false;

	pfn = pgt_leaf_pfn(w->fmt, gather.model, pos.level);
	if ((gather.model_gfn ^ pfn) & (pgt_pages(w->pos.level) - 1))
		return false;
	return pgt_env_max_level(w->root, gather.model_gfn, pfn) >=
	       w->pos.level;
}

/*
 * Frozen, emptied, filled, as in pgt_map_over_table().  What the leaves were is
 * taken from the exchange, for the CPU, pgt_fix() and pgt_wrprot() may have
 * changed them since pgt_may_collapse() looked.
 */
static void pgt_collapse_table(struct pgt_batch *batch, struct pgt_walk *w,
			       bool nx_huge)
{
	struct pgt_gather gather = { };
	u64 *table = pgt_table_of(w->fmt, w->pos.old);

	if (!pgt_change(batch, w->fmt, &w->pos, w->fmt->frozen, PGT_REPLACE)) {
		pgt_walk_again(w);
		return;
	}
	pgt_unlink_table(batch, w->fmt, table, w->pos.gfn, w->pos.level - 1,
			 &gather);
	w->pos.old = w->fmt->frozen;
	if (gather.model && gather.uniform) {
		pgt_change(batch, w->fmt, &w->pos,
			   pgt_collapsed(w->fmt, &gather, w->pos.level,
					 nx_huge),
			   PGT_FILL);
	} else {
		/* Faults bring back what has become of the range. */
		pgt_batch_freeze(batch, table, &w->pos);
	}
	w->pos.old = w->fmt->frozen;
}

/* Whether a huge leaf may stand where the walk is, as far as gfns tell. */
static bool pgt_may_be_huge(const struct pgt_walk *w,
			    const struct pgt_range *range)
{
	const struct pgt_root *root = w->root;
	u64 start = w->pos.gfn;
	u64 end = start + pgt_pages(w->pos.level);

	/* What an open batch unmaps must not come back in a huge leaf. */
	return start >= range->start && start >= root->foreign_end &&
	       end <= range->end && end <= root->end &&
	       end <= root->mmu->max_gfn &&
	       !pgt_is_open(root->mmu, start, end);
}

static void pgt_collapse_level(struct pgt_batch *batch, struct pgt_root *root,
			       const struct pgt_range *range, int level,
			       bool nx_huge)
{
	struct pgt_walk w;

	pgt_for_each(&w, root, range, level) {
		if (pgt_walk_rest(&w, batch) || pgt_walk_relieve(&w, batch) ||
		    pgt_walk_frozen(&w, batch))
			continue;
		if (w.pos.level != level ||
		    !pgt_is_table(w.pos.old, level) ||
		    !pgt_may_be_huge(&w, range))
			continue;
		if (nx_huge && w.pos.old & w.fmt->nx_disallowed)
			continue;
		if (!pgt_may_collapse(&w, nx_huge))
			continue;
		pgt_collapse_table(batch, &w, nx_huge);
	}
}

void pgt_collapse(struct pgt_batch *batch, struct pgt_root *root,
		  struct pgt_range *range, bool nx_huge)
{
	pgt_enter(batch, root, range);
	for (int level = 2; level <= root->fmt->max_leaf_level; level++) {
		/* It may have been invalidated while the last pass rested. */
		if (pgt_root_is_left(batch, root))
			break;
		pgt_collapse_level(batch, root, range, level, nx_huge);
	}
	pgt_leave(range);
}
