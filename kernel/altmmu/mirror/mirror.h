/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mirrored private page tables: what KVM knows of tables that it can't see.
 *
 * The mirror is a page table of the engine's that no CPU walks.  Each change of
 * it is frozen, made by the provider (provider.h), and then published.  It has
 * page tables apart from those of the VM's shared memory, in a struct pgt_mmu of
 * its own with the same lock, so no operation on shared memory meets it.
 *
 * gfns are those of memslots, without the bits that tell shared from private.
 * "shared", "exclusive" and "RCU" are as in pgt.h.  Nothing here allocates.
 *
 * What is blocked stays so when the lock is dropped, and whoever meets it under
 * the lock held exclusively can finish it: the entry itself says all that there
 * is to know.  So a zap needs no list of what it has blocked, and returns only
 * when nothing is left in its range, whoever blocked it.
 */
#ifndef ALTMMU_MIRROR_MIRROR_H
#define ALTMMU_MIRROR_MIRROR_H

#include "../pgt/pgt.h"
#include "provider.h"

/* gfns that one epoch lets go of, 1 GiB, and what is left of a leaf there. */
#define MIRROR_BATCH		BIT_ULL(18)
/*
 * Tracks that something may stay blocked for, however many operations are in
 * progress: after that whoever wants to block more finishes all that is blocked
 * first.
 */
#define MIRROR_MAX_AGE		128

/**
 * struct mirror - the mirror of one VM
 * @mmu:	its page tables; no CPU walks them
 * @fmt:	their format
 * @root:	the only root, without a table above @levels
 * @provider:	who keeps the real ones
 * @batch:	gfns that a zap blocks before it tracks: %MIRROR_BATCH, or fewer
 *		to see what that costs
 * @emptied:	by level of their links: where tables may have become empty that
 *		are still linked; they go with the next epoch.  Exclusive
 * @untracked:	something was blocked since the last track.  Exclusive
 * @blocked:	entries that are blocked.  Exclusive
 * @tracks:	tracks so far.  Exclusive
 * @oldest:	tracks when the first of those that are blocked was.  Exclusive
 * @blocked_in:	gfns that include those of all that is blocked.  Exclusive
 * @window:	a window is open.  Exclusive
 * @broken:	the provider refused what it should not have
 */
struct mirror {
	struct pgt_mmu mmu;
	struct pgt_format fmt;
	struct pgt_root *root;
	struct mirror_provider *provider;
	u64 batch;
	struct pgt_range emptied[PGT_MAX_LEVEL + 1];
	unsigned long blocked;
	u64 tracks;
	u64 oldest;
	struct pgt_range blocked_in;
	bool untracked;
	bool window;
	bool broken;
};

/**
 * struct mirror_cache - tables for an operation to use
 * @tables:	for the mirror; with room for its root
 * @provided:	for the provider, filled with what it wants in empty entries
 */
struct mirror_cache {
	struct pgt_cache tables;
	struct pgt_cache provided;
};

void mirror_cache_init(struct mirror_cache *cache, const struct mirror *mirror);

/**
 * mirror_cache_fill() - allocate until a cache holds enough of either kind
 * @cache:	to be filled
 * @tables:	pairs of tables wanted
 *
 * May sleep.
 *
 * Return: 0 or -ENOMEM.
 */
int mirror_cache_fill(struct mirror_cache *cache, unsigned int tables);
void mirror_cache_drain(struct mirror_cache *cache);

/**
 * mirror_init() - make a mirror that is empty
 * @mirror:	to be initialised
 * @lock:	the VM's MMU lock
 * @provider:	its provider
 * @levels:	of the root, 3 to 5; links start at that level
 * @max_gfn:	first gfn that is never private
 * @counters:	as for pgt_mmu_init()
 *
 * May sleep.
 *
 * Return: 0 or -ENOMEM.
 */
int mirror_init(struct mirror *mirror, rwlock_t *lock,
		struct mirror_provider *provider, int levels, u64 max_gfn,
		const struct pgt_counters *counters);

/**
 * mirror_track_again() - tracks so far count for nothing
 * @mirror:	whose
 *
 * What zaps have blocked that have let go of the lock is tracked once more before
 * it goes.
 *
 * Context: exclusive.
 */
static inline void mirror_track_again(struct mirror *mirror)
{
	lockdep_assert_held_write(mirror->mmu.lock);
	mirror->untracked = mirror->blocked;
}

/**
 * mirror_destroy() - give back every table
 * @mirror:	nobody else is at work on it, no vCPU runs any more, and the
 *		provider's key is gone; leaves that are left are reclaimed, or leaked
 *
 * Takes the lock, may sleep.
 */
void mirror_destroy(struct mirror *mirror);

/**
 * struct mirror_map - what a fault wants mapped
 * @gfn:	the gfn that faulted
 * @level:	of the leaf, 1 to the provider's @max_map_level
 * @start:	first gfn of the run
 * @pfns:	a pfn per leaf of the run, PGT_NO_PFN where there is none; the one
 *		of @gfn is there
 * @nr:		leaves in the run; those in the same table as @gfn's are looked at
 * @max_level:	the largest leaf that serves: the guest's accept level
 */
struct mirror_map {
	u64 gfn;
	int level;
	u64 start;
	const u64 *pfns;
	unsigned int nr;
	int max_level;
};

/**
 * mirror_map() - map a private page, and neighbours of it that are there
 * @mirror:	whose
 * @map:	what
 * @cache:	for tables on the way
 *
 * Before the provider is finalized only the page itself is added, with level 1.
 *
 * Context: shared.
 * Return: the number of leaves mapped; 0 if @map->gfn was mapped already;
 * -EAGAIN if the fault must be retried; -ENOMEM if @cache ran out; -E2BIG if a
 * leaf above @map->max_level maps it, for which mirror_split() is needed;
 * -EEXIST if another pfn is mapped there; -ERANGE; -EIO if the provider refused.
 */
int mirror_map(struct mirror *mirror, const struct mirror_map *map,
	       struct mirror_cache *cache);

/**
 * mirror_zap() - let go of all private pages in a range
 * @mirror:	whose
 * @range:	what; a leaf that reaches beyond it is split first.  Moved forward
 * @may_yield:	the lock may be dropped on the way
 * @cache:	for splitting, four pairs at the most
 *
 * Per &mirror.batch of gfns one track and one kick; two more at the most for
 * leaves that an end of the range is inside of.  When it returns 0 the pages are
 * the host's, also those that somebody else had blocked.  Nothing is to be
 * flushed by the caller.  Tables stay, but for those that an earlier call left
 * empty.
 *
 * Faults in the range are kept out by the caller, who also sees to it that none
 * beyond maps a leaf that reaches into it; if one does it is split once more.
 *
 * Context: exclusive.
 * Return: 0; -ENOMEM if @cache ran out: call again with a fuller one.
 */
int mirror_zap(struct mirror *mirror, struct pgt_range *range, bool may_yield,
	       struct mirror_cache *cache);

/**
 * mirror_zap_tables() - the same, and let go of the tables
 * @mirror:	whose
 * @range:	tables wholly in it go; it stays as it is
 * @may_yield:	the lock may be dropped on the way
 * @cache:	as for mirror_zap()
 *
 * One more track per level of tables.
 *
 * Context: exclusive.
 * Return: as mirror_zap().
 */
int mirror_zap_tables(struct mirror *mirror, struct pgt_range *range,
		      bool may_yield, struct mirror_cache *cache);

/**
 * mirror_split() - have a gfn mapped by leaves no larger than asked for
 * @mirror:	whose
 * @gfn:	any
 * @level:	1 or 2
 * @cache:	two pairs at the most
 *
 * Context: exclusive.
 * Return: 0, -ENOMEM if @cache ran out, -EIO.
 */
int mirror_split(struct mirror *mirror, u64 gfn, int level,
		 struct mirror_cache *cache);

/**
 * mirror_promote() - make large leaves of tables of leaves
 * @mirror:	whose
 * @range:	tables wholly in it
 * @may_yield:	the lock may be dropped on the way
 *
 * Those whose leaves are contiguous, aligned and, as the provider says, of one
 * state.  One track per level.
 *
 * Context: exclusive.
 * Return: the number of tables that have become leaves.
 */
unsigned int mirror_promote(struct mirror *mirror,
			    const struct pgt_range *range, bool may_yield);

/**
 * mirror_lookup() - what the mirror has for a gfn
 * @mirror:	whose
 * @gfn:	any
 * @pfn:	set to its page
 *
 * Context: RCU.
 * Return: the level of the leaf, 0 if there is none.
 */
int mirror_lookup(struct mirror *mirror, u64 gfn, u64 *pfn);

/**
 * mirror_validate() - walk everything and check every rule
 * @mirror:	any
 * @verdict:	the first rule found broken
 *
 * pgt_validate() is for tables that a CPU walks.  Here what is blocked is at rest
 * too, as zaps leave it when they let go of the lock.
 *
 * Context: exclusive, or nobody else uses @mirror; no operation of the caller's
 * own is in progress.
 * Return: true if all is well.
 */
bool mirror_validate(struct mirror *mirror, struct pgt_verdict *verdict);

/* Whether an entry of a mirror is blocked: it then keeps what it was. */
#define MIRROR_BLOCKED		BIT_ULL(62)

#endif /* ALTMMU_MIRROR_MIRROR_H */
