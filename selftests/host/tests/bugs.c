// SPDX-License-Identifier: GPL-2.0
/*
 * Races that need more than a pair of operations on two pages: a third step, a
 * state that tests/race.c does not start from, or a question that it does not
 * ask.  Each was written for a planted bug (bugs/) that nothing else noticed.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "pgt/env.h"
#include "sim/explore.h"
#include "test.h"
#include "vm.h"

static void explore(const char *name, unsigned int preemptions,
		    void (*setup)(void *ctx), void (*first)(void *ctx),
		    void (*second)(void *ctx), void (*check)(void *ctx))
{
	struct sim_case c = {
		.name = name,
		.nr_tasks = 2,
		.setup = setup,
		.task = { first, second },
		.check = check,
	};
	struct sim_stats stats;

	sim_never_resched = true;
	sim_explore_all(&c, preemptions, 0, &stats);
	if (!stats.complete)
		host_fail("explorer", "stopped after %llu schedules",
			  (unsigned long long)stats.schedules);
	host_note("%llu schedules", (unsigned long long)stats.schedules);
}

static void create(const struct vm_config *config, u64 nr_gfns, int folio)
{
	vm_create(config, 2, nr_gfns, folio);
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		vm_load(&vm.vcpu[i]);
}

static void destroy(void *ctx)
{
	vm_validate();
	vm_destroy();
}

static u64 entry(u64 gfn)
{
	u64 entries[PGT_MAX_LEVEL + 1];
	int level;

	rcu_read_lock();
	level = pgt_lookup(vm.vcpu[0].root, gfn, entries);
	rcu_read_unlock();
	return entries[level];
}

/*
 * Two batches that take out the same two tables, in opposite orders: each keeps
 * one frozen when it comes to the other's.
 */
static void freezers_setup(void *ctx)
{
	create(VM_EPT, 1024, 2);
	vm.nx_huge = true;
	vm_access(&vm.vcpu[0], 0, CPU_EXEC);
	vm_access(&vm.vcpu[0], 512, CPU_EXEC);
}

static void freeze(u64 first, u64 second)
{
	struct pgt_range range[] = {
		{ first, first + 512 }, { second, second + 512 },
	};
	struct pgt_batch batch;

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	for (int i = 0; i < 2; i++)
		pgt_zap_nx_table(&batch, vm.vcpu[0].root, &range[i]);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
}

static void freezers_up(void *ctx)
{
	freeze(0, 512);
}

static void freezers_down(void *ctx)
{
	freeze(512, 0);
}

static void freezers_check(void *ctx)
{
	HOST_EQ(atomic_long_read(vm.mmu.counters.leaves[1]), 0);
	destroy(ctx);
}

HOST_TEST(bugs, two_freezers)
{
	explore("two_freezers", 1, freezers_setup, freezers_up, freezers_down,
		freezers_check);
}

/* A root is made while somebody walks the list without a lock. */
static void roots_setup(void *ctx)
{
	create(VM_EPT, 512, 1);
	vm_write(0, 1);
	HOST_EQ(pgt_cache_fill(&vm.vcpu[1].cache, 1, true), 0);
}

static void roots_make(void *ctx)
{
	struct pgt_root *root;

	read_lock(&vm.lock);
	root = pgt_root_get(&vm.mmu, &vm.fmt, vm.config->levels, 1, 1,
			    &vm.vcpu[1].cache);
	read_unlock(&vm.lock);
	HOST_CHECK(!IS_ERR(root));
	pgt_root_put(root);
}

static void roots_walk(void *ctx)
{
	struct pgt_root *root;

	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS)
		HOST_CHECK(root->table);
}

/* The same without a reference, down into its tables. */
static void roots_age(void *ctx)
{
	vm_age(0, 512);
}

HOST_TEST(bugs, root_is_made)
{
	explore("root_is_made", 2, roots_setup, roots_make, roots_walk, destroy);
}

HOST_TEST(bugs, root_is_made_while_aging)
{
	explore("root_is_made_while_aging", 2, roots_setup, roots_make,
		roots_age, destroy);
}

/* Roots that have no user go while somebody is on his way along the list. */
static void roots_unused(void *ctx)
{
	roots_setup(ctx);
	roots_make(ctx);
}

static void roots_drop(void *ctx)
{
	write_lock(&vm.lock);
	pgt_roots_invalidate(&vm.mmu, 1);
	pgt_roots_empty(&vm.mmu, PGT_EXCLUSIVE, false);
	write_unlock(&vm.lock);
}

HOST_TEST(bugs, root_goes)
{
	explore("root_goes", 2, roots_unused, roots_drop, roots_walk, destroy);
}

HOST_TEST(bugs, root_goes_while_aging)
{
	explore("root_goes_while_aging", 2, roots_unused, roots_drop, roots_age,
		destroy);
}

/*
 * A batch is opened in the very range in which somebody write-protects, while
 * he lets it have the lock.  What it has zapped he finds empty.
 */
static void opened_setup(void *ctx)
{
	create(VM_EPT, 512, 1);
	for (u64 gfn = 0; gfn < 4; gfn++)
		vm_write(1, gfn);
}

static void opened_track(void *ctx)
{
	vm_wrprot(0, 4, true, PGT_SHARED);
	for (u64 gfn = 0; gfn < 4; gfn++)
		if (cpu_access(&vm.vcpu[1].cpu, gfn, CPU_WRITE, NULL) == CPU_OK)
			host_fail("open", "gfn %llu is written to, and was write-protected",
				  (unsigned long long)gfn);
}

static void opened_zap(void *ctx)
{
	vm_unmap(0, 4, VM_ABSENT, true, true);
}

HOST_TEST(bugs, opened_meanwhile)
{
	explore("opened_meanwhile", 2, opened_setup, opened_track, opened_zap,
		destroy);
}

/* The table that somebody is in goes while he lets others have the lock. */
static void gone_zap(void *ctx)
{
	struct pgt_range range = { 0, 512 };
	struct pgt_batch batch;

	write_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	pgt_zap_tables(&batch, vm.vcpu[0].root, &range);
	pgt_batch_end(&batch);
	write_unlock(&vm.lock);
}

HOST_TEST(bugs, table_goes_in_yield)
{
	explore("table_goes_in_yield", 2, opened_setup, opened_track, gone_zap,
		destroy);
}

/* A table that was filled for a split, but came too late, is used again. */
static void again_setup(void *ctx)
{
	create(VM_EPT, 2048, 2);
	vm_write(0, 5);
	for (unsigned int i = 0; i < 2; i++) {
		pgt_cache_drain(&vm.vcpu[i].cache);
		HOST_EQ(pgt_cache_fill(&vm.vcpu[i].cache, 1, false), 0);
	}
}

static void again(struct vcpu *vcpu)
{
	struct pgt_range range = { 0, 512 };
	struct pgt_map map = {
		.gfn = 1024, .pfn = vm_pfn(1024), .level = 1, .access = PGT_R,
	};
	struct pgt_batch batch;

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	HOST_EQ(pgt_split(&batch, vcpu->root, &range, 1, 0, &vcpu->cache), 0);
	/* Whose table was not taken has one for this. */
	pgt_map(&batch, vcpu->root, &map, &vcpu->cache);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
}

static void again_first(void *ctx)
{
	again(&vm.vcpu[0]);
}

static void again_second(void *ctx)
{
	again(&vm.vcpu[1]);
}

static void again_check(void *ctx)
{
	HOST_EQ(entry(1025), vm.fmt.nonpresent);
	destroy(ctx);
}

HOST_TEST(bugs, table_used_again)
{
	explore("table_used_again", 2, again_setup, again_first, again_second,
		again_check);
}

static bool dirty_written;

/* The CPU marks a small leaf dirty while it becomes a part of a huge one. */
static void dirty_setup(void *ctx)
{
	struct pgt_range range = { 0, 512 };
	struct pgt_batch batch;

	create(VM_EPT, 512, 2);
	vm_map(&vm.vcpu[0], 0, 1, vm.access, PGT_W);
	vm_map(&vm.vcpu[0], 1, 1, vm.access, PGT_W);
	vm_read(0, 0);
	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	pgt_clear_dirty(&batch, vm.vcpu[0].root, &range);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	vm_read(0, 0);
}

static void dirty_write(void *ctx)
{
	dirty_written = cpu_access(&vm.vcpu[0].cpu, 0, CPU_WRITE, NULL) ==
			CPU_OK;
}

static void dirty_collapse(void *ctx)
{
	vm_collapse(0, 512, PGT_SHARED);
}

static void dirty_map(void *ctx)
{
	vm_map(&vm.vcpu[1], 1, 2, vm.access & ~PGT_W, PGT_R);
}

static void dirty_check(void *ctx)
{
	if (dirty_written && !pgt_is_dirty(&vm.fmt, entry(0)))
		host_fail("dirty", "a page was written to, its leaf is clean");
	destroy(ctx);
}

HOST_TEST(bugs, dirty_while_collapsed)
{
	explore("dirty_while_collapsed", 2, dirty_setup, dirty_write,
		dirty_collapse, dirty_check);
}

HOST_TEST(bugs, dirty_while_mapped_over)
{
	explore("dirty_while_mapped_over", 2, dirty_setup, dirty_write,
		dirty_map, dirty_check);
}

/* One of the leaves of a table gets a right while they become one. */
static void unlike_setup(void *ctx)
{
	create(VM_EPT, 512, 2);
	vm_map(&vm.vcpu[0], 0, 1, PGT_R, PGT_R);
	vm_map(&vm.vcpu[0], 1, 1, PGT_R, PGT_R);
}

static void unlike_map(void *ctx)
{
	vm_map(&vm.vcpu[0], 0, 1, PGT_R | PGT_X, PGT_X);
}

static void unlike_check(void *ctx)
{
	HOST_CHECK(pgt_allows(&vm.fmt, entry(0), PGT_R | PGT_X) ||
		   !pgt_allows(&vm.fmt, entry(0), PGT_X));
	if (pgt_allows(&vm.fmt, entry(1), PGT_X))
		host_fail("rights", "a page can be executed that nobody allowed");
	destroy(ctx);
}

HOST_TEST(bugs, unlike_while_collapsed)
{
	explore("unlike_while_collapsed", 2, unlike_setup, unlike_map,
		dirty_collapse, unlike_check);
}

/* What a fault has just mapped another CPU writes to, while the log is on. */
static void logged_setup(void *ctx)
{
	create(VM_EPT, 512, 1);
	vm_log_start(0, 512);
}

static void logged_fault(void *ctx)
{
	vm_write(0, 5);
}

static void logged_write(void *ctx)
{
	/* What the CPU model looks at is no point: let the log be one. */
	(void)READ_ONCE(vm.frame[5].log);
	/* Fails with I3 if there is no log that has it. */
	cpu_access(&vm.vcpu[1].cpu, 5, CPU_WRITE, NULL);
}

HOST_TEST(bugs, logged_before_mapped)
{
	explore("logged_before_mapped", 2, logged_setup, logged_fault,
		logged_write, destroy);
}

/*
 * The root that somebody splits a leaf in is invalidated while he lets others
 * have the lock, and emptied while he is back.
 */
static void left_setup(void *ctx)
{
	create(VM_EPT, 1024, 2);
	vm_write(0, 512);
	HOST_EQ(pgt_cache_fill(&vm.vcpu[0].cache, 6, true), 0);
}

static void left_split(void *ctx)
{
	struct pgt_range range = { 0, 1024 };
	struct pgt_batch batch;

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, true);
	HOST_EQ(pgt_split(&batch, vm.vcpu[0].root, &range, 1, 0,
			  &vm.vcpu[0].cache), 0);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
}

static void left_invalidate(void *ctx)
{
	vm_zap_all_fast(PGT_SHARED);
}

HOST_TEST(bugs, invalidated_meanwhile)
{
	explore("invalidated_meanwhile", 2, left_setup, left_split,
		left_invalidate, destroy);
}
