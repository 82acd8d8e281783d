// SPDX-License-Identifier: GPL-2.0
/*
 * Taking write permission or dirty bits from leaves, for dirty logging and for
 * whoever tracks writes.
 */
#include <linux/bitops.h>

#include "walk.h"

/*
 * Take @clear from the leaf that the walk is at.  @hidden bits say that a TLB
 * may hold what the leaf itself no longer shows.
 */
static __always_inline void pgt_take_bits(struct pgt_batch *batch,
					  struct pgt_walk *w, u64 clear,
					  u64 hidden)
{
	if (w->pos.old & clear) {
		if (!pgt_change(batch, w->fmt, &w->pos, w->pos.old & ~clear,
				PGT_TRIM))
			pgt_walk_again(w);
	} else if (w->pos.old & hidden) {
		pgt_batch_stale(batch, w->pos.gfn,
				w->pos.gfn + pgt_pages(w->pos.level));
	}
}

void pgt_wrprot(struct pgt_batch *batch, struct pgt_root *root,
		struct pgt_range *range, int min_level, bool track)
{
	const struct pgt_format *fmt = root->fmt;
	u64 clear = fmt->write | (track ? fmt->mmu_writable : 0);
	struct pgt_walk w;

	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, min_level) {
		if (pgt_walk_rest(&w, batch) || pgt_walk_frozen(&w, batch))
			continue;
		if (pgt_is_leaf(w.pos.old, w.pos.level))
			pgt_take_bits(batch, &w, clear, fmt->mmu_writable);
	}
	pgt_leave(range);
}

void pgt_clear_dirty(struct pgt_batch *batch, struct pgt_root *root,
		     struct pgt_range *range)
{
	const struct pgt_format *fmt = root->fmt;
	u64 clear = fmt->dirty ?: fmt->write;
	u64 hidden = fmt->dirty ? 0 : fmt->mmu_writable;
	struct pgt_walk w;

	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, 1) {
		if (pgt_walk_rest(&w, batch) || pgt_walk_frozen(&w, batch))
			continue;
		if (pgt_is_leaf(w.pos.old, w.pos.level))
			pgt_take_bits(batch, &w, clear, hidden);
	}
	pgt_leave(range);
}

void pgt_clear_dirty_mask(struct pgt_batch *batch, struct pgt_root *root,
			  u64 gfn, u64 mask, bool wrprot)
{
	const struct pgt_format *fmt = root->fmt;
	bool by_write = wrprot || !fmt->dirty;
	u64 clear = by_write ? fmt->write : fmt->dirty;
	u64 hidden = by_write ? fmt->mmu_writable : 0;
	struct pgt_range range;
	struct pgt_walk w;

	if (!mask)
		return;
	range.start = gfn + __ffs64(mask);
	range.end = gfn + fls64(mask);

	lockdep_assert_held_write(root->mmu->lock);
	pgt_enter(batch, root, &range);
	pgt_for_each(&w, root, &range, 1) {
		if (pgt_is_leaf(w.pos.old, w.pos.level) && w.pos.level == 1 &&
		    mask & BIT_ULL(w.pos.gfn - gfn))
			pgt_take_bits(batch, &w, clear, hidden);
	}
	pgt_leave(&range);
}
