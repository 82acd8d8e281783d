/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: what the kernel would warn about fails the test. */
#ifndef HOST_LINUX_BUG_H
#define HOST_LINUX_BUG_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include "test.h"

#define WARN_ON(cond) ({						\
	bool __host_bad = !!(cond);					\
									\
	if (unlikely(__host_bad))					\
		host_warn(__FILE__, __LINE__, #cond);			\
	__host_bad; })
#define WARN_ON_ONCE(cond)	WARN_ON(cond)
#define WARN(cond, ...)		WARN_ON(cond)
#define WARN_ONCE(cond, ...)	WARN_ON(cond)
#define VM_WARN_ON_ONCE(cond)	WARN_ON(cond)
#define BUG_ON(cond)		((void)WARN_ON(cond))
#define BUG()			BUG_ON(true)

#endif /* HOST_LINUX_BUG_H */
