// SPDX-License-Identifier: GPL-2.0
/*
 * The tests on real threads, for the thread sanitizer: everything that the
 * engine allows to run at the same time runs at the same time, for a number of
 * turns that does not depend on how fast it goes.
 *
 * In which order things happen can't be repeated.  What a seed fixes is what
 * each thread does.
 */
#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "guest.h"
#include "sim/mem.h"
#include "test.h"

/* Turns of each vCPU in a round, and rounds of a test unless it is timed. */
#define TURNS		2500
#define ROUNDS		5

#define HOST_EPT							\
	.phys_bits = 46, .max_leaf_level = 3, .exec_only = true,	\
	.nonpresent = BIT_ULL(63), .mmio_value = 6,			\
	.mmio_mask = GENMASK_ULL(51, 46) | 7

const struct guest_config guest_ept = {
	.name = "ept, PML",
	.init = pgt_format_ept,
	.host = { HOST_EPT, .ad = true },
	.memtype = 6,
	.pml = true,
};

static const struct guest_config ept_nx = {
	.name = "ept, NX huge pages",
	.init = pgt_format_ept,
	.host = { HOST_EPT, .ad = true },
	.memtype = 6,
	.nx_huge = true,
};

static const struct guest_config ept_noad = {
	.name = "ept without A/D",
	.init = pgt_format_ept,
	.host = { HOST_EPT },
	.memtype = 6,
};

static const struct guest_config npt = {
	.name = "npt, NX huge pages",
	.init = pgt_format_npt,
	.host = {
		.phys_bits = 46, .max_leaf_level = 3, .ad = true, .nx = true,
		.mmio_value = BIT_ULL(51) | 1, .mmio_mask = BIT_ULL(51) | 1,
		.mmio_access = 6,
	},
	.nx_huge = true,
};

static struct worker workers[] = {
	{ .turn = host_unmap, .turns = 150 },
	{ .turn = host_age, .turns = 300 },
	{ .turn = host_harvest, .turns = 400 },
	{ .turn = host_protect, .turns = 150 },
	{ .turn = host_split, .turns = 200 },
	{ .turn = host_collapse, .turns = 200 },
	{ .turn = host_recover_nx, .turns = 150 },
	{ .turn = host_zap_roots, .turns = 100 },
	{ .turn = host_look, .turns = 100 },
};

static unsigned int vcpus_running;
/* Turns of all of them in a round. */
static unsigned long all_turns;
static void (*vcpu_of_round)(unsigned int nr);

static void run_vcpu(unsigned int nr)
{
	struct guest_cpu *cpu = &guest.cpu[nr];

	for (int i = 0; i < TURNS; i++) {
		cpu_run(cpu);
		if (i % 8 == 0)
			cpu_mmio(cpu);
	}
}

static void *run_thread(void *nr)
{
	vcpu_of_round((unsigned long)nr);
	ADD(vcpus_running, -1);
	return NULL;
}

/* A worker's turns come as the vCPUs get on, so that all overlap. */
static void *run_worker(void *arg)
{
	struct worker *worker = arg;
	struct timespec nap = { .tv_nsec = 100000 };

	for (unsigned int i = 0; i < worker->turns; i++) {
		while (LOAD(guest.progress) < all_turns * i / worker->turns &&
		       LOAD(vcpus_running))
			nanosleep(&nap, NULL);
		worker->turn(&worker->rnd);
	}
	return NULL;
}

/* Everything has stopped: what holds at rest, and what must be in the log. */
static void check_at_rest(void)
{
	struct pgt_verdict verdict;

	if (!pgt_validate(&guest.mmu, &verdict))
		host_fail("validator",
			  "%s: gfn %#llx, entry %#llx at level %d",
			  verdict.what, (unsigned long long)verdict.gfn,
			  (unsigned long long)verdict.entry, verdict.level);
	HOST_EQ(guest.tables, atomic_long_read(guest.mmu.counters.tables));
	for (u64 i = 0; i < LOGGED_PAGES; i++)
		if (guest.written[i] != guest.copied[i] && !guest.log[i])
			host_fail("I3", "gfn %#llx was written, no log has it",
				  (unsigned long long)(LOGGED_START + i));
}

static void start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	if (pthread_create(thread, NULL, fn, arg))
		host_fail("threads", "can't start a thread");
}

void round_run(void (*vcpu)(unsigned int nr), unsigned int turns,
	       struct worker *workers, unsigned int nr, u64 *seeds)
{
	pthread_t vcpus[GUEST_CPUS];

	vcpus_running = GUEST_CPUS;
	all_turns = (unsigned long)turns * GUEST_CPUS;
	vcpu_of_round = vcpu;
	for (unsigned long i = 0; i < GUEST_CPUS; i++)
		start_thread(&vcpus[i], run_thread, (void *)i);
	for (unsigned int i = 0; i < nr; i++) {
		workers[i].rnd = next_random(seeds) | 1;
		start_thread(&workers[i].thread, run_worker, &workers[i]);
	}
	for (int i = 0; i < GUEST_CPUS; i++)
		pthread_join(vcpus[i], NULL);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(workers[i].thread, NULL);
}

void round_create(const struct guest_config *config, u64 *seeds)
{
	struct pgt_counters counters;

	memset(&guest, 0, sizeof(guest));
	guest.config = config;
	HOST_EQ(config->init(&guest.fmt, &config->host), 0);
	rwlock_init(&guest.lock);
	counters = host_counters(&guest.counters);
	pgt_mmu_init(&guest.mmu, &guest.lock, ~0ULL, guest.fmt.nonpresent,
		     &counters);
	for (int i = 0; i < GUEST_CPUS; i++)
		cpu_create(&guest.cpu[i], i, next_random(seeds) | 1);
}

void round_destroy(void)
{
	for (int i = 0; i < GUEST_CPUS; i++)
		cpu_destroy(&guest.cpu[i]);
	pgt_mmu_destroy(&guest.mmu);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		HOST_EQ(atomic_long_read(guest.mmu.counters.leaves[level]), 0);
	HOST_EQ(atomic_long_read(guest.mmu.counters.tables), 0);
	HOST_EQ(guest.tables, 0);
	HOST_CHECK(list_empty(&guest.mmu.roots));
	HOST_EQ(mem_tables_in_use(), 0);
	HOST_EQ(mem_objects_in_use(), 0);
}

static void run_round(const struct guest_config *config, u64 *seeds)
{
	round_create(config, seeds);
	round_run(run_vcpu, TURNS, workers, ARRAY_SIZE(workers), seeds);
	if (host_verbose())
		host_note("%s: %lu faults, %lu fixed, %lu flushes",
			  config->name, guest.faults, guest.fixes,
			  guest.flushes);
	check_at_rest();
	round_destroy();
}

/* A number of rounds, or as many as fit in the time that was asked for. */
static void run(const struct guest_config *config)
{
	u64 seeds = host_seed() | 1;
	unsigned int seconds = host_seconds(0);
	time_t end = time(NULL) + seconds;

	for (int round = 0; seconds ? time(NULL) < end : round < ROUNDS;
	     round++)
		run_round(config, &seeds);
}

HOST_TEST(threads, ept)
{
	run(&guest_ept);
}

HOST_TEST(threads, ept_nx)
{
	run(&ept_nx);
}

HOST_TEST(threads, ept_noad)
{
	run(&ept_noad);
}

HOST_TEST(threads, npt)
{
	run(&npt);
}
