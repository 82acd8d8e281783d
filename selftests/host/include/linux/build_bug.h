/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: checks at compile time. */
#ifndef HOST_LINUX_BUILD_BUG_H
#define HOST_LINUX_BUILD_BUG_H

#include <assert.h>

#define BUILD_BUG_ON(cond)						\
	_Static_assert(!(cond), "BUILD_BUG_ON: " #cond)
#define BUILD_BUG_ON_MSG(cond, msg)	_Static_assert(!(cond), msg)

/* The kernel's takes one argument or two. */
#undef static_assert
#define static_assert(expr, ...)					\
	__host_static_assert(expr, ##__VA_ARGS__, #expr)
#define __host_static_assert(expr, msg, ...)	_Static_assert(expr, msg)

#endif /* HOST_LINUX_BUILD_BUG_H */
