/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: objects, from the deterministic arena of sim/mem.c. */
#ifndef HOST_LINUX_SLAB_H
#define HOST_LINUX_SLAB_H

#include <linux/gfp.h>
#include <linux/types.h>
#include "sim/mem.h"

#define kmalloc(size, gfp)	mem_object_alloc(size, gfp)
#define kzalloc(size, gfp)	mem_object_alloc(size, (gfp) | __GFP_ZERO)
#define kcalloc(n, size, gfp)	kzalloc((size_t)(n) * (size), gfp)
#define kmalloc_array(n, size, gfp)	kmalloc((size_t)(n) * (size), gfp)
#define kfree(p)		mem_object_free(p)

/* Without flags they are GFP_KERNEL. */
#define kmalloc_obj(what, ...)						\
	((__typeof__(what) *)kmalloc(sizeof(what),			\
				     __host_gfp(__VA_ARGS__)))
#define kzalloc_obj(what, ...)						\
	((__typeof__(what) *)kzalloc(sizeof(what),			\
				     __host_gfp(__VA_ARGS__)))
#define __host_gfp(...)		__host_gfp_of(, ##__VA_ARGS__, GFP_KERNEL)
#define __host_gfp_of(none, flags, ...)	(flags)

#endif /* HOST_LINUX_SLAB_H */
