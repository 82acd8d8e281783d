/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine whose vCPUs are threads: what its parts know of each other.
 *
 * It is vm.h's, with the checks that need no order of events to be known: no CPU
 * uses a page that the host took back, none uses a table that was freed, and
 * what was written is in the dirty log or was copied.
 */
#ifndef HOST_THREADS_GUEST_H
#define HOST_THREADS_GUEST_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <pthread.h>

#include "counters.h"
#include "pgt/pgt.h"

#define GUEST_CPUS	3
/* Roots that exist at the same time, by role. */
#define GUEST_ROLES	2

/*
 * Guest memory: a part that is logged, of 4K pages, and a part that is not, of
 * 2M pages.  Device memory is apart.
 */
#define LOGGED_START	0x1000ULL
#define LOGGED_PAGES	1024ULL
#define LOGGED_END	(LOGGED_START + LOGGED_PAGES)
#define HUGE_START	0x40000ULL
#define HUGE_BLOCKS	8ULL
#define HUGE_PAGES	(HUGE_BLOCKS * PGT_ENTRIES)
#define HUGE_END	(HUGE_START + HUGE_PAGES)
#define MMIO_START	0x100000ULL
#define MMIO_PAGES	64ULL
#define MMIO_END	(MMIO_START + MMIO_PAGES)

#define TLB_ENTRIES	64

/* A translation that a CPU may use until it is told to drop it. */
struct tlb_entry {
	u64 base;
	u64 pfn;
	int level;	/* 0: unused */
	u64 rights;	/* the leaf's own bits */
};

/* A link to a table of 4K leaves, cached likewise. */
struct upper_entry {
	u64 base;
	u64 *table;	/* NULL: unused */
};

/**
 * struct guest_cpu - a CPU and the vCPU that runs on it
 * @id:		from 0
 * @rnd:	state of its random numbers
 * @root:	loaded, with a reference; or NULL
 * @cache:	for its faults
 * @obsolete:	@root is to be dropped
 * @in_guest:	it may use what it has cached
 * @requested:	it has to drop the gfns from @start to @end before it goes on
 * @mutex:	for @requested, @start, @end
 */
struct guest_cpu {
	int id;
	u64 rnd;
	struct pgt_root *root;
	struct pgt_cache cache;
	int obsolete;
	int in_guest;
	int requested;
	pthread_mutex_t mutex;
	u64 start;
	u64 end;
	struct tlb_entry tlb[TLB_ENTRIES];
	struct upper_entry upper;
};

struct guest_config {
	const char *name;
	int (*init)(struct pgt_format *fmt, const struct pgt_host *host);
	struct pgt_host host;
	u8 memtype;
	bool nx_huge;	/* the NX-huge-page mitigation */
	bool pml;	/* the log is taken by clearing dirty bits */
};

/**
 * struct guest - the one VM
 * @invalidating: the host is taking back pages from @invalid_start on
 * @seq:	counts how often it has
 * @mmio_gen:	memslot generation
 * @progress:	accesses that vCPUs have made
 * @generation:	by page: which of several host pages is behind it
 * @written:	by logged page: how often it was written
 * @copied:	what @written was when the page was last copied
 * @log:	the dirty log
 * @logging:	by logged page: threads that let it be written and will log it
 * @harvesting:	by logged page: taken from the log, not copied yet
 * @tables:	tables accounted
 */
struct guest {
	const struct guest_config *config;
	struct pgt_format fmt;
	rwlock_t lock;
	struct pgt_mmu mmu;
	struct host_counters counters;
	struct guest_cpu cpu[GUEST_CPUS];
	int invalidating;
	u64 invalid_start;
	u64 invalid_end;
	unsigned long seq;
	u64 mmio_gen;
	unsigned long progress;
	u32 generation[LOGGED_PAGES + HUGE_BLOCKS];
	u32 written[LOGGED_PAGES];
	u32 copied[LOGGED_PAGES];
	u8 log[LOGGED_PAGES];
	u8 logging[LOGGED_PAGES];
	u8 harvesting[LOGGED_PAGES];
	long tables;
	unsigned long flushes;
	unsigned long faults;
	unsigned long fixes;
};

extern struct guest guest;

/* All that is shared is accessed by these, or under a lock. */
#define LOAD(x)		__atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, val)	__atomic_store_n(&(x), val, __ATOMIC_SEQ_CST)
#define ADD(x, val)	__atomic_add_fetch(&(x), val, __ATOMIC_SEQ_CST)

static inline bool is_logged(u64 gfn)
{
	return gfn >= LOGGED_START && gfn < LOGGED_END;
}

/* Which host page is behind a gfn changes a page or a 2M page at a time. */
static inline u32 *generation_of(u64 gfn)
{
	return &guest.generation[is_logged(gfn) ? gfn - LOGGED_START :
				 LOGGED_PAGES + (gfn - HUGE_START) / 512];
}

/* Room for the largest gfn between two generations; they come around again. */
#define GENERATIONS	1024

static inline u64 host_pfn(u64 gfn, u32 generation)
{
	return 0x1000000ULL + generation % GENERATIONS * 0x80000ULL + gfn;
}

static inline u64 host_pfn_gfn(u64 pfn)
{
	return (pfn - 0x1000000ULL) % 0x80000ULL;
}

/**
 * struct worker - a thread of the host
 * @turn:	what it does
 * @turns:	how often in a round, spread over it
 */
struct worker {
	void (*turn)(u64 *rnd);
	unsigned int turns;
	u64 rnd;
	pthread_t thread;
};

/* threads.c */
extern const struct guest_config guest_ept;

void round_create(const struct guest_config *config, u64 *seeds);
/* Run @vcpu once for each, with @turns of guest.progress, and the host's threads. */
void round_run(void (*vcpu)(unsigned int nr), unsigned int turns,
	       struct worker *workers, unsigned int nr, u64 *seeds);
void round_destroy(void);

/* env.c */
void cpu_drop_all(struct guest_cpu *cpu);
/* Do what was requested since the last time. */
void cpu_serve(struct guest_cpu *cpu);

/* cpu.c */
u64 next_random(u64 *state);
void cpu_create(struct guest_cpu *cpu, int id, u64 seed);
void cpu_destroy(struct guest_cpu *cpu);
/* Some accesses of the guest, with the faults that they take. */
void cpu_run(struct guest_cpu *cpu);
/* A fault on device memory. */
void cpu_mmio(struct guest_cpu *cpu);

/* host.c */
void host_unmap(u64 *rnd);
void host_age(u64 *rnd);
void host_protect(u64 *rnd);
void host_harvest(u64 *rnd);
void host_split(u64 *rnd);
void host_collapse(u64 *rnd);
void host_recover_nx(u64 *rnd);
void host_zap_roots(u64 *rnd);
void host_look(u64 *rnd);

#endif /* HOST_THREADS_GUEST_H */
