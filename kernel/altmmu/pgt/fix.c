// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that need nothing but a permission, and aging, which takes one away:
 * what runs under RCU alone, on leaves that others change at the same time.
 */
#include <linux/errno.h>

#include "walk.h"

/* The CPU sets bits, others fix or age: who loses so often gives up. */
#define PGT_FIX_TRIES		4

/*
 * What a leaf has to become for a fault to pass, or 0.  Write permission alone
 * is never taken from the saved rights of an access-tracked leaf: it goes
 * through the MMU-writable bit, so that it is logged.
 */
static u64 pgt_fixed(const struct pgt_format *fmt, u64 leaf, u8 want)
{
	if (pgt_is_tracked(fmt, leaf))
		leaf = pgt_untrack(fmt, leaf);
	/* EPT has no leaf that can be written but not read (SDM 29.3.3.1). */
	if (want & PGT_W && leaf & fmt->mmu_writable && leaf & fmt->read)
		leaf |= fmt->write;
	return pgt_allows(fmt, leaf, want) ? leaf : 0;
}

int pgt_fix(struct pgt_root *root, u64 gfn, u8 want, bool log)
{
	const struct pgt_format *fmt = root->fmt;
	int tries = PGT_FIX_TRIES;
	struct pgt_pos pos;

	pgt_assert_rcu();
	if (!pgt_pos_find(&pos, root, gfn, 1))
		return -ENOENT;

	while (tries--) {
		u64 old = pos.old;
		u64 new;

		if (pgt_is_frozen(fmt, old))
			return -EAGAIN;
		if (!pgt_is_leaf(old, pos.level))
			return -ENOENT;
		if (pgt_allows(fmt, old, want))
			return PGT_SPURIOUS;
		new = pgt_fixed(fmt, old, want);
		if (!new)
			return -EACCES;
		/* What is logged is a 4K page. */
		if (log && pos.level > 1 && new & ~old & fmt->write)
			return -EACCES;
		/*
		 * If the table was unlinked meanwhile its entries are frozen
		 * and the exchange fails; if it is about to be, our change is
		 * taken along.
		 */
		if (!pgt_change(NULL, fmt, &pos, new, PGT_REPLACE))
			continue;
		/*
		 * After the change, not before: whoever took the gfn from the
		 * log in between would find the leaf write-protected still,
		 * and the write that we allow would be in no log.
		 */
		if (log && new & ~old & fmt->write)
			pgt_env_log_dirty(root, gfn);
		return PGT_DONE;
	}
	return -EAGAIN;
}

/*
 * Make one leaf old.  A CPU that has it cached goes on using it unseen; the
 * next zap, write protection or the like counts the leaf as cached all the same.
 */
static void pgt_age_leaf(struct pgt_walk *w)
{
	int tries = PGT_FIX_TRIES;

	while (tries-- && pgt_is_leaf(w->pos.old, w->pos.level) &&
	       pgt_is_accessed(w->fmt, w->pos.old)) {
		u64 new = w->fmt->accessed ? w->pos.old & ~w->fmt->accessed :
					     pgt_track(w->fmt, w->pos.old);

		if (pgt_change(NULL, w->fmt, &w->pos, new, PGT_REPLACE))
			return;
	}
}

bool pgt_age(struct pgt_root *root, struct pgt_range *range)
{
	int left = PGT_RCU_STEPS;
	struct pgt_walk w;
	bool young = false;

	pgt_assert_rcu();
	pgt_for_each(&w, root, range, 1) {
		if (!left--) {
			range->start = w.gfn;
			return young;
		}
		if (pgt_is_leaf(w.pos.old, w.pos.level) &&
		    pgt_is_accessed(w.fmt, w.pos.old)) {
			young = true;
			pgt_age_leaf(&w);
		}
	}
	range->start = range->end;
	return young;
}

bool pgt_test_age(struct pgt_root *root, struct pgt_range *range)
{
	int left = PGT_RCU_STEPS;
	struct pgt_walk w;

	pgt_assert_rcu();
	pgt_for_each(&w, root, range, 1) {
		if (!left--) {
			range->start = w.gfn;
			return false;
		}
		if (pgt_is_leaf(w.pos.old, w.pos.level) &&
		    pgt_is_accessed(w.fmt, w.pos.old)) {
			range->start = range->end;
			return true;
		}
	}
	range->start = range->end;
	return false;
}
