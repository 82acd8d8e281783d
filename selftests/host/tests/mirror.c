// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror, one function of mirror.h after the other, and what each costs in
 * calls of the provider.
 *
 * Failing calls are in mirror_fail.c, sequences in mirror_model.c, what runs at
 * the same time in mirror_race.c, and many epochs in mirror_age.c.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

#define PAGES_2M	512ULL
#define PAGES_1G	0x40000ULL

/* TRACKs and kicks since pvm_cost_begin(). */
static void check_epochs(long epochs)
{
	struct pvm_cost cost = pvm_cost();

	HOST_EQ(cost.calls[MIRROR_TRACK], epochs);
	HOST_EQ(cost.kicks, epochs);
	HOST_EQ(cost.calls[MIRROR_OPEN_WINDOW], 0);
}

/* Leaves of a level over a range, pending. */
static void fill(u64 start, u64 end, int level)
{
	unsigned int around = pvm.around;

	for (u64 gfn = start; gfn < end; gfn += around * pgt_pages(level))
		HOST_EQ(pvm_map(0, gfn, level, level, around), around);
}

static void accept_all(u64 start, u64 end, int level)
{
	for (u64 gfn = start; gfn < end; gfn += pgt_pages(level))
		HOST_EQ(pvm_accept(gfn, level), SOFTSEPT_OK);
}

static void convert_and_check(u64 start, u64 end, long epochs)
{
	pvm_cost_begin();
	pvm_convert(start, end, false);
	check_epochs(epochs);
	pvm_check();
}

static int lookup(u64 gfn, u64 *pfn)
{
	int level;

	rcu_read_lock();
	level = mirror_lookup(&pvm.mirror, gfn, pfn);
	rcu_read_unlock();
	return level;
}

static enum softsept_state state_of(u64 gfn, int *level)
{
	enum softsept_state state;

	rcu_read_lock();
	state = softsept_state(&pvm.soft, gfn, level);
	rcu_read_unlock();
	return state;
}

static void check_state(u64 gfn, int level, enum softsept_state want)
{
	int at = 1;

	HOST_EQ(state_of(gfn, &at), want);
	HOST_EQ(at, level);
}

/*
 * A guest's page: mapped, accepted, used by two vCPUs, converted, and back.
 */
HOST_TEST(mirror, life)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		u64 pfn;

		pvm_create(config, 2, 1024, 1, 0);
		HOST_EQ(lookup(5, &pfn), 0);
		HOST_EQ(pvm_try(0, 5, CPU_READ), CPU_VIOLATION);
		pvm_exit(0);
		HOST_EQ(pvm_map(0, 5, 1, 1, 1), 1);
		check_state(5, 1, SOFTSEPT_PENDING);
		HOST_EQ(pvm_try(0, 5, CPU_READ), CPU_VIOLATION);
		pvm_exit(0);
		HOST_EQ(pvm_map(0, 5, 1, 1, 1), 0);
		HOST_EQ(lookup(5, &pfn), 1);
		HOST_EQ(pfn, pvm_pfn(5));
		HOST_EQ(pvm_accept(5, 1), SOFTSEPT_OK);
		HOST_EQ(pvm_accept(5, 1), SOFTSEPT_ACCEPTED);
		check_state(5, 1, SOFTSEPT_MAPPED);
		HOST_EQ(pvm_try(0, 5, CPU_WRITE), CPU_OK);
		HOST_EQ(pvm_try(1, 5, CPU_READ), CPU_OK);
		HOST_CHECK(pvm_access(1, pvm_shared(5), CPU_WRITE));
		pvm_check();
		pvm_convert(0, 1024, false);
		HOST_EQ(lookup(5, &pfn), 0);
		HOST_EQ(pvm_try(0, 5, CPU_READ), CPU_VIOLATION);
		HOST_CHECK(pvm_access(0, 5, CPU_WRITE));
		/* The whole shared half goes, and nothing else. */
		pvm_zap_shared(0, ~0ULL, true);
		HOST_EQ(pvm_try(0, 5, CPU_READ), CPU_OK);
		HOST_EQ(pvm_try(0, pvm_shared(5), CPU_READ), CPU_VIOLATION);
		pvm_check();
		pvm_destroy();
	}
}

/* What mirror_map() refuses. */
HOST_TEST(mirror, map_refuses)
{
	u64 pfns[2] = { DATA_PFN_BASE + 8, DATA_PFN_BASE + 9 };
	struct mirror_map map = {
		.gfn = 8, .level = 1, .start = 8, .pfns = pfns, .nr = 2,
		.max_level = 1,
	};
	struct mirror_map bad;
	struct mirror_cache cache;

	pvm_create(PVM_EPT, 1, 2048, 2, 0);
	mirror_cache_init(&cache, &pvm.mirror);
	read_lock(&vm.lock);
#define REFUSES(error, change) do {					\
	bad = map;							\
	change;								\
	HOST_EQ(mirror_map(&pvm.mirror, &bad, &cache), error);		\
} while (0)
	REFUSES(-EINVAL, bad.level = 0);
	REFUSES(-EINVAL, bad.level = 3);
	REFUSES(-EINVAL, bad.gfn = 7);
	REFUSES(-EINVAL, bad.gfn = 10);
	REFUSES(-EINVAL, (bad.level = 2, bad.start = 8));
	REFUSES(-EINVAL, (bad.level = 2, bad.start = 0));
	pfns[0] = PGT_NO_PFN;
	REFUSES(-EINVAL, bad.nr = 2);
	pfns[0] = DATA_PFN_BASE + 8;
	REFUSES(-ERANGE, (bad.gfn = pvm.private_end,
			  bad.start = pvm.private_end));
	/* Nothing in the cache; each kind counts. */
	REFUSES(-ENOMEM, bad.nr = 2);
	read_unlock(&vm.lock);
	HOST_EQ(pgt_cache_fill(&cache.tables, 4, false), 0);
	read_lock(&vm.lock);
	REFUSES(-ENOMEM, bad.nr = 2);
	read_unlock(&vm.lock);
	HOST_EQ(mirror_cache_fill(&cache, 4), 0);
	read_lock(&vm.lock);
	HOST_EQ(mirror_map(&pvm.mirror, &map, &cache), 2);
	HOST_EQ(cache.tables.nr, 1);
	HOST_EQ(cache.provided.nr, 1);
	REFUSES(0, bad.nr = 2);
	pfns[0]++;
	REFUSES(-EEXIST, bad.nr = 2);
	read_unlock(&vm.lock);
	mirror_cache_drain(&cache);

	/* A larger leaf serves who accepts that, and nobody else. */
	HOST_EQ(pvm_map(0, 0x200, 2, 2, 1), 1);
	HOST_EQ(pvm_map(0, 0x233, 1, 2, 1), 0);
	mirror_cache_init(&cache, &pvm.mirror);
	read_lock(&vm.lock);
	HOST_EQ(pvm_map_locked(0x233, 1, 1, 1, &cache), -E2BIG);
	read_unlock(&vm.lock);
	HOST_EQ(pvm_map(0, 0x233, 1, 1, 1), 0);
	check_state(0x233, 1, SOFTSEPT_PENDING);
	/* Where a table is, a large leaf is asked for in vain. */
	HOST_EQ(pvm_map(0, 0x20, 2, 2, 4), 1);
	check_state(0x20, 1, SOFTSEPT_PENDING);
	check_state(0x21, 1, SOFTSEPT_FREE);
	HOST_EQ(pvm_map(0, 0x20, 2, 2, 4), 0);
	pvm_check();
	pvm_destroy();
}

/* The entries next to what is mapped stay; holes are left. */
HOST_TEST(mirror, map_around)
{
	u64 pfns[PGT_ENTRIES];
	struct mirror_map map = {
		.gfn = 100, .level = 1, .start = 40, .pfns = pfns, .nr = 512,
		.max_level = 1,
	};
	u64 pfn;

	pvm_create(PVM_EPT, 1, 2048, 2, 0);
	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		pfns[i] = i % 7 == 3 ? PGT_NO_PFN : pvm_pfn(40 + i);
	HOST_EQ(pvm_map(0, 52, 1, 1, 1), 1);
	HOST_EQ(pvm_map(0, 121, 1, 1, 1), 1);
	pvm_cost_begin();
	read_lock(&vm.lock);
	/* 472 are in the table, 67 of them holes, and two are there. */
	HOST_EQ(mirror_map(&pvm.mirror, &map, &pvm.vcpu[0].cache), 472 - 67 - 2);
	read_unlock(&vm.lock);
	HOST_EQ(pvm_cost().calls[MIRROR_MAP], 472 - 67 - 2);
	HOST_EQ(lookup(39, &pfn), 0);
	HOST_EQ(lookup(43, &pfn), 0);
	HOST_EQ(lookup(40, &pfn), 1);
	HOST_EQ(lookup(511, &pfn), 1);
	HOST_EQ(pfn, pvm_pfn(511));
	HOST_EQ(lookup(512, &pfn), 0);
	pvm_check();
	pvm_destroy();
}

/* One fault where 512 pages are resident. */
HOST_TEST(mirror, one_fault_maps_512)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		pvm_create(config, 1, 1024, 1, 0);
		pvm.around = 512;
		HOST_EQ(pvm_fault(0, 777), 0);
		HOST_EQ(atomic_long_read(&pvm.counters.leaves[1]), 512);
		for (u64 gfn = 512; gfn < 1024; gfn++)
			HOST_EQ(pvm_accept(gfn, 1), SOFTSEPT_OK);
		HOST_EQ(pvm_try(0, 1023, CPU_WRITE), CPU_OK);
		pvm_check();
		pvm_destroy();
	}
}

/* 2 MiB of 4K pages, accepted and in use: one TRACK, one kick. */
HOST_TEST(mirror, convert_2m)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pvm_cost cost;

		pvm_create(config, 2, 1024, 1, 0);
		pvm.around = 512;
		fill(0, 512, 1);
		accept_all(0, 512, 1);
		for (u64 gfn = 0; gfn < 512; gfn += 3) {
			HOST_EQ(pvm_try(0, gfn, CPU_WRITE), CPU_OK);
			HOST_EQ(pvm_try(1, gfn, CPU_READ), CPU_OK);
		}
		convert_and_check(0, 512, 1);
		cost = pvm_cost();
		HOST_EQ(cost.calls[MIRROR_BLOCK], 512);
		HOST_EQ(cost.calls[MIRROR_REMOVE], 512);
		HOST_EQ(cost.calls[MIRROR_UNLINK], 0);
		HOST_EQ(pvm_try(0, 3, CPU_READ), CPU_VIOLATION);
		/* Nothing there: nothing to be done, whatever is blocked. */
		convert_and_check(0, 512, 0);
		pvm_destroy();
	}
}

/* The same for one page at a time, as without batches. */
HOST_TEST(mirror, convert_unbatched)
{
	pvm_create(PVM_EPT, 1, 1024, 1, 0);
	pvm.around = 512;
	pvm.mirror.batch = 1;
	fill(0, 512, 1);
	convert_and_check(0, 512, 512);
	fill(0, 512, 1);
	pvm.mirror.batch = 64;
	convert_and_check(0, 512, 8);
	/* A batch is never smaller than a leaf. */
	pvm_destroy();

	pvm_create(PVM_EPT, 1, 1024, 2, 0);
	pvm.mirror.batch = 1;
	fill(0, 1024, 2);
	convert_and_check(0, 1024, 2);
	pvm_destroy();
}

static int root_levels(void)
{
	return pvm.mirror.root->levels;
}

/*
 * 1 GiB: one TRACK for all that is mapped, and then, if the tables are to go too,
 * one for each level of them: at most three, or four with five levels.
 */
static void convert_1g(const struct pvm_config *config, int level, long leaves)
{
	struct pvm_cost cost;

	pvm_create(config, 2, VM_MAX_GFNS, level, 0);
	pvm.around = level == 1 ? 512 : 1;
	fill(0, PAGES_1G, level);
	HOST_EQ(atomic_long_read(&pvm.counters.leaves[level]), leaves);
	HOST_EQ(pvm_accept(PAGES_1G / 2, level), SOFTSEPT_OK);
	HOST_EQ(pvm_try(1, PAGES_1G / 2, CPU_WRITE), CPU_OK);
	convert_and_check(0, PAGES_1G, 1);
	HOST_EQ(pvm_cost().calls[MIRROR_REMOVE], leaves);
	HOST_EQ(pvm_try(0, 0, CPU_READ), CPU_VIOLATION);

	pvm_cost_begin();
	pvm_convert_tables(0, PAGES_1G, false);
	cost = pvm_cost();
	check_epochs(root_levels() - level);
	HOST_CHECK(cost.calls[MIRROR_TRACK] <= (config == PVM_L5 ? 4 : 3));
	HOST_EQ(cost.calls[MIRROR_UNLINK],
		(level == 1 ? 512 : 0) + root_levels() - 2);
	HOST_EQ(atomic_long_read(&pvm.counters.tables), 1);
	HOST_EQ(pvm_try(0, 0, CPU_READ), CPU_VIOLATION);
	pvm_check();
	pvm_destroy();
}

HOST_TEST(mirror, convert_1g)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		convert_1g(config, 1, PAGES_1G);
		convert_1g(config, 2, 512);
	}
}

/* Two batches, of which each is an epoch. */
HOST_TEST(mirror, convert_beyond_1g)
{
	pvm_create(PVM_EPT, 1, VM_MAX_GFNS, 1, 0);
	pvm.around = 512;
	fill(0, 1024, 1);
	fill(PAGES_1G, VM_MAX_GFNS, 1);
	pvm_cost_begin();
	pvm_convert(100, VM_MAX_GFNS, false);
	check_epochs(2);
	/* The tables that the first has emptied go with the second. */
	HOST_EQ(pvm_cost().calls[MIRROR_UNLINK], 1);
	pvm_check();
	pvm_destroy();
}

/* Where a batch begins is no matter of addresses. */
HOST_TEST(mirror, convert_across_1g)
{
	pvm_create(PVM_EPT, 1, VM_MAX_GFNS, 1, 0);
	pvm.around = 512;
	fill(PAGES_1G - 512, PAGES_1G + 512, 1);
	pvm_cost_begin();
	pvm_convert(PAGES_1G - 256, PAGES_1G + 256, false);
	check_epochs(1);
	pvm_check();
	pvm_destroy();

	/* A leaf that the end of a batch cuts goes with it. */
	pvm_create(PVM_EPT, 1, VM_MAX_GFNS, 2, 0);
	pvm.around = 512;
	fill(0, 512, 1);
	pvm.around = 2;
	fill(PAGES_1G, PAGES_1G + 1024, 2);
	pvm_cost_begin();
	pvm_convert(256, PAGES_1G + 512, false);
	check_epochs(1);
	pvm_check();
	pvm_destroy();
}

/* Emptied tables go with the next epoch, whatever it is for. */
HOST_TEST(mirror, tables_ride)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pvm_cost cost;

		pvm_create(config, 1, 0x1000, 1, 0);
		pvm.around = 512;
		fill(0, 0x1000, 1);
		pvm.around = 1;
		for (u64 gfn = 0; gfn < 0xe00; gfn += 512) {
			pvm_cost_begin();
			pvm_convert(gfn, gfn + 512, false);
			check_epochs(1);
			cost = pvm_cost();
			HOST_EQ(cost.calls[MIRROR_UNLINK], gfn ? 1 : 0);
			HOST_EQ(cost.tables, gfn ? -1 : 0);
			pvm_check();
		}
		/* Not one that is in use again, nor one that is half empty. */
		HOST_CHECK(pvm_access(0, 0xc00, CPU_WRITE));
		pvm_convert(0xe00, 0xf00, false);
		HOST_EQ(atomic_long_read(&pvm.counters.tables),
			root_levels() - 1 + 2);
		HOST_EQ(pvm_try(0, 0xc00, CPU_WRITE), CPU_OK);
		pvm_check();
		/* Half of it is left, so only what was used again goes. */
		pvm_cost_begin();
		pvm_convert_tables(0, 0xf00, false);
		check_epochs(2);
		HOST_EQ(pvm_cost().tables, -1);
		pvm_check();
		pvm_destroy();
	}
}

/* A table under a level that is emptied at once is linked again by a fault. */
HOST_TEST(mirror, tables_come_back)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		pvm_create(config, 2, 0x1000, 1, 0);
		for (int i = 0; i < 4; i++) {
			for (u64 gfn = 0; gfn < 0x1000; gfn += 300) {
				HOST_CHECK(pvm_access(0, gfn, CPU_WRITE));
				HOST_CHECK(pvm_access(1, gfn, CPU_WRITE));
			}
			pvm_check();
			pvm_cost_begin();
			pvm_convert_tables(0, 0x1000, false);
			check_epochs(root_levels());
			HOST_EQ(atomic_long_read(&pvm.counters.tables), 1);
			pvm_check();
		}
		pvm_destroy();
	}
}

/*
 * Large leaves that the range has a part of: one more TRACK per level.
 */

/* Make 1 GiB of one leaf. */
static void make_1g(bool accepted)
{
	fill(0, PAGES_1G, 2);
	if (accepted)
		accept_all(0, PAGES_1G, 2);
	HOST_EQ(pvm_promote(0, PAGES_1G, false), 1);
	HOST_EQ(atomic_long_read(&pvm.counters.leaves[3]), 1);
	pvm_check();
}

HOST_TEST(mirror, straddle_2m)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pvm_cost cost;

		pvm_create(config, 2, 4096, 2, 0);
		fill(0, 4096, 2);
		accept_all(0, 2048, 2);
		HOST_EQ(pvm_try(0, 100, CPU_WRITE), CPU_OK);
		HOST_EQ(pvm_try(1, 101, CPU_WRITE), CPU_OK);
		/* 4K inside of a leaf. */
		convert_and_check(100, 101, 2);
		cost = pvm_cost();
		HOST_EQ(cost.calls[MIRROR_DEMOTE], 1);
		HOST_EQ(cost.leaves[1], 511);
		HOST_EQ(cost.leaves[2], -1);
		HOST_EQ(pvm_try(0, 100, CPU_READ), CPU_VIOLATION);
		check_state(101, 1, SOFTSEPT_MAPPED);
		HOST_EQ(pvm_try(1, 101, CPU_READ), CPU_OK);
		/* Again, now that it is split. */
		convert_and_check(101, 102, 1);
		/* Both ends, in two leaves, with one between. */
		convert_and_check(700, 1800, 2);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 2);
		check_state(699, 1, SOFTSEPT_MAPPED);
		check_state(1800, 1, SOFTSEPT_MAPPED);
		/* Both ends in one leaf, which is pending; start, then end. */
		convert_and_check(2050, 2060, 2);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 1);
		check_state(2049, 1, SOFTSEPT_PENDING);
		convert_and_check(2560, 2561, 2);
		convert_and_check(3583, 3584, 2);
		/* Whole leaves. */
		convert_and_check(3584, 4096, 1);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 0);
		pvm_destroy();
	}
}

HOST_TEST(mirror, straddle_1g)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pvm_cost cost;

		pvm_create(config, 2, VM_MAX_GFNS, 2, 0);
		make_1g(true);
		HOST_EQ(pvm_try(0, 0x12345, CPU_WRITE), CPU_OK);
		convert_and_check(0x12345, 0x12346, 3);
		cost = pvm_cost();
		HOST_EQ(cost.calls[MIRROR_DEMOTE], 2);
		HOST_EQ(cost.leaves[3], -1);
		HOST_EQ(cost.leaves[2], 511);
		HOST_EQ(cost.leaves[1], 511);
		HOST_EQ(pvm_try(0, 0x12345, CPU_WRITE), CPU_VIOLATION);
		pvm_exit(0);
		HOST_EQ(pvm_try(0, 0x12346, CPU_WRITE), CPU_OK);
		/* 2M in it: the larger leaf is the only one that is cut. */
		pvm_convert_tables(0, VM_MAX_GFNS, false);
		pvm_check();
		pvm_destroy();

		pvm_create(config, 2, VM_MAX_GFNS, 2, 0);
		make_1g(false);
		convert_and_check(0x200, 0x400, 2);
		pvm_destroy();

		/* Both ends: two 2M leaves of one leaf of 1G. */
		pvm_create(config, 2, VM_MAX_GFNS, 2, 0);
		make_1g(false);
		convert_and_check(0x210, 0x20010, 3);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 3);
		pvm_destroy();

		/* One end in a leaf of 1G, one in a leaf of 2M. */
		pvm_create(config, 2, VM_MAX_GFNS, 2, 0);
		make_1g(true);
		fill(PAGES_1G, VM_MAX_GFNS, 2);
		convert_and_check(0x210, PAGES_1G + 0x210, 3);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 3);
		pvm_destroy();
	}
}

/*
 * Promotion.
 */

HOST_TEST(mirror, promote_2m)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pvm_cost cost;

		pvm_create(config, 2, 4096, 2, 0);
		pvm.around = 512;
		fill(0, 4096, 1);
		accept_all(0, 512, 1);
		/* Accepted and pending: refused, and all goes on as before. */
		accept_all(512, 1000, 1);
		/* A page missing, a page in another place. */
		pvm_convert(1030, 1031, false);
		pvm_convert(1600, 1601, false);
		HOST_EQ(pvm_map(0, 1600, 1, 1, 1), 1);
		HOST_EQ(pvm_try(0, 3, CPU_WRITE), CPU_OK);
		HOST_EQ(pvm_try(1, 600, CPU_WRITE), CPU_OK);
		pvm_cost_begin();
		/* Tables wholly in the range. */
		HOST_EQ(pvm_promote(0, 2048 + 511, false), 1);
		check_epochs(1);
		cost = pvm_cost();
		HOST_EQ(cost.calls[MIRROR_PROMOTE], 2);
		HOST_EQ(cost.calls[MIRROR_UNBLOCK], 1);
		HOST_EQ(cost.leaves[2], 1);
		HOST_EQ(cost.leaves[1], -512);
		HOST_EQ(cost.tables, -1);
		check_state(3, 2, SOFTSEPT_MAPPED);
		check_state(600, 1, SOFTSEPT_MAPPED);
		check_state(1010, 1, SOFTSEPT_PENDING);
		check_state(2050, 1, SOFTSEPT_PENDING);
		pvm_check();
		HOST_EQ(pvm_try(0, 4, CPU_READ), CPU_OK);
		HOST_EQ(pvm_try(1, 600, CPU_READ), CPU_OK);
		/* All that are pending. */
		HOST_EQ(pvm_promote(0, 4096, false), 4);
		check_state(2050, 2, SOFTSEPT_PENDING);
		pvm_check();
		HOST_EQ(pvm_promote(0, 4096, false), 0);
		pvm_check();
		convert_and_check(0, 4096, 1);
		pvm_destroy();
	}
}

/* 1 GiB of large folios is one leaf, or 512. */
HOST_TEST(mirror, promote_1g)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		pvm_create(config, 2, VM_MAX_GFNS, 3, 0);
		pvm_cost_begin();
		fill(0, PAGES_1G, 2);
		HOST_EQ(pvm_cost().leaves[2], 512);
		HOST_EQ(pvm_cost().leaves[1], 0);
		accept_all(0, PAGES_1G, 2);
		HOST_EQ(pvm_try(0, 0x3ffff, CPU_WRITE), CPU_OK);
		pvm_cost_begin();
		HOST_EQ(pvm_promote(0, VM_MAX_GFNS, false), 1);
		check_epochs(1);
		HOST_EQ(atomic_long_read(&pvm.counters.leaves[3]), 1);
		HOST_EQ(atomic_long_read(&pvm.counters.leaves[2]), 0);
		HOST_EQ(pvm_try(0, 0x3fffe, CPU_WRITE), CPU_OK);
		check_state(0, 3, SOFTSEPT_MAPPED);
		HOST_EQ(pvm_accept(0x200, 2), SOFTSEPT_ACCEPTED);
		convert_and_check(0, PAGES_1G, 1);
		HOST_EQ(pvm_cost().calls[MIRROR_REMOVE], 1);
		pvm_destroy();

		/* From 4K all the way, one TRACK for each size. */
		pvm_create(config, 1, VM_MAX_GFNS, 3, 0);
		pvm.around = 512;
		fill(0, PAGES_1G, 1);
		pvm_cost_begin();
		HOST_EQ(pvm_promote(0, PAGES_1G, false), 513);
		check_epochs(2);
		HOST_EQ(pvm_cost().leaves[3], 1);
		pvm_check();
		pvm_destroy();
	}
}

/*
 * Sizes that the guest accepts.
 */

HOST_TEST(mirror, accept_levels)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		u64 pfn;

		pvm_create(config, 2, 4096, 2, 0);
		/* Small leaves, for who asks for no more; a leaf for others. */
		HOST_CHECK(pvm_access(0, 5, CPU_WRITE));
		HOST_EQ(lookup(5, &pfn), 1);
		pvm.accept_level = 2;
		HOST_CHECK(pvm_access(0, 600, CPU_WRITE));
		HOST_EQ(lookup(600, &pfn), 2);
		HOST_EQ(pfn, pvm_pfn(600));
		/* One size down. */
		HOST_CHECK(pvm_access(0, 6, CPU_WRITE));
		/* A pending leaf of 2M, and a guest that wants 4K. */
		HOST_EQ(pvm_map(0, 1024, 2, 2, 1), 1);
		pvm.accept_level = 1;
		pvm_cost_begin();
		HOST_CHECK(pvm_access(1, 1030, CPU_WRITE));
		check_epochs(1);
		HOST_EQ(pvm_cost().calls[MIRROR_DEMOTE], 1);
		check_state(1030, 1, SOFTSEPT_MAPPED);
		check_state(1031, 1, SOFTSEPT_PENDING);
		pvm_check();
		/* Split what is not, or no more, large. */
		HOST_EQ(pvm_split(1030, 1), 0);
		HOST_EQ(pvm_split(4000, 1), 0);
		HOST_EQ(pvm_split(600, 2), 0);
		HOST_EQ(lookup(600, &pfn), 2);
		HOST_EQ(pvm_split(600, 1), 0);
		HOST_EQ(lookup(600, &pfn), 1);
		HOST_EQ(pfn, pvm_pfn(600));
		HOST_EQ(pvm_try(0, 600, CPU_READ), CPU_OK);
		pvm_check();
		pvm_destroy();
	}
}

HOST_TEST(mirror, split_refuses)
{
	struct mirror_cache cache;
	struct pgt_range range = { 10, 11 };

	pvm_create(PVM_EPT, 2, VM_MAX_GFNS, 2, 0);
	make_1g(true);
	mirror_cache_init(&cache, &pvm.mirror);
	pvm_cost_begin();
	write_lock(&vm.lock);
	HOST_EQ(mirror_split(&pvm.mirror, 10, 1, &cache), -ENOMEM);
	HOST_EQ(mirror_zap(&pvm.mirror, &range, false, &cache), -ENOMEM);
	HOST_EQ(range.start, 10);
	write_unlock(&vm.lock);
	check_epochs(0);
	pvm_check();
	/* One pair: from 1G to 2M, and no further. */
	HOST_EQ(mirror_cache_fill(&cache, 1), 0);
	write_lock(&vm.lock);
	HOST_EQ(mirror_split(&pvm.mirror, 10, 1, &cache), -ENOMEM);
	write_unlock(&vm.lock);
	check_state(10, 2, SOFTSEPT_MAPPED);
	HOST_EQ(cache.tables.nr, 0);
	pvm_check();
	mirror_cache_drain(&cache);
	pvm_destroy();
}

/*
 * Before the guest runs.
 */

HOST_TEST(mirror, add)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		u64 pfn;

		pvm_create(config, 1, 2048, 2, PVM_NOT_FINALIZED);
		private_fill(pvm_pfn(7), 1, PVM_ADDED);
		private_fill(pvm_pfn(600), 1, PVM_ADDED);
		pvm_cost_begin();
		/* No neighbours, nothing large. */
		HOST_EQ(pvm_map(0, 7, 1, 1, 512), 1);
		HOST_EQ(pvm_map(0, 7, 1, 1, 1), 0);
		HOST_EQ(pvm_map(0, 600, 2, 2, 1), -EINVAL);
		HOST_EQ(pvm_map(0, 600, 1, 1, 1), 1);
		HOST_EQ(pvm_cost().calls[MIRROR_ADD], 2);
		HOST_EQ(pvm_cost().calls[MIRROR_MAP], 0);
		check_state(7, 1, SOFTSEPT_MAPPED);
		pvm_check();
		/* One is taken out again. */
		HOST_EQ(pvm_map(0, 601, 1, 1, 1), 1);
		pvm_convert(601, 602, false);
		HOST_EQ(lookup(601, &pfn), 0);
		pvm_check();
		write_lock(&vm.lock);
		softsept_finalize(&pvm.soft);
		write_unlock(&vm.lock);
		HOST_EQ(pvm_try(0, 7, CPU_READ), CPU_OK);
		HOST_EQ(private_content(pvm_pfn(7)), PVM_ADDED);
		HOST_EQ(pvm_try(0, 601, CPU_READ), CPU_VIOLATION);
		HOST_CHECK(pvm_access(0, 601, CPU_WRITE));
		convert_and_check(0, 2048, 1);
		pvm_destroy();
	}
}

HOST_TEST(mirror, auto_accept)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		pvm_create(config, 1, 2048, 2, PVM_AUTO_ACCEPT);
		private_fill(pvm_pfn(7), 1, PVM_ADDED);
		HOST_CHECK(pvm_access(0, 7, CPU_READ));
		HOST_EQ(private_content(pvm_pfn(7)), PVM_ADDED);
		check_state(7, 2, SOFTSEPT_MAPPED);
		pvm_check();
		pvm_destroy();
	}
}

/*
 * The end, with leaves of each size and in each state.
 */
HOST_TEST(mirror, destroy)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		u64 provided;

		pvm_create(config, 2, VM_MAX_GFNS, 2, 0);
		make_1g(true);
		fill(PAGES_1G, PAGES_1G + 512, 2);
		pvm.around = 512;
		fill(PAGES_1G + 512, PAGES_1G + 1024, 1);
		accept_all(PAGES_1G + 512, PAGES_1G + 600, 1);
		HOST_EQ(pvm_try(0, PAGES_1G + 513, CPU_WRITE), CPU_OK);
		pvm_cost_begin();
		provided = pvm.provided;
		pvm_destroy();
		HOST_EQ(pvm_cost().calls[MIRROR_RECLAIM],
			1 + 1 + 512 + provided);
	}
}

/* None at all. */
HOST_TEST(mirror, destroy_empty)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		pvm_create(config, 0, 0, 1, 0);
		pvm_check();
		pvm_destroy();
	}
	/* Not even a root. */
	pvm_create(PVM_EPT, 0, 0, 1, 0);
	pvm_destroy();
	mirror_destroy(&pvm.mirror);
}

/* What is private ends where what is shared begins. */
HOST_TEST(mirror, ends)
{
	for (const struct pvm_config *config = pvm_configs;
	     config < pvm_configs + pvm_nr_configs; config++) {
		struct pgt_range range = { 0, ~0ULL };
		struct mirror_cache cache;
		u64 pfn = DATA_PFN_BASE;
		struct mirror_map map = {
			.level = 1, .pfns = &pfn, .nr = 1, .max_level = 1,
		};

		pvm_create(config, 1, 0, 1, 0);
		mirror_cache_init(&cache, &pvm.mirror);
		HOST_EQ(mirror_cache_fill(&cache, 5), 0);
		map.gfn = pvm.private_end - 1;
		map.start = map.gfn;
		read_lock(&vm.lock);
		HOST_EQ(mirror_map(&pvm.mirror, &map, &cache), 1);
		read_unlock(&vm.lock);
		pvm_check();
		write_lock(&vm.lock);
		HOST_EQ(mirror_zap_tables(&pvm.mirror, &range, false, &cache),
			0);
		write_unlock(&vm.lock);
		HOST_EQ(atomic_long_read(&pvm.counters.tables), 1);
		mirror_cache_drain(&cache);
		pvm_check();
		pvm_destroy();
	}
}
