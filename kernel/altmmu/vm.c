// SPDX-License-Identifier: GPL-2.0
/*
 * Which VMs are on altmmu, and what each of them has.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": altmmu: " fmt

#include <linux/module.h>
#include <linux/slab.h>

#include <asm/vmx.h>

#include "glue.h"

/* VMs come and go faster than code is patched, so the last one lingers. */
DEFINE_STATIC_KEY_DEFERRED_FALSE(altmmu_in_use, HZ);
/* For kvm_has_altmmu() in vmx/tdx.c. */
EXPORT_SYMBOL_FOR_KVM_INTERNAL(altmmu_in_use);

static const char * const altmmu_names[] = {
	[KVM_X86_MMU_KVM]	= "kvm",
	[KVM_X86_MMU_ALTMMU]	= "altmmu",
};

static int altmmu_default = KVM_X86_MMU_KVM;

static int altmmu_param_set(const char *val, const struct kernel_param *kp)
{
	int mmu = sysfs_match_string(altmmu_names, val);

	if (mmu < 0)
		return mmu;
	WRITE_ONCE(altmmu_default, mmu);
	return 0;
}

static int altmmu_param_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n",
			  altmmu_names[READ_ONCE(altmmu_default)]);
}

static const struct kernel_param_ops altmmu_param_ops = {
	.set = altmmu_param_set,
	.get = altmmu_param_get,
};

/* Decides for VMs that are made from then on. */
module_param_cb(mmu, &altmmu_param_ops, NULL, 0644);
MODULE_PARM_DESC(mmu, "MMU of new VMs: kvm (default) or altmmu");

/* Which kind of tables the CPU walks, and what it makes of their bits. */
static int altmmu_init_format(struct pgt_format *fmt, u64 mmio_value)
{
	const struct pgt_host host = {
		.phys_bits = kvm_host.maxphyaddr,
		.me_value = shadow_me_value,
		.me_mask = shadow_me_mask,
		.mmio_value = enable_mmio_caching ? mmio_value : 0,
		.mmio_mask = enable_mmio_caching ? shadow_mmio_mask : 0,
		.mmio_access = shadow_mmio_access_mask,
		.l1tf_mask = shadow_nonpresent_or_rsvd_mask,
		.nonpresent = SHADOW_NONPRESENT_VALUE,
		.max_leaf_level = max_huge_page_level,
		.ad = kvm_ad_enabled,
		/* Without MBEC the CPU ignores the bit (SDM 29.3.2). */
		.mbec = true,
		.suppress_ve = shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT,
		.nx = true,
	};

	return shadow_xs_mask ? pgt_format_ept(fmt, &host) :
				pgt_format_npt(fmt, &host);
}

unsigned int altmmu_mmus(void)
{
	unsigned int mmus = BIT(KVM_X86_MMU_KVM);
	struct pgt_format fmt;

	if (tdp_enabled && !altmmu_init_format(&fmt, shadow_mmio_value))
		mmus |= BIT(KVM_X86_MMU_ALTMMU);
	return mmus;
}

unsigned int altmmu_mmus_for(const struct kvm *kvm)
{
	unsigned int mmus = altmmu_mmus();

	if (kvm_has_mirrored_tdp(kvm) && !IS_ENABLED(CONFIG_KVM_ALTMMU_MIRROR))
		mmus &= ~BIT(KVM_X86_MMU_ALTMMU);
	/* KVM's own MMU mirrors for the TDX module alone. */
	if (kvm_has_soft_mirror(kvm))
		mmus &= ~BIT(KVM_X86_MMU_KVM);
	/* The tree's shadow MMU knows no private memory. */
	if (kvm->arch.vm_type == KVM_X86_SW_PROTECTED_VM && !tdp_mmu_enabled)
		mmus &= ~BIT(KVM_X86_MMU_KVM);
	return mmus;
}

static void altmmu_free_vm(struct altmmu_vm *vm)
{
	if (!vm)
		return;
	altmmu_destroy_private(vm);
	pgt_mmu_destroy(&vm->mmu);
	pgt_cache_drain(&vm->split_cache);
	kfree(vm);
	static_branch_slow_dec_deferred(&altmmu_in_use);
}

/* @bit: where a GPA says that it is shared, for a VM with a mirror. */
static struct altmmu_vm *altmmu_alloc_vm(struct kvm *kvm, unsigned int bit)
{
	struct altmmu_vm *vm = kzalloc_obj(*vm, GFP_KERNEL_ACCOUNT);
	struct pgt_counters counters = {
		.nx_tables = &kvm->stat.nx_lpage_splits,
	};
	int r;

	if (!vm)
		return ERR_PTR(-ENOMEM);
	if (altmmu_init_format(&vm->fmt, kvm->arch.shadow_mmio_value)) {
		kfree(vm);
		return ERR_PTR(-EINVAL);
	}
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		counters.leaves[level] = &kvm->stat.pages[level - 1];
	counters.tables = &vm->tables;
	vm->kvm = kvm;
	pgt_mmu_init(&vm->mmu, &kvm->mmu_lock, kvm_mmu_max_gfn() + 1,
		     vm->fmt.nonpresent, &counters);
	pgt_cache_init(&vm->split_cache, &vm->mmu);
	static_branch_deferred_inc(&altmmu_in_use);
	if (kvm_has_soft_mirror(kvm)) {
		r = altmmu_create_private(vm, bit);
		if (r) {
			altmmu_free_vm(vm);
			return ERR_PTR(r);
		}
	}
	return vm;
}

/* Somebody has asked for altmmu, and is told once that no VM will be on it. */
static void altmmu_say_if_missing(void)
{
	if (!tdp_enabled)
		pr_info_once("no nested paging on this host: VMs stay on KVM's own MMU\n");
	else if (!(altmmu_mmus() & BIT(KVM_X86_MMU_ALTMMU)))
		pr_info_once("no format for this host's page tables: VMs stay on KVM's own MMU\n");
}

static void altmmu_count_tables(struct altmmu_vm *vm, atomic_long_t *tables)
{
	struct pgt_counters *counters = &vm->mmu.counters;

	atomic_long_add(atomic_long_xchg(counters->tables, 0), tables);
	counters->tables = tables;
}

/*
 * What the VM's statistics say of tables is of those that it has.  Of leaves there
 * are none when it changes.
 *
 * Context: nobody else knows @kvm yet, or the MMU lock is held exclusively, under
 * which roots come and go where there are no vCPUs.  Who reads a count without it,
 * in debugfs, gets one or the other: @old is freed when he has left.
 */
static void altmmu_set_vm(struct kvm *kvm, struct altmmu_vm *vm)
{
	struct altmmu_vm *old = kvm->arch.altmmu;

	if (old)
		altmmu_count_tables(old, &old->tables);
	if (vm)
		altmmu_count_tables(vm, &kvm->stat.altmmu_tables);
	kvm->arch.altmmu = vm;
	if (vm && vm->private)
		kvm->arch.gfn_direct_bits = altmmu_private_end(vm);
}

int altmmu_init_vm(struct kvm *kvm)
{
	unsigned int mmus = altmmu_mmus_for(kvm);
	int mmu = READ_ONCE(altmmu_default);
	struct altmmu_vm *vm;

	if (mmu == KVM_X86_MMU_ALTMMU)
		altmmu_say_if_missing();
	/* Nothing of it has met a TDX module: a TD is asked for one by one. */
	if (kvm_has_mirrored_tdp(kvm))
		mmu = KVM_X86_MMU_KVM;
	/* Many a VM has one choice only. */
	if (!(mmus & BIT(mmu)))
		mmu = ffs(mmus) - 1;
	if (mmu < 0)
		return -EINVAL;
	if (mmu == KVM_X86_MMU_KVM)
		return 0;
	vm = altmmu_alloc_vm(kvm, altmmu_shared_bit(NULL));
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	altmmu_set_vm(kvm, vm);
	return 0;
}

void altmmu_uninit_vm(struct kvm *kvm)
{
	altmmu_free_vm(kvm->arch.altmmu);
	kvm->arch.altmmu = NULL;
}

void altmmu_set_mmio_value(struct kvm *kvm)
{
	WARN_ON_ONCE(altmmu_init_format(&kvm->arch.altmmu->fmt,
					kvm->arch.shadow_mmio_value));
}

static bool altmmu_has_memslots(struct kvm *kvm)
{
	for (int space = 0; space < kvm_arch_nr_memslot_as_ids(kvm); space++)
		if (!kvm_memslots_empty(__kvm_memslots(kvm, space)))
			return true;
	return false;
}

bool altmmu_has_been_used(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->slots_lock);
	/* A TD that the TDX module knows has a mirror, or needs none. */
	return READ_ONCE(kvm->created_vcpus) || altmmu_has_memslots(kvm) ||
	       (kvm_has_mirrored_tdp(kvm) && kvm_gfn_direct_bits(kvm));
}

static int altmmu_is_selected(struct kvm *kvm, u64 mmu)
{
	guard(mutex)(&kvm->slots_lock);
	if (altmmu_has_been_used(kvm))
		return -EBUSY;
	return !!kvm->arch.altmmu == (mmu == KVM_X86_MMU_ALTMMU);
}

/*
 * Give a VM other page tables, or none of altmmu's.
 *
 * Return: 0, or -EBUSY if it has a vCPU or a memslot.  @vm is the VM's then, or
 * freed.
 */
static int altmmu_replace(struct kvm *kvm, struct altmmu_vm *vm)
{
	struct altmmu_vm *old = vm;
	int r = 0;

	mutex_lock(&kvm->lock);
	mutex_lock(&kvm->slots_lock);
	/*
	 * Without vCPUs and memslots nobody maps.  Who comes to unmap all the
	 * same looks at the VM's MMU with the MMU lock held, which it may drop on
	 * its way; it is in an SRCU section then, or holds slots_lock.
	 */
	write_lock(&kvm->mmu_lock);
	if (altmmu_has_been_used(kvm)) {
		r = -EBUSY;
	} else {
		old = kvm->arch.altmmu;
		if (vm && vm->private)
			altmmu_inherit_private(vm, old);
		altmmu_set_vm(kvm, vm);
	}
	write_unlock(&kvm->mmu_lock);
	mutex_unlock(&kvm->slots_lock);
	/* Not inside slots_lock, which who is in debugfs may want. */
	if (!r && old)
		altmmu_remove_debugfs(old);
	if (!r)
		altmmu_create_debugfs(kvm);
	mutex_unlock(&kvm->lock);

	if (!r && old)
		synchronize_srcu(&kvm->srcu);
	altmmu_free_vm(old);
	return r;
}

int altmmu_select(struct kvm *kvm, u64 mmu)
{
	struct altmmu_vm *vm = NULL;
	int r;

	if (mmu >= ARRAY_SIZE(altmmu_names) ||
	    !(altmmu_mmus_for(kvm) & BIT(mmu)))
		return -EINVAL;
	/*
	 * Nothing is made in vain, or thrown away: the static key is patched
	 * code.  It takes cpus_read_lock(), so no lock is held then.
	 */
	r = altmmu_is_selected(kvm, mmu);
	if (r)
		return min(r, 0);
	if (mmu == KVM_X86_MMU_ALTMMU) {
		vm = altmmu_alloc_vm(kvm, 0);
		if (IS_ERR(vm))
			return PTR_ERR(vm);
	}
	return altmmu_replace(kvm, vm);
}

int altmmu_move_shared_bit(struct kvm *kvm, unsigned int bit)
{
	struct altmmu_vm *vm;

	scoped_guard(mutex, &kvm->slots_lock) {
		if (altmmu_has_been_used(kvm))
			return -EBUSY;
	}
	vm = altmmu_alloc_vm(kvm, bit);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	return altmmu_replace(kvm, vm);
}

void altmmu_exit(void)
{
	static_key_deferred_flush(&altmmu_in_use);
}
