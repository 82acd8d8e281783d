// SPDX-License-Identifier: GPL-2.0
/*
 * Unmapping: leaves, tables, and what becomes of the entries of a table that is
 * no longer a part of the tree.
 */
#include "walk.h"

/*
 * Whether a table whose entries are of @level links others.  Who is to take one
 * apart looks first, so that a step is no longer than a table.
 */
bool pgt_links_tables(const u64 *table, int level)
{
	for (int i = 0; level > 1 && i < PGT_ENTRIES; i++)
		if (pgt_is_table(READ_ONCE(table[i]), level))
			return true;
	return false;
}

/* Add the leaf that @pos was found to hold to what is known of its table. */
void pgt_gather_leaf(struct pgt_gather *gather, const struct pgt_format *fmt,
		     const struct pgt_pos *pos)
{
	u64 state = fmt->accessed | fmt->dirty | fmt->write | fmt->mmu_writable;
	u64 leaf = pos->old;
	u64 like;

	if (pgt_is_tracked(fmt, leaf))
		leaf = pgt_untrack(fmt, leaf);
	if (!gather->model) {
		gather->model = leaf;
		gather->model_gfn = pos->gfn;
		gather->uniform = true;
		gather->write = true;
		gather->mmu_writable = true;
	}
	like = (gather->model ^ leaf) & ~(fmt->addr | state);
	if (pos->level > 1)
		like |= (gather->model ^ leaf) & fmt->pat_huge;
	if (like || pgt_leaf_pfn(fmt, leaf, pos->level) - pos->gfn !=
		    pgt_leaf_pfn(fmt, gather->model, pos->level) -
		    gather->model_gfn)
		gather->uniform = false;
	gather->accessed |= pgt_is_accessed(fmt, pos->old);
	gather->dirty |= !!(leaf & fmt->dirty);
	gather->write &= !!(pos->old & fmt->write);
	gather->mmu_writable &= !!(leaf & fmt->mmu_writable);
}

/**
 * pgt_unlink_table() - take apart a table that the tree no longer links
 * @batch:	takes the tables
 * @fmt:	their format
 * @table:	the table, whose link has been replaced
 * @gfn:	first gfn below it
 * @level:	level of its entries
 * @gather:	what its leaves were, those of tables below included; or NULL
 *
 * Every entry is exchanged for a frozen one: a CPU with the link cached may set
 * accessed and dirty bits until the invalidation, and lockless paths and faults
 * that came here before the link was cut may try to change entries.  They fail,
 * or are before us and their change is taken along.
 *
 * So is a table below: the caller has seen that there was none, but a fault may
 * have linked one since (pgt_links_tables(), or the rounds of pgt_zap_tables()).
 */
void pgt_unlink_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		      u64 *table, u64 gfn, int level,
		      struct pgt_gather *gather)
{
	bool alone = batch->mode == PGT_EXCLUSIVE || batch->obsolete;
	struct pgt_pos pos = { .entry = table, .gfn = gfn, .level = level };

	for (int i = 0; i < PGT_ENTRIES; i++) {
		/* Only a fault fills an empty entry, and none can be here. */
		if (alone && pgt_is_empty(fmt, READ_ONCE(*pos.entry)))
			goto next;
		/*
		 * If somebody else froze the entry it is about to be thawed or
		 * filled; what it becomes then is ours to take.
		 */
		while (pgt_change(batch, fmt, &pos, fmt->frozen, PGT_STRIP) &&
		       pgt_is_frozen(fmt, pos.old))
			pgt_batch_wait(batch);
		if (pgt_is_table(pos.old, level))
			pgt_unlink_table(batch, fmt,
					 pgt_table_of(fmt, pos.old), pos.gfn,
					 level - 1, gather);
		if (gather && pgt_is_leaf(pos.old, level))
			pgt_gather_leaf(gather, fmt, &pos);
		else if (gather && pgt_is_table(pos.old, level))
			gather->uniform = false;
next:
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	virt_to_ptdesc(table)->pt_index = 0;
	list_add_tail(&virt_to_ptdesc(table)->pt_list, &batch->unlinked);
}

void pgt_zap_leaves(struct pgt_batch *batch, struct pgt_root *root,
		    struct pgt_range *range)
{
	struct pgt_walk w;

	lockdep_assert_held_write(root->mmu->lock);
	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, 1) {
		if (pgt_walk_rest(&w, batch))
			continue;
		if (pgt_is_leaf(w.pos.old, w.pos.level))
			pgt_change(batch, w.fmt, &w.pos, w.fmt->nonpresent,
				   PGT_TAKE);
	}
	pgt_leave(range);
}

/* Unlink the table that @pos links; nobody can map there meanwhile. */
static void pgt_zap_table(struct pgt_batch *batch, const struct pgt_format *fmt,
			  struct pgt_pos *pos)
{
	u64 *table = pgt_table_of(fmt, pos->old);

	pgt_change(batch, fmt, pos, fmt->nonpresent, PGT_TAKE);
	pgt_unlink_table(batch, fmt, table, pos->gfn, pos->level - 1, NULL);
	pos->old = fmt->nonpresent;
}

/**
 * pgt_drop_table() - unlink a table, however the lock is held
 * @batch:	takes it; under the shared lock it keeps less than
 *		PGT_BATCH_FROZEN entries frozen
 * @fmt:	its format
 * @pos:	the link
 *
 * Under the shared lock the entry is frozen until the batch has invalidated, so
 * that no fault maps what a CPU may still have another translation for.
 *
 * Return: false if the entry has changed; @pos->old is what it holds.
 */
bool pgt_drop_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		    struct pgt_pos *pos)
{
	u64 *table = pgt_table_of(fmt, pos->old);

	if (batch->mode == PGT_EXCLUSIVE) {
		pgt_zap_table(batch, fmt, pos);
		return true;
	}
	if (!pgt_change(batch, fmt, pos, fmt->frozen, PGT_REPLACE))
		return false;
	pgt_unlink_table(batch, fmt, table, pos->gfn, pos->level - 1, NULL);
	pos->old = fmt->frozen;
	pgt_batch_freeze(batch, table, pos);
	return true;
}

static bool pgt_is_within(const struct pgt_walk *w,
			  const struct pgt_range *range)
{
	return w->pos.gfn >= range->start &&
	       w->pos.gfn >= w->root->foreign_end &&
	       w->pos.gfn + pgt_pages(w->pos.level) <= range->end;
}

/* Zap what entries at @level or above lead to, but for the tables above. */
static void pgt_zap_level(struct pgt_batch *batch, struct pgt_root *root,
			  struct pgt_range range, int level)
{
	struct pgt_walk w;

	pgt_for_each(&w, root, &range, level) {
		if (pgt_walk_rest(&w, batch))
			continue;
		if (pgt_is_table(w.pos.old, w.pos.level)) {
			if (w.pos.level == level && pgt_is_within(&w, &range))
				pgt_zap_table(batch, w.fmt, &w.pos);
		} else if (!pgt_is_empty(w.fmt, w.pos.old)) {
			pgt_change(batch, w.fmt, &w.pos, w.fmt->nonpresent,
				   PGT_TAKE);
		}
	}
}

void pgt_zap_tables(struct pgt_batch *batch, struct pgt_root *root,
		    struct pgt_range *range)
{
	if (!batch->obsolete)
		lockdep_assert_held_write(root->mmu->lock);
	pgt_enter(batch, root, range);
	/*
	 * The first round takes the tables that have nothing but leaves, a
	 * table a step, each next one tables that the one before has emptied.
	 * Only tables that the range covers in part are left for the last.
	 */
	for (int level = 2; level <= root->levels; level++)
		pgt_zap_level(batch, root, *range, level);
	pgt_zap_level(batch, root, *range, 1);
	pgt_leave(range);
}

/* The end of the lowest NX-disallowed table that the walk is in, or 0. */
static u64 pgt_nx_end(const struct pgt_walk *w)
{
	for (int level = w->pos.level + 1; level <= w->root->levels; level++) {
		u64 link = READ_ONCE(w->table[level][pgt_index(w->gfn, level)]);

		if (pgt_is_table(link, level) && link & w->fmt->nx_disallowed)
			return pgt_base(w->gfn, level) + pgt_pages(level);
	}
	return 0;
}

bool pgt_zap_nx_table(struct pgt_batch *batch, struct pgt_root *root,
		      struct pgt_range *range)
{
	struct pgt_walk w;

	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, 2) {
		u64 end, nx_end;

		if (pgt_walk_rest(&w, batch) || pgt_walk_relieve(&w, batch) ||
		    pgt_walk_frozen(&w, batch))
			continue;
		if (!pgt_is_table(w.pos.old, w.pos.level))
			continue;
		/*
		 * In a table that is to go, others go first; each but once, for
		 * faults may bring them back as fast as we take them.
		 */
		nx_end = pgt_nx_end(&w);
		if (nx_end ? w.pos.gfn < range->start :
			     !(w.pos.old & w.fmt->nx_disallowed))
			continue;
		if (pgt_links_tables(pgt_table_of(w.fmt, w.pos.old),
				     w.pos.level - 1))
			continue;
		if (!pgt_drop_table(batch, w.fmt, &w.pos)) {
			pgt_walk_again(&w);
			continue;
		}
		rcu_read_unlock();
		/* After the last table in it, the one that is to go is next. */
		end = w.pos.gfn + pgt_pages(w.pos.level);
		range->start = nx_end ? min(end, nx_end - 1) : end;
		return true;
	}
	rcu_read_unlock();
	range->start = max(range->start, w.gfn);
	return false;
}
