// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror's calls as SEAMCALLs, and their status as an errno.  The order that
 * they come in is the mirror's (mirror/provider.h); which of them exclude each
 * other in the module, and what it makes of each in every state of an entry, is
 * in Documentation/virt/kvm/x86/altmmu/mirror.rst.
 *
 * Memory that comes back may have lines in caches that were written with the
 * TD's key.  They are written back, 4K at a time, before anybody else writes
 * there, or they could land on top of what he wrote.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": tdx: " fmt

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/printk.h>

#include <asm/barrier.h>
#include <asm/shared/tdx_errno.h>

#include "../mirror/mirror.h"
#include "sept.h"
#include "vmx/tdx_arch.h"

/* In an entry that TDH.MEM.SEPT.RD returns: it is a leaf above level 1. */
#define TDX_SEPT_LEAF		BIT_ULL(7)

static struct tdx_sept *to_tdx_sept(struct mirror_provider *p)
{
	return container_of(p, struct tdx_sept, provider);
}

static u64 tdx_sept_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

static u64 tdx_sept_gpa(u64 gfn)
{
	return gfn << PAGE_SHIFT;
}

/*
 * What a status means to the mirror.  Whatever is not about who came first, or
 * about the guest's part in a promotion, the mirror has checked before: it is a
 * bug, here, there or in the module.
 */
static int tdx_sept_result(const char *leaf, u64 gfn, int level, u64 status,
			   u64 rcx, u64 rdx)
{
	if (likely(!status))
		return 0;

	switch (status & TDX_SEAMCALL_STATUS_MASK) {
	case TDX_OPERAND_BUSY:
	case TDX_PREVIOUS_TLB_EPOCH_BUSY:
		return -EBUSY;
	case TDX_INTERRUPTED_RESTARTABLE:
		return -EINTR;
	case TDX_EPT_INVALID_PROMOTE_CONDITIONS:
		return -EOPNOTSUPP;
	default:
		pr_err_ratelimited("%s failed: 0x%llx (rcx 0x%llx, rdx 0x%llx), gfn 0x%llx, level %d\n",
				   leaf, status, rcx, rdx, gfn, level);
		return -EIO;
	}
}

/*
 * Make memory that the module has let go of the host's.  No SEAMCALL holds it any
 * more, so that none of this can be busy; if it fails all the same the call that
 * came before can't be undone, and the memory is lost.
 */
static int tdx_sept_clean(struct tdx_sept *sept, u64 gfn, u64 pfn, int level)
{
	u64 nr = tdx_sept_pages(level), status;

	for (u64 i = 0; i < nr; i++) {
		status = tdh_phymem_page_wbinvd_hkid(sept->hkid, pfn + i);
		if (tdx_sept_result("TDH.PHYMEM.PAGE.WBINVD", gfn, level,
				    status, pfn + i, 0))
			return -EIO;
	}
	tdx_quirk_reset_paddr(pfn << PAGE_SHIFT, nr << PAGE_SHIFT);
	return 0;
}

static int tdx_sept_clean_table(struct tdx_sept *sept, u64 gfn,
				const void *table)
{
	return tdx_sept_clean(sept, gfn, __pa(table) >> PAGE_SHIFT, 1);
}

/* The module says which table it has let go of: no other must be reused. */
static int tdx_sept_take_table(struct tdx_sept *sept, const char *leaf, u64 gfn,
			       int level, u64 pa, const void *table)
{
	if ((pa & PAGE_MASK) != __pa(table)) {
		pr_err_ratelimited("%s gave back 0x%llx, not 0x%llx, gfn 0x%llx, level %d\n",
				   leaf, pa, (u64)__pa(table), gfn, level);
		return -EIO;
	}
	return tdx_sept_clean_table(sept, gfn, table);
}

static int tdx_sept_link(struct mirror_provider *p, u64 gfn, int level,
			 void *table)
{
	u64 status, rcx, rdx;

	status = tdh_mem_sept_add(to_tdx_sept(p)->td, tdx_sept_gpa(gfn), level,
				  virt_to_page(table), &rcx, &rdx);
	return tdx_sept_result("TDH.MEM.SEPT.ADD", gfn, level, status, rcx,
			       rdx);
}

static int tdx_sept_map(struct mirror_provider *p, u64 gfn, int level,
			const u64 *pfns, unsigned int nr)
{
	u64 status, rcx, rdx;
	int ret;

	for (unsigned int i = 0; i < nr; i++) {
		status = tdh_mem_page_aug(to_tdx_sept(p)->td,
					  tdx_sept_gpa(gfn), level, pfns[i],
					  &rcx, &rdx);
		ret = tdx_sept_result("TDH.MEM.PAGE.AUG", gfn, level, status,
				      rcx, rdx);
		if (ret)
			return i ?: ret;
		gfn += tdx_sept_pages(level);
	}
	return nr;
}

static int tdx_sept_add(struct mirror_provider *p, u64 gfn, u64 pfn)
{
	struct tdx_sept *sept = to_tdx_sept(p);
	struct page *source = READ_ONCE(*sept->source);
	u64 status, rcx, rdx;

	if (WARN_ON_ONCE(!source))
		return -EIO;
	status = tdh_mem_page_add(sept->td, tdx_sept_gpa(gfn), pfn, source,
				  &rcx, &rdx);
	return tdx_sept_result("TDH.MEM.PAGE.ADD", gfn, 1, status, rcx, rdx);
}

static int tdx_sept_block(struct mirror_provider *p, u64 gfn, int level)
{
	u64 status, rcx, rdx;

	status = tdh_mem_range_block(to_tdx_sept(p)->td, tdx_sept_gpa(gfn),
				     level, &rcx, &rdx);
	return tdx_sept_result("TDH.MEM.RANGE.BLOCK", gfn, level, status, rcx,
			       rdx);
}

/*
 * A TD that is not finalized has not run, and so has cached nothing; the module
 * asks for no epoch then.
 */
static int tdx_sept_track(struct mirror_provider *p)
{
	u64 status;

	if (!READ_ONCE(p->finalized))
		return 0;
	status = tdh_mem_track(to_tdx_sept(p)->td);
	return tdx_sept_result("TDH.MEM.TRACK", 0, 0, status, 0, 0);
}

static int tdx_sept_unblock(struct mirror_provider *p, u64 gfn, int level)
{
	u64 status, rcx, rdx;

	status = tdh_mem_range_unblock(to_tdx_sept(p)->td, tdx_sept_gpa(gfn),
				       level, &rcx, &rdx);
	return tdx_sept_result("TDH.MEM.RANGE.UNBLOCK", gfn, level, status, rcx,
			       rdx);
}

static int tdx_sept_remove(struct mirror_provider *p, u64 gfn, int level,
			   u64 pfn)
{
	struct tdx_sept *sept = to_tdx_sept(p);
	u64 status, rcx, rdx;
	int ret;

	status = tdh_mem_page_remove(sept->td, tdx_sept_gpa(gfn), level, &rcx,
				     &rdx);
	ret = tdx_sept_result("TDH.MEM.PAGE.REMOVE", gfn, level, status, rcx,
			      rdx);
	return ret ?: tdx_sept_clean(sept, gfn, pfn, level);
}

static int tdx_sept_unlink(struct mirror_provider *p, u64 gfn, int level,
			   void *table)
{
	struct tdx_sept *sept = to_tdx_sept(p);
	const char *leaf = "TDH.MEM.SEPT.REMOVE";
	u64 status, pa, rdx;
	int ret;

	status = tdh_mem_sept_remove(sept->td, tdx_sept_gpa(gfn), level, &pa,
				     &rdx);
	ret = tdx_sept_result(leaf, gfn, level, status, pa, rdx);
	return ret ?: tdx_sept_take_table(sept, leaf, gfn, level, pa, table);
}

static int tdx_sept_promote(struct mirror_provider *p, u64 gfn, int level,
			    void *table)
{
	struct tdx_sept *sept = to_tdx_sept(p);
	const char *leaf = "TDH.MEM.PAGE.PROMOTE";
	u64 status, pa, rdx;
	int ret;

	status = tdh_mem_page_promote(sept->td, tdx_sept_gpa(gfn), level, &pa,
				      &rdx);
	ret = tdx_sept_result(leaf, gfn, level, status, pa, rdx);
	return ret ?: tdx_sept_take_table(sept, leaf, gfn, level, pa, table);
}

static int tdx_sept_demote(struct mirror_provider *p, u64 gfn, int level,
			   void *table)
{
	struct tdx_sept *sept = to_tdx_sept(p);
	u64 status, rcx, rdx;
	int ret;

	status = tdh_mem_page_demote(sept->td, tdx_sept_gpa(gfn), level,
				     virt_to_page(table), &rcx, &rdx);
	ret = tdx_sept_result("TDH.MEM.PAGE.DEMOTE", gfn, level, status, rcx,
			      rdx);
	/*
	 * The module may have filled the table before it gave up.  The mirror
	 * repeats the call, but for the last error: then the table is used for
	 * something else, if it can be.
	 */
	if (ret == -EIO)
		tdx_sept_clean_table(sept, gfn, table);
	return ret;
}

/* The key is gone, and all caches were written back when it went. */
static int tdx_sept_reclaim(struct mirror_provider *p, u64 pfn, int level)
{
	u64 nr = level ? tdx_sept_pages(level) : 1;
	u64 status, type, owner, size;
	int ret;

	status = tdh_phymem_page_reclaim(pfn_to_page(pfn), &type, &owner,
					 &size);
	ret = tdx_sept_result("TDH.PHYMEM.PAGE.RECLAIM", pfn, level, status,
			      type, owner);
	if (!ret)
		tdx_quirk_reset_paddr(pfn << PAGE_SHIFT, nr << PAGE_SHIFT);
	return ret;
}

static void tdx_sept_open_window(struct mirror_provider *p)
{
	struct tdx_sept *sept = to_tdx_sept(p);

	sept->hold(sept);
}

static void tdx_sept_close_window(struct mirror_provider *p)
{
	struct tdx_sept *sept = to_tdx_sept(p);

	sept->release(sept);
}

static const char *tdx_sept_state_name(unsigned int state)
{
	static const char * const names[] = {
		[TDX_SEPT_FREE]			= "free",
		[TDX_SEPT_BLOCKED]		= "blocked",
		[TDX_SEPT_PENDING]		= "pending",
		[TDX_SEPT_PENDING_BLOCKED]	= "pending-blocked",
		[TDX_SEPT_PRESENT]		= "mapped",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "other";
}

static void tdx_sept_query(struct mirror_provider *p, u64 gfn, int level,
			   struct mirror_query *query)
{
	u64 status, entry, info;

	*query = (struct mirror_query) { .name = "unknown" };
	status = tdh_mem_sept_rd(to_tdx_sept(p)->td, tdx_sept_gpa(gfn), level,
				 &entry, &info);
	/* Also where the way ends above @level the module says at what. */
	if (status &&
	    (status & TDX_SEAMCALL_STATUS_MASK) != TDX_EPT_WALK_FAILED)
		return;
	query->level = tdx_get_sept_level(info) + 1;
	query->state = tdx_get_sept_state(info);
	query->name = tdx_sept_state_name(query->state);
	query->leaf = query->state != TDX_SEPT_FREE &&
		      (query->level == 1 || entry & TDX_SEPT_LEAF);
	query->accepted = query->leaf && query->state == TDX_SEPT_PRESENT;
}

static const struct mirror_ops tdx_sept_ops = {
	.link = tdx_sept_link,
	.map = tdx_sept_map,
	.add = tdx_sept_add,
	.block = tdx_sept_block,
	.track = tdx_sept_track,
	.unblock = tdx_sept_unblock,
	.remove = tdx_sept_remove,
	.unlink = tdx_sept_unlink,
	.promote = tdx_sept_promote,
	.demote = tdx_sept_demote,
	.reclaim = tdx_sept_reclaim,
	.open_window = tdx_sept_open_window,
	.close_window = tdx_sept_close_window,
	.query = tdx_sept_query,
};

void tdx_sept_init(struct tdx_sept *sept)
{
	sept->provider.ops = &tdx_sept_ops;
	sept->provider.name = "tdx";
	/* TDH.MEM.PAGE.AUG makes no larger ones; TDH.MEM.PAGE.PROMOTE does. */
	sept->provider.max_map_level = 2;
	sept->provider.max_leaf_level = 3;
}

void tdx_sept_finalize(struct tdx_sept *sept)
{
	/* Zaps that have let go of the lock have removed without a track so far. */
	mirror_track_again(sept->provider.mirror);
	/* Who sees this sees all that was added, and adds nothing more. */
	smp_store_release(&sept->provider.finalized, true);
}
