// SPDX-License-Identifier: GPL-2.0
/*
 * The validator: walks every table of every root and holds it against the rules
 * of Documentation/engine.rst, "What holds at rest".  It trusts nothing but the
 * list of roots, and follows links itself.
 */
#include "walk.h"

/**
 * struct pgt_census - what the validator has seen so far
 * @mmu:	what is validated
 * @root:	the root that the walk is in
 * @verdict:	the first rule found broken
 * @pages:	leaves seen, by level
 * @tables:	tables seen
 * @nx_tables:	those there because of the NX-huge-page mitigation
 */
struct pgt_census {
	struct pgt_mmu *mmu;
	const struct pgt_root *root;
	struct pgt_verdict *verdict;
	long pages[PGT_MAX_LEVEL + 1];
	long tables;
	long nx_tables;
};

static bool pgt_broken(struct pgt_census *census, const char *what,
		       const struct pgt_pos *pos)
{
	*census->verdict = (struct pgt_verdict) {
		.what = what,
		.gfn = pos->gfn,
		.entry = pos->old,
		.level = pos->level,
	};
	return false;
}

/* Every bit that a leaf may have. */
static u64 pgt_leaf_bits(const struct pgt_format *fmt, int level)
{
	u64 bits = fmt->present | fmt->leaf | fmt->read | fmt->write |
		   fmt->exec | fmt->user_exec | fmt->nx | fmt->user |
		   fmt->accessed | fmt->dirty | fmt->addr | fmt->me |
		   fmt->memtype | fmt->host_writable | fmt->mmu_writable |
		   (fmt->track_save << fmt->track_shift);

	return bits | (level > 1 ? PGT_HUGE | fmt->pat_huge : fmt->pat_small);
}

static bool pgt_validate_leaf(struct pgt_census *census,
			      const struct pgt_pos *pos)
{
	const struct pgt_format *fmt = census->root->fmt;
	u64 leaf = pos->old;
	u64 low = fmt->addr & ((pgt_pages(pos->level) << PGT_PAGE_SHIFT) - 1);

	if (pos->level > fmt->max_leaf_level)
		return pgt_broken(census, "leaf above the highest level", pos);
	if (census->root->state == PGT_ROOT_EMPTIED)
		return pgt_broken(census, "leaf in an emptied root", pos);
	if (leaf & ~pgt_leaf_bits(fmt, pos->level))
		return pgt_broken(census, "unknown bit in a leaf", pos);
	if ((leaf & fmt->present) != fmt->present ||
	    (leaf & fmt->leaf) != fmt->leaf)
		return pgt_broken(census, "leaf lacks a bit that all have",
				  pos);
	if (pos->level > 1 && leaf & low & ~fmt->pat_huge)
		return pgt_broken(census, "leaf not aligned", pos);
	if (leaf & fmt->write && !(leaf & fmt->mmu_writable))
		return pgt_broken(census, "writable, not MMU-writable", pos);
	if (leaf & fmt->mmu_writable && !(leaf & fmt->host_writable))
		return pgt_broken(census, "MMU-writable, not host-writable",
				  pos);
	if (pgt_is_tracked(fmt, leaf)) {
		if (fmt->accessed)
			return pgt_broken(census, "leaf without rights", pos);
		if (leaf & fmt->write)
			return pgt_broken(census, "tracked and writable", pos);
	} else if (leaf & (fmt->track_save << fmt->track_shift)) {
		return pgt_broken(census, "saved rights and not tracked", pos);
	}
	return true;
}

static bool pgt_validate_other(struct pgt_census *census,
			       const struct pgt_pos *pos)
{
	const struct pgt_format *fmt = census->root->fmt;

	if (pgt_is_empty(fmt, pos->old))
		return true;
	if (pgt_is_frozen(fmt, pos->old))
		return pgt_broken(census, "frozen entry at rest", pos);
	if (!pgt_is_mmio(fmt, pos->old))
		return pgt_broken(census, "neither present, MMIO nor empty",
				  pos);
	if (pos->level != 1)
		return pgt_broken(census, "MMIO entry above level 1", pos);
	if (pgt_mmio_gfn(fmt, pos->old) != pos->gfn)
		return pgt_broken(census, "MMIO entry of another gfn", pos);
	if ((pos->old & fmt->l1tf) != fmt->l1tf)
		return pgt_broken(census, "MMIO entry without the L1TF mask",
				  pos);
	return true;
}

static bool pgt_validate_table(struct pgt_census *census, u64 *table, u64 gfn,
			       int level);

static bool pgt_validate_link(struct pgt_census *census,
			      const struct pgt_pos *pos)
{
	const struct pgt_format *fmt = census->root->fmt;
	u64 fixed = ~(fmt->addr | fmt->nx_disallowed);

	if ((pos->old & fixed) != (fmt->table[pos->level] & fixed))
		return pgt_broken(census, "wrong bits in a link", pos);
	if (!pgt_table_pa(fmt, pos->old))
		return pgt_broken(census, "link to nowhere", pos);
	if (pos->old & fmt->nx_disallowed)
		census->nx_tables++;
	return pgt_validate_table(census, pgt_table_of(fmt, pos->old),
				  pos->gfn, pos->level - 1);
}

static bool pgt_validate_table(struct pgt_census *census, u64 *table, u64 gfn,
			       int level)
{
	const struct pgt_root *root = census->root;
	struct pgt_pos pos = { .entry = table, .gfn = gfn, .level = level };
	u64 max_gfn = min(root->end, census->mmu->max_gfn);
	bool ok;

	census->tables++;
	for (int i = 0; i < PGT_ENTRIES; i++) {
		if (level == root->foreign_level && pos.gfn < root->foreign_end)
			goto next;
		pos.old = READ_ONCE(*pos.entry);
		if (pgt_is_present(pos.old) && pos.gfn >= max_gfn)
			return pgt_broken(census, "present beyond the end",
					  &pos);
		if (pgt_is_leaf(pos.old, level) &&
		    pos.gfn + pgt_pages(level) > max_gfn)
			return pgt_broken(census, "leaf beyond the end", &pos);
		if (pgt_is_leaf(pos.old, level)) {
			census->pages[level]++;
			ok = pgt_validate_leaf(census, &pos);
		} else if (pgt_is_table(pos.old, level)) {
			ok = pgt_validate_link(census, &pos);
		} else {
			ok = pgt_validate_other(census, &pos);
		}
		if (!ok)
			return false;
next:
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	return true;
}

static bool pgt_validate_counts(struct pgt_census *census)
{
	const struct pgt_counters *counters = &census->mmu->counters;
	struct pgt_mmu *mmu = census->mmu;
	struct pgt_pos pos = { };

	for (pos.level = 1; pos.level <= PGT_MAX_LEAF_LEVEL; pos.level++)
		if (census->pages[pos.level] !=
		    atomic_long_read(counters->leaves[pos.level]))
			return pgt_broken(census, "leaves miscounted", &pos);
	pos.level = 0;
	/* Also found here: a table that is linked twice, or was lost. */
	if (census->tables != atomic_long_read(counters->tables) ||
	    census->nx_tables != atomic_long_read(counters->nx_tables))
		return pgt_broken(census, "tables miscounted", &pos);
	if (!list_empty(&mmu->open))
		return pgt_broken(census, "open batch at rest", &pos);
	return true;
}

bool pgt_validate(struct pgt_mmu *mmu, struct pgt_verdict *verdict)
{
	struct pgt_census census = { .mmu = mmu, .verdict = verdict };
	struct pgt_root *root;
	bool ok = true;

	verdict->what = NULL;
	spin_lock(&mmu->roots_lock);
	list_for_each_entry(root, &mmu->roots, link) {
		census.root = root;
		ok = pgt_validate_table(&census, root->table, 0, root->levels);
		if (!ok)
			break;
	}
	if (ok)
		ok = pgt_validate_counts(&census);
	spin_unlock(&mmu->roots_lock);
	return ok;
}
