// SPDX-License-Identifier: GPL-2.0
/*
 * The validator of the mirror finds what is broken: each rule is broken by hand, in
 * a mirror that is right otherwise.
 */
#include <string.h>

#include <linux/mm.h>

#include "mirror/internal.h"
#include "private_vm.h"
#include "test.h"

/* Small leaves here, a table without leaves at EMPTY, a large leaf at LARGE. */
#define SMALL		3ULL
#define EMPTY		512ULL
#define LARGE		1024ULL

static u64 *slot(u64 gfn, int level)
{
	u64 *table = pvm.mirror.root->table;

	for (int l = pvm.mirror.root->levels; l > level; l--)
		table = __va(pgt_table_pa(&pvm.mirror.fmt,
					  table[pgt_index(gfn, l)]));
	return table + pgt_index(gfn, level);
}

static void create(const struct pvm_config *config)
{
	pvm_create(config, 1, 2048, 2, 0);
	HOST_EQ(pvm_map(0, SMALL, 1, 1, 1), 1);
	HOST_EQ(pvm_map(0, EMPTY, 1, 1, 1), 1);
	pvm_convert(EMPTY, EMPTY + 1, false);
	HOST_EQ(pvm_map(0, LARGE, 2, 2, 1), 1);
	pvm_check();
}

static void broken(const char *what)
{
	struct pgt_verdict verdict;

	HOST_CHECK(!mirror_validate(&pvm.mirror, &verdict));
	if (strcmp(verdict.what, what))
		host_fail("assert", "found '%s', not '%s'", verdict.what, what);
}

/* With @entry in place of what is there the validator says @what. */
static void breaks(u64 gfn, int level, u64 entry, const char *what)
{
	u64 *place = slot(gfn, level);
	u64 was = *place;

	*place = entry;
	broken(what);
	*place = was;
	pvm_validate();
}

static u64 blocked(u64 entry)
{
	return (entry & ~PGT_PRESENT) | MIRROR_BLOCKED;
}

/* For each kind of machine. */
#define VALIDATE_TEST(name)						\
	static void validate_##name(void);				\
	HOST_TEST(mirror_validate, name)				\
	{								\
		for (unsigned int c = 0; c < pvm_nr_configs; c++) {	\
			create(&pvm_configs[c]);			\
			validate_##name();				\
			pvm_destroy();					\
		}							\
	}								\
	static void validate_##name(void)

VALIDATE_TEST(leaves)
{
	u64 small = *slot(SMALL, 1);
	u64 large = *slot(LARGE, 2);

	breaks(SMALL, 1, small | BIT_ULL(1),
	       "leaf not aligned, or with other bits");
	breaks(LARGE, 2, large | BIT_ULL(13),
	       "leaf not aligned, or with other bits");
	breaks(SMALL, 1, 0, "leaves miscounted");
	breaks(SMALL + 1, 1, small, "leaves miscounted");
	pvm.mirror.fmt.max_leaf_level = 1;
	broken("leaf above the highest level");
	pvm.mirror.fmt.max_leaf_level = 3;
	pvm_validate();
}

VALIDATE_TEST(links)
{
	u64 link = *slot(EMPTY, 2);
	u64 *table = __va(pgt_table_pa(&pvm.mirror.fmt, link));
	void *provided = mirror_provided(table);

	breaks(EMPTY, 2, link | BIT_ULL(1), "wrong bits in a link");
	breaks(EMPTY, 2, link & ~pvm.mirror.fmt.addr, "wrong bits in a link");
	breaks(EMPTY, 2, 0, "tables miscounted");
	/* One table in two places. */
	breaks(EMPTY + 1024, 2, link, "tables miscounted");
	virt_to_ptdesc(table)->pt_index = 0;
	broken("table that the provider has none for");
	virt_to_ptdesc(table)->pt_index = (unsigned long)provided;
	pvm_validate();
}

VALIDATE_TEST(others)
{
	breaks(SMALL + 1, 1, pvm.mirror.fmt.frozen,
	       "frozen, and nobody is at work");
	breaks(SMALL + 1, 1, BIT_ULL(60), "neither leaf, link nor empty");
	pvm.mirror.window = true;
	broken("window without a lock");
	pvm.mirror.window = false;
	pvm_validate();
}

VALIDATE_TEST(ends)
{
	pvm.mirror.mmu.max_gfn = LARGE + 5;
	broken("leaf beyond the end");
	pvm.mirror.mmu.max_gfn = pvm.private_end;
	pvm_validate();
}

/* A leaf and a link, as a zap leaves them that has let go of the lock. */
VALIDATE_TEST(blocked)
{
	struct mirror *mirror = &pvm.mirror;
	u64 *leaf = slot(SMALL, 1), was = *leaf;
	u64 *link = slot(EMPTY, 2), was_link = *link;

	breaks(SMALL, 1, blocked(was), "blocked out of what is known");
	mirror->blocked_in = (struct pgt_range){ SMALL, 1024 };
	mirror->untracked = true;
	broken("nothing blocked to be tracked");
	*leaf = blocked(was);
	broken("leaves miscounted");
	atomic_long_dec(mirror->mmu.counters.leaves[1]);
	broken("blocked entries miscounted");
	*link = blocked(was_link);
	broken("tables miscounted");
	atomic_long_dec(mirror->mmu.counters.tables);
	mirror->blocked = 2;
	mirror->oldest = mirror->tracks;
	pvm_validate();
	breaks(SMALL, 1, was | MIRROR_BLOCKED, "blocked and present");
	mirror->tracks += MIRROR_MAX_AGE + 1;
	broken("blocked for too long");
	mirror->oldest = mirror->tracks;
	*link = was_link;
	atomic_long_inc(mirror->mmu.counters.tables);
	mirror->blocked--;
	/* Not the small leaves' table, as long as the VM may run. */
	mirror->blocked_in.start = 0;
	breaks(0, 2, blocked(*slot(0, 2)), "blocked link of what is in use");
	*leaf = was;
	atomic_long_inc(mirror->mmu.counters.leaves[1]);
	mirror->blocked = 0;
	mirror->untracked = false;
	pvm_validate();
}
