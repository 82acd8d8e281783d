// SPDX-License-Identifier: GPL-2.0
/*
 * No step of an operation takes apart more than one table: what a huge leaf and
 * NX recovery do about tables that link tables.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "sim/explore.h"
#include "test.h"
#include "vm.h"

/* One table is taken apart, and the entry above it changed twice. */
#define STEP_CHANGES	(PGT_ENTRIES + 2)
/* In the first, second, third and last table below an entry of level 3. */
#define FIRST		0x10
#define SECOND		0x210
#define THIRD		0x410
#define LAST		0x3fe10
#define END		0x40000
#define PFN		0x10000000ULL

static struct pgt_batch batch;

static struct pgt_root *root(void)
{
	return vm.vcpu[0].root;
}

static void create(const struct vm_config *config)
{
	vm_create(config, 2, 512, 1);
	for (unsigned int i = 0; i < 2; i++) {
		vm_load(&vm.vcpu[i]);
		HOST_EQ(pgt_cache_fill(&vm.vcpu[i].cache, 16, false), 0);
	}
}

static void destroy(void)
{
	vm_validate();
	vm_destroy();
}

static void begin(enum pgt_mode mode)
{
	if (mode == PGT_EXCLUSIVE)
		write_lock(&vm.lock);
	else
		read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, mode, false);
}

static void end(void)
{
	pgt_batch_end(&batch);
	if (batch.mode == PGT_EXCLUSIVE)
		write_unlock(&vm.lock);
	else
		read_unlock(&vm.lock);
}

static struct pgt_map page(u64 gfn, int level)
{
	return (struct pgt_map){
		.gfn = gfn, .pfn = PFN + gfn, .level = level,
		.req_level = level, .host_writable = true,
		.mmu_writable = true, .access = vm.access, .want = PGT_R,
		.memtype = vm.config->mode.format == CPU_EPT ? 6 : 0,
	};
}

static int map_on(unsigned int cpu, struct pgt_map *map)
{
	struct pgt_batch mapping;
	int ret;

	read_lock(&vm.lock);
	pgt_batch_begin(&mapping, &vm.mmu, PGT_SHARED, false);
	ret = pgt_map(&mapping, root(), map, &vm.vcpu[cpu].cache);
	pgt_batch_end(&mapping);
	read_unlock(&vm.lock);
	return ret;
}

static int map(struct pgt_map *map)
{
	return map_on(0, map);
}

static void map_small(u64 gfn)
{
	struct pgt_map small = page(gfn, 1);

	HOST_EQ(map(&small), PGT_DONE);
}

/* As a fault that the mitigation has no huge leaf for. */
static void map_exec(u64 gfn)
{
	struct pgt_map exec = page(gfn, 1);

	exec.want = PGT_X;
	exec.req_level = 3;
	exec.nx_huge = true;
	exec.nx_disallow = true;
	HOST_EQ(map(&exec), PGT_DONE);
}

static u64 entry(u64 gfn, int *level)
{
	u64 entries[PGT_MAX_LEVEL + 1];

	rcu_read_lock();
	*level = pgt_lookup(root(), gfn, entries);
	rcu_read_unlock();
	return entries[*level];
}

static int level_at(u64 gfn)
{
	int level;
	u64 e = entry(gfn, &level);

	return pgt_is_leaf(e, level) ? level : 0;
}

static long tables(void)
{
	return atomic_long_read(vm.mmu.counters.tables);
}

/* On every kind of table that has leaves of 1G. */
#define STEPS_TEST(name)						\
	static void steps_##name(void);					\
	HOST_TEST(steps, name)						\
	{								\
		for (unsigned int c = 0; c < vm_nr_configs; c++) {	\
			create(&vm_configs[c]);				\
			if (vm.fmt.max_leaf_level == 3)			\
				steps_##name();				\
			destroy();					\
		}							\
	}								\
	static void steps_##name(void)

/* Map a leaf of 1G; returns the level that it came to. */
static int map_huge(u64 gfn)
{
	struct pgt_map huge = page(gfn, 3);
	unsigned long changes = vm.traced.nr;

	HOST_EQ(map(&huge), PGT_DONE);
	HOST_CHECK(vm.traced.nr - changes <= STEP_CHANGES);
	HOST_EQ(level_at(gfn), huge.level);
	return huge.level;
}

STEPS_TEST(map)
{
	long before;

	map_small(FIRST);
	map_small(SECOND);
	before = tables();
	/* Only the table in its own way makes room for a smaller leaf. */
	HOST_EQ(map_huge(FIRST + 1), 2);
	HOST_EQ(level_at(FIRST), 2);
	HOST_EQ(level_at(SECOND), 1);
	HOST_EQ(tables(), before - 1);
	/* Nothing is in its way. */
	HOST_EQ(map_huge(LAST), 2);
	HOST_EQ(tables(), before - 1);
	HOST_EQ(map_huge(SECOND + 1), 2);
	HOST_EQ(tables(), before - 2);
	/* Nothing but leaves is left below. */
	HOST_EQ(map_huge(THIRD), 3);
	HOST_EQ(level_at(FIRST), 3);
	HOST_EQ(tables(), before - 3);
}

/* Down to 4K where both a table of tables and the mitigation are in the way. */
STEPS_TEST(map_nx)
{
	struct pgt_map huge = page(FIRST + 1, 3);

	if (!vm.fmt.nx && !vm.fmt.exec)
		return;
	map_exec(FIRST);
	HOST_EQ(map(&huge), PGT_DONE);
	HOST_EQ(huge.level, 2);

	map_exec(SECOND);
	huge = page(SECOND + 1, 3);
	huge.nx_huge = true;
	HOST_EQ(map(&huge), PGT_DONE);
	HOST_EQ(huge.level, 1);
	HOST_EQ(level_at(SECOND + 1), 1);
}

static void map_mmio(u64 gfn)
{
	begin(PGT_SHARED);
	HOST_EQ(pgt_map_mmio(&batch, root(), gfn, 7, 0, &vm.vcpu[0].cache),
		PGT_DONE);
	end();
}

/* What a look at memory that was not there yet has left is in nobody's way. */
STEPS_TEST(map_over_mmio)
{
	struct pgt_map huge = page(FIRST + 1, 2);

	map_mmio(FIRST);
	huge.prefetch = true;
	HOST_EQ(map(&huge), PGT_DONE);
	HOST_EQ(huge.level, 2);
	HOST_EQ(level_at(FIRST), 2);
	/* Nor is a table that leads to nothing else. */
	map_mmio(END + FIRST);
	map_mmio(END + THIRD);
	huge = page(END + SECOND, 3);
	huge.prefetch = true;
	vm.flushes = 0;
	HOST_EQ(map(&huge), -EAGAIN);
	HOST_EQ(vm.flushes, 1);
	HOST_EQ(map(&huge), PGT_DONE);
	HOST_EQ(huge.level, 3);
	HOST_EQ(level_at(END + THIRD), 3);
}

static void split_and_zap(u64 start, u64 end_)
{
	struct pgt_range range = { start, end_ };

	HOST_EQ(pgt_cache_fill(&vm.vcpu[0].cache, 513, false), 0);
	begin(PGT_EXCLUSIVE);
	HOST_EQ(pgt_split(&batch, root(), &range, 1, 0, &vm.vcpu[0].cache), 0);
	range.start = start;
	pgt_zap_leaves(&batch, root(), &range);
	end();
}

/* Fault in until it gets through; how often it was told to try again. */
static unsigned int map_again(struct pgt_map *huge, enum pgt_mode mode)
{
	struct pgt_map again = *huge;
	unsigned int tries = 0;
	int ret;

	for (;;) {
		unsigned long changes = vm.traced.nr;
		u64 flushes = vm.flushes;

		*huge = again;
		begin(mode);
		ret = pgt_map(&batch, root(), huge, &vm.vcpu[0].cache);
		/* What is dropped at a time, and one invalidation for it. */
		HOST_CHECK(vm.traced.nr - changes <=
			   (PGT_MAP_DROPS + 1) * STEP_CHANGES);
		HOST_EQ(vm.flushes, flushes);
		end();
		HOST_CHECK(vm.flushes - flushes <= 1);
		if (ret != -EAGAIN)
			break;
		HOST_CHECK(++tries <= PGT_ENTRIES / PGT_MAP_DROPS);
	}
	HOST_EQ(ret, PGT_DONE);
	return tries;
}

static void map_bare(enum pgt_mode mode, bool prefetch)
{
	struct pgt_map huge = page(SECOND, 3);
	long before;

	HOST_EQ(map_huge(FIRST), 3);
	before = tables();
	split_and_zap(0, END);
	HOST_EQ(tables(), before + 513);
	huge.prefetch = prefetch;
	HOST_CHECK(map_again(&huge, mode) >= PGT_ENTRIES / PGT_MAP_DROPS - 1);
	HOST_EQ(huge.level, 3);
	HOST_EQ(tables(), before);
}

/* A leaf of 1G comes back where one was split and all of it unmapped. */
STEPS_TEST(map_bare)
{
	map_bare(PGT_SHARED, false);
}

STEPS_TEST(map_bare_prefetch)
{
	map_bare(PGT_SHARED, true);
}

STEPS_TEST(map_bare_exclusive)
{
	map_bare(PGT_EXCLUSIVE, false);
}

/* Not where anything else is mapped; and what is mapped stays. */
STEPS_TEST(map_not_bare)
{
	struct pgt_map huge = page(SECOND, 3);

	HOST_EQ(map_huge(FIRST), 3);
	split_and_zap(0, END);
	map_small(SECOND + 0x200);
	map_again(&huge, PGT_SHARED);
	HOST_EQ(huge.level, 2);
	HOST_EQ(level_at(SECOND + 0x200), 1);
	HOST_EQ(level_at(SECOND), 2);
	/* Nobody asked for a page: leaves at any level are in the way. */
	huge = page(LAST, 3);
	huge.prefetch = true;
	map_again(&huge, PGT_SHARED);
	HOST_EQ(huge.level, 2);
	HOST_EQ(level_at(SECOND + 0x200), 1);
}

/* Take out a table for the mitigation, which must leave @start so. */
static bool zap_nx(struct pgt_range *range, u64 start)
{
	unsigned long changes = vm.traced.nr;
	bool found = pgt_zap_nx_table(&batch, root(), range);

	HOST_CHECK(vm.traced.nr - changes <= STEP_CHANGES);
	HOST_EQ(range->start, start);
	return found;
}

static void zap_nx_all(enum pgt_mode mode)
{
	struct pgt_range range = { 0, 2 * END };
	long before = tables();

	map_exec(FIRST);
	map_small(SECOND);
	map_exec(THIRD);
	map_exec(LAST);
	HOST_EQ(atomic_long_read(vm.mmu.counters.nx_tables), 4);
	vm.flushes = 0;
	begin(mode);
	/* What is below goes first, whatever it is there for. */
	HOST_CHECK(zap_nx(&range, 0x200));
	HOST_CHECK(zap_nx(&range, 0x400));
	HOST_CHECK(zap_nx(&range, 0x600));
	HOST_EQ(atomic_long_read(vm.mmu.counters.nx_tables), 2);
	/* The table above comes after the last one below it. */
	HOST_CHECK(zap_nx(&range, END - 1));
	HOST_CHECK(zap_nx(&range, END));
	HOST_CHECK(!zap_nx(&range, 2 * END));
	end();
	HOST_EQ(vm.flushes, 1);
	HOST_EQ(atomic_long_read(vm.mmu.counters.nx_tables), 0);
	HOST_EQ(atomic_long_read(vm.mmu.counters.leaves[1]), 0);
	/* Those above stay. */
	HOST_EQ(tables(), before + vm.config->levels - 3);
	HOST_EQ(map_huge(FIRST), 3);
}

STEPS_TEST(zap_nx_exclusive)
{
	if (vm.fmt.nx || vm.fmt.exec)
		zap_nx_all(PGT_EXCLUSIVE);
}

/* Entries that the batch itself has frozen are in the way of the last table. */
STEPS_TEST(zap_nx_shared)
{
	if (vm.fmt.nx || vm.fmt.exec)
		zap_nx_all(PGT_SHARED);
}

/* The same where 2M is all that could be had: no other table goes with it. */
static void map_exec_2m(u64 gfn)
{
	struct pgt_map exec = page(gfn, 1);

	exec.want = PGT_X;
	exec.req_level = 2;
	exec.nx_huge = true;
	exec.nx_disallow = true;
	HOST_EQ(map(&exec), PGT_DONE);
}

static bool frozen_at(u64 gfn)
{
	int level;

	return pgt_is_frozen(&vm.fmt, entry(gfn, &level));
}

/* Take out @nr tables in one hold of the lock: how many invalidations that is. */
static u64 zap_nx_many(unsigned int nr)
{
	struct pgt_range range = { 0, 2 * END };
	unsigned int found = 0;

	HOST_EQ(pgt_cache_fill(&vm.vcpu[0].cache, nr + 8, false), 0);
	for (unsigned int i = 0; i < nr; i++)
		map_exec_2m(FIRST + i * 0x200ULL);
	vm.flushes = 0;
	begin(PGT_SHARED);
	while (pgt_zap_nx_table(&batch, root(), &range))
		found++;
	end();
	HOST_EQ(found, nr);
	HOST_CHECK(!frozen_at(FIRST));
	return vm.flushes;
}

/* One invalidation for all, as long as faults are not held up for too long. */
STEPS_TEST(zap_nx_many)
{
	if (!vm.fmt.nx && !vm.fmt.exec)
		return;
	HOST_EQ(zap_nx_many(PGT_BATCH_FROZEN), 1);
	HOST_EQ(zap_nx_many(PGT_BATCH_FROZEN + 1), 2);
}

/* What is frozen is so no longer when the search for more is a long one. */
STEPS_TEST(zap_nx_then_search)
{
	unsigned int nr = PGT_BATCH_FROZEN_STEPS / PGT_ENTRIES + 1;
	struct pgt_range range = { 0, (nr + 1) * (u64)END };

	if (!vm.fmt.nx && !vm.fmt.exec)
		return;
	HOST_EQ(pgt_cache_fill(&vm.vcpu[0].cache, 2 * nr + 8, false), 0);
	map_exec_2m(FIRST);
	for (unsigned int i = 1; i <= nr; i++)
		map_small(i * (u64)END);
	vm.flushes = 0;
	begin(PGT_SHARED);
	HOST_CHECK(pgt_zap_nx_table(&batch, root(), &range));
	HOST_CHECK(frozen_at(FIRST));
	HOST_EQ(vm.flushes, 0);
	HOST_CHECK(!pgt_zap_nx_table(&batch, root(), &range));
	HOST_CHECK(!frozen_at(FIRST));
	HOST_EQ(vm.flushes, 1);
	end();
	HOST_EQ(vm.flushes, 1);
}

/* However fast tables come back, the range comes to its end. */
STEPS_TEST(zap_nx_ends)
{
	struct pgt_range range = { 0x400, 2 * END };

	if (!vm.fmt.nx && !vm.fmt.exec)
		return;
	map_exec(FIRST);
	map_exec(LAST);
	begin(PGT_SHARED);
	HOST_CHECK(zap_nx(&range, END - 1));
	end();
	map_exec(LAST);
	begin(PGT_SHARED);
	/* The table above still links one that is not in the range. */
	HOST_CHECK(!zap_nx(&range, 2 * END));
	end();
	HOST_EQ(atomic_long_read(vm.mmu.counters.nx_tables), 3);
	HOST_EQ(level_at(FIRST), 1);
}

/*
 * A table that a fault links below another one, while that is looked at and
 * taken apart, goes with it.
 */

static void explore_with(const char *name, unsigned int preemptions,
			 void (*setup)(void *ctx), void (*apart)(void *ctx),
			 void (*fault)(void *ctx), void (*check)(void *ctx))
{
	struct sim_case c = {
		.name = name,
		.nr_tasks = 2,
		.setup = setup,
		.task = { apart, fault },
		.check = check,
	};
	struct sim_stats stats;

	sim_never_resched = true;
	sim_explore_all(&c, preemptions, 0, &stats);
	HOST_CHECK(stats.complete);
	host_note("%llu schedules", (unsigned long long)stats.schedules);
}

static void explore(const char *name, void (*setup)(void *ctx),
		    void (*apart)(void *ctx), void (*fault)(void *ctx),
		    void (*check)(void *ctx))
{
	explore_with(name, 2, setup, apart, fault, check);
}

static bool linked_mapped;

/* A table, there for the mitigation, with a leaf of 2M and none of 1G. */
static void linked_setup(void *ctx)
{
	struct pgt_map data;

	create(VM_EPT);
	data = page(FIRST, 2);
	data.req_level = 3;
	data.nx_huge = true;
	data.nx_disallow = true;
	HOST_EQ(map(&data), PGT_DONE);
}

/* The same with a table below it, where the fault is going to be. */
static void linked_setup_below(void *ctx)
{
	linked_setup(ctx);
	map_exec(THIRD + 1);
}

static void linked_fault(void *ctx)
{
	struct pgt_map small = page(THIRD, 1);

	linked_mapped = map_on(1, &small) == PGT_DONE;
}

static void linked_map(void *ctx)
{
	struct pgt_map huge = page(SECOND, 3);

	huge.access &= ~PGT_W;
	map(&huge);
}

static void linked_zap(void *ctx)
{
	struct pgt_range range = { 0, END };

	begin(PGT_SHARED);
	while (pgt_zap_nx_table(&batch, root(), &range))
		;
	end();
}

static void linked_check(void *ctx)
{
	destroy();
}

static void linked_check_dirty(void *ctx)
{
	int level;
	u64 e = entry(THIRD, &level);

	/* What was zapped is in a dirty folio, and comes back by a fault. */
	if (linked_mapped && pgt_is_leaf(e, level) &&
	    !pgt_is_dirty(&vm.fmt, e))
		host_fail("dirty", "a page may have been written to, its leaf is clean");
	destroy();
}

HOST_TEST(steps, linked_while_mapped_over)
{
	explore("linked_while_mapped_over", linked_setup, linked_map,
		linked_fault, linked_check_dirty);
}

HOST_TEST(steps, linked_while_zapped)
{
	explore("linked_while_zapped", linked_setup, linked_zap, linked_fault,
		linked_check);
}

/* The same in a table that maps nothing, and so is dropped for a leaf of 1G. */
static void bare_setup(void *ctx)
{
	struct pgt_range all = { 0, END };

	create(VM_EPT);
	map_small(THIRD);
	map_small(LAST);
	begin(PGT_EXCLUSIVE);
	pgt_zap_leaves(&batch, root(), &all);
	end();
}

HOST_TEST(steps, linked_while_bare)
{
	explore("linked_while_bare", bare_setup, linked_map, linked_fault,
		linked_check_dirty);
}

/* Two that want the same. */
static void bare_map(void *ctx)
{
	struct pgt_map huge = page(FIRST, 3);

	map_on(1, &huge);
}

HOST_TEST(steps, two_while_bare)
{
	explore_with("two_while_bare", 1, bare_setup, linked_map, bare_map,
		     linked_check);
}

/* Once a table is out of the tree none of its entries gets free again. */
HOST_TEST(steps, linked_after_zapped)
{
	explore("linked_after_zapped", linked_setup_below, linked_zap,
		linked_fault, linked_check);
}
