/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: the kernel's wrappers of SEAMCALLs.  The module behind them is in
 * tdx.c.
 */
#ifndef HOST_ASM_TDX_H
#define HOST_ASM_TDX_H

#include <asm/page.h>
#include <linux/types.h>

enum pg_level {
	PG_LEVEL_NONE,
	PG_LEVEL_4K,
	PG_LEVEL_2M,
	PG_LEVEL_1G,
	PG_LEVEL_512G,
	PG_LEVEL_256T,
};

/* A descriptor of a page is its number, in disguise; nothing is behind it. */
struct page;

#define pfn_to_page(pfn)	((struct page *)((pfn) << 6))
#define page_to_pfn(page)	((u64)(page) >> 6)
#define virt_to_page(va)	pfn_to_page(__pa(va) >> PAGE_SHIFT)

/* Only its address counts. */
struct tdx_td {
	int unused;
};

u64 tdh_mem_sept_add(struct tdx_td *td, u64 gpa, enum pg_level level,
		     struct page *page, u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_sept_remove(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *sept_pa, u64 *ext_err2);
u64 tdh_mem_sept_rd(struct tdx_td *td, u64 gpa, enum pg_level level,
		    u64 *entry, u64 *level_state);
u64 tdh_mem_page_add(struct tdx_td *td, u64 gpa, kvm_pfn_t pfn,
		     struct page *source, u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_page_aug(struct tdx_td *td, u64 gpa, enum pg_level level,
		     kvm_pfn_t pfn, u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_page_remove(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_page_promote(struct tdx_td *td, u64 gpa, enum pg_level level,
			 u64 *sept_pa, u64 *ext_err2);
u64 tdh_mem_page_demote(struct tdx_td *td, u64 gpa, enum pg_level level,
			struct page *page, u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_range_block(struct tdx_td *td, u64 gpa, enum pg_level level,
			u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_range_unblock(struct tdx_td *td, u64 gpa, enum pg_level level,
			  u64 *ext_err1, u64 *ext_err2);
u64 tdh_mem_track(struct tdx_td *td);
u64 tdh_phymem_page_reclaim(struct page *page, u64 *type, u64 *owner,
			    u64 *size);
u64 tdh_phymem_page_wbinvd_hkid(u64 hkid, kvm_pfn_t pfn);
void tdx_quirk_reset_paddr(unsigned long base, unsigned long size);

#endif /* HOST_ASM_TDX_H */
