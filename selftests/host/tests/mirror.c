// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror, one function of mirror.h after the other: mapping, looking, adding,
 * and the end.
 *
 * Taking pages away is in mirror_convert.c, making leaves of other sizes in
 * mirror_large.c, failing calls in mirror_fail.c and mirror_nomem.c, sequences in
 * mirror_model.c, what runs at the same time in mirror_race.c, and many epochs in
 * mirror_age.c.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "mirror_leaves.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

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
