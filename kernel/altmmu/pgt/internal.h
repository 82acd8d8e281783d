/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the engine's files share with each other and with nobody else.
 */
#ifndef ALTMMU_PGT_INTERNAL_H
#define ALTMMU_PGT_INTERNAL_H

#include <linux/lockdep.h>
#include <linux/mm.h>

#include "env.h"
#include "pgt.h"

/*
 * An entry: where it is and what it was found to hold.
 */
struct pgt_pos {
	u64 *entry;
	u64 old;
	u64 gfn;
	int level;
};

/* format.c, format_npt.c */
int pgt_format_finish(struct pgt_format *fmt, const struct pgt_host *host);
void pgt_format_long(struct pgt_format *fmt, const struct pgt_host *host);

/* table.c */
u64 *pgt_cache_pop(struct pgt_cache *cache);
void pgt_cache_push(struct pgt_cache *cache, u64 *table);
void pgt_table_free(u64 *table);
void pgt_tables_free_rcu(struct list_head *tables);

static inline u64 *pgt_table_of(const struct pgt_format *fmt, u64 link)
{
	return __va(pgt_table_pa(fmt, link));
}

/* batch.c */
void pgt_batch_settle(struct pgt_batch *batch);
void pgt_batch_yield(struct pgt_batch *batch);
bool pgt_batch_should_yield(const struct pgt_batch *batch);
void pgt_batch_wait(struct pgt_batch *batch);
void pgt_batch_relieve(struct pgt_batch *batch);
void pgt_batch_freeze(struct pgt_batch *batch, u64 *table,
		      const struct pgt_pos *pos);
bool pgt_find_open(struct pgt_mmu *mmu, const struct pgt_batch *but, u64 start,
		   u64 end);

static inline void pgt_batch_stale(struct pgt_batch *batch, u64 start, u64 end)
{
	if (start < batch->stale_start)
		batch->stale_start = start;
	if (end > batch->stale_end)
		batch->stale_end = end;
}

/* Leaves by level; level 0 stands for tables. */
static __always_inline void pgt_batch_count(struct pgt_batch *batch, int level,
					    int nr)
{
	batch->pages[level] += nr;
	batch->counted |= BIT(level);
}

/* Whether somebody left stale translations for any of these gfns. */
static __always_inline bool pgt_is_open(struct pgt_mmu *mmu, u64 start, u64 end)
{
	return unlikely(!list_empty(&mmu->open)) &&
	       pgt_find_open(mmu, NULL, start, end);
}

/*
 * An operation that promises something about a range found the tables as it
 * wants them, perhaps because an open batch has been there: what that batch
 * has not invalidated yet is ours to invalidate too.
 */
static inline void pgt_batch_meet_open(struct pgt_batch *batch, u64 start,
				       u64 end)
{
	if (unlikely(!list_empty(&batch->mmu->open)) &&
	    pgt_find_open(batch->mmu, batch, start, end))
		pgt_batch_stale(batch, start, end);
}

/* zap.c */

/* What the leaves of an unlinked table had in common. */
struct pgt_gather {
	u64 model;		/* the leaf that stands for all, or 0 */
	u64 model_gfn;
	bool uniform;
	bool accessed;
	bool dirty;
	bool write;		/* all of them */
	bool mmu_writable;	/* all of them */
};

bool pgt_links_tables(const u64 *table, int level);
bool pgt_drop_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		    struct pgt_pos *pos);
void pgt_gather_leaf(struct pgt_gather *gather, const struct pgt_format *fmt,
		     const struct pgt_pos *pos);
void pgt_unlink_table(struct pgt_batch *batch, const struct pgt_format *fmt,
		      u64 *table, u64 gfn, int level,
		      struct pgt_gather *gather);

/* resize.c */
int pgt_split_leaf(struct pgt_batch *batch, const struct pgt_format *fmt,
		   struct pgt_pos *pos, u64 link_bits, u8 exec,
		   struct pgt_cache *cache);

#endif /* ALTMMU_PGT_INTERNAL_H */
