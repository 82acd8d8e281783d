/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the C library's, and memset64(). */
#ifndef HOST_LINUX_STRING_H
#define HOST_LINUX_STRING_H

#include <linux/types.h>
#include <string.h>

static inline void *memset64(u64 *p, u64 val, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		p[i] = val;
	return p;
}

#endif /* HOST_LINUX_STRING_H */
