// SPDX-License-Identifier: GPL-2.0
/*
 * The software provider: when 512 leaves become one, and what one becomes.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "soft.h"
#include "test.h"

/* What is wrong with the table that is to become a leaf. */
enum flaw {
	NONE,
	MIXED_FIRST,
	MIXED_LAST,
	SWAPPED,	/* two pages are in each other's place */
	SHIFTED,	/* contiguous, from the second page of a larger one on */
	HOLE_FIRST,
	HOLE_LAST,
	EMPTY,
	CHILD_BLOCKED,
	CHILD_LINK,	/* at level 3: a table among the leaves */
	NR_FLAWS,
};

static u64 child_pfn(u64 gfn, unsigned int i, int level, enum flaw flaw)
{
	unsigned int shift = flaw == SHIFTED;

	if (flaw == SWAPPED && (i == 7 || i == 300))
		i = 307 - i;
	return soft_pfn(gfn) + (i + shift) * pgt_pages(level);
}

/* A table of leaves at @level - 1, with a flaw; false: there is no such one. */
static bool make_table(u64 gfn, int level, bool mapped, enum flaw flaw)
{
	u64 size = pgt_pages(level - 1);
	unsigned int odd = flaw == MIXED_FIRST || flaw == HOLE_FIRST ? 0 : 511;

	if (flaw == CHILD_LINK && level != 3)
		return false;
	soft_reach(gfn, level - 1);
	for (unsigned int i = 0; i < 512 && flaw != EMPTY; i++) {
		u64 pfn = child_pfn(gfn, i, level - 1, flaw);
		bool change = i == odd && (flaw == MIXED_FIRST ||
					   flaw == MIXED_LAST);

		if (i == odd && (flaw == HOLE_FIRST || flaw == HOLE_LAST))
			continue;
		if (i == odd && flaw == CHILD_LINK) {
			HOST_EQ(soft_link(gfn + i * size, 2), SOFTSEPT_OK);
			continue;
		}
		soft.s.auto_accept = mapped != change;
		HOST_EQ(soft_map_pfn(gfn + i * size, level - 1, pfn),
			SOFTSEPT_OK);
	}
	soft.s.auto_accept = false;
	if (flaw == CHILD_BLOCKED)
		HOST_EQ(soft_block(gfn + 5 * size, level - 1), SOFTSEPT_OK);
	return true;
}

static bool empty(const u64 *table)
{
	for (unsigned int i = 0; i < 512; i++)
		if (table[i] != soft.fmt.nonpresent)
			return false;
	return true;
}

static void promote(const struct soft_place *place, int level, bool mapped,
		    enum flaw flaw)
{
	enum softsept_state state = mapped ? SOFTSEPT_MAPPED : SOFTSEPT_PENDING;
	u64 gfn;

	soft_create(place);
	gfn = soft.base;
	if (!make_table(gfn, level, mapped, flaw)) {
		soft_destroy();
		return;
	}
	HOST_EQ(soft_promote(gfn, level), SOFTSEPT_NOT_BLOCKED);
	HOST_EQ(soft_block(gfn, level), SOFTSEPT_OK);
	HOST_EQ(soft_promote(gfn, level), SOFTSEPT_NOT_TRACKED);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_promote(gfn, level), flaw ? SOFTSEPT_PROMOTE :
						 SOFTSEPT_OK);
	if (flaw) {
		/* It stays blocked until it is unblocked. */
		HOST_EQ(soft_state(gfn, level), SOFTSEPT_LINK_BLOCKED);
		HOST_EQ(soft_unblock(gfn, level), SOFTSEPT_OK);
		HOST_EQ(soft_state(gfn, level), SOFTSEPT_LINK);
	} else {
		int found = 1;

		HOST_EQ(softsept_state(&soft.s, gfn + 3, &found), state);
		HOST_EQ(found, level);
		HOST_CHECK(empty(soft.linked[level]));
		/* Not blocked: the leaf has its own life from now on. */
		HOST_EQ(soft_remove(gfn, level), SOFTSEPT_NOT_BLOCKED);
		if (!mapped && level == 2) {
			HOST_EQ(soft_accept(gfn, 2), SOFTSEPT_OK);
			HOST_EQ(soft_accept(gfn + 3, 1), SOFTSEPT_ACCEPTED);
		}
	}
	soft_validate();
	soft_destroy();
}

HOST_TEST(softsept, promote)
{
	for (unsigned int p = 0; p < soft_nr_places; p++)
		for (int level = 2; level <= 3; level++)
			for (int mapped = 0; mapped <= 1; mapped++)
				for (int flaw = 0; flaw < NR_FLAWS; flaw++)
					promote(&soft_places[p], level, mapped,
						flaw);
}

/* A CPU that has set accessed and dirty bits does not matter. */
HOST_TEST(softsept, promote_used)
{
	static struct cpu cpu;
	struct soft_place place = soft_places[0];
	u64 gfn;

	soft_create(&place);
	gfn = soft.base;
	/* What the CPU will set must not be there yet. */
	soft.s.leaf.access = PGT_R | PGT_X;
	soft.s.leaf.accessed = false;
	make_table(gfn, 2, true, NONE);
	cpu_init(&cpu, &place.config->mode);
	cpu_load_root(&cpu, __pa(soft.cpu_root));
	HOST_EQ(cpu_access(&cpu, gfn + 4, CPU_READ, NULL), CPU_OK);
	HOST_CHECK(soft.linked[2][4] & soft.fmt.accessed);
	cpu_unload(&cpu);
	HOST_EQ(soft_block(gfn + 4, 1), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_unblock(gfn + 4, 1), SOFTSEPT_OK);
	cpu_load_root(&cpu, __pa(soft.cpu_root));
	HOST_EQ(cpu_access(&cpu, gfn + 9, CPU_READ, NULL), CPU_OK);
	cpu_unload(&cpu);
	HOST_EQ(soft_block(gfn, 2), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_promote(gfn, 2), SOFTSEPT_OK);
	soft_destroy();
}

static void demote(const struct soft_place *place, int level, bool mapped)
{
	enum softsept_state state = mapped ? SOFTSEPT_MAPPED : SOFTSEPT_PENDING;
	u64 size = pgt_pages(level - 1);
	u64 gfn, *table;

	soft_create(place);
	gfn = soft.base;
	soft_make(gfn, level, mapped ? SOFTSEPT_BLOCKED :
				       SOFTSEPT_PENDING_BLOCKED, 0);
	/* Into a table that isn't empty it can't. */
	table = soft_table();
	table[3] ^= 0x18;
	HOST_EQ(soft.s.provider.ops->demote(&soft.s.provider, gfn, level,
					    table), -EIO);
	HOST_EQ(soft.s.last_error, SOFTSEPT_OPERAND);
	HOST_EQ(soft_demote(gfn, level), SOFTSEPT_OK);
	HOST_EQ(soft_state(gfn, level), SOFTSEPT_LINK);
	for (unsigned int i = 0; i < 512; i++)
		HOST_EQ(soft_state(gfn + i * size, level - 1), state);
	soft_validate();
	/* Each needs its own block and track. */
	HOST_EQ(soft_remove(gfn + 9 * size, level - 1), SOFTSEPT_NOT_BLOCKED);
	HOST_EQ(soft_block(gfn + 9 * size, level - 1), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn + 9 * size, level - 1), SOFTSEPT_NOT_TRACKED);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn + 9 * size, level - 1), SOFTSEPT_OK);
	/* The pages are where they were. */
	for (unsigned int i = 10; i < 512; i++) {
		HOST_EQ(soft_block(gfn + i * size, level - 1), SOFTSEPT_OK);
		if (i == 511)
			HOST_EQ(soft_track(), SOFTSEPT_OK);
	}
	HOST_EQ(soft_remove(gfn + 511 * size, level - 1), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn + 10 * size, level - 1), SOFTSEPT_OK);
	if (!mapped && level == 3)
		HOST_EQ(soft_accept(gfn, 2), SOFTSEPT_OK);
	soft_destroy();
}

HOST_TEST(softsept, demote)
{
	for (unsigned int p = 0; p < soft_nr_places; p++)
		for (int level = 2; level <= 3; level++)
			for (int mapped = 0; mapped <= 1; mapped++)
				demote(&soft_places[p], level, mapped);
}

/* Down to 4K and all the way back, and then nothing is left. */
HOST_TEST(softsept, there_and_back)
{
	u64 gfn;

	soft_create(&soft_places[1]);
	gfn = soft.base;
	soft_make(gfn, 3, SOFTSEPT_BLOCKED, 0);
	HOST_EQ(soft_demote(gfn, 3), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn + 512, 2), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_demote(gfn + 512, 2), SOFTSEPT_OK);
	HOST_EQ(soft_state(gfn + 513, 1), SOFTSEPT_MAPPED);
	for (int level = 2; level <= 3; level++) {
		u64 at = level == 2 ? gfn + 512 : gfn;

		HOST_EQ(soft_block(at, level), SOFTSEPT_OK);
		HOST_EQ(soft_track(), SOFTSEPT_OK);
		HOST_EQ(soft_promote(at, level), SOFTSEPT_OK);
	}
	HOST_EQ(soft_block(gfn, 3), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn, 3), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn, 4), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_unlink(gfn, 4), SOFTSEPT_OK);
	for (unsigned int i = 0; i < soft.s.nr; i++)
		HOST_EQ(soft.s.root[i], soft.fmt.nonpresent);
	soft_destroy();
}
