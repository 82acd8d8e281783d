/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine with private memory: that of vm.h for the shared half of its
 * addresses, and for the other half the mirror and the software provider, with
 * what the glue does around them.
 *
 * The provider is seen through: every call of it is counted, held against what
 * provider.h promises, and can be made to fail.
 */
#ifndef ALTMMU_HOST_PRIVATE_VM_H
#define ALTMMU_HOST_PRIVATE_VM_H

#include "mirror/mirror.h"
#include "mirror/softsept.h"
#include "private.h"
#include "sim/context.h"
#include "vm.h"

/* Generations of memory behind private gfns; the last is for shared ones. */
#define PVM_STRIDES	(VM_STRIDES - 1)
#define PVM_SHARED_PFN	(DATA_PFN_BASE + PVM_STRIDES * VM_STRIDE)

/* What is in a page that is the host's, that was added, that a guest wrote. */
#define PVM_HOST	0xee
#define PVM_ADDED	0xad
#define PVM_GUEST	0x11

/**
 * struct pvm_config - a kind of machine
 * @name:	for messages
 * @vm:		its page tables
 * @shared_bit:	the bit that makes a guest physical address a shared one
 */
struct pvm_config {
	const char *name;
	const struct vm_config *vm;
	int shared_bit;
};

extern const struct pvm_config pvm_configs[];
extern const unsigned int pvm_nr_configs;

#define PVM_EPT		(&pvm_configs[0])
#define PVM_NPT		(&pvm_configs[1])
#define PVM_L5		(&pvm_configs[2])

/**
 * struct pvm_vcpu - a vCPU, besides what &vm.vcpu has of it
 * @soft:	the provider's part
 * @cache:	for its faults
 * @in_guest:	from before it counts in until after it has counted out
 * @entering:	it has yet to flush what is to be flushed at this entry
 * @driven:	a task runs it, which leaves the guest before it ends; others are
 *		taken out by whoever kicks them
 * @exits:	counts
 */
struct pvm_vcpu {
	struct softsept_vcpu soft;
	struct mirror_cache cache;
	bool in_guest;
	bool entering;
	bool driven;
	unsigned long exits;
};

/* Calls that the faults of a task make: whether the next one is busy. */
enum pvm_faults {
	PVM_FAULTS_NEVER_BUSY,
	PVM_FAULTS_NEXT_BUSY,
	PVM_FAULTS_NEXT_NOT_BUSY,
};

/**
 * struct pvm_inject - a call of the provider that is not to succeed
 * @at:		which, counted from 1; 0: none
 * @error:	what it returns, or what a map has mapped
 * @only:	calls of this kind are counted alone, if not MIRROR_NR_CALLS
 * @again:	the calls that follow fail too, busy ones until a window is open
 * @always:	also when that is over; but no call that a fault makes
 * @in_window:	it may be busy even then
 * @faults:	by task: every other call of its faults is busy, and @error -EBUSY
 * @calls:	counted so far
 * @struck:	calls that were made to fail
 */
struct pvm_inject {
	u64 at;
	int error;
	enum mirror_call only;
	bool again;
	bool always;
	bool in_window;
	enum pvm_faults faults[SIM_CONTEXTS];
	u64 calls;
	u64 struck;
};

/* A phase: calls that share a window. */
enum pvm_phase {
	PVM_NONE,
	PVM_BLOCK,
	PVM_TRACK,
	PVM_FINISH,
};

/**
 * struct pvm - the machine
 * @config:	its kind
 * @soft:	the provider
 * @real:	its calls
 * @mirror:	the mirror
 * @counters:	of its tables
 * @vcpu:	as many as in &vm
 * @folio_level: largest leaf that the host has folios for
 * @accept_level: the largest that the guest tries to accept
 * @around:	leaves that a fault looks at
 * @private_end: first gfn that is shared
 * @seq:	counts invalidations of private memory
 * @invalidating: how many there are, from @invalid_start to @invalid_end
 * @inject:	a failure
 * @on_call:	sees every call before it is made, or NULL
 * @phase:	what the provider is asked for
 * @windows:	windows in this phase
 * @one_window:	more than one is wrong: the lock is not dropped in between
 * @window:	a window is open
 * @kick_owed:	there was a track, and no kick since
 * @provided:	tables that the provider has
 * @pages:	pages that the provider has
 * @leaked:	of these, those that it does not let go of
 * @unwritten:	no content is checked: some pages keep the host's
 */
struct pvm {
	const struct pvm_config *config;
	struct softsept soft;
	const struct mirror_ops *real;
	struct mirror mirror;
	struct host_counters counters;
	struct pvm_vcpu vcpu[VM_CPUS];
	struct pgt_root *root;
	int folio_level;
	int accept_level;
	unsigned int around;
	u64 private_end;
	unsigned long seq;
	int invalidating;
	u64 invalid_start;
	u64 invalid_end;
	struct pvm_inject inject;
	void (*on_call)(enum mirror_call call);
	enum pvm_phase phase;
	unsigned int windows;
	bool one_window;
	bool window;
	bool kick_owed;
	u64 provided;
	u64 pages;
	u64 leaked;
	bool unwritten;
};

extern struct pvm pvm;

/* private_provider.c: put ourselves before the provider that was just made. */
void pvm_see_through(void);
/* Free the tables that were leaked; how many. */
u64 pvm_free_leaked(void);
/* The provider has a page, which may be cleared. */
bool pvm_is_given(u64 pfn);
/* It is never to be freed. */
bool pvm_is_leaked(u64 pfn);

/* What pvm_create() makes otherwise. */
#define PVM_AUTO_ACCEPT		BIT(0)
#define PVM_NOT_FINALIZED	BIT(1)

void pvm_create(const struct pvm_config *config, unsigned int nr_cpus,
		u64 nr_gfns, int folio_level, unsigned int flags);
/* Stop the vCPUs, take all back, and check that nothing is left or leaked. */
void pvm_destroy(void);
/* Whenever the lock is free: each half by itself. */
void pvm_validate(void);
/* At rest: the mirror, the private tables and all counters agree. */
void pvm_check(void);
/* What CPUs have cached, at any time after something was handed back. */
void pvm_check_cpus(void);

/* Every page is the host's, of the first generation. */
void pvm_own_pages(u64 nr_gfns);
/* mirror_cache_fill(), which has to succeed. */
void pvm_refill(struct mirror_cache *cache, unsigned int tables);

/* The page behind a private gfn. */
u64 pvm_pfn(u64 gfn);
u64 pvm_shared(u64 gfn);
/* Whether the host has one folio behind a leaf. */
bool pvm_is_folio(u64 gfn, int level);

/* Enter the guest; false: the gate is closed. */
bool pvm_enter(unsigned int nr);
void pvm_exit(unsigned int nr);

/*
 * An access of the guest with all the faults, accepts, exits and entries that it
 * takes; false: there is no memory.  The vCPU stays in the guest.
 */
bool pvm_access(unsigned int nr, u64 gfn, enum cpu_access access);
/* The access alone, by a vCPU that is made to enter. */
enum cpu_result pvm_try(unsigned int nr, u64 gfn, enum cpu_access access);
/* What a fault does: 0, -EAGAIN, -EFAULT. */
int pvm_fault(unsigned int nr, u64 gfn);
/* Map at a level, with neighbours; as mirror_map(), but never -ENOMEM. */
int pvm_map(unsigned int nr, u64 gfn, int level, int max_level,
	    unsigned int around);
/* The same with the MMU lock held for reading, once. */
int pvm_map_locked(u64 gfn, int level, int max_level, unsigned int around,
		   struct mirror_cache *cache);
enum softsept_error pvm_accept(u64 gfn, int level);

/* Take private memory away, give it back to the host, and have other behind. */
void pvm_convert(u64 start, u64 end, bool may_yield);
void pvm_convert_tables(u64 start, u64 end, bool may_yield);
int pvm_split(u64 gfn, int level);
unsigned int pvm_promote(u64 start, u64 end, bool may_yield);
/* The shared half: all of it, or a page. */
void pvm_zap_shared(u64 start, u64 end, bool tables);

/**
 * struct pvm_cost - calls that succeeded, of what was done since pvm_cost_begin()
 */
struct pvm_cost {
	long calls[MIRROR_NR_CALLS];
	long busy[MIRROR_NR_CALLS];
	long kicks;
	long leaves[PGT_MAX_LEAF_LEVEL + 1];
	long tables;
};

void pvm_cost_begin(void);
struct pvm_cost pvm_cost(void);

#endif /* ALTMMU_HOST_PRIVATE_VM_H */
