// SPDX-License-Identifier: GPL-2.0
/*
 * Between the mirror and the software provider: counts what the provider has,
 * holds each call against what the mirror promises in provider.h, and makes
 * calls fail.
 *
 * What the provider checks by itself (states, tracking, tables that are not
 * empty) is left to it: a refusal ends the test.
 */
#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

/* By frame: the machine whose provider has it. */
static u32 *given;
static u32 *leaked;
static u32 provided[MEM_FRAMES];
static u32 machine;

__attribute__((__constructor__))
static void map_given(void)
{
	given = mem_map(DATA_FRAMES * sizeof(*given));
	leaked = mem_map(DATA_FRAMES * sizeof(*leaked));
}

static const char * const call_names[MIRROR_NR_CALLS] = {
	"link", "map", "add", "block", "track", "unblock", "remove", "unlink",
	"promote", "demote", "reclaim", "open_window", "close_window",
};

static enum pvm_phase phase_of(enum mirror_call call)
{
	switch (call) {
	case MIRROR_BLOCK:
		return PVM_BLOCK;
	case MIRROR_TRACK:
		return PVM_TRACK;
	case MIRROR_REMOVE:
	case MIRROR_UNLINK:
	case MIRROR_UNBLOCK:
	case MIRROR_PROMOTE:
	case MIRROR_DEMOTE:
		return PVM_FINISH;
	default:
		return PVM_NONE;
	}
}

/* Faults make these calls, many at a time. */
static bool is_shared(enum mirror_call call)
{
	return call == MIRROR_LINK || call == MIRROR_MAP || call == MIRROR_ADD;
}

static void check_call(enum mirror_call call)
{
	enum pvm_phase phase = phase_of(call);

	if (is_shared(call)) {
		lockdep_assert_held(&vm.lock);
		return;
	}
	lockdep_assert_held_write(&vm.lock);
	/* However many are at work. */
	if (call == MIRROR_TRACK && pvm.mirror.blocked &&
	    pvm.mirror.tracks - pvm.mirror.oldest >= MIRROR_MAX_AGE)
		host_fail("age", "an entry is blocked for %llu tracks",
			  (unsigned long long)(pvm.mirror.tracks -
					       pvm.mirror.oldest));
	/* A track too: the provider would be busy, and a window would hide it. */
	if ((phase == PVM_FINISH || phase == PVM_TRACK) && pvm.kick_owed)
		host_fail("kick", "%s between a track and its kick",
			  call_names[call]);
	if (phase != PVM_NONE && phase != pvm.phase) {
		pvm.phase = phase;
		pvm.windows = 0;
	}
}

/* Whether a call is busy because it is the turn of who makes it. */
static bool is_busy_fault(enum mirror_call call)
{
	enum pvm_faults *faults = &pvm.inject.faults[sim_context];

	if (!is_shared(call))
		return false;
	switch (*faults) {
	case PVM_FAULTS_NEXT_BUSY:
		*faults = PVM_FAULTS_NEXT_NOT_BUSY;
		return true;
	case PVM_FAULTS_NEXT_NOT_BUSY:
		*faults = PVM_FAULTS_NEXT_BUSY;
		return false;
	default:
		return false;
	}
}

/* Whether a call is to fail; if so it returns @pvm.inject.error. */
static bool strikes(enum mirror_call call)
{
	struct pvm_inject *inject = &pvm.inject;
	bool strike;

	check_call(call);
	if (pvm.on_call)
		pvm.on_call(call);
	if (is_busy_fault(call))
		return true;
	if (inject->only != MIRROR_NR_CALLS && inject->only != call)
		return false;
	inject->calls++;
	if (!inject->at || inject->calls < inject->at)
		return false;
	/* Nothing is busy in a window: that is what it is for. */
	if (inject->error == -EBUSY && pvm.window && !inject->in_window) {
		if (inject->struck && !inject->always)
			inject->at = 0;
		return false;
	}
	/* A fault that repeats it would wait for somebody. */
	if (inject->always && is_shared(call))
		return false;
	strike = inject->calls == inject->at ||
		 (inject->again && !is_shared(call) &&
		  (call != MIRROR_RECLAIM || inject->error != -EBUSY));
	inject->struck += strike;
	return strike;
}

static void give(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++) {
		HOST_CHECK(data_is_frame(pfn + i));
		if (given[pfn + i - DATA_PFN_BASE] == machine)
			host_fail("provider", "pfn %#llx is mapped twice",
				  (unsigned long long)pfn + i);
		given[pfn + i - DATA_PFN_BASE] = machine;
	}
	pvm.pages += pgt_pages(level);
}

static void take(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++) {
		HOST_CHECK(given[pfn + i - DATA_PFN_BASE] == machine);
		given[pfn + i - DATA_PFN_BASE] = 0;
	}
	pvm.pages -= pgt_pages(level);
}

bool pvm_is_given(u64 pfn)
{
	return given[pfn - DATA_PFN_BASE] == machine;
}

bool pvm_is_leaked(u64 pfn)
{
	return leaked[pfn - DATA_PFN_BASE] == machine;
}

static void leak(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++) {
		if (pvm_is_leaked(pfn + i))
			host_fail("leak", "pfn %#llx is leaked twice",
				  (unsigned long long)pfn + i);
		leaked[pfn + i - DATA_PFN_BASE] = machine;
		pvm.leaked += pvm_is_given(pfn + i);
	}
}

static void give_table(void *table)
{
	HOST_CHECK(provided[mem_frame(table)] != machine);
	provided[mem_frame(table)] = machine;
	pvm.provided++;
}

static void take_table(void *table)
{
	HOST_CHECK(provided[mem_frame(table)] == machine);
	provided[mem_frame(table)] = 0;
	pvm.provided--;
}

u64 pvm_free_leaked(void)
{
	u64 nr = 0;

	for (unsigned int i = 0; i < MEM_FRAMES; i++) {
		if (provided[i] != machine)
			continue;
		provided[i] = 0;
		__pagetable_free(&mem_ptdesc[i]);
		nr++;
	}
	return nr;
}

/*
 * The calls.
 */

static int see_link(struct mirror_provider *p, u64 gfn, int level, void *table)
{
	int ret;

	if (strikes(MIRROR_LINK))
		return pvm.inject.error;
	ret = pvm.real->link(p, gfn, level, table);
	if (!ret)
		give_table(table);
	return ret;
}

static int see_map(struct mirror_provider *p, u64 gfn, int level,
		   const u64 *pfns, unsigned int nr)
{
	int ret;

	if (strikes(MIRROR_MAP)) {
		/* As if all but the first so many were busy. */
		if (pvm.inject.error <= 0 || pvm.inject.error > PGT_ENTRIES)
			return pvm.inject.error;
		nr = min_t(unsigned int, nr, pvm.inject.error);
	}
	/* Before: as soon as it is mapped somebody may accept it. */
	for (unsigned int i = 0; i < nr; i++)
		give(pfns[i], level);
	ret = pvm.real->map(p, gfn, level, pfns, nr);
	for (unsigned int i = max(ret, 0); i < nr; i++)
		take(pfns[i], level);
	return ret;
}

static int see_add(struct mirror_provider *p, u64 gfn, u64 pfn)
{
	int ret;

	if (strikes(MIRROR_ADD))
		return pvm.inject.error;
	ret = pvm.real->add(p, gfn, pfn);
	if (!ret)
		give(pfn, 1);
	return ret;
}

static int see_block(struct mirror_provider *p, u64 gfn, int level)
{
	if (strikes(MIRROR_BLOCK))
		return pvm.inject.error;
	return pvm.real->block(p, gfn, level);
}

static int see_track(struct mirror_provider *p)
{
	int ret;

	if (strikes(MIRROR_TRACK))
		return pvm.inject.error;
	ret = pvm.real->track(p);
	if (!ret)
		pvm.kick_owed = true;
	return ret;
}

static int see_unblock(struct mirror_provider *p, u64 gfn, int level)
{
	if (strikes(MIRROR_UNBLOCK))
		return pvm.inject.error;
	return pvm.real->unblock(p, gfn, level);
}

static int see_remove(struct mirror_provider *p, u64 gfn, int level, u64 pfn)
{
	int ret;

	if (strikes(MIRROR_REMOVE))
		return pvm.inject.error;
	ret = pvm.real->remove(p, gfn, level, pfn);
	if (!ret)
		take(pfn, level);
	return ret;
}

static int see_unlink(struct mirror_provider *p, u64 gfn, int level,
		      void *table)
{
	int ret;

	if (strikes(MIRROR_UNLINK))
		return pvm.inject.error;
	ret = pvm.real->unlink(p, gfn, level, table);
	if (!ret)
		take_table(table);
	return ret;
}

static int see_promote(struct mirror_provider *p, u64 gfn, int level,
		       void *table)
{
	int ret;

	if (strikes(MIRROR_PROMOTE))
		return pvm.inject.error;
	ret = pvm.real->promote(p, gfn, level, table);
	if (!ret)
		take_table(table);
	return ret;
}

static int see_demote(struct mirror_provider *p, u64 gfn, int level,
		      void *table)
{
	int ret;

	if (strikes(MIRROR_DEMOTE))
		return pvm.inject.error;
	ret = pvm.real->demote(p, gfn, level, table);
	if (!ret)
		give_table(table);
	return ret;
}

static int see_reclaim(struct mirror_provider *p, u64 pfn, int level)
{
	int ret;

	if (strikes(MIRROR_RECLAIM))
		return pvm.inject.error;
	ret = pvm.real->reclaim(p, pfn, level);
	if (!ret && level)
		take(pfn, level);
	else if (!ret)
		take_table(__va(pfn << PGT_PAGE_SHIFT));
	return ret;
}

static void see_open_window(struct mirror_provider *p)
{
	lockdep_assert_held_write(&vm.lock);
	if (pvm.window)
		host_fail("window", "one is open already");
	if (++pvm.windows > 1 && pvm.one_window && !private.refusals)
		host_fail("window", "the second in a phase");
	pvm.real->open_window(p);
	pvm.window = true;
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		if (pvm.vcpu[i].soft.inside)
			host_fail("window", "vCPU %u is in the guest", i);
}

static void see_close_window(struct mirror_provider *p)
{
	lockdep_assert_held_write(&vm.lock);
	if (!pvm.window)
		host_fail("window", "none is open");
	pvm.window = false;
	pvm.real->close_window(p);
}

static void see_query(struct mirror_provider *p, u64 gfn, int level,
		      struct mirror_query *query)
{
	pvm.real->query(p, gfn, level, query);
}

static const struct mirror_ops see_through = {
	.link = see_link,
	.map = see_map,
	.add = see_add,
	.block = see_block,
	.track = see_track,
	.unblock = see_unblock,
	.remove = see_remove,
	.unlink = see_unlink,
	.promote = see_promote,
	.demote = see_demote,
	.reclaim = see_reclaim,
	.open_window = see_open_window,
	.close_window = see_close_window,
	.query = see_query,
};

void pvm_see_through(void)
{
	machine++;
	pvm.real = pvm.soft.provider.ops;
	pvm.soft.provider.ops = &see_through;
	pvm.inject.only = MIRROR_NR_CALLS;
	private.leak = leak;
}
