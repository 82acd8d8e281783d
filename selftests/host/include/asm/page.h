/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: pages, and what physical address a table is at. */
#ifndef HOST_ASM_PAGE_H
#define HOST_ASM_PAGE_H

#include <linux/types.h>
#include "sim/mem.h"

#undef PAGE_SHIFT
#undef PAGE_SIZE
#undef PAGE_MASK
#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))

#define __pa(va)		mem_pa(va)
#define __va(pa)		mem_va(pa)
#define virt_to_phys(va)	mem_pa(va)
#define phys_to_virt(pa)	mem_va(pa)

#endif /* HOST_ASM_PAGE_H */
