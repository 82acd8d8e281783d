// SPDX-License-Identifier: GPL-2.0
/*
 * The validator finds what is broken: each rule is broken by hand, in tables
 * that are right otherwise.
 */
#include <string.h>

#include <linux/mm.h>

#include "test.h"
#include "vm.h"

/* Small leaves here, a huge one at HUGE. */
#define SMALL		3ULL
#define HUGE		512ULL

static u64 *slot(u64 gfn, int level)
{
	u64 *table = vm.vcpu[0].root->table;

	for (int l = vm.vcpu[0].root->levels; l > level; l--)
		table = __va(pgt_table_pa(&vm.fmt, table[pgt_index(gfn, l)]));
	return table + pgt_index(gfn, level);
}

static void create(const struct vm_config *config)
{
	vm_create(config, 1, 2048, 2);
	vm_load(&vm.vcpu[0]);
	vm_map(&vm.vcpu[0], SMALL, 1, vm.access, PGT_W);
	vm_map(&vm.vcpu[0], HUGE, 2, vm.access, PGT_W);
	/* Nothing cached: entries are put back as they were. */
	cpu_flush_all(&vm.vcpu[0].cpu);
	vm_validate();
}

static void broken(const char *what)
{
	struct pgt_verdict verdict;

	HOST_CHECK(!pgt_validate(&vm.mmu, &verdict));
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
	vm_validate();
}

#define VALIDATE_TEST(name)						\
	static void validate_##name(const struct vm_config *config);	\
	HOST_TEST(validate, name)					\
	{								\
		for (unsigned int c = 0; c < vm_nr_configs; c++) {	\
			create(&vm_configs[c]);				\
			validate_##name(&vm_configs[c]);		\
			vm_destroy();					\
		}							\
	}								\
	static void validate_##name(const struct vm_config *config)

VALIDATE_TEST(leaves)
{
	const struct pgt_format *fmt = &vm.fmt;
	u64 small = *slot(SMALL, 1);
	u64 huge = *slot(HUGE, 2);

	if (fmt->max_leaf_level < 3)
		breaks(0, 3, huge, "leaf above the highest level");
	else
		breaks(0, 4, huge, "leaf above the highest level");
	breaks(SMALL, 1, small | BIT_ULL(51), "unknown bit in a leaf");
	if (fmt->leaf)
		breaks(SMALL, 1, small & ~fmt->leaf,
		       "leaf lacks a bit that all have");
	breaks(HUGE, 2, huge | BIT_ULL(13), "leaf not aligned");
	breaks(SMALL, 1, small & ~fmt->mmu_writable,
	       "writable, not MMU-writable");
	breaks(SMALL, 1, small & ~(fmt->host_writable | fmt->write),
	       "MMU-writable, not host-writable");
	if (fmt->accessed) {
		breaks(SMALL, 1, small & ~(fmt->reach | fmt->write),
		       "leaf without rights");
		return;
	}
	if (!(fmt->write & fmt->reach))
		breaks(SMALL, 1, small & ~fmt->reach, "tracked and writable");
	if (fmt->track_save)
		breaks(SMALL, 1,
		       small | ((fmt->read & fmt->track_save) <<
				fmt->track_shift),
		       "saved rights and not tracked");
}

VALIDATE_TEST(links)
{
	u64 link = *slot(SMALL, 2);

	breaks(SMALL, 2, link ^ BIT_ULL(1), "wrong bits in a link");
	breaks(SMALL, 2, link & ~vm.fmt.addr, "link to nowhere");
	/* One table in two places. */
	breaks(1024, 2, link, "leaves miscounted");
}

VALIDATE_TEST(others)
{
	const struct pgt_format *fmt = &vm.fmt;
	u64 mmio = pgt_mmio_make(fmt, 9, 1, 0);

	breaks(9, 1, fmt->frozen, "frozen entry at rest");
	breaks(9, 1, fmt->nonpresent ^ BIT_ULL(62),
	       "neither present, MMIO nor empty");
	breaks(1024, 2, mmio, "MMIO entry above level 1");
	breaks(10, 1, mmio, "MMIO entry of another gfn");
	if (fmt->l1tf)
		breaks(9, 1, mmio & ~fmt->l1tf,
		       "MMIO entry without the L1TF mask");
}

VALIDATE_TEST(ends)
{
	vm.mmu.max_gfn = SMALL;
	broken("present beyond the end");
	vm.mmu.max_gfn = HUGE + 5;
	broken("leaf beyond the end");
	vm.mmu.max_gfn = ~0ULL;
	vm_validate();
}

VALIDATE_TEST(counts)
{
	struct pgt_open open = { };

	breaks(SMALL, 1, vm.fmt.nonpresent, "leaves miscounted");
	atomic_long_inc(vm.mmu.counters.tables);
	broken("tables miscounted");
	atomic_long_dec(vm.mmu.counters.tables);
	list_add(&open.link, &vm.mmu.open);
	broken("open batch at rest");
	list_del(&open.link);
	vm_validate();
}

VALIDATE_TEST(roots)
{
	struct pgt_root *root = vm.vcpu[0].root;

	root->state = PGT_ROOT_EMPTIED;
	broken("leaf in an emptied root");
	root->state = PGT_ROOT_VALID;
	vm_validate();
}
