// SPDX-License-Identifier: GPL-2.0
/*
 * Every pair of operations that may run together, in every order.
 *
 * Each test is a pair, by name: race.zap+write.  Two tasks run one operation
 * each, from each state of the tables that either of them is about, on at most
 * two pages at the edge of a table.  All schedules with at most three
 * preemptions are run (where two operations that take tables apart make that too
 * many, all with two, or with one, and the test says so); then some drawn at
 * random, with the hardware as a third task: a CPU that goes on using what it
 * has cached.
 */
#include <stdio.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/sched.h>

#include "pairs.h"
#include "sim/explore.h"
#include "test.h"
#include "vm.h"

/* The last page of a 2 MiB and the first of the next. */
#define G0		511ULL
#define G1		512ULL
#define RACE_GFNS	1024
#define RACE_GEN	7

/* Where all is slower the point is another one. */
#ifdef HOST_SLOW
#define RACE_PREEMPTIONS	1
#define RACE_SCHEDULES		0
#define RACE_RANDOM		50
#else
#define RACE_PREEMPTIONS	3
#define RACE_SCHEDULES		30000
#define RACE_RANDOM		1000
#endif

/* How the tables are when the tasks start. */
enum race_state {
	STATE_EMPTY,
	STATE_SMALL,	/* 4K, written, cached by every CPU */
	STATE_OLD,	/* the same, aged after that */
	STATE_HUGE,	/* 2M, written, cached by every CPU */
	STATE_PART,	/* 4K in folios of 2M, cached by every CPU */
	STATE_LOGGED,	/* 4K, log on, write-protected, read by every CPU */
	STATE_NX,	/* 4K because of the NX-huge-page mitigation */
	STATE_MMIO,	/* known as MMIO, of this generation and of another */
	NR_STATES,
};

static const char * const race_state_name[] = {
	"empty", "small", "old", "huge", "part", "logged", "nx", "mmio",
};

struct race_setup {
	const struct vm_config *config;
	enum race_state state;
};

static void race_create(void *ctx)
{
	const struct race_setup *setup = ctx;
	int folio = setup->state == STATE_HUGE || setup->state == STATE_PART ||
		    setup->state == STATE_NX ? 2 : 1;

	vm_create(setup->config, VM_CPUS, RACE_GFNS, folio);
	vm.nx_huge = setup->state == STATE_NX;
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		struct vcpu *vcpu = &vm.vcpu[i];

		vm_load(vcpu);
	}
	for (u64 gfn = G0; gfn <= G1; gfn++) {
		struct vcpu *vcpu = &vm.vcpu[0];
		struct pgt_batch batch;

		switch (setup->state) {
		case STATE_EMPTY:
			continue;
		case STATE_PART:
			vm_map(vcpu, gfn, 1, vm.access, PGT_W);
			break;
		case STATE_NX:
			vm_access(vcpu, gfn, CPU_EXEC);
			break;
		case STATE_MMIO:
			read_lock(&vm.lock);
			pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
			HOST_EQ(pgt_map_mmio(&batch, vcpu->root, gfn,
					     RACE_GEN + (gfn == G1), 0,
					     &vcpu->cache), 0);
			pgt_batch_end(&batch);
			read_unlock(&vm.lock);
			continue;
		default:
			break;
		}
		for (unsigned int i = 0; i < vm.nr_cpus; i++)
			vm_write(i, gfn);
	}
	if (setup->state == STATE_OLD)
		vm_age(0, RACE_GFNS);
	if (setup->state == STATE_LOGGED) {
		vm_log_start(0, RACE_GFNS);
		for (unsigned int i = 0; i < vm.nr_cpus; i++) {
			vm_read(i, G0);
			vm_read(i, G1);
		}
	}
	for (unsigned int i = 0; i < 2; i++)
		HOST_EQ(pgt_cache_fill(&vm.vcpu[i].cache,
				       setup->config->levels + 1, true), 0);
}

/* Afterwards everything works, and nobody has kept what he should not. */
static void race_check(void *ctx)
{
	vm_check_log();
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		vm_write(i, G0);
		vm_read(i, G1);
		vm_write(i, G1);
	}
	vm_validate();
}

static void race_teardown(void *ctx)
{
	vm_destroy();
}

/*
 * The operations.  @self is the task's number and that of its vCPU.
 */

static void op_read(unsigned int self)
{
	vm_read(self, G0);
}

static void op_write(unsigned int self)
{
	vm_write(self, G0);
}

static void op_exec(unsigned int self)
{
	vm_access(&vm.vcpu[self], G0, CPU_EXEC);
}

/* A fault without the CPU: what it does is what another CPU sees. */
static void op_map(unsigned int self)
{
	vm_load(&vm.vcpu[self]);
	vm_map(&vm.vcpu[self], G0, 2, vm.access, PGT_W);
	vm_map(&vm.vcpu[self], G1, 1, vm.access, PGT_R);
}

static void op_run(unsigned int self)
{
	struct vcpu *vcpu = &vm.vcpu[self];
	struct pgt_map map = {
		.gfn = G0 - 1,
		.level = 1,
		.access = vm.access & ~PGT_W,
		.prefetch = true,
	};
	u64 pfns[2];
	struct pgt_batch batch;
	unsigned long seq;

	vm_load(vcpu);
	seq = READ_ONCE(vm.seq);
	pfns[0] = vm_pfn(G0 - 1);
	pfns[1] = DATA_PFN_BASE + READ_ONCE(vm.frame[G0].stride) * VM_STRIDE +
		  G0;
	read_lock(&vm.lock);
	if (!READ_ONCE(vm.invalidating) && READ_ONCE(vm.seq) == seq) {
		pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
		pgt_map_run(&batch, vcpu->root, &map, pfns, 2, &vcpu->cache);
		pgt_batch_end(&batch);
	}
	read_unlock(&vm.lock);
}

static void op_age(unsigned int self)
{
	vm_age(G0, G1 + 1);
}

static void op_dump(unsigned int self)
{
	struct pgt_root *root;

	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range range = { G0, G1 + 1 };
		struct pgt_dump_entry out[8];
		u64 entries[PGT_MAX_LEVEL + 1];
		u64 access;

		rcu_read_lock();
		while (range.start < range.end)
			pgt_dump(root, &range, out, ARRAY_SIZE(out));
		pgt_lookup(root, G0, entries);
		pgt_lookup_mmio(root, G1, RACE_GEN, &access);
		range.start = G0;
		pgt_test_age(root, &range);
		rcu_read_unlock();
	}
}

static void op_zap(unsigned int self)
{
	vm_unmap(G0, G1 + 1, self + 1, true, false);
}

static void op_zap_open(unsigned int self)
{
	vm_unmap(G0, G1 + 1, self + 1, true, true);
}

static void op_zap_tables(unsigned int self)
{
	struct pgt_batch batch;
	struct pgt_root *root;

	write_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, true);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range range = { 0, G1 };

		pgt_zap_tables(&batch, root, &range);
	}
	pgt_batch_end(&batch);
	write_unlock(&vm.lock);
}

/* A vCPU that drops its root and comes back. */
static void op_reload(unsigned int self)
{
	vm_unload(&vm.vcpu[self]);
	vm_load(&vm.vcpu[self]);
}

static void op_track(unsigned int self)
{
	vm_wrprot(G0, G0 + 1, true, PGT_EXCLUSIVE);
}

static void op_wrprot(unsigned int self)
{
	vm_wrprot(G0, G1 + 1, false, PGT_SHARED);
}

/* The same by dirty bits, as with page-modification logging. */
static void op_clear(unsigned int self)
{
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		vm.vcpu[i].cpu.pml = true;
	vm.pml = true;
	vm_log_start(G0, G1 + 1);
}

static void op_log(unsigned int self)
{
	vm_log_start(G0, G1 + 1);
}

static void op_harvest(unsigned int self)
{
	vm_harvest(G0, 3);
}

static void op_split(unsigned int self)
{
	vm_split(G0, G1 + 1, 1, PGT_SHARED);
}

static void op_collapse(unsigned int self)
{
	vm_collapse(0, RACE_GFNS, PGT_SHARED);
}

static void op_zap_nx(unsigned int self)
{
	vm_zap_nx(PGT_SHARED);
}

static void op_invalidate(unsigned int self)
{
	vm_zap_all_fast(PGT_SHARED);
}

static void op_mmio(unsigned int self)
{
	struct vcpu *vcpu = &vm.vcpu[self];
	struct pgt_batch batch;

	vm_load(vcpu);
	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	for (u64 gfn = G0; gfn <= G1; gfn++)
		pgt_map_mmio(&batch, vcpu->root, gfn, RACE_GEN, 0,
			     &vcpu->cache);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
}

static void op_expire(unsigned int self)
{
	struct pgt_root *root;
	struct pgt_batch batch;

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, true);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range range = { G0, G1 + 1 };

		pgt_expire_mmio(&batch, root, &range, RACE_GEN);
	}
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
}

/*
 * What excludes two operations from running together, besides the MMU's lock:
 * changes of memslots and of dirty logging are made under KVM's slots_lock.
 */
#define SLOTS_LOCK	BIT(0)

static const struct pair_op race_ops[] = {
	{ "read", op_read, { STATE_EMPTY, STATE_OLD }, 2, 0 },
	{ "write", op_write, { STATE_EMPTY, STATE_SMALL }, 2, 0 },
	{ "fix", op_write, { STATE_LOGGED, STATE_OLD }, 2, 0 },
	{ "exec", op_exec, { STATE_NX, STATE_HUGE }, 2, 0 },
	{ "map", op_map, { STATE_PART, STATE_EMPTY }, 2, 0 },
	{ "run", op_run, { STATE_EMPTY }, 1, 0 },
	{ "age", op_age, { STATE_SMALL, STATE_HUGE }, 2, 0 },
	{ "dump", op_dump, { STATE_SMALL, STATE_MMIO }, 2, 0 },
	{ "zap", op_zap, { STATE_SMALL, STATE_HUGE }, 2, 0 },
	{ "zap-open", op_zap_open, { STATE_SMALL }, 1, 0 },
	{ "zap-tables", op_zap_tables, { STATE_SMALL }, 1, 0 },
	{ "reload", op_reload, { STATE_SMALL }, 1, 0 },
	{ "track", op_track, { STATE_SMALL, STATE_LOGGED }, 2, 0 },
	{ "wrprot", op_wrprot, { STATE_SMALL }, 1, SLOTS_LOCK },
	{ "log", op_log, { STATE_SMALL, STATE_OLD }, 2, SLOTS_LOCK },
	{ "clear", op_clear, { STATE_SMALL }, 1, SLOTS_LOCK },
	{ "harvest", op_harvest, { STATE_LOGGED }, 1, SLOTS_LOCK },
	{ "split", op_split, { STATE_HUGE }, 1, 0 },
	{ "collapse", op_collapse, { STATE_PART }, 1, SLOTS_LOCK },
	{ "zap-nx", op_zap_nx, { STATE_NX }, 1, 0 },
	{ "invalidate", op_invalidate, { STATE_SMALL, STATE_HUGE }, 2,
	  SLOTS_LOCK },
	{ "mmio", op_mmio, { STATE_EMPTY, STATE_MMIO }, 2, 0 },
	{ "expire", op_expire, { STATE_MMIO }, 1, 0 },
};

/* The guest on a CPU that takes no faults: what it can do, it does. */
static void race_hardware(void *ctx)
{
	struct cpu *cpu = &vm.vcpu[2].cpu;

	for (int i = 0; i < 2; i++) {
		cpu_access(cpu, G0, CPU_WRITE, NULL);
		cpu_access(cpu, G1, i ? CPU_WRITE : CPU_READ, NULL);
	}
}

static void race_run(struct race_setup *setup, u64 *schedules)
{
	struct sim_case all = {
		.nr_tasks = 2,
		.setup = race_create,
		.task = { pair_task0, pair_task1 },
		.check = race_check,
		.teardown = race_teardown,
		.ctx = setup,
	};
	struct sim_case random;
	struct sim_stats stats;
	char name[64];

	snprintf(name, sizeof(name), "%s,%s,all", setup->config->name,
		 race_state_name[setup->state]);
	all.name = name;
	/* Few preemptions are complete where more would be too many. */
	pair_explore(&all, RACE_PREEMPTIONS, RACE_SCHEDULES, schedules);

	random = all;
	random.nr_tasks = 3;
	random.task[2] = race_hardware;
	snprintf(name, sizeof(name), "%s,%s,random", setup->config->name,
		 race_state_name[setup->state]);
	sim_explore_random(&random, host_seed(), RACE_RANDOM, &stats);
	*schedules += stats.schedules;
}

static void race_explore(unsigned int state, u64 *schedules)
{
	static const struct vm_config * const config[] = {
		VM_EPT, VM_EPT_NO_AD,
	};

	for (int c = 0; c < 2; c++) {
		struct race_setup setup = { config[c], state };

		/* Where access tracking makes the difference. */
		if (c && state != STATE_OLD && state != STATE_LOGGED)
			continue;
		race_run(&setup, schedules);
	}
}

__attribute__((__constructor__))
static void race_register(void)
{
	static struct pair_group group = {
		.name = "race.",
		.ops = race_ops,
		.nr = ARRAY_SIZE(race_ops),
		.apart = SLOTS_LOCK,
		.explore = race_explore,
	};

	pair_register(&group);
}
