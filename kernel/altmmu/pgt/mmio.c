// SPDX-License-Identifier: GPL-2.0
/*
 * MMIO entries: a gfn that no memslot covers, remembered in an entry that
 * faults in a way of its own.  Good for one memslot generation.
 */
#include <linux/errno.h>

#include "walk.h"

/* The part of a memslot generation that an entry holds. */
static u64 pgt_gen_of(u64 gen)
{
	return gen & GENMASK_ULL(PGT_MMIO_GEN_BITS - 1, 0);
}

int pgt_map_mmio(struct pgt_batch *batch, struct pgt_root *root, u64 gfn,
		 u64 gen, u64 access, struct pgt_cache *cache)
{
	const struct pgt_format *fmt = root->fmt;
	struct pgt_pos pos;
	u64 entry;
	int ret;

	if (!fmt->mmio_mask || gfn >= fmt->mmio_gfn_max)
		return -EOPNOTSUPP;
	/* What was looked up may be neither of the old nor of the new slots. */
	if (gen & PGT_GEN_IN_PROGRESS)
		return -EBUSY;
	ret = pgt_map_allowed(batch, root, gfn, gfn, gfn + 1);
	if (ret)
		return ret;

	entry = pgt_mmio_make(fmt, gfn, pgt_gen_of(gen), access);
	rcu_read_lock();
	pgt_pos_in(&pos, root->table, gfn, root->levels);
	for (;;) {
		pgt_pos_dive(&pos, fmt, gfn, 1);
		if (pgt_is_frozen(fmt, pos.old))
			ret = -EAGAIN;
		else if (pgt_is_present(pos.old))
			ret = -EEXIST;
		else if (pos.level > 1)
			ret = pgt_link_table(batch, fmt, &pos, 0, cache);
		if (ret || pos.level == 1)
			break;
	}
	if (!ret && pos.old == entry)
		ret = PGT_SPURIOUS;
	else if (!ret && !pgt_change(batch, fmt, &pos, entry, PGT_REPLACE))
		ret = -EAGAIN;
	rcu_read_unlock();
	return ret;
}

int pgt_lookup_mmio(struct pgt_root *root, u64 gfn, u64 gen, u64 *access)
{
	u64 entries[PGT_MAX_LEVEL + 1];
	int level = pgt_lookup(root, gfn, entries);

	if (level != 1 || !pgt_is_mmio(root->fmt, entries[1]))
		return -ENOENT;
	if (gen & PGT_GEN_IN_PROGRESS ||
	    pgt_mmio_gen(entries[1]) != pgt_gen_of(gen))
		return -ESTALE;
	*access = pgt_mmio_access(root->fmt, entries[1]);
	return 0;
}

void pgt_expire_mmio(struct pgt_batch *batch, struct pgt_root *root,
		     struct pgt_range *range, u64 gen)
{
	struct pgt_walk w;

	pgt_enter(batch, root, range);
	pgt_for_each(&w, root, range, 1) {
		if (pgt_walk_rest(&w, batch))
			continue;
		if (!pgt_is_mmio(w.fmt, w.pos.old))
			continue;
		/* While slots are updated no entry is good. */
		if (!(gen & PGT_GEN_IN_PROGRESS) &&
		    pgt_mmio_gen(w.pos.old) == pgt_gen_of(gen))
			continue;
		if (!pgt_change(batch, w.fmt, &w.pos, w.fmt->nonpresent,
				PGT_REPLACE))
			pgt_walk_again(&w);
	}
	pgt_leave(range);
}
