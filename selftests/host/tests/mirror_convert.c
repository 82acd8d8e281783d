// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror: what it takes to convert pages, in calls of the provider, with the
 * tables that are left behind, and with large leaves that a range has a part of.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "mirror_leaves.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

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
