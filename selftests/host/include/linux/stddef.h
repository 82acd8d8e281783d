/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the C library has it all. */
#ifndef HOST_LINUX_STDDEF_H
#define HOST_LINUX_STDDEF_H

#include_next <linux/stddef.h>
#include <stdbool.h>
#include <stddef.h>

#endif /* HOST_LINUX_STDDEF_H */
