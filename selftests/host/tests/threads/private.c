// SPDX-License-Identifier: GPL-2.0
/*
 * Private memory on threads: vCPUs that enter, use what they have cached, fault and
 * accept; and a host that lets go of pages, resizes leaves and looks at them.
 *
 * The shared half is struct guest's, and nobody uses it.  What is in a page is real
 * here, a byte per vCPU, and no access of it is marked.  So the thread sanitizer
 * sees a page that a vCPU, or who clears it, writes to when it is the host's.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "mirror/env.h"
#include "mirror/mirror.h"
#include "mirror/softsept.h"
#include "sim/mem.h"
#include "test.h"

#define TURNS		1000
#define ROUNDS		3

#define PRIVATE_END	BIT_ULL(27)
/* Of the first blocks single pages go, the others are large leaves or go whole. */
#define SMALL_PAGES	1024ULL
#define PAGES		2048ULL

/* Accesses from one entry into the guest to the next. */
#define STAY		8
/* Others may have to run before an access can be made. */
#define MAX_SECONDS	30

/**
 * struct private_cpu - a vCPU
 * @soft:	the provider's part
 * @cache:	for its faults
 * @rnd:	state of its random numbers
 * @kicked:	it has to leave the guest
 * @in_guest:	from before it counts in until after it has counted out
 * @exits:	how often it has left
 * @tlb:	what it has cached
 */
struct private_cpu {
	struct softsept_vcpu soft;
	struct mirror_cache cache;
	u64 rnd;
	int kicked;
	int in_guest;
	unsigned long exits;
	struct tlb_entry tlb[TLB_ENTRIES];
};

/**
 * struct private_vm - the private half
 * @contents:	of the page behind a gfn, for each vCPU and for the host
 * @host:	protects what the host does to pages that it has got back
 */
static struct private_vm {
	struct softsept soft;
	struct mirror mirror;
	struct host_counters counters;
	struct pgt_root *root;
	u64 *entries;
	unsigned int nr_entries;
	struct private_cpu cpu[GUEST_CPUS];
	u32 generation[PAGES];
	u8 contents[PAGES][GUEST_CPUS];
	pthread_mutex_t host;
} private;

static bool is_small(u64 gfn)
{
	return gfn < SMALL_PAGES;
}

/* With the lock held and no zap in progress there, or by who zaps. */
static u64 private_pfn(u64 gfn)
{
	return host_pfn(gfn, LOAD(private.generation[gfn]));
}

/*
 * What the mirror asks for.
 */

void mirror_env_kick(struct mirror *mirror)
{
	unsigned long exits[GUEST_CPUS];

	for (int i = 0; i < GUEST_CPUS; i++) {
		struct private_cpu *cpu = &private.cpu[i];

		exits[i] = LOAD(cpu->exits);
		if (LOAD(cpu->in_guest))
			STORE(cpu->kicked, 1);
	}
	for (int i = 0; i < GUEST_CPUS; i++) {
		struct private_cpu *cpu = &private.cpu[i];

		while (LOAD(cpu->in_guest) && LOAD(cpu->exits) == exits[i])
			cpu_relax();
	}
}

void mirror_env_broken(struct mirror *mirror, enum mirror_call call, u64 gfn,
		       int level, int error)
{
	host_fail("broken", "call %d for gfn %#llx at level %d returned %d",
		  call, (unsigned long long)gfn, level, error);
}

void mirror_env_leak(struct mirror *mirror, u64 pfn, int level)
{
	host_fail("leak", "pfn %#llx", (unsigned long long)pfn);
}

void softsept_env_clear(u64 pfn, int level)
{
	u64 gfn = host_pfn_gfn(pfn);

	memset(private.contents[gfn], 0,
	       pgt_pages(level) * sizeof(private.contents[gfn]));
}

void mirror_env_trace(struct mirror *mirror, enum mirror_call call, u64 gfn,
		      int level, int ret)
{
}

/*
 * vCPUs.
 */

static bool vcpu_enter(struct private_cpu *cpu)
{
	bool flush = false;

	/* Who kicks us from here on has seen that we are in the guest. */
	STORE(cpu->kicked, 0);
	STORE(cpu->in_guest, 1);
	if (!softsept_enter(&private.soft, &cpu->soft, &flush)) {
		STORE(cpu->in_guest, 0);
		return false;
	}
	for (int i = 0; flush && i < TLB_ENTRIES; i++)
		cpu->tlb[i].level = 0;
	return true;
}

static void vcpu_exit(struct private_cpu *cpu)
{
	softsept_exit(&private.soft, &cpu->soft);
	ADD(cpu->exits, 1);
	STORE(cpu->in_guest, 0);
}

static bool vcpu_walk(u64 gfn, struct tlb_entry *found)
{
	u64 *place = &private.entries[pgt_index(gfn, private.soft.level)];
	int level = private.soft.level;
	u64 entry;

	for (;; level--) {
		entry = READ_ONCE(*place);
		if (!(entry & guest.fmt.reach))
			return false;
		if (level == 1 || entry & PGT_HUGE)
			break;
		place = (u64 *)__va(entry & guest.fmt.addr) +
			pgt_index(gfn, level - 1);
	}
	*found = (struct tlb_entry){
		.base = pgt_base(gfn, level),
		.pfn = pgt_leaf_pfn(&guest.fmt, entry, level),
		.level = level,
	};
	return true;
}

static bool vcpu_access(struct private_cpu *cpu, u64 gfn)
{
	struct tlb_entry *entry = &cpu->tlb[gfn % TLB_ENTRIES];
	u64 pfn;

	if ((!entry->level || entry->base != pgt_base(gfn, entry->level)) &&
	    !vcpu_walk(gfn, entry)) {
		entry->level = 0;
		return false;
	}
	pfn = entry->pfn + (gfn - entry->base);
	if (pfn != private_pfn(gfn))
		host_fail("I1", "a vCPU uses pfn %#llx for gfn %#llx, which the host took back",
			  (unsigned long long)pfn, (unsigned long long)gfn);
	private.contents[gfn][cpu - private.cpu]++;
	return true;
}

static bool is_invalid(u64 start, u64 end)
{
	return guest.invalidating && start < guest.invalid_end &&
	       end > guest.invalid_start;
}

static void private_refill(struct mirror_cache *cache)
{
	if (mirror_cache_fill(cache, PGT_MAX_LEVEL))
		host_fail("memory", "out of memory");
}

static void split(u64 gfn, int level)
{
	struct mirror_cache cache;

	mirror_cache_init(&cache, &private.mirror);
	private_refill(&cache);
	write_lock(&guest.lock);
	HOST_EQ(mirror_split(&private.mirror, gfn, level, &cache), 0);
	write_unlock(&guest.lock);
	mirror_cache_drain(&cache);
}

/* A page, with neighbours, or a large leaf. */
static void vcpu_map(struct private_cpu *cpu, u64 gfn, int level)
{
	u64 pfns[16], pages = pgt_pages(level);
	struct mirror_map map = {
		.gfn = gfn,
		.level = level,
		.start = level == 1 ? gfn & ~15ULL : pgt_base(gfn, level),
		.pfns = pfns,
		.nr = level == 1 ? ARRAY_SIZE(pfns) : 1,
		.max_level = level,
	};
	int ret = -EAGAIN;

	private_refill(&cpu->cache);
	read_lock(&guest.lock);
	for (unsigned int i = 0; i < map.nr; i++) {
		u64 start = map.start + i * pages;

		pfns[i] = is_invalid(start, start + pages) ? PGT_NO_PFN :
							     private_pfn(start);
	}
	if (!is_invalid(pgt_base(gfn, level), pgt_base(gfn, level) + pages))
		ret = mirror_map(&private.mirror, &map, &cpu->cache);
	read_unlock(&guest.lock);
	if (ret == -E2BIG)
		split(gfn, level);
	else if (ret == -EAGAIN)
		cpu_relax();
	else if (ret < 0)
		host_fail("assert", "mirror_map() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
	ADD(guest.faults, 1);
}

/* The guest accepts, with the largest size first, and exits where it has to. */
static void vcpu_fault(struct private_cpu *cpu, u64 gfn)
{
	int level = is_small(gfn) || next_random(&cpu->rnd) % 4 == 0 ? 1 : 2;
	enum softsept_error error = SOFTSEPT_SIZE;

	while (level && error == SOFTSEPT_SIZE) {
		rcu_read_lock();
		error = softsept_accept(&private.soft, pgt_base(gfn, level),
					level);
		rcu_read_unlock();
		if (error == SOFTSEPT_EXIT)
			vcpu_map(cpu, gfn, level);
		level--;
	}
	switch (error) {
	case SOFTSEPT_OK:
	case SOFTSEPT_ACCEPTED:
	case SOFTSEPT_BUSY:
	case SOFTSEPT_EXIT:
		break;
	default:
		host_fail("assert", "accept of gfn %#llx: error %d",
			  (unsigned long long)gfn, error);
	}
}

/* A few of each block, so that threads meet. */
static u64 draw_gfn(u64 *rnd)
{
	u64 n = next_random(rnd);

	return n % 4 * 512 + (n >> 8) % 24 + (n >> 16) % 2 * 488;
}

static void vcpu_turn(struct private_cpu *cpu)
{
	u64 gfn = draw_gfn(&cpu->rnd);
	time_t start = time(NULL);
	int left = STAY;

	for (unsigned int tries = 1; left; tries++) {
		if (tries % 4096 == 0 && time(NULL) - start > MAX_SECONDS)
			host_fail("livelock", "gfn %#llx still faults",
				  (unsigned long long)gfn);
		if (!vcpu_enter(cpu)) {
			cpu_relax();
			continue;
		}
		while (left && !LOAD(cpu->kicked) && vcpu_access(cpu, gfn)) {
			gfn = draw_gfn(&cpu->rnd);
			left--;
		}
		vcpu_exit(cpu);
		if (left)
			vcpu_fault(cpu, gfn);
	}
	ADD(guest.progress, 1);
}

static void run_vcpu(unsigned int nr)
{
	for (int i = 0; i < TURNS; i++) {
		vcpu_turn(&private.cpu[nr]);
		/* The host's threads are slower, and wait for us. */
		usleep(20);
	}
}

/*
 * The host.
 */

static void invalidate_begin(u64 start, u64 end)
{
	if (guest.invalidating++) {
		guest.invalid_start = min(guest.invalid_start, start);
		guest.invalid_end = max(guest.invalid_end, end);
	} else {
		guest.invalid_start = start;
		guest.invalid_end = end;
	}
}

static void zap(u64 start, u64 end, bool tables)
{
	struct pgt_range range = { start, end };
	struct mirror_cache cache;
	int ret;

	mirror_cache_init(&cache, &private.mirror);
	private_refill(&cache);
	write_lock(&guest.lock);
	invalidate_begin(start, end);
	ret = tables ? mirror_zap_tables(&private.mirror, &range, true,
					 &cache) :
		       mirror_zap(&private.mirror, &range, true, &cache);
	HOST_EQ(ret, 0);
	write_unlock(&guest.lock);
	mirror_cache_drain(&cache);

	/* They are the host's, whoever else lets go of them. */
	pthread_mutex_lock(&private.host);
	memset(private.contents[start], 0xee,
	       (end - start) * sizeof(private.contents[start]));
	for (u64 gfn = start; gfn < end; gfn++)
		ADD(private.generation[gfn], 1);
	pthread_mutex_unlock(&private.host);

	write_lock(&guest.lock);
	guest.invalidating--;
	write_unlock(&guest.lock);
}

static void host_zap(u64 *rnd)
{
	u64 n = next_random(rnd);
	u64 start = n % SMALL_PAGES, end = start + 1 + (n >> 16) % 64;

	/* Whole blocks, of the second half those only. */
	if (n >> 32 & 1) {
		start = (n >> 33) % 4 * 512;
		end = start + 512;
	} else {
		end = min(end, SMALL_PAGES);
	}
	zap(start, end, (n >> 40) % 4 == 0);
}

static void host_resize(u64 *rnd)
{
	u64 n = next_random(rnd);
	struct pgt_range range = { 0, PAGES };

	if (n % 2) {
		split(n >> 8 & (PAGES - 1), 1);
		return;
	}
	write_lock(&guest.lock);
	mirror_promote(&private.mirror, &range, true);
	write_unlock(&guest.lock);
}

static void host_inspect(u64 *rnd)
{
	struct mirror_provider *p = &private.soft.provider;
	u64 pfn, gfn = draw_gfn(rnd);
	struct pgt_verdict verdict;
	struct mirror_query query;
	int level;
	bool ok;

	rcu_read_lock();
	level = mirror_lookup(&private.mirror, gfn, &pfn);
	rcu_read_unlock();
	HOST_CHECK(level <= 3);
	read_lock(&guest.lock);
	p->ops->query(p, gfn, 1, &query);
	HOST_CHECK(query.name);
	read_unlock(&guest.lock);

	write_lock(&guest.lock);
	ok = mirror_validate(&private.mirror, &verdict);
	write_unlock(&guest.lock);
	if (!ok)
		host_fail("validator", "%s: gfn %#llx, level %d", verdict.what,
			  (unsigned long long)verdict.gfn, verdict.level);
}

static struct worker workers[] = {
	{ .turn = host_zap, .turns = 200 },
	{ .turn = host_zap, .turns = 200 },
	{ .turn = host_resize, .turns = 100 },
	{ .turn = host_inspect, .turns = 50 },
};

/*
 * Life of a machine.
 */

static void private_create(unsigned int busy_every, u64 *seeds)
{
	struct pgt_attr leaf = { .access = PGT_ALL_RIGHTS, .memtype = 6 };
	struct pgt_counters counters;
	struct pgt_cache cache;

	memset(&private, 0, sizeof(private));
	pgt_cache_init(&cache, &guest.mmu);
	HOST_EQ(pgt_cache_fill(&cache, PGT_MAX_LEVEL, true), 0);
	write_lock(&guest.lock);
	private.root = pgt_root_get(&guest.mmu, &guest.fmt, 4, 0, 0, &cache);
	HOST_CHECK(!IS_ERR(private.root));
	private.entries = pgt_root_foreign(private.root, PRIVATE_END,
					   &private.nr_entries, &cache);
	HOST_CHECK(!IS_ERR(private.entries));
	write_unlock(&guest.lock);
	pgt_cache_drain(&cache);

	softsept_init(&private.soft, &guest.fmt, &leaf, private.entries,
		      private.nr_entries, private.root->foreign_level);
	counters = host_counters(&private.counters);
	HOST_EQ(mirror_init(&private.mirror, &guest.lock, &private.soft.provider,
			    private.root->foreign_level, PRIVATE_END,
			    &counters), 0);
	for (int i = 0; i < GUEST_CPUS; i++) {
		mirror_cache_init(&private.cpu[i].cache, &private.mirror);
		private.cpu[i].rnd = next_random(seeds) | 1;
	}
	/* Small batches, so that zaps meet in the middle. */
	private.mirror.batch = 64;
	private.soft.busy_every = busy_every;
	private.soft.interrupt_every = busy_every;
	write_lock(&guest.lock);
	softsept_finalize(&private.soft);
	write_unlock(&guest.lock);
}

/* All have stopped: nothing is left of what they did but pages and tables. */
static void private_check(void)
{
	struct pgt_verdict verdict;

	if (!mirror_validate(&private.mirror, &verdict) ||
	    !pgt_validate(&guest.mmu, &verdict))
		host_fail("validator", "%s: gfn %#llx, level %d", verdict.what,
			  (unsigned long long)verdict.gfn, verdict.level);
	HOST_EQ(private.mirror.blocked, 0);
	HOST_EQ(guest.invalidating, 0);
	HOST_EQ(atomic_read(&private.soft.inside[0]), 0);
	HOST_EQ(atomic_read(&private.soft.inside[1]), 0);
	HOST_EQ(atomic_read(&private.soft.gate), 0);
	HOST_EQ(atomic_read(&private.soft.tree), 0);
	HOST_EQ(atomic_read(&private.soft.accepting), 0);
	HOST_EQ(guest.tables, atomic_long_read(&private.counters.tables) +
			      atomic_long_read(&guest.counters.tables));
}

static void private_destroy(void)
{
	zap(0, PAGES, true);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		HOST_EQ(atomic_long_read(&private.counters.leaves[level]), 0);
	HOST_EQ(atomic_long_read(&private.counters.tables), 1);
	for (unsigned int i = 0; i < private.nr_entries; i++)
		HOST_EQ(private.entries[i], guest.fmt.nonpresent);
	for (int i = 0; i < GUEST_CPUS; i++)
		mirror_cache_drain(&private.cpu[i].cache);
	mirror_destroy(&private.mirror);
	HOST_EQ(atomic_long_read(&private.counters.tables), 0);
	pgt_root_put(private.root);
}

static void run(unsigned int busy_every)
{
	u64 seeds = host_seed() | 1;
	unsigned int seconds = host_seconds(0);
	time_t end = time(NULL) + seconds;

	for (int round = 0; seconds ? time(NULL) < end : round < ROUNDS;
	     round++) {
		round_create(&guest_ept, &seeds);
		private_create(busy_every, &seeds);
		round_run(run_vcpu, TURNS, workers, ARRAY_SIZE(workers),
			  &seeds);
		if (host_verbose())
			host_note("%lu faults, %ld tracks, %ld windows",
				  guest.faults,
				  atomic_long_read(&private.soft.provider
						   .calls[MIRROR_TRACK]),
				  atomic_long_read(&private.soft.provider
						   .calls[MIRROR_OPEN_WINDOW]));
		private_check();
		private_destroy();
		round_destroy();
	}
}

HOST_TEST(threads, private)
{
	run(0);
}

/* Windows: every so many calls something is busy. */
HOST_TEST(threads, private_busy)
{
	run(5);
}
