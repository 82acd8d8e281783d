// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror and calls that do not succeed: each call of one scenario in turn is
 * busy, interrupted or refused.  Running out of tables is in mirror_nomem.c.
 *
 * What is busy or interrupted leaves everything as it would be without.  What is
 * refused is the end of the VM: nothing hangs, nothing is freed that the provider
 * may still have, and nothing more is leaked than that.
 */
#include <string.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>

#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

#define FAIL_GFNS	0x1000ULL
/* Repeats of a fault: of the calls that it makes one fails once. */
#define FAIL_REPEATS	3

#define MAX_CALLS	16384
/* Where all is slower: so many places of each kind of call. */
#ifdef HOST_SLOW
#define PLACES_OF_KIND	2
#else
#define PLACES_OF_KIND	MAX_CALLS
#endif

static bool may_fail;
static bool always_busy;
static bool may_yield;

/* The calls of a scenario. */
static u8 logged[MAX_CALLS];
static unsigned int nr_logged;

static void log_call(enum mirror_call call)
{
	/* Many times what there are without failures. */
	if (nr_logged == MAX_CALLS)
		host_fail("hang", "no end of calls for the provider");
	logged[nr_logged++] = call;
}

/* Whether the machine is as it should be, or was refused something. */
static bool fine(void)
{
	HOST_CHECK(!pvm.window);
	HOST_EQ(atomic_read(&pvm.soft.tree), 0);
	HOST_EQ(pvm.mirror.broken, private.refusals > 0);
	if (pvm.mirror.broken) {
		HOST_CHECK(may_fail);
		return false;
	}
	pvm_check();
	return true;
}

/* As a fault that is repeated until the page is there. */
static void map(u64 gfn, int level, unsigned int around)
{
	int ret = -EAGAIN;

	for (int i = 0; i < FAIL_REPEATS && ret == -EAGAIN; i++)
		ret = pvm_map(0, gfn, level, level, around);
	if (fine())
		HOST_CHECK(ret >= 0);
	else
		HOST_CHECK(ret == -EIO || ret >= 0);
}

/* A page and its neighbours, all of them. */
static void map_all(u64 gfn, int level, unsigned int around)
{
	map(gfn, level, around);
	for (unsigned int i = 0; i < around && fine(); i++)
		map(gfn + i * pgt_pages(level), level, 1);
}

static void use(u64 gfn)
{
	if (!fine())
		return;
	pvm_accept(pgt_base(gfn, 2), 2);
	pvm_accept(gfn, 1);
	HOST_EQ(pvm_try(0, gfn, CPU_WRITE), CPU_OK);
	HOST_EQ(pvm_try(1, gfn, CPU_WRITE), CPU_OK);
}

static void convert(u64 start, u64 end, bool tables)
{
	if (tables)
		pvm_convert_tables(start, end, may_yield);
	else
		pvm_convert(start, end, may_yield);
	fine();
}

/*
 * Every call of the provider, in several places.
 *
 * Return: calls that were made to fail.
 */
static u64 scenario(const struct pvm_config *config,
		    const struct pvm_inject *inject)
{
	pvm_create(config, 2, FAIL_GFNS, 2, PVM_NOT_FINALIZED);
	private.refusals_expected = may_fail;
	pvm.inject = *inject;
	pvm.inject.in_window = always_busy;
	pvm.on_call = log_call;
	nr_logged = 0;
	private_fill(pvm_pfn(1), 1, PVM_ADDED);
	map(1, 1, 1);
	write_lock(&vm.lock);
	softsept_finalize(&pvm.soft);
	write_unlock(&vm.lock);
	use(1);

	/* Small leaves and large ones, accepted and not. */
	map_all(0x204, 1, 4);
	use(0x205);
	map_all(0x400, 2, 2);
	use(0x444);
	/* Out of the middle of a large one, and across two. */
	convert(0x440, 0x442, false);
	use(0x444);
	map_all(0x800, 2, 2);
	use(0x900);
	convert(0x9f0, 0xa10, false);
	use(0x900);
	/* A table that is gone, one that can be a leaf, and one that can't. */
	map_all(0x440, 1, 2);
	convert(0x400, 0x600, true);
	map_all(0xc00, 1, 512);
	map_all(0xe00, 1, 512);
	if (fine())
		pvm_accept(0xe00, 1);
	if (fine() && pvm_promote(0, FAIL_GFNS, false) != 1)
		HOST_CHECK(!fine());
	if (fine())
		pvm_split(0xc00, 1);
	convert(0x200, 0x210, true);
	/* A table that goes together with the leaves of another one. */
	map(0x210, 1, 1);
	map(0x410, 1, 1);
	convert(0x200, 0x400, false);
	convert(0x400, 0x600, false);
	convert(0, FAIL_GFNS, true);
	if (fine())
		HOST_EQ(atomic_long_read(&pvm.counters.tables), 1);
	map(0x333, 1, 1);
	use(0x333);
	pvm_destroy();
	HOST_EQ(pvm.mirror.broken, private.refusals > 0);
	return pvm.inject.struck;
}

/* In a row of the same calls the first two and the last two are enough. */
static bool is_alike(unsigned int at)
{
	return at > 2 && at + 2 < nr_logged && logged[at] == logged[at - 2] &&
	       logged[at] == logged[at - 1] && logged[at] == logged[at + 1] &&
	       logged[at] == logged[at + 2];
}

/*
 * Where calls of one kind are made to fail: the first and the last of them, and
 * as many in between as there may be.
 */
static void choose_places(enum mirror_call call, u8 *places)
{
	unsigned int nr = 0, nth = 0, wanted;

	for (unsigned int i = 0; i < nr_logged; i++)
		nr += logged[i] == call && !is_alike(i);
	wanted = min_t(unsigned int, nr, PLACES_OF_KIND);
	for (unsigned int i = 0; i < nr_logged; i++) {
		if (logged[i] != call || is_alike(i))
			continue;
		/* Of the numbers from 0 to @nr - 1, @wanted in even steps. */
		places[i] = !nth || nth == nr - 1 ||
			    nth * (wanted - 1) / (nr - 1) !=
			    (nth - 1) * (wanted - 1) / (nr - 1);
		nth++;
	}
}

/*
 * Make each call that @which has fail in turn.  There is one of every kind, or
 * the scenario has lost what it was for.
 */
static void every_call(const struct pvm_config *config, int error, bool again,
		       bool (*which)(enum mirror_call call))
{
	struct pvm_inject inject = {
		.only = MIRROR_NR_CALLS, .error = error, .again = again,
	};
	unsigned int tried[MIRROR_NR_CALLS] = { };
	static u8 places[MAX_CALLS];
	static u8 calls[MAX_CALLS];
	unsigned int nr, all = 0;

	mem_reset();
	HOST_EQ(scenario(config, &inject), 0);
	nr = nr_logged;
	memset(places, 0, sizeof(places));
	memcpy(calls, logged, nr);
	for (int call = 0; call < MIRROR_NR_CALLS; call++)
		if (which(call))
			choose_places(call, places);
	for (unsigned int i = 0; i < nr; i++) {
		if (!places[i])
			continue;
		mem_reset();
		inject.at = i + 1;
		HOST_CHECK(scenario(config, &inject));
		tried[calls[i]]++;
		all++;
	}
	for (int call = 0; call < MIRROR_OPEN_WINDOW; call++)
		if (which(call) && !tried[call])
			host_fail("assert", "%s: call %d never returns %d",
				  config->name, call, error);
	if (host_verbose())
		host_note("%s: %u calls return %d", config->name, all, error);
}

static bool any_call(enum mirror_call call)
{
	return true;
}

static bool is_map(enum mirror_call call)
{
	return call == MIRROR_MAP;
}

HOST_TEST(mirror_fail, busy)
{
	for (unsigned int i = 0; i < pvm_nr_configs; i++)
		every_call(&pvm_configs[i], -EBUSY, false, any_call);
}

/* It goes on to be until somebody opens a window. */
HOST_TEST(mirror_fail, busy_until_window)
{
	for (unsigned int i = 0; i < pvm_nr_configs; i++)
		every_call(&pvm_configs[i], -EBUSY, true, any_call);
}

/* Whatever can be busy is: one window a phase, and all is done. */
HOST_TEST(mirror_fail, contended)
{
	struct pvm_inject inject = {
		.at = 1, .only = MIRROR_NR_CALLS, .error = -EBUSY,
		.again = true, .always = true,
	};

	for (unsigned int i = 0; i < pvm_nr_configs; i++) {
		mem_reset();
		HOST_CHECK(scenario(&pvm_configs[i], &inject) > 30);
	}
}

/* The lock was dropped: there can't be a window, and there may be another. */
static void in_gap(void)
{
	HOST_CHECK(!pvm.window);
	pvm.windows = 0;
}

/* The same with the lock dropped at every entry. */
HOST_TEST(mirror_fail, contended_yielding)
{
	struct pvm_inject inject = {
		.at = 1, .only = MIRROR_NR_CALLS, .error = -EBUSY,
		.again = true, .always = true,
	};

	may_yield = true;
	sim_need_resched = true;
	for (unsigned int i = 0; i < pvm_nr_configs; i++) {
		mem_reset();
		sim_gap = in_gap;
		HOST_CHECK(scenario(&pvm_configs[i], &inject) > 30);
	}
	sim_need_resched = false;
	may_yield = false;
}

HOST_TEST(mirror_fail, interrupted)
{
	for (unsigned int i = 0; i < pvm_nr_configs; i++)
		every_call(&pvm_configs[i], -EINTR, false, any_call);
}

/* Of a run only so many leaves are mapped. */
HOST_TEST(mirror_fail, map_in_part)
{
	for (int mapped = 1; mapped < 4; mapped++)
		every_call(PVM_EPT, mapped, false, is_map);
}

/*
 * Answers that are not legal.
 */

static void refused(int error, bool again, bool (*which)(enum mirror_call call))
{
	may_fail = true;
	every_call(PVM_EPT, error, again, which);
	may_fail = false;
}

HOST_TEST(mirror_fail, refused)
{
	refused(-EIO, false, any_call);
}

HOST_TEST(mirror_fail, refused_for_good)
{
	refused(-EIO, true, any_call);
}

static bool no_map_or_promote(enum mirror_call call)
{
	return call != MIRROR_MAP && call != MIRROR_PROMOTE;
}

HOST_TEST(mirror_fail, nonsense)
{
	refused(-EOPNOTSUPP, false, no_map_or_promote);
	refused(1, false, no_map_or_promote);
	/* More than there are, and none at all. */
	refused(PGT_ENTRIES + 1, false, is_map);
	refused(0, false, is_map);
}

static bool is_exclusive(enum mirror_call call)
{
	return call >= MIRROR_BLOCK && call <= MIRROR_DEMOTE;
}

/* Busy in a window too. */
HOST_TEST(mirror_fail, busy_for_good)
{
	always_busy = true;
	refused(-EBUSY, true, is_exclusive);
	always_busy = false;
}

/* Somebody begins to wait at any moment: no window is open when he has the lock. */
static void window_setup(void *ctx)
{
	pvm_create(PVM_EPT, 1, 512, 1, 0);
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	pvm.one_window = false;
	pvm.inject = (struct pvm_inject) {
		.at = 1, .error = -EBUSY, .again = true, .always = true,
		.only = MIRROR_NR_CALLS,
	};
}

static void window_zap(void *ctx)
{
	pvm_convert(0, 2, true);
}

static void window_wait(void *ctx)
{
	write_lock(&vm.lock);
	if (pvm.window)
		host_fail("window", "one is open, and the lock was free");
	write_unlock(&vm.lock);
}

static void window_teardown(void *ctx)
{
	pvm.inject.at = 0;
	pvm_check();
	pvm_destroy();
}

HOST_TEST(mirror_fail, window_and_lock)
{
	static const struct sim_case c = {
		.name = "window_and_lock",
		.nr_tasks = 2,
		.setup = window_setup,
		.task = { window_zap, window_wait },
		.teardown = window_teardown,
	};
	struct sim_stats stats;

	sim_explore_all(&c, 2, 0, &stats);
	HOST_CHECK(stats.complete);
	host_note("%llu schedules", (unsigned long long)stats.schedules);
}

/* A table whose pages are in line, but not where a large leaf could be. */
HOST_TEST(mirror_fail, promote_out_of_line)
{
	struct mirror_cache cache;
	u64 pfns[PGT_ENTRIES];
	struct mirror_map map = {
		.level = 1, .pfns = pfns, .nr = PGT_ENTRIES, .max_level = 1,
	};

	pvm_create(PVM_EPT, 1, 1024, 1, 0);
	mirror_cache_init(&cache, &pvm.mirror);
	HOST_EQ(mirror_cache_fill(&cache, 4), 0);
	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		pfns[i] = pvm_pfn(1) + i;
	read_lock(&vm.lock);
	HOST_EQ(mirror_map(&pvm.mirror, &map, &cache), PGT_ENTRIES);
	read_unlock(&vm.lock);
	pvm_cost_begin();
	HOST_EQ(pvm_promote(0, 1024, false), 0);
	HOST_EQ(pvm_cost().calls[MIRROR_BLOCK], 0);
	pvm_check();
	mirror_cache_drain(&cache);
	pvm_destroy();
}

/*
 * A table that is no leaf in the end, and whose link can't be unblocked: it stays
 * until somebody zaps it, or the end of the VM.
 */
static void unblock_refused(bool zap)
{
	struct pvm_cost cost;
	u64 pfn;

	pvm_create(PVM_EPT, 1, 1024, 1, 0);
	private.refusals_expected = true;
	HOST_EQ(pvm_map(0, 0, 1, 1, 512), 512);
	HOST_EQ(pvm_accept(3, 1), SOFTSEPT_OK);
	pvm.inject = (struct pvm_inject) {
		.at = 1, .error = -EIO, .only = MIRROR_UNBLOCK,
	};
	HOST_EQ(pvm_promote(0, 512, false), 0);
	HOST_EQ(private.refusals, 1);
	HOST_CHECK(pvm.mirror.broken);
	HOST_EQ(pvm.mirror.blocked, 1);
	pvm_validate();
	rcu_read_lock();
	HOST_EQ(mirror_lookup(&pvm.mirror, 3, &pfn), 0);
	rcu_read_unlock();
	HOST_EQ(pvm_map(0, 3, 1, 1, 1), -EIO);
	if (zap) {
		pvm_convert(0, 512, false);
		HOST_EQ(private.leaks, 512);
		HOST_EQ(pvm.mirror.blocked, 0);
		pvm_validate();
	}
	pvm_cost_begin();
	pvm_destroy();
	cost = pvm_cost();
	HOST_EQ(private.leaks, zap ? 512 : 0);
	HOST_EQ(cost.calls[MIRROR_RECLAIM], zap ? 2 : 3 + 512);
}

HOST_TEST(mirror_fail, unblock_refused)
{
	unblock_refused(false);
	mem_reset();
	unblock_refused(true);
}

/* The provider is interrupted each time: what is left at the end is leaked. */
HOST_TEST(mirror_fail, reclaim_for_good)
{
	pvm_create(PVM_EPT, 1, 512, 1, 0);
	private.refusals_expected = true;
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	pvm.inject = (struct pvm_inject) {
		.at = 1, .error = -EINTR, .again = true, .only = MIRROR_RECLAIM,
	};
	pvm_destroy();
	HOST_EQ(private.leaks, 2);
	HOST_EQ(private.refusals, 2 + 3);
}
