// SPDX-License-Identifier: GPL-2.0
/*
 * A logical CPU: what the manuals say of an entry, the walk, and the caches.
 *
 * What an entry means is in the first part, by format, without state.  The
 * walk and the caches after it know entries through that part only.  Nothing
 * here includes a header of the engine.
 */
#include <string.h>
#include <asm/page.h>
#include <linux/bits.h>
#include <linux/types.h>
#include <pthread.h>

#include "cpu.h"
#include "sim/explore.h"
#include "sim/mem.h"
#include "test.h"

#define PAGE_BITS	12
#define INDEX_BITS	9

#define RIGHT_READ	BIT(0)
#define RIGHT_WRITE	BIT(1)
#define RIGHT_EXEC	BIT(2)
#define RIGHT_USER_EXEC	BIT(3)
#define RIGHT_ALL	(RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | RIGHT_USER_EXEC)

/*
 * What an entry means.
 */

/* SDM 29.3.2 */
#define EPT_READ	BIT_ULL(0)
#define EPT_WRITE	BIT_ULL(1)
#define EPT_EXEC	BIT_ULL(2)
#define EPT_TYPE	GENMASK_ULL(5, 3)
#define EPT_LEAF	BIT_ULL(7)
#define EPT_ACCESSED	BIT_ULL(8)
#define EPT_DIRTY	BIT_ULL(9)
#define EPT_USER_EXEC	BIT_ULL(10)
#define EPT_NO_VE	BIT_ULL(63)

/* SDM 4.4.2, 4.5.4; APM 5.4 */
#define PTE_PRESENT	BIT_ULL(0)
#define PTE_WRITE	BIT_ULL(1)
#define PTE_USER	BIT_ULL(2)
#define PTE_PWT		BIT_ULL(3)
#define PTE_PCD		BIT_ULL(4)
#define PTE_ACCESSED	BIT_ULL(5)
#define PTE_DIRTY	BIT_ULL(6)
#define PTE_LEAF	BIT_ULL(7)
#define PTE_PAT_4K	BIT_ULL(7)
#define PTE_PAT_HUGE	BIT_ULL(12)
#define PTE_NX		BIT_ULL(63)

enum kind {
	KIND_LEAF,
	KIND_LINK,
	KIND_ABSENT,
	KIND_MALFORMED,
};

static u64 pages_under(int level)
{
	return 1ULL << (INDEX_BITS * (level - 1));
}

static u64 first_under(u64 gfn, int level)
{
	return gfn & ~(pages_under(level) - 1);
}

/* Gfns of a root: PAE's top table has 4 entries (SDM 4.4.1), others 512. */
static u64 root_gfns(const struct cpu_mode *mode)
{
	if (mode->format == CPU_PAE)
		return 4 * pages_under(3);
	return pages_under(mode->levels + 1);
}

static u64 address_bits(const struct cpu_mode *mode)
{
	return GENMASK_ULL(mode->phys_bits - 1, PAGE_BITS) & ~mode->me_mask;
}

/*
 * Bits 51:MAXPHYADDR are reserved in every format.  Where an encryption bit is
 * above MAXPHYADDR as reduced by encryption (APM 7.10.1), it is not.
 */
static u64 beyond_address(const struct cpu_mode *mode)
{
	u64 bits = GENMASK_ULL(51, PAGE_BITS);

	return bits & ~GENMASK_ULL(mode->phys_bits - 1, PAGE_BITS) &
	       ~mode->me_mask;
}

/* The address bits that a leaf at @level has no use for. */
static u64 within_leaf(int level)
{
	int bits = PAGE_BITS + INDEX_BITS * (level - 1);

	return level == 1 ? 0 : GENMASK_ULL(bits - 1, PAGE_BITS);
}

/* Bit 7 makes a leaf at levels 2 and 3, where it is not reserved. */
static bool is_leaf(u64 entry, int level)
{
	return level == 1 || (level <= 3 && (entry & BIT_ULL(7)));
}

/*
 * SDM 29.3.2: present is what has one of bits 2:0, or with mode-based execute
 * control bit 10.  SDM 4.4.2, 4.5.4: bit 0.
 */
static bool is_present(const struct cpu_mode *mode, u64 entry)
{
	if (mode->format != CPU_EPT)
		return entry & PTE_PRESENT;
	return entry & (EPT_READ | EPT_WRITE | EPT_EXEC |
			(mode->mbec ? EPT_USER_EXEC : 0));
}

/* Reserved bits of a present entry: SDM 29.3.2, the tables there. */
static u64 ept_reserved(const struct cpu_mode *mode, u64 entry, int level)
{
	u64 bits = beyond_address(mode);

	if (level > 3)
		return bits | GENMASK_ULL(7, 3);
	if (level == 3 && !mode->huge_1g)
		bits |= EPT_LEAF;
	if (!is_leaf(entry, level))
		bits |= GENMASK_ULL(6, 3);
	else
		bits |= within_leaf(level);
	return bits;
}

/*
 * Reserved bits of a present entry: SDM 4.5.4, the tables there; APM 5.3.3.
 * The APM (some editions, at level 3) wants bit 8 of links at levels 3 to 5
 * clear, the SDM ignores it; a table must satisfy both.
 */
static u64 long_reserved(const struct cpu_mode *mode, u64 entry, int level)
{
	u64 bits = beyond_address(mode);

	if (!mode->nx)
		bits |= PTE_NX;
	if (level > 3 || (level == 3 && !mode->huge_1g))
		bits |= PTE_LEAF;
	if (!is_leaf(entry, level))
		bits |= level >= 3 ? BIT_ULL(8) : 0;
	else
		bits |= within_leaf(level) & ~PTE_PAT_HUGE;
	return bits;
}

/* Reserved bits of a present entry: SDM 4.4.1, 4.4.2, the tables there. */
static u64 pae_reserved(const struct cpu_mode *mode, u64 entry, int level)
{
	u64 bits = beyond_address(mode) | GENMASK_ULL(62, 52);

	if (level == 3)
		return bits | PTE_NX | GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5);
	if (!mode->nx)
		bits |= PTE_NX;
	if (is_leaf(entry, level))
		bits |= within_leaf(level) & ~PTE_PAT_HUGE;
	return bits;
}

static u64 reserved_bits(const struct cpu_mode *mode, u64 entry, int level)
{
	switch (mode->format) {
	case CPU_EPT:
		return ept_reserved(mode, entry, level);
	case CPU_LONG:
		return long_reserved(mode, entry, level);
	default:
		return pae_reserved(mode, entry, level);
	}
}

/* SDM 29.3.3.1: settings that are EPT misconfigurations besides. */
static bool ept_misconfigured(const struct cpu_mode *mode, u64 entry,
			      int level)
{
	if (!(entry & EPT_READ)) {
		if (entry & EPT_WRITE)
			return true;
		if (!mode->exec_only &&
		    (entry & (EPT_EXEC | (mode->mbec ? EPT_USER_EXEC : 0))))
			return true;
	}
	if (!is_leaf(entry, level))
		return false;
	switch ((entry & EPT_TYPE) >> 3) {
	case 2:
	case 3:
	case 7:
		return true;
	}
	return false;
}

static enum kind entry_kind(const struct cpu_mode *mode, u64 entry, int level)
{
	if (!is_present(mode, entry))
		return KIND_ABSENT;
	if (entry & reserved_bits(mode, entry, level))
		return KIND_MALFORMED;
	if (mode->format == CPU_EPT && ept_misconfigured(mode, entry, level))
		return KIND_MALFORMED;
	return is_leaf(entry, level) ? KIND_LEAF : KIND_LINK;
}

static u64 leaf_pfn(const struct cpu_mode *mode, u64 leaf, int level)
{
	return (leaf & address_bits(mode) & ~within_leaf(level)) >> PAGE_BITS;
}

/*
 * The rights that an entry leaves.  SDM 29.3.2: without mode-based execute
 * control, bit 2 is for all fetches.  APM 15.25.5: a nested walk is a user
 * access.  SDM 4.4.1: PDPTEs of PAE have no rights.
 */
static u8 entry_rights(const struct cpu_mode *mode, u64 entry, int level)
{
	u8 rights = 0;

	if (mode->format == CPU_EPT) {
		if (entry & EPT_READ)
			rights |= RIGHT_READ;
		if (entry & EPT_WRITE)
			rights |= RIGHT_WRITE;
		if (entry & EPT_EXEC)
			rights |= RIGHT_EXEC;
		if (entry & (mode->mbec ? EPT_USER_EXEC : EPT_EXEC))
			rights |= RIGHT_USER_EXEC;
		return rights;
	}
	if (mode->format == CPU_PAE && level == 3)
		return RIGHT_ALL;
	if (!(entry & PTE_USER))
		return 0;
	rights = RIGHT_READ;
	if (entry & PTE_WRITE)
		rights |= RIGHT_WRITE;
	if (!(entry & PTE_NX))
		rights |= RIGHT_EXEC | RIGHT_USER_EXEC;
	return rights;
}

static u8 right_needed(enum cpu_access access)
{
	switch (access) {
	case CPU_READ:
		return RIGHT_READ;
	case CPU_WRITE:
		return RIGHT_WRITE;
	case CPU_EXEC:
		return RIGHT_EXEC;
	default:
		return RIGHT_USER_EXEC;
	}
}

/* SDM 29.3.5: only with EPTP bit 6.  SDM 4.4.1, 4.8: PDPTEs of PAE have none. */
static u64 accessed_bit(const struct cpu_mode *mode, int level)
{
	if (mode->format == CPU_EPT)
		return mode->ad ? EPT_ACCESSED : 0;
	return mode->format == CPU_PAE && level == 3 ? 0 : PTE_ACCESSED;
}

/* Of a leaf. */
static u64 dirty_bit(const struct cpu_mode *mode)
{
	if (mode->format == CPU_EPT)
		return mode->ad ? EPT_DIRTY : 0;
	return PTE_DIRTY;
}

/* SDM 29.3.7: type and "ignore PAT".  SDM 4.9.2, APM 7.8.2: PAT, PCD, PWT. */
static u8 memory_type(const struct cpu_mode *mode, u64 leaf, int level)
{
	u8 index = 0;

	if (mode->format == CPU_EPT)
		return (leaf & GENMASK_ULL(6, 3)) >> 3;
	if (leaf & PTE_PWT)
		index |= 1;
	if (leaf & PTE_PCD)
		index |= 2;
	if (leaf & (level == 1 ? PTE_PAT_4K : PTE_PAT_HUGE))
		index |= 4;
	return index;
}

/*
 * The explorer, and threads.
 */

/* A place for "the CPUs' caches": what each flush writes, each access reads. */
static char caches;

/*
 * Others may run here.  Not sim_point(), which fails when @addr was freed in
 * the meantime: a CPU that was flushed does not go on to touch it.
 */
static void let_others_run(const void *addr, enum sim_kind kind)
{
#ifdef HOST_SIM
	if (sim_in_task)
		sim_point_task(addr, kind);
#else
	(void)addr;
	(void)kind;
#endif
}

/*
 * Nobody else runs from begin to end, also where functions called are points.
 * Return: to be passed to atomic_end().
 */
static bool atomic_begin(void)
{
#ifdef HOST_SIM
	bool was = sim_in_task;

	sim_in_task = false;
	return was;
#else
	return false;
#endif
}

static void atomic_end(bool was)
{
#ifdef HOST_SIM
	sim_in_task = was;
#else
	(void)was;
#endif
}

#ifdef HOST_THREADS
/* CPUs run one access at a time, and a flush waits for it. */
static pthread_mutex_t cpu_mutex = PTHREAD_MUTEX_INITIALIZER;

static void cpu_lock(void)
{
	pthread_mutex_lock(&cpu_mutex);
}

static void cpu_unlock(void)
{
	pthread_mutex_unlock(&cpu_mutex);
}
#else
static void cpu_lock(void)
{
}

static void cpu_unlock(void)
{
}
#endif

/*
 * Whether pages were handed back.
 */

static bool data_is_gone(u64 pfn, u32 since)
{
	return since != data_clock() && data_is_frame(pfn) &&
	       data_generation(pfn) > since;
}

/* A table that somebody has who could hand it back. */
static struct cpu_table table_at(u64 pa)
{
	u64 pfn = pa >> PAGE_BITS;
	struct cpu_table table = { .pa = pa };

	if (mem_is_table(pfn))
		table.generation = mem_generation(pfn);
	return table;
}

static bool table_is_gone(const struct cpu_table *table)
{
	u64 pfn = table->pa >> PAGE_BITS;

	return !mem_is_table(pfn) ||
	       mem_generation(pfn) != table->generation;
}

static void check_table(struct cpu *cpu, u64 gfn, int level,
			const struct cpu_table *table, const char *used)
{
	if (table_is_gone(table))
		host_fail("I1",
			  "CPU %d, gfn %#llx: table %#llx of level %d was handed back, or never was one, but is %s",
			  cpu->id, (unsigned long long)gfn,
			  (unsigned long long)table->pa, level, used);
}

static void check_tlb_data(struct cpu *cpu, const struct cpu_tlb *tlb, u64 gfn)
{
	u64 pfn = tlb->pfn + (gfn - tlb->gfn);

	if (data_is_gone(pfn, tlb->filled))
		host_fail("I1",
			  "CPU %d, gfn %#llx: data page %#llx was handed back but is in the TLB, from level %d",
			  cpu->id, (unsigned long long)gfn,
			  (unsigned long long)pfn, tlb->level);
}

/* The CPU may still have the links, as nothing has made it forget them. */
static void check_tlb_tables(struct cpu *cpu, const struct cpu_tlb *tlb,
			     u64 gfn)
{
	int level;

	for (level = tlb->level; level <= cpu->mode.levels; level++)
		check_table(cpu, gfn, level, &tlb->chain[level],
			    "on the way of a TLB entry");
}

static void check_psc(struct cpu *cpu, const struct cpu_psc *psc, u64 gfn)
{
	int level;

	for (level = psc->level - 1; level <= cpu->mode.levels; level++)
		check_table(cpu, gfn, level, &psc->chain[level],
			    "in the paging-structure cache");
}

/*
 * The caches.  Both are kept in the order in which entries came in.
 */

static bool tlb_covers(const struct cpu_tlb *tlb, u64 gfn)
{
	return tlb->gfn == first_under(gfn, tlb->level);
}

static bool psc_covers(const struct cpu_psc *psc, u64 gfn)
{
	return psc->gfn == first_under(gfn, psc->level);
}

static bool overlaps(u64 gfn, int level, u64 start, u64 end)
{
	return gfn < end && start < gfn + pages_under(level);
}

static void forget(struct cpu *cpu, u64 start, u64 end)
{
	unsigned int i, kept;

	for (i = 0, kept = 0; i < cpu->nr_tlb; i++) {
		struct cpu_tlb *tlb = &cpu->tlb[i];

		if (!overlaps(tlb->gfn, tlb->level, start, end))
			cpu->tlb[kept++] = *tlb;
	}
	cpu->nr_tlb = kept;

	for (i = 0, kept = 0; i < cpu->nr_psc; i++) {
		struct cpu_psc *psc = &cpu->psc[i];

		if (!overlaps(psc->gfn, psc->level, start, end))
			cpu->psc[kept++] = *psc;
	}
	cpu->nr_psc = kept;
}

static void need_room(struct cpu *cpu, unsigned int used, unsigned int size)
{
	if (used == size)
		host_fail("cpu-full", "CPU %d has no room to cache more",
			  cpu->id);
}

/*
 * Add an entry.  An older one for the same page goes only if the new one is good
 * for all that it was good for: hardware may keep both (SDM 4.10.2.3), and what
 * the older one alone allows must not be forgotten without an invalidation.
 */
static struct cpu_tlb *add_tlb(struct cpu *cpu, const struct cpu_tlb *tlb)
{
	unsigned int i, kept;

	for (i = 0, kept = 0; i < cpu->nr_tlb; i++) {
		const struct cpu_tlb *old = &cpu->tlb[i];

		if (old->level != tlb->level || old->gfn != tlb->gfn ||
		    old->pfn != tlb->pfn || old->rights & ~tlb->rights ||
		    (old->dirty && !tlb->dirty))
			cpu->tlb[kept++] = *old;
	}
	need_room(cpu, kept, CPU_TLB_ENTRIES);
	cpu->nr_tlb = kept + 1;
	cpu->tlb[kept] = *tlb;
	return &cpu->tlb[kept];
}

static void add_psc(struct cpu *cpu, const struct cpu_psc *psc)
{
	unsigned int i, kept;

	for (i = 0, kept = 0; i < cpu->nr_psc; i++) {
		const struct cpu_psc *old = &cpu->psc[i];

		if (old->level != psc->level || old->gfn != psc->gfn ||
		    memcmp(&old->chain[psc->level - 1],
			   &psc->chain[psc->level - 1],
			   sizeof(psc->chain[0])) ||
		    old->rights & ~psc->rights)
			cpu->psc[kept++] = *old;
	}
	need_room(cpu, kept, CPU_PSC_ENTRIES);
	cpu->nr_psc = kept + 1;
	cpu->psc[kept] = *psc;
}

/* The oldest translation that is good for an access. */
static const struct cpu_tlb *find_tlb(struct cpu *cpu, u64 gfn, u8 need)
{
	unsigned int i;

	for (i = 0; i < cpu->nr_tlb; i++) {
		const struct cpu_tlb *tlb = &cpu->tlb[i];

		if (!tlb_covers(tlb, gfn) || (tlb->rights & need) != need)
			continue;
		if ((need & RIGHT_WRITE) && !tlb->dirty)
			continue;
		return tlb;
	}
	return NULL;
}

/* The cached link at @level on the way to @gfn. */
static const struct cpu_psc *find_psc(struct cpu *cpu, u64 gfn, int level)
{
	unsigned int i;

	for (i = 0; i < cpu->nr_psc; i++)
		if (cpu->psc[i].level == level && psc_covers(&cpu->psc[i], gfn))
			return &cpu->psc[i];
	return NULL;
}

static unsigned int choose(struct cpu *cpu, unsigned int n)
{
	if (cpu->policy == CPU_POLICY_STALE || n == 1)
		return 0;
	if (cpu->choose)
		return cpu->choose(cpu, n);
#ifdef HOST_SIM
	return sim_choose(n);
#else
	return 0;
#endif
}

/*
 * The walk.
 */

/**
 * struct walk - a walk under way
 * @gfn:	to where
 * @flushes:	of the CPU when the walk began; if there were more, what has
 *		been read must be forgotten
 * @filled:	clock of the data pages when the leaf was read
 * @first:	level of the first entry that is read
 * @level:	level of the last entry that was read
 * @entry:	entries by level, as they were read or set since
 * @rights:	by level, of the entry there and all above
 * @chain:	tables by level
 */
struct walk {
	u64 gfn;
	u64 flushes;
	u32 filled;
	int first;
	int level;
	u64 entry[CPU_MAX_LEVEL + 1];
	u8 rights[CPU_MAX_LEVEL + 2];
	struct cpu_table chain[CPU_MAX_LEVEL + 1];
};

static void walk_begin(struct cpu *cpu, struct walk *walk, u64 gfn,
		       bool from_root)
{
	const struct cpu_psc *found[CPU_MAX_LEVEL + 1];
	const struct cpu_psc *psc;
	unsigned int n = 0;
	int level;

	walk->gfn = gfn;
	walk->flushes = cpu->flushes;
	walk->first = cpu->mode.levels;
	walk->rights[walk->first + 1] = RIGHT_ALL;
	walk->chain[walk->first] = cpu->root;

	for (level = 2; level <= cpu->mode.levels; level++) {
		psc = find_psc(cpu, gfn, level);
		if (psc)
			found[n++] = psc;
	}
	found[n++] = NULL;
	psc = from_root ? NULL : found[choose(cpu, n)];
	if (!psc)
		return;
	check_psc(cpu, psc, gfn);
	walk->first = psc->level - 1;
	walk->rights[psc->level] = psc->rights;
	for (level = walk->first; level <= cpu->mode.levels; level++)
		walk->chain[level] = psc->chain[level];
}

/*
 * Stand still before a table is touched, for others to run.
 *
 * Return: the entry on the way at @level, to be touched now, or NULL if the
 * walk is to be repeated.
 */
static u64 *walk_touch(struct cpu *cpu, struct walk *walk, int level,
		       enum sim_kind kind)
{
	u64 index = walk->gfn >> (INDEX_BITS * (level - 1));
	u64 pa = walk->chain[level].pa;
	u64 *table;

	/* What is no table at all has no address to wait at. */
	check_table(cpu, walk->gfn, level, &walk->chain[level],
		    "on the way of a walk");
	table = __va(pa);
	table += index & (BIT(INDEX_BITS) - 1);
	let_others_run(table, kind);
	if (walk->flushes != cpu->flushes)
		return NULL;
	check_table(cpu, walk->gfn, level, &walk->chain[level],
		    "on the way of a walk");
	return table;
}

/* Down to what is no link.  Return: false to repeat the walk. */
static bool walk_down(struct cpu *cpu, struct walk *walk, enum kind *kind)
{
	const struct cpu_mode *mode = &cpu->mode;
	u64 *place, entry;
	int level;

	for (level = walk->first;; level--) {
		place = walk_touch(cpu, walk, level, SIM_READ);
		if (!place)
			return false;
		entry = __atomic_load_n(place, __ATOMIC_SEQ_CST);
		walk->entry[level] = entry;
		walk->level = level;
		*kind = entry_kind(mode, entry, level);
		walk->rights[level] = walk->rights[level + 1] &
				      entry_rights(mode, entry, level);
		if (*kind != KIND_LINK)
			break;
		walk->chain[level - 1] = table_at(entry & address_bits(mode));
	}
	if (*kind == KIND_LEAF)
		walk->filled = data_clock();
	return true;
}

enum mark {
	MARK_SET,
	MARK_LOST,	/* the entry is not what was read */
	MARK_REPEAT,	/* the CPU was flushed */
};

/* SDM 4.8, 29.3.5; APM 5.4.2: flags are set by locked read-modify-write. */
static enum mark walk_mark(struct cpu *cpu, struct walk *walk, int level,
			   u64 bits)
{
	u64 old = walk->entry[level];
	u64 *place;

	if ((old & bits) == bits)
		return MARK_SET;
	place = walk_touch(cpu, walk, level, SIM_WRITE);
	if (!place)
		return MARK_REPEAT;
	if (!__atomic_compare_exchange_n(place, &old, old | bits, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return MARK_LOST;
	walk->entry[level] |= bits;
	return MARK_SET;
}

static enum mark walk_mark_links(struct cpu *cpu, struct walk *walk)
{
	enum mark mark;
	int level;

	for (level = walk->first; level > walk->level; level--) {
		mark = walk_mark(cpu, walk, level,
				 accessed_bit(&cpu->mode, level));
		if (mark != MARK_SET)
			return mark;
	}
	return MARK_SET;
}

static void cache_links(struct cpu *cpu, const struct walk *walk)
{
	int level, i;

	for (level = walk->first; level > walk->level; level--) {
		struct cpu_psc psc = {
			.gfn = first_under(walk->gfn, level),
			.level = level,
			.rights = walk->rights[level],
		};

		for (i = level - 1; i <= cpu->mode.levels; i++)
			psc.chain[i] = walk->chain[i];
		add_psc(cpu, &psc);
	}
}

static const struct cpu_tlb *cache_leaf(struct cpu *cpu,
					const struct walk *walk)
{
	const struct cpu_mode *mode = &cpu->mode;
	u64 dirty = dirty_bit(mode);
	int level = walk->level;
	u64 leaf = walk->entry[level];
	struct cpu_tlb tlb = {
		.gfn = first_under(walk->gfn, level),
		.pfn = leaf_pfn(mode, leaf, level),
		.entry = leaf,
		.filled = walk->filled,
		.level = level,
		.rights = walk->rights[level],
		.dirty = (leaf & dirty) == dirty,
	};
	int i;

	for (i = level; i <= mode->levels; i++)
		tlb.chain[i] = walk->chain[i];
	return add_tlb(cpu, &tlb);
}

/* @logged: the dirty flag was set just now. */
static void complete(struct cpu *cpu, const struct cpu_tlb *tlb, u64 gfn,
		     enum cpu_access access, bool logged,
		     struct cpu_outcome *outcome)
{
	const struct cpu_mode *mode = &cpu->mode;
	bool was = atomic_begin();

	check_tlb_data(cpu, tlb, gfn);
	check_tlb_tables(cpu, tlb, gfn);
	outcome->pfn = tlb->pfn + (gfn - tlb->gfn);
	outcome->level = tlb->level;
	outcome->memtype = memory_type(mode, tlb->entry, tlb->level);
	outcome->encrypted = tlb->entry & mode->me_mask;
	outcome->entry = tlb->entry;
	/* SDM 29.3.6: the log is written when the flag goes from 0 to 1. */
	if (logged && mode->format == CPU_EPT && cpu->pml && cpu->on_pml)
		cpu->on_pml(cpu, gfn);
	if (cpu->on_translate)
		cpu->on_translate(cpu, gfn, access, outcome);
	if (access == CPU_WRITE && cpu->on_write)
		cpu->on_write(cpu, gfn, outcome);
	atomic_end(was);
}

/*
 * A violation drops what the CPU has for the address, so that the next try
 * meets the tables (SDM 4.10.4.1, 29.4.3.1).  SDM 26.5.7.1: it is a #VE if bit
 * 63 is clear in the entry that is not present, or else in the leaf.
 */
static enum cpu_result violation(struct cpu *cpu, const struct walk *walk)
{
	const struct cpu_mode *mode = &cpu->mode;

	forget(cpu, walk->gfn, walk->gfn + 1);
	if (mode->format == CPU_EPT && mode->ve &&
	    !(walk->entry[walk->level] & EPT_NO_VE))
		return CPU_VE;
	return CPU_VIOLATION;
}

/*
 * What is to be done about an access that the TLB does not satisfy.
 *
 * Rights are judged at the end of the walk: SDM 29.3.3.2, "EPT violations".
 * Links are marked and cached though the leaf turns out malformed or, for a
 * prefetch, absent: a link can be cached without any translation below it (SDM
 * 4.10.3.1, 29.4.2), but not without its accessed flag.
 *
 * Return: MARK_SET if the access is over, with @result; else it is repeated.
 */
static enum mark do_access(struct cpu *cpu, struct walk *walk,
			   enum cpu_access access, struct cpu_outcome *outcome,
			   enum cpu_result *result)
{
	const struct cpu_mode *mode = &cpu->mode;
	u8 need = right_needed(access);
	const struct cpu_tlb *tlb;
	enum mark mark;
	enum kind kind;
	u64 bits, was;

	if (!walk_down(cpu, walk, &kind))
		return MARK_REPEAT;
	outcome->entry = walk->entry[walk->level];
	outcome->level = walk->level;

	if (kind == KIND_ABSENT ||
	    (kind == KIND_LEAF && !(walk->rights[walk->level] & need))) {
		*result = violation(cpu, walk);
		return MARK_SET;
	}

	mark = walk_mark_links(cpu, walk);
	if (mark != MARK_SET)
		return mark;
	if (kind == KIND_MALFORMED) {
		cache_links(cpu, walk);
		*result = CPU_MISCONFIG;
		return MARK_SET;
	}

	bits = accessed_bit(mode, walk->level);
	if (access == CPU_WRITE)
		bits |= dirty_bit(mode);
	was = walk->entry[walk->level];
	mark = walk_mark(cpu, walk, walk->level, bits);
	if (mark != MARK_SET)
		return mark;

	/* From here to the completion nobody else runs. */
	cache_links(cpu, walk);
	tlb = cache_leaf(cpu, walk);
	complete(cpu, tlb, walk->gfn, access, bits & ~was & dirty_bit(mode),
		 outcome);
	*result = CPU_OK;
	return MARK_SET;
}

static enum cpu_result access_gfn(struct cpu *cpu, u64 gfn,
				  enum cpu_access access,
				  struct cpu_outcome *outcome)
{
	const struct cpu_tlb *tlb;
	enum mark mark = MARK_SET;
	enum cpu_result result;
	struct walk walk;

	for (;;) {
		*outcome = (struct cpu_outcome){};
		let_others_run(&caches, SIM_READ);
		if (!cpu->loaded)
			return CPU_NO_ROOT;
		if (cpu->stopped)
			return CPU_STOPPED;
		/*
		 * SDM 29.3.2 wants the bits beyond to be clear, else there is
		 * a violation, which no entry takes part in.
		 */
		if (gfn >= root_gfns(&cpu->mode))
			return CPU_VIOLATION;

		tlb = find_tlb(cpu, gfn, right_needed(access));
		if (tlb && !choose(cpu, 2)) {
			outcome->from_tlb = true;
			complete(cpu, tlb, gfn, access, false, outcome);
			return CPU_OK;
		}

		/* What was lost was news; look at all of it. */
		walk_begin(cpu, &walk, gfn, mark == MARK_LOST);
		mark = do_access(cpu, &walk, access, outcome, &result);
		if (mark == MARK_SET)
			return result;
	}
}

static unsigned int prefetch_gfn(struct cpu *cpu, u64 gfn)
{
	enum mark mark = MARK_SET;
	struct walk walk;
	enum kind kind;
	unsigned int i;

	for (;;) {
		let_others_run(&caches, SIM_READ);
		if (!cpu->loaded || cpu->stopped ||
		    gfn >= root_gfns(&cpu->mode))
			return 0;
		for (i = 0; i < cpu->nr_tlb; i++)
			if (tlb_covers(&cpu->tlb[i], gfn))
				break;
		if (i < cpu->nr_tlb && !choose(cpu, 2))
			return cpu->tlb[i].level;

		walk_begin(cpu, &walk, gfn, mark == MARK_LOST);
		if (!walk_down(cpu, &walk, &kind)) {
			mark = MARK_REPEAT;
			continue;
		}
		mark = walk_mark_links(cpu, &walk);
		if (mark != MARK_SET)
			continue;
		if (kind != KIND_LEAF || !walk.rights[walk.level]) {
			cache_links(cpu, &walk);
			return 0;
		}
		mark = walk_mark(cpu, &walk, walk.level,
				 accessed_bit(&cpu->mode, walk.level));
		if (mark != MARK_SET)
			continue;
		cache_links(cpu, &walk);
		cache_leaf(cpu, &walk);
		return walk.level;
	}
}

enum cpu_result cpu_access(struct cpu *cpu, u64 gfn, enum cpu_access access,
			   struct cpu_outcome *outcome)
{
	struct cpu_outcome unused;
	enum cpu_result result;

	cpu_lock();
	result = access_gfn(cpu, gfn, access, outcome ?: &unused);
	cpu_unlock();
	return result;
}

unsigned int cpu_prefetch(struct cpu *cpu, u64 gfn)
{
	unsigned int level;

	cpu_lock();
	level = prefetch_gfn(cpu, gfn);
	cpu_unlock();
	return level;
}

/*
 * What makes a CPU forget.
 */

void cpu_init(struct cpu *cpu, const struct cpu_mode *mode)
{
	bool good = mode->phys_bits >= 32 && mode->phys_bits <= 52;

	if (mode->format == CPU_PAE)
		good = good && mode->levels == 3;
	else
		good = good && (mode->levels == 4 || mode->levels == 5);
	if (!good)
		host_fail("cpu-mode", "no CPU has %d levels, %d address bits",
			  mode->levels, mode->phys_bits);

	/* The caches may stay as they are: nothing of them is in use. */
	cpu->mode = *mode;
	cpu->id = 0;
	cpu->policy = CPU_POLICY_STALE;
	cpu->pml = false;
	cpu->owner = NULL;
	cpu->choose = NULL;
	cpu->on_pml = NULL;
	cpu->on_translate = NULL;
	cpu->on_write = NULL;
	cpu->flushes = 0;
	cpu->stopped = false;
	cpu_unload(cpu);
}

/* What runs on behalf of @cpu is to start over. */
static void interrupt(struct cpu *cpu)
{
	let_others_run(&caches, SIM_WRITE);
	cpu->flushes++;
}

static void interrupt_and_forget(struct cpu *cpu)
{
	interrupt(cpu);
	cpu->nr_tlb = 0;
	cpu->nr_psc = 0;
}

void cpu_unload(struct cpu *cpu)
{
	cpu_lock();
	interrupt_and_forget(cpu);
	cpu->loaded = false;
	cpu_unlock();
}

void cpu_load_root(struct cpu *cpu, u64 root_pa)
{
	cpu_lock();
	interrupt_and_forget(cpu);
	cpu->root = table_at(root_pa);
	cpu->loaded = true;
	check_table(cpu, 0, cpu->mode.levels, &cpu->root, "loaded");
	cpu_unlock();
}

void cpu_stop(struct cpu *cpu)
{
	cpu_lock();
	interrupt(cpu);
	cpu->stopped = true;
	cpu_unlock();
}

void cpu_go(struct cpu *cpu)
{
	cpu_lock();
	cpu->stopped = false;
	cpu_unlock();
}

void cpu_flush_range(struct cpu *cpu, u64 start, u64 end)
{
	if (start >= end)
		return;
	cpu_lock();
	interrupt(cpu);
	forget(cpu, start, end);
	cpu_unlock();
}

void cpu_flush_all(struct cpu *cpu)
{
	cpu_lock();
	interrupt_and_forget(cpu);
	cpu_unlock();
}

void cpu_check(struct cpu *cpu)
{
	unsigned int i;
	u64 gfn;

	cpu_lock();
	for (i = 0; i < cpu->nr_tlb; i++) {
		const struct cpu_tlb *tlb = &cpu->tlb[i];

		for (gfn = tlb->gfn; gfn < tlb->gfn + pages_under(tlb->level);
		     gfn++)
			check_tlb_data(cpu, tlb, gfn);
		check_tlb_tables(cpu, tlb, tlb->gfn);
	}
	for (i = 0; i < cpu->nr_psc; i++)
		check_psc(cpu, &cpu->psc[i], cpu->psc[i].gfn);
	if (cpu->loaded)
		check_table(cpu, 0, cpu->mode.levels, &cpu->root, "loaded");
	cpu_unlock();
}
