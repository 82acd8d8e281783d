// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults: what the guest wants, what the slot and the host allow, and what
 * the engine made of it.
 *
 * Faults come here from kvm_tdp_page_fault(), which sees to all that is the same
 * for every MMU: write tracking, bringing the page in from the host, and
 * checking that it is still the right one.
 */
#include "glue.h"
#include "mmu/page_track.h"
#include "trace.h"

static u8 altmmu_want(const struct pgt_format *fmt,
		      const struct kvm_page_fault *fault)
{
	u8 want = PGT_R;

	if (fault->write)
		want |= PGT_W;
	if (fault->exec)
		want |= altmmu_exec(fmt);
	return want;
}

static bool altmmu_is_logged(const struct kvm_page_fault *fault)
{
	return fault->slot && kvm_slot_dirty_track_enabled(fault->slot);
}

/**
 * altmmu_fix() - let a fault pass that needs no page from the host
 * @vcpu:	current
 * @fault:	the fault
 *
 * Context: SRCU.
 * Return: RET_PF_FIXED, RET_PF_SPURIOUS, or RET_PF_INVALID if it takes more.
 */
int altmmu_fix(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct pgt_root *root = altmmu_vcpu_root(vcpu);
	int r;

	/* The CPU never loses a right to a mirrored page but with the page. */
	if (altmmu_is_mirrored(vcpu, fault))
		return RET_PF_INVALID;

	rcu_read_lock();
	r = pgt_fix(root, altmmu_shared_gfn(vcpu->kvm, fault->gfn),
		    altmmu_want(root->fmt, fault), altmmu_is_logged(fault));
	rcu_read_unlock();

	trace_altmmu_fix(vcpu->vcpu_id, fault->gfn, fault->error_code, r);
	switch (r) {
	case PGT_DONE:
		return RET_PF_FIXED;
	case PGT_SPURIOUS:
		return RET_PF_SPURIOUS;
	default:
		return RET_PF_INVALID;
	}
}

/* How the CPU is to treat the memory behind a page. */
static void altmmu_set_memory(struct kvm_vcpu *vcpu, gfn_t gfn,
			      struct pgt_map *map)
{
	bool verw = cpu_feature_enabled(X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO);
	bool mmio = false;

	/* Whose memory it is takes long to find out: only if that matters. */
	if (kvm_x86_ops.get_mt_mask || shadow_me_value || verw)
		mmio = kvm_is_host_mmio_pfn(map->pfn);
	/* As KVM has it, it stands where EPT entries have it. */
	if (kvm_x86_ops.get_mt_mask)
		map->memtype = kvm_x86_call(get_mt_mask)(vcpu, gfn, mmio) >> 3;
	map->encrypted = shadow_me_value && !mmio;
	/* A vCPU that can reach host MMIO clears CPU buffers before it runs. */
	if (verw && mmio && !kvm_vcpu_can_access_host_mmio(vcpu))
		kvm_track_host_mmio_mapping(vcpu);
}

/*
 * What to map, from what the fault found out.  A page of a slot with dirty
 * logging becomes writable only for a write: who only reads makes nothing dirty,
 * and a later write gets by with altmmu_fix().
 */
static void altmmu_init_map(struct kvm_vcpu *vcpu,
			    const struct kvm_page_fault *fault,
			    const struct pgt_format *fmt, kvm_pfn_t pfn,
			    bool tracked, struct pgt_map *map)
{
	bool writable = fault->map_writable && !tracked;

	*map = (struct pgt_map) {
		.gfn = altmmu_shared_gfn(vcpu->kvm, fault->gfn),
		.pfn = pfn,
		.level = fault->goal_level,
		.req_level = fault->req_level,
		.access = PGT_R | altmmu_exec(fmt),
		.want = altmmu_want(fmt, fault),
		.host_writable = fault->map_writable,
		.mmu_writable = writable,
		.prefetch = fault->prefetch,
		.nx_huge = fault->nx_huge_page_workaround_enabled,
		.nx_disallow = fault->huge_page_disallowed,
		.log = altmmu_is_logged(fault),
	};
	if (vcpu->arch.mmu->root_role.access & ACC_USER_MASK)
		map->access |= PGT_U;
	if (writable && (fault->write || !map->log))
		map->access |= PGT_W;
	if (!writable)
		map->want &= ~PGT_W;
	altmmu_set_memory(vcpu, fault->gfn, map);
}

/**
 * altmmu_map() - map the page of a fault
 * @vcpu:	current, topped up
 * @fault:	its page is in from the host, and is not stale
 *
 * The folio is dirtied by who called us, under the same hold of the lock.  The
 * host can't clean, move or free it before it has the lock for writing, so that
 * is as good as before the page can be written.
 *
 * Context: shared, SRCU.
 * Return: RET_PF_* or a negative errno.
 */
int altmmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct pgt_root *root = altmmu_vcpu_root(vcpu);
	kvm_pfn_t pfn = fault->pfn;
	struct pgt_batch batch;
	struct pgt_map map;
	bool tracked;
	int r;

	if (altmmu_is_mirrored(vcpu, fault))
		return altmmu_map_private(vcpu, fault);
	if (is_noslot_pfn(pfn))
		return altmmu_map_mmio(vcpu, fault, root);

	kvm_mmu_hugepage_adjust(vcpu, fault);
	tracked = kvm_gfn_is_write_tracked(vcpu->kvm, fault->slot, fault->gfn);
	altmmu_init_map(vcpu, fault, root->fmt, pfn, tracked, &map);

	pgt_batch_begin(&batch, root->mmu, PGT_SHARED, false);
	r = pgt_map(&batch, root, &map, &vcpu->arch.altmmu->cache);
	pgt_batch_end(&batch);

	fault->goal_level = map.level;
	trace_altmmu_map(vcpu->vcpu_id, &map, fault->error_code, r);
	switch (r) {
	case PGT_DONE:
	case PGT_SPURIOUS:
		/* Somebody watches for writes: they are emulated. */
		if (fault->write && tracked)
			return RET_PF_WRITE_PROTECTED;
		return r == PGT_DONE ? RET_PF_FIXED : RET_PF_SPURIOUS;
	case -EAGAIN:
	case -ENOMEM:
		return RET_PF_RETRY;
	case -ERANGE:
		/* Higher than the root reaches: no MMU of this VM maps it. */
		kvm_mmu_prepare_memory_fault_exit(vcpu, fault);
		return -EFAULT;
	default:
		/* The host took the page back without a word, or we err. */
		WARN_ONCE(1, "altmmu: can't map gfn 0x%llx: %d\n", map.gfn, r);
		return -EIO;
	}
}
