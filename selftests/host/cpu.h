/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A logical CPU as the page tables see it: it walks them, sets accessed and
 * dirty bits, and caches what it found until it is told to forget.
 *
 * Written from the manuals alone and ignorant of the engine, whose reading of
 * the same manuals it checks.  The guest is its accesses to 4K guest frames
 * (gfns): no guest page tables, no instructions.  Who runs the CPU, what memory
 * is and when pages are handed back is elsewhere (sim/).
 *
 * Section numbers: "SDM" is volume 3 of Intel's manual in an edition where EPT
 * is in chapter 29 (28 in editions before 2023); "APM" is volume 2 of AMD's.
 *
 * Under the explorer a CPU can be interrupted only where it is about to touch a
 * table; a flush that comes then makes it start over, as an interrupt makes a
 * real one repeat the instruction.  So a flush waits for nothing.  With threads
 * it waits for the access that is under way on any CPU.
 */
#ifndef ALTMMU_HOST_CPU_H
#define ALTMMU_HOST_CPU_H

#include <linux/types.h>

#define CPU_MAX_LEVEL		5
#define CPU_TLB_ENTRIES		256
#define CPU_PSC_ENTRIES		256

enum cpu_format {
	CPU_EPT,
	CPU_LONG,	/* long mode: NPT of a 64-bit host, or CR3 */
	CPU_PAE,
};

/**
 * struct cpu_mode - how the walker is configured
 * @format:	of the tables
 * @levels:	of a root: 4 or 5, PAE 3
 * @phys_bits:	MAXPHYADDR
 * @me_mask:	encryption bits (the C-bit, or a KeyID), which are no address
 * @ad:		EPT: EPTP bit 6, accessed and dirty flags; others have them
 * @exec_only:	EPT: execute-only entries can be had
 * @mbec:	EPT: mode-based execute control
 * @nx:		LONG, PAE: EFER.NXE
 * @huge_1g:	EPT, LONG: leaves at level 3 can be had
 * @ve:		EPT: violations become #VE where bit 63 is clear
 */
struct cpu_mode {
	enum cpu_format format;
	u8 levels;
	u8 phys_bits;
	u64 me_mask;
	bool ad;
	bool exec_only;
	bool mbec;
	bool nx;
	bool huge_1g;
	bool ve;
};

enum cpu_result {
	CPU_OK,
	CPU_VIOLATION,	/* not present, or no right */
	CPU_MISCONFIG,	/* EPT misconfiguration, or a reserved bit is set */
	CPU_VE,		/* a violation that the guest gets */
	CPU_NO_ROOT,	/* no root is loaded, or not any more */
	CPU_STOPPED,	/* the CPU is out of the guest */
};

enum cpu_access {
	CPU_READ,
	CPU_WRITE,
	CPU_EXEC,	/* with MBEC: from a supervisor page */
	CPU_USER_EXEC,
};

/**
 * struct cpu_outcome - what came of an access
 * @pfn:	the 4K frame that was accessed; 0 on a fault
 * @level:	of @entry; 0 if the gfn is beyond the root
 * @memtype:	EPT: bits 6:3 of the leaf; LONG, PAE: its index into the PAT
 * @encrypted:	the leaf has a bit of &cpu_mode.me_mask
 * @entry:	the leaf, or the entry that faults
 * @from_tlb:	no entry was read
 */
struct cpu_outcome {
	u64 pfn;
	int level;
	u8 memtype;
	bool encrypted;
	u64 entry;
	bool from_tlb;
};

/* Which of several things that hardware may do is done. */
enum cpu_policy {
	CPU_POLICY_STALE,	/* use what has been cached longest */
	CPU_POLICY_CHOOSE,	/* ask &cpu.choose */
};

/* A table on the way to something cached, and who had its page then. */
struct cpu_table {
	u64 pa;
	u64 generation;
};

/**
 * struct cpu_psc - a paging-structure-cache entry: a link to a table
 * @gfn:	first gfn under the link
 * @level:	of the link; the table is one lower
 * @rights:	of the link and all links above
 * @chain:	tables by level, from the one linked up to the root
 */
struct cpu_psc {
	u64 gfn;
	int level;
	u8 rights;
	struct cpu_table chain[CPU_MAX_LEVEL + 1];
};

/**
 * struct cpu_tlb - a TLB entry: a translation
 * @gfn:	first gfn under the leaf
 * @pfn:	behind @gfn
 * @entry:	the leaf, as it was
 * @filled:	when the leaf was read, for telling what was handed back since
 * @level:	of the leaf
 * @rights:	of the leaf and all links above
 * @dirty:	a write needs no walk
 * @chain:	tables by level, from the one with the leaf up to the root
 */
struct cpu_tlb {
	u64 gfn;
	u64 pfn;
	u64 entry;
	u32 filled;
	int level;
	u8 rights;
	bool dirty;
	struct cpu_table chain[CPU_MAX_LEVEL + 1];
};

/**
 * struct cpu - a logical CPU
 * @mode:	constant
 * @id:		for messages; set by the owner
 * @policy:	set by the owner, CPU_POLICY_STALE at first
 * @pml:	EPT with A/D: page-modification logging is on; set by the owner
 * @owner:	the owner's
 * @choose:	decides for CPU_POLICY_CHOOSE: less than @n, 0 being the stalest;
 *		sim_choose() if NULL
 * @on_pml:	the dirty flag of a leaf was set on a write to @gfn, which has
 *		yet to complete
 * @on_translate: an access completes
 * @on_write:	a write completes; after @on_translate
 * @root:	the root loaded, if @loaded
 * @loaded:	there is a root
 * @stopped:	cpu_stop() was called, cpu_go() was not
 * @flushes:	times that something was to be forgotten, or the CPU was stopped
 * @nr_tlb:	entries in @tlb, the oldest first
 * @nr_psc:	entries in @psc, the oldest first
 *
 * Callbacks run at the very moment of the access: nothing in them is a point,
 * whatever they call.  They do not wait, nor call functions of the CPU.
 */
struct cpu {
	struct cpu_mode mode;
	int id;
	enum cpu_policy policy;
	bool pml;
	void *owner;
	unsigned int (*choose)(struct cpu *cpu, unsigned int n);
	void (*on_pml)(struct cpu *cpu, u64 gfn);
	void (*on_translate)(struct cpu *cpu, u64 gfn, enum cpu_access access,
			     const struct cpu_outcome *outcome);
	void (*on_write)(struct cpu *cpu, u64 gfn,
			 const struct cpu_outcome *outcome);

	struct cpu_table root;
	bool loaded;
	bool stopped;
	u64 flushes;
	unsigned int nr_tlb;
	unsigned int nr_psc;
	struct cpu_tlb tlb[CPU_TLB_ENTRIES];
	struct cpu_psc psc[CPU_PSC_ENTRIES];
};

/**
 * cpu_init() - make a CPU without a root
 * @cpu:	to be initialised; fields "set by the owner" are set afterwards
 * @mode:	copied
 */
void cpu_init(struct cpu *cpu, const struct cpu_mode *mode);

/**
 * cpu_load_root() - use another root, or the same again
 * @cpu:	forgets everything
 * @root_pa:	physical address of the root table
 */
void cpu_load_root(struct cpu *cpu, u64 root_pa);

/**
 * cpu_unload() - use no root
 * @cpu:	forgets everything; an access under way ends with CPU_NO_ROOT
 */
void cpu_unload(struct cpu *cpu);

/**
 * cpu_stop() - have a CPU out of the guest
 * @cpu:	forgets nothing; an access under way or begun from now on ends with
 *		CPU_STOPPED
 */
void cpu_stop(struct cpu *cpu);
/* The end of that, for whoever runs the CPU to say. */
void cpu_go(struct cpu *cpu);

/**
 * cpu_access() - an access of the guest
 * @cpu:	by whom
 * @gfn:	to which guest frame
 * @access:	what for
 * @outcome:	what came of it, or NULL
 *
 * A scheduling point, and one more before each time that a table or, without
 * a walk, a data page is touched.
 *
 * After CPU_VIOLATION and CPU_VE the CPU has forgotten what it held for @gfn
 * (SDM 29.4.3.1 and 4.10.4.1); the fault may be spurious for that reason, and
 * trying again is a walk from the root.  After CPU_MISCONFIG it has not.
 *
 * Use of a table or of a data page that was handed back fails the test, with
 * check "I1".
 */
enum cpu_result cpu_access(struct cpu *cpu, u64 gfn, enum cpu_access access,
			   struct cpu_outcome *outcome);

/**
 * cpu_prefetch() - a speculative walk
 * @cpu:	by whom
 * @gfn:	for which guest frame
 *
 * Caches what there is, also links on the way to nothing (SDM 4.10.3.1), sets
 * accessed flags, never a dirty one, and does not fault.
 *
 * Return: the level of the translation that is cached now, or 0.
 */
unsigned int cpu_prefetch(struct cpu *cpu, u64 gfn);

/**
 * cpu_flush_range() - forget translations, and links on the way to them
 * @cpu:	whose
 * @start:	first gfn
 * @end:	end of the gfns
 *
 * Nothing else is forgotten, though hardware that has no such operation would.
 */
void cpu_flush_range(struct cpu *cpu, u64 start, u64 end);

/**
 * cpu_flush_all() - forget everything
 * @cpu:	who
 */
void cpu_flush_all(struct cpu *cpu);

/**
 * cpu_check() - fail if anything cached is of a page that was handed back
 * @cpu:	any
 *
 * The same check "I1" as upon use, without waiting for the use.  Call it for
 * every CPU after memory was handed back, and when a schedule has ended: the
 * explorer does not try accesses in an order that no marked access depends on.
 */
void cpu_check(struct cpu *cpu);

#endif /* ALTMMU_HOST_CPU_H */
