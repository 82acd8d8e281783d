/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: see linux/gfp.h. */
#ifndef HOST_LINUX_GFP_TYPES_H
#define HOST_LINUX_GFP_TYPES_H

#include <linux/gfp.h>

#endif /* HOST_LINUX_GFP_TYPES_H */
