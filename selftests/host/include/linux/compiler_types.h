/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: see linux/compiler.h. */
#ifndef HOST_LINUX_COMPILER_TYPES_H
#define HOST_LINUX_COMPILER_TYPES_H

#include <linux/compiler.h>

#endif /* HOST_LINUX_COMPILER_TYPES_H */
