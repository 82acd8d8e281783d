/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files between KVM and the engine share with each other.
 */
#ifndef ALTMMU_GLUE_H
#define ALTMMU_GLUE_H

#include <linux/kvm_host.h>

#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

#include "altmmu.h"
#include "pgt/pgt.h"

/**
 * struct altmmu_vm - what a VM on altmmu has
 * @kvm:	the VM
 * @mmu:	its page tables
 * @fmt:	format of all of them
 * @split_cache: tables for eager splitting; slots_lock
 * @nx_next:	gfn at which NX-huge-page recovery goes on; its worker only
 * @debugfs:	the VM's folder there
 */
struct altmmu_vm {
	struct kvm *kvm;
	struct pgt_mmu mmu;
	struct pgt_format fmt;
	struct pgt_cache split_cache;
	gfn_t nx_next;
	struct dentry *debugfs;
};

/**
 * struct altmmu_vcpu - what a vCPU of such a VM has
 * @cache:	tables and a root for its faults
 */
struct altmmu_vcpu {
	struct pgt_cache cache;
};

static inline struct kvm *altmmu_kvm(const struct pgt_mmu *mmu)
{
	return container_of(mmu, struct altmmu_vm, mmu)->kvm;
}

/*
 * The root whose table is at @hpa.  Whoever asks has a reference to it, so it is
 * on the list: with a root for each address space that is in use, and those that
 * were dropped and that some vCPU has not let go of yet.
 */
static inline struct pgt_root *altmmu_root(struct kvm *kvm, hpa_t hpa)
{
	struct pgt_root *root, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(root, &kvm->arch.altmmu->mmu.roots, link) {
		if (__pa(root->table) == hpa) {
			found = root;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static inline struct pgt_root *altmmu_vcpu_root(struct kvm_vcpu *vcpu)
{
	return altmmu_root(vcpu->kvm, vcpu->arch.mmu->root.hpa);
}

/* The rights to execute that leaves have which nothing forbids it. */
static inline u8 altmmu_exec(const struct pgt_format *fmt)
{
	return fmt->user_exec ? PGT_X | PGT_UX : PGT_X;
}

/* debugfs.c */
void altmmu_remove_debugfs(struct altmmu_vm *vm);

/* memslot.c */
#ifdef CONFIG_KVM_PROVE_MMU
void altmmu_prove(struct kvm *kvm);
#else
static inline void altmmu_prove(struct kvm *kvm)
{
}
#endif

/* mmio.c */
int altmmu_map_mmio(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
		    struct pgt_root *root);

#endif /* ALTMMU_GLUE_H */
