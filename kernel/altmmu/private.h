/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private memory: a VM's mirror, and its provider if that is software private page
 * tables.  The provider of a TD is embedded in what vmx/tdx.c has for it.
 */
#ifndef ALTMMU_PRIVATE_H
#define ALTMMU_PRIVATE_H

#include "glue.h"
#include "mirror/mirror.h"
#include "mirror/softsept.h"

/**
 * struct altmmu_private - the private memory of a VM
 * @vm:		the VM
 * @mirror:	what KVM knows of it
 * @soft:	where the CPU finds it, in a VM of type KVM_X86_SOFT_MIRROR_VM
 * @root:	that VM's only root, whose foreign entries are @soft's; else NULL
 * @leaves:	how many the mirror has, by level
 * @tables:	how many the mirror has
 * @nx_tables:	none, ever
 *
 * Lives as long as the VM's page tables.
 */
struct altmmu_private {
	struct altmmu_vm *vm;
	struct mirror mirror;
	struct softsept soft;
	struct pgt_root *root;
	atomic_long_t leaves[PGT_MAX_LEAF_LEVEL + 1];
	atomic_long_t tables;
	atomic_long_t nx_tables;
};

/**
 * struct altmmu_private_vcpu - what a vCPU has for private memory
 * @cache:	tables for its faults
 * @soft:	the epoch that it last entered the guest with
 * @pfns:	room for a fault's neighbours: a page
 * @accept_level: of the guest's accept that is being served, or 0
 * @split_level: a leaf is to be made that small, before the next fault; or 0
 * @split_gfn:	in that leaf
 */
struct altmmu_private_vcpu {
	struct mirror_cache cache;
	struct softsept_vcpu soft;
	u64 *pfns;
	u8 accept_level;
	u8 split_level;
	gfn_t split_gfn;
};

static inline struct altmmu_private *altmmu_private(const struct kvm *kvm)
{
	return kvm->arch.altmmu->private;
}

/* Whether all pages that the guest starts with are there. */
static inline bool altmmu_is_finalized(const struct altmmu_private *private)
{
	/* Pairs with the release of the provider. */
	return smp_load_acquire(&private->mirror.provider->finalized);
}

const char *altmmu_call_name(enum mirror_call call);

#endif /* ALTMMU_PRIVATE_H */
