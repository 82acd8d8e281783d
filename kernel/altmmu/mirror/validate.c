// SPDX-License-Identifier: GPL-2.0
/*
 * The validator of the mirror: walks every table and holds it against the rules of
 * Documentation/mirror.rst, "What holds when the lock is free".  As that of the
 * engine it follows links itself.
 */
#include "internal.h"

/**
 * struct mirror_census - what the validator has seen so far
 * @mirror:	what is validated
 * @verdict:	the first rule found broken
 * @leaves:	leaves seen that are not blocked, by level
 * @tables:	tables seen whose links are not blocked, the root included
 * @blocked:	blocked entries seen
 */
struct mirror_census {
	struct mirror *mirror;
	struct pgt_verdict *verdict;
	long leaves[PGT_MAX_LEVEL + 1];
	long tables;
	unsigned long blocked;
};

static bool mirror_wrong(struct mirror_census *census, const char *what,
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

/* @was is the entry before it was blocked, if it is. */
static bool mirror_validate_leaf(struct mirror_census *census,
				 const struct pgt_pos *pos, u64 was)
{
	const struct mirror *mirror = census->mirror;
	u64 end = min(mirror->root->end, mirror->mmu.max_gfn);

	census->leaves[pos->level] += !mirror_is_blocked(pos->old);
	if (pos->level > mirror->fmt.max_leaf_level)
		return mirror_wrong(census, "leaf above the highest level",
				    pos);
	if (was != mirror_leaf(pgt_leaf_pfn(&mirror->fmt, was, pos->level),
			       pos->level))
		return mirror_wrong(census, "leaf not aligned, or with other bits",
				    pos);
	if (pos->gfn + pgt_pages(pos->level) > end)
		return mirror_wrong(census, "leaf beyond the end", pos);
	return true;
}

/* Something was blocked: whoever comes next has to find it, in time. */
static bool mirror_validate_blocked(struct mirror_census *census,
				    const struct pgt_pos *pos)
{
	const struct mirror *mirror = census->mirror;

	census->blocked++;
	if (pos->gfn < mirror->blocked_in.start ||
	    pos->gfn + pgt_pages(pos->level) > mirror->blocked_in.end)
		return mirror_wrong(census, "blocked out of what is known", pos);
	if (mirror->tracks - mirror->oldest > MIRROR_MAX_AGE)
		return mirror_wrong(census, "blocked for too long", pos);
	return true;
}

static bool mirror_validate_table(struct mirror_census *census, u64 *table,
				  u64 gfn, int level);

static bool mirror_validate_link(struct mirror_census *census,
				 const struct pgt_pos *pos, u64 was)
{
	const struct mirror *mirror = census->mirror;
	const struct pgt_format *fmt = &mirror->fmt;
	u64 *table;

	if (!pgt_table_pa(fmt, was) ||
	    was != pgt_make_table(fmt, pgt_table_pa(fmt, was), pos->level))
		return mirror_wrong(census, "wrong bits in a link", pos);
	table = pgt_table_of(fmt, was);
	if (!mirror_provided(table))
		return mirror_wrong(census, "table that the provider has none for",
				    pos);
	/* One that could not be unblocked again is left as it was. */
	if (mirror_is_blocked(pos->old) && !mirror->broken &&
	    !mirror_table_is_empty(table))
		return mirror_wrong(census, "blocked link of what is in use",
				    pos);
	census->tables += !mirror_is_blocked(pos->old);
	return mirror_validate_table(census, table, pos->gfn, pos->level - 1);
}

static bool mirror_validate_entry(struct mirror_census *census,
				  const struct pgt_pos *pos)
{
	const struct mirror *mirror = census->mirror;
	const struct pgt_format *fmt = &mirror->fmt;
	u64 was = pos->old;

	if (pgt_is_empty(fmt, was))
		return true;
	if (pgt_is_frozen(fmt, was))
		return mirror_wrong(census, "frozen, and nobody is at work",
				    pos);
	if (mirror_is_blocked(was)) {
		if (pgt_is_present(was))
			return mirror_wrong(census, "blocked and present", pos);
		was = mirror_unblocked(was);
		if (!mirror_validate_blocked(census, pos))
			return false;
	}
	if (pgt_is_leaf(was, pos->level))
		return mirror_validate_leaf(census, pos, was);
	if (pgt_is_table(was, pos->level))
		return mirror_validate_link(census, pos, was);
	return mirror_wrong(census, "neither leaf, link nor empty", pos);
}

static bool mirror_validate_table(struct mirror_census *census, u64 *table,
				  u64 gfn, int level)
{
	struct pgt_pos pos = { .entry = table, .gfn = gfn, .level = level };

	for (int i = 0; i < PGT_ENTRIES; i++) {
		pos.old = READ_ONCE(*pos.entry);
		if (!mirror_validate_entry(census, &pos))
			return false;
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	return true;
}

static bool mirror_validate_counts(struct mirror_census *census)
{
	struct mirror *mirror = census->mirror;
	const struct pgt_counters *counters = &mirror->mmu.counters;
	struct pgt_pos pos = { };

	for (pos.level = 1; pos.level <= PGT_MAX_LEAF_LEVEL; pos.level++)
		if (census->leaves[pos.level] !=
		    atomic_long_read(counters->leaves[pos.level]))
			return mirror_wrong(census, "leaves miscounted", &pos);
	pos.level = 0;
	/* Also found here: a table that is linked twice, or was lost. */
	if (census->tables != atomic_long_read(counters->tables))
		return mirror_wrong(census, "tables miscounted", &pos);
	if (census->blocked != mirror->blocked)
		return mirror_wrong(census, "blocked entries miscounted", &pos);
	if (mirror->untracked && !mirror->blocked)
		return mirror_wrong(census, "nothing blocked to be tracked",
				    &pos);
	if (mirror->window)
		return mirror_wrong(census, "window without a lock", &pos);
	return true;
}

bool mirror_validate(struct mirror *mirror, struct pgt_verdict *verdict)
{
	struct mirror_census census = {
		.mirror = mirror,
		.verdict = verdict,
		.tables = 1,
	};
	struct pgt_root *root = mirror->root;

	verdict->what = NULL;
	return mirror_validate_table(&census, root->table, 0, root->levels) &&
	       mirror_validate_counts(&census);
}
