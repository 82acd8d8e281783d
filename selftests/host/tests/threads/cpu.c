// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU thread: the CPU that walks the tables and caches what it finds, and the
 * fault handler around the engine.  What else the host does is host.c's.
 *
 * Bits of an entry are taken from the engine's format: whether those are what
 * hardware means by them is tested with the model in ../../cpu.c.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <time.h>

#include "guest.h"
#include "test.h"

/* Accesses from one entry into the guest to the next. */
#define GUEST_STAY	8
/* Others may have to run before a fault can pass. */
#define MAX_SECONDS	30

struct guest guest;

/* Marsaglia's xorshift, with a multiplier so that low bits are good as well. */
u64 next_random(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dULL) >> 16;
}

/*
 * The CPU.
 */

enum walk_result {
	WALK_OK,
	WALK_FAULT,
	WALK_AGAIN,	/* an entry changed between reading and marking it */
};

/* The right that the guest needs, as it stands in an entry. */
static u64 right_of(u8 want)
{
	if (want & PGT_W)
		return guest.fmt.write;
	if (want & PGT_X)
		return guest.fmt.exec;
	return guest.fmt.read;
}

static bool leaf_allows(u64 leaf, u8 want)
{
	if (want & PGT_X && leaf & guest.fmt.nx)
		return false;
	return (leaf & right_of(want)) == right_of(want);
}

/* Set accessed and dirty bits as a CPU does: only if nothing else changed. */
static bool mark(u64 *entry, u64 *leaf, u8 want, u64 gfn)
{
	const struct pgt_format *fmt = &guest.fmt;
	u64 new = *leaf | fmt->accessed;
	bool logs, ok;

	if (want & PGT_W)
		new |= fmt->dirty;
	if (new == *leaf)
		return true;
	logs = guest.config->pml && is_logged(gfn) &&
	       new & ~*leaf & fmt->dirty;
	if (logs)
		ADD(guest.logging[gfn - LOGGED_START], 1);
	ok = try_cmpxchg(entry, leaf, new);
	if (ok)
		*leaf = new;
	/*
	 * Before the write that it is about.  Had it been before the change,
	 * the log could be taken in between, with a leaf that looks clean.
	 */
	if (logs) {
		if (ok)
			STORE(guest.log[gfn - LOGGED_START], 1);
		ADD(guest.logging[gfn - LOGGED_START], -1);
	}
	return ok;
}

static enum walk_result cpu_walk(struct guest_cpu *cpu, u64 gfn, u8 want,
				 struct tlb_entry *found)
{
	const struct pgt_format *fmt = &guest.fmt;
	u64 *table = cpu->root->table;
	int level = cpu->root->levels;
	u64 *place, entry;

	if (cpu->upper.table && cpu->upper.base == pgt_base(gfn, 2)) {
		table = cpu->upper.table;
		level = 1;
	}
	for (;; level--) {
		place = table + pgt_index(gfn, level);
		entry = READ_ONCE(*place);
		if (!(entry & fmt->reach))
			return WALK_FAULT;
		if (level == 1 || entry & PGT_HUGE)
			break;
		table = __va(entry & fmt->addr);
		if (level == 2)
			cpu->upper = (struct upper_entry){ pgt_base(gfn, 2),
							   table };
	}
	if (!leaf_allows(entry, want))
		return WALK_FAULT;
	if (!mark(place, &entry, want, gfn))
		return WALK_AGAIN;
	*found = (struct tlb_entry){
		.base = pgt_base(gfn, level),
		.pfn = pgt_leaf_pfn(fmt, entry, level),
		.level = level,
		.rights = entry,
	};
	return WALK_OK;
}

static struct tlb_entry *cpu_tlb(struct guest_cpu *cpu, u64 gfn)
{
	return &cpu->tlb[(gfn ^ gfn >> 9) % TLB_ENTRIES];
}

/* Whether the CPU needs no walk; a clean page is walked for to be written. */
static bool tlb_hit(const struct tlb_entry *entry, u64 gfn, u8 want)
{
	if (!entry->level || entry->base != pgt_base(gfn, entry->level))
		return false;
	if (want & PGT_W && guest.fmt.dirty &&
	    !(entry->rights & guest.fmt.dirty))
		return false;
	return leaf_allows(entry->rights, want);
}

/*
 * Each is set before what the next one stands for, and cleared after, so the
 * order in which they are looked at matters: a page that may be written is about
 * to be logged, or in the log, or taken from it by somebody who has yet to make
 * this CPU drop its translation.
 */
static void check_logged(struct guest_cpu *cpu, u64 gfn)
{
	u64 page = gfn - LOGGED_START;

	if (!LOAD(guest.logging[page]) && !LOAD(guest.log[page]) &&
	    !LOAD(guest.harvesting[page]))
		host_fail("I3", "cpu %d writes to gfn %#llx, no log has it",
			  cpu->id, (unsigned long long)gfn);
}

static void cpu_use(struct guest_cpu *cpu, const struct tlb_entry *entry,
		    u64 gfn, u8 want)
{
	u64 pfn = entry->pfn + (gfn - entry->base);

	/*
	 * The generation changes after all CPUs have dropped the page, and this
	 * one has not been asked to, or not answered.
	 */
	if (pfn != host_pfn(gfn, LOAD(*generation_of(gfn))))
		host_fail("I1", "cpu %d uses pfn %#llx for gfn %#llx, which the host took back",
			  cpu->id, (unsigned long long)pfn,
			  (unsigned long long)gfn);
	if (want & PGT_W && is_logged(gfn)) {
		ADD(guest.written[gfn - LOGGED_START], 1);
		check_logged(cpu, gfn);
	}
}

static bool cpu_access(struct guest_cpu *cpu, u64 gfn, u8 want)
{
	struct tlb_entry *entry = cpu_tlb(cpu, gfn);
	enum walk_result result = WALK_AGAIN;

	if (!tlb_hit(entry, gfn, want)) {
		while (result == WALK_AGAIN)
			result = cpu_walk(cpu, gfn, want, entry);
		if (result == WALK_FAULT) {
			entry->level = 0;
			return false;
		}
	}
	cpu_use(cpu, entry, gfn, want);
	return true;
}

/* False: the root must be dropped first. */
static bool guest_enter(struct guest_cpu *cpu)
{
	STORE(cpu->in_guest, 1);
	cpu_serve(cpu);
	if (!LOAD(cpu->obsolete))
		return true;
	STORE(cpu->in_guest, 0);
	return false;
}

static void guest_exit(struct guest_cpu *cpu)
{
	STORE(cpu->in_guest, 0);
}

/*
 * The vCPU.
 */

static void refill(struct guest_cpu *cpu)
{
	if (pgt_cache_fill(&cpu->cache, PGT_MAX_LEVEL + 1, true))
		host_fail("memory", "out of memory in a fault");
}

static void cpu_load(struct guest_cpu *cpu)
{
	struct pgt_root *root;

	if (cpu->root && !LOAD(cpu->obsolete))
		return;
	if (cpu->root)
		pgt_root_put(cpu->root);
	cpu->root = NULL;
	refill(cpu);
	/* Under the lock, so that a request that comes later is not lost. */
	read_lock(&guest.lock);
	STORE(cpu->obsolete, 0);
	root = pgt_root_get(&guest.mmu, &guest.fmt, 4, 0,
			    cpu->id % GUEST_ROLES, &cpu->cache);
	read_unlock(&guest.lock);
	if (IS_ERR(root))
		host_fail("assert", "no root: %ld", PTR_ERR(root));
	cpu_drop_all(cpu);
	cpu->root = root;
}

static bool being_taken(unsigned long seq, u64 gfn)
{
	if (guest.invalidating && gfn >= guest.invalid_start &&
	    gfn < guest.invalid_end)
		return true;
	return guest.seq != seq;
}

static void cpu_map(struct guest_cpu *cpu, u64 gfn, u8 want)
{
	const struct guest_config *config = guest.config;
	struct pgt_map map = {
		.gfn = gfn,
		.level = is_logged(gfn) ? 1 : 2,
		.req_level = is_logged(gfn) ? 1 : 2,
		.access = PGT_R | PGT_W | PGT_X | (guest.fmt.user ? PGT_U : 0),
		.want = want,
		.memtype = config->memtype,
		.host_writable = true,
		.mmu_writable = true,
		.nx_huge = config->nx_huge,
		.log = is_logged(gfn),
	};
	struct pgt_batch batch;
	unsigned long seq;
	int ret;

	refill(cpu);
	if (map.log && !(want & PGT_W))
		map.access &= ~PGT_W;
	if (map.level > 1 && config->nx_huge && want & PGT_X) {
		map.level = 1;
		map.nx_disallow = true;
	}
	seq = LOAD(guest.seq);
	map.pfn = host_pfn(gfn, LOAD(*generation_of(gfn)));

	read_lock(&guest.lock);
	ret = -EAGAIN;
	if (!being_taken(seq, gfn)) {
		pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, false);
		ret = pgt_map(&batch, cpu->root, &map, &cpu->cache);
		pgt_batch_end(&batch);
	}
	read_unlock(&guest.lock);
	if (ret < 0 && ret != -EAGAIN)
		host_fail("assert", "pgt_map() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
	if (ret == -EAGAIN)
		cpu_relax();
	ADD(guest.faults, 1);
}

static void cpu_fault(struct guest_cpu *cpu, u64 gfn, u8 want)
{
	int ret;

	if (guest.fmt.user)
		want |= PGT_U;
	if (is_logged(gfn))
		ADD(guest.logging[gfn - LOGGED_START], 1);
	rcu_read_lock();
	ret = pgt_fix(cpu->root, gfn, want, is_logged(gfn));
	rcu_read_unlock();
	if (is_logged(gfn))
		ADD(guest.logging[gfn - LOGGED_START], -1);
	if (ret == -ENOENT || ret == -EACCES)
		cpu_map(cpu, gfn, want);
	else if (ret == PGT_DONE)
		ADD(guest.fixes, 1);
	else if (ret != PGT_SPURIOUS && ret != -EAGAIN)
		host_fail("assert", "pgt_fix() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
}

static u64 random_gfn(u64 *rnd)
{
	u64 n = next_random(rnd);

	/* A few pages of each kind, so that threads meet. */
	if (n % 2)
		return LOGGED_START + (n >> 1) % LOGGED_PAGES;
	return HUGE_START + (n >> 1) % HUGE_BLOCKS * PGT_ENTRIES +
	       (n >> 8) % 4 * 100;
}

static u8 random_want(u64 *rnd)
{
	static const u8 wants[] = { PGT_R, PGT_W, PGT_W, PGT_X };

	return wants[next_random(rnd) % 4];
}

void cpu_run(struct guest_cpu *cpu)
{
	u64 gfn = random_gfn(&cpu->rnd);
	u8 want = random_want(&cpu->rnd);
	time_t start = time(NULL);
	int left = GUEST_STAY;

	for (unsigned int tries = 1; left; tries++) {
		if (tries % 4096 == 0 && time(NULL) - start > MAX_SECONDS)
			host_fail("livelock", "cpu %d still faults at gfn %#llx",
				  cpu->id, (unsigned long long)gfn);
		cpu_load(cpu);
		if (!guest_enter(cpu))
			continue;
		while (left && cpu_access(cpu, gfn, want)) {
			left--;
			gfn = random_gfn(&cpu->rnd);
			want = random_want(&cpu->rnd);
			/* An interrupt, where there is one. */
			cpu_serve(cpu);
			if (LOAD(cpu->obsolete))
				break;
		}
		guest_exit(cpu);
		if (left && !LOAD(cpu->obsolete))
			cpu_fault(cpu, gfn, want);
	}
	ADD(guest.progress, 1);
}

void cpu_mmio(struct guest_cpu *cpu)
{
	u64 gfn = MMIO_START + next_random(&cpu->rnd) % MMIO_PAGES;
	struct pgt_batch batch;
	u64 access, gen;
	int ret;

	cpu_load(cpu);
	gen = LOAD(guest.mmio_gen);
	rcu_read_lock();
	ret = pgt_lookup_mmio(cpu->root, gfn, gen, &access);
	rcu_read_unlock();
	if (!ret)
		return;
	refill(cpu);
	read_lock(&guest.lock);
	pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, false);
	ret = pgt_map_mmio(&batch, cpu->root, gfn, gen, 0, &cpu->cache);
	pgt_batch_end(&batch);
	read_unlock(&guest.lock);
	if (ret < 0 && ret != -EAGAIN)
		host_fail("assert", "pgt_map_mmio() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
}

void cpu_create(struct guest_cpu *cpu, int id, u64 seed)
{
	*cpu = (struct guest_cpu){
		.id = id,
		.rnd = seed,
		.start = ~0ULL,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	pgt_cache_init(&cpu->cache, &guest.mmu);
}

void cpu_destroy(struct guest_cpu *cpu)
{
	if (cpu->root)
		pgt_root_put(cpu->root);
	cpu->root = NULL;
	pgt_cache_drain(&cpu->cache);
}
