// SPDX-License-Identifier: GPL-2.0
/*
 * What the host does to a virtual machine with private memory, and the pages that
 * it has behind gfns.
 *
 * Guest frame g is backed by the data frame at the same place in one of several
 * generations of host memory, as in vm.c; the last of these is for the shared
 * half.  A page that the guest has accepted is cleared; one that it has not holds
 * what the host left there, which the guest must never see.
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "pgt/walk.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

static u8 strides[VM_MAX_GFNS];

/*
 * Not a marked access: it changes where faults are kept out, by is_stale() under
 * the MMU lock.
 */
u64 pvm_pfn(u64 gfn)
{
	return DATA_PFN_BASE + strides[gfn] * VM_STRIDE + gfn;
}

bool pvm_is_folio(u64 gfn, int level)
{
	u64 start = pgt_base(gfn, level);
	u64 end = start + pgt_pages(level);

	if (end > vm.nr_gfns)
		return false;
	while (level > 1 && start < end)
		if (strides[start++] != strides[gfn])
			return false;
	return true;
}

void pvm_own_pages(u64 nr_gfns)
{
	memset(strides, 0, nr_gfns);
	for (unsigned int i = 0; i < PVM_STRIDES; i++)
		private_fill(DATA_PFN_BASE + i * VM_STRIDE, nr_gfns, PVM_HOST);
}

/*
 * The promise of a zap: whoever blocked a page there, it is gone.  Links of empty
 * tables that others are about to free are no concern of it.
 */
static void check_gone(u64 start, u64 end)
{
	struct pgt_range range = { start, end };
	bool was = sim_in_task;
	struct pgt_walk w;

	rcu_read_lock();
	/* Nobody else's business. */
	sim_in_task = false;
	pgt_for_each(&w, pvm.mirror.root, &range, 1)
		if (pgt_is_leaf(w.pos.old & MIRROR_BLOCKED ?
				w.pos.old | PGT_PRESENT : w.pos.old,
				w.pos.level))
			host_fail("zap",
				  "gfn %#llx: entry %#llx of level %d is left",
				  (unsigned long long)w.pos.gfn,
				  (unsigned long long)w.pos.old, w.pos.level);
	sim_in_task = was;
	rcu_read_unlock();
}

static void hand_back(u64 start, u64 end)
{
	for (u64 gfn = start; gfn < end; gfn++) {
		u64 pfn = pvm_pfn(gfn);

		if (!pvm_is_leaked(pfn)) {
			if (pvm_is_given(pfn))
				host_fail("zap",
					  "the provider still has gfn %#llx",
					  (unsigned long long)gfn);
			data_hand_back(pfn, 1);
			private_fill(pfn, 1, PVM_HOST);
		}
		strides[gfn] = (strides[gfn] + 1) % PVM_STRIDES;
	}
	pvm_check_cpus();
}

static void convert(u64 start, u64 end, bool may_yield, bool tables)
{
	struct pgt_range range = { start, end };
	struct mirror_cache cache;
	int ret;

	mirror_cache_init(&cache, &pvm.mirror);
	/* It must come to an end, whoever is at the limit of what. */
	cache.tables.gfp = GFP_KERNEL;
	cache.provided.gfp = GFP_KERNEL;
	pvm_refill(&cache, 4);
	write_lock(&vm.lock);
	if (pvm.invalidating) {
		pvm.invalid_start = min(pvm.invalid_start, start);
		pvm.invalid_end = max(pvm.invalid_end, end);
	} else {
		pvm.invalid_start = start;
		pvm.invalid_end = end;
	}
	WRITE_ONCE(pvm.invalidating, pvm.invalidating + 1);
	for (;;) {
		ret = tables ? mirror_zap_tables(&pvm.mirror, &range, may_yield,
						 &cache) :
			       mirror_zap(&pvm.mirror, &range, may_yield,
					  &cache);
		if (ret != -ENOMEM)
			break;
		write_unlock(&vm.lock);
		pvm_refill(&cache, 4);
		write_lock(&vm.lock);
	}
	HOST_EQ(ret, 0);
	check_gone(start, end);
	HOST_CHECK(!pvm.window);
	write_unlock(&vm.lock);
	mirror_cache_drain(&cache);

	hand_back(start, end);
	write_lock(&vm.lock);
	WRITE_ONCE(pvm.seq, pvm.seq + 1);
	WRITE_ONCE(pvm.invalidating, pvm.invalidating - 1);
	write_unlock(&vm.lock);
}

void pvm_convert(u64 start, u64 end, bool may_yield)
{
	convert(start, end, may_yield, false);
}

void pvm_convert_tables(u64 start, u64 end, bool may_yield)
{
	convert(start, end, may_yield, true);
}

int pvm_split(u64 gfn, int level)
{
	struct mirror_cache cache;
	int ret;

	mirror_cache_init(&cache, &pvm.mirror);
	pvm_refill(&cache, 2);
	write_lock(&vm.lock);
	ret = mirror_split(&pvm.mirror, gfn, level, &cache);
	write_unlock(&vm.lock);
	mirror_cache_drain(&cache);
	return ret;
}

unsigned int pvm_promote(u64 start, u64 end, bool may_yield)
{
	struct pgt_range range = { start, end };
	unsigned int nr;

	write_lock(&vm.lock);
	nr = mirror_promote(&pvm.mirror, &range, may_yield);
	write_unlock(&vm.lock);
	return nr;
}

void pvm_zap_shared(u64 start, u64 end, bool tables)
{
	struct pgt_range range = { start, end };
	struct pgt_batch batch;

	write_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, true);
	if (tables)
		pgt_zap_tables(&batch, pvm.root, &range);
	else
		pgt_zap_leaves(&batch, pvm.root, &range);
	pgt_batch_end(&batch);
	write_unlock(&vm.lock);
	start = max(start, pvm.private_end) & ~pvm.private_end;
	end = min((end - 1) & ~pvm.private_end, vm.nr_gfns - 1);
	if (start <= end)
		data_hand_back(PVM_SHARED_PFN + start, end - start + 1);
	pvm_check_cpus();
}
