// SPDX-License-Identifier: GPL-2.0
/*
 * Software private page tables: one leaf of 512, and 512 of one.
 */
#include <linux/compiler.h>
#include <linux/minmax.h>

#include "softsept_internal.h"

/* An interrupted call is repeated at once, so every other one gets through. */
static bool softsept_inject_interrupt(struct softsept *s)
{
	unsigned int every = READ_ONCE(s->interrupt_every);

	if (likely(!every) || atomic_read(&s->gate))
		return false;
	return (unsigned int)atomic_read(&s->count) % max(every, 2U) == 0;
}

/* What the 512 entries of a table would be as one leaf: its state and place. */
static enum softsept_error softsept_gather(const struct softsept_op *op,
					   const u64 *table,
					   enum softsept_state *state, u64 *pa)
{
	int level = op->level - 1;
	u64 size = pgt_pages(level) << PGT_PAGE_SHIFT;
	u64 first = READ_ONCE(table[0]);

	*state = softsept_state_of(first, level);
	*pa = softsept_pa(op->s, first, level);
	for (unsigned int i = 0; i < PGT_ENTRIES; i++) {
		u64 entry = READ_ONCE(table[i]);

		if (entry & SOFTSEPT_E_LOCK)
			return SOFTSEPT_BUSY;
		if (softsept_state_of(entry, level) != *state ||
		    softsept_pa(op->s, entry, level) != *pa + i * size)
			return SOFTSEPT_PROMOTE;
	}
	if (*state != SOFTSEPT_PENDING && *state != SOFTSEPT_MAPPED)
		return SOFTSEPT_PROMOTE;
	/* PGT_ENTRIES is a power of two. */
	return *pa & (size * PGT_ENTRIES - 1) ? SOFTSEPT_PROMOTE : SOFTSEPT_OK;
}

static void softsept_unlock_entries(const struct softsept *s, u64 *table,
				    u64 pa, int level, unsigned int nr)
{
	u64 size = pgt_pages(level) << PGT_PAGE_SHIFT;

	for (unsigned int i = 0; i < nr; i++)
		WRITE_ONCE(table[i], softsept_make(s, SOFTSEPT_PENDING,
						   pa + i * size, level));
}

/*
 * Have all entries of a table of pending leaves for ourselves.  The table is
 * blocked, but who accepts may have come by the link before that.  False, and
 * none of them is locked, if one isn't what it was any more.
 */
static bool softsept_lock_entries(const struct softsept *s, u64 *table, u64 pa,
				  int level)
{
	u64 size = pgt_pages(level) << PGT_PAGE_SHIFT;

	for (unsigned int i = 0; i < PGT_ENTRIES; i++) {
		u64 old = softsept_make(s, SOFTSEPT_PENDING, pa + i * size,
					level);

		if (try_cmpxchg64(&table[i], &old, old | SOFTSEPT_E_LOCK))
			continue;
		softsept_unlock_entries(s, table, pa, level, i);
		return false;
	}
	return true;
}

static void softsept_clear_table(const struct softsept *s, u64 *table)
{
	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		WRITE_ONCE(table[i], s->fmt->nonpresent);
}

int softsept_promote(struct mirror_provider *p, u64 gfn, int level,
		     void *table)
{
	enum softsept_state state;
	enum softsept_error error;
	struct softsept_op op;
	u64 pa;

	error = softsept_begin(&op, p, MIRROR_PROMOTE, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (softsept_table(&op) != table)
		return softsept_end(&op, SOFTSEPT_OPERAND);
	error = softsept_gather(&op, table, &state, &pa);
	if (error)
		return softsept_end(&op, error);
	if (softsept_inject_interrupt(op.s))
		return softsept_end(&op, SOFTSEPT_INTERRUPTED);
	/* Nobody changes leaves that are accepted already: no CPU gets there. */
	if (state == SOFTSEPT_PENDING &&
	    !softsept_lock_entries(op.s, table, pa, level - 1))
		return softsept_end(&op, SOFTSEPT_BUSY);
	if (!softsept_set(&op, softsept_make(op.s, state, pa, level))) {
		if (state == SOFTSEPT_PENDING)
			softsept_unlock_entries(op.s, table, pa, level - 1,
						PGT_ENTRIES);
		return softsept_end(&op, SOFTSEPT_BUSY);
	}
	/* Who is still in the table, under RCU, finds nothing to accept there. */
	softsept_clear_table(op.s, table);
	return softsept_end(&op, SOFTSEPT_OK);
}

int softsept_demote(struct mirror_provider *p, u64 gfn, int level, void *table)
{
	enum softsept_state state;
	enum softsept_error error;
	struct softsept_op op;
	u64 *child = table;
	u64 pa, size;

	error = softsept_begin(&op, p, MIRROR_DEMOTE, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (!softsept_is_empty(op.s, table))
		return softsept_end(&op, SOFTSEPT_OPERAND);
	if (softsept_inject_interrupt(op.s))
		return softsept_end(&op, SOFTSEPT_INTERRUPTED);
	state = softsept_unblocked(softsept_state_of(op.old, level));
	pa = softsept_pa(op.s, op.old, level);
	size = pgt_pages(level - 1) << PGT_PAGE_SHIFT;
	/* Nobody sees the table yet. */
	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		WRITE_ONCE(child[i], softsept_make(op.s, state, pa + i * size,
						   level - 1));
	if (!softsept_set(&op, softsept_make(op.s, SOFTSEPT_LINK, __pa(table),
					     level))) {
		softsept_clear_table(op.s, table);
		return softsept_end(&op, SOFTSEPT_BUSY);
	}
	return softsept_end(&op, SOFTSEPT_OK);
}
