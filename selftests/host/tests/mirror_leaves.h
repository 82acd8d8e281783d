/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests of the mirror are written with: making leaves, converting them, and
 * looking at what there is then.
 */
#ifndef HOST_TESTS_MIRROR_LEAVES_H
#define HOST_TESTS_MIRROR_LEAVES_H

#include "private_vm.h"
#include "test.h"

#define PAGES_2M	512ULL
#define PAGES_1G	0x40000ULL

/* TRACKs and kicks since pvm_cost_begin(). */
static inline void check_epochs(long epochs)
{
	struct pvm_cost cost = pvm_cost();

	HOST_EQ(cost.calls[MIRROR_TRACK], epochs);
	HOST_EQ(cost.kicks, epochs);
	HOST_EQ(cost.calls[MIRROR_OPEN_WINDOW], 0);
}

/* Leaves of a level over a range, pending. */
static inline void fill(u64 start, u64 end, int level)
{
	unsigned int around = pvm.around;

	for (u64 gfn = start; gfn < end; gfn += around * pgt_pages(level))
		HOST_EQ(pvm_map(0, gfn, level, level, around), around);
}

static inline void accept_all(u64 start, u64 end, int level)
{
	for (u64 gfn = start; gfn < end; gfn += pgt_pages(level))
		HOST_EQ(pvm_accept(gfn, level), SOFTSEPT_OK);
}

static inline void convert_and_check(u64 start, u64 end, long epochs)
{
	pvm_cost_begin();
	pvm_convert(start, end, false);
	check_epochs(epochs);
	pvm_check();
}

static inline int lookup(u64 gfn, u64 *pfn)
{
	int level;

	rcu_read_lock();
	level = mirror_lookup(&pvm.mirror, gfn, pfn);
	rcu_read_unlock();
	return level;
}

static inline enum softsept_state state_of(u64 gfn, int *level)
{
	enum softsept_state state;

	rcu_read_lock();
	state = softsept_state(&pvm.soft, gfn, level);
	rcu_read_unlock();
	return state;
}

static inline void check_state(u64 gfn, int level, enum softsept_state want)
{
	int at = 1;

	HOST_EQ(state_of(gfn, &at), want);
	HOST_EQ(at, level);
}

/* Make 1 GiB of one leaf. */
static inline void make_1g(bool accepted)
{
	fill(0, PAGES_1G, 2);
	if (accepted)
		accept_all(0, PAGES_1G, 2);
	HOST_EQ(pvm_promote(0, PAGES_1G, false), 1);
	HOST_EQ(atomic_long_read(&pvm.counters.leaves[3]), 1);
	pvm_check();
}

#endif /* HOST_TESTS_MIRROR_LEAVES_H */
