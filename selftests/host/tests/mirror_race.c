// SPDX-License-Identifier: GPL-2.0
/*
 * Every pair of operations on private memory that may run together: as race.c,
 * whose comment says how, but with at most two preemptions, or with one where
 * that would be too many schedules; the test says so.  All schedules are run on
 * one kind of page table; those at random on each.  With leaves of 1 GiB, and no
 * --effort, there are only those at random.
 *
 * A vCPU that a task runs is in the guest but for its faults, and leaves when it
 * is kicked; others are in the guest all the time, with the pages cached, until
 * they are taken out.  So whatever is handed back without a kick is still used.
 */
#include <stdio.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/sched.h>

#include "mirror_leaves.h"
#include "pairs.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

/* The last page of a 2 MiB and the first of the next. */
#define G0		511ULL
#define G1		512ULL
#define RACE_GFNS	1024ULL

/* Schedules that are too many: for most pairs, and for two that let go. */
#ifdef HOST_SLOW
#define RACE_PREEMPTIONS	1
#define RACE_SCHEDULES		0
#define RACE_DEEP		0
#define RACE_RANDOM		10
#define RACE_RANDOM_GIANT	3
#else
#define RACE_PREEMPTIONS	2
#define RACE_SCHEDULES		10000
#define RACE_DEEP		20000
#define RACE_RANDOM		100
#define RACE_RANDOM_GIANT	30
#endif

enum race_state {
	STATE_EMPTY,
	STATE_PENDING,	/* 4K, not accepted */
	STATE_SMALL,	/* 4K, cached by every CPU */
	STATE_HUGE,	/* 2M, cached by every CPU */
	STATE_FULL,	/* 512 of 4K, which could be one of 2M */
	STATE_EMPTIED,	/* tables without leaves */
	STATE_EARLY,	/* the first page of either table */
	STATE_GIANT,	/* 1G, cached by every CPU */
	STATE_LARGE,	/* 512 of 2M, which could be one of 1G */
	/* The VM is being built, no vCPU has run: */
	STATE_NEW,	/* and nothing is there */
	STATE_ADDED,	/* and pages were added */
	NR_STATES,
};

static const char * const race_state_name[] = {
	"empty", "pending", "small", "huge", "full", "emptied", "early", "giant",
	"large", "new", "added",
};

struct race_setup {
	const struct pvm_config *config;
	enum race_state state;
};

/*
 * The vCPU runs in the task; calls that may be busy are; not beside another one,
 * since nothing keeps faults out of the shared half here; lets go of pages or
 * tables.
 */
#define RACE_GUEST	BIT(0)
#define RACE_BUSY	BIT(1)
#define RACE_ALONE	BIT(2)
#define RACE_LETS_GO	BIT(3)

static void race_use(u64 gfn)
{
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_CHECK(pvm_access(i, gfn, CPU_WRITE));
}

static void race_finalize(void)
{
	write_lock(&vm.lock);
	softsept_finalize(&pvm.soft);
	write_unlock(&vm.lock);
}

/* What is added keeps what it holds, whichever page is behind it by then. */
static void race_create_new(const struct race_setup *setup)
{
	pvm_create(setup->config, VM_CPUS, RACE_GFNS, 2, PVM_NOT_FINALIZED);
	for (unsigned int i = 0; i < PVM_STRIDES; i++)
		private_fill(DATA_PFN_BASE + i * VM_STRIDE, RACE_GFNS,
			     PVM_ADDED);
	if (setup->state == STATE_ADDED) {
		HOST_EQ(pvm_map(0, G0, 1, 1, 1), 1);
		HOST_EQ(pvm_map(0, G1, 1, 1, 1), 1);
	}
}

/* The VM has no more memory than the state is about. */
static u64 race_gfns(enum race_state state)
{
	return state == STATE_GIANT || state == STATE_LARGE ? PAGES_1G : RACE_GFNS;
}

static void race_create_final(const struct race_setup *setup)
{
	u64 gfns = race_gfns(setup->state);

	pvm_create(setup->config, VM_CPUS, gfns, gfns == PAGES_1G ? 3 : 2, 0);
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_CHECK(pvm_enter(i));
	switch (setup->state) {
	case STATE_EMPTY:
		break;
	case STATE_PENDING:
		HOST_EQ(pvm_map(0, G0, 1, 1, 1), 1);
		HOST_EQ(pvm_map(0, G1, 1, 1, 1), 1);
		break;
	case STATE_HUGE:
		HOST_EQ(pvm_map(0, 0, 2, 2, 1), 1);
		HOST_EQ(pvm_accept(0, 2), SOFTSEPT_OK);
		race_use(G0);
		break;
	case STATE_FULL:
		HOST_EQ(pvm_map(0, 0, 1, 1, 512), 512);
		for (u64 gfn = 0; gfn < 512; gfn++)
			HOST_EQ(pvm_accept(gfn, 1), SOFTSEPT_OK);
		race_use(G0);
		break;
	case STATE_EARLY:
		race_use(0);
		race_use(G1);
		break;
	case STATE_GIANT:
	case STATE_LARGE:
		fill(0, PAGES_1G, 2);
		accept_all(0, PAGES_1G, 2);
		if (setup->state == STATE_GIANT)
			HOST_EQ(pvm_promote(0, PAGES_1G, false), 1);
		race_use(G0);
		race_use(G1);
		break;
	default:
		race_use(G0);
		race_use(G1);
		break;
	}
	if (setup->state == STATE_EMPTIED)
		pvm_convert(G0, G1 + 1, false);
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_CHECK(pvm_enter(i));
}

static bool is_new(enum race_state state)
{
	return state == STATE_NEW || state == STATE_ADDED;
}

static void race_create(void *ctx)
{
	const struct race_setup *setup = ctx;

	if (is_new(setup->state))
		race_create_new(setup);
	else
		race_create_final(setup);
	pvm.one_window = false;
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_EQ(mirror_cache_fill(&pvm.vcpu[i].cache, 6), 0);
	pvm.inject.error = -EBUSY;
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int flags = pair_ops[i]->flags;

		pvm.vcpu[i].driven = flags & RACE_GUEST;
		if (flags & RACE_BUSY)
			pvm.inject = (struct pvm_inject) {
				.at = 1, .error = -EBUSY, .again = true,
				.always = true, .only = MIRROR_NR_CALLS,
			};
	}
}

static void race_check(void *ctx)
{
	pvm.inject.at = 0;
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		pvm.vcpu[i].driven = false;
	pvm_check();
	race_finalize();
	race_use(G0);
	race_use(G1);
	pvm_check();
}

static void race_teardown(void *ctx)
{
	pvm_destroy();
}

/*
 * The operations.
 */

static void op_write(unsigned int self)
{
	pvm_access(self, G0, CPU_WRITE);
	pvm_exit(self);
}

/* In and out, with what is cached: faults are of no interest. */
static void op_enter(unsigned int self)
{
	for (int i = 0; i < 2; i++) {
		pvm_try(self, G0, CPU_READ);
		pvm_exit(self);
	}
	pvm_try(self, G1, CPU_WRITE);
	pvm_exit(self);
}

static void op_shared(unsigned int self)
{
	pvm_access(self, pvm_shared(G0), CPU_WRITE);
	pvm_exit(self);
	pvm_zap_shared(0, ~0ULL, self);
}

static void op_map(unsigned int self)
{
	pvm_map(self, G0, 1, 2, 1);
	pvm_map(self, G1, 1, 2, 1);
}

/* Whoever is told that it was busy has to leave all as it was. */
static void op_map_busy(unsigned int self)
{
	pvm.inject.faults[sim_context] = PVM_FAULTS_NEXT_BUSY;
	for (int tries = 0; tries < 6; tries++)
		if (pvm_map(self, G0, 1, 2, 1) != -EAGAIN)
			break;
	pvm.inject.faults[sim_context] = PVM_FAULTS_NEVER_BUSY;
}

static void op_around(unsigned int self)
{
	pvm_map(self, G0 - 1, 1, 2, 4);
}

static void op_map_huge(unsigned int self)
{
	pvm_map(self, 0, 2, 2, 1);
}

static void op_accept(unsigned int self)
{
	pvm_accept(G0, 1);
	pvm_accept(G1, 1);
	pvm_accept(0, 2);
}

static void op_lookup(unsigned int self)
{
	struct mirror_provider *p = &pvm.soft.provider;
	struct mirror_query query;
	int level;
	u64 pfn;

	rcu_read_lock();
	level = mirror_lookup(&pvm.mirror, G0, &pfn);
	HOST_CHECK(level <= 2);
	HOST_CHECK(!level || data_is_frame(pfn));
	mirror_lookup(&pvm.mirror, G1, &pfn);
	p->ops->query(p, G0, 1, &query);
	HOST_CHECK(query.name);
	rcu_read_unlock();
}

static void op_zap(unsigned int self)
{
	pvm_convert(G0, G1 + 1, true);
}

/* Of a large leaf a part. */
static void op_zap_page(unsigned int self)
{
	pvm_convert(G0, G0 + 1, true);
}

/* Many steps, in which others get far. */
static void op_zap_wide(unsigned int self)
{
	pvm_convert(0, RACE_GFNS, true);
}

static void op_zap_tables(unsigned int self)
{
	pvm_convert_tables(G0, G1 + 1, true);
}

static void op_zap_tables_wide(unsigned int self)
{
	pvm_convert_tables(0, RACE_GFNS, true);
}

static void op_split(unsigned int self)
{
	pvm_split(G0, 1);
}

static void op_promote(unsigned int self)
{
	pvm_promote(0, RACE_GFNS, true);
}

static void op_promote_large(unsigned int self)
{
	pvm_promote(0, PAGES_1G, true);
}

static void op_add(unsigned int self)
{
	pvm_map(self, G0, 1, 1, 1);
	pvm_map(self, G1, 1, 1, 1);
}

static void op_finalize(unsigned int self)
{
	race_finalize();
}

static const struct pair_op race_ops[] = {
	{ "write", op_write, { STATE_EMPTY, STATE_SMALL, STATE_HUGE }, 3,
	  RACE_GUEST },
	{ "enter", op_enter, { STATE_SMALL, STATE_HUGE }, 2, RACE_GUEST },
	{ "shared", op_shared, { STATE_SMALL }, 1,
	  RACE_GUEST | RACE_ALONE },
	{ "map", op_map, { STATE_EMPTY, STATE_EMPTIED, STATE_HUGE }, 3, 0 },
	{ "map-busy", op_map_busy, { STATE_EMPTY, STATE_EMPTIED }, 2, 0 },
	{ "around", op_around, { STATE_EMPTY, STATE_PENDING }, 2, 0 },
	{ "map-huge", op_map_huge, { STATE_EMPTY, STATE_EMPTIED }, 2, 0 },
	{ "accept", op_accept, { STATE_PENDING, STATE_HUGE }, 2, 0 },
	{ "lookup", op_lookup, { STATE_SMALL, STATE_EMPTIED }, 2, 0 },
	{ "zap", op_zap, { STATE_SMALL, STATE_PENDING }, 2, RACE_LETS_GO },
	{ "zap-busy", op_zap, { STATE_SMALL, STATE_PENDING }, 2,
	  RACE_LETS_GO | RACE_BUSY },
	{ "zap-page", op_zap_page, { STATE_HUGE, STATE_SMALL }, 2,
	  RACE_LETS_GO },
	{ "zap-wide", op_zap_wide, { STATE_SMALL }, 1, RACE_LETS_GO },
	{ "zap-tables", op_zap_tables, { STATE_SMALL, STATE_EMPTIED }, 2,
	  RACE_LETS_GO },
	{ "split", op_split, { STATE_HUGE }, 1, 0 },
	{ "promote", op_promote, { STATE_FULL }, 1, RACE_LETS_GO },
};

/* Before a VM is finalized no vCPU is in the guest. */
static const struct pair_op build_ops[] = {
	{ "add", op_add, { STATE_NEW, STATE_ADDED }, 2, 0 },
	{ "add-busy", op_map_busy, { STATE_NEW }, 1, 0 },
	{ "finalize", op_finalize, { STATE_NEW, STATE_ADDED }, 2, 0 },
	{ "lookup", op_lookup, { STATE_ADDED }, 1, 0 },
	{ "zap", op_zap, { STATE_ADDED }, 1, RACE_LETS_GO },
	{ "zap-tables", op_zap_tables, { STATE_ADDED }, 1, RACE_LETS_GO },
};

/*
 * Pages go before the rest of their tables is looked at; so who lets go of the one
 * may come to the link of the other, which somebody else has blocked meanwhile.
 */
static const struct pair_op tables_ops[] = {
	{ "zap-wide", op_zap_wide, { STATE_EARLY }, 1, RACE_LETS_GO },
	{ "zap-tables-wide", op_zap_tables_wide, { STATE_EARLY }, 1,
	  RACE_LETS_GO },
};

/* Where it takes two tables to get at a page. */
static const struct pair_op giant_ops[] = {
	{ "write", op_write, { STATE_GIANT }, 1, RACE_GUEST },
	{ "enter", op_enter, { STATE_GIANT }, 1, RACE_GUEST },
	{ "zap-page", op_zap_page, { STATE_GIANT }, 1, RACE_LETS_GO },
	{ "zap-busy", op_zap, { STATE_GIANT }, 1, RACE_LETS_GO | RACE_BUSY },
	{ "split", op_split, { STATE_GIANT }, 1, 0 },
	{ "promote", op_promote_large, { STATE_LARGE }, 1, RACE_LETS_GO },
};

/* The guest on a vCPU that takes no faults: what it can do, it does. */
static void race_hardware(void *ctx)
{
	for (int i = 0; i < 2; i++) {
		pvm_try(2, G0, CPU_WRITE);
		pvm_try(2, G1, i ? CPU_WRITE : CPU_READ);
		if (pvm.vcpu[2].in_guest)
			cpu_prefetch(&vm.vcpu[2].cpu, G0);
		pvm_exit(2);
	}
}

static void race_create_random(void *ctx)
{
	race_create(ctx);
	pvm.vcpu[2].driven = true;
}

static void race_explore(unsigned int state, u64 *schedules)
{
	struct race_setup setup = { .config = PVM_EPT, .state = state };
	struct sim_case all = {
		.nr_tasks = 2,
		.setup = race_create,
		.task = { pair_task0, pair_task1 },
		.check = race_check,
		.teardown = race_teardown,
		.ctx = &setup,
	};
	bool deep = pair_ops[0]->flags & pair_ops[1]->flags & RACE_LETS_GO;
	struct sim_case random;
	struct sim_stats stats;
	char name[64];

	/* A schedule on 1 GiB takes 100 times as long as others. */
	if (race_gfns(state) == RACE_GFNS || host_run.effort > 1) {
		snprintf(name, sizeof(name), "%s,all", race_state_name[state]);
		all.name = name;
		pair_explore(&all, RACE_PREEMPTIONS,
			     deep ? RACE_DEEP : RACE_SCHEDULES, schedules);
	} else {
		host_note("%s: some schedules only", race_state_name[state]);
	}

	random = all;
	if (!is_new(state)) {
		random.nr_tasks = 3;
		random.setup = race_create_random;
		random.task[2] = race_hardware;
	}
	for (unsigned int i = 0; i < pvm_nr_configs; i++) {
		setup.config = &pvm_configs[i];
		snprintf(name, sizeof(name), "%s,%s,random",
			 setup.config->name, race_state_name[state]);
		sim_explore_random(&random, host_seed(),
				   race_gfns(state) == RACE_GFNS ?
					RACE_RANDOM : RACE_RANDOM_GIANT,
				   &stats);
		*schedules += stats.schedules;
	}
}

__attribute__((__constructor__))
static void race_register(void)
{
	static struct pair_group group = {
		.name = "mirror_race.",
		.ops = race_ops,
		.nr = ARRAY_SIZE(race_ops),
		.apart = RACE_ALONE,
		.explore = race_explore,
	};
	static struct pair_group build = {
		.name = "mirror_build.",
		.ops = build_ops,
		.nr = ARRAY_SIZE(build_ops),
		.explore = race_explore,
	};
	static struct pair_group tables = {
		.name = "mirror_tables.",
		.ops = tables_ops,
		.nr = ARRAY_SIZE(tables_ops),
		.explore = race_explore,
	};

	static struct pair_group giant = {
		.name = "mirror_giant.",
		.ops = giant_ops,
		.nr = ARRAY_SIZE(giant_ops),
		.explore = race_explore,
	};

	pair_register(&group);
	pair_register(&build);
	pair_register(&tables);
	pair_register(&giant);
}
