/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page-table engine: what it offers.
 *
 * One radix table per root, changed by operations over ranges of guest frame
 * numbers (gfns, 4K each).  This header is the contract; the vocabulary, the
 * life of an entry and the rules of a batch are in Documentation/engine.rst.
 * What the engine needs from the code that it is linked into is in env.h.
 *
 * Locks, named once and referred to below:
 *
 *   shared	the MMU's lock is held for reading
 *   exclusive	the MMU's lock is held for writing
 *   RCU	the caller is in an RCU read-side section, with or without the lock
 *
 * No function here allocates; tables come from a struct pgt_cache that the
 * caller fills where it may sleep.  No function sleeps, except that one given a
 * batch that may yield drops and retakes the MMU's lock.
 */
#ifndef ALTMMU_PGT_PGT_H
#define ALTMMU_PGT_PGT_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "format.h"

/* What an operation found, where that is not an error. */
enum pgt_result {
	PGT_DONE = 0,
	PGT_SPURIOUS = 1,	/* the entry allowed it already */
};

/**
 * struct pgt_counters - what an MMU holds, where the caller wants to see it
 * @leaves:	leaves by level, from 1
 * @tables:	tables, roots included
 * @nx_tables:	tables that are there because of the NX-huge-page mitigation
 *
 * Batches keep theirs until they settle.
 */
struct pgt_counters {
	atomic_long_t *leaves[PGT_MAX_LEAF_LEVEL + 1];
	atomic_long_t *tables;
	atomic_long_t *nx_tables;
};

/**
 * struct pgt_mmu - the page tables of one VM
 * @lock:	the VM's MMU lock
 * @max_gfn:	first gfn that no root maps
 * @nonpresent:	value of an empty entry, the same in every format of the VM
 * @roots:	every root, the oldest first; RCU for reading, @roots_lock for
 *		changes
 * @roots_lock:	protects @roots and the state of each root; innermost
 * @root_nr:	number of the root made last; @roots_lock
 * @open:	batches that dropped @lock with stale entries; exclusive for
 *		changes, shared for reading
 * @counters:	what it holds
 */
struct pgt_mmu {
	rwlock_t *lock;
	u64 max_gfn;
	u64 nonpresent;
	struct list_head roots;
	spinlock_t roots_lock;	/* @roots, and the state of each root */
	u64 root_nr;
	struct list_head open;
	struct pgt_counters counters;
};

/**
 * pgt_mmu_init() - make an MMU without roots
 * @mmu:	to be initialised
 * @lock:	the lock that stands behind "shared" and "exclusive"
 * @max_gfn:	first gfn that must never be mapped; operations clip to it
 * @nonpresent:	value of an empty entry; every format used has the same
 * @counters:	0 now, and again when @mmu has been destroyed; they stay the
 *		caller's
 */
void pgt_mmu_init(struct pgt_mmu *mmu, rwlock_t *lock, u64 max_gfn,
		  u64 nonpresent, const struct pgt_counters *counters);

/**
 * pgt_mmu_destroy() - free what is left and wait until it is gone
 * @mmu:	no vCPU holds a root, nobody else uses it
 *
 * Takes the lock, may sleep.  When it returns, every table has been handed back
 * (rcu_barrier() included) and all counters are 0.
 */
void pgt_mmu_destroy(struct pgt_mmu *mmu);

/*
 * Table memory.
 */

/**
 * struct pgt_cache - tables for an operation to use, and room for a root
 * @head:	the tables, linked through their first entry
 * @nr:		how many
 * @init:	value of an empty entry
 * @gfp:	for the tables; GFP_KERNEL_ACCOUNT, unless the owner says otherwise
 * @root:	a spare root structure, or NULL
 */
struct pgt_cache {
	u64 *head;
	unsigned int nr;
	u64 init;
	gfp_t gfp;
	struct pgt_root *root;
};

void pgt_cache_init(struct pgt_cache *cache, const struct pgt_mmu *mmu);

/**
 * pgt_cache_fill() - allocate until a cache holds enough
 * @cache:	to be filled
 * @tables:	tables wanted in it, at least
 * @root:	whether a spare root is wanted too
 *
 * May sleep; hold no spinlock.  Allocations are of order 0.
 *
 * Return: 0, or -ENOMEM with what could be had left in the cache.
 */
int pgt_cache_fill(struct pgt_cache *cache, unsigned int tables, bool root);

/**
 * pgt_cache_drain() - free what a cache holds
 * @cache:	any
 */
void pgt_cache_drain(struct pgt_cache *cache);

/*
 * Batches.
 */

enum pgt_mode {
	PGT_SHARED,
	PGT_EXCLUSIVE,
};

/**
 * struct pgt_open - a batch that others must know of
 * @batch:	the batch
 * @start:	first gfn that it may make stale
 * @end:	end of those gfns
 * @link:	in the MMU's list
 */
struct pgt_open {
	struct pgt_batch *batch;
	u64 start;
	u64 end;
	struct list_head link;
};

/*
 * What a batch keeps frozen before it invalidates: so many entries at the most,
 * and none while it looks at more than so many others.  Each stands for a table
 * that was taken apart, so that faults there are held up for about half a
 * millisecond at the most.
 */
#define PGT_BATCH_FROZEN	128
#define PGT_BATCH_FROZEN_STEPS	16384

/**
 * struct pgt_batch - what a series of changes made stale
 * @mmu:	whose tables
 * @stale_start: first gfn for which a CPU may hold something stale
 * @stale_end:	end of those gfns; nothing is stale where it is <= @stale_start
 * @unlinked:	tables to reclaim
 * @open:	if the batch may drop the lock with stale entries, how others find
 *		it; else NULL
 * @pages:	leaves gained or lost by level, and at 0 tables, which are not
 *		yet in the MMU's counters
 * @mode:	how the MMU's lock is held, enum pgt_mode
 * @may_yield:	the lock may be dropped on the way
 * @obsolete:	the batch empties invalidated roots, which no CPU can reach
 * @counted:	elements of @pages that are not 0 any more, a bit each
 * @nr_frozen:	entries that stay frozen until the invalidation; the tables that
 *		they linked, in @unlinked, know which
 * @frozen_steps: entries looked at since the first of them was frozen
 *
 * Lives on the caller's stack.  Begin it with the MMU's lock held, end it by
 * exactly one of pgt_batch_end() and pgt_batch_defer() before the lock is
 * dropped (operations that yield see to that themselves).
 */
struct pgt_batch {
	struct pgt_mmu *mmu;
	u64 stale_start;
	u64 stale_end;
	struct list_head unlinked;
	struct pgt_open *open;
	int pages[PGT_MAX_LEAF_LEVEL + 1];
	u8 mode;
	bool may_yield;
	bool obsolete;
	u8 counted;
	u16 nr_frozen;
	u16 frozen_steps;
};

/* The lock is held as the batch says. */
static inline void pgt_batch_assert(const struct pgt_batch *batch)
{
	if (batch->mode == PGT_EXCLUSIVE)
		lockdep_assert_held_write(batch->mmu->lock);
	else
		lockdep_assert_held_read(batch->mmu->lock);
}

/**
 * pgt_batch_begin() - start to collect what gets stale
 * @batch:	to be initialised
 * @mmu:	whose tables
 * @mode:	how the caller holds the MMU's lock
 * @may_yield:	operations may drop and retake the lock
 *
 * Context: shared or exclusive, as @mode says.
 */
static inline void pgt_batch_begin(struct pgt_batch *batch,
				   struct pgt_mmu *mmu, enum pgt_mode mode,
				   bool may_yield)
{
	batch->mmu = mmu;
	batch->stale_start = ~0ULL;
	batch->stale_end = 0;
	INIT_LIST_HEAD(&batch->unlinked);
	batch->open = NULL;
	for (int level = 0; level <= PGT_MAX_LEAF_LEVEL; level++)
		batch->pages[level] = 0;
	batch->mode = mode;
	batch->may_yield = may_yield;
	batch->obsolete = false;
	batch->counted = 0;
	batch->nr_frozen = 0;
	batch->frozen_steps = 0;
	pgt_batch_assert(batch);
}

/**
 * pgt_batch_open() - let a batch keep stale entries while it yields
 * @batch:	begun, nothing in it yet
 * @open:	to be initialised; lives as long as the batch
 * @start:	first gfn that the batch is going to touch
 * @end:	end of those gfns
 *
 * Saves the invalidation at each yield.  Until the batch ends, faults in the
 * range are told to retry, and an operation there that must leave it
 * unreachable or write-protected invalidates though it changed nothing.
 *
 * Context: exclusive; @batch is exclusive.
 */
void pgt_batch_open(struct pgt_batch *batch, struct pgt_open *open, u64 start,
		    u64 end);

/* Bring the MMU's counters up to date. */
static inline void pgt_batch_add_up(struct pgt_batch *batch)
{
	const struct pgt_counters *counters = &batch->mmu->counters;

	for (unsigned int left = batch->counted; left; left &= left - 1) {
		int level = __ffs(left);

		atomic_long_add(batch->pages[level],
				level ? counters->leaves[level] :
					counters->tables);
		batch->pages[level] = 0;
	}
	batch->counted = 0;
}

void pgt_batch_end_slow(struct pgt_batch *batch);

/**
 * pgt_batch_end() - invalidate what is stale, then reclaim
 * @batch:	any
 *
 * One pgt_env_flush() at most, none if nothing is stale.  Tables are freed
 * through RCU after it.
 *
 * Context: the lock is held as it was when the batch began.
 */
static inline void pgt_batch_end(struct pgt_batch *batch)
{
	pgt_batch_assert(batch);
	/* A fault that has put one leaf into an empty place leaves a count. */
	if (likely(batch->stale_start >= batch->stale_end &&
		   list_empty(&batch->unlinked) && !batch->open))
		pgt_batch_add_up(batch);
	else
		pgt_batch_end_slow(batch);
}

/**
 * pgt_batch_defer() - leave the invalidation to the caller
 * @batch:	with leaf and permission changes only
 *
 * Return: true if the caller owes an invalidation of the ranges that it passed
 * to the batch's operations (whole huge leaves included), before it relies on
 * what they did.  After pgt_zap_leaves() and pgt_wrprot() with @track it is owed
 * before the lock is dropped: nothing in the tables tells others of it.  After
 * other operations it may come later, if what excludes another one like it
 * (KVM's slots_lock) is held until then.  A batch that holds tables or frozen
 * entries, or is open, is ended as by pgt_batch_end(), and nothing is owed.
 *
 * Context: the lock is held as it was when the batch began.
 */
bool pgt_batch_defer(struct pgt_batch *batch);

/*
 * Roots.
 */

enum pgt_root_state {
	PGT_ROOT_VALID,		/* faults may map, vCPUs may load it */
	PGT_ROOT_INVALID,	/* vCPUs drop it, still to be emptied */
	PGT_ROOT_EMPTIED,	/* maps nothing, goes with its last user */
};

#define PGT_VALID_ROOTS		BIT(PGT_ROOT_VALID)
#define PGT_INVALID_ROOTS	BIT(PGT_ROOT_INVALID)
#define PGT_ALL_ROOTS		(PGT_VALID_ROOTS | PGT_INVALID_ROOTS)
/* Every address space, where one is asked for. */
#define PGT_ANY_SPACE		(-1)

/**
 * struct pgt_root - the top of one radix table
 * @mmu:	whose
 * @fmt:	format of all its tables
 * @table:	the top table
 * @end:	first gfn beyond it
 * @foreign_end: gfns below are not the engine's (0: all are)
 * @nr:		grows along the MMU's list; no other root ever has it
 * @role:	the caller's key, with @space
 * @space:	address space
 * @levels:	3 to 5
 * @foreign_level: level of the entries that map the foreign gfns
 * @state:	enum pgt_root_state; written with the roots lock, and to
 *		PGT_ROOT_INVALID only exclusive
 * @refs:	one for the MMU until the root is emptied, one per user
 * @link:	in the MMU's list
 * @rcu:	for freeing
 */
struct pgt_root {
	struct pgt_mmu *mmu;
	const struct pgt_format *fmt;
	u64 *table;
	u64 end;
	u64 foreign_end;
	u64 nr;
	u32 role;
	int space;
	u8 levels;
	u8 foreign_level;
	u8 state;
	refcount_t refs;
	struct list_head link;
	struct rcu_head rcu;
};

/**
 * pgt_root_get() - take the valid root for a key, made if there is none
 * @mmu:	whose
 * @fmt:	format, a function of @role
 * @levels:	levels, a function of @role
 * @space:	address space, 0 or higher
 * @role:	anything that tells roots of one address space apart
 * @cache:	one table and the spare root are taken if a root is made
 *
 * Context: shared or exclusive.
 * Return: a root with a reference for the caller, ERR_PTR(-ENOMEM) if one must
 * be made and @cache lacks the means, ERR_PTR(-EINVAL) if @fmt has no such
 * number of levels.
 */
struct pgt_root *pgt_root_get(struct pgt_mmu *mmu,
			      const struct pgt_format *fmt, int levels,
			      int space, u32 role, struct pgt_cache *cache);

/**
 * pgt_root_put() - drop a reference
 * @root:	referenced by the caller, which no longer uses it
 *
 * A root goes when it has been invalidated and emptied and its last reference
 * is dropped.  No lock is needed; not from an interrupt or an RCU callback.
 */
void pgt_root_put(struct pgt_root *root);

/**
 * pgt_root_of() - the root that a top table belongs to
 * @table:	its address, from a root that the caller has a reference to
 *
 * Return: the root.
 */
struct pgt_root *pgt_root_of(u64 *table);

/**
 * pgt_root_next() - walk the list of roots
 * @mmu:	whose
 * @prev:	the root to go on from, whose reference is dropped; or NULL
 * @space:	address space, or PGT_ANY_SPACE
 * @states:	PGT_VALID_ROOTS, PGT_INVALID_ROOTS or both
 *
 * Return: the next root with a reference, or NULL.
 */
struct pgt_root *pgt_root_next(struct pgt_mmu *mmu, struct pgt_root *prev,
			       int space, unsigned int states);

/**
 * pgt_root_seek() - find a root by its place in the list, without a reference
 * @mmu:	whose
 * @nr:		lowest @nr of a root wanted, 0 for the first of all
 * @space:	address space, or PGT_ANY_SPACE
 * @states:	as for pgt_root_next()
 *
 * Who leaves RCU on the way remembers the root's number, comes back to the same
 * root, or if that is gone to the one after it.
 *
 * Context: RCU.
 * Return: the root, good until the caller leaves RCU, or NULL.
 */
struct pgt_root *pgt_root_seek(struct pgt_mmu *mmu, u64 nr, int space,
			       unsigned int states);

/* Leaving the loop early keeps a reference that the caller must drop. */
#define pgt_for_each_root(mmu, root, space, states)			\
	for (root = pgt_root_next(mmu, NULL, space, states); root;	\
	     root = pgt_root_next(mmu, root, space, states))

/**
 * pgt_roots_invalidate() - make every vCPU drop its roots
 * @mmu:	whose
 * @space:	address space, or PGT_ANY_SPACE
 *
 * Marks the roots and calls pgt_env_obsolete(), which does not return before
 * no CPU can reach them.  New roots may be made and used from then on;
 * pgt_roots_empty() is owed.
 *
 * Context: exclusive.
 */
void pgt_roots_invalidate(struct pgt_mmu *mmu, int space);

/**
 * pgt_roots_empty() - unmap all that invalidated roots still map
 * @mmu:	whose
 * @mode:	how the lock is held
 * @may_yield:	drop the lock on the way where somebody waits
 *
 * Nothing is flushed: no CPU can reach the roots (pgt_roots_invalidate()).
 * The caller makes sure that only one emptier runs at a time.  Unmapping finds
 * the roots as long as they map anything; what else runs under the shared lock
 * leaves them alone.
 *
 * Context: shared or exclusive, as @mode says.
 */
void pgt_roots_empty(struct pgt_mmu *mmu, enum pgt_mode mode, bool may_yield);

/**
 * pgt_root_foreign() - give the lowest gfns of a root to somebody else
 * @root:	no CPU uses it
 * @end:	first gfn that stays the engine's; a power of two of 4K pages
 * @nr:		set to how many entries map the gfns below @end, 256 at the most
 * @cache:	for the tables on the way to those entries
 *
 * The entries are the caller's to write.  The engine never reads, changes,
 * counts or frees them, nor frees the table that they are in before the root
 * goes.
 *
 * Context: exclusive.
 * Return: the first of the entries, ERR_PTR(-ENOMEM) if @cache ran out (call
 * again), ERR_PTR(-EBUSY) if one of the entries is not empty (a table without
 * leaves, or MMIO, counts too) or is in a table that is there because of the
 * NX-huge-page mitigation, ERR_PTR(-EINVAL) if @end is not such a number or
 * beyond the root, or the root has foreign entries already.
 */
u64 *pgt_root_foreign(struct pgt_root *root, u64 end, unsigned int *nr,
		      struct pgt_cache *cache);

/*
 * Faults.
 */

/**
 * struct pgt_map - a page that a fault wants mapped
 * @gfn:	the gfn that faulted
 * @pfn:	the host page frame behind exactly that gfn
 * @level:	level of the leaf wanted; @gfn and @pfn agree below it.  Lowered
 *		by pgt_map() to that of the leaf that it mapped
 * @req_level:	level that could be had but for @nx_disallow
 * @access:	PGT_* rights that may be granted; PGT_W makes the leaf
 *		host- and MMU-writable
 * @want:	rights that the fault needs
 * @memtype:	EPT: type (SDM 29.3.7) in bits 2:0, bit 3 to ignore the guest's
 *		PAT; NPT, PAE: index into the PAT
 * @host_writable: the host maps the page writable
 * @mmu_writable: pgt_fix() may grant writing later; @host_writable is set, and
 *		the folio is dirtied already
 * @encrypted:	set the format's encryption bit
 * @prefetch:	nobody asked for the page: leave the accessed bit clear and
 *		an existing leaf alone
 * @nx_huge:	the NX-huge-page mitigation is on: no huge leaf is executable
 * @nx_disallow: the mitigation is why @level is below @req_level
 * @log:	dirty logging is on for the gfn
 */
struct pgt_map {
	u64 gfn;
	u64 pfn;
	u8 level;
	u8 req_level;
	u8 access;
	u8 want;
	u8 memtype;
	bool host_writable;
	bool mmu_writable;
	bool encrypted;
	bool prefetch;
	bool nx_huge;
	bool nx_disallow;
	bool log;
};

/**
 * pgt_map() - map one leaf
 * @batch:	takes what a replaced table leaves behind
 * @root:	to be mapped in
 * @map:	what to map; with PGT_W in @map->access the folio is dirty already
 * @cache:	for tables on the way
 *
 * A table that is in the way of a huge leaf is replaced.  It stays, and the leaf
 * is mapped one level lower, with @map->prefetch if there are leaves in it, or if
 * it is there because of the NX-huge-page mitigation and @map->nx_huge is set, or
 * if it links tables that stay: those that map anything, for taking them apart is
 * too long for one step.  Tables below that map nothing are dropped,
 * PGT_MAP_DROPS at a time; under the shared lock the fault is retried then, when
 * the batch has invalidated.  A huge leaf in the way of a smaller one is split.
 * With @map->log the gfn is logged before write permission becomes visible.
 *
 * Context: shared or exclusive.
 * Return: PGT_DONE, PGT_SPURIOUS if all of @map->want was allowed already,
 * -EAGAIN if the fault must be retried (another CPU was faster, the root was
 * invalidated, an open batch is at work there, tables had to be dropped first),
 * -ENOMEM if @cache ran out (call
 * again with a fuller one), -EEXIST if another pfn is mapped there, -EINVAL if
 * @map contradicts itself or the format, or leaves no right at all, -ERANGE if
 * the leaf would reach where nothing can be mapped.
 */
int pgt_map(struct pgt_batch *batch, struct pgt_root *root,
	    struct pgt_map *map, struct pgt_cache *cache);

/* Tables that pgt_map() drops at a time where they keep a huge leaf away. */
#define PGT_MAP_DROPS		16

/* A place in a run of leaves where nothing is to be mapped. */
#define PGT_NO_PFN		(~0ULL)

/**
 * pgt_map_run() - map neighbours of a page, in the table that they share
 * @batch:	see pgt_map()
 * @root:	to be mapped in
 * @map:	what all have in common; @map->gfn is the first, @map->pfn unused
 * @pfns:	a pfn per leaf of @map->level, PGT_NO_PFN for none
 * @nr:		how many; the run ends where the table or the root does
 * @cache:	for tables on the way
 *
 * Fills empty entries only.
 *
 * Context: shared or exclusive.
 * Return: the number of leaves mapped, or an error as from pgt_map().
 */
int pgt_map_run(struct pgt_batch *batch, struct pgt_root *root,
		const struct pgt_map *map, const u64 *pfns, unsigned int nr,
		struct pgt_cache *cache);

/**
 * pgt_fix() - let a fault pass that needs no page from the host
 * @root:	where the fault happened
 * @gfn:	its gfn
 * @want:	rights that it needs
 * @log:	dirty logging is on for the gfn
 *
 * Gives an access-tracked leaf back to the CPU, and makes an MMU-writable one
 * writable; with @log, 4K leaves only, and the gfn is logged right after.
 *
 * Context: RCU.
 * Return: PGT_DONE, PGT_SPURIOUS if nothing was amiss, -ENOENT if nothing is
 * mapped, -EACCES if the leaf can't be fixed so, -EAGAIN if the entry changes
 * too fast or is frozen.
 */
int pgt_fix(struct pgt_root *root, u64 gfn, u8 want, bool log);

/**
 * pgt_lookup() - read the entries on the way to a gfn
 * @root:	any
 * @gfn:	any
 * @entries:	filled by level: @entries[@root->levels] down to the last
 *
 * Context: RCU.
 * Return: the level of the last entry read, or -ERANGE.
 */
int pgt_lookup(struct pgt_root *root, u64 gfn, u64 entries[PGT_MAX_LEVEL + 1]);

/*
 * Operations over a range.  Those that take a batch yield if it may.  The root
 * is referenced by the caller.  With a shared batch an invalidated root is left
 * alone: no CPU can reach it.
 */

/**
 * struct pgt_range - gfns to work on, and how far the work has come
 * @start:	first gfn; moved forward by the operations, so that a call that
 *		returned early is resumed by the same call
 * @end:	end of the gfns
 */
struct pgt_range {
	u64 start;
	u64 end;
};

/**
 * pgt_zap_leaves() - unmap every page in a range
 * @batch:	exclusive
 * @root:	any, foreign gfns excepted
 * @range:	a huge leaf that reaches into it goes whole
 *
 * Tables and MMIO entries stay.
 *
 * Context: exclusive.
 */
void pgt_zap_leaves(struct pgt_batch *batch, struct pgt_root *root,
		    struct pgt_range *range);

/**
 * pgt_zap_tables() - unmap a range, tables wholly in it included
 * @batch:	any
 * @root:	any, foreign gfns excepted
 * @range:	as for pgt_zap_leaves(); MMIO entries go too
 *
 * Works from the lowest tables up, so that no step is longer than a table.
 *
 * Context: exclusive; or shared, if @batch is obsolete and @root invalidated.
 */
void pgt_zap_tables(struct pgt_batch *batch, struct pgt_root *root,
		    struct pgt_range *range);

/**
 * pgt_zap_nx_table() - let the NX-huge-page mitigation map huge again
 * @batch:	any
 * @root:	any
 * @range:	where to look; @range->start moves past what was found, but for the
 *		last table in one that is to go, which the next call looks at
 *
 * Takes out one table: the first that is there because of the mitigation only,
 * or is in one that is, and links no table itself.  So a table that links others
 * comes after them.
 * Under the shared lock its entry stays frozen until the batch has invalidated;
 * faults that meet it retry, so nothing is mapped with the same batch.  When that
 * is enough, or long enough, the batch settles on the way, and lets go of the lock
 * if it may yield.
 *
 * Context: shared or exclusive.
 * Return: true if there was one.
 */
bool pgt_zap_nx_table(struct pgt_batch *batch, struct pgt_root *root,
		      struct pgt_range *range);

/**
 * pgt_wrprot() - take write permission from a range
 * @batch:	any
 * @root:	any
 * @range:	what
 * @min_level:	leave leaves below this level alone
 * @track:	somebody else watches the gfns: pgt_fix() may not grant writing
 *		again
 *
 * Also a leaf that is only MMU-writable counts as stale: a TLB may still hold
 * it as writable, from a deferred invalidation or from before aging.
 *
 * Context: shared or exclusive.
 */
void pgt_wrprot(struct pgt_batch *batch, struct pgt_root *root,
		struct pgt_range *range, int min_level, bool track);

/**
 * pgt_clear_dirty() - make the CPU note the next write to each page of a range
 * @batch:	any
 * @root:	any
 * @range:	what
 *
 * Clears dirty bits, or write permission in a format that has none.
 *
 * Context: shared or exclusive.
 */
void pgt_clear_dirty(struct pgt_batch *batch, struct pgt_root *root,
		     struct pgt_range *range);

/**
 * pgt_clear_dirty_mask() - the same for up to 64 pages of 4K
 * @batch:	any
 * @root:	any
 * @gfn:	the page of bit 0
 * @mask:	the pages; huge leaves are left alone
 * @wrprot:	take write permission though there are dirty bits
 *
 * Context: exclusive, after the caller took the bits from the log.  A fault logs
 * and grants writing under one shared hold, so it is before us and protected
 * here, or after us and in the log again; pgt_fix() logs after it has granted.
 */
void pgt_clear_dirty_mask(struct pgt_batch *batch, struct pgt_root *root,
			  u64 gfn, u64 mask, bool wrprot);

/**
 * pgt_age() - make every page of a range old
 * @root:	any
 * @range:	what; call again until nothing is left of it
 *
 * Looks at some thousand entries at the most, so that the caller can leave its
 * RCU section in between where it may.  Flushes nothing: a CPU may use a page
 * through its TLB without making it young again.  Best effort where other
 * changes race.
 *
 * Context: RCU.
 * Return: true if any page that was looked at was young.
 */
bool pgt_age(struct pgt_root *root, struct pgt_range *range);

/**
 * pgt_test_age() - whether a range has a young page
 * @root:	any
 * @range:	what; call again until nothing is left of it, as for pgt_age()
 *
 * Context: RCU.
 * Return: true if a young page was found, and then nothing is left of @range.
 */
bool pgt_test_age(struct pgt_root *root, struct pgt_range *range);

/**
 * pgt_age_roots() - pgt_age() or pgt_test_age() in every valid root
 * @mmu:	whose
 * @space:	address space, or PGT_ANY_SPACE
 * @range:	all of it is looked at
 * @test:	as pgt_test_age(): change nothing, and a young page is enough
 *
 * Takes no reference and no lock, for this is called for a page at a time, by
 * several threads at once.
 *
 * Context: none; it enters RCU sections that are as long as pgt_age() lets them
 * be.
 * Return: true if a page was young.
 */
bool pgt_age_roots(struct pgt_mmu *mmu, int space,
		   const struct pgt_range *range, bool test);

/**
 * pgt_split() - replace huge leaves by tables of smaller ones
 * @batch:	any
 * @root:	any
 * @range:	a huge leaf that reaches into it is split whole
 * @level:	level to get to, 1 or 2
 * @exec:	rights to execute (PGT_X, PGT_UX) that leaves split to 4K have
 *		besides their own, where the mitigation took them from huge ones
 * @cache:	for the tables
 *
 * Permission, accessed and dirty state are those of the huge leaf; nothing gets
 * stale.
 *
 * Context: shared or exclusive.
 * Return: 0, or -ENOMEM if @cache ran out (call again with a fuller one).
 */
int pgt_split(struct pgt_batch *batch, struct pgt_root *root,
	      struct pgt_range *range, int level, u8 exec,
	      struct pgt_cache *cache);

/**
 * pgt_collapse() - replace tables of leaves by huge leaves
 * @batch:	any
 * @root:	any
 * @range:	tables wholly in it; dirty logging is off there
 * @nx_huge:	the NX-huge-page mitigation is on: huge leaves get no PGT_X, and
 *		tables that are there because of it stay
 *
 * A table goes if pgt_env_max_level() allows it and its leaves are of one kind
 * and in line; what it does not map yet is mapped then.  The huge leaf is
 * accessed or dirty if one of them was, and writable if all were.
 *
 * Context: shared or exclusive.
 */
void pgt_collapse(struct pgt_batch *batch, struct pgt_root *root,
		  struct pgt_range *range, bool nx_huge);

/*
 * MMIO entries, at level 1.
 */

/**
 * pgt_map_mmio() - remember that a gfn is MMIO
 * @batch:	any
 * @root:	to be mapped in
 * @gfn:	of the device
 * @gen:	the memslot generation under which that was found out
 * @access:	right bits to keep, as they stand in an entry
 * @cache:	for tables on the way
 *
 * Context: shared or exclusive.
 * Return: PGT_DONE, PGT_SPURIOUS if it was known, -EOPNOTSUPP if the format
 * can't hold it (MMIO is not cached, or the gfn is too high) and -EBUSY if a
 * memslot update is in progress: after both the access is emulated all the same;
 * -EAGAIN, -ENOMEM and -ERANGE as from pgt_map(), -EEXIST if a page is mapped
 * there.
 */
int pgt_map_mmio(struct pgt_batch *batch, struct pgt_root *root, u64 gfn,
		 u64 gen, u64 access, struct pgt_cache *cache);

/**
 * pgt_lookup_mmio() - whether a gfn is known to be MMIO
 * @root:	any
 * @gfn:	any
 * @gen:	the memslot generation now
 * @access:	set to the right bits kept
 *
 * Context: RCU.
 * Return: 0, -ENOENT if it is not, -ESTALE if the entry is of another
 * generation or a memslot update is in progress.
 */
int pgt_lookup_mmio(struct pgt_root *root, u64 gfn, u64 gen, u64 *access);

/**
 * pgt_expire_mmio() - drop MMIO entries that are of another generation
 * @batch:	any
 * @root:	any
 * @range:	what
 * @gen:	the memslot generation now; with PGT_GEN_IN_PROGRESS all of them go,
 *		as when the generation has come round to one that entries may
 *		still have from the last time
 *
 * Nothing gets stale: no CPU caches an entry that faults (SDM 29.4.2, APM
 * 15.25.6).
 *
 * Context: shared or exclusive.
 */
void pgt_expire_mmio(struct pgt_batch *batch, struct pgt_root *root,
		     struct pgt_range *range, u64 gen);

/*
 * Looking at tables.
 */

/**
 * struct pgt_dump_entry - an entry that is not empty
 * @gfn:	first gfn under it
 * @entry:	its value
 * @level:	its level
 */
struct pgt_dump_entry {
	u64 gfn;
	u64 entry;
	u8 level;
};

/**
 * pgt_dump() - list entries
 * @root:	any
 * @range:	what; call again until nothing is left of it
 * @out:	where to
 * @nr:		room in @out; more than the levels of the root
 *
 * Table links come before what is below them, and again at the start of the
 * next call.  Each entry is what it was at some moment of the call.
 *
 * Context: RCU.
 * Return: the number listed, which may be 0 before @range is done: a call looks
 * at some thousand entries at the most.
 */
unsigned int pgt_dump(struct pgt_root *root, struct pgt_range *range,
		      struct pgt_dump_entry *out, unsigned int nr);

/**
 * struct pgt_verdict - what the validator found
 * @what:	the rule that is broken, or NULL
 * @gfn:	where
 * @entry:	the entry
 * @level:	its level
 */
struct pgt_verdict {
	const char *what;
	u64 gfn;
	u64 entry;
	int level;
};

/**
 * pgt_validate() - walk everything and check every rule
 * @mmu:	no batch is in progress
 * @verdict:	the first rule found broken
 *
 * Compiled in with CONFIG_KVM_PROVE_MMU.  Holds the roots lock all the while, so
 * that no root comes or goes.
 *
 * Context: exclusive, or nobody else uses @mmu.
 * Return: true if all is well.
 */
bool pgt_validate(struct pgt_mmu *mmu, struct pgt_verdict *verdict);

#endif /* ALTMMU_PGT_PGT_H */
