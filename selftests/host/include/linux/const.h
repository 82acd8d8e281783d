/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: constants for C and assembly; the exported header does. */
#ifndef HOST_LINUX_CONST_H
#define HOST_LINUX_CONST_H

#include_next <linux/const.h>

#endif /* HOST_LINUX_CONST_H */
