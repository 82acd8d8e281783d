// SPDX-License-Identifier: GPL-2.0
/*
 * The TDX module in the world of the tests: what the wrappers of SEAMCALLs find
 * behind them.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/string.h>

#include <asm/shared/tdx_errno.h>

#include "mirror/softsept_internal.h"
#include "private.h"
#include "sim/mem.h"
#include "tdx.h"
#include "test.h"
#include "vmx/tdx_arch.h"

/*
 * What pages are used for: the module's PAMT, and one bit that only we know.
 */

enum tdx_page_use {
	TDX_PAGE_HOST,		/* nobody's, to the module */
	TDX_PAGE_DIRTY,		/* the same, with the TD's lines in caches */
	TDX_PAGE_LEAF,		/* by level, from here on */
	TDX_PAGE_TABLE = TDX_PAGE_LEAF + 4,
};

static u8 *data_use;
static u8 table_use[MEM_FRAMES];

__attribute__((__constructor__))
static void map_data_use(void)
{
	data_use = mem_map(DATA_FRAMES * sizeof(*data_use));
}

static u8 *page_use(u64 pfn)
{
	u64 data = pfn - DATA_PFN_BASE;
	u64 table = pfn - (MEM_PA_BASE >> PAGE_SHIFT);

	if (data < DATA_FRAMES)
		return &data_use[data];
	HOST_CHECK(table < MEM_FRAMES);
	return &table_use[table];
}

bool tdx_page_is_clean(u64 pfn)
{
	return *page_use(pfn) == TDX_PAGE_HOST;
}

void tdx_forget_pages(void)
{
	memset(data_use, 0, DATA_FRAMES * sizeof(*data_use));
	memset(table_use, 0, sizeof(table_use));
}

void tdx_check_pages(void)
{
	for (u64 i = 0; i < DATA_FRAMES; i++)
		HOST_EQ(data_use[i], TDX_PAGE_HOST);
	for (u64 i = 0; i < MEM_FRAMES; i++)
		HOST_EQ(table_use[i], TDX_PAGE_HOST);
}

/* Whether a page can be given to the TD. */
static bool page_is_free(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++)
		if (*page_use(pfn + i) != TDX_PAGE_HOST)
			return false;
	return true;
}

static void page_set_use(u64 pfn, int level, u8 use)
{
	memset(page_use(pfn), use, pgt_pages(level));
}

/*
 * SEAMCALLs.
 */

/* Note a call, and whether it is to fail before the module looks at it. */
static u64 tdx_call(enum tdx_leaf leaf, u64 gpa, int level)
{
	u64 status = 0;

	tdx.calls[leaf]++;
	if (tdx.fail == leaf && tdx.fail_after) {
		tdx.fail_after--;
	} else if (tdx.fail == leaf) {
		status = tdx.fail_status;
		tdx.fail = TDX_NR_LEAVES;
	}
	if (tdx.nr_log < TDX_LOG)
		tdx.log[tdx.nr_log++] = (struct tdx_log) {
			.leaf = leaf,
			.gfn = gpa >> PAGE_SHIFT,
			.level = level,
			.status = status,
		};
	return status;
}

static u64 tdx_return(u64 status)
{
	if (tdx.nr_log && tdx.nr_log < TDX_LOG)
		tdx.log[tdx.nr_log - 1].status = status;
	return status;
}

/* Of what the private page tables answered, what the module would say. */
static u64 tdx_status(int ret)
{
	if (ret >= 0)
		return tdx_return(0);
	switch (tdx.soft.last_error) {
	case SOFTSEPT_BUSY:
		return tdx_return(TDX_OPERAND_BUSY | TDX_OPERAND_ID_SEPT);
	case SOFTSEPT_EPOCH_BUSY:
		return tdx_return(TDX_PREVIOUS_TLB_EPOCH_BUSY |
				  TDX_OPERAND_ID_TD_EPOCH);
	case SOFTSEPT_INTERRUPTED:
		return tdx_return(TDX_INTERRUPTED_RESTARTABLE);
	case SOFTSEPT_OPERAND:
		return tdx_return(TDX_OPERAND_INVALID | TDX_OPERAND_ID_RCX);
	case SOFTSEPT_WALK:
		return tdx_return(TDX_EPT_WALK_FAILED | TDX_OPERAND_ID_RCX);
	case SOFTSEPT_ALREADY_BLOCKED:
		return tdx_return(TDX_GPA_RANGE_ALREADY_BLOCKED |
				  TDX_OPERAND_ID_RCX);
	case SOFTSEPT_NOT_BLOCKED:
		return tdx_return(TDX_GPA_RANGE_NOT_BLOCKED |
				  TDX_OPERAND_ID_RCX);
	case SOFTSEPT_NOT_TRACKED:
		return tdx_return(TDX_TLB_TRACKING_NOT_DONE |
				  TDX_OPERAND_ID_RCX);
	case SOFTSEPT_NOT_FREE:
		return tdx_return(TDX_EPT_PAGE_NOT_FREE | TDX_OPERAND_ID_RCX);
	case SOFTSEPT_PROMOTE:
		return tdx_return(TDX_EPT_INVALID_PROMOTE_CONDITIONS |
				  TDX_OPERAND_ID_RCX);
	case SOFTSEPT_OP_STATE:
		return tdx_return(TDX_OP_STATE_INCORRECT);
	default:
		return tdx_return(TDX_EPT_ENTRY_STATE_INCORRECT |
				  TDX_OPERAND_ID_RCX);
	}
}

#define SOFT			(&tdx.soft.provider)

struct softsept_op tdx_find(u64 gfn, int level)
{
	struct softsept_op op = { .s = &tdx.soft, .level = tdx.soft.level };

	if (softsept_has(&tdx.soft, gfn, level))
		softsept_walk(&op, gfn, level);
	return op;
}

/* A page that is to be a table is made one by the module, whatever it held. */
static u64 *tdx_make_table(const struct page *page)
{
	u64 *table = __va(page_to_pfn(page) << PAGE_SHIFT);

	memset64(table, tdx.fmt.nonpresent, PGT_ENTRIES);
	return table;
}

/* A table that is none any more: nobody finds out what it holds. */
static u64 tdx_drop_table(u64 *table)
{
	u64 pa = __pa(table);

	memset64(table, MEM_POISON, PGT_ENTRIES);
	page_set_use(pa >> PAGE_SHIFT, 1, TDX_PAGE_DIRTY);
	/* What is below bit 12 is a hint. */
	return (tdx.wrong_table ? pa + PAGE_SIZE : pa) | 1;
}

u64 tdh_mem_sept_add(struct tdx_td *td, u64 gpa, enum pg_level level,
		     struct page *page, u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_SEPT_ADD, gpa, level);
	u64 pfn = page_to_pfn(page);

	*ext_err1 = 0;
	*ext_err2 = 0;
	if (status)
		return status;
	if (!page_is_free(pfn, 1))
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	status = tdx_status(SOFT->ops->link(SOFT, gpa >> PAGE_SHIFT, level,
					    tdx_make_table(page)));
	if (!status)
		page_set_use(pfn, 1, TDX_PAGE_TABLE);
	return status;
}

/* A call that takes the table out that the entry links. */
static u64 tdx_take_table(enum tdx_leaf leaf, u64 gpa, int level,
			  int (*call)(struct mirror_provider *p, u64 gfn,
				      int level, void *table),
			  u64 *sept_pa, u64 *ext_err2)
{
	u64 status = tdx_call(leaf, gpa, level);
	u64 gfn = gpa >> PAGE_SHIFT;
	struct softsept_op op = tdx_find(gfn, level);
	u64 *table = NULL;

	*sept_pa = 0;
	*ext_err2 = 0;
	if (status)
		return status;
	if (op.old != tdx.fmt.nonpresent && op.level > 1)
		table = softsept_table(&op);
	status = tdx_status(call(SOFT, gfn, level, table));
	if (!status)
		*sept_pa = tdx_drop_table(table);
	return status;
}

u64 tdh_mem_sept_remove(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *sept_pa, u64 *ext_err2)
{
	return tdx_take_table(TDX_SEPT_REMOVE, gpa, level, SOFT->ops->unlink,
			      sept_pa, ext_err2);
}

u64 tdh_mem_sept_rd(struct tdx_td *td, u64 gpa, enum pg_level level,
		    u64 *entry, u64 *level_state)
{
	static const u8 states[SOFTSEPT_NR_STATES] = {
		[SOFTSEPT_FREE] = TDX_SEPT_FREE,
		[SOFTSEPT_LINK] = TDX_SEPT_PRESENT,
		[SOFTSEPT_LINK_BLOCKED] = TDX_SEPT_BLOCKED,
		[SOFTSEPT_PENDING] = TDX_SEPT_PENDING,
		[SOFTSEPT_PENDING_BLOCKED] = TDX_SEPT_PENDING_BLOCKED,
		[SOFTSEPT_MAPPED] = TDX_SEPT_PRESENT,
		[SOFTSEPT_BLOCKED] = TDX_SEPT_BLOCKED,
	};
	u64 status = tdx_call(TDX_SEPT_RD, gpa, level);
	int at = level;
	enum softsept_state state;

	*entry = 0;
	*level_state = 0;
	if (status)
		return status;
	state = softsept_state(&tdx.soft, gpa >> PAGE_SHIFT, &at);
	if (state >= SOFTSEPT_PENDING)
		*entry = BIT_ULL(7);
	*level_state = (at - 1) | states[state] << TDX_SEPT_STATE_SHIFT;
	return tdx_return(at == level ? 0 :
			  TDX_EPT_WALK_FAILED | TDX_OPERAND_ID_RCX);
}

u64 tdh_mem_page_add(struct tdx_td *td, u64 gpa, kvm_pfn_t pfn,
		     struct page *source, u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_PAGE_ADD, gpa, 1);

	*ext_err1 = 0;
	*ext_err2 = 0;
	if (status)
		return status;
	if (!page_is_free(pfn, 1))
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	status = tdx_status(SOFT->ops->add(SOFT, gpa >> PAGE_SHIFT, pfn));
	if (status)
		return status;
	page_set_use(pfn, 1, TDX_PAGE_LEAF + 1);
	private_fill(pfn, 1, private_content(page_to_pfn(source)));
	return 0;
}

u64 tdh_mem_page_aug(struct tdx_td *td, u64 gpa, enum pg_level level,
		     kvm_pfn_t pfn, u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_PAGE_AUG, gpa, level);

	*ext_err1 = 0;
	*ext_err2 = 0;
	if (status)
		return status;
	if (!page_is_free(pfn, level))
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	status = tdx_status(SOFT->ops->map(SOFT, gpa >> PAGE_SHIFT, level,
					   &pfn, 1));
	if (!status)
		page_set_use(pfn, level, TDX_PAGE_LEAF + level);
	return status;
}

u64 tdh_mem_page_remove(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_PAGE_REMOVE, gpa, level);
	u64 gfn = gpa >> PAGE_SHIFT;
	struct softsept_op op = tdx_find(gfn, level);
	u64 pfn = softsept_pa(&tdx.soft, op.old, op.level) >> PAGE_SHIFT;

	*ext_err1 = 0;
	*ext_err2 = 0;
	if (status)
		return status;
	status = tdx_status(SOFT->ops->remove(SOFT, gfn, level, pfn));
	if (!status)
		page_set_use(pfn, level, TDX_PAGE_DIRTY);
	return status;
}

u64 tdh_mem_page_promote(struct tdx_td *td, u64 gpa, enum pg_level level,
			 u64 *sept_pa, u64 *ext_err2)
{
	u64 status = tdx_take_table(TDX_PAGE_PROMOTE, gpa, level,
				    SOFT->ops->promote, sept_pa, ext_err2);
	struct softsept_op op;

	if (status)
		return status;
	op = tdx_find(gpa >> PAGE_SHIFT, level);
	page_set_use(softsept_pa(&tdx.soft, op.old, level) >> PAGE_SHIFT, level,
		     TDX_PAGE_LEAF + level);
	return 0;
}

u64 tdh_mem_page_demote(struct tdx_td *td, u64 gpa, enum pg_level level,
			struct page *page, u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_PAGE_DEMOTE, gpa, level);
	u64 gfn = gpa >> PAGE_SHIFT;
	struct softsept_op op = tdx_find(gfn, level);
	u64 pfn = softsept_pa(&tdx.soft, op.old, op.level) >> PAGE_SHIFT;
	u64 table = page_to_pfn(page);

	*ext_err1 = 0;
	*ext_err2 = 0;
	/* It fills the table first, and then looks whether it is interrupted. */
	if (status) {
		page_set_use(table, 1, TDX_PAGE_DIRTY);
		return status;
	}
	if (*page_use(table) > TDX_PAGE_DIRTY)
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	status = tdx_status(SOFT->ops->demote(SOFT, gfn, level,
					      tdx_make_table(page)));
	if (status == TDX_INTERRUPTED_RESTARTABLE)
		page_set_use(table, 1, TDX_PAGE_DIRTY);
	if (status)
		return status;
	page_set_use(table, 1, TDX_PAGE_TABLE);
	page_set_use(pfn, level, TDX_PAGE_LEAF + level - 1);
	return 0;
}

u64 tdh_mem_range_block(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_RANGE_BLOCK, gpa, level);

	*ext_err1 = 0;
	*ext_err2 = 0;
	return status ?: tdx_status(SOFT->ops->block(SOFT, gpa >> PAGE_SHIFT,
						  level));
}

u64 tdh_mem_range_unblock(struct tdx_td *td, u64 gpa, enum pg_level level,
			  u64 *ext_err1, u64 *ext_err2)
{
	u64 status = tdx_call(TDX_RANGE_UNBLOCK, gpa, level);

	*ext_err1 = 0;
	*ext_err2 = 0;
	return status ?: tdx_status(SOFT->ops->unblock(SOFT, gpa >> PAGE_SHIFT,
						    level));
}

u64 tdh_mem_track(struct tdx_td *td)
{
	u64 status = tdx_call(TDX_TRACK, 0, 0);

	HOST_CHECK(tdx.soft.provider.finalized);
	return status ?: tdx_status(SOFT->ops->track(SOFT));
}

u64 tdh_phymem_page_reclaim(struct page *page, u64 *type, u64 *owner,
			    u64 *size)
{
	u64 pfn = page_to_pfn(page);
	u64 status = tdx_call(TDX_RECLAIM, pfn << PAGE_SHIFT, 0);
	u8 use = *page_use(pfn);
	int level = use < TDX_PAGE_TABLE ? use - TDX_PAGE_LEAF : 1;

	*type = use;
	*owner = 0;
	*size = 0;
	if (status)
		return status;
	if (!tdx.key_gone)
		return tdx_return(TDX_LIFECYCLE_STATE_INCORRECT);
	if (use < TDX_PAGE_LEAF || pfn & (pgt_pages(level) - 1))
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	*size = level - 1;
	page_set_use(pfn, level, TDX_PAGE_HOST);
	return 0;
}

u64 tdh_phymem_page_wbinvd_hkid(u64 hkid, kvm_pfn_t pfn)
{
	u64 status = tdx_call(TDX_WBINVD, pfn << PAGE_SHIFT, 0);

	HOST_EQ(hkid, TDX_HKID);
	if (status)
		return status;
	if (*page_use(pfn) > TDX_PAGE_DIRTY)
		return tdx_return(TDX_PAGE_METADATA_INCORRECT);
	page_set_use(pfn, 1, TDX_PAGE_HOST);
	return 0;
}

void tdx_quirk_reset_paddr(unsigned long base, unsigned long size)
{
	for (unsigned long pa = base; pa < base + size; pa += PAGE_SIZE)
		if (!tdx_page_is_clean(pa >> PAGE_SHIFT))
			host_fail("tdx", "%#lx is written to before it was written back",
				  pa);
}
