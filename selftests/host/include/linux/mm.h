/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: page-table pages and their descriptors. */
#ifndef HOST_LINUX_MM_H
#define HOST_LINUX_MM_H

#include <asm/page.h>
#include <linux/gfp.h>
#include <linux/mm_types.h>
#include <linux/types.h>

static inline void *ptdesc_address(const struct ptdesc *pt)
{
	return mem_base + ((unsigned long)(pt - mem_ptdesc) << PAGE_SHIFT);
}

static inline struct ptdesc *virt_to_ptdesc(const void *addr)
{
	return mem_ptdesc + mem_frame(addr);
}

static inline struct ptdesc *pagetable_alloc(gfp_t gfp, unsigned int order)
{
	return mem_table_alloc(gfp, order);
}

static inline void __pagetable_free(struct ptdesc *pt)
{
	mem_table_free(pt);
}

#endif /* HOST_LINUX_MM_H */
