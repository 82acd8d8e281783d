/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: see linux/kernel.h. */
#ifndef HOST_LINUX_MATH_H
#define HOST_LINUX_MATH_H

#include <linux/kernel.h>

#endif /* HOST_LINUX_MATH_H */
