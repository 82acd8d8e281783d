// SPDX-License-Identifier: GPL-2.0
/*
 * vCPUs: the memory that their faults may use, and the roots that they load.
 */
#include <linux/slab.h>

#include "glue.h"

int altmmu_create_vcpu(struct kvm_vcpu *vcpu)
{
	struct altmmu_vcpu *av = kzalloc_obj(*av, GFP_KERNEL_ACCOUNT);

	if (!av)
		return -ENOMEM;
	pgt_cache_init(&av->cache, &vcpu->kvm->arch.altmmu->mmu);
	vcpu->arch.altmmu = av;
	if (!altmmu_has_mirror(vcpu->kvm) || !altmmu_create_private_vcpu(vcpu))
		return 0;
	kfree(av);
	vcpu->arch.altmmu = NULL;
	return -ENOMEM;
}

void altmmu_destroy_vcpu(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.altmmu)
		return;
	if (altmmu_has_mirror(vcpu->kvm))
		altmmu_destroy_private_vcpu(vcpu);
	pgt_cache_drain(&vcpu->arch.altmmu->cache);
	kfree(vcpu->arch.altmmu);
	vcpu->arch.altmmu = NULL;
}

/**
 * altmmu_topup() - have ready what the next fault, or loading a root, may need
 * @vcpu:	current
 *
 * May sleep.
 *
 * Return: 0 or -ENOMEM.
 */
int altmmu_topup(struct kvm_vcpu *vcpu)
{
	int r;

	r = pgt_cache_fill(&vcpu->arch.altmmu->cache, PT64_ROOT_MAX_LEVEL,
			   !VALID_PAGE(vcpu->arch.mmu->root.hpa));
	if (!r && altmmu_has_mirror(vcpu->kvm))
		r = altmmu_topup_private(vcpu);
	return r;
}

/*
 * What tells roots of an address space apart.  A VM with a mirror has one root,
 * made with the VM, where the CPU finds all that is private; no other would do.
 */
static u32 altmmu_root_key(const struct kvm *kvm, union kvm_mmu_page_role role)
{
	return kvm_has_soft_mirror(kvm) ? ALTMMU_ONLY_ROOT : role.word;
}

/**
 * altmmu_load_root() - give a vCPU the root for its role
 * @vcpu:	current, without a root, topped up
 *
 * Whoever invalidates roots holds the lock exclusively and makes every vCPU look
 * at its root again, so a root that is valid now is dropped in time.
 *
 * Return: 0, -EOPNOTSUPP if the guest runs a nested one, or is in SMM and has a
 * mirror, -ENOMEM.
 */
int altmmu_load_root(struct kvm_vcpu *vcpu)
{
	struct altmmu_vm *vm = vcpu->kvm->arch.altmmu;
	struct kvm_mmu *mmu = vcpu->arch.mmu;
	union kvm_mmu_page_role role = mmu->root_role;
	struct pgt_root *root;

	/*
	 * Nobody has announced nested guests.  User space can set EFER.SVME all
	 * the same, but then VMRUN ends for want of SVM in CPUID, so this should
	 * not be seen.  Not -EIO, which who pre-faults takes for a bug of ours.
	 */
	if (!role.direct || role.guest_mode)
		return -EOPNOTSUPP;
	if (kvm_has_soft_mirror(vcpu->kvm) && !altmmu_private_role_ok(vm, role))
		return -EOPNOTSUPP;

	read_lock(&vcpu->kvm->mmu_lock);
	root = pgt_root_get(&vm->mmu, &vm->fmt, role.level,
			    kvm_mmu_role_as_id(role),
			    altmmu_root_key(vcpu->kvm, role),
			    &vcpu->arch.altmmu->cache);
	read_unlock(&vcpu->kvm->mmu_lock);
	if (IS_ERR(root))
		return PTR_ERR(root);

	mmu->root.hpa = __pa(root->table);
	mmu->root.pgd = 0;
	return 0;
}

static void altmmu_put_root(struct kvm_mmu_root_info *info)
{
	if (VALID_PAGE(info->hpa))
		pgt_root_put(altmmu_root(info->hpa));
	*info = KVM_MMU_ROOT_INFO_INVALID;
}

/**
 * altmmu_free_roots() - let go of roots that a vCPU has loaded or keeps
 * @mmu:	one of its MMU contexts
 * @roots:	KVM_MMU_ROOT_* bits
 */
void altmmu_free_roots(struct kvm_mmu *mmu, unsigned long roots)
{
	if (roots & KVM_MMU_ROOT_CURRENT)
		altmmu_put_root(&mmu->root);
	for (int i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++)
		if (roots & KVM_MMU_ROOT_PREVIOUS(i))
			altmmu_put_root(&mmu->prev_roots[i]);
}

/**
 * altmmu_root_has_role() - whether a root that a vCPU keeps serves a role
 * @hpa:	of the root's table
 * @role:	the role
 */
bool altmmu_root_has_role(hpa_t hpa, union kvm_mmu_page_role role)
{
	struct pgt_root *root = altmmu_root(hpa);
	struct kvm *kvm = altmmu_kvm(root->mmu);

	if (kvm_has_soft_mirror(kvm) &&
	    !altmmu_private_role_ok(kvm->arch.altmmu, role))
		return false;
	return root->role == altmmu_root_key(kvm, role);
}

/**
 * altmmu_walk() - read the entries on the way to an address
 * @vcpu:	any
 * @gpa:	the address
 * @entries:	filled by level
 * @root_level:	set to the level of the first
 *
 * Return: the level of the last, or -1 if there is none.
 */
int altmmu_walk(struct kvm_vcpu *vcpu, gpa_t gpa, u64 *entries,
		int *root_level)
{
	struct pgt_root *root;
	int level;

	if (!VALID_PAGE(vcpu->arch.mmu->root.hpa))
		return -1;
	root = altmmu_vcpu_root(vcpu);
	rcu_read_lock();
	level = pgt_lookup(root, gpa_to_gfn(gpa), entries);
	rcu_read_unlock();
	*root_level = root->levels;
	return max(level, -1);
}
