// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror, where tables run out: what fails leaves all as it was, and is done
 * when there are some.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>

#include "private_vm.h"
#include "test.h"

/* Try an operation with every filling of a cache, then with a full one. */
static void every_cache(const struct pvm_config *config,
			int (*run)(struct mirror_cache *cache),
			void (*before)(void), unsigned int needed)
{
	for (unsigned int tables = 0; tables <= needed; tables++) {
		for (unsigned int given = 0; given <= needed; given++) {
			struct mirror_cache cache;
			bool enough = min(tables, given) >= needed;

			mem_reset();
			pvm_create(config, 2, VM_MAX_GFNS, 3, 0);
			before();
			mirror_cache_init(&cache, &pvm.mirror);
			HOST_EQ(pgt_cache_fill(&cache.tables, tables, false),
				0);
			HOST_EQ(pgt_cache_fill(&cache.provided, given, false),
				0);
			HOST_EQ(run(&cache), enough ? 0 : -ENOMEM);
			pvm_check();
			HOST_EQ(mirror_cache_fill(&cache, needed), 0);
			HOST_EQ(run(&cache), 0);
			pvm_check();
			mirror_cache_drain(&cache);
			pvm_destroy();
		}
	}
}

static void before_nothing(void)
{
}

static int run_map(struct mirror_cache *cache)
{
	int ret;

	read_lock(&vm.lock);
	ret = pvm_map_locked(77, 1, 1, 8, cache);
	read_unlock(&vm.lock);
	return min(ret, 0);
}

static void before_split(void)
{
	for (u64 gfn = 0; gfn < 0x40000; gfn += 512)
		HOST_EQ(pvm_map(0, gfn, 2, 2, 1), 1);
	HOST_EQ(pvm_promote(0, 0x40000, false), 1);
	HOST_EQ(pvm_map(0, 0x40000, 2, 2, 1), 1);
}

static int run_split(struct mirror_cache *cache)
{
	int ret;

	write_lock(&vm.lock);
	ret = mirror_split(&pvm.mirror, 0x3333, 1, cache);
	write_unlock(&vm.lock);
	return ret;
}

/* Both ends are within leaves. */
static int run_zap(struct mirror_cache *cache)
{
	struct pgt_range range = { 0x20, 0x40010 };
	int ret;

	write_lock(&vm.lock);
	ret = mirror_zap(&pvm.mirror, &range, false, cache);
	HOST_CHECK(ret || range.start == range.end);
	write_unlock(&vm.lock);
	return ret;
}

static int run_zap_tables(struct mirror_cache *cache)
{
	struct pgt_range range = { 0x20, 0x40010 };
	int ret;

	write_lock(&vm.lock);
	ret = mirror_zap_tables(&pvm.mirror, &range, true, cache);
	write_unlock(&vm.lock);
	return ret;
}

HOST_TEST(mirror_fail, no_tables)
{
	for (unsigned int i = 0; i < pvm_nr_configs; i++) {
		const struct pvm_config *config = &pvm_configs[i];
		int levels = (config->shared_bit - PGT_PAGE_SHIFT) / 9 + 1;

		every_cache(config, run_map, before_nothing, levels - 1);
		every_cache(config, run_split, before_split, 2);
		every_cache(config, run_zap, before_split, 3);
		every_cache(config, run_zap_tables, before_split, 3);
	}
}

/* Tables that map nothing go, also if the zap had to begin again behind them. */
HOST_TEST(mirror_fail, no_tables_behind_empty)
{
	struct pgt_range range = { 0, 0x40010 };
	struct mirror_cache cache;

	pvm_create(PVM_NPT, 1, VM_MAX_GFNS, 2, 0);
	mirror_cache_init(&cache, &pvm.mirror);
	pvm_refill(&cache, 5);
	/* A fault that got tables, but no leaf. */
	pvm.inject = (struct pvm_inject) {
		.at = 1, .error = -EBUSY, .only = MIRROR_MAP,
	};
	read_lock(&vm.lock);
	HOST_EQ(pvm_map_locked(0x1000, 1, 1, 1, &cache), -EAGAIN);
	read_unlock(&vm.lock);
	pvm.inject = (struct pvm_inject){ .only = MIRROR_NR_CALLS };
	HOST_EQ(pvm_map(0, 0x40000, 2, 2, 1), 1);
	mirror_cache_drain(&cache);

	write_lock(&vm.lock);
	HOST_EQ(mirror_zap_tables(&pvm.mirror, &range, true, &cache), -ENOMEM);
	write_unlock(&vm.lock);
	pvm_refill(&cache, 4);
	write_lock(&vm.lock);
	HOST_EQ(mirror_zap_tables(&pvm.mirror, &range, true, &cache), 0);
	write_unlock(&vm.lock);
	/* What is left leads to the rest of the leaf. */
	HOST_EQ(atomic_long_read(&pvm.counters.tables),
		pvm.mirror.root->levels);
	pvm_check();
	mirror_cache_drain(&cache);
	pvm_destroy();
}

HOST_TEST(mirror_fail, no_memory)
{
	struct pgt_counters counters;
	struct host_counters own;
	struct mirror_cache cache;
	struct mirror mirror;

	pvm_create(PVM_EPT, 0, 0, 1, 0);
	mirror_cache_init(&cache, &pvm.mirror);
	for (int n = 1; n <= 4; n++) {
		mem_fail_at(n);
		HOST_EQ(mirror_cache_fill(&cache, 2), -ENOMEM);
		mirror_cache_drain(&cache);
	}
	mem_fail_at(-1);
	HOST_EQ(mirror_cache_fill(&cache, 2), 0);
	mirror_cache_drain(&cache);
	for (int n = 1; n <= 2; n++) {
		counters = host_counters(&own);
		mem_fail_at(n);
		HOST_EQ(mirror_init(&mirror, &vm.lock, &pvm.soft.provider, 4,
				    pvm.private_end, &counters), -ENOMEM);
		mirror_destroy(&mirror);
		HOST_EQ(atomic_long_read(&own.tables), 0);
	}
	mem_fail_at(-1);
	/* More levels than there can be. */
	counters = host_counters(&own);
	HOST_EQ(mirror_init(&mirror, &vm.lock, &pvm.soft.provider, 6,
			    pvm.private_end, &counters), -EINVAL);
	pvm.soft.provider.mirror = &pvm.mirror;
	pvm_destroy();
}

/* Nothing that is charged can be had: faults end, zaps go on. */
HOST_TEST(mirror_fail, over_limit)
{
	struct mirror_cache cache;

	pvm_create(PVM_EPT, 1, 2048, 2, 0);
	HOST_EQ(pvm_map(0, 0, 2, 2, 1), 1);
	mirror_cache_init(&cache, &pvm.mirror);
	mem_over_limit(true);
	HOST_EQ(mirror_cache_fill(&cache, 1), -ENOMEM);
	/* A part of a large leaf. */
	pvm_convert(10, 20, false);
	mem_over_limit(false);
	pvm_check();
	HOST_EQ(mirror_cache_fill(&cache, 1), 0);
	mirror_cache_drain(&cache);
	pvm_destroy();
}
