/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the same numbers as everywhere in Linux. */
#ifndef HOST_LINUX_ERRNO_H
#define HOST_LINUX_ERRNO_H

#include_next <linux/errno.h>

#endif /* HOST_LINUX_ERRNO_H */
