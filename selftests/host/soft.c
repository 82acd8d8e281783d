// SPDX-License-Identifier: GPL-2.0
/*
 * Software private page tables without a mirror above them.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "sim/explore.h"
#include "soft.h"
#include "test.h"

const struct soft_place soft_places[] = {
	{ &vm_configs[0], 4, 1 },
	{ &vm_configs[1], 4, 64 },
	{ &vm_configs[3], 5, 8 },
	{ &vm_configs[3], 4, 256 },
	{ &vm_configs[0], 3, 4 },
	{ &vm_configs[4], 4, 1 },
	{ &vm_configs[5], 5, 1 },
	{ &vm_configs[6], 4, 2 },
};

const unsigned int soft_nr_places = ARRAY_SIZE(soft_places);

struct soft soft;

/* What every table held before a call. */
static u64 before[SOFT_TABLES][PGT_ENTRIES];

u64 *soft_table(void)
{
	struct ptdesc *pt = pagetable_alloc(GFP_KERNEL_ACCOUNT, 0);
	u64 *table = ptdesc_address(pt);

	HOST_CHECK(soft.nr_tables < SOFT_TABLES);
	memset64(table, soft.fmt.nonpresent, PGT_ENTRIES);
	soft.table[soft.nr_tables++] = table;
	return table;
}

void soft_drop_table(void)
{
	__pagetable_free(virt_to_ptdesc(soft.table[--soft.nr_tables]));
}

void soft_create(const struct soft_place *place)
{
	const struct vm_config *config = place->config;
	struct pgt_attr leaf = {
		.access = PGT_ALL_RIGHTS,
		.memtype = config->mode.format == CPU_EPT ? 6 : 0,
		.encrypted = config->host.me_value,
	};
	u64 *table;

	soft = (struct soft){ .place = place };
	private_reset();
	HOST_EQ(config->init(&soft.fmt, &config->host), 0);
	table = soft_table();
	soft.cpu_root = table;
	for (int level = config->levels; level > place->level; level--) {
		u64 *next = soft_table();

		table[0] = pgt_make_table(&soft.fmt, __pa(next), level);
		table = next;
	}
	softsept_init(&soft.s, &soft.fmt, &leaf, table, place->nr,
		      place->level);
	softsept_finalize(&soft.s);
	soft.base = (place->nr - 1) * pgt_pages(place->level);
}

void soft_destroy(void)
{
	for (unsigned int i = 0; i < soft.nr_tables; i++)
		if (soft.table[i])
			__pagetable_free(virt_to_ptdesc(soft.table[i]));
	soft.nr_tables = 0;
}

u64 soft_pfn(u64 gfn)
{
	return DATA_PFN_BASE + gfn - soft.base;
}

/* Under the explorer others are at work too. */
static void remember(void)
{
	if (sim_in_task)
		return;
	for (unsigned int i = 0; i < soft.nr_tables; i++)
		if (soft.table[i])
			memcpy(before[i], soft.table[i], sizeof(before[i]));
	soft.s.last_error = SOFTSEPT_OK;
}

static void check_unchanged(void)
{
	for (unsigned int i = 0; i < soft.nr_tables && !sim_in_task; i++)
		if (soft.table[i] &&
		    memcmp(before[i], soft.table[i], sizeof(before[i])))
			host_fail("changed",
				  "a call that failed changed table %u", i);
}

static enum softsept_error result(int ret)
{
	enum softsept_error error = ret ? READ_ONCE(soft.s.last_error) :
					  SOFTSEPT_OK;

	if (!ret) {
		if (!sim_in_task)
			HOST_EQ(soft.s.last_error, SOFTSEPT_OK);
		return SOFTSEPT_OK;
	}
	switch (error) {
	case SOFTSEPT_BUSY:
	case SOFTSEPT_EPOCH_BUSY:
		HOST_EQ(ret, -EBUSY);
		break;
	case SOFTSEPT_INTERRUPTED:
		HOST_EQ(ret, -EINTR);
		break;
	case SOFTSEPT_PROMOTE:
		HOST_EQ(ret, -EOPNOTSUPP);
		break;
	default:
		HOST_EQ(ret, -EIO);
		HOST_CHECK(error != SOFTSEPT_OK);
	}
	check_unchanged();
	return error;
}

/* What the provider offers, as the mirror sees it. */
static const struct mirror_ops *begin(void)
{
	remember();
	return soft.s.provider.ops;
}

enum softsept_error soft_link_table(u64 gfn, int level, u64 *table)
{
	enum softsept_error error;

	error = result(begin()->link(&soft.s.provider, gfn, level, table));
	if (!error)
		soft.linked[level] = table;
	return error;
}

enum softsept_error soft_link(u64 gfn, int level)
{
	return soft_link_table(gfn, level, soft_table());
}

enum softsept_error soft_map_pfn(u64 gfn, int level, u64 pfn)
{
	int ret;

	remember();
	ret = soft.s.provider.ops->map(&soft.s.provider, gfn, level, &pfn, 1);
	return result(ret == 1 ? 0 : ret);
}

enum softsept_error soft_map(u64 gfn, int level)
{
	return soft_map_pfn(gfn, level, soft_pfn(gfn));
}

enum softsept_error soft_add(u64 gfn)
{
	return result(begin()->add(&soft.s.provider, gfn, soft_pfn(gfn)));
}

enum softsept_error soft_block(u64 gfn, int level)
{
	return result(begin()->block(&soft.s.provider, gfn, level));
}

enum softsept_error soft_track(void)
{
	return result(begin()->track(&soft.s.provider));
}

enum softsept_error soft_unblock(u64 gfn, int level)
{
	return result(begin()->unblock(&soft.s.provider, gfn, level));
}

enum softsept_error soft_remove(u64 gfn, int level)
{
	return result(begin()->remove(&soft.s.provider, gfn, level,
				      soft_pfn(gfn)));
}

enum softsept_error soft_unlink(u64 gfn, int level)
{
	return result(begin()->unlink(&soft.s.provider, gfn, level,
				      soft.linked[level]));
}

enum softsept_error soft_promote(u64 gfn, int level)
{
	return result(begin()->promote(&soft.s.provider, gfn, level,
				       soft.linked[level]));
}

enum softsept_error soft_demote(u64 gfn, int level)
{
	u64 *table = soft_table();
	enum softsept_error error;

	error = result(begin()->demote(&soft.s.provider, gfn, level, table));
	if (!error)
		soft.linked[level] = table;
	return error;
}

enum softsept_error soft_accept(u64 gfn, int level)
{
	enum softsept_error error;

	remember();
	rcu_read_lock();
	error = softsept_accept(&soft.s, gfn, level);
	rcu_read_unlock();
	if (error)
		check_unchanged();
	return error;
}

enum softsept_state soft_state(u64 gfn, int level)
{
	struct mirror_query query;
	enum softsept_state state;
	int found = level;

	state = softsept_state(&soft.s, gfn, &found);
	HOST_CHECK(found >= level);
	soft.s.provider.ops->query(&soft.s.provider, gfn, level, &query);
	HOST_EQ(query.state, state);
	HOST_EQ(query.level, found);
	HOST_CHECK(query.name);
	HOST_EQ(query.accepted, state == SOFTSEPT_MAPPED);
	HOST_EQ(query.leaf, state >= SOFTSEPT_PENDING);
	return state;
}

void soft_reach(u64 gfn, int level)
{
	for (int l = soft.place->level; l > level; l--)
		if (soft_state(pgt_base(gfn, l), l) == SOFTSEPT_FREE)
			HOST_EQ(soft_link(pgt_base(gfn, l), l), SOFTSEPT_OK);
}

/* 512 leaves below a link. */
static void make_children(u64 gfn, int level, bool mapped)
{
	u64 pfns[PGT_ENTRIES];

	for (unsigned int i = 0; i < PGT_ENTRIES; i++)
		pfns[i] = soft_pfn(gfn + i * pgt_pages(level));
	soft.s.auto_accept = mapped;
	HOST_EQ(soft.s.provider.ops->map(&soft.s.provider, gfn, level, pfns,
					 PGT_ENTRIES), PGT_ENTRIES);
	soft.s.auto_accept = false;
}

static void make_leaf(u64 gfn, int level, bool mapped)
{
	if (level < 3) {
		soft.s.auto_accept = mapped;
		HOST_EQ(soft_map(gfn, level), SOFTSEPT_OK);
		soft.s.auto_accept = false;
		return;
	}
	HOST_EQ(soft_link(gfn, level), SOFTSEPT_OK);
	make_children(gfn, level - 1, mapped);
	HOST_EQ(soft_block(gfn, level), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_promote(gfn, level), SOFTSEPT_OK);
}

void soft_make(u64 gfn, int level, enum softsept_state state,
	       enum softsept_state child)
{
	soft_reach(gfn, level);
	switch (state) {
	case SOFTSEPT_LINK:
	case SOFTSEPT_LINK_BLOCKED:
		HOST_EQ(soft_link(gfn, level), SOFTSEPT_OK);
		if (child != SOFTSEPT_FREE)
			make_children(gfn, level - 1,
				      child == SOFTSEPT_MAPPED);
		break;
	case SOFTSEPT_PENDING:
	case SOFTSEPT_PENDING_BLOCKED:
		make_leaf(gfn, level, false);
		break;
	case SOFTSEPT_MAPPED:
	case SOFTSEPT_BLOCKED:
		make_leaf(gfn, level, true);
		break;
	default:
		break;
	}
	if (state == SOFTSEPT_LINK_BLOCKED ||
	    state == SOFTSEPT_PENDING_BLOCKED || state == SOFTSEPT_BLOCKED) {
		HOST_EQ(soft_block(gfn, level), SOFTSEPT_OK);
		HOST_EQ(soft_track(), SOFTSEPT_OK);
	}
	HOST_EQ(soft_state(gfn, level), state);
}

/*
 * Bits as the manuals have them: what makes an entry present in EPT, with mode-
 * based execute control too, and in NPT.
 */
static void validate_entry(u64 entry, int level)
{
	bool ept = soft.place->config->mode.format == CPU_EPT;
	u64 present = ept ? 0x407 : 1;

	if (entry == soft.fmt.nonpresent || pgt_is_present(entry)) {
		HOST_EQ(!(entry & present), !pgt_is_present(entry));
		/* Bit 53 locks an entry, which no present one ever is. */
		HOST_EQ(entry & BIT_ULL(53), 0);
		return;
	}
	HOST_EQ(entry & 0xc07, 0);
	HOST_EQ(entry & BIT_ULL(63), soft.fmt.nonpresent);
	/* What it names is no memory, whatever the CPU makes of the highest. */
	HOST_EQ(entry >> 46 & 0x3f, 0x3f);
	HOST_CHECK((entry & GENMASK_ULL(45, 12)) >> 12 >=
		   DATA_PFN_BASE + DATA_FRAMES);
}

static void validate_table(const u64 *table, int level, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		validate_entry(table[i], level);
		if (pgt_is_table(table[i], level))
			validate_table(__va(pgt_table_pa(&soft.fmt, table[i])),
				       level - 1, PGT_ENTRIES);
	}
}

void soft_validate(void)
{
	validate_table(soft.s.root, soft.place->level, soft.place->nr);
}
