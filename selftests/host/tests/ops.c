// SPDX-License-Identifier: GPL-2.0
/*
 * The operations, one at a time: what each promises, and where it ends.  What
 * they do to each other at random is in tests/model.c, at the same time in
 * tests/race.c.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "pgt/env.h"
#include "sim/explore.h"
#include "test.h"
#include "vm.h"

static struct pgt_batch batch;

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

static struct pgt_root *root(void)
{
	return vm.vcpu[0].root;
}

static void create(const struct vm_config *config, u64 nr_gfns, int folio)
{
	vm_create(config, VM_CPUS, nr_gfns, folio);
	for (int i = 0; i < VM_CPUS; i++)
		vm_load(&vm.vcpu[i]);
}

static void destroy(void)
{
	vm_validate();
	vm_destroy();
}

static u64 entry(u64 gfn, int *level)
{
	u64 entries[PGT_MAX_LEVEL + 1];

	rcu_read_lock();
	*level = pgt_lookup(root(), gfn, entries);
	rcu_read_unlock();
	return entries[*level];
}

static bool leaf_at(u64 gfn, int level)
{
	int found;
	u64 e = entry(gfn, &found);

	return found == level && pgt_is_leaf(e, level);
}

static long pages(int level)
{
	return atomic_long_read(vm.mmu.counters.leaves[level]);
}

static long tables(void)
{
	return atomic_long_read(vm.mmu.counters.tables);
}

/* Each on every kind of table. */
#define OPS_TEST(name)							\
	static void ops_##name(const struct vm_config *config);		\
	HOST_TEST(ops, name)						\
	{								\
		for (unsigned int c = 0; c < vm_nr_configs; c++)	\
			ops_##name(&vm_configs[c]);			\
	}								\
	static void ops_##name(const struct vm_config *config)

OPS_TEST(map_levels)
{
	create(config, 2048, 2);
	HOST_EQ(vm_map(&vm.vcpu[0], 5, 1, vm.access, PGT_W), PGT_DONE);
	HOST_CHECK(leaf_at(5, 1));
	HOST_EQ(pages(1), 1);
	HOST_EQ(tables(), config->levels);
	/* Over the table with the small leaf: it goes, after one flush. */
	vm.flushes = 0;
	HOST_EQ(vm_map(&vm.vcpu[0], 6, 2, vm.access, PGT_W), PGT_DONE);
	HOST_CHECK(leaf_at(5, 2));
	HOST_EQ(pages(1), 0);
	HOST_EQ(pages(2), 1);
	HOST_EQ(tables(), config->levels - 1);
	HOST_EQ(vm.flushes, 1);
	/* Nothing is missing, so nothing happens. */
	HOST_EQ(vm_map(&vm.vcpu[0], 7, 1, vm.access, PGT_R), PGT_SPURIOUS);
	HOST_CHECK(leaf_at(5, 2));
	destroy();
}

OPS_TEST(map_refused)
{
	struct pgt_map map = {
		.gfn = 512, .pfn = DATA_PFN_BASE + 512, .level = 2,
		.req_level = 2, .access = PGT_R | PGT_W, .want = PGT_R,
	};
	struct pgt_cache *cache;

	create(config, 2048, 2);
	cache = &vm.vcpu[0].cache;
	HOST_EQ(pgt_cache_fill(cache, 6, false), 0);
	begin(PGT_SHARED);
#define REFUSED(change, error) do {					\
	struct pgt_map bad = map;					\
									\
	bad.change;							\
	HOST_EQ(pgt_map(&batch, root(), &bad, cache), error);		\
} while (0)
	REFUSED(level = 0, -EINVAL);
	REFUSED(level = vm.fmt.max_leaf_level + 1, -EINVAL);
	REFUSED(gfn = 513, -EINVAL);
	REFUSED(pfn = BIT_ULL(45), -EINVAL);
	REFUSED(want = PGT_X, -EINVAL);
	REFUSED(log = true, -EINVAL);
	map.level = 1;
	REFUSED(gfn = root()->end, -ERANGE);
	REFUSED(gfn = ~0ULL, -ERANGE);
	HOST_EQ(pgt_map_run(&batch, root(), &(struct pgt_map){ .level = 0 },
			    NULL, 0, cache), -EINVAL);
	map.level = 2;
	map.access |= PGT_X;
	map.nx_huge = true;
	REFUSED(want = PGT_X, -EINVAL);
	map.nx_huge = false;
	HOST_EQ(pgt_map(&batch, root(), &map, cache), PGT_DONE);
	REFUSED(pfn = DATA_PFN_BASE + 1024, -EEXIST);
#undef REFUSED
	end();
	destroy();
}

OPS_TEST(map_clips)
{
	struct pgt_map map = { .gfn = 99, .pfn = 99, .level = 1,
			       .access = PGT_R };

	create(config, 512, 1);
	vm_write(0, 98);
	vm_write(0, 200);
	vm.mmu.max_gfn = 99;
	begin(PGT_SHARED);
	HOST_EQ(pgt_map(&batch, root(), &map, &vm.vcpu[0].cache), -ERANGE);
	end();
	/* A range beyond the end is clipped, not refused. */
	begin(PGT_EXCLUSIVE);
	{
		struct pgt_range range = { 90, ~0ULL };

		pgt_zap_leaves(&batch, root(), &range);
		HOST_EQ(range.start, ~0ULL);
	}
	end();
	vm.mmu.max_gfn = ~0ULL;
	HOST_CHECK(!leaf_at(98, 1));
	HOST_CHECK(leaf_at(200, 1));
	destroy();
}

OPS_TEST(map_splits)
{
	create(config, 2048, 2);
	vm_write(0, 1024);
	HOST_CHECK(leaf_at(1024, 2));
	vm_wrprot(1024, 1025, false, PGT_SHARED);
	vm.log_on = true;
	vm.flushes = 0;
	/* Logging wants 4K; the rest of the leaf stays as it was. */
	vm_write(0, 1027);
	HOST_CHECK(leaf_at(1027, 1));
	HOST_CHECK(vm.frame[1027].log);
	HOST_CHECK(!vm.frame[1026].log);
	HOST_EQ(pages(1), 512);
	HOST_EQ(pages(2), 0);
	HOST_EQ(vm.flushes, 0);
	destroy();
}

OPS_TEST(nx_huge)
{
	int level;
	u64 e;

	/* Without a no-execute bit there is no mitigation. */
	if (config->mode.format != CPU_EPT && !config->host.nx)
		return;
	create(config, 2048, 2);
	vm.nx_huge = true;
	vm_write(0, 600);
	e = entry(600, &level);
	HOST_EQ(level, 2);
	HOST_CHECK(!pgt_allows(&vm.fmt, e, PGT_X));
	vm_access(&vm.vcpu[0], 601, CPU_EXEC);
	HOST_CHECK(leaf_at(601, 1));
	HOST_CHECK(pgt_allows(&vm.fmt, entry(601, &level), PGT_X));
	/* The table is there for the mitigation, and is not mapped over. */
	HOST_EQ(vm_map(&vm.vcpu[1], 600, 2, vm.access, PGT_W), PGT_SPURIOUS);
	HOST_CHECK(leaf_at(600, 1));
	vm_collapse(0, 2048, PGT_SHARED);
	HOST_CHECK(leaf_at(600, 1));
	vm.flushes = 0;
	HOST_EQ(vm_zap_nx(PGT_SHARED), 1);
	HOST_EQ(vm.flushes, 1);
	HOST_EQ(pages(1), 0);
	vm_write(0, 600);
	HOST_CHECK(leaf_at(600, 2));
	destroy();
}

/* A table that is in the way of what nobody has asked for stays. */
OPS_TEST(prefetch_below_table)
{
	struct pgt_map map = { .gfn = 7, .level = 2, .prefetch = true,
			       .access = PGT_R | PGT_U };

	create(config, 2048, 1);
	vm_write(0, 5);
	map.pfn = vm_pfn(7);
	begin(PGT_SHARED);
	HOST_EQ(pgt_map(&batch, root(), &map, &vm.vcpu[0].cache), PGT_DONE);
	end();
	HOST_EQ(map.level, 1);
	HOST_CHECK(leaf_at(7, 1));
	HOST_CHECK(leaf_at(5, 1));
	destroy();
}

OPS_TEST(run)
{
	struct pgt_map map = { .gfn = 500, .level = 1, .prefetch = true,
			       .access = PGT_R | PGT_U };
	u64 pfns[20];
	int level;

	create(config, 2048, 1);
	vm_write(0, 503);
	for (int i = 0; i < 20; i++)
		pfns[i] = vm_pfn(500 + i);
	pfns[5] = PGT_NO_PFN;
	begin(PGT_SHARED);
	/* 12 up to the edge, less the one mapped and the one left out. */
	HOST_EQ(pgt_map_run(&batch, root(), &map, pfns, 20,
			    &vm.vcpu[0].cache), 10);
	end();
	HOST_CHECK(leaf_at(511, 1));
	HOST_CHECK(!leaf_at(505, 1));
	HOST_CHECK(!leaf_at(512, 1));
	HOST_CHECK(!pgt_is_accessed(&vm.fmt, entry(511, &level)));
	HOST_CHECK(pgt_allows(&vm.fmt, entry(503, &level), PGT_W));
	begin(PGT_SHARED);
	map.gfn = root()->end;
	HOST_EQ(pgt_map_run(&batch, root(), &map, pfns, 4,
			    &vm.vcpu[0].cache), -ERANGE);
	map.gfn = ~0ULL - 2;
	HOST_EQ(pgt_map_run(&batch, root(), &map, pfns, 4,
			    &vm.vcpu[0].cache), -ERANGE);
	map.gfn = 513;
	map.level = 2;
	HOST_EQ(pgt_map_run(&batch, root(), &map, pfns, 4,
			    &vm.vcpu[0].cache), -EINVAL);
	end();
	destroy();
}

OPS_TEST(fix)
{
	create(config, 512, 1);
	rcu_read_lock();
	HOST_EQ(pgt_fix(root(), 3, PGT_R, false), -ENOENT);
	HOST_EQ(pgt_fix(root(), ~0ULL >> 12, PGT_R, false), -ENOENT);
	rcu_read_unlock();
	vm_write(0, 3);
	vm_wrprot(3, 4, false, PGT_SHARED);
	rcu_read_lock();
	HOST_EQ(pgt_fix(root(), 3, PGT_R, false), PGT_SPURIOUS);
	HOST_EQ(pgt_fix(root(), 3, PGT_W, true), PGT_DONE);
	rcu_read_unlock();
	HOST_CHECK(vm.frame[3].log);
	vm_wrprot(3, 4, true, PGT_EXCLUSIVE);
	rcu_read_lock();
	HOST_EQ(pgt_fix(root(), 3, PGT_W, false), -EACCES);
	rcu_read_unlock();
	vm.frame[4].readonly = true;
	vm_read(0, 4);
	rcu_read_lock();
	HOST_EQ(pgt_fix(root(), 4, PGT_W, false), -EACCES);
	rcu_read_unlock();
	destroy();
}

OPS_TEST(fix_huge_is_not_logged)
{
	create(config, 2048, 2);
	vm_write(0, 700);
	vm_wrprot(512, 1024, false, PGT_SHARED);
	rcu_read_lock();
	HOST_EQ(pgt_fix(root(), 700, PGT_W, true), -EACCES);
	HOST_EQ(pgt_fix(root(), 700, PGT_W, false), PGT_DONE);
	rcu_read_unlock();
	destroy();
}

static void fix_without_rcu(void *arg)
{
	create(VM_EPT, 512, 1);
	pgt_fix(root(), 3, PGT_R, false);
}

/* What wants an RCU section says so where there is none. */
HOST_TEST(ops, rcu_is_wanted)
{
	host_must_fail("warn", fix_without_rcu, NULL);
}

/* As a caller does who lets go of RCU in between; counts the calls. */
static bool age_all(u64 start, u64 end, bool test, unsigned int *calls)
{
	struct pgt_range range = { start, end };
	bool young = false;

	for (*calls = 0; range.start < range.end; ++*calls) {
		rcu_read_lock();
		young |= test ? pgt_test_age(root(), &range) :
				pgt_age(root(), &range);
		rcu_read_unlock();
	}
	return young;
}

OPS_TEST(age)
{
	unsigned int calls;

	create(config, 512, 1);
	vm_write(0, 3);
	HOST_CHECK(age_all(0, 512, true, &calls));
	HOST_CHECK(age_all(0, 512, false, &calls));
	HOST_EQ(calls, 1);
	HOST_CHECK(!age_all(0, 512, true, &calls));
	HOST_CHECK(!age_all(0, 512, false, &calls));
	cpu_flush_all(&vm.vcpu[0].cpu);
	/* Young again, and the write permission survives. */
	vm_read(0, 3);
	HOST_CHECK(age_all(0, 512, true, &calls));
	vm_write(0, 3);
	destroy();
}

/* No call looks at more than so much, and the last page is reached. */
OPS_TEST(age_in_steps)
{
	u64 end = 20 * 512;
	unsigned int calls;

	create(config, end, 1);
	for (u64 gfn = 0; gfn < end; gfn += 512)
		vm_read(0, gfn + 511);
	HOST_CHECK(age_all(0, end, false, &calls));
	HOST_CHECK(calls > 2);
	HOST_CHECK(!age_all(0, end, true, &calls));
	HOST_CHECK(calls > 2);
	cpu_flush_all(&vm.vcpu[0].cpu);
	vm_read(0, end - 1);
	HOST_CHECK(age_all(0, end, true, &calls));
	HOST_CHECK(age_all(0, end, false, &calls));
	HOST_CHECK(!age_all(0, end, true, &calls));
	destroy();
}

/* In all roots, however many calls each of them takes, but no other space's. */
OPS_TEST(age_roots)
{
	u64 end = 20 * 512, last;
	struct pgt_range all = { 0, end };
	struct pgt_root *seen, *other;

	create(config, end, 1);
	for (u32 role = 0; role < 3; role++) {
		vm.role = role;
		vm_unload(&vm.vcpu[role]);
		vm_load(&vm.vcpu[role]);
		for (u64 gfn = 0; gfn < end; gfn += 512)
			vm_read(role, gfn + 511);
	}
	HOST_CHECK(!pgt_age_roots(&vm.mmu, 1, &all, true));
	HOST_CHECK(pgt_age_roots(&vm.mmu, 0, &all, true));
	HOST_CHECK(pgt_age_roots(&vm.mmu, 0, &all, false));
	for (unsigned int i = 0; i < 3; i++) {
		struct pgt_range range = all;

		rcu_read_lock();
		while (range.start < range.end)
			HOST_CHECK(!pgt_test_age(vm.vcpu[i].root, &range));
		rcu_read_unlock();
	}
	/* The last page of the last root. */
	cpu_flush_all(&vm.vcpu[2].cpu);
	vm_read(2, end - 1);
	HOST_CHECK(pgt_age_roots(&vm.mmu, 0, &all, true));
	HOST_CHECK(pgt_age_roots(&vm.mmu, 0, &all, false));
	HOST_CHECK(!pgt_age_roots(&vm.mmu, 0, &all, false));
	all.end = 0;
	HOST_CHECK(!pgt_age_roots(&vm.mmu, 0, &all, false));

	/* A place in the list outlasts the root. */
	last = vm.vcpu[1].root->nr;
	rcu_read_lock();
	seen = pgt_root_seek(&vm.mmu, 0, 0, PGT_VALID_ROOTS);
	HOST_CHECK(seen == vm.vcpu[0].root);
	seen = pgt_root_seek(&vm.mmu, seen->nr + 1, 0, PGT_VALID_ROOTS);
	HOST_CHECK(seen == vm.vcpu[1].root);
	HOST_CHECK(!pgt_root_seek(&vm.mmu, 0, 1, PGT_ALL_ROOTS));
	HOST_CHECK(!pgt_root_seek(&vm.mmu, 0, 0, PGT_INVALID_ROOTS));
	rcu_read_unlock();
	vm_zap_all_fast(PGT_EXCLUSIVE);
	vm_unload(&vm.vcpu[1]);
	vm_load(&vm.vcpu[1]);
	rcu_read_lock();
	other = pgt_root_seek(&vm.mmu, last, 0, PGT_VALID_ROOTS);
	HOST_CHECK(other == vm.vcpu[1].root && other->nr > last + 1);
	rcu_read_unlock();
	destroy();
}

/* What aging leaves in TLBs is counted as there. */
OPS_TEST(age_then_wrprot)
{
	create(config, 512, 1);
	vm_write(0, 3);
	vm_age(0, 512);
	vm_log_start(0, vm.nr_gfns);
	vm_write(0, 3);
	HOST_CHECK(vm.frame[3].log);
	destroy();
}

OPS_TEST(wrprot)
{
	int level;

	create(config, 2048, 2);
	vm_write(0, 5);
	HOST_EQ(vm_map(&vm.vcpu[0], 600, 1, vm.access, PGT_W), PGT_DONE);
	begin(PGT_SHARED);
	{
		struct pgt_range range = { 0, 2048 };

		/* Huge leaves only. */
		pgt_wrprot(&batch, root(), &range, 2, false);
	}
	vm.flushes = 0;
	end();
	HOST_EQ(vm.flushes, 1);
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(5, &level), PGT_W));
	HOST_CHECK(pgt_allows(&vm.fmt, entry(600, &level), PGT_W));
	/* Protected already: a TLB may have it writable for all we know. */
	vm.flushes = 0;
	vm_wrprot(5, 6, false, PGT_SHARED);
	HOST_EQ(vm.flushes, 1);
	/* And after somebody is told to watch, none can. */
	vm_wrprot(5, 6, true, PGT_EXCLUSIVE);
	vm.flushes = 0;
	vm_wrprot(5, 6, true, PGT_EXCLUSIVE);
	HOST_EQ(vm.flushes, 0);
	destroy();
}

OPS_TEST(dirty_mask)
{
	int level;

	create(config, 2048, 1);
	for (u64 gfn = 480; gfn < 544; gfn++)
		vm_write(0, gfn);
	vm_log_start(0, vm.nr_gfns);
	for (u64 gfn = 480; gfn < 544; gfn++)
		vm_write(0, gfn);
	/* Bits 31 and 32 are two tables. */
	vm_harvest(480, BIT_ULL(0) | BIT_ULL(31) | BIT_ULL(32) | BIT_ULL(63));
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(480, &level), PGT_W));
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(511, &level), PGT_W));
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(512, &level), PGT_W));
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(543, &level), PGT_W));
	HOST_CHECK(pgt_allows(&vm.fmt, entry(481, &level), PGT_W));
	HOST_CHECK(pgt_allows(&vm.fmt, entry(542, &level), PGT_W));
	for (u64 gfn = 480; gfn < 544; gfn++)
		vm_write(1, gfn);
	destroy();
}

/* Page-modification logging: writes are found by their dirty bits. */
OPS_TEST(pml)
{
	if (config->mode.format != CPU_EPT || !config->mode.ad)
		return;
	create(config, 512, 1);
	for (int i = 0; i < VM_CPUS; i++)
		vm.vcpu[i].cpu.pml = true;
	vm.pml = true;
	for (u64 gfn = 0; gfn < 8; gfn++)
		vm_write(0, gfn);
	vm_log_start(0, vm.nr_gfns);
	for (int round = 0; round < 3; round++) {
		vm.flushes = 0;
		for (u64 gfn = 0; gfn < 8; gfn++)
			vm_write(gfn % VM_CPUS, gfn);
		vm_check_log();
		vm_harvest(0, 0xff);
		HOST_EQ(vm.flushes, 1);
	}
	destroy();
}

OPS_TEST(zap)
{
	create(config, 4096, 2);
	for (u64 gfn = 0; gfn < 4096; gfn += 512)
		vm_write(0, gfn);
	for (int i = 0; i < VM_CPUS; i++)
		vm_read(i, 2050);
	HOST_EQ(pages(2), 8);
	vm.flushes = 0;
	/* One page of it takes the leaf, and all its cached copies. */
	vm_unmap(2050, 2051, 1, false, false);
	HOST_EQ(pages(2), 7);
	HOST_EQ(vm.flushes, 1);
	HOST_CHECK(!leaf_at(2048, 2));
	HOST_CHECK(leaf_at(1536, 2));
	HOST_CHECK(leaf_at(2560, 2));
	vm.flushes = 0;
	vm_unmap(2050, 2051, 1, false, false);
	HOST_EQ(vm.flushes, 0);
	destroy();
}

OPS_TEST(zap_tables)
{
	long before;

	create(config, 4096, 1);
	before = tables();
	for (u64 gfn = 0; gfn < 4096; gfn += 256)
		vm_write(0, gfn);
	begin(PGT_EXCLUSIVE);
	{
		/* Two tables whole, and parts of the ones beside them. */
		struct pgt_range range = { 300, 1700 };

		pgt_zap_tables(&batch, root(), &range);
	}
	vm.flushes = 0;
	end();
	HOST_EQ(vm.flushes, 1);
	/* Of the 16 leaves those at 512 to 1536 are gone. */
	HOST_EQ(pages(1), 11);
	HOST_CHECK(leaf_at(256, 1));
	HOST_CHECK(leaf_at(1792, 1));
	HOST_CHECK(!leaf_at(1536, 1));
	begin(PGT_EXCLUSIVE);
	{
		struct pgt_range range = { 0, ~0ULL };

		pgt_zap_tables(&batch, root(), &range);
	}
	end();
	HOST_EQ(pages(1), 0);
	HOST_EQ(tables(), before);
	destroy();
}

OPS_TEST(split_and_collapse)
{
	u64 nr = config->mode.format == CPU_PAE ? 2048 : 0x40000;
	int top = config->mode.format == CPU_PAE ? 2 : 3;
	int level;
	u64 e;

	create(config, nr, top);
	vm_read(0, 7);
	HOST_CHECK(leaf_at(7, top));
	vm_write(0, 8);
	e = entry(8, &level);
	vm.flushes = 0;
	HOST_EQ(vm_split(5, 6, 1, PGT_SHARED), 0);
	HOST_EQ(vm.flushes, 0);
	HOST_CHECK(leaf_at(8, 1));
	HOST_EQ(pgt_rights(&vm.fmt, e),
		pgt_rights(&vm.fmt, entry(511, &level)));
	HOST_EQ(pgt_is_dirty(&vm.fmt, e),
		pgt_is_dirty(&vm.fmt, entry(511, &level)));
	if (top == 3) {
		HOST_CHECK(leaf_at(0x3ffff, 2));
		HOST_EQ(pages(2), 511);
	}
	vm_wrprot(0, 1, false, PGT_SHARED);
	vm.flushes = 0;
	vm_collapse(0, nr, PGT_SHARED);
	HOST_EQ(vm.flushes, 1);
	HOST_CHECK(leaf_at(7, top));
	HOST_EQ(pages(1), 0);
	/* Not all were writable; the next write makes it so. */
	HOST_CHECK(!pgt_allows(&vm.fmt, entry(7, &level), PGT_W));
	vm_write(0, 9);
	HOST_CHECK(leaf_at(9, top));
	destroy();
}

OPS_TEST(collapse_refused)
{
	create(config, 2048, 2);
	/* Other pages in the middle: not one folio, and not in line. */
	HOST_EQ(vm_map(&vm.vcpu[0], 5, 1, vm.access, PGT_W), PGT_DONE);
	vm_unmap(7, 8, 1, false, false);
	vm_write(0, 7);
	vm_collapse(0, 2048, PGT_SHARED);
	HOST_CHECK(leaf_at(5, 1));
	/* Half a table. */
	HOST_EQ(vm_map(&vm.vcpu[0], 1024, 1, vm.access, PGT_W), PGT_DONE);
	vm_collapse(1024, 1535, PGT_SHARED);
	HOST_CHECK(leaf_at(1024, 1));
	/* A page that is mapped in another way. */
	HOST_EQ(vm_map(&vm.vcpu[0], 1025, 1, PGT_R | PGT_U, PGT_R), PGT_DONE);
	vm_collapse(1024, 1536, PGT_SHARED);
	HOST_CHECK(leaf_at(1024, 1));
	destroy();
}

OPS_TEST(mmio)
{
	struct cpu_outcome outcome;
	struct pgt_cache *cache;
	u64 access;
	u64 gen = 0x3ffff;

	create(config, 512, 1);
	cache = &vm.vcpu[0].cache;
	begin(PGT_SHARED);
	HOST_EQ(pgt_map_mmio(&batch, root(), 9, gen | PGT_GEN_IN_PROGRESS, 2,
			     cache), -EBUSY);
	HOST_EQ(pgt_map_mmio(&batch, root(), 9, gen, 2, cache), PGT_DONE);
	HOST_EQ(pgt_map_mmio(&batch, root(), 9, gen, 2, cache), PGT_SPURIOUS);
	HOST_EQ(pgt_map_mmio(&batch, root(), BIT_ULL(40), gen, 2, cache),
		-EOPNOTSUPP);
	rcu_read_lock();
	HOST_EQ(pgt_lookup_mmio(root(), 9, gen, &access), 0);
	HOST_EQ(access, 2 & vm.fmt.mmio_access);
	HOST_EQ(pgt_lookup_mmio(root(), 9, gen | PGT_GEN_IN_PROGRESS, &access),
		-ESTALE);
	/* The generation rolls over after 18 bits. */
	HOST_EQ(pgt_lookup_mmio(root(), 9, gen + 1, &access), -ESTALE);
	HOST_EQ(pgt_lookup_mmio(root(), 9, gen + BIT_ULL(18), &access), 0);
	HOST_EQ(pgt_lookup_mmio(root(), 10, gen, &access), -ENOENT);
	rcu_read_unlock();
	/* The CPU reports it in the way of its format. */
	HOST_EQ(cpu_access(&vm.vcpu[0].cpu, 9, CPU_READ, &outcome),
		config->mode.ve ? CPU_VE : CPU_MISCONFIG);
	HOST_EQ(pgt_map_mmio(&batch, root(), 10, 5, 0, cache), PGT_DONE);
	{
		struct pgt_range range = { 0, 512 };

		pgt_expire_mmio(&batch, root(), &range, 5);
	}
	rcu_read_lock();
	HOST_EQ(pgt_lookup_mmio(root(), 9, gen, &access), -ENOENT);
	HOST_EQ(pgt_lookup_mmio(root(), 10, 5, &access), 0);
	rcu_read_unlock();
	/* The generation has come round: the same one is another one. */
	{
		struct pgt_range range = { 0, 512 };

		pgt_expire_mmio(&batch, root(), &range,
				5 | PGT_GEN_IN_PROGRESS);
	}
	rcu_read_lock();
	HOST_EQ(pgt_lookup_mmio(root(), 10, 5, &access), -ENOENT);
	rcu_read_unlock();
	HOST_EQ(pgt_map_mmio(&batch, root(), 10, 5, 0, cache), PGT_DONE);
	vm.flushes = 0;
	end();
	HOST_EQ(vm.flushes, 0);
	/* Memory comes to the place. */
	vm_write(0, 10);
	begin(PGT_SHARED);
	HOST_EQ(pgt_map_mmio(&batch, root(), 10, 5, 0, cache), -EEXIST);
	end();
	destroy();
}

OPS_TEST(dump)
{
	struct pgt_dump_entry out[8];
	struct pgt_range range = { 0, 4096 };
	unsigned int leaves = 0, calls = 0, nr;

	create(config, 4096, 1);
	for (u64 gfn = 100; gfn < 4096; gfn += 300)
		vm_write(0, gfn);
	rcu_read_lock();
	while (range.start < range.end) {
		nr = pgt_dump(root(), &range, out, 8);
		calls++;
		HOST_CHECK(nr <= 8);
		for (unsigned int i = 0; i < nr; i++) {
			if (!pgt_is_leaf(out[i].entry, out[i].level))
				continue;
			HOST_EQ(out[i].gfn, 100 + 300 * leaves);
			leaves++;
		}
	}
	rcu_read_unlock();
	HOST_EQ(leaves, 14);
	HOST_CHECK(calls > 2);
	destroy();
}

/* An open batch, and those who come upon it. */
OPS_TEST(open_batch)
{
	struct pgt_batch other;
	struct pgt_open open;
	struct pgt_range range = { 10, 20 };
	struct pgt_cache cache;
	struct pgt_map map = { .gfn = 12, .pfn = DATA_PFN_BASE + 12,
			       .level = 1, .access = PGT_R };

	create(config, 512, 1);
	pgt_cache_init(&cache, &vm.mmu);
	HOST_EQ(pgt_cache_fill(&cache, 4, false), 0);
	for (u64 gfn = 8; gfn < 24; gfn++)
		vm_write(0, gfn);
	write_lock(&vm.lock);
	pgt_batch_begin(&other, &vm.mmu, PGT_EXCLUSIVE, true);
	pgt_batch_open(&other, &open, 10, 20);
	vm.flushes = 0;
	pgt_zap_leaves(&other, root(), &range);
	HOST_EQ(vm.flushes, 0);
	write_unlock(&vm.lock);

	/* Faults in its range wait, others do not. */
	begin(PGT_SHARED);
	HOST_EQ(pgt_map(&batch, root(), &map, &cache), -EAGAIN);
	map.gfn = 30;
	map.pfn = DATA_PFN_BASE + 30;
	HOST_EQ(pgt_map(&batch, root(), &map, &cache), PGT_DONE);
	/* Nothing to protect, but a TLB may have it. */
	range.start = 12;
	range.end = 13;
	pgt_wrprot(&batch, root(), &range, 1, false);
	HOST_CHECK(pgt_batch_defer(&batch));
	read_unlock(&vm.lock);
	begin(PGT_EXCLUSIVE);
	range.start = 19;
	range.end = 25;
	pgt_zap_leaves(&batch, root(), &range);
	HOST_EQ(vm.flushes, 0);
	end();
	HOST_EQ(vm.flushes, 1);
	begin(PGT_EXCLUSIVE);
	range.start = 20;
	range.end = 25;
	pgt_zap_leaves(&batch, root(), &range);
	end();
	HOST_EQ(vm.flushes, 1);

	write_lock(&vm.lock);
	pgt_batch_end(&other);
	write_unlock(&vm.lock);
	HOST_EQ(vm.flushes, 2);
	pgt_cache_drain(&cache);
	destroy();
}

OPS_TEST(defer)
{
	create(config, 1024, 2);
	vm_write(0, 5);
	/* Leaves only: the caller's to flush. */
	begin(PGT_EXCLUSIVE);
	{
		struct pgt_range range = { 0, 512 };

		pgt_zap_leaves(&batch, root(), &range);
	}
	vm.flushes = 0;
	HOST_CHECK(pgt_batch_defer(&batch));
	HOST_EQ(vm.flushes, 0);
	pgt_env_flush(&vm.mmu, 0, 512);
	/* Nothing done: nothing owed. */
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	HOST_CHECK(!pgt_batch_defer(&batch));
	write_unlock(&vm.lock);
	/* Tables are never left to somebody else's flush. */
	vm_map(&vm.vcpu[0], 5, 1, vm.access, PGT_R);
	begin(PGT_EXCLUSIVE);
	{
		struct pgt_range range = { 0, 512 };

		pgt_zap_tables(&batch, root(), &range);
	}
	vm.flushes = 0;
	HOST_CHECK(!pgt_batch_defer(&batch));
	HOST_EQ(vm.flushes, 1);
	write_unlock(&vm.lock);
	destroy();
}

OPS_TEST(yield)
{
	create(config, 2048, 1);
	for (u64 gfn = 0; gfn < 2048; gfn += 8)
		vm_write(0, gfn);
	/* A yield at each entry: a flush at each, none if the batch is open. */
	sim_need_resched = true;
	vm.flushes = 0;
	vm_unmap(0, 1024, 1, true, false);
	HOST_CHECK(vm.flushes > 100);
	vm.flushes = 0;
	vm_unmap(1024, 2048, 1, true, true);
	HOST_EQ(vm.flushes, 1);
	vm_write(0, 77);
	vm_zap_all_fast(PGT_SHARED);
	sim_need_resched = false;
	HOST_EQ(pages(1), 0);
	destroy();
}

OPS_TEST(roots)
{
	struct pgt_cache *cache;
	struct pgt_root *a, *b, *other;

	create(config, 512, 1);
	cache = &vm.vcpu[0].cache;
	HOST_EQ(pgt_cache_fill(cache, 4, true), 0);
	read_lock(&vm.lock);
	a = pgt_root_get(&vm.mmu, &vm.fmt, config->levels, 0, 0, cache);
	HOST_CHECK(a == root());
	HOST_CHECK(pgt_root_of(a->table) == a);
	b = pgt_root_get(&vm.mmu, &vm.fmt, config->levels, 1, 0, cache);
	HOST_CHECK(!IS_ERR(b) && b != a);
	HOST_CHECK(pgt_root_of(b->table) == b);
	HOST_EQ(PTR_ERR(pgt_root_get(&vm.mmu, &vm.fmt, config->levels, 0, 9,
				     cache)), -ENOMEM);
	HOST_EQ(PTR_ERR(pgt_root_get(&vm.mmu, &vm.fmt, 2, 0, 9, cache)),
		-EINVAL);
	HOST_EQ(PTR_ERR(pgt_root_get(&vm.mmu, &vm.fmt, 6, 0, 9, cache)),
		-EINVAL);
	read_unlock(&vm.lock);

	write_lock(&vm.lock);
	pgt_roots_invalidate(&vm.mmu, 1);
	write_unlock(&vm.lock);
	/* The other address space is as it was. */
	HOST_EQ(a->state, PGT_ROOT_VALID);
	HOST_EQ(b->state, PGT_ROOT_INVALID);
	HOST_EQ(pgt_cache_fill(cache, 4, true), 0);
	read_lock(&vm.lock);
	other = pgt_root_get(&vm.mmu, &vm.fmt, config->levels, 1, 0, cache);
	HOST_CHECK(other != b);
	pgt_roots_empty(&vm.mmu, PGT_SHARED, true);
	read_unlock(&vm.lock);
	HOST_EQ(b->state, PGT_ROOT_EMPTIED);
	pgt_root_put(b);
	pgt_root_put(other);
	pgt_root_put(a);
	destroy();
}

/* While it is emptied, an invalidated root is still there for unmapping. */
OPS_TEST(invalidated)
{
	struct pgt_root *old;
	struct pgt_map map = { .gfn = 3, .pfn = DATA_PFN_BASE + 3, .level = 1,
			       .access = PGT_R };

	create(config, 512, 1);
	vm_write(0, 3);
	vm_write(1, 3);
	old = root();
	write_lock(&vm.lock);
	pgt_roots_invalidate(&vm.mmu, PGT_ANY_SPACE);
	write_unlock(&vm.lock);
	HOST_EQ(vm.obsoletes, 1);
	begin(PGT_SHARED);
	HOST_EQ(pgt_map(&batch, old, &map, &vm.vcpu[0].cache), -EAGAIN);
	end();
	HOST_EQ(pages(1), 1);
	vm_unmap(3, 4, 1, false, false);
	HOST_EQ(pages(1), 0);
	vm_write(0, 3);
	HOST_CHECK(root() != old);
	read_lock(&vm.lock);
	pgt_roots_empty(&vm.mmu, PGT_SHARED, true);
	read_unlock(&vm.lock);
	HOST_EQ(pages(1), 1);
	destroy();
}

/* Entries that are somebody else's. */
static void foreign(const struct vm_config *config, u64 gfns,
		    unsigned int expect)
{
	const u64 mark = 0x1122334455667788ULL;
	struct pgt_dump_entry out[16];
	struct pgt_range range = { 0, ~0ULL };
	struct pgt_cache *cache;
	struct pgt_map map = { .gfn = 3, .pfn = DATA_PFN_BASE, .level = 1,
			       .access = PGT_R };
	unsigned int nr;
	u64 *entries;

	create(config, 512, 1);
	cache = &vm.vcpu[0].cache;
	HOST_EQ(pgt_cache_fill(cache, 8, false), 0);
	write_lock(&vm.lock);
	entries = pgt_root_foreign(root(), gfns, &nr, cache);
	HOST_CHECK(!IS_ERR(entries));
	HOST_EQ(nr, expect);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), gfns, &nr, cache)), -EINVAL);
	for (unsigned int i = 0; i < expect; i++)
		entries[i] = mark;
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	HOST_EQ(pgt_map(&batch, root(), &map, cache), -ERANGE);
	map.gfn = gfns;
	map.pfn = DATA_PFN_BASE;
	HOST_EQ(pgt_map(&batch, root(), &map, cache), PGT_DONE);
	range.start = 0;
	pgt_zap_tables(&batch, root(), &range);
	pgt_batch_end(&batch);
	write_unlock(&vm.lock);
	vm_validate();
	HOST_EQ(pages(1), 0);
	rcu_read_lock();
	range.start = 0;
	nr = pgt_dump(root(), &range, out, 16);
	rcu_read_unlock();
	for (unsigned int i = 0; i < nr; i++)
		HOST_CHECK(out[i].entry != mark);
	for (unsigned int i = 0; i < expect; i++)
		HOST_EQ(entries[i], mark);
	destroy();
}

OPS_TEST(foreign)
{
	foreign(config, 0x40000, 1);
	foreign(config, 0x80000, 2);
	foreign(config, 64, 64);
	if (config->levels > 4)
		foreign(config, BIT_ULL(30), 8);
}

HOST_TEST(ops, foreign_refused)
{
	unsigned int nr;

	create(VM_EPT, 512, 2);
	write_lock(&vm.lock);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 0, &nr, &vm.vcpu[0].cache)),
		-EINVAL);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 3, &nr, &vm.vcpu[0].cache)),
		-EINVAL);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), BIT_ULL(36), &nr,
					 &vm.vcpu[0].cache)), -EINVAL);
	write_unlock(&vm.lock);
	vm_write(0, 3);
	write_lock(&vm.lock);
	HOST_EQ(pgt_cache_fill(&vm.vcpu[0].cache, 8, false), 0);
	/* On the way to the entries. */
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 1, &nr, &vm.vcpu[0].cache)),
		-EBUSY);
	write_unlock(&vm.lock);
	destroy();
}

/* What is handed out is empty, or it is not handed out. */
OPS_TEST(foreign_busy)
{
	const u64 mmio_gen = 2;
	struct pgt_cache *cache;
	struct pgt_range range = { 0, 512 };
	unsigned int nr;
	u64 *entries;

	create(config, 512, 1);
	cache = &vm.vcpu[0].cache;
	HOST_EQ(pgt_cache_fill(cache, 8, false), 0);
	vm_write(0, 63);
	begin(PGT_EXCLUSIVE);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 64, &nr, cache)), -EBUSY);
	HOST_EQ(root()->foreign_end, 0);
	/* The leaf goes, its table stays. */
	pgt_zap_leaves(&batch, root(), &range);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 512, &nr, cache)), -EBUSY);
	if (config->host.mmio_mask) {
		HOST_EQ(pgt_map_mmio(&batch, root(), 5, mmio_gen, 0, cache),
			PGT_DONE);
		HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 64, &nr, cache)),
			-EBUSY);
		range.start = 0;
		pgt_expire_mmio(&batch, root(), &range, mmio_gen + 1);
	}
	/* What is above them does not matter. */
	end();
	vm_write(0, 64);
	begin(PGT_EXCLUSIVE);
	entries = pgt_root_foreign(root(), 64, &nr, cache);
	HOST_CHECK(!IS_ERR(entries));
	HOST_EQ(nr, 64);
	end();
	HOST_CHECK(leaf_at(64, 1));
	destroy();
}

/* A table that NX recovery takes must not lead to what is foreign. */
HOST_TEST(ops, foreign_busy_nx)
{
	struct pgt_range range = { 0, 512 };
	struct pgt_cache *cache;
	unsigned int nr;

	create(VM_EPT, 2048, 2);
	cache = &vm.vcpu[0].cache;
	vm.nx_huge = true;
	vm_access(&vm.vcpu[0], 100, CPU_EXEC);
	HOST_EQ(pgt_cache_fill(cache, 8, false), 0);
	begin(PGT_EXCLUSIVE);
	pgt_zap_leaves(&batch, root(), &range);
	HOST_EQ(PTR_ERR(pgt_root_foreign(root(), 64, &nr, cache)), -EBUSY);
	end();
	HOST_EQ(vm_zap_nx(PGT_SHARED), 1);
	begin(PGT_EXCLUSIVE);
	HOST_CHECK(!IS_ERR(pgt_root_foreign(root(), 64, &nr, cache)));
	end();
	destroy();
}

/* Roots of three levels, where the format has no PAE in it. */
HOST_TEST(ops, three_levels)
{
	struct pgt_map map = { .gfn = BIT_ULL(27) - 1, .pfn = DATA_PFN_BASE,
			       .level = 1, .access = PGT_R };
	struct pgt_root *three;
	struct pgt_cache *cache;
	u64 entries[PGT_MAX_LEVEL + 1];

	create(VM_EPT, 512, 1);
	cache = &vm.vcpu[0].cache;
	HOST_EQ(pgt_cache_fill(cache, 8, true), 0);
	read_lock(&vm.lock);
	three = pgt_root_get(&vm.mmu, &vm.fmt, 3, 0, 3, cache);
	HOST_CHECK(!IS_ERR(three));
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	HOST_EQ(pgt_map(&batch, three, &map, cache), PGT_DONE);
	map.gfn++;
	HOST_EQ(pgt_map(&batch, three, &map, cache), -ERANGE);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	rcu_read_lock();
	HOST_EQ(pgt_lookup(three, map.gfn - 1, entries), 1);
	HOST_EQ(pgt_lookup(three, map.gfn, entries), -ERANGE);
	rcu_read_unlock();
	pgt_root_put(three);
	destroy();
}

/* Each change of an entry is traced once, as it was made. */
OPS_TEST(trace)
{
	u64 was, is;
	int level;

	create(config, 2048, 1);
	vm_write(0, 7);
	was = entry(7, &level);
	vm.traced.nr = 0;
	vm_wrprot(7, 8, false, PGT_SHARED);
	is = entry(7, &level);
	HOST_EQ(vm.traced.nr, 1);
	HOST_EQ(vm.traced.gfn, 7);
	HOST_EQ(vm.traced.level, 1);
	HOST_EQ(vm.traced.old, was);
	HOST_EQ(vm.traced.new, is);
	/* Nothing changes, nothing is traced. */
	vm_wrprot(7, 8, false, PGT_SHARED);
	HOST_EQ(vm.traced.nr, 1);
	/* A table, and the leaf in it. */
	vm_map(&vm.vcpu[0], 1024, 1, vm.access, PGT_R);
	HOST_EQ(vm.traced.nr, 3);
	destroy();
}

HOST_TEST(ops, table_metadata)
{
	/* Nothing beside what every page has: struct ptdesc is struct page. */
	HOST_CHECK(sizeof(struct ptdesc) <= 64);
}
