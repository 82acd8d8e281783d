// SPDX-License-Identifier: GPL-2.0
/*
 * Every pair of operations on private memory that may run together, in every
 * order: as race.c, whose comment says how.
 *
 * A vCPU that a task runs is in the guest but for its faults, and leaves when it
 * is kicked; others are in the guest all the time, with the pages cached, until
 * they are taken out.  So whatever is handed back without a kick is still used.
 */
#include <stdio.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/sched.h>

#include "pairs.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

/* The last page of a 2 MiB and the first of the next. */
#define G0		511ULL
#define G1		512ULL
#define RACE_GFNS	1024ULL

#ifdef HOST_ASAN
#define RACE_PREEMPTIONS	1
#define RACE_SCHEDULES		0
#define RACE_RANDOM		30
#else
#define RACE_PREEMPTIONS	2
#define RACE_SCHEDULES		6000
#define RACE_RANDOM		200
#endif

enum race_state {
	STATE_EMPTY,
	STATE_PENDING,	/* 4K, not accepted */
	STATE_SMALL,	/* 4K, cached by every CPU */
	STATE_HUGE,	/* 2M, cached by every CPU */
	STATE_FULL,	/* 512 of 4K, which could be one of 2M */
	STATE_EMPTIED,	/* tables without leaves */
	NR_STATES,
};

static const char * const race_state_name[] = {
	"empty", "pending", "small", "huge", "full", "emptied",
};

/*
 * The vCPU runs in the task; calls that may be busy are; not beside another one,
 * since nothing keeps faults out of the shared half here.
 */
#define RACE_GUEST	BIT(0)
#define RACE_BUSY	BIT(1)
#define RACE_ALONE	BIT(2)

static void race_use(u64 gfn)
{
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_CHECK(pvm_access(i, gfn, CPU_WRITE));
}

static void race_create(void *ctx)
{
	enum race_state state = *(unsigned int *)ctx;

	pvm_create(PVM_EPT, VM_CPUS, RACE_GFNS, 2, 0);
	pvm.one_window = false;
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		HOST_CHECK(pvm_enter(i));
	switch (state) {
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
	default:
		race_use(G0);
		race_use(G1);
		break;
	}
	if (state == STATE_EMPTIED)
		pvm_convert(G0, G1 + 1, false);
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		HOST_CHECK(pvm_enter(i));
		HOST_EQ(mirror_cache_fill(&pvm.vcpu[i].cache, 6), 0);
	}
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

static void op_split(unsigned int self)
{
	pvm_split(G0, 1);
}

static void op_promote(unsigned int self)
{
	pvm_promote(0, RACE_GFNS, true);
}

static const struct pair_op race_ops[] = {
	{ "write", op_write, { STATE_EMPTY, STATE_SMALL, STATE_HUGE }, 3,
	  RACE_GUEST },
	{ "enter", op_enter, { STATE_SMALL, STATE_HUGE }, 2, RACE_GUEST },
	{ "shared", op_shared, { STATE_SMALL }, 1,
	  RACE_GUEST | RACE_ALONE },
	{ "map", op_map, { STATE_EMPTY, STATE_EMPTIED, STATE_HUGE }, 3, 0 },
	{ "around", op_around, { STATE_EMPTY, STATE_PENDING }, 2, 0 },
	{ "map-huge", op_map_huge, { STATE_EMPTY, STATE_EMPTIED }, 2, 0 },
	{ "accept", op_accept, { STATE_PENDING, STATE_HUGE }, 2, 0 },
	{ "lookup", op_lookup, { STATE_SMALL, STATE_EMPTIED }, 2, 0 },
	{ "zap", op_zap, { STATE_SMALL, STATE_PENDING }, 2, 0 },
	{ "zap-busy", op_zap, { STATE_SMALL, STATE_PENDING }, 2, RACE_BUSY },
	{ "zap-page", op_zap_page, { STATE_HUGE, STATE_SMALL }, 2, 0 },
	{ "zap-wide", op_zap_wide, { STATE_SMALL }, 1, 0 },
	{ "zap-tables", op_zap_tables, { STATE_SMALL, STATE_EMPTIED }, 2, 0 },
	{ "split", op_split, { STATE_HUGE }, 1, 0 },
	{ "promote", op_promote, { STATE_FULL }, 1, 0 },
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
	struct sim_case all = {
		.nr_tasks = 2,
		.setup = race_create,
		.task = { pair_task0, pair_task1 },
		.check = race_check,
		.teardown = race_teardown,
		.ctx = &state,
	};
	unsigned int bound = RACE_PREEMPTIONS;
	struct sim_case random;
	struct sim_stats stats;
	char name[64];

	snprintf(name, sizeof(name), "%s,all", race_state_name[state]);
	all.name = name;
	sim_explore_all(&all, bound, RACE_SCHEDULES, &stats);
	while (!stats.complete)
		sim_explore_all(&all, --bound, 0, &stats);
	if (bound < RACE_PREEMPTIONS)
		host_note("%s: all schedules with %u preemptions only", name,
			  bound);
	*schedules += stats.schedules;
	if (host_verbose())
		host_note("%s: %llu schedules", name,
			  (unsigned long long)stats.schedules);

	random = all;
	random.nr_tasks = 3;
	random.setup = race_create_random;
	random.task[2] = race_hardware;
	snprintf(name, sizeof(name), "%s,random", race_state_name[state]);
	sim_explore_random(&random, host_seed(), RACE_RANDOM, &stats);
	*schedules += stats.schedules;
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

	pair_register(&group);
}
