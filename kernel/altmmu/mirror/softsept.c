// SPDX-License-Identifier: GPL-2.0
/*
 * Software private page tables: the entries, and the calls that change them.
 * Leaves of another size are in softsept_resize.c; epochs, and what vCPUs have to
 * do with it, in softsept_epoch.c.
 *
 * An entry changes by one exchange, from the value that was looked at.  Others
 * at work on it are: an ACCEPT, which has it locked for as long as it fills the
 * page and otherwise leaves it alone, and the CPU, which sets accessed and dirty
 * bits of a present one.  The host's own calls keep out of each other's way by
 * the tree lock and by what the mirror promises (provider.h).
 */
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "env.h"
#include "softsept_internal.h"

#define IN(state)		BIT(SOFTSEPT_##state)

/**
 * struct softsept_rule - which entries a call takes
 * @min:	lowest level
 * @max:	highest level; of calls for tables that of the root
 * @exclusive:	how it holds the tree lock
 * @before:	legal before the VM is finalized only
 * @after:	legal after that only
 * @from:	states that it takes as they are
 * @tracked:	states that it takes if they are tracked
 * @owed:	states that should have been blocked.  Before the VM is finalized
 *		these will do, and nothing need be tracked: no vCPU has run yet
 * @again:	states that are what it wants to make of others
 */
struct softsept_rule {
	u8 min;
	u8 max;
	bool exclusive;
	bool before;
	bool after;
	u8 from;
	u8 tracked;
	u8 owed;
	u8 again;
};

/* The module adds pages with the lock of the whole TD; ours is of its tree. */
static const struct softsept_rule softsept_rules[MIRROR_NR_CALLS] = {
	[MIRROR_LINK] = {
		.min = 2, .max = PGT_MAX_LEVEL,
		.from = IN(FREE),
	},
	[MIRROR_MAP] = {
		.min = 1, .max = 2, .after = true,
		.from = IN(FREE),
	},
	[MIRROR_ADD] = {
		.min = 1, .max = 1, .before = true, .exclusive = true,
		.from = IN(FREE),
	},
	[MIRROR_BLOCK] = {
		.min = 1, .max = PGT_MAX_LEVEL, .exclusive = true,
		.from = IN(LINK) | IN(PENDING) | IN(MAPPED),
		.again = IN(LINK_BLOCKED) | IN(PENDING_BLOCKED) | IN(BLOCKED),
	},
	[MIRROR_UNBLOCK] = {
		.min = 1, .max = PGT_MAX_LEVEL, .exclusive = true,
		.tracked = IN(LINK_BLOCKED) | IN(PENDING_BLOCKED) | IN(BLOCKED),
	},
	[MIRROR_REMOVE] = {
		.min = 1, .max = PGT_MAX_LEAF_LEVEL,
		.tracked = IN(PENDING_BLOCKED) | IN(BLOCKED),
		.owed = IN(PENDING) | IN(MAPPED),
	},
	[MIRROR_UNLINK] = {
		.min = 2, .max = PGT_MAX_LEVEL, .exclusive = true,
		.tracked = IN(LINK_BLOCKED),
		.owed = IN(LINK),
	},
	[MIRROR_PROMOTE] = {
		.min = 2, .max = PGT_MAX_LEAF_LEVEL,
		.tracked = IN(LINK_BLOCKED),
		.owed = IN(LINK),
	},
	[MIRROR_DEMOTE] = {
		.min = 2, .max = PGT_MAX_LEAF_LEVEL,
		.tracked = IN(PENDING_BLOCKED) | IN(BLOCKED),
		.owed = IN(PENDING) | IN(MAPPED),
	},
};

static const char * const softsept_names[SOFTSEPT_NR_STATES] = {
	[SOFTSEPT_FREE] = "free",
	[SOFTSEPT_LINK] = "link",
	[SOFTSEPT_LINK_BLOCKED] = "link-blocked",
	[SOFTSEPT_PENDING] = "pending",
	[SOFTSEPT_PENDING_BLOCKED] = "pending-blocked",
	[SOFTSEPT_MAPPED] = "mapped",
	[SOFTSEPT_BLOCKED] = "blocked",
};

int softsept_errno(struct softsept *s, enum softsept_error error)
{
	if (likely(!error))
		return 0;
	/* For the reader of messages; calls on several CPUs may overwrite it. */
	WRITE_ONCE(s->last_error, error);
	switch (error) {
	case SOFTSEPT_BUSY:
	case SOFTSEPT_EPOCH_BUSY:
		return -EBUSY;
	case SOFTSEPT_INTERRUPTED:
		return -EINTR;
	case SOFTSEPT_PROMOTE:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

/* Counts the call.  In a window nothing is in a call's way. */
bool softsept_inject_busy(struct softsept *s)
{
	unsigned int every = READ_ONCE(s->busy_every);
	unsigned int nr;

	if (likely(!every && !READ_ONCE(s->interrupt_every)))
		return false;
	nr = atomic_inc_return(&s->count);
	return every && nr % every == 0 && !atomic_read(&s->gate);
}

/*
 * The tree lock is tried only.  Taking it is a full barrier, for an atomic
 * operation that succeeds is one.
 */
static bool softsept_lock_tree(struct softsept *s, bool exclusive)
{
	int free = 0;

	if (exclusive)
		return atomic_try_cmpxchg(&s->tree, &free, -1);
	return atomic_inc_unless_negative(&s->tree);
}

static void softsept_unlock_tree(struct softsept *s, bool exclusive)
{
	/* What the call did comes before it lets others in. */
	smp_mb__before_atomic();
	if (exclusive)
		atomic_inc(&s->tree);
	else
		atomic_dec(&s->tree);
}

/*
 * Entries.
 */

u64 softsept_make(const struct softsept *s, enum softsept_state state, u64 pa,
		  int level)
{
	u64 entry = s->fmt->nonpresent;

	switch (state) {
	case SOFTSEPT_LINK:
		return pgt_make_table(s->fmt, pa, level);
	case SOFTSEPT_MAPPED:
		return pgt_make_leaf(s->fmt, pa >> PGT_PAGE_SHIFT, level,
				     &s->leaf);
	case SOFTSEPT_LINK_BLOCKED:
	case SOFTSEPT_PENDING_BLOCKED:
	case SOFTSEPT_BLOCKED:
		/*
		 * The epoch moves with the MMU lock held exclusively, as we hold
		 * it: what is blocked gets the one that is current.
		 */
		entry |= FIELD_PREP(SOFTSEPT_E_STAMP, READ_ONCE(s->epoch));
		fallthrough;
	case SOFTSEPT_PENDING:
		entry |= FIELD_PREP(SOFTSEPT_E_STATE, state);
		entry |= ~pa & SOFTSEPT_E_ADDR;
		if (level > 1 && state != SOFTSEPT_LINK_BLOCKED)
			entry |= PGT_HUGE;
		return entry;
	default:
		return entry;
	}
}

/*
 * Give the entry another value.  A full barrier: what was written to a table or
 * a page comes before the entry that leads there, for a CPU that walks it and,
 * by address dependency, for softsept_walk().  False if somebody else has changed
 * it; that the CPU sets accessed and dirty bits is no such change.
 */
bool softsept_set(struct softsept_op *op, u64 new)
{
	u64 ignore = pgt_is_present(op->old) ?
		     op->s->fmt->accessed | op->s->fmt->dirty : 0;
	u64 old = op->old;

	while (!try_cmpxchg64(op->entry, &old, new))
		if ((old ^ op->old) & ~ignore)
			return false;
	return true;
}

bool softsept_is_empty(const struct softsept *s, const u64 *table)
{
	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		if (READ_ONCE(table[i]) != s->fmt->nonpresent)
			return false;
	return true;
}

/* Whether there can be an entry of the private tables. */
bool softsept_has(const struct softsept *s, u64 gfn, int level)
{
	return level >= 1 && level <= s->level &&
	       gfn >> (9 * (s->level - 1)) < s->nr &&
	       pgt_base(gfn, level) == gfn;
}

/*
 * Come to the entry at @level, or to where the way there ends: a leaf, or an
 * entry that gives no right, so nothing below a blocked link is ever reached.
 * Needs RCU or the MMU lock.
 */
void softsept_walk(struct softsept_op *op, u64 gfn, int level)
{
	op->level = op->s->level;
	op->entry = op->s->root + (gfn >> (9 * (op->level - 1)));
	op->old = READ_ONCE(*op->entry);
	while (op->level > level && pgt_is_table(op->old, op->level)) {
		op->entry = softsept_table(op);
		op->level--;
		op->entry += pgt_index(gfn, op->level);
		op->old = READ_ONCE(*op->entry);
	}
}

/*
 * The calls.
 */

static enum softsept_error softsept_check(const struct softsept_op *op,
					  bool finalized)
{
	const struct softsept_rule *rule = op->rule;
	u8 state = BIT(softsept_state_of(op->old, op->level));

	if (op->old & SOFTSEPT_E_LOCK)
		return SOFTSEPT_BUSY;
	if (rule->again & state)
		return SOFTSEPT_ALREADY_BLOCKED;
	if (!((rule->from | rule->tracked | rule->owed) & state))
		return SOFTSEPT_STATE;
	if (!finalized)
		return SOFTSEPT_OK;
	if (rule->owed & state)
		return SOFTSEPT_NOT_BLOCKED;
	if (rule->tracked & state && !softsept_is_tracked(op->s, op->old))
		return SOFTSEPT_NOT_TRACKED;
	return SOFTSEPT_OK;
}

/*
 * All that is checked before the contents, in the module's order.  With
 * SOFTSEPT_OK the tree lock is held, until softsept_end().
 */
enum softsept_error softsept_begin(struct softsept_op *op,
				   struct mirror_provider *p,
				   enum mirror_call call, u64 gfn, int level)
{
	struct softsept *s = softsept_of(p);
	const struct softsept_rule *rule = &softsept_rules[call];
	/* Pairs with softsept_finalize(). */
	bool finalized = smp_load_acquire(&p->finalized);
	enum softsept_error error;

	op->s = s;
	op->rule = rule;
	if (softsept_inject_busy(s))
		return SOFTSEPT_BUSY;
	if (finalized ? rule->before : rule->after)
		return SOFTSEPT_OP_STATE;
	if (level < rule->min || level > rule->max ||
	    !softsept_has(s, gfn, level))
		return SOFTSEPT_OPERAND;
	if (rule->max <= PGT_MAX_LEAF_LEVEL && level > p->max_leaf_level)
		return SOFTSEPT_OPERAND;
	if (!softsept_lock_tree(s, rule->exclusive))
		return SOFTSEPT_BUSY;
	softsept_walk(op, gfn, level);
	error = op->level == level ? softsept_check(op, finalized) :
				     SOFTSEPT_WALK;
	if (error)
		softsept_unlock_tree(s, rule->exclusive);
	return error;
}

int softsept_end(struct softsept_op *op, enum softsept_error error)
{
	softsept_unlock_tree(op->s, op->rule->exclusive);
	return softsept_errno(op->s, error);
}

/* The end of most calls: the entry changes, or somebody has been at it. */
static int softsept_finish(struct softsept_op *op, u64 new)
{
	return softsept_end(op, softsept_set(op, new) ? SOFTSEPT_OK :
							SOFTSEPT_BUSY);
}

static int softsept_link(struct mirror_provider *p, u64 gfn, int level,
			 void *table)
{
	struct softsept_op op;
	enum softsept_error error;

	error = softsept_begin(&op, p, MIRROR_LINK, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (!softsept_is_empty(op.s, table))
		return softsept_end(&op, SOFTSEPT_OPERAND);
	return softsept_finish(&op, softsept_make(op.s, SOFTSEPT_LINK,
						  __pa(table), level));
}

/* One leaf, in a given state. */
static int softsept_put_leaf(struct mirror_provider *p, enum mirror_call call,
			     u64 gfn, int level, u64 pfn,
			     enum softsept_state state)
{
	u64 pa = pfn << PGT_PAGE_SHIFT;
	struct softsept_op op;
	enum softsept_error error;

	error = softsept_begin(&op, p, call, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (pgt_base(pfn, level) != pfn || pa & ~op.s->fmt->addr)
		return softsept_end(&op, SOFTSEPT_OPERAND);
	return softsept_finish(&op, softsept_make(op.s, state, pa, level));
}

/* The module maps one leaf a call; so each of them can be busy by itself. */
static int softsept_map(struct mirror_provider *p, u64 gfn, int level,
			const u64 *pfns, unsigned int nr)
{
	struct softsept *s = softsept_of(p);
	enum softsept_state state = s->auto_accept ? SOFTSEPT_MAPPED :
						     SOFTSEPT_PENDING;
	unsigned int i;
	int ret;

	if (!nr || level < 1 || level > PGT_MAX_LEVEL ||
	    pgt_index(gfn, level) + nr > PGT_ENTRIES)
		return softsept_errno(s, SOFTSEPT_OPERAND);
	for (i = 0; i < nr; i++) {
		ret = softsept_put_leaf(p, MIRROR_MAP,
					gfn + i * pgt_pages(level), level,
					pfns[i], state);
		if (ret)
			return i ?: ret;
	}
	return nr;
}

static int softsept_add(struct mirror_provider *p, u64 gfn, u64 pfn)
{
	return softsept_put_leaf(p, MIRROR_ADD, gfn, 1, pfn, SOFTSEPT_MAPPED);
}

/* Of a state, the one that is blocked. */
static enum softsept_state softsept_blocked(enum softsept_state state)
{
	switch (state) {
	case SOFTSEPT_LINK:
		return SOFTSEPT_LINK_BLOCKED;
	case SOFTSEPT_PENDING:
		return SOFTSEPT_PENDING_BLOCKED;
	case SOFTSEPT_MAPPED:
		return SOFTSEPT_BLOCKED;
	default:
		return state;
	}
}

/* Of a state, the one that is not blocked. */
enum softsept_state softsept_unblocked(enum softsept_state state)
{
	switch (state) {
	case SOFTSEPT_LINK_BLOCKED:
		return SOFTSEPT_LINK;
	case SOFTSEPT_PENDING_BLOCKED:
		return SOFTSEPT_PENDING;
	case SOFTSEPT_BLOCKED:
		return SOFTSEPT_MAPPED;
	default:
		return state;
	}
}

/* The same entry, blocked or not. */
static int softsept_turn(struct mirror_provider *p, enum mirror_call call,
			 u64 gfn, int level,
			 enum softsept_state (*turn)(enum softsept_state))
{
	struct softsept_op op;
	enum softsept_error error;
	enum softsept_state state;

	error = softsept_begin(&op, p, call, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	state = turn(softsept_state_of(op.old, level));
	return softsept_finish(&op, softsept_make(op.s, state,
						  softsept_pa(op.s, op.old,
							      level), level));
}

static int softsept_block(struct mirror_provider *p, u64 gfn, int level)
{
	return softsept_turn(p, MIRROR_BLOCK, gfn, level, softsept_blocked);
}

static int softsept_unblock(struct mirror_provider *p, u64 gfn, int level)
{
	return softsept_turn(p, MIRROR_UNBLOCK, gfn, level, softsept_unblocked);
}

static int softsept_remove(struct mirror_provider *p, u64 gfn, int level,
			   u64 pfn)
{
	struct softsept_op op;
	enum softsept_error error;

	error = softsept_begin(&op, p, MIRROR_REMOVE, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (softsept_pa(op.s, op.old, level) != pfn << PGT_PAGE_SHIFT)
		return softsept_end(&op, SOFTSEPT_OPERAND);
	return softsept_finish(&op, op.s->fmt->nonpresent);
}

static int softsept_unlink(struct mirror_provider *p, u64 gfn, int level,
			   void *table)
{
	struct softsept_op op;
	enum softsept_error error;

	error = softsept_begin(&op, p, MIRROR_UNLINK, gfn, level);
	if (error)
		return softsept_errno(softsept_of(p), error);
	if (softsept_table(&op) != table)
		return softsept_end(&op, SOFTSEPT_OPERAND);
	/* The tree lock keeps others from putting something there now. */
	if (!softsept_is_empty(op.s, table))
		return softsept_end(&op, SOFTSEPT_NOT_FREE);
	return softsept_finish(&op, op.s->fmt->nonpresent);
}

/* No vCPU runs any more, and nobody hides what is in the pages. */
static int softsept_reclaim(struct mirror_provider *p, u64 pfn, int level)
{
	return 0;
}

enum softsept_state softsept_state(struct softsept *s, u64 gfn, int *level)
{
	struct softsept_op op = { .s = s, .level = s->level };

	if (softsept_has(s, gfn, 1))
		softsept_walk(&op, gfn, *level);
	*level = op.level;
	return softsept_state_of(op.old, op.level);
}

static void softsept_query(struct mirror_provider *p, u64 gfn, int level,
			   struct mirror_query *query)
{
	enum softsept_state state = softsept_state(softsept_of(p), gfn, &level);

	*query = (struct mirror_query) {
		.level = level,
		.state = state,
		.name = softsept_names[state],
		.leaf = BIT(state) & (IN(PENDING) | IN(PENDING_BLOCKED) |
				      IN(MAPPED) | IN(BLOCKED)),
		.accepted = state == SOFTSEPT_MAPPED,
	};
}

static const struct mirror_ops softsept_ops = {
	.link = softsept_link,
	.map = softsept_map,
	.add = softsept_add,
	.block = softsept_block,
	.track = softsept_track,
	.unblock = softsept_unblock,
	.remove = softsept_remove,
	.unlink = softsept_unlink,
	.promote = softsept_promote,
	.demote = softsept_demote,
	.reclaim = softsept_reclaim,
	.open_window = softsept_open_window,
	.close_window = softsept_close_window,
	.query = softsept_query,
};

void softsept_init(struct softsept *s, const struct pgt_format *fmt,
		   const struct pgt_attr *leaf, u64 *root, unsigned int nr,
		   int level)
{
	s->provider.ops = &softsept_ops;
	s->provider.name = "softsept";
	s->provider.empty = fmt->nonpresent;
	s->provider.max_leaf_level = fmt->max_leaf_level;
	s->provider.max_map_level = min_t(u8, fmt->max_leaf_level, 2);
	s->fmt = fmt;
	s->leaf = *leaf;
	/* Nothing here is ever old: what is mapped can be used. */
	s->leaf.accessed = true;
	s->root = root;
	s->nr = nr;
	s->level = level;
	s->epoch = 1;
	raw_spin_lock_init(&s->epoch_lock);
}

void softsept_finalize(struct softsept *s)
{
	/*
	 * Releases all that add() did; pairs with the acquire in softsept_begin()
	 * and with whatever tells vCPUs that they may run.
	 */
	smp_store_release(&s->provider.finalized, true);
}
