/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the lesser and the greater of values. */
#ifndef HOST_LINUX_MINMAX_H
#define HOST_LINUX_MINMAX_H

/* The comparison of pointers warns where the two types are not the same. */
#define __host_pick(a, b, op) ({					\
	__typeof__(a) __host_a = (a);					\
	__typeof__(b) __host_b = (b);					\
									\
	(void)(&__host_a == &__host_b);					\
	__host_a op __host_b ? __host_a : __host_b; })

#define __host_pick_as(type, a, b, op) ({				\
	type __host_a = (a);						\
	type __host_b = (b);						\
									\
	__host_a op __host_b ? __host_a : __host_b; })

#ifndef min
#define min(a, b)		__host_pick(a, b, <)
#define max(a, b)		__host_pick(a, b, >)
#endif
#define min_t(type, a, b)	__host_pick_as(type, a, b, <)
#define max_t(type, a, b)	__host_pick_as(type, a, b, >)
#define min3(a, b, c)		min(min(a, b), c)
#define max3(a, b, c)		max(max(a, b), c)
#define clamp(val, low, high)	min(max(val, low), high)
#define clamp_t(type, val, low, high)					\
	min_t(type, max_t(type, val, low), high)

#define swap(a, b) do {							\
	__typeof__(a) __host_tmp = (a);					\
									\
	(a) = (b);							\
	(b) = __host_tmp;						\
} while (0)

#endif /* HOST_LINUX_MINMAX_H */
