/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the mirror's files share with each other and with nobody else.
 */
#ifndef ALTMMU_MIRROR_INTERNAL_H
#define ALTMMU_MIRROR_INTERNAL_H

#include "../pgt/walk.h"
#include "env.h"
#include "mirror.h"

static inline u64 mirror_leaf(u64 pfn, int level)
{
	return PGT_PRESENT | (level > 1 ? PGT_HUGE : 0) |
	       pfn << PGT_PAGE_SHIFT;
}

static inline bool mirror_is_blocked(u64 entry)
{
	return entry & MIRROR_BLOCKED;
}

/* The entry that was blocked, as it was before. */
static inline u64 mirror_unblocked(u64 entry)
{
	return (entry & ~MIRROR_BLOCKED) | PGT_PRESENT;
}

/* What the provider got when the mirror's @table was linked. */
static inline void *mirror_provided(u64 *table)
{
	return (void *)(unsigned long)virt_to_ptdesc(table)->pt_index;
}

static inline bool mirror_table_is_empty(const u64 *table)
{
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (READ_ONCE(table[i]))
			return false;
	return true;
}

/* Give an entry that nobody else can change, or frozen by us, a new value. */
static inline void mirror_publish(struct mirror *mirror,
				  struct pgt_batch *batch, struct pgt_pos *pos,
				  u64 new)
{
	/* Nothing gets blocked, or is finished, but exclusively. */
	if (mirror_is_blocked(pos->old ^ new))
		mirror->blocked += mirror_is_blocked(new) ? 1 : -1;
	pgt_change(batch, &mirror->fmt, pos, new, PGT_FILL);
	pos->old = new;
}

/* mirror.c */
int mirror_count(struct mirror *mirror, enum mirror_call call, u64 gfn,
		 int level, int ret);
int mirror_check(struct mirror *mirror, enum mirror_call call, u64 gfn,
		 int level, int ret);
bool mirror_open_window(struct mirror *mirror);
void mirror_close_window(struct mirror *mirror);
void mirror_link_provided(u64 *table, void *provided);
void mirror_free_table(u64 *table);

/*
 * Make a call of the provider with the lock held exclusively: until it is no
 * longer interrupted, and with the vCPUs kept out if it was busy.  The window
 * stays open to the end of the phase that the call is a part of, so that there
 * is one at the most in each.
 */
#define mirror_insist(m, call, gfn, level, expr)			\
({									\
	enum mirror_call __call = (call);				\
	struct mirror *__m = (m);					\
	int __level = (level);						\
	u64 __gfn = (gfn);						\
	int __ret;							\
									\
	do {								\
		__ret = mirror_count(__m, __call, __gfn, __level, expr);\
	} while (__ret == -EINTR ||					\
		 (__ret == -EBUSY && !mirror_open_window(__m)));	\
	mirror_check(__m, __call, __gfn, __level, __ret);		\
})

/* zap.c */
int mirror_block(struct mirror *mirror, struct pgt_batch *batch,
		 struct pgt_pos *pos);
void mirror_track(struct mirror *mirror);
void mirror_catch_up(struct mirror *mirror, struct pgt_batch *batch);
void mirror_give_up_leaf(struct mirror *mirror, struct pgt_batch *batch,
			 struct pgt_pos *pos);

/* resize.c */
int mirror_split_at(struct mirror *mirror, struct pgt_batch *batch,
		    const u64 *gfns, unsigned int nr, int level,
		    struct mirror_cache *cache);

#endif /* ALTMMU_MIRROR_INTERNAL_H */
