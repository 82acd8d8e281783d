// SPDX-License-Identifier: GPL-2.0
/*
 * Faults on private memory, and the guest's accepting of it.
 *
 * A fault comes here from altmmu_map(), with its page in from guest_memfd and not
 * stale.  It is mapped with those of its neighbours that guest_memfd has already.
 */
#include <linux/moduleparam.h>

#include "private.h"
#include "trace.h"
#include "x86.h"

static unsigned int altmmu_private_around = PGT_ENTRIES;
module_param(altmmu_private_around, uint, 0644);
MODULE_PARM_DESC(altmmu_private_around,
		 "Most private pages to map for one fault, rounded down to a power of two");

/* The gfns around a fault that may be mapped along with it. */
static struct pgt_range altmmu_window(const struct kvm_page_fault *fault)
{
	u64 size = rounddown_pow_of_two(clamp(READ_ONCE(altmmu_private_around),
					      1u, PGT_ENTRIES));
	u64 start = fault->gfn & ~(size - 1);

	return (struct pgt_range) {
		.start = max(start, fault->slot->base_gfn),
		.end = min(start + size,
			   fault->slot->base_gfn + fault->slot->npages),
	};
}

/* Take out pages that are not private. */
static void altmmu_drop_shared(struct kvm *kvm, const struct pgt_range *window,
			       u64 *pfns)
{
	if (kvm_range_has_memory_attributes(kvm, window->start, window->end,
					    KVM_MEMORY_ATTRIBUTE_PRIVATE,
					    KVM_MEMORY_ATTRIBUTE_PRIVATE))
		return;
	for (gfn_t gfn = window->start; gfn < window->end; gfn++)
		if (!kvm_mem_is_private(kvm, gfn))
			pfns[gfn - window->start] = PGT_NO_PFN;
}

/*
 * Which pages to map: the one of the fault, and neighbours of it that are there.
 *
 * Invalidations and changes of attributes begin with the MMU lock held for
 * writing, so none does while we hold it for reading.  If one that has begun
 * touches the window the neighbours are left alone.  Those that are over have
 * taken their pages out of the file already, so they are not found.
 */
static void altmmu_init_private_map(struct kvm_vcpu *vcpu,
				    const struct kvm_page_fault *fault,
				    struct mirror_map *map)
{
	struct altmmu_private_vcpu *pv = vcpu->arch.altmmu->private;
	struct kvm *kvm = vcpu->kvm;
	struct pgt_range window;

	*map = (struct mirror_map) {
		.gfn = fault->gfn,
		.level = fault->goal_level,
		.start = gfn_round_for_level(fault->gfn, fault->goal_level),
		.pfns = pv->pfns,
		.nr = 1,
		.max_level = pv->accept_level ?: PGT_MAX_LEAF_LEVEL,
	};
	pv->pfns[0] = fault->pfn;
	if (map->level > PG_LEVEL_4K ||
	    !altmmu_is_finalized(altmmu_private(kvm)))
		return;
	window = altmmu_window(fault);
	if (altmmu_is_invalidating(kvm, window.start, window.end))
		return;

	map->start = window.start;
	map->nr = window.end - window.start;
	for (unsigned int i = 0; i < map->nr; i++)
		pv->pfns[i] = PGT_NO_PFN;
	kvm_gmem_lookup_pfns(fault->slot, map->start, map->nr, pv->pfns);
	altmmu_drop_shared(kvm, &window, pv->pfns);
	pv->pfns[fault->gfn - map->start] = fault->pfn;
}

/* The level at which a page was mapped in the end: a table may have to stay. */
static u8 altmmu_private_level(struct altmmu_private *private, gfn_t gfn)
{
	u64 pfn;

	guard(rcu)();
	return mirror_lookup(&private->mirror, gfn, &pfn) ?: PG_LEVEL_4K;
}

/* Whether a page that is mapped waits for the guest to accept it. */
static bool altmmu_is_pending(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	int level = PG_LEVEL_4K;

	guard(rcu)();
	return softsept_state(&altmmu_private(vcpu->kvm)->soft, gfn, &level) ==
	       SOFTSEPT_PENDING;
}

/**
 * altmmu_set_accept_level() - the faults that follow are of a guest that accepts
 * @vcpu:	current
 * @level:	of the page that it accepts: no larger leaf is mapped, and one that
 *		is there already gets split; 0: it is any other fault
 */
void altmmu_set_accept_level(struct kvm_vcpu *vcpu, u8 level)
{
	vcpu->arch.altmmu->private->accept_level = level;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(altmmu_set_accept_level);

/*
 * Have ready what the next fault needs: tables, and a leaf that is as small as the
 * one before wanted it.
 */
int altmmu_topup_private(struct kvm_vcpu *vcpu)
{
	struct altmmu_private_vcpu *pv = vcpu->arch.altmmu->private;
	u8 level = pv->split_level;
	int r;

	r = mirror_cache_fill(&pv->cache, PT64_ROOT_MAX_LEVEL);
	if (r || likely(!level))
		return r;
	pv->split_level = 0;
	scoped_guard(write_lock, &vcpu->kvm->mmu_lock)
		r = mirror_split(&altmmu_private(vcpu->kvm)->mirror,
				 pv->split_gfn, level, &pv->cache);
	/* The cache was full, so it is not that; and trying again does no harm. */
	if (r && r != -ENOMEM)
		return r;
	return mirror_cache_fill(&pv->cache, PT64_ROOT_MAX_LEVEL);
}

/* The largest leaf that a fault may map, for all but the memory behind it. */
static u8 altmmu_max_private_level(struct kvm_vcpu *vcpu)
{
	struct altmmu_private *private = altmmu_private(vcpu->kvm);
	u8 accept_level = vcpu->arch.altmmu->private->accept_level;

	/* What the guest starts with is added in pages of 4K. */
	if (!altmmu_is_finalized(private))
		return PG_LEVEL_4K;
	return min(private->mirror.provider->max_map_level,
		   accept_level ?: PGT_MAX_LEAF_LEVEL);
}

/**
 * altmmu_map_private() - map the page of a fault on private memory
 * @vcpu:	current, topped up
 * @fault:	its page is in from guest_memfd, and is not stale
 *
 * Context: shared, SRCU.
 * Return: RET_PF_*, or a negative errno; -EFAULT with KVM_EXIT_MEMORY_FAULT.
 */
int altmmu_map_private(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct altmmu_private *private = altmmu_private(vcpu->kvm);
	struct altmmu_private_vcpu *pv = vcpu->arch.altmmu->private;
	struct mirror_map map;
	int r;

	fault->max_level = min(fault->max_level,
			       altmmu_max_private_level(vcpu));
	/* That the fault is not stale says nothing about the rest of a leaf. */
	while (fault->max_level > PG_LEVEL_4K &&
	       altmmu_is_invalidating(vcpu->kvm,
				      gfn_round_for_level(fault->gfn,
							  fault->max_level),
				      gfn_round_for_level(fault->gfn,
							  fault->max_level) +
				      KVM_PAGES_PER_HPAGE(fault->max_level)))
		fault->max_level--;
	kvm_mmu_hugepage_adjust(vcpu, fault);
	altmmu_init_private_map(vcpu, fault, &map);

	r = mirror_map(&private->mirror, &map, &pv->cache);
	trace_altmmu_map_private(vcpu->vcpu_id, fault->gfn, map.level, map.nr,
				 fault->error_code, r);
	switch (r) {
	case -E2BIG:
		pv->split_gfn = fault->gfn;
		pv->split_level = map.max_level;
		fallthrough;
	case -EAGAIN:
	case -ENOMEM:
		return RET_PF_RETRY;
	case -ERANGE:
		kvm_mmu_prepare_memory_fault_exit(vcpu, fault);
		return -EFAULT;
	}
	if (r < 0) {
		/* Who broke the mirror has said so. */
		WARN_ONCE(!vcpu->kvm->vm_dead,
			  "altmmu: can't map private gfn 0x%llx: %d\n",
			  map.gfn, r);
		return -EIO;
	}
	if (map.level > PG_LEVEL_4K)
		fault->goal_level = altmmu_private_level(private, map.gfn);
	/*
	 * A page that is not accepted is not there for who wants to use it.  A TD
	 * gets a #VE for it, or is stopped in vmx/tdx.c.
	 */
	if (kvm_has_soft_mirror(vcpu->kvm) && !fault->prefetch &&
	    altmmu_is_pending(vcpu, fault->gfn)) {
		kvm_mmu_prepare_memory_fault_exit(vcpu, fault);
		return -EFAULT;
	}
	return r ? RET_PF_FIXED : RET_PF_SPURIOUS;
}

/*
 * Have mapped what the guest accepts, as a fault would.
 *
 * Return: 1 if the guest has to try again, 0 if there is nothing to be mapped, or
 * a negative errno.
 */
static int altmmu_map_accepted(struct kvm_vcpu *vcpu, gpa_t gpa, int level)
{
	int r;

	altmmu_set_accept_level(vcpu, level);
	vcpu->stat.pf_taken++;
	r = kvm_mmu_map_private(vcpu, gpa);
	altmmu_set_accept_level(vcpu, 0);

	switch (r) {
	case RET_PF_EMULATE:
		return 0;
	case RET_PF_FIXED:
		vcpu->stat.pf_fixed++;
		return 1;
	case -EAGAIN:
		/* The memslot is about to go; the next look will tell. */
		return 1;
	}
	return r < 0 ? r : 1;
}

/*
 * Who opens a window holds the MMU lock and spins until no accept is in progress,
 * so none may lose its CPU.
 */
static enum softsept_error altmmu_try_accept(struct altmmu_private *private,
					     gfn_t gfn, int level)
{
	guard(preempt)();
	guard(rcu)();
	return softsept_accept(&private->soft, gfn, level);
}

/*
 * Accept a page for the guest.
 *
 * Return: 1 with the result, an enum softsept_error, in @result; 0 if the guest
 * has to try again; or a negative errno.
 */
static int altmmu_accept(struct kvm_vcpu *vcpu, gpa_t gpa, u64 level,
			 u64 *result)
{
	struct altmmu_private *private = altmmu_private(vcpu->kvm);
	int r;

	*result = SOFTSEPT_OPERAND;
	if (level < PG_LEVEL_4K || level > PG_LEVEL_2M || !PAGE_ALIGNED(gpa) ||
	    gpa >= gfn_to_gpa(kvm_gfn_direct_bits(vcpu->kvm)))
		return 1;

	*result = altmmu_try_accept(private, gpa_to_gfn(gpa), level);
	if (*result != SOFTSEPT_EXIT)
		return 1;
	r = altmmu_map_accepted(vcpu, gpa, level);
	if (r < 0)
		return r;
	/* Where there is no guest_memfd is nothing to accept. */
	*result = SOFTSEPT_OPERAND;
	return !r;
}

/* Whether a hypercall is the guest's accepting of a page. */
bool altmmu_is_accept(struct kvm_vcpu *vcpu)
{
	return kvm_rax_read_raw(vcpu) == KVM_HC_SOFT_MIRROR_ACCEPT;
}

/**
 * altmmu_emulate_accept() - serve KVM_HC_SOFT_MIRROR_ACCEPT
 * @vcpu:	current
 *
 * If something has to be mapped first the guest is at the same instruction
 * afterwards; so signals, and whoever wants the vCPU to do something else, have
 * their turn in between.
 *
 * Context: SRCU.
 * Return: as the handlers of exits: 1, or a negative errno.
 */
int altmmu_emulate_accept(struct kvm_vcpu *vcpu)
{
	bool wide = is_64_bit_hypercall(vcpu);
	u64 gpa = wide ? kvm_rbx_read_raw(vcpu) : kvm_ebx_read(vcpu);
	u64 level = wide ? kvm_rcx_read_raw(vcpu) : kvm_ecx_read(vcpu);
	u64 result = -KVM_EPERM;
	int r;

	if (!kvm_x86_call(get_cpl)(vcpu)) {
		r = altmmu_accept(vcpu, gpa, level, &result);
		if (r <= 0)
			return r ?: 1;
	}
	++vcpu->stat.hypercalls;
	kvm_rax_write_raw(vcpu, wide ? result : (u32)result);
	return kvm_skip_emulated_instruction(vcpu);
}
