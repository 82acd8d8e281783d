// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror: leaves that become larger or smaller.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "mirror_leaves.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

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
