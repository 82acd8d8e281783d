// SPDX-License-Identifier: GPL-2.0
/*
 * The CPU model against tables written by hand, entry by entry, in raw bits.
 *
 * No engine here: what an entry means was read in the manuals for cpu.c and
 * once more for this file.
 */
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/mm.h>
#include <linux/types.h>
#include <string.h>

#include "cpu.h"
#include "sim/explore.h"
#include "sim/mem.h"
#include "test.h"

/*
 * One way down, through another place of each table.
 */

static const unsigned int at[] = { 0, 0x11, 0x22, 3, 0x44, 0x55 };

/* What goes that way in a root of so many levels. */
#define GFN_3		0xc4411ULL
#define GFN_4		0x2200c4411ULL
#define GFN_5		0x552200c4411ULL

/* Where it leads, by level of the leaf: pages of data, and so aligned. */
#define PFN_4K		0x100011ULL
#define PFN_2M		0x100200ULL
#define PFN_1G		0x140000ULL

/* A test may leave its tables behind. */
#define CPU_TEST(id)							\
	static void test_##id(void);					\
	HOST_TEST(cpu, id)						\
	{								\
		test_##id();						\
		mem_reset();						\
	}								\
	static void test_##id(void)

static struct cpu cpu, other;
static struct cpu_outcome out;
static u64 table[CPU_MAX_LEVEL + 1];

static u64 table_new(void)
{
	return __pa(ptdesc_address(pagetable_alloc(__GFP_ZERO, 0)));
}

static void table_free(u64 pa)
{
	__pagetable_free(virt_to_ptdesc(__va(pa)));
}

static u64 *place(int level)
{
	u64 *entries = __va(table[level]);

	return &entries[at[level]];
}

/*
 * A root and what is below it, down to @level; the links are @link besides the
 * address, those of PAE's top table 1.
 */
static void build(const struct cpu_mode *mode, u64 link, int level, u64 leaf)
{
	int i;

	for (i = mode->levels; i >= level; i--)
		table[i] = table_new();
	for (i = mode->levels; i > level; i--)
		*place(i) = table[i - 1] |
			    (mode->format == CPU_PAE && i == 3 ? 1 : link);
	*place(level) = leaf;
	cpu_init(&cpu, mode);
	cpu_load_root(&cpu, table[mode->levels]);
}

static u64 the_gfn(void)
{
	switch (cpu.mode.levels) {
	case 3:
		return GFN_3;
	case 4:
		return GFN_4;
	default:
		return GFN_5;
	}
}

static enum cpu_result do_access(enum cpu_access access)
{
	return cpu_access(&cpu, the_gfn(), access, &out);
}

static enum cpu_result fresh_access(enum cpu_access access)
{
	cpu_flush_all(&cpu);
	return do_access(access);
}

#define RIGHTS_NONE	0
#define RIGHTS_R	1
#define RIGHTS_W	2
#define RIGHTS_X	4
#define RIGHTS_UX	8

static unsigned int rights(void)
{
	unsigned int access, found = 0;

	for (access = CPU_READ; access <= CPU_USER_EXEC; access++)
		if (fresh_access(access) == CPU_OK)
			found |= 1U << access;
	return found;
}

static const struct cpu_mode ept = {
	.format = CPU_EPT, .levels = 4, .phys_bits = 46, .ad = true,
	.exec_only = true, .huge_1g = true,
};

static const struct cpu_mode npt = {
	.format = CPU_LONG, .levels = 4, .phys_bits = 48, .nx = true,
	.huge_1g = true,
};

static const struct cpu_mode pae = {
	.format = CPU_PAE, .levels = 3, .phys_bits = 40, .nx = true,
};

static struct cpu_mode with_levels(struct cpu_mode mode, int levels)
{
	mode.levels = levels;
	return mode;
}

/*
 * Where a walk leads.
 */

static void check_sizes(struct cpu_mode mode, u64 link, u64 small, u64 huge)
{
	build(&mode, link, 1, PFN_4K << 12 | small);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
	HOST_EQ(out.level, 1);
	HOST_CHECK(!out.from_tlb);
	HOST_EQ(cpu_access(&cpu, the_gfn() + 1, CPU_READ, &out),
		CPU_VIOLATION);

	build(&mode, link, 2, PFN_2M << 12 | huge);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_2M + 0x11);
	HOST_EQ(out.level, 2);
	HOST_EQ(cpu_access(&cpu, the_gfn() + 0x1ee, CPU_READ, &out), CPU_OK);
	HOST_EQ(out.pfn, PFN_2M + 0x1ff);
	HOST_CHECK(out.from_tlb);
	HOST_EQ(cpu_access(&cpu, the_gfn() + 0x1ef, CPU_READ, &out),
		CPU_VIOLATION);

	if (mode.format == CPU_PAE)
		return;
	build(&mode, link, 3, PFN_1G << 12 | huge);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_1G + 0x4411);
	HOST_EQ(out.level, 3);
	HOST_EQ(cpu_access(&cpu, the_gfn() ^ 0x3ffff, CPU_READ, &out), CPU_OK);
	HOST_EQ(out.pfn, PFN_1G + (0x4411 ^ 0x3ffff));
	HOST_CHECK(out.from_tlb);
}

CPU_TEST(leaf_sizes)
{
	check_sizes(ept, 0x7, 0x37, 0xb7);
	check_sizes(with_levels(ept, 5), 0x7, 0x37, 0xb7);
	check_sizes(npt, 0x7, 0x7, 0x87);
	check_sizes(with_levels(npt, 5), 0x7, 0x7, 0x87);
	check_sizes(pae, 0x7, 0x7, 0x87);
}

CPU_TEST(beyond_root)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(cpu_access(&cpu, GFN_4 + (1ULL << 36), CPU_READ, &out),
		CPU_VIOLATION);
	HOST_EQ(out.level, 0);
	HOST_EQ(cpu_prefetch(&cpu, GFN_4 + (1ULL << 36)), 0);

	build(&pae, 0x7, 1, PFN_4K << 12 | 0x7);
	HOST_EQ(cpu_access(&cpu, GFN_3 + (1ULL << 20), CPU_READ, &out),
		CPU_VIOLATION);
}

CPU_TEST(no_root)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_unload(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_NO_ROOT);
	HOST_EQ(cpu_prefetch(&cpu, GFN_4), 0);
}

CPU_TEST(memory_type)
{
	static const u8 types[] = { 0, 1, 4, 5, 6 };
	unsigned int i;

	for (i = 0; i < sizeof(types); i++) {
		build(&ept, 0x7, 1, PFN_4K << 12 | types[i] << 3 | 0x7);
		HOST_EQ(do_access(CPU_READ), CPU_OK);
		HOST_EQ(out.memtype, types[i]);
		build(&ept, 0x7, 2, PFN_2M << 12 | types[i] << 3 | 0xc7);
		HOST_EQ(do_access(CPU_READ), CPU_OK);
		HOST_EQ(out.memtype, types[i] | 8);
	}
	for (i = 0; i < 8; i++) {
		u64 low = (i & 3) << 3;

		build(&npt, 0x7, 1, PFN_4K << 12 | low | (i & 4) << 5 | 0x7);
		HOST_EQ(do_access(CPU_READ), CPU_OK);
		HOST_EQ(out.memtype, i);
		HOST_EQ(out.pfn, PFN_4K);
		build(&npt, 0x7, 2, PFN_2M << 12 | low | (i & 4) << 10 | 0x87);
		HOST_EQ(do_access(CPU_READ), CPU_OK);
		HOST_EQ(out.memtype, i);
		HOST_EQ(out.pfn, PFN_2M + 0x11);
	}
}

CPU_TEST(encryption)
{
	struct cpu_mode mode = npt;

	/* The C-bit is bit 47, which takes the width down to 43. */
	mode.phys_bits = 43;
	mode.me_mask = BIT_ULL(47);
	build(&mode, 0x7 | BIT_ULL(47), 1, PFN_4K << 12 | 0x7 | BIT_ULL(47));
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
	HOST_CHECK(out.encrypted);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_CHECK(!out.encrypted);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7 | BIT_ULL(46));
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);

	/* KeyIDs are the top bits of the width. */
	mode = ept;
	mode.me_mask = GENMASK_ULL(45, 42);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37 | BIT_ULL(44));
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
	HOST_CHECK(out.encrypted);
}

/*
 * Rights.
 */

CPU_TEST(ept_rights)
{
	struct cpu_mode mode = ept;
	int level;

	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W | RIGHTS_X | RIGHTS_UX);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x31);
	HOST_EQ(rights(), RIGHTS_R);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x33);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x35);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_X | RIGHTS_UX);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x34);
	HOST_EQ(rights(), RIGHTS_X | RIGHTS_UX);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x30);
	HOST_EQ(rights(), RIGHTS_NONE);
	/* Bit 10 means nothing without mode-based execute control. */
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x430);
	HOST_EQ(rights(), RIGHTS_NONE);

	/* Every level takes its part. */
	for (level = 2; level <= 4; level++) {
		build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
		*place(level) &= ~0x2ULL;
		HOST_EQ(rights(), RIGHTS_R | RIGHTS_X | RIGHTS_UX);
		*place(level) &= ~0x4ULL;
		HOST_EQ(rights(), RIGHTS_R);
		*place(level) ^= 0x5;
		HOST_EQ(rights(), RIGHTS_X | RIGHTS_UX);
		*place(level) &= ~0x7ULL;
		HOST_EQ(rights(), RIGHTS_NONE);
	}

	mode.mbec = true;
	build(&mode, 0x407, 1, PFN_4K << 12 | 0x437);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W | RIGHTS_X | RIGHTS_UX);
	build(&mode, 0x407, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W | RIGHTS_X);
	build(&mode, 0x407, 1, PFN_4K << 12 | 0x433);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W | RIGHTS_UX);
	build(&mode, 0x407, 1, PFN_4K << 12 | 0x430);
	HOST_EQ(rights(), RIGHTS_UX);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x437);
	HOST_EQ(rights(), RIGHTS_R | RIGHTS_W | RIGHTS_X);
}

static void check_long_rights(const struct cpu_mode *mode)
{
	unsigned int all = RIGHTS_R | RIGHTS_W | RIGHTS_X | RIGHTS_UX;
	int level;

	build(mode, 0x7, 1, PFN_4K << 12 | 0x7);
	HOST_EQ(rights(), all);
	build(mode, 0x7, 1, PFN_4K << 12 | 0x6);
	HOST_EQ(rights(), RIGHTS_NONE);

	for (level = 1; level <= mode->levels; level++) {
		if (mode->format == CPU_PAE && level == 3)
			break;
		build(mode, 0x7, 1, PFN_4K << 12 | 0x7);
		*place(level) &= ~0x2ULL;
		HOST_EQ(rights(), RIGHTS_R | RIGHTS_X | RIGHTS_UX);
		*place(level) |= 0x2 | BIT_ULL(63);
		HOST_EQ(rights(), RIGHTS_R | RIGHTS_W);
		/* The guest is a user, whatever it does. */
		*place(level) &= ~(0x4 | BIT_ULL(63));
		HOST_EQ(rights(), RIGHTS_NONE);
	}
}

CPU_TEST(long_rights)
{
	struct cpu_mode mode = with_levels(npt, 5);

	check_long_rights(&npt);
	check_long_rights(&mode);
	check_long_rights(&pae);
}

/*
 * Entries that no CPU takes.
 */

/* @bits set, then cleared again, in the entry at @level of what is built. */
static void check_bits(int level, u64 bits, enum cpu_result result)
{
	u64 was = *place(level);

	*place(level) |= bits;
	HOST_EQ(fresh_access(CPU_READ), result);
	if (result == CPU_MISCONFIG) {
		HOST_EQ(out.level, level);
		HOST_EQ(out.entry, was | bits);
		HOST_EQ(out.pfn, 0);
	}
	*place(level) = was;
}

static void check_each_bit(int level, u64 reserved, u64 ignored)
{
	int bit;

	for (bit = 0; bit < 64; bit++) {
		if (reserved & BIT_ULL(bit))
			check_bits(level, BIT_ULL(bit), CPU_MISCONFIG);
		if (ignored & BIT_ULL(bit))
			check_bits(level, BIT_ULL(bit), CPU_OK);
	}
}

#define EPT_IGNORED	0xfff0000000000d00ULL	/* 63:52, 11, 10, 8 */

CPU_TEST(ept_reserved)
{
	struct cpu_mode mode = with_levels(ept, 5);

	/* 51:46 for want of addresses, and 6:3 or 7:3. */
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	check_each_bit(5, 0xfc000000000f8, EPT_IGNORED | 0x200);
	check_each_bit(4, 0xfc000000000f8, EPT_IGNORED | 0x200);
	check_each_bit(3, 0xfc00000000078, EPT_IGNORED | 0x200);
	check_each_bit(2, 0xfc00000000078, EPT_IGNORED | 0x200);
	check_each_bit(1, 0xfc00000000000, EPT_IGNORED | 0x2c0);

	build(&mode, 0x7, 2, PFN_2M << 12 | 0xb7);
	check_each_bit(2, 0xfc000001ff000, EPT_IGNORED | 0x240);
	build(&mode, 0x7, 3, PFN_1G << 12 | 0xb7);
	check_each_bit(3, 0xfc0003ffff000, EPT_IGNORED | 0x240);

	mode.huge_1g = false;
	build(&mode, 0x7, 3, PFN_1G << 12 | 0xb7);
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(do_access(CPU_READ), CPU_OK);

	mode.phys_bits = 52;
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
}

CPU_TEST(ept_misconfigured)
{
	static const u8 types[] = { 2, 3, 7 };
	struct cpu_mode mode = ept;
	unsigned int i;
	int level;

	for (i = 0; i < sizeof(types); i++) {
		build(&mode, 0x7, 1, PFN_4K << 12 | types[i] << 3 | 0x7);
		HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
		build(&mode, 0x7, 2, PFN_2M << 12 | types[i] << 3 | 0x87);
		HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
		/* Nothing is wrong with what is not present. */
		build(&mode, 0x7, 1, PFN_4K << 12 | types[i] << 3);
		HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	}

	/* Writable and not readable. */
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	for (level = 1; level <= 4; level++) {
		*place(level) &= ~0x5ULL;
		HOST_EQ(fresh_access(CPU_READ), CPU_MISCONFIG);
		HOST_EQ(out.level, level);
		*place(level) |= 0x4;
		HOST_EQ(fresh_access(CPU_EXEC), CPU_MISCONFIG);
		*place(level) |= 0x1;
	}

	/* Executable and not readable. */
	mode.exec_only = false;
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x37);
	for (level = 1; level <= 4; level++) {
		*place(level) &= ~0x3ULL;
		HOST_EQ(fresh_access(CPU_EXEC), CPU_MISCONFIG);
		HOST_EQ(out.level, level);
		*place(level) |= 0x3;
	}
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x430);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	mode.mbec = true;
	build(&mode, 0x407, 1, PFN_4K << 12 | 0x430);
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
}

CPU_TEST(long_reserved)
{
	struct cpu_mode mode = with_levels(npt, 5);
	int level;

	/* 51:48 for want of addresses; of bits 8:7 what is no leaf's. */
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7);
	check_each_bit(5, 0xf000000000180, 0xfff0000000000e78);
	check_each_bit(4, 0xf000000000180, 0xfff0000000000e78);
	check_each_bit(3, 0xf000000000100, 0xfff0000000000e78);
	check_each_bit(2, 0xf000000000000, 0xfff0000000000f78);
	check_each_bit(1, 0xf000000000000, 0xfff0000000000ff8);
	build(&mode, 0x7, 2, PFN_2M << 12 | 0x87);
	check_each_bit(2, 0xf0000001fe000, 0xfff0000000001f78);
	build(&mode, 0x7, 3, PFN_1G << 12 | 0x87);
	check_each_bit(3, 0xf00003fffe000, 0xfff0000000001f78);

	mode.huge_1g = false;
	build(&mode, 0x7, 3, PFN_1G << 12 | 0x87);
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);

	mode.nx = false;
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7);
	for (level = 1; level <= 5; level++)
		check_bits(level, BIT_ULL(63), CPU_MISCONFIG);
}

CPU_TEST(pae_reserved)
{
	struct cpu_mode mode = pae;

	/* 62:40 below the top, which has neither rights nor an NX bit. */
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7);
	check_each_bit(3, 0xffffff00000001e6, 0xe18);
	check_each_bit(2, 0x7fffff0000000000, BIT_ULL(63) | 0xf78);
	check_each_bit(1, 0x7fffff0000000000, BIT_ULL(63) | 0xff8);
	build(&mode, 0x7, 2, PFN_2M << 12 | 0x87);
	check_each_bit(2, 0x7fffff00001fe000, BIT_ULL(63) | 0x1f78);

	mode.nx = false;
	build(&mode, 0x7, 1, PFN_4K << 12 | 0x7);
	check_bits(2, BIT_ULL(63), CPU_MISCONFIG);
	check_bits(1, BIT_ULL(63), CPU_MISCONFIG);
}

CPU_TEST(virtualization_exception)
{
	struct cpu_mode mode = ept;

	mode.ve = true;
	build(&mode, 0x7, 1, 0);
	HOST_EQ(do_access(CPU_READ), CPU_VE);
	*place(1) = BIT_ULL(63);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	*place(1) = PFN_4K << 12 | 0x31;
	HOST_EQ(do_access(CPU_WRITE), CPU_VE);
	*place(1) = PFN_4K << 12 | 0x31 | BIT_ULL(63);
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
	/* The right is missing above, but bit 63 is asked of the leaf. */
	*place(1) = PFN_4K << 12 | 0x37 | BIT_ULL(63);
	*place(3) &= ~0x2ULL;
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
	*place(1) = PFN_4K << 12 | 0x10 | 0x7;
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
	*place(4) = 0;
	HOST_EQ(fresh_access(CPU_READ), CPU_VE);
	HOST_EQ(out.level, 4);
}

/*
 * Accessed and dirty flags.
 */

static void check_flags(struct cpu_mode mode, u64 leaf, u64 accessed,
			u64 dirty, int max_level)
{
	int level;

	build(&mode, 0x7, 1, leaf & ~0x2ULL);
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
	for (level = 1; level <= mode.levels; level++)
		HOST_EQ(*place(level) & (accessed | dirty), 0);

	*place(1) = leaf;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	for (level = 1; level <= mode.levels; level++)
		HOST_EQ(*place(level) & (accessed | dirty),
			level <= max_level ? accessed : 0);
	HOST_EQ(out.entry, leaf | accessed);

	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(!out.from_tlb == !!dirty);
	for (level = 2; level <= mode.levels; level++)
		HOST_EQ(*place(level) & dirty, 0);
	HOST_EQ(*place(1), leaf | accessed | dirty);
	HOST_EQ(out.entry, leaf | accessed | dirty);

	/* Now that all is cached the table stays as it is. */
	*place(1) = leaf;
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(out.from_tlb);
	HOST_EQ(*place(1), leaf);
	cpu_flush_range(&cpu, the_gfn(), the_gfn() + 1);
	HOST_EQ(cpu_prefetch(&cpu, the_gfn()), 1);
	HOST_EQ(*place(1), leaf | accessed);
}

CPU_TEST(flags)
{
	struct cpu_mode mode = ept;

	check_flags(ept, PFN_4K << 12 | 0x37, 0x100, 0x200, 4);
	check_flags(npt, PFN_4K << 12 | 0x7, 0x20, 0x40, 4);
	check_flags(with_levels(npt, 5), PFN_4K << 12 | 0x7, 0x20, 0x40, 5);
	check_flags(pae, PFN_4K << 12 | 0x7, 0x20, 0x40, 2);
	mode.ad = false;
	check_flags(mode, PFN_4K << 12 | 0x37, 0, 0, 4);
}

CPU_TEST(flags_of_huge_leaf)
{
	build(&ept, 0x7, 2, PFN_2M << 12 | 0xb7);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_EQ(*place(2), PFN_2M << 12 | 0x3b7);
	build(&npt, 0x7, 3, PFN_1G << 12 | 0x87);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_EQ(*place(3), PFN_1G << 12 | 0xe7);
}

static char events[16];
static unsigned int nr_events;

static void note_pml(struct cpu *c, u64 gfn)
{
	HOST_EQ(gfn, the_gfn());
	HOST_CHECK(c->owner == events);
	events[nr_events++] = 'p';
}

static void note_translate(struct cpu *c, u64 gfn, enum cpu_access access,
			   const struct cpu_outcome *outcome)
{
	HOST_EQ(gfn, the_gfn());
	HOST_CHECK(c->owner == events);
	HOST_EQ(outcome->pfn, PFN_2M + 0x11);
	events[nr_events++] = access == CPU_WRITE ? 'W' : 'R';
}

static void note_write(struct cpu *c, u64 gfn,
		       const struct cpu_outcome *outcome)
{
	HOST_EQ(gfn, the_gfn());
	HOST_CHECK(c->owner == events);
	HOST_EQ(outcome->pfn, PFN_2M + 0x11);
	events[nr_events++] = 'w';
}

CPU_TEST(callbacks)
{
	build(&ept, 0x7, 2, PFN_2M << 12 | 0xb7);
	nr_events = 0;
	memset(events, 0, sizeof(events));
	cpu.owner = events;
	cpu.pml = true;
	cpu.on_pml = note_pml;
	cpu.on_translate = note_translate;
	cpu.on_write = note_write;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	cpu_flush_all(&cpu);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(!strcmp(events, "RpWwWwWw"));
}

/*
 * What CPUs remember.
 */

CPU_TEST(tlb_is_stale)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x337);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	*place(1) = 0;
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(out.from_tlb);
	HOST_EQ(out.pfn, PFN_4K);
	cpu_flush_range(&cpu, GFN_4 + 1, GFN_4 + 100);
	cpu_flush_range(&cpu, 0, GFN_4);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	cpu_flush_range(&cpu, GFN_4, GFN_4);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	cpu_flush_range(&cpu, GFN_4, GFN_4 + 1);
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
}

/* The TLB of another CPU is another's. */
CPU_TEST(flush_is_of_one_cpu)
{
	build(&npt, 0x7, 1, PFN_4K << 12 | 0x7);
	cpu_init(&other, &npt);
	cpu_load_root(&other, table[4]);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(cpu_access(&other, GFN_4, CPU_READ, NULL), CPU_OK);
	*place(1) = 0;
	cpu_flush_all(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	HOST_EQ(cpu_access(&other, GFN_4, CPU_READ, &out), CPU_OK);
	HOST_CHECK(out.from_tlb);
	cpu_load_root(&other, table[4]);
	HOST_EQ(cpu_access(&other, GFN_4, CPU_READ, NULL), CPU_VIOLATION);
}

CPU_TEST(part_of_huge_leaf_is_flushed)
{
	build(&ept, 0x7, 2, PFN_2M << 12 | 0xb7);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	*place(2) = 0;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_flush_range(&cpu, GFN_4 + 0x100, GFN_4 + 0x101);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
}

/* Several sizes for one gfn: the one that came first is used. */
CPU_TEST(oldest_translation)
{
	u64 link;

	build(&ept, 0x7, 1, PFN_4K << 12 | 0x337);
	link = *place(2);
	*place(2) = PFN_2M << 12 | 0x3b7;
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_READ, &out), CPU_OK);
	HOST_EQ(out.level, 2);
	*place(2) = link;
	cpu.policy = CPU_POLICY_STALE;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.level, 2);
	cpu_flush_range(&cpu, GFN_4 + 1, GFN_4 + 2);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.level, 1);
	*place(2) = PFN_2M << 12 | 0x3b7;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.level, 1);
}

/* An unlinked table is reached, and the CPU writes to it. */
CPU_TEST(links_are_stale)
{
	u64 *leaf;

	build(&ept, 0x7, 1, PFN_4K << 12 | 0x37);
	leaf = place(1);
	leaf[1] = (PFN_4K + 1) << 12 | 0x37;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(*leaf, PFN_4K << 12 | 0x137);

	*place(2) = 0;
	cpu_flush_range(&cpu, GFN_4 + 0x200, GFN_4 + 0x400);
	cpu_flush_range(&cpu, 0, GFN_4 & ~0x1ffULL);
	/* Never accessed before. */
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_READ, &out), CPU_OK);
	HOST_EQ(leaf[1], (PFN_4K + 1) << 12 | 0x137);
	/* In the TLB, but not dirty there. */
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(!out.from_tlb);
	HOST_EQ(*leaf, PFN_4K << 12 | 0x337);

	/* The link goes with any part of what is under it. */
	cpu_flush_range(&cpu, GFN_4 + 0x100, GFN_4 + 0x101);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_CHECK(out.from_tlb);
	HOST_EQ(cpu_access(&cpu, GFN_4 + 2, CPU_READ, &out), CPU_VIOLATION);
	HOST_EQ(out.level, 2);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	cpu_flush_range(&cpu, GFN_4, GFN_4 + 1);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
}

/* Rights that a cached link had stay with it. */
CPU_TEST(rights_of_links_are_stale)
{
	build(&npt, 0x7, 1, PFN_4K << 12 | 0x7);
	place(1)[1] = (PFN_4K + 1) << 12 | 0x7;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	*place(4) &= ~0x2ULL;
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_WRITE, NULL), CPU_OK);
	cpu_flush_all(&cpu);
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_WRITE, NULL), CPU_VIOLATION);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	*place(4) |= 0x2;
	/* Spurious once, then the CPU has forgotten. */
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
}

CPU_TEST(violation_drops_its_address)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x31);
	place(1)[1] = (PFN_4K + 1) << 12 | 0x31;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_READ, &out), CPU_OK);

	/* A right that was given is found, though the TLB lacks it. */
	*place(1) |= 0x2;
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	*place(1) = 0;
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_CHECK(out.from_tlb);

	HOST_EQ(do_access(CPU_EXEC), CPU_VIOLATION);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	/* Its neighbour is still there. */
	place(1)[1] = 0;
	HOST_EQ(cpu_access(&cpu, GFN_4 + 1, CPU_READ, &out), CPU_OK);
	HOST_CHECK(out.from_tlb);
}

CPU_TEST(misconfiguration_drops_nothing)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x17);
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
	*place(2) = 0;
	HOST_EQ(do_access(CPU_READ), CPU_MISCONFIG);
	HOST_EQ(out.level, 1);
	*place(1) = PFN_4K << 12 | 0x37;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
}

/* A link is cached though nothing is below it. */
CPU_TEST(prefetch_caches)
{
	build(&ept, 0x7, 1, 0);
	HOST_EQ(cpu_prefetch(&cpu, GFN_4), 0);
	HOST_CHECK(*place(2) & 0x100);
	*place(2) = 0;
	*place(1) = PFN_4K << 12 | 0x37;
	HOST_EQ(cpu_prefetch(&cpu, GFN_4), 1);
	HOST_EQ(*place(1), PFN_4K << 12 | 0x137);
	*place(1) = 0;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_CHECK(out.from_tlb);
	HOST_EQ(do_access(CPU_WRITE), CPU_VIOLATION);
}

/* What a CPU chooses, where it may; @choices is a digit each. */
static const char *choices;

static unsigned int next_choice(struct cpu *c, unsigned int n)
{
	unsigned int choice = *choices++ - '0';

	HOST_CHECK(c == &cpu);
	HOST_CHECK(choice < n);
	return choice;
}

CPU_TEST(chooses)
{
	build(&npt, 0x7, 1, PFN_4K << 12 | 0x7);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu.policy = CPU_POLICY_CHOOSE;
	cpu.choose = next_choice;

	*place(1) = (PFN_4K + 1) << 12 | 0x7;
	choices = "0";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
	/* Not the TLB, and of three links and the root the last. */
	choices = "13";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K + 1);
	HOST_EQ(*choices, 0);
	/* What was there is there still: nobody has invalidated it. */
	choices = "0";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
	/* The lowest link leads to what the others don't. */
	*place(3) = 0;
	choices = "10";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	choices = "12";
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	HOST_EQ(out.level, 3);
	choices = "";
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
}

CPU_TEST(new_link_beside_old)
{
	build(&npt, 0x7, 1, PFN_4K << 12 | 0x7);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu.policy = CPU_POLICY_CHOOSE;
	cpu.choose = next_choice;
	table[1] = table_new();
	*place(1) = (PFN_4K + 1) << 12 | 0x7;
	*place(2) = table[1] | 0x7;
	choices = "13";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	choices = "10";
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(out.pfn, PFN_4K);
}

/* A translation that allows more takes the place of one that allows less. */
CPU_TEST(wider_replaces_narrower)
{
	const u64 nx = BIT_ULL(63);

	build(&npt, 0x7, 1, nx | PFN_4K << 12 | 0x5);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	*place(1) = nx | PFN_4K << 12 | 0x7;
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
	HOST_EQ(cpu.nr_tlb, 1);
	/* Else both are kept: by the older one it can be written still. */
	*place(1) = PFN_4K << 12 | 0x5;
	HOST_EQ(do_access(CPU_EXEC), CPU_OK);
	HOST_EQ(cpu.nr_tlb, 2);
	HOST_EQ(do_access(CPU_WRITE), CPU_OK);
}

/*
 * I1: pages that were handed back too early.
 */

static void use_data(void *unused)
{
	data_hand_back(PFN_4K, 1);
	do_access(CPU_READ);
}

static void keep_data(void *unused)
{
	data_hand_back(PFN_4K, 1);
	cpu_check(&cpu);
}

static void use_huge_data(void *unused)
{
	data_hand_back(PFN_2M + 0x10, 2);
	do_access(CPU_READ);
}

static void keep_huge_data(void *unused)
{
	data_hand_back(PFN_2M + 0x12, 1);
	cpu_check(&cpu);
}

CPU_TEST(data_handed_back)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_check(&cpu);
	host_must_fail("I1", use_data, NULL);
	host_must_fail("I1", keep_data, NULL);
	data_hand_back(PFN_4K + 1, 1);
	cpu_check(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	*place(1) = 0;
	cpu_flush_range(&cpu, GFN_4, GFN_4 + 1);
	data_hand_back(PFN_4K, 1);
	cpu_check(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	/* It has another user now. */
	*place(1) = PFN_4K << 12 | 0x37;
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	HOST_CHECK(out.from_tlb);
}

CPU_TEST(huge_data_handed_back)
{
	build(&ept, 0x7, 2, PFN_2M << 12 | 0xb7);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	host_must_fail("I1", use_huge_data, NULL);
	host_must_fail("I1", keep_huge_data, NULL);
	data_hand_back(PFN_2M + 0x12, 1);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_flush_all(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_check(&cpu);
}

static void use_link(void *unused)
{
	table_free(table[1]);
	cpu_access(&cpu, GFN_4 + 1, CPU_READ, NULL);
}

static void use_link_to_new_table(void *unused)
{
	u64 pa;

	table_free(table[1]);
	/* The page is handed out again when all others have been. */
	do
		pa = table_new();
	while (pa != table[1]);
	cpu_access(&cpu, GFN_4 + 1, CPU_READ, NULL);
}

static void use_tlb_of_link(void *unused)
{
	table_free(table[1]);
	do_access(CPU_READ);
}

static void keep_link(void *unused)
{
	table_free(table[1]);
	cpu_check(&cpu);
}

static void walk_to_freed_table(void *unused)
{
	cpu_flush_all(&cpu);
	table_free(table[2]);
	do_access(CPU_READ);
}

static void walk_to_nowhere(void *unused)
{
	cpu_flush_all(&cpu);
	*place(3) = PFN_4K << 12 | 0x7;
	do_access(CPU_READ);
}

static void use_root(void *unused)
{
	table_free(table[4]);
	cpu_access(&cpu, 0, CPU_READ, NULL);
}

CPU_TEST(table_handed_back)
{
	build(&ept, 0x7, 1, PFN_4K << 12 | 0x37);
	HOST_EQ(do_access(CPU_READ), CPU_OK);
	cpu_check(&cpu);
	host_must_fail("I1", walk_to_freed_table, NULL);
	host_must_fail("I1", walk_to_nowhere, NULL);
	host_must_fail("I1", use_root, NULL);
	*place(2) = 0;
	host_must_fail("I1", use_link, NULL);
	host_must_fail("I1", use_link_to_new_table, NULL);
	host_must_fail("I1", use_tlb_of_link, NULL);
	host_must_fail("I1", keep_link, NULL);
	cpu_flush_range(&cpu, GFN_4, GFN_4 + 1);
	table_free(table[1]);
	cpu_check(&cpu);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
}

/* A table that never led to a page is cached all the same. */
static void free_empty_table(void *unused)
{
	*place(2) = 0;
	table_free(table[1]);
	cpu_check(&cpu);
}

CPU_TEST(empty_table_handed_back)
{
	build(&npt, 0x7, 1, 0);
	cpu_prefetch(&cpu, GFN_4);
	host_must_fail("I1", free_empty_table, NULL);
	HOST_EQ(do_access(CPU_READ), CPU_VIOLATION);
	free_empty_table(NULL);
}

static void fill_tlb(void *unused)
{
	u64 *leaves = __va(table[1]);
	unsigned int i;

	for (i = 0; i < 512; i++) {
		leaves[i] = (PFN_4K + i) << 12 | 0x37;
		cpu_access(&cpu, (GFN_4 & ~0x1ffULL) + i, CPU_READ, NULL);
	}
}

CPU_TEST(full)
{
	build(&ept, 0x7, 1, 0);
	host_must_fail("cpu-full", fill_tlb, NULL);
}

/*
 * A CPU and somebody who takes a table and a page away from it, in every order.
 */

enum flaw {
	FLAW_NONE,
	FLAW_NO_FLUSH,
	FLAW_FLUSH_FIRST,
	FLAW_FLUSH_OTHER,
	FLAW_FLUSH_LATE,
};

static enum flaw flaw;
static enum cpu_policy policy;
static u64 pages_lost;
static u64 found[2];

static void race_write(struct cpu *c, u64 gfn,
		       const struct cpu_outcome *outcome)
{
	if (pages_lost)
		host_fail("race", "CPU %d wrote to gfn %#llx", c->id, gfn);
	HOST_EQ(outcome->pfn, PFN_4K);
}

static void race_setup(void *unused)
{
	build(&npt, 0x7, 1, PFN_4K << 12 | 0x7);
	cpu.policy = policy;
	cpu.on_write = race_write;
	pages_lost = 0;
}

static void race_cpu(void *unused)
{
	do_access(CPU_READ);
	do_access(CPU_WRITE);
	do_access(CPU_WRITE);
}

static void race_flush(void)
{
	u64 gfn = GFN_4;

	if (flaw == FLAW_NO_FLUSH)
		return;
	if (flaw == FLAW_FLUSH_OTHER)
		gfn += 512;
	cpu_flush_range(&cpu, gfn, gfn + 1);
}

static void race_unmap(void *unused)
{
	u64 *leaf = place(1);
	u64 *link = place(2);

	if (flaw == FLAW_FLUSH_FIRST)
		race_flush();
	WRITE_ONCE(*link, 0);
	WRITE_ONCE(*leaf, 0);
	if (flaw == FLAW_NONE || flaw == FLAW_FLUSH_OTHER)
		race_flush();
	data_hand_back(PFN_4K, 1);
	table_free(table[1]);
	pages_lost++;
	if (flaw == FLAW_FLUSH_LATE)
		race_flush();
}

static void race_check(void *unused)
{
	HOST_EQ(pages_lost, 1);
	cpu_check(&cpu);
}

static void race(void *unused)
{
	static const struct sim_case c = {
		.name = "unmap",
		.nr_tasks = 2,
		.setup = race_setup,
		.task = { race_cpu, race_unmap },
		.check = race_check,
	};
	struct sim_stats stats;

	mem_reset();
	sim_explore_all(&c, 3, 0, &stats);
	HOST_CHECK(stats.complete);
	HOST_CHECK(stats.schedules > 10);
}

CPU_TEST(race_with_unmap)
{
	for (policy = CPU_POLICY_STALE; policy <= CPU_POLICY_CHOOSE; policy++) {
		flaw = FLAW_NONE;
		race(NULL);
		for (flaw = FLAW_NO_FLUSH; flaw <= FLAW_FLUSH_LATE; flaw++)
			host_must_fail("I1", race, NULL);
	}
}

/*
 * A leaf is exchanged while the CPU sets its dirty flag: whoever takes it out
 * learns of the write, unless it comes later.
 */

static void dirty_write(struct cpu *c, u64 gfn,
			const struct cpu_outcome *outcome)
{
	pages_lost++;
}

static void dirty_setup(void *unused)
{
	race_setup(NULL);
	cpu.on_write = dirty_write;
	found[0] = 0;
	found[1] = 0;
}

static void dirty_cpu(void *unused)
{
	do_access(CPU_WRITE);
}

static void dirty_take(void *unused)
{
	u64 *leaf = place(1);
	u64 was = READ_ONCE(*leaf);

	if (flaw == FLAW_NONE) {
		while (!try_cmpxchg64(leaf, &was, 0))
			;
	} else {
		/* What the CPU sets here goes unnoticed. */
		WRITE_ONCE(*leaf, 0);
	}
	cpu_flush_range(&cpu, GFN_4, GFN_4 + 1);
	found[0] = was & 0x40;
	found[1] = pages_lost;
}

static void dirty_check(void *unused)
{
	if (found[1] && !found[0])
		host_fail("race", "a write is lost");
	HOST_EQ(pages_lost, found[1]);
}

static void dirty(void *unused)
{
	static const struct sim_case c = {
		.name = "dirty",
		.nr_tasks = 2,
		.setup = dirty_setup,
		.task = { dirty_cpu, dirty_take },
		.check = dirty_check,
	};
	struct sim_stats stats;

	mem_reset();
	sim_explore_all(&c, 3, 0, &stats);
	HOST_CHECK(stats.complete);
}

CPU_TEST(race_for_dirty_flag)
{
	policy = CPU_POLICY_STALE;
	flaw = FLAW_NONE;
	dirty(NULL);
	flaw = FLAW_NO_FLUSH;
	host_must_fail("race", dirty, NULL);
}

/* The root goes away under an access, as obsolete roots do. */

static void unload_cpu(void *unused)
{
	enum cpu_result result = do_access(CPU_READ);

	HOST_CHECK(result == CPU_OK || result == CPU_NO_ROOT);
	HOST_CHECK(result == CPU_OK || pages_lost);
}

static void unload_root(void *unused)
{
	int level;

	WRITE_ONCE(*place(1), READ_ONCE(*place(1)));
	pages_lost = 1;
	cpu_unload(&cpu);
	for (level = 4; level; level--)
		table_free(table[level]);
	data_hand_back(PFN_4K, 1);
}

static void unload_check(void *unused)
{
	cpu_check(&cpu);
}

CPU_TEST(race_with_unload)
{
	static const struct sim_case c = {
		.name = "unload",
		.nr_tasks = 2,
		.setup = race_setup,
		.task = { unload_cpu, unload_root },
		.check = unload_check,
	};

	policy = CPU_POLICY_STALE;
	sim_explore_all(&c, 3, 0, NULL);
}
