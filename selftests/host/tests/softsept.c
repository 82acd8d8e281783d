// SPDX-License-Identifier: GPL-2.0
/*
 * The software provider: which state takes which call, and in which order it
 * looks.  Epochs and vCPUs are in softsept_epoch.c, what runs at the same time in
 * softsept_race.c.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "soft.h"
#include "test.h"

#define FREE		SOFTSEPT_FREE
#define LINK		SOFTSEPT_LINK
#define LINK_B		SOFTSEPT_LINK_BLOCKED
#define PENDING		SOFTSEPT_PENDING
#define PENDING_B	SOFTSEPT_PENDING_BLOCKED
#define MAPPED		SOFTSEPT_MAPPED
#define BLOCKED		SOFTSEPT_BLOCKED

enum call {
	CALL_LINK, CALL_MAP, CALL_BLOCK, CALL_UNBLOCK, CALL_REMOVE,
	CALL_UNLINK, CALL_PROMOTE, CALL_DEMOTE, CALL_ACCEPT, CALL_ADD,
	NR_CALLS,
};

static const char * const call_name[] = {
	"link", "map", "block", "unblock", "remove",
	"unlink", "promote", "demote", "accept", "add",
};

/* Levels that a call takes at all. */
static const struct {
	int min;
	int max;
} call_levels[] = {
	{ 2, 5 }, { 1, 2 }, { 1, 5 }, { 1, 5 }, { 1, 3 },
	{ 2, 5 }, { 2, 3 }, { 2, 3 }, { 1, 2 }, { 1, 1 },
};

static enum softsept_error call(enum call c, u64 gfn, int level)
{
	switch (c) {
	case CALL_LINK:
		return soft_link(gfn, level);
	case CALL_MAP:
		return soft_map(gfn, level);
	case CALL_BLOCK:
		return soft_block(gfn, level);
	case CALL_UNBLOCK:
		return soft_unblock(gfn, level);
	case CALL_REMOVE:
		return soft_remove(gfn, level);
	case CALL_UNLINK:
		return soft_unlink(gfn, level);
	case CALL_PROMOTE:
		return soft_promote(gfn, level);
	case CALL_DEMOTE:
		return soft_demote(gfn, level);
	case CALL_ACCEPT:
		return soft_accept(gfn, level);
	default:
		return soft_add(gfn);
	}
}

/**
 * struct cell - what comes of a call for an entry of some state
 * @error:	if all is as it has to be: tracked, and a table empty
 * @next:	state afterwards
 * @tracked:	it has to be tracked, or else SOFTSEPT_NOT_TRACKED
 * @early:	SOFTSEPT_NOT_BLOCKED: what happens before the VM is finalized
 */
struct cell {
	enum softsept_error error;
	enum softsept_state next;
	bool tracked;
	enum softsept_error early;
};

#define TO(state)	{ SOFTSEPT_OK, state, false, 0 }
#define T(state)	{ SOFTSEPT_OK, state, true, 0 }
#define SI		{ SOFTSEPT_STATE, 0, false, 0 }
#define AB		{ SOFTSEPT_ALREADY_BLOCKED, 0, false, 0 }
#define NB(state)	{ SOFTSEPT_NOT_BLOCKED, state, false, SOFTSEPT_OK }
#define GUEST(error)	{ SOFTSEPT_##error, 0, false, 0 }
#define IP		{ SOFTSEPT_PROMOTE, 0, true, 0 }
#define NB_IP		{ SOFTSEPT_NOT_BLOCKED, 0, false, SOFTSEPT_PROMOTE }

/* In the order of enum call, without the last. */
static const struct cell cells[SOFTSEPT_NR_STATES][NR_CALLS - 1] = {
	[FREE] = {
		TO(LINK), TO(PENDING), SI, SI, SI,
		SI, SI, SI, GUEST(EXIT),
	},
	[LINK] = {
		SI, SI, TO(LINK_B), SI, SI,
		NB(FREE), NB_IP, SI, GUEST(SIZE),
	},
	[LINK_B] = {
		SI, SI, AB, T(LINK), SI,
		T(FREE), IP, SI, GUEST(SIZE),
	},
	[PENDING] = {
		SI, SI, TO(PENDING_B), SI, NB(FREE),
		SI, SI, NB(LINK), TO(MAPPED),
	},
	[PENDING_B] = {
		SI, SI, AB, T(PENDING), T(FREE),
		SI, SI, T(LINK), GUEST(EXIT),
	},
	[MAPPED] = {
		SI, SI, TO(BLOCKED), SI, NB(FREE),
		SI, SI, NB(LINK), GUEST(ACCEPTED),
	},
	[BLOCKED] = {
		SI, SI, AB, T(MAPPED), T(FREE),
		SI, SI, T(LINK), GUEST(EXIT),
	},
};

/* When a call is made. */
enum when {
	TRACKED,
	UNTRACKED,
	EARLY,		/* before the VM is finalized, and not tracked */
	NR_WHEN,
};

static void try_cell(const struct soft_place *place, enum softsept_state state,
		     int level, enum call c, enum when when)
{
	struct cell cell = { SOFTSEPT_STATE, 0, false, 0 };
	enum softsept_error expected, error;
	enum softsept_state next;
	u64 gfn;

	if (c != CALL_ADD)
		cell = cells[state][c];
	else if (state == FREE)
		cell = (struct cell)TO(MAPPED);
	soft_create(place);
	gfn = soft.base + pgt_pages(level) * (level < place->level ? 3 : 0);
	soft_make(gfn, level, state, FREE);
	if (when != TRACKED)
		soft.s.epoch--;
	soft.s.provider.finalized = when != EARLY;

	expected = cell.error;
	if (when == UNTRACKED && cell.tracked)
		expected = SOFTSEPT_NOT_TRACKED;
	if (when == EARLY && expected == SOFTSEPT_NOT_BLOCKED)
		expected = cell.early;
	if (c == CALL_ADD && when != EARLY)
		expected = SOFTSEPT_OP_STATE;
	else if (c == CALL_MAP && when == EARLY)
		expected = SOFTSEPT_OP_STATE;
	/* Pages are added at one level, so the call has none to be wrong. */
	else if (c != CALL_ADD && (level < call_levels[c].min ||
				   level > call_levels[c].max))
		expected = SOFTSEPT_OPERAND;
	next = expected ? state : cell.next;

	error = call(c, gfn, level);
	if (error != expected || soft_state(gfn, level) != next)
		host_fail("state",
			  "%s, %s in state %d at level %d, when %d: error %d instead of %d, state %d instead of %d",
			  place->config->name, call_name[c], state, level,
			  when, error, expected, soft_state(gfn, level), next);
	soft_validate();
	soft_destroy();
}

static void try_row(const struct soft_place *place, enum softsept_state state,
		    int level)
{
	for (int c = 0; c < NR_CALLS; c++)
		for (int when = 0; when < NR_WHEN; when++)
			if (c != CALL_ADD || level == 1)
				try_cell(place, state, level, c, when);
}

/* Whether an entry at a level can be in a state. */
static bool has_state(enum softsept_state state, int level)
{
	if (state == FREE)
		return true;
	return state == LINK || state == LINK_B ? level > 1 : level <= 3;
}

HOST_TEST(softsept, states)
{
	for (unsigned int p = 0; p < soft_nr_places; p++)
		for (int level = 1; level <= soft_places[p].level; level++)
			for (int state = FREE; state < SOFTSEPT_NR_STATES;
			     state++)
				if (has_state(state, level))
					try_row(&soft_places[p], state, level);
}

/* The bits of an entry, in raw hex. */
HOST_TEST(softsept, bits)
{
	u64 gfn, *entry;

	soft_create(&soft_places[0]);
	gfn = 0x123;
	soft_reach(gfn, 1);
	entry = &soft.linked[2][gfn];
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x800ffffeffedc018);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x804ffffeffedc020);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_unblock(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x800ffffeffedc018);
	HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_OK);
	/* Write-back, all rights, A and D; 55 and 56 are the engine's. */
	HOST_EQ(*entry, 0x0180000100123b37);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x808ffffeffedc030);
	gfn = 0x200;
	entry = &soft.linked[3][1];
	HOST_EQ(soft_map(gfn, 2), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x800ffffeffdff098);
	soft_destroy();

	soft_create(&soft_places[1]);
	gfn = soft.base + 5;
	soft_reach(gfn, 1);
	entry = &soft.linked[2][5];
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(*entry, 0x000ffffeffffa018);
	HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_OK);
	/* P, W, U, A, D; 9 and 10 are the engine's. */
	HOST_EQ(*entry, 0x100005e67);
	soft_destroy();
}

/* What the module looks at first wins. */
HOST_TEST(softsept, order)
{
	u64 gfn, *entry;

	soft_create(&soft_places[1]);
	gfn = soft.base + 3;
	soft_make(gfn, 1, PENDING, FREE);
	entry = &soft.linked[2][3];

	/* Busy, then what the VM is at, then the operand. */
	soft.s.busy_every = 1;
	HOST_EQ(soft_add(soft.base + pgt_pages(4)), SOFTSEPT_BUSY);
	HOST_EQ(soft_block(gfn, 7), SOFTSEPT_BUSY);
	soft.s.busy_every = 0;
	HOST_EQ(soft_add(soft.base + pgt_pages(4)), SOFTSEPT_OP_STATE);

	/* The operand, then the tree lock, shared and exclusive. */
	atomic_set(&soft.s.tree, -1);
	HOST_EQ(soft_remove(soft.base + pgt_pages(4), 1), SOFTSEPT_OPERAND);
	HOST_EQ(soft_remove(gfn, 2), SOFTSEPT_OPERAND);
	HOST_EQ(soft_remove(gfn, 0), SOFTSEPT_OPERAND);
	HOST_EQ(soft_block(gfn, 6), SOFTSEPT_OPERAND);
	HOST_EQ(soft_map(gfn, 0), SOFTSEPT_OPERAND);
	HOST_EQ(soft_map(gfn, 6), SOFTSEPT_OPERAND);
	HOST_EQ(soft_block(soft.base + 512, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_remove(soft.base + 512, 1), SOFTSEPT_BUSY);
	atomic_set(&soft.s.tree, 1);
	HOST_EQ(soft_block(soft.base + 512, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_unblock(soft.base + 512, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_unlink(soft.base, 2), SOFTSEPT_BUSY);
	HOST_EQ(soft_link(soft.base, 2), SOFTSEPT_STATE);
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_STATE);
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_NOT_BLOCKED);
	HOST_EQ(soft_demote(soft.base, 2), SOFTSEPT_STATE);
	HOST_EQ(soft_promote(soft.base, 2), SOFTSEPT_NOT_BLOCKED);
	HOST_EQ(atomic_read(&soft.s.tree), 1);
	atomic_set(&soft.s.tree, 0);

	/* The walk, then the lock of the entry, then its state. */
	*entry |= BIT_ULL(53);
	HOST_EQ(soft_remove(soft.base + 512, 1), SOFTSEPT_WALK);
	HOST_EQ(soft_link(gfn, 1), SOFTSEPT_OPERAND);
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_BUSY);
	*entry &= ~BIT_ULL(53);

	/* Not tracked, then the contents. */
	HOST_EQ(soft_block(soft.base, 2), SOFTSEPT_OK);
	HOST_EQ(soft_promote(soft.base, 2), SOFTSEPT_NOT_TRACKED);
	HOST_EQ(soft_unlink(soft.base, 2), SOFTSEPT_NOT_TRACKED);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_promote(soft.base, 2), SOFTSEPT_PROMOTE);
	HOST_EQ(soft_unlink(soft.base, 2), SOFTSEPT_NOT_FREE);
	HOST_EQ(atomic_read(&soft.s.tree), 0);
	soft_destroy();
}

/* Every way to name what is not there, or not what the caller says. */
HOST_TEST(softsept, operands)
{
	for (unsigned int p = 0; p < soft_nr_places; p++) {
		int top = soft_places[p].level;
		u64 end, gfn;

		soft_create(&soft_places[p]);
		end = soft.base + pgt_pages(top);
		gfn = soft.base;
		HOST_EQ(soft_link(end, top), SOFTSEPT_OPERAND);
		HOST_EQ(soft_block(end, 1), SOFTSEPT_OPERAND);
		HOST_EQ(soft_link(gfn, top + 1), SOFTSEPT_OPERAND);
		HOST_EQ(soft_link(gfn + 1, top), SOFTSEPT_OPERAND);
		HOST_EQ(soft_accept(end, 1), SOFTSEPT_OPERAND);
		HOST_EQ(soft_accept(gfn + 1, 2), SOFTSEPT_OPERAND);
		HOST_EQ(soft_accept(gfn, 3), SOFTSEPT_OPERAND);
		HOST_EQ(soft_accept(gfn, 0), SOFTSEPT_OPERAND);

		soft_reach(gfn, 2);
		/* A table that is not empty can't be linked. */
		soft_table()[511] = 0x18;
		HOST_EQ(soft_link_table(gfn, 2,
					soft.table[soft.nr_tables - 1]),
			SOFTSEPT_OPERAND);
		HOST_EQ(soft_map_pfn(gfn, 2, DATA_PFN_BASE + 1),
			SOFTSEPT_OPERAND);
		HOST_EQ(soft_map_pfn(gfn, 2, 1ULL << 40), SOFTSEPT_OPERAND);
		HOST_EQ(soft_map(gfn, 2), SOFTSEPT_OK);
		/* Another page, another table than the one that is there. */
		HOST_EQ(soft_block(gfn, 2), SOFTSEPT_OK);
		HOST_EQ(soft_track(), SOFTSEPT_OK);
		HOST_EQ(soft.s.provider.ops->remove(&soft.s.provider, gfn, 2,
						    soft_pfn(gfn) + 512), -EIO);
		HOST_EQ(soft.s.last_error, SOFTSEPT_OPERAND);
		HOST_EQ(soft_demote(gfn, 2), SOFTSEPT_OK);
		HOST_EQ(soft_block(gfn, 2), SOFTSEPT_OK);
		HOST_EQ(soft_track(), SOFTSEPT_OK);
		soft.linked[2] = soft.table[0];
		HOST_EQ(soft_promote(gfn, 2), SOFTSEPT_OPERAND);
		HOST_EQ(soft_unlink(gfn, 2), SOFTSEPT_OPERAND);
		soft_destroy();
	}
}

/* Whatever is called for a gfn, nothing is found below an entry like that. */
static void check_walk(u64 gfn)
{
	for (int c = 0; c < CALL_ACCEPT; c++) {
		int level = call_levels[c].min == 1 ? 1 : 2;

		HOST_EQ(call(c, pgt_base(gfn, level), level), SOFTSEPT_WALK);
	}
}

HOST_TEST(softsept, walks)
{
	for (unsigned int p = 0; p < soft_nr_places; p++) {
		u64 gfn;

		/* A hole; the entries of the root may be one. */
		soft_create(&soft_places[p]);
		gfn = soft.base + 5;
		check_walk(gfn);
		HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_EXIT);
		soft_destroy();

		/* A larger leaf, in each of its states. */
		for (int state = PENDING; state <= BLOCKED; state++) {
			soft_create(&soft_places[p]);
			soft_make(soft.base, 3, state, FREE);
			check_walk(gfn);
			for (int level = 1; level <= 2; level++)
				HOST_EQ(soft_accept(pgt_base(gfn, level),
						    level),
					state == MAPPED ? SOFTSEPT_ACCEPTED :
							  SOFTSEPT_EXIT);
			soft_destroy();
		}

		/* A blocked link, tracked or not; what is below is there. */
		soft_create(&soft_places[p]);
		soft_make(gfn, 1, PENDING, FREE);
		HOST_EQ(soft_block(soft.base, 3), SOFTSEPT_OK);
		check_walk(gfn);
		HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_EXIT);
		HOST_EQ(soft_accept(soft.base, 2), SOFTSEPT_EXIT);
		HOST_EQ(soft_state(gfn, 1), LINK_B);
		HOST_EQ(soft_track(), SOFTSEPT_OK);
		check_walk(gfn);
		HOST_EQ(soft_unblock(soft.base, 3), SOFTSEPT_OK);
		HOST_EQ(soft_state(gfn, 1), PENDING);
		soft_destroy();
	}
}

/* Runs end where something is in the way, and say how far they came. */
HOST_TEST(softsept, runs)
{
	const struct mirror_ops *ops;
	u64 pfns[8];
	u64 gfn;

	soft_create(&soft_places[1]);
	ops = soft.s.provider.ops;
	gfn = soft.base + 508;
	for (int i = 0; i < 8; i++)
		pfns[i] = DATA_PFN_BASE + 100 - i;
	soft_reach(gfn, 1);
	HOST_EQ(ops->map(&soft.s.provider, gfn, 1, pfns, 5), -EIO);
	HOST_EQ(soft.s.last_error, SOFTSEPT_OPERAND);
	HOST_EQ(ops->map(&soft.s.provider, gfn, 1, pfns, 0), -EIO);
	HOST_EQ(soft_state(gfn, 1), FREE);
	HOST_EQ(soft_map(gfn + 2, 1), SOFTSEPT_OK);
	HOST_EQ(ops->map(&soft.s.provider, gfn, 1, pfns, 4), 2);
	HOST_EQ(soft_state(gfn + 1, 1), PENDING);
	HOST_EQ(soft_state(gfn + 3, 1), FREE);
	HOST_EQ(ops->map(&soft.s.provider, gfn + 2, 1, pfns, 2), -EIO);
	HOST_EQ(soft.s.last_error, SOFTSEPT_STATE);
	HOST_EQ(ops->map(&soft.s.provider, gfn + 3, 1, pfns, 1), 1);
	/* Each has its own page. */
	HOST_EQ(soft_accept(gfn + 1, 1), SOFTSEPT_OK);
	HOST_EQ(pgt_leaf_pfn(&soft.fmt, soft.linked[2][509], 1), pfns[1]);
	/* A page that isn't aligned ends a run too. */
	pfns[0] = DATA_PFN_BASE;
	HOST_EQ(ops->map(&soft.s.provider, soft.base + 512, 2, pfns, 2), 1);
	/* Each leaf is a call of the module's. */
	soft.s.busy_every = 3;
	atomic_set(&soft.s.count, 0);
	HOST_EQ(ops->map(&soft.s.provider, soft.base + 200 * 512, 2, pfns, 1),
		1);
	pfns[1] = pfns[0];
	pfns[2] = pfns[0];
	HOST_EQ(ops->map(&soft.s.provider, soft.base + 300 * 512, 2, pfns, 3),
		1);
	soft_destroy();
}

/* Pages that are added keep what they hold; so do those mapped at once. */
HOST_TEST(softsept, contents)
{
	u64 gfn;

	soft_create(&soft_places[0]);
	gfn = soft.base;
	private_fill(soft_pfn(gfn), 2048, 7);
	soft_reach(gfn, 1);
	soft.s.provider.finalized = false;
	HOST_EQ(soft_add(gfn), SOFTSEPT_OK);
	HOST_EQ(soft_add(gfn), SOFTSEPT_STATE);
	HOST_EQ(soft_state(gfn, 1), MAPPED);
	softsept_finalize(&soft.s);
	HOST_EQ(soft_map(gfn + 1, 1), SOFTSEPT_OK);
	soft.s.auto_accept = true;
	HOST_EQ(soft_map(gfn + 2, 1), SOFTSEPT_OK);
	HOST_EQ(soft_state(gfn + 2, 1), MAPPED);
	soft.s.auto_accept = false;
	HOST_EQ(soft_map(gfn + 512, 2), SOFTSEPT_OK);
	HOST_EQ(private.clears, 0);
	HOST_EQ(soft_accept(gfn + 1, 1), SOFTSEPT_OK);
	HOST_EQ(soft_accept(gfn + 512, 2), SOFTSEPT_OK);
	HOST_EQ(soft_accept(gfn + 512, 2), SOFTSEPT_ACCEPTED);
	HOST_EQ(soft_accept(gfn + 513, 1), SOFTSEPT_ACCEPTED);
	HOST_EQ(soft_accept(gfn, 2), SOFTSEPT_SIZE);
	HOST_EQ(private.clears, 2);
	for (u64 i = 0; i < 2048; i++)
		HOST_EQ(private_content(soft_pfn(gfn + i)),
			i == 1 || (i >= 512 && i < 1024) ? 0 : 7);
	soft_destroy();
}
