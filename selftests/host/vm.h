/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine around the engine: what KVM is to it, as little as there can
 * be.  vCPUs that fault, host memory that comes and goes, a dirty log, and the
 * checks that no write is lost (I3) and nothing is used after it was handed back
 * (I1, with cpu.c).
 *
 * Guest frame g is backed by the data frame at the same place in one of several
 * generations of host memory, so that any level of mapping is in line, and a
 * frame that is taken away and given again is another one.
 */
#ifndef ALTMMU_HOST_VM_H
#define ALTMMU_HOST_VM_H

#include "counters.h"
#include "cpu.h"
#include "pgt/pgt.h"
#include "sim/mem.h"

#define VM_CPUS		3
#define VM_MAX_GFNS	0x40400ULL	/* 1 GiB and four more 2 MiB */
#define VM_STRIDE	0x80000ULL	/* frames of one generation of memory */
#define VM_STRIDES	(DATA_FRAMES / VM_STRIDE)

/**
 * struct vm_config - a kind of page table, for tests that run on each
 * @name:	for messages
 * @init:	fills in the engine's format
 * @host:	passed to it
 * @mode:	the CPU that agrees with @host
 * @levels:	of a root
 */
struct vm_config {
	const char *name;
	int (*init)(struct pgt_format *fmt, const struct pgt_host *host);
	struct pgt_host host;
	struct cpu_mode mode;
	int levels;
};

extern const struct vm_config vm_configs[];
extern const unsigned int vm_nr_configs;

/* The two that differ most, for tests that are too long to run on each. */
#define VM_EPT		(&vm_configs[0])
#define VM_NPT		(&vm_configs[1])
#define VM_EPT_NO_AD	(&vm_configs[2])

/* Of a guest frame; 0 is: backed by generation 0, writable. */
struct vm_frame {
	u8 stride;		/* generation of host memory behind it */
	bool absent;		/* nothing is */
	bool readonly;		/* the host maps it read-only */
	u8 log;			/* in the dirty log */
	u8 unsaved;		/* written since it was copied */
	u8 fixing;		/* somebody is in pgt_fix(), and will log */
	u8 harvesting;		/* taken from the log, not copied yet */
};

/* The last change that the engine has traced, and how many there were. */
struct vm_trace {
	u64 nr;
	u64 gfn;
	int level;
	u64 old;
	u64 new;
};

struct vcpu {
	struct vm *vm;
	struct cpu cpu;
	struct pgt_root *root;
	struct pgt_cache cache;
	bool obsolete;		/* the root is to be dropped */
};

/**
 * struct vm - a virtual machine
 * @config:	its page tables
 * @nr_gfns:	guest frames
 * @folio_level: size of the host's folios, and largest mapping
 * @access:	what its leaves allow
 * @role:	key of the roots that vCPUs load
 * @prefetch_on_map: CPUs speculate after each fault
 * @log_on:	dirty logging, as faults see it
 * @checked:	logging has been on long enough for every write to be in the log
 * @pml:	the log is taken by clearing dirty bits
 * @nx_huge:	the NX-huge-page mitigation
 * @seq:	counts invalidations
 * @invalidating: invalidations in progress
 * @faulting:	faults in progress (SRCU's part)
 * @tables:	as counted by pgt_env_account_table()
 * @flushes:	calls of pgt_env_flush()
 * @obsoletes:	calls of pgt_env_obsolete()
 * @traced:	what the engine has traced
 * @flush_start: of the last of them
 * @flush_end:	of the last of them
 * @log_dirty:	instead of the VM's own log, or NULL
 * @max_level:	instead of what the VM's folios allow, or NULL
 */
struct vm {
	const struct vm_config *config;
	struct pgt_format fmt;
	rwlock_t lock;
	struct pgt_mmu mmu;
	struct host_counters counters;
	struct vcpu vcpu[VM_CPUS];
	unsigned int nr_cpus;
	u64 nr_gfns;
	int folio_level;
	u8 access;
	u32 role;
	bool prefetch_on_map;
	bool log_on;
	bool checked;
	bool pml;
	bool nx_huge;
	unsigned long seq;
	int invalidating;
	u64 invalid_start;
	u64 invalid_end;
	int faulting;
	long tables;
	u64 flushes;
	u64 obsoletes;
	struct vm_trace traced;
	u64 flush_start;
	u64 flush_end;
	void (*log_dirty)(struct pgt_root *root, u64 gfn);
	int (*max_level)(struct pgt_root *root, u64 gfn, u64 pfn);
	struct vm_frame *frame;
};

/* One VM at a time: this one. */
extern struct vm vm;

void vm_create(const struct vm_config *config, unsigned int nr_cpus,
	       u64 nr_gfns, int folio_level);
/* Stop the vCPUs, destroy the MMU, and check that nothing is left. */
void vm_destroy(void);

/* The frame that backs @gfn now. */
u64 vm_pfn(u64 gfn);
/* The validator's word, and that counters agree. */
void vm_validate(void);

/* Make a vCPU load the valid root, if it has none. */
void vm_load(struct vcpu *vcpu);
void vm_unload(struct vcpu *vcpu);

/* An access of the guest with all faults that it takes; false: nothing there. */
bool vm_access(struct vcpu *vcpu, u64 gfn, enum cpu_access access);
bool vm_read(unsigned int cpu, u64 gfn);
bool vm_write(unsigned int cpu, u64 gfn);
/* The fault alone; -EAGAIN: the guest tries again. */
int vm_fault(struct vcpu *vcpu, u64 gfn, enum cpu_access access);
/* Map at a level, as a fault would that wants just that. */
int vm_map(struct vcpu *vcpu, u64 gfn, int level, u8 access, u8 want);

/*
 * What the host does.  vm_unmap() takes pages away, and gives others with
 * @stride, or none with VM_ABSENT.
 */
#define VM_ABSENT	(-1)
void vm_unmap(u64 start, u64 end, int stride, bool may_yield, bool open);
void vm_age(u64 start, u64 end);

/* What is written is in the range, where every page was copied at the start. */
void vm_log_start(u64 start, u64 end);
void vm_log_stop(void);
/* Take 64 pages from the log and copy them. */
void vm_harvest(u64 gfn, u64 mask);
/* With the vCPUs stopped: what is unsaved is in the log. */
void vm_check_log(void);

int vm_split(u64 start, u64 end, int level, enum pgt_mode mode);
void vm_collapse(u64 start, u64 end, enum pgt_mode mode);
void vm_wrprot(u64 start, u64 end, bool track, enum pgt_mode mode);
/* What a memslot deletion does. */
void vm_zap_all_fast(enum pgt_mode mode);
unsigned int vm_zap_nx(enum pgt_mode mode);

#endif /* ALTMMU_HOST_VM_H */
