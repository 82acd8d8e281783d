/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What KVM asks of altmmu, for a VM that is on it.
 *
 * Every function but the first few wants kvm_has_altmmu() to be true.  In a
 * kernel without altmmu that is false at compile time, and so nothing of what
 * depends on it is left.
 */
#ifndef ALTMMU_ALTMMU_H
#define ALTMMU_ALTMMU_H

#include <linux/jump_label_ratelimit.h>
#include <linux/kvm_host.h>

struct kvm_page_fault;
struct mirror_provider;

/* Whether a VM has software private page tables: it is on altmmu then. */
static inline bool kvm_has_soft_mirror(const struct kvm *kvm)
{
#ifdef CONFIG_KVM_SOFT_MIRROR_VM
	return kvm->arch.vm_type == KVM_X86_SOFT_MIRROR_VM;
#else
	return false;
#endif
}

#ifdef CONFIG_KVM_ALTMMU
/* How many VMs are on altmmu; with none, asking costs a jump that is not there. */
extern struct static_key_false_deferred altmmu_in_use;

static inline bool kvm_has_altmmu(const struct kvm *kvm)
{
	return static_branch_unlikely(&altmmu_in_use.key) && kvm->arch.altmmu;
}

/**
 * altmmu_init_vm() - put a new VM on the default MMU, kvm.mmu
 * @kvm:	being made
 *
 * Return: 0, -EINVAL if no MMU on this host serves a VM of this type, -ENOMEM.
 */
int altmmu_init_vm(struct kvm *kvm);

/* When KVM goes, and with it the last VM. */
void altmmu_exit(void);
#else
static inline bool kvm_has_altmmu(const struct kvm *kvm)
{
	return false;
}

static inline int altmmu_init_vm(struct kvm *kvm)
{
	return 0;
}

static inline void altmmu_exit(void)
{
}
#endif

/*
 * Choosing an MMU: vm.c.
 */

/**
 * altmmu_mmus() - the MMUs that a VM can have on this host
 *
 * Return: a bit for each KVM_X86_MMU_* number.
 */
unsigned int altmmu_mmus(void);

/* Those of them that a VM of this one's type can have. */
unsigned int altmmu_mmus_for(const struct kvm *kvm);

/* Whether a VM can be on altmmu on this host. */
static inline bool kvm_can_have_altmmu(void)
{
	return IS_ENABLED(CONFIG_KVM_ALTMMU) &&
	       altmmu_mmus() & BIT(KVM_X86_MMU_ALTMMU);
}

/**
 * altmmu_select() - put a VM on an MMU
 * @kvm:	without vCPUs and memslots
 * @mmu:	KVM_X86_MMU_* number
 *
 * Context: takes kvm->lock and kvm->slots_lock.
 * Return: 0, -EINVAL if the VM can't have that MMU, -EBUSY if it has a vCPU or
 * a memslot already, -ENOMEM.
 */
int altmmu_select(struct kvm *kvm, u64 mmu);

void altmmu_uninit_vm(struct kvm *kvm);

/* When kvm->arch.shadow_mmio_value is another, and there is no root yet. */
void altmmu_set_mmio_value(struct kvm *kvm);

/* debugfs.c */
void altmmu_create_debugfs(struct kvm *kvm);

/*
 * vCPUs and the roots that they have loaded: vcpu.c.
 */
int altmmu_create_vcpu(struct kvm_vcpu *vcpu);
void altmmu_destroy_vcpu(struct kvm_vcpu *vcpu);
int altmmu_topup(struct kvm_vcpu *vcpu);
int altmmu_load_root(struct kvm_vcpu *vcpu);
void altmmu_free_roots(struct kvm_mmu *mmu, unsigned long roots);
bool altmmu_root_has_role(hpa_t hpa, union kvm_mmu_page_role role);
int altmmu_walk(struct kvm_vcpu *vcpu, gpa_t gpa, u64 *entries,
		int *root_level);

/*
 * Faults: fault.c, mmio.c.  They return RET_PF_* or a negative errno.
 */
int altmmu_fix(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault);
int altmmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault);
int altmmu_mmio_fault(struct kvm_vcpu *vcpu, gpa_t gpa);
void altmmu_expire_mmio(struct kvm *kvm);

/*
 * What the host asks for: notifier.c.
 */
bool altmmu_unmap_gfn_range(struct kvm *kvm, struct kvm_gfn_range *range);
void altmmu_zap_gfn_range(struct kvm *kvm, gfn_t start, gfn_t end);
bool altmmu_age_gfn(struct kvm *kvm, struct kvm_gfn_range *range);
bool altmmu_test_age_gfn(struct kvm *kvm, struct kvm_gfn_range *range);

/*
 * Memslots, dirty logging, write tracking: memslot.c.
 */
void altmmu_invalidate_roots(struct kvm *kvm);
void altmmu_empty_roots(struct kvm *kvm);
void altmmu_zap_all(struct kvm *kvm);
void altmmu_wrprot_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
			int min_level);
bool altmmu_wrprot_gfn(struct kvm *kvm, const struct kvm_memory_slot *slot,
		       gfn_t gfn, int min_level);
void altmmu_clear_dirty_slot(struct kvm *kvm,
			     const struct kvm_memory_slot *slot);
void altmmu_clear_dirty_mask(struct kvm *kvm,
			     const struct kvm_memory_slot *slot, gfn_t gfn,
			     unsigned long mask, bool wrprot);
void altmmu_split_range(struct kvm *kvm, const struct kvm_memory_slot *slot,
			gfn_t start, gfn_t end, int level);
void altmmu_split_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
		       int level);
void altmmu_recover_huge_pages(struct kvm *kvm,
			       const struct kvm_memory_slot *slot);
void altmmu_zap_slot(struct kvm *kvm, const struct kvm_memory_slot *slot);

/* Recovery from the NX-huge-page mitigation: nx.c. */
void altmmu_recover_nx(struct kvm *kvm, unsigned int ratio);

/**
 * altmmu_init_private() - give a VM a mirror of private page tables
 * @kvm:	without vCPUs, whose shared bit is known
 * @provider:	who keeps the real ones
 * @levels:	of them
 * @end:	first gfn that is never private: the shared bit
 *
 * It goes with the VM's page tables.
 *
 * Context: slots_lock; takes the MMU lock.
 * Return: 0 or -ENOMEM.
 */
int altmmu_init_private(struct kvm *kvm, struct mirror_provider *provider,
			int levels, gfn_t end);

/* Before faults of a guest that accepts a page of @level, and with 0 after them. */
void altmmu_set_accept_level(struct kvm_vcpu *vcpu, u8 level);

/*
 * Software private memory: private.c, private_fault.c.  But for the first two,
 * for VMs that have it.
 */
#ifdef CONFIG_KVM_ALTMMU_MIRROR
/**
 * altmmu_shared_bit() - which bit of a GPA makes it shared
 * @kvm:	the VM, or NULL for that of a new one
 *
 * Return: its number, 0 if @kvm has no software private memory, or none can be
 * had.
 */
unsigned int altmmu_shared_bit(const struct kvm *kvm);
int altmmu_configure_private(struct kvm *kvm, u64 bit, u64 flags);
bool altmmu_may_run(const struct kvm *kvm);
bool altmmu_enter_guest(struct kvm_vcpu *vcpu);
void altmmu_exit_guest(struct kvm_vcpu *vcpu);
bool altmmu_is_accept(struct kvm_vcpu *vcpu);
int altmmu_emulate_accept(struct kvm_vcpu *vcpu);
#else
static inline unsigned int altmmu_shared_bit(const struct kvm *kvm)
{
	return 0;
}

static inline int altmmu_configure_private(struct kvm *kvm, u64 bit, u64 flags)
{
	return -EINVAL;
}

static inline bool altmmu_may_run(const struct kvm *kvm)
{
	return true;
}

static inline bool altmmu_enter_guest(struct kvm_vcpu *vcpu)
{
	return true;
}

static inline void altmmu_exit_guest(struct kvm_vcpu *vcpu)
{
}

static inline bool altmmu_is_accept(struct kvm_vcpu *vcpu)
{
	return false;
}

static inline int altmmu_emulate_accept(struct kvm_vcpu *vcpu)
{
	return 1;
}
#endif

#endif /* ALTMMU_ALTMMU_H */
