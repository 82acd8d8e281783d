// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery from the NX-huge-page mitigation: now and then a few of the tables
 * that stand where huge leaves could be are dropped, so that faults map huge
 * again what is no longer executed.
 */
#include "glue.h"
#include "trace.h"

/* Drop up to @to_zap tables of a slot; how many there were. */
static unsigned long altmmu_recover_nx_slot(struct kvm *kvm,
					    struct pgt_batch *batch,
					    const struct kvm_memory_slot *slot,
					    unsigned long to_zap)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;
	gfn_t start = max(slot->base_gfn, vm->nx_next);
	unsigned long zapped = 0;
	struct pgt_root *root;

	pgt_for_each_root(&vm->mmu, root, slot->as_id, PGT_VALID_ROOTS) {
		struct pgt_range range =
			altmmu_shared_range(kvm, start,
					    slot->base_gfn + slot->npages);

		while (zapped < to_zap && range.start < range.end &&
		       pgt_zap_nx_table(batch, root, &range)) {
			vm->nx_next = altmmu_slot_gfn(kvm, range.start);
			zapped++;
		}
		if (zapped == to_zap) {
			pgt_root_put(root);
			break;
		}
	}
	return zapped;
}

/* Go on in the address space where the last call stopped. */
static unsigned long altmmu_recover_nx_space(struct kvm *kvm,
					     struct pgt_batch *batch,
					     unsigned long to_zap)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;
	struct kvm_memslots *slots = __kvm_memslots(kvm, vm->nx_space);
	struct kvm_memslot_iter iter;
	unsigned long zapped = 0;

	kvm_for_each_memslot_in_gfn_range(&iter, slots, vm->nx_next,
					  kvm_mmu_max_gfn() + 1) {
		/* With dirty logging on they would come back small. */
		if (kvm_slot_dirty_track_enabled(iter.slot))
			continue;
		zapped += altmmu_recover_nx_slot(kvm, batch, iter.slot,
						 to_zap - zapped);
		if (zapped == to_zap)
			break;
	}
	return zapped;
}

/**
 * altmmu_recover_nx() - drop some of the tables that the mitigation asked for
 * @kvm:	the VM
 * @ratio:	one of so many; 0: none
 *
 * Goes on where the last call stopped, so that each has its turn.
 *
 * Context: one at a time; takes SRCU and the MMU lock shared.
 */
void altmmu_recover_nx(struct kvm *kvm, unsigned int ratio)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;
	unsigned long tables = atomic_long_read(vm->mmu.counters.nx_tables);
	unsigned long to_zap = ratio ? DIV_ROUND_UP(tables, ratio) : 0;
	int spaces = kvm_arch_nr_memslot_as_ids(kvm);
	struct pgt_batch batch;

	if (!to_zap)
		return;

	guard(srcu)(&kvm->srcu);
	guard(read_lock)(&kvm->mmu_lock);

	/* The engine sees to it that faults don't wait for a long search. */
	pgt_batch_begin(&batch, &vm->mmu, PGT_SHARED, true);
	/* The first once more, for what is below where we start. */
	for (int i = 0; i <= spaces; i++) {
		to_zap -= altmmu_recover_nx_space(kvm, &batch, to_zap);
		if (!to_zap)
			break;
		vm->nx_space = (vm->nx_space + 1) % spaces;
		vm->nx_next = 0;
	}
	pgt_batch_end(&batch);
}
