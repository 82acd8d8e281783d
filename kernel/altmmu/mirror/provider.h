/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mirror: what it asks of a provider.
 *
 * A provider keeps the page tables that the guest's private memory is really
 * mapped with, where KVM can't, or may not, see them: the TDX module, or
 * softsept.c.  The mirror (mirror.h) is a page table of KVM's own that says what
 * is there, and every change of it is a call of one of these.  Everything that a
 * provider has to know stands here; Documentation/mirror.rst has the life of an
 * entry as a picture.
 *
 * What the mirror promises:
 *
 *  - An entry that is being changed is frozen: no other call is made for it.
 *  - Parents before children: link() has returned 0 for every level above before
 *    anything is put below, and what is below is gone before unlink().
 *  - block(), unblock() and unlink() exclude every other call but track() and
 *    query(); so do, because it suits the mirror, remove(), promote() and
 *    demote().  All of them are called with the MMU lock held for writing.
 *    link(), map() and add() may run on many CPUs at once, for different
 *    entries, with the MMU lock held for reading.
 *  - remove(), unlink(), unblock(), promote() and demote() are called for entries
 *    that were blocked, and after that tracked, and after that every vCPU has
 *    been out of the guest (mirror_env_kick()).
 *  - What is blocked is finished: by remove() or unlink(), or by promote(),
 *    demote() or unblock().
 *
 * What a call may return:
 *
 *  0		done
 *  -EBUSY	somebody else holds what the call needs, and nothing has changed.
 *		With the MMU lock held for reading the fault is repeated.  Else the
 *		mirror opens a window (open_window()) and calls again; inside of a
 *		window no call may be busy.  reclaim(), when no vCPU is left, has
 *		no window: it is called a few times more.
 *  -EINTR	interrupted, nothing has changed; the call is repeated at once.
 *  -EOPNOTSUPP	promote() only: the children can't become one leaf.  The parent
 *		is still blocked, and unblock() follows.
 *  others	the provider does not agree that the call is legal.  Nothing has
 *		changed.  Either has a bug: the VM is stopped (mirror_env_broken())
 *		and what can't be given back is leaked.
 *
 * No call sleeps or allocates.  @gfn is the first under the entry, without the
 * bits that tell shared from private; @level is of the entry, 1 to 5; pfns and
 * tables are the host's.
 */
#ifndef ALTMMU_MIRROR_PROVIDER_H
#define ALTMMU_MIRROR_PROVIDER_H

#include <linux/atomic.h>
#include <linux/types.h>

struct mirror;
struct mirror_provider;

/* The calls, for counters and messages. */
enum mirror_call {
	MIRROR_LINK,
	MIRROR_MAP,
	MIRROR_ADD,
	MIRROR_BLOCK,
	MIRROR_TRACK,
	MIRROR_UNBLOCK,
	MIRROR_REMOVE,
	MIRROR_UNLINK,
	MIRROR_PROMOTE,
	MIRROR_DEMOTE,
	MIRROR_RECLAIM,
	MIRROR_OPEN_WINDOW,
	MIRROR_CLOSE_WINDOW,
	MIRROR_NR_CALLS,
};

/**
 * struct mirror_query - what a provider knows of an entry
 * @level:	at which the way to the gfn ends
 * @state:	a number of the provider's, with name @name
 * @name:	for a reader
 * @leaf:	the entry maps, or will map, a page
 * @accepted:	the guest may use it
 */
struct mirror_query {
	int level;
	unsigned int state;
	const char *name;
	bool leaf;
	bool accepted;
};

/**
 * struct mirror_ops - the calls
 * @link:	put an empty table under a free entry at @level (2 or higher).
 *		@table is the provider's until unlink(), promote() or reclaim()
 *		have returned 0 for it.
 * @map:	map @nr leaves of @level that are neighbours in one table, each
 *		with its pfn; entries are free.  Returns how many, from the first
 *		on, and what was in the way of the first if none.  The guest may
 *		have to accept them.
 * @add:	map one 4K page with what it holds, before the VM is finalized
 * @block:	let no new translation be made of what is below the entry.  It may
 *		still be used by vCPUs that have it cached.
 * @track:	begin a new epoch.  Once every vCPU has left the guest after that,
 *		none has anything cached of what was blocked before.  Busy while
 *		a vCPU is in the guest with the epoch before the current one; that
 *		is over once all have been kicked.
 * @unblock:	take back block()
 * @remove:	let go of the leaf.  Its memory is the host's again.
 * @unlink:	let go of a table all of whose entries are free, under the entry
 *		at @level; @table is what link() got
 * @promote:	make one leaf at @level of the table below, whose 512 entries are
 *		leaves, in one state, contiguous and aligned.  The leaf is not
 *		blocked; @table is the mirror's again.
 * @demote:	make a table of 512 leaves of the leaf at @level; they are not
 *		blocked.  @table is the provider's from now on.
 * @reclaim:	take back a page or a table at the very end, when no vCPU can run
 *		any more and the guest's key is gone: @level 0 is a table
 * @open_window: wait until every vCPU is outside of the guest, and keep it there
 * @close_window: let them in again
 * @query:	say what is known of an entry; may be called at any time that the
 *		MMU lock is held; optional
 */
struct mirror_ops {
	int (*link)(struct mirror_provider *p, u64 gfn, int level, void *table);
	int (*map)(struct mirror_provider *p, u64 gfn, int level,
		   const u64 *pfns, unsigned int nr);
	int (*add)(struct mirror_provider *p, u64 gfn, u64 pfn);
	int (*block)(struct mirror_provider *p, u64 gfn, int level);
	int (*track)(struct mirror_provider *p);
	int (*unblock)(struct mirror_provider *p, u64 gfn, int level);
	int (*remove)(struct mirror_provider *p, u64 gfn, int level, u64 pfn);
	int (*unlink)(struct mirror_provider *p, u64 gfn, int level,
		      void *table);
	int (*promote)(struct mirror_provider *p, u64 gfn, int level,
		       void *table);
	int (*demote)(struct mirror_provider *p, u64 gfn, int level,
		      void *table);
	int (*reclaim)(struct mirror_provider *p, u64 pfn, int level);
	void (*open_window)(struct mirror_provider *p);
	void (*close_window)(struct mirror_provider *p);
	void (*query)(struct mirror_provider *p, u64 gfn, int level,
		      struct mirror_query *query);
};

/**
 * struct mirror_provider - a provider, embedded in what it has of its own
 * @ops:	its calls
 * @name:	for messages
 * @mirror:	whose it is; set by mirror_init()
 * @empty:	what an entry of a table must hold when link() or demote() get it
 * @max_map_level: the largest leaf that map() takes; larger ones are promoted
 * @max_leaf_level: the largest leaf that can be had
 * @finalized:	the guest may run: from now on map(), not add().  Set by the
 *		provider with smp_store_release() when all that add() did is done.
 *		If real tables want no track before that, it is set in one hold of
 *		the MMU lock, exclusively, with what makes them want it, and
 *		mirror_track_again() is called there
 * @calls:	calls made, by enum mirror_call; the mirror counts
 * @busy:	of them, how many were busy
 * @kicks:	times that all vCPUs were kicked, but for opening a window
 */
struct mirror_provider {
	const struct mirror_ops *ops;
	const char *name;
	struct mirror *mirror;
	u64 empty;
	u8 max_map_level;
	u8 max_leaf_level;
	bool finalized;
	atomic_long_t calls[MIRROR_NR_CALLS];
	atomic_long_t busy[MIRROR_NR_CALLS];
	atomic_long_t kicks;
};

#endif /* ALTMMU_MIRROR_PROVIDER_H */
