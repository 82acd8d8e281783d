/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: allocation flags; zeroing and charging make a difference. */
#ifndef HOST_LINUX_GFP_H
#define HOST_LINUX_GFP_H

#include <linux/types.h>

#define __GFP_ZERO		((gfp_t)0x100)
#define __GFP_ACCOUNT		((gfp_t)0x200)
#define __GFP_NOWARN		((gfp_t)0x400)
#define GFP_KERNEL		((gfp_t)0x1)
#define GFP_ATOMIC		((gfp_t)0x2)
#define GFP_NOWAIT		((gfp_t)0x4)
#define GFP_KERNEL_ACCOUNT	(GFP_KERNEL | __GFP_ACCOUNT)

#endif /* HOST_LINUX_GFP_H */
