/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page-table engine: what it asks of the code that it is linked into.
 *
 * Plain functions, resolved when the module or the test program is linked: the
 * engine makes no indirect call.
 */
#ifndef ALTMMU_PGT_ENV_H
#define ALTMMU_PGT_ENV_H

#include <linux/tracepoint-defs.h>
#include <linux/types.h>

struct pgt_mmu;
struct pgt_root;

/**
 * pgt_env_flush() - drop what every CPU holds for a range
 * @mmu:	whose
 * @start:	first gfn
 * @end:	end of the gfns
 *
 * TLB entries that overlap the range, of every address space and root, and
 * cached upper entries on the way to it.  Does not return before that is done
 * and no CPU is still using one.
 *
 * Context: the MMU's lock is held, either way.
 */
void pgt_env_flush(struct pgt_mmu *mmu, u64 start, u64 end);

/**
 * pgt_env_obsolete() - make every vCPU drop roots that are not valid
 * @mmu:	whose
 *
 * Does not return before no CPU can reach such a root.  A CPU drops what it
 * holds for a root before it uses it, so that a table that comes back as another
 * root's brings nothing of the old one along.
 *
 * Context: exclusive.
 */
void pgt_env_obsolete(struct pgt_mmu *mmu);

/**
 * pgt_env_log_dirty() - put a 4K page into the dirty log
 * @root:	where it is mapped
 * @gfn:	which
 *
 * Context: shared, exclusive or RCU.
 */
void pgt_env_log_dirty(struct pgt_root *root, u64 gfn);

/**
 * pgt_env_max_level() - how large a leaf may be, for all but the engine
 * @root:	where
 * @gfn:	any
 * @pfn:	what is mapped there
 *
 * Memslot, attributes, and how the host maps the page.  A collapse maps also
 * what was not mapped before, so while the host is invalidating any part of the
 * leaf (mmu_invalidate_retry_gfn()) the answer is 1.
 *
 * Context: shared or exclusive.
 * Return: a level, 1 to 3.
 */
int pgt_env_max_level(struct pgt_root *root, u64 gfn, u64 pfn);

/**
 * pgt_env_account_table() - a table came into use or went out of it
 * @table:	its address
 * @nr:		1 or -1
 */
void pgt_env_account_table(void *table, int nr);

DECLARE_TRACEPOINT(altmmu_change);

/* Whether somebody traces: a jump that is not there as long as nobody does. */
static inline bool pgt_env_trace_change_enabled(void)
{
	return tracepoint_enabled(altmmu_change);
}

/**
 * pgt_env_trace_change() - an entry was changed, and somebody traces that
 * @gfn:	first gfn under it
 * @level:	its level
 * @old:	what it held
 * @new:	what it holds
 */
void pgt_env_trace_change(u64 gfn, int level, u64 old, u64 new);

#endif /* ALTMMU_PGT_ENV_H */
