/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Software private page tables: a provider for any CPU with EPT or NPT.
 *
 * Page tables that the CPU really walks, kept by the rules of the TDX module,
 * with an error for each call that the module would refuse.  They hide nothing
 * from anybody: they are there to develop and test the mirror where there is no
 * TDX.  The rules, state by state, are in Documentation/mirror.rst.
 *
 * The lowest entries of one table of the VM's shared root are the private root:
 * foreign to the engine (pgt_root_foreign()), written only here.
 */
#ifndef ALTMMU_MIRROR_SOFTSEPT_H
#define ALTMMU_MIRROR_SOFTSEPT_H

#include <linux/atomic.h>
#include <linux/spinlock.h>

#include "../pgt/format.h"
#include "provider.h"

enum softsept_state {
	SOFTSEPT_FREE,
	SOFTSEPT_LINK,			/* NL_MAPPED */
	SOFTSEPT_LINK_BLOCKED,		/* NL_BLOCKED */
	SOFTSEPT_PENDING,
	SOFTSEPT_PENDING_BLOCKED,
	SOFTSEPT_MAPPED,
	SOFTSEPT_BLOCKED,
	SOFTSEPT_NR_STATES,
};

/* Why a call was refused, as the module would say. */
enum softsept_error {
	SOFTSEPT_OK,
	SOFTSEPT_BUSY,			/* OPERAND_BUSY */
	SOFTSEPT_EPOCH_BUSY,		/* PREVIOUS_TLB_EPOCH_BUSY */
	SOFTSEPT_INTERRUPTED,		/* INTERRUPTED_RESTARTABLE */
	SOFTSEPT_OPERAND,		/* OPERAND_INVALID: level, alignment, gfn */
	SOFTSEPT_WALK,			/* EPT_WALK_FAILED */
	SOFTSEPT_STATE,			/* EPT_ENTRY_STATE_INCORRECT */
	SOFTSEPT_ALREADY_BLOCKED,	/* GPA_RANGE_ALREADY_BLOCKED */
	SOFTSEPT_NOT_BLOCKED,		/* GPA_RANGE_NOT_BLOCKED */
	SOFTSEPT_NOT_TRACKED,		/* TLB_TRACKING_NOT_DONE */
	SOFTSEPT_NOT_FREE,		/* EPT_PAGE_NOT_FREE */
	SOFTSEPT_PROMOTE,		/* EPT_INVALID_PROMOTE_CONDITIONS */
	SOFTSEPT_ACCEPTED,		/* ACCEPT: ALREADY_ACCEPTED */
	SOFTSEPT_SIZE,			/* ACCEPT: SIZE_MISMATCH */
	SOFTSEPT_EXIT,			/* ACCEPT: the guest exits */
	SOFTSEPT_OP_STATE,		/* OP_STATE_INCORRECT: (not) finalized */
};

/**
 * struct softsept - the private page tables of one VM
 * @provider:	what the mirror sees
 * @fmt:	format of the entries
 * @leaf:	rights and memory type of every leaf, as pgt_make_leaf() wants
 * @root:	the private root's entries, in a table of the shared root
 * @nr:		how many
 * @level:	of them
 * @auto_accept: map directly: leaves are never pending and keep their contents
 * @tree:	the tree lock: tried only.  -1: exclusive, else shared holders
 * @epoch_lock:	protects @epoch and @gate against vCPUs that enter, with interrupts
 *		off
 * @epoch:	the TD's epoch, from 1
 * @inside:	vCPUs in the guest, by the lowest bit of their epoch
 * @gate:	windows that are open: nobody may enter or accept
 * @accepting:	accepts in progress: a window opens when there is none
 * @busy_every:	one of so many calls is busy, 0: none; never inside of a window
 * @interrupt_every: a promote or demote that is one of so many calls is
 *		interrupted, never two in a row nor inside of a window
 * @count:	calls so far, for these
 * @last_error:	why the last call that was refused was, enum softsept_error
 */
struct softsept {
	struct mirror_provider provider;
	const struct pgt_format *fmt;
	struct pgt_attr leaf;
	u64 *root;
	unsigned int nr;
	int level;
	bool auto_accept;
	atomic_t tree;
	raw_spinlock_t epoch_lock;
	u64 epoch;
	atomic_t inside[2];
	atomic_t gate;
	atomic_t accepting;
	unsigned int busy_every;
	unsigned int interrupt_every;
	atomic_t count;
	enum softsept_error last_error;
};

/**
 * struct softsept_vcpu - what a vCPU has to do with it
 * @epoch:	the last one that it entered with, 0 at first
 * @inside:	it is in the guest
 */
struct softsept_vcpu {
	u64 epoch;
	bool inside;
};

/**
 * softsept_init() - make empty private page tables
 * @s:		to be initialised, zeroed
 * @fmt:	format of the entries
 * @leaf:	rights and memory type of every leaf
 * @root:	from pgt_root_foreign()
 * @nr:		from pgt_root_foreign()
 * @level:	of these entries
 */
void softsept_init(struct softsept *s, const struct pgt_format *fmt,
		   const struct pgt_attr *leaf, u64 *root, unsigned int nr,
		   int level);

/**
 * softsept_enter() - count a vCPU in, as close to VM entry as can be
 * @s:		whose
 * @v:		the vCPU, outside
 * @flush:	set: whether it has to flush what it has cached before it enters.
 *		Said once: the flush is owed also if it does not enter after all
 *
 * Context: interrupts are off.  The vCPU is one that mirror_env_kick() waits for
 * (in KVM: its mode is IN_GUEST_MODE), until after softsept_exit().
 * Return: false if the gate is closed: it must not enter now, and has not been
 * counted in.
 */
bool softsept_enter(struct softsept *s, struct softsept_vcpu *v, bool *flush);

/**
 * softsept_exit() - count a vCPU out
 * @s:		whose
 * @v:		the vCPU, inside
 *
 * Context: interrupts have been off since it left the guest, or gave up entering.
 */
void softsept_exit(struct softsept *s, struct softsept_vcpu *v);

/**
 * softsept_accept() - what the guest does to a pending leaf
 * @s:		whose
 * @gfn:	of the leaf
 * @level:	1 or 2
 *
 * The page is filled with zeroes.
 *
 * Context: RCU; no lock.
 * Return: SOFTSEPT_OK, SOFTSEPT_BUSY (try again; also while a window is open),
 * SOFTSEPT_OPERAND, SOFTSEPT_ACCEPTED, SOFTSEPT_SIZE, or SOFTSEPT_EXIT if the
 * host has to do something first.
 */
enum softsept_error softsept_accept(struct softsept *s, u64 gfn, int level);

/**
 * softsept_finalize() - end of adding pages; the guest may run
 * @s:		whose
 *
 * Context: the MMU lock is held for writing, so that no call is in progress.
 */
void softsept_finalize(struct softsept *s);

/* The state of the entry at @level for @gfn, or of where the way to it ends. */
enum softsept_state softsept_state(struct softsept *s, u64 gfn, int *level);

#endif /* ALTMMU_MIRROR_SOFTSEPT_H */
