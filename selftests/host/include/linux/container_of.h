/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: from a member to what holds it. */
#ifndef HOST_LINUX_CONTAINER_OF_H
#define HOST_LINUX_CONTAINER_OF_H

#include <stddef.h>

#define container_of(ptr, type, member) ({				\
	_Static_assert(__builtin_types_compatible_p(			\
			__typeof__(*(ptr)),				\
			__typeof__(((type *)0)->member)) ||		\
		       __builtin_types_compatible_p(			\
			__typeof__(*(ptr)), void),			\
		       "container_of: wrong type of pointer");		\
	(type *)((char *)(ptr) - offsetof(type, member)); })

#endif /* HOST_LINUX_CONTAINER_OF_H */
