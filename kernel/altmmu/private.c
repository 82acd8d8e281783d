// SPDX-License-Identifier: GPL-2.0
/*
 * The private memory of a VM: made and configured, given back, and what its
 * mirror and its provider ask of KVM.  Faults are in private_fault.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": altmmu: " fmt

#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "private.h"
#include "mirror/env.h"
#include "trace.h"

/* Below it there would be no room for what is at the end of the first 4 GiB. */
#define ALTMMU_MIN_SHARED_BIT	32

/* Pairs of tables for a zap that splits: mirror_zap() wants no more at once. */
#define ALTMMU_ZAP_TABLES	4

static unsigned int altmmu_private_batch = MIRROR_BATCH;
module_param(altmmu_private_batch, uint, 0644);
MODULE_PARM_DESC(altmmu_private_batch,
		 "Most private pages to let go of per epoch, rounded down to a power of two");

/*
 * What the mirror and its provider ask of KVM: mirror/env.h.
 */

static struct kvm *altmmu_mirror_kvm(struct mirror *mirror)
{
	return container_of(mirror, struct altmmu_private, mirror)->vm->kvm;
}

void mirror_env_kick(struct mirror *mirror)
{
	kvm_make_all_cpus_request(altmmu_mirror_kvm(mirror),
				  KVM_REQ_OUTSIDE_GUEST_MODE);
}

const char *altmmu_call_name(enum mirror_call call)
{
	static const char * const names[MIRROR_NR_CALLS] = {
		[MIRROR_LINK]		= "link",
		[MIRROR_MAP]		= "map",
		[MIRROR_ADD]		= "add",
		[MIRROR_BLOCK]		= "block",
		[MIRROR_TRACK]		= "track",
		[MIRROR_UNBLOCK]	= "unblock",
		[MIRROR_REMOVE]		= "remove",
		[MIRROR_UNLINK]		= "unlink",
		[MIRROR_PROMOTE]	= "promote",
		[MIRROR_DEMOTE]		= "demote",
		[MIRROR_RECLAIM]	= "reclaim",
		[MIRROR_OPEN_WINDOW]	= "open_window",
		[MIRROR_CLOSE_WINDOW]	= "close_window",
	};

	return names[call];
}

/* Nothing that user space does leads here, but it must not flood the log. */
void mirror_env_broken(struct mirror *mirror, enum mirror_call call, u64 gfn,
		       int level, int error)
{
	pr_err_ratelimited("%s: %s of gfn 0x%llx at level %d was refused: %d\n",
			   mirror->provider->name, altmmu_call_name(call), gfn,
			   level, error);
	kvm_vm_dead(altmmu_mirror_kvm(mirror));
}

/* With a reference each, guest_memfd can let go of the pages all the same. */
void mirror_env_leak(struct mirror *mirror, u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++)
		get_page(pfn_to_page(pfn + i));
}

void mirror_env_trace(struct mirror *mirror, enum mirror_call call, u64 gfn,
		      int level, int ret)
{
	trace_mirror_call(altmmu_mirror_kvm(mirror), altmmu_call_name(call),
			  gfn, level, ret);
}

void softsept_env_clear(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++)
		clear_page(pfn_to_kaddr(pfn + i));
}

/*
 * Made and configured.
 */

/*
 * The highest bit of a GPA, of those that the host's CPU and its page tables
 * have; so guests whose MAXPHYADDR is the host's can use all the others.
 */
static unsigned int altmmu_max_shared_bit(void)
{
	return min_t(unsigned int, kvm_host.maxphyaddr,
		     12 + 9 * kvm_mmu_get_max_tdp_level()) - 1;
}

gfn_t altmmu_private_end(const struct altmmu_vm *vm)
{
	return vm->private->root->foreign_end;
}

/* Every vCPU uses the one root: it has these levels, and no other space. */
bool altmmu_private_role_ok(const struct altmmu_vm *vm,
			    union kvm_mmu_page_role role)
{
	return !role.smm && role.level == vm->private->root->levels;
}

/* The root, and in it the entries below which everything is private. */
static u64 *altmmu_make_private_root(struct altmmu_private *private,
				     unsigned int bit, unsigned int *nr)
{
	struct altmmu_vm *vm = private->vm;
	u64 *entries = ERR_PTR(-ENOMEM);
	struct pgt_cache cache;
	struct pgt_root *root;

	pgt_cache_init(&cache, &vm->mmu);
	if (pgt_cache_fill(&cache, PT64_ROOT_MAX_LEVEL, true))
		goto out;

	write_lock(&vm->kvm->mmu_lock);
	root = pgt_root_get(&vm->mmu, &vm->fmt, kvm_mmu_tdp_level(bit + 1), 0,
			    ALTMMU_ONLY_ROOT, &cache);
	if (IS_ERR(root)) {
		entries = ERR_CAST(root);
	} else {
		private->root = root;
		entries = pgt_root_foreign(root, gpa_to_gfn(BIT_ULL(bit)), nr,
					   &cache);
	}
	write_unlock(&vm->kvm->mmu_lock);
out:
	pgt_cache_drain(&cache);
	return entries;
}

/* As the CPU treats the memory of a guest without devices of the host's. */
static struct pgt_attr altmmu_private_attr(const struct altmmu_vm *vm)
{
	struct pgt_attr attr = {
		.access = PGT_R | PGT_W | altmmu_exec(&vm->fmt),
		.host_writable = true,
		.mmu_writable = true,
		.encrypted = shadow_me_value,
		.accessed = true,
	};
	bool smep;

	/* As with all of KVM's roots: kvm_calc_tdp_mmu_root_page_role(). */
	smep = kvm_x86_call(tdp_has_smep)(vm->kvm);
	if (!shadow_user_mask || !smep)
		attr.access |= PGT_U;
	/* In EPT: write-back, whatever the guest's PAT says.  In NPT it is 0. */
	if (kvm_x86_ops.get_mt_mask)
		attr.memtype = BIT(3) | X86_MEMTYPE_WB;
	return attr;
}

static int altmmu_init_mirror(struct altmmu_private *private,
			      struct mirror_provider *provider, int levels,
			      gfn_t end)
{
	struct altmmu_vm *vm = private->vm;
	struct pgt_counters counters = {
		.tables = &private->tables,
		.nx_tables = &private->nx_tables,
	};

	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		counters.leaves[level] = &private->leaves[level];
	/*
	 * Here is nobody to split what somebody executes, so CPUs that must not
	 * execute from huge leaves get none.
	 */
	if (boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT)) {
		provider->max_map_level = 1;
		provider->max_leaf_level = 1;
	}
	return mirror_init(&private->mirror, &vm->kvm->mmu_lock, provider, levels,
			   end, &counters);
}

/**
 * altmmu_create_private() - give a VM's page tables a half that is private
 * @vm:		new, nobody uses it
 * @bit:	of a GPA, that makes it shared
 *
 * Return: 0, -ENOMEM, or -EINVAL if there can be no such bit.  With an error what
 * there is goes with altmmu_destroy_private().
 */
int altmmu_create_private(struct altmmu_vm *vm, unsigned int bit)
{
	struct altmmu_private *private;
	struct pgt_attr attr;
	unsigned int nr;
	u64 *entries;

	private = kzalloc_obj(*private, GFP_KERNEL_ACCOUNT);
	if (!private)
		return -ENOMEM;
	private->vm = vm;
	vm->private = private;

	entries = altmmu_make_private_root(private, bit, &nr);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	attr = altmmu_private_attr(vm);
	softsept_init(&private->soft, &vm->fmt, &attr, entries, nr,
		      private->root->foreign_level);
	return altmmu_init_mirror(private, &private->soft.provider,
				  private->root->foreign_level,
				  private->root->foreign_end);
}

int altmmu_init_private(struct kvm *kvm, struct mirror_provider *provider,
			int levels, gfn_t end)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;
	struct altmmu_private *private;
	int r;

	lockdep_assert_held(&kvm->slots_lock);
	private = kzalloc_obj(*private, GFP_KERNEL_ACCOUNT);
	if (!private)
		return -ENOMEM;
	private->vm = vm;
	r = altmmu_init_mirror(private, provider, levels, end);
	if (r) {
		mirror_destroy(&private->mirror);
		kfree(private);
		return r;
	}

	/* For who unmaps memslots, which there may be already. */
	write_lock(&kvm->mmu_lock);
	/* Whatever the host's MAXPHYADDR, shared memory is above what is private. */
	vm->mmu.max_gfn = max(vm->mmu.max_gfn, 2 * end);
	vm->private = private;
	write_unlock(&kvm->mmu_lock);
	/* Others get it with the folder, which is there since the VM was made. */
	if (!IS_ERR_OR_NULL(vm->debugfs))
		altmmu_create_private_debugfs(vm);
	return 0;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(altmmu_init_private);

/**
 * altmmu_destroy_private() - give back all private memory and its tables
 * @vm:		no vCPU is left; nothing is done if it has none
 */
void altmmu_destroy_private(struct altmmu_vm *vm)
{
	struct altmmu_private *private = vm->private;

	if (!private)
		return;
	/* The tables hang below the root's foreign entries, so they go first. */
	mirror_destroy(&private->mirror);
	if (private->root)
		pgt_root_put(private->root);
	kfree(private);
	vm->private = NULL;
}

#ifdef CONFIG_KVM_PROVE_MMU
/* As pgt_validate(). */
bool altmmu_validate_private(struct altmmu_vm *vm, struct pgt_verdict *verdict)
{
	return mirror_validate(&vm->private->mirror, verdict);
}
#endif

/* What was asked for before the shared bit moved. */
void altmmu_inherit_private(struct altmmu_vm *vm, const struct altmmu_vm *old)
{
	vm->private->soft.auto_accept = old->private->soft.auto_accept;
	if (altmmu_is_finalized(old->private))
		softsept_finalize(&vm->private->soft);
}

static int altmmu_auto_accept(struct kvm *kvm)
{
	struct altmmu_private *private;

	/* For what it is to be the VM's first: as in altmmu_select(). */
	guard(mutex)(&kvm->lock);
	guard(mutex)(&kvm->slots_lock);
	if (altmmu_has_been_used(kvm))
		return -EBUSY;
	guard(write_lock)(&kvm->mmu_lock);
	private = altmmu_private(kvm);
	private->soft.auto_accept = true;
	if (!altmmu_is_finalized(private))
		softsept_finalize(&private->soft);
	return 0;
}

static int altmmu_finalize(struct kvm *kvm)
{
	struct altmmu_private *private;

	/* The one for who moves the shared bit, the other for who adds pages. */
	guard(mutex)(&kvm->slots_lock);
	guard(write_lock)(&kvm->mmu_lock);
	private = altmmu_private(kvm);
	if (altmmu_is_finalized(private))
		return -EINVAL;
	softsept_finalize(&private->soft);
	return 0;
}

/**
 * altmmu_configure_private() - what user space asks of software private memory
 * @kvm:	the VM
 * @bit:	of a GPA, that makes it shared; 0: leave it
 * @flags:	KVM_X86_SOFT_MIRROR_* bits
 *
 * Context: takes kvm->lock, kvm->slots_lock and the MMU lock.
 * Return: 0; -EINVAL if @kvm is of another type, @bit or @flags can't be, or it is
 * finalized already; -EBUSY if it has a vCPU or a memslot, and all that is asked
 * for is not to finalize; -ENOMEM.
 */
int altmmu_configure_private(struct kvm *kvm, u64 bit, u64 flags)
{
	int r = 0;

	if (!kvm_has_soft_mirror(kvm))
		return -EINVAL;
	switch (flags) {
	case 0:
	case KVM_X86_SOFT_MIRROR_AUTO_ACCEPT:
	case KVM_X86_SOFT_MIRROR_FINALIZE:
		break;
	default:
		return -EINVAL;
	}
	if (bit && (bit < ALTMMU_MIN_SHARED_BIT ||
		    bit > altmmu_max_shared_bit()))
		return -EINVAL;

	if (bit)
		r = altmmu_move_shared_bit(kvm, bit);
	if (!r && flags == KVM_X86_SOFT_MIRROR_AUTO_ACCEPT)
		r = altmmu_auto_accept(kvm);
	if (!r && flags == KVM_X86_SOFT_MIRROR_FINALIZE)
		r = altmmu_finalize(kvm);
	return r;
}

unsigned int altmmu_shared_bit(const struct kvm *kvm)
{
	if (!IS_ENABLED(CONFIG_KVM_SOFT_MIRROR_VM))
		return 0;
	if (!kvm)
		return kvm_can_have_altmmu() ? altmmu_max_shared_bit() : 0;
	if (!kvm_has_soft_mirror(kvm))
		return 0;
	return __ffs64(gfn_to_gpa(kvm_gfn_direct_bits(kvm)));
}

bool altmmu_may_run(const struct kvm *kvm)
{
	return altmmu_is_finalized(altmmu_private(kvm));
}

/*
 * vCPUs.
 */

int altmmu_create_private_vcpu(struct kvm_vcpu *vcpu)
{
	struct altmmu_private *private = altmmu_private(vcpu->kvm);
	struct altmmu_private_vcpu *pv;

	pv = kzalloc_obj(*pv, GFP_KERNEL_ACCOUNT);
	if (!pv)
		return -ENOMEM;
	BUILD_BUG_ON(PGT_ENTRIES * sizeof(*pv->pfns) != PAGE_SIZE);
	pv->pfns = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!pv->pfns) {
		kfree(pv);
		return -ENOMEM;
	}
	mirror_cache_init(&pv->cache, &private->mirror);
	vcpu->arch.altmmu->private = pv;
	return 0;
}

void altmmu_destroy_private_vcpu(struct kvm_vcpu *vcpu)
{
	struct altmmu_private_vcpu *pv = vcpu->arch.altmmu->private;

	mirror_cache_drain(&pv->cache);
	free_page((unsigned long)pv->pfns);
	kfree(pv);
}

/**
 * altmmu_enter_guest() - count a vCPU in, just before it enters the guest
 * @vcpu:	current, IN_GUEST_MODE, without a request to exit
 *
 * What is counted is the time in which a vCPU may use translations that it has:
 * from here to altmmu_exit_guest().  Exits that are handled in between change
 * nothing of that; whoever waits for vCPUs to leave kicks them, and then they
 * don't enter again without having been here.
 *
 * Context: interrupts are off.
 * Return: false if it has to try again from the start: nobody may enter now.
 */
bool altmmu_enter_guest(struct kvm_vcpu *vcpu)
{
	bool flush = false;

	if (!softsept_enter(&altmmu_private(vcpu->kvm)->soft,
			    &vcpu->arch.altmmu->private->soft, &flush))
		return false;
	/*
	 * A CPU that somebody else's vCPU runs on next, or this one when it was
	 * elsewhere, is seen to by KVM: translations are a vCPU's own, or it
	 * flushes where it has not run last.
	 */
	if (flush)
		kvm_x86_call(flush_tlb_current)(vcpu);
	return true;
}

/* Context: interrupts have been off since altmmu_enter_guest(). */
void altmmu_exit_guest(struct kvm_vcpu *vcpu)
{
	softsept_exit(&altmmu_private(vcpu->kvm)->soft,
		      &vcpu->arch.altmmu->private->soft);
}

/*
 * Given back.
 */

typedef int (*altmmu_mirror_zap_fn)(struct mirror *mirror,
				    struct pgt_range *range, bool may_yield,
				    struct mirror_cache *cache);

static void altmmu_zap_mirror(struct kvm *kvm, gfn_t start, gfn_t end,
			      altmmu_mirror_zap_fn zap)
{
	struct mirror *mirror = &altmmu_private(kvm)->mirror;
	unsigned int batch = READ_ONCE(altmmu_private_batch);
	struct pgt_range range = { .start = start, .end = end };
	struct mirror_cache cache;

	mirror->batch = rounddown_pow_of_two(clamp(batch, 1u,
						   (unsigned int)MIRROR_BATCH));
	mirror_cache_init(&cache, mirror);
	/*
	 * The pages go back to the host when we return, so there is no way out:
	 * a few pages will be had at last.  They are not charged: a task that is
	 * killed at its memcg's limit is refused all that is, and what it has is
	 * not freed before we return.  Only a leaf that reaches beyond the range
	 * wants any, so that is two per large leaf of the VM at the most.
	 */
	cache.tables.gfp = GFP_KERNEL;
	cache.provided.gfp = GFP_KERNEL;
	while (zap(mirror, &range, true, &cache)) {
		write_unlock(&kvm->mmu_lock);
		cond_resched();
		mirror_cache_fill(&cache, ALTMMU_ZAP_TABLES);
		write_lock(&kvm->mmu_lock);
	}
	mirror_cache_drain(&cache);
}

/**
 * altmmu_zap_private() - let go of private pages
 * @kvm:	the VM
 * @start:	first gfn
 * @end:	end of the gfns
 *
 * When it returns the pages are the host's.  No flush is owed.
 *
 * Context: exclusive; drops the lock, and may sleep.
 */
void altmmu_zap_private(struct kvm *kvm, gfn_t start, gfn_t end)
{
	altmmu_zap_mirror(kvm, start, end, mirror_zap);
}

/* The same, and let go of the tables that are wholly in the range. */
void altmmu_zap_private_tables(struct kvm *kvm, gfn_t start, gfn_t end)
{
	altmmu_zap_mirror(kvm, start, end, mirror_zap_tables);
}
