// SPDX-License-Identifier: GPL-2.0
/*
 * How many instructions the engine takes: the cases, each measured by callgrind
 * between two requests to it.  Building, running, and holding the counts against
 * the limits is scripts/host-bench.
 *
 * A case is a function that does one thing to many entries.  What it is called
 * on is prepared before, and looked at after, where nothing is counted.  The
 * loop of the case is counted too: nothing is subtracted.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <stdio.h>
#include <valgrind/callgrind.h>

#include "bench/bench.h"
#include "counters.h"
#include "pgt/env.h"
#include "pgt/pgt.h"
#include "test.h"

/* Eight full tables of 4K leaves, as many 2M leaves, at 1 GiB. */
#define TABLES		8
#define FIRST		0x40000ULL
#define PAGES		(TABLES * PGT_ENTRIES)
#define LAST		(FIRST + PAGES)
/* Guest page g is host page g + PFN_OFFSET. */
#define PFN_OFFSET	0x100000ULL
#define RUN		16
#define ALL		(PGT_R | PGT_W | PGT_X | PGT_U)

/* Instructions per item; NO_LIMIT is for information. */
#define NO_LIMIT	0
#define MAP_LIMIT	300
#define LEAF_LIMIT	80

struct bench_config {
	const char *name;
	int (*init)(struct pgt_format *fmt, const struct pgt_host *host);
	struct pgt_host host;
	u8 memtype;
};

static const struct bench_config configs[] = {
	{
		.name = "ept",
		.init = pgt_format_ept,
		.host = {
			.phys_bits = 46, .max_leaf_level = 3, .ad = true,
			.exec_only = true, .nonpresent = BIT_ULL(63),
			.mmio_value = 6,
			.mmio_mask = GENMASK_ULL(51, 46) | 7,
		},
		.memtype = 6,
	}, {
		.name = "ept-noad",
		.init = pgt_format_ept,
		.host = {
			.phys_bits = 46, .max_leaf_level = 3,
			.exec_only = true, .nonpresent = BIT_ULL(63),
			.mmio_value = 6,
			.mmio_mask = GENMASK_ULL(51, 46) | 7,
		},
		.memtype = 6,
	}, {
		.name = "npt",
		.init = pgt_format_npt,
		.host = {
			.phys_bits = 46, .max_leaf_level = 3, .ad = true,
			.nx = true, .mmio_access = 6,
			.mmio_value = BIT_ULL(51) | 1,
			.mmio_mask = BIT_ULL(51) | 1,
		},
	},
};

static const struct bench_config *config;
static struct pgt_format fmt;
static rwlock_t lock;
static struct pgt_mmu mmu;
static struct pgt_cache cache;
static struct pgt_root *root;

/* Results other than the one that a case is about; must stay 0. */
static unsigned long wrong;

static void check(bool ok, const char *what)
{
	if (!ok)
		host_fail("bench", "%s: %s", config->name, what);
}

static struct pgt_range whole(void)
{
	return (struct pgt_range){ FIRST, LAST };
}

static void refill(void)
{
	if (pgt_cache_fill(&cache, 2 * TABLES + PGT_MAX_LEVEL, true))
		host_fail("bench", "out of memory");
}

static struct pgt_map map_of(u64 gfn, int level)
{
	return (struct pgt_map){
		.gfn = gfn,
		.pfn = gfn + PFN_OFFSET,
		.level = level,
		.req_level = level,
		.access = ALL & ~(fmt.user ? 0 : PGT_U),
		.want = PGT_W,
		.memtype = config->memtype,
		.host_writable = true,
		.mmu_writable = true,
	};
}

/*
 * The cases.
 */

/* All that a fault pays to the engine, for each @step-th page. */
static void map_pages(int level, u64 step, int expect)
{
	struct pgt_map map = map_of(FIRST, level);

	for (; map.gfn < LAST; map.gfn += step, map.pfn += step) {
		struct pgt_batch batch;

		pgt_batch_begin(&batch, &mmu, PGT_SHARED, false);
		wrong += pgt_map(&batch, root, &map, &cache) != expect;
		pgt_batch_end(&batch);
	}
}

static void map_4k(void)
{
	map_pages(1, 1, PGT_DONE);
}

static void map_spurious(void)
{
	map_pages(1, 1, PGT_SPURIOUS);
}

static void map_2m(void)
{
	map_pages(2, PGT_ENTRIES, PGT_DONE);
}

/* The first page of each table, which brings the table. */
static void map_table(void)
{
	map_pages(1, PGT_ENTRIES, PGT_DONE);
}

static void map_run(void)
{
	struct pgt_map map = map_of(FIRST, 1);

	for (; map.gfn < LAST; map.gfn += RUN) {
		struct pgt_batch batch;
		u64 pfns[RUN];

		for (int i = 0; i < RUN; i++)
			pfns[i] = map.gfn + i + PFN_OFFSET;
		pgt_batch_begin(&batch, &mmu, PGT_SHARED, false);
		wrong += pgt_map_run(&batch, root, &map, pfns, RUN, &cache) !=
			 RUN;
		pgt_batch_end(&batch);
	}
}

static void map_mmio(void)
{
	for (u64 gfn = FIRST; gfn < LAST; gfn++) {
		struct pgt_batch batch;

		pgt_batch_begin(&batch, &mmu, PGT_SHARED, false);
		wrong += pgt_map_mmio(&batch, root, gfn, 2, 0, &cache) !=
			 PGT_DONE;
		pgt_batch_end(&batch);
	}
}

static void fix(u8 want, bool log, int expect)
{
	for (u64 gfn = FIRST; gfn < LAST; gfn++) {
		rcu_read_lock();
		wrong += pgt_fix(root, gfn, want, log) != expect;
		rcu_read_unlock();
	}
}

static void fix_write(void)
{
	fix(PGT_W, false, PGT_DONE);
}

static void fix_write_log(void)
{
	fix(PGT_W, true, PGT_DONE);
}

static void fix_track(void)
{
	fix(PGT_R, false, PGT_DONE);
}

static void fix_spurious(void)
{
	fix(PGT_W, false, PGT_SPURIOUS);
}

static void lookup(void)
{
	u64 entries[PGT_MAX_LEVEL + 1];

	for (u64 gfn = FIRST; gfn < LAST; gfn++) {
		rcu_read_lock();
		wrong += pgt_lookup(root, gfn, entries) != 1;
		rcu_read_unlock();
	}
}

static void lookup_mmio(void)
{
	u64 access;

	for (u64 gfn = FIRST; gfn < LAST; gfn++) {
		rcu_read_lock();
		wrong += pgt_lookup_mmio(root, gfn, 2, &access) != 0;
		rcu_read_unlock();
	}
}

static void root_get(void)
{
	for (int i = 0; i < PAGES; i++) {
		struct pgt_root *got = pgt_root_get(&mmu, &fmt, 4, 0, 0,
						    &cache);

		wrong += got != root;
		pgt_root_put(got);
	}
}

static void wrprot(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_SHARED, true);
	pgt_wrprot(&batch, root, &range, 1, false);
	pgt_batch_end(&batch);
}

static void clear_dirty(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_SHARED, true);
	pgt_clear_dirty(&batch, root, &range);
	pgt_batch_end(&batch);
}

/* As from the dirty log: a batch for each 64 pages. */
static void clear_dirty_mask(void)
{
	for (u64 gfn = FIRST; gfn < LAST; gfn += 64) {
		struct pgt_batch batch;

		pgt_batch_begin(&batch, &mmu, PGT_EXCLUSIVE, false);
		pgt_clear_dirty_mask(&batch, root, gfn, ~0ULL, false);
		pgt_batch_end(&batch);
	}
}

static void age(void)
{
	struct pgt_range range = whole();

	rcu_read_lock();
	while (range.start < range.end)
		wrong += !pgt_age(root, &range);
	rcu_read_unlock();
}

/* Of old pages: the first young one ends it. */
static void test_age(void)
{
	struct pgt_range range = whole();

	rcu_read_lock();
	while (range.start < range.end)
		wrong += pgt_test_age(root, &range);
	rcu_read_unlock();
}

static void zap_leaves(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_EXCLUSIVE, true);
	pgt_zap_leaves(&batch, root, &range);
	pgt_batch_end(&batch);
}

static void zap_tables(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_EXCLUSIVE, true);
	pgt_zap_tables(&batch, root, &range);
	pgt_batch_end(&batch);
}

static void roots_empty(void)
{
	pgt_roots_empty(&mmu, PGT_SHARED, true);
}

static void split(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_SHARED, true);
	wrong += pgt_split(&batch, root, &range, 1, 0, &cache) != 0;
	pgt_batch_end(&batch);
}

static void collapse(void)
{
	struct pgt_range range = whole();
	struct pgt_batch batch;

	pgt_batch_begin(&batch, &mmu, PGT_SHARED, true);
	pgt_collapse(&batch, root, &range, false);
	pgt_batch_end(&batch);
}

/*
 * Around the cases.
 */

/* The label is what scripts/host-bench takes apart. */
static void measure(const char *name, void (*run)(void), unsigned long items,
		    unsigned int limit)
{
	char label[64];

	snprintf(label, sizeof(label), "%s %s %lu %u", config->name, name,
		 items, limit);
	wrong = 0;
	CALLGRIND_ZERO_STATS;
	run();
	CALLGRIND_DUMP_STATS_AT(label);
	if (wrong)
		host_fail("bench", "%s: wrong result", label);
	rcu_barrier();
	refill();
}

static void check_leaves(long small, long huge)
{
	check(atomic_long_read(mmu.counters.leaves[1]) == small, "4K leaves");
	check(atomic_long_read(mmu.counters.leaves[2]) == huge, "2M leaves");
}

/* How many leaves of the range have all of @bits. */
static void check_bits(u64 bits, long expect)
{
	u64 entries[PGT_MAX_LEVEL + 1];
	long nr = 0;

	for (u64 gfn = FIRST; gfn < LAST; gfn++)
		if (pgt_lookup(root, gfn, entries) == 1)
			nr += (entries[1] & bits) == bits;
	check(nr == expect, "leaves have the wrong bits");
}

/* The state that most cases start from: tables full of writable leaves. */
static void fill(void)
{
	zap_leaves();
	refill();
	map_4k();
	check_leaves(PAGES, 0);
	check_bits(fmt.write | fmt.dirty | fmt.accessed, PAGES);
}

static void get_root(void)
{
	refill();
	root = pgt_root_get(&mmu, &fmt, 4, 0, 0, &cache);
	check(!IS_ERR(root), "no root");
	refill();
}

static void run_faults(void)
{
	measure("map-table", map_table, TABLES, NO_LIMIT);
	check_leaves(TABLES, 0);
	zap_leaves();
	measure("map-4k", map_4k, PAGES, MAP_LIMIT);
	check_leaves(PAGES, 0);
	check_bits(fmt.write, PAGES);
	measure("map-spurious", map_spurious, PAGES, NO_LIMIT);
	zap_leaves();
	measure("map-run", map_run, PAGES, NO_LIMIT);
	check_leaves(PAGES, 0);

	fill();
	wrprot();
	measure("fix-write", fix_write, PAGES, NO_LIMIT);
	check_bits(fmt.write, PAGES);
	wrprot();
	bench_logged = 0;
	measure("fix-write-log", fix_write_log, PAGES, NO_LIMIT);
	check(bench_logged == PAGES, "not logged");
	measure("fix-spurious", fix_spurious, PAGES, NO_LIMIT);
	if (!fmt.accessed) {
		age();
		measure("fix-track", fix_track, PAGES, NO_LIMIT);
		check_bits(fmt.read, PAGES);
	}
	measure("lookup", lookup, PAGES, NO_LIMIT);
	measure("root-get-put", root_get, PAGES, NO_LIMIT);

	zap_leaves();
	measure("map-mmio", map_mmio, PAGES, NO_LIMIT);
	measure("lookup-mmio", lookup_mmio, PAGES, NO_LIMIT);
	zap_tables();
	rcu_barrier();
}

static void run_ranges(void)
{
	fill();
	bench_flushes = 0;
	measure("wrprot", wrprot, PAGES, LEAF_LIMIT);
	check_bits(fmt.write, 0);
	fill();
	measure("clear-dirty", clear_dirty, PAGES, LEAF_LIMIT);
	check_bits(fmt.dirty ?: fmt.write, 0);
	fill();
	measure("clear-dirty-mask", clear_dirty_mask, PAGES, LEAF_LIMIT);
	check_bits(fmt.dirty ?: fmt.write, 0);
	fill();
	measure("age", age, PAGES, LEAF_LIMIT);
	check_bits(fmt.accessed ?: fmt.read, 0);
	measure("test-age", test_age, PAGES, LEAF_LIMIT);
	fill();
	measure("zap-leaves", zap_leaves, PAGES, LEAF_LIMIT);
	check_leaves(0, 0);
	check(bench_flushes, "not flushed");
	fill();
	measure("zap-tables", zap_tables, PAGES, LEAF_LIMIT);
	check_leaves(0, 0);
	fill();
	pgt_roots_invalidate(&mmu, PGT_ANY_SPACE);
	measure("roots-empty", roots_empty, PAGES, NO_LIMIT);
	check_leaves(0, 0);
	pgt_root_put(root);
	rcu_barrier();
	check(!atomic_long_read(mmu.counters.tables) && !bench_tables, "tables left");
	get_root();
}

static void run_resizes(void)
{
	map_2m();
	zap_leaves();
	refill();
	measure("map-2m", map_2m, TABLES, NO_LIMIT);
	check_leaves(0, TABLES);
	measure("split", split, PAGES, NO_LIMIT);
	check_leaves(PAGES, 0);
	measure("collapse", collapse, PAGES, NO_LIMIT);
	check_leaves(0, TABLES);
}

static void run_config(void)
{
	static struct host_counters own;
	struct pgt_counters counters = host_counters(&own);

	rwlock_init(&lock);
	if (config->init(&fmt, &config->host))
		host_fail("bench", "%s: no such format", config->name);
	pgt_mmu_init(&mmu, &lock, ~0ULL, fmt.nonpresent, &counters);
	pgt_cache_init(&cache, &mmu);
	get_root();

	run_faults();
	run_ranges();
	run_resizes();

	pgt_root_put(root);
	pgt_cache_drain(&cache);
	pgt_mmu_destroy(&mmu);
	check(!mem_tables_in_use() && !mem_objects_in_use(), "memory is left");
}

int main(void)
{
	host_run.program = "bench";
	mem_init();
	for (config = configs; config < configs + ARRAY_SIZE(configs); config++)
		run_config();
	return 0;
}
