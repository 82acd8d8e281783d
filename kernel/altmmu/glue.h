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

struct altmmu_private;
struct altmmu_private_vcpu;

/* The role of the root of a VM with a mirror: no root that has others has it. */
#define ALTMMU_ONLY_ROOT	0

/**
 * struct altmmu_vm - what a VM on altmmu has
 * @kvm:	the VM
 * @mmu:	its page tables
 * @fmt:	format of all of them
 * @tables:	how many there are, before they are @kvm's and after
 * @split_cache: tables for eager splitting; slots_lock
 * @nx_space:	address space in which NX-huge-page recovery goes on, and
 * @nx_next:	the gfn; its worker only
 * @private:	its mirrored private memory, or NULL; private.h
 * @debugfs:	the VM's folder there
 */
struct altmmu_vm {
	struct kvm *kvm;
	struct pgt_mmu mmu;
	struct pgt_format fmt;
	atomic_long_t tables;
	struct pgt_cache split_cache;
	int nx_space;
	gfn_t nx_next;
	struct altmmu_private *private;
	struct dentry *debugfs;
};

/**
 * struct altmmu_vcpu - what a vCPU of such a VM has
 * @cache:	tables and a root for its faults
 * @private:	what it has for private memory; NULL if its VM has no mirror
 */
struct altmmu_vcpu {
	struct pgt_cache cache;
	struct altmmu_private_vcpu *private;
};

static inline struct kvm *altmmu_kvm(const struct pgt_mmu *mmu)
{
	return container_of(mmu, struct altmmu_vm, mmu)->kvm;
}

/* Whether a VM has private memory that is mirrored. */
static inline bool altmmu_vm_has_mirror(const struct altmmu_vm *vm)
{
	return IS_ENABLED(CONFIG_KVM_ALTMMU_MIRROR) && vm->private;
}

static inline bool altmmu_has_mirror(const struct kvm *kvm)
{
	return altmmu_vm_has_mirror(kvm->arch.altmmu);
}

/*
 * Memslots know gfns without the bit that makes them shared.  Roots map shared
 * memory at gfns with it; in a VM without a mirror there is no such bit.
 */
static inline gfn_t altmmu_shared_gfn(const struct kvm *kvm, gfn_t gfn)
{
	return gfn | kvm_gfn_direct_bits(kvm);
}

static inline gfn_t altmmu_slot_gfn(const struct kvm *kvm, gfn_t gfn)
{
	return gfn & ~kvm_gfn_direct_bits(kvm);
}

static inline struct pgt_range altmmu_shared_range(const struct kvm *kvm,
						   gfn_t start, gfn_t end)
{
	gfn_t bits = kvm_gfn_direct_bits(kvm);

	/* There is nothing that could have the bit twice. */
	if (bits) {
		start = min(start, bits) + bits;
		end = min(end, bits) + bits;
	}
	return (struct pgt_range) { .start = start, .end = end };
}

/* Whether a fault is for what the mirror, and not the vCPU's root, maps. */
static inline bool altmmu_is_mirrored(struct kvm_vcpu *vcpu,
				      const struct kvm_page_fault *fault)
{
	return altmmu_has_mirror(vcpu->kvm) &&
	       !kvm_is_addr_direct(vcpu->kvm, fault->addr);
}

/* Whether the host takes back any of these gfns right now. */
static inline bool altmmu_is_invalidating(const struct kvm *kvm, gfn_t start,
					  gfn_t end)
{
	return kvm->mmu_invalidate_in_progress &&
	       start < kvm->mmu_invalidate_range_end &&
	       end > kvm->mmu_invalidate_range_start;
}

/* The root that a vCPU has loaded, and so has a reference to, or keeps. */
static inline struct pgt_root *altmmu_root(hpa_t hpa)
{
	return pgt_root_of(__va(hpa));
}

static inline struct pgt_root *altmmu_vcpu_root(struct kvm_vcpu *vcpu)
{
	return altmmu_root(vcpu->arch.mmu->root.hpa);
}

/* The rights to execute that leaves have which nothing forbids it. */
static inline u8 altmmu_exec(const struct pgt_format *fmt)
{
	return fmt->user_exec ? PGT_X | PGT_UX : PGT_X;
}

/* debugfs.c */
void altmmu_remove_debugfs(struct altmmu_vm *vm);

/* vm.c */
bool altmmu_has_been_used(struct kvm *kvm);
int altmmu_move_shared_bit(struct kvm *kvm, unsigned int bit);

/* memslot.c */
#ifdef CONFIG_KVM_PROVE_MMU
void altmmu_prove_locked(struct kvm *kvm);
void altmmu_prove(struct kvm *kvm);
#else
static inline void altmmu_prove_locked(struct kvm *kvm)
{
}

static inline void altmmu_prove(struct kvm *kvm)
{
}
#endif

/* mmio.c */
int altmmu_map_mmio(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
		    struct pgt_root *root);

/*
 * Private memory that is mirrored: private.c, private_fault.c.  None of these is
 * called for a VM without it.
 */
#ifdef CONFIG_KVM_ALTMMU_MIRROR
int altmmu_create_private(struct altmmu_vm *vm, unsigned int bit);
void altmmu_destroy_private(struct altmmu_vm *vm);
void altmmu_inherit_private(struct altmmu_vm *vm, const struct altmmu_vm *old);
gfn_t altmmu_private_end(const struct altmmu_vm *vm);
bool altmmu_private_role_ok(const struct altmmu_vm *vm,
			    union kvm_mmu_page_role role);
int altmmu_create_private_vcpu(struct kvm_vcpu *vcpu);
void altmmu_destroy_private_vcpu(struct kvm_vcpu *vcpu);
int altmmu_topup_private(struct kvm_vcpu *vcpu);
int altmmu_map_private(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault);
void altmmu_zap_private(struct kvm *kvm, gfn_t start, gfn_t end);
void altmmu_zap_private_tables(struct kvm *kvm, gfn_t start, gfn_t end);
bool altmmu_validate_private(struct altmmu_vm *vm, struct pgt_verdict *verdict);
void altmmu_show_private(struct altmmu_vm *vm, struct seq_file *m);
void altmmu_create_private_debugfs(struct altmmu_vm *vm);
#else
static inline int altmmu_create_private(struct altmmu_vm *vm, unsigned int bit)
{
	return -EINVAL;
}

static inline void altmmu_destroy_private(struct altmmu_vm *vm) { }

static inline void altmmu_inherit_private(struct altmmu_vm *vm,
					  const struct altmmu_vm *old)
{
}

static inline gfn_t altmmu_private_end(const struct altmmu_vm *vm)
{
	return 0;
}

static inline bool altmmu_private_role_ok(const struct altmmu_vm *vm,
					  union kvm_mmu_page_role role)
{
	return false;
}

static inline int altmmu_create_private_vcpu(struct kvm_vcpu *vcpu)
{
	return 0;
}

static inline void altmmu_destroy_private_vcpu(struct kvm_vcpu *vcpu) { }

static inline int altmmu_topup_private(struct kvm_vcpu *vcpu)
{
	return 0;
}

static inline int altmmu_map_private(struct kvm_vcpu *vcpu,
				     struct kvm_page_fault *fault)
{
	return -EIO;
}

static inline void altmmu_zap_private(struct kvm *kvm, gfn_t start, gfn_t end)
{
}

static inline void altmmu_zap_private_tables(struct kvm *kvm, gfn_t start,
					     gfn_t end)
{
}

static inline bool altmmu_validate_private(struct altmmu_vm *vm,
					   struct pgt_verdict *verdict)
{
	return true;
}

static inline void altmmu_show_private(struct altmmu_vm *vm,
				       struct seq_file *m)
{
}

static inline void altmmu_create_private_debugfs(struct altmmu_vm *vm) { }
#endif

#endif /* ALTMMU_GLUE_H */
