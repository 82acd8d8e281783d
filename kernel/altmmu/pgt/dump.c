// SPDX-License-Identifier: GPL-2.0
/*
 * Reading tables out, under RCU alone.
 */
#include <linux/errno.h>

#include "walk.h"

int pgt_lookup(struct pgt_root *root, u64 gfn, u64 entries[PGT_MAX_LEVEL + 1])
{
	struct pgt_pos pos;

	pgt_assert_rcu();
	if (!pgt_pos_find(&pos, root, gfn, root->levels))
		return -ERANGE;
	for (;;) {
		entries[pos.level] = pos.old;
		if (!pgt_is_table(pos.old, pos.level))
			return pos.level;
		pgt_pos_dive(&pos, root->fmt, gfn, pos.level - 1);
	}
}

unsigned int pgt_dump(struct pgt_root *root, struct pgt_range *range,
		      struct pgt_dump_entry *out, unsigned int nr)
{
	int left = PGT_RCU_STEPS;
	unsigned int used = 0;
	struct pgt_walk w;

	pgt_assert_rcu();
	pgt_for_each(&w, root, range, 1) {
		if (!left--) {
			range->start = w.gfn;
			return used;
		}
		if (pgt_is_empty(w.fmt, w.pos.old))
			continue;
		if (used == nr) {
			range->start = w.gfn;
			return used;
		}
		out[used++] = (struct pgt_dump_entry) {
			.gfn = w.pos.gfn,
			.entry = w.pos.old,
			.level = w.pos.level,
		};
	}
	range->start = range->end;
	return used;
}
