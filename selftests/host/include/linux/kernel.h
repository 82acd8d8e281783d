/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: small things that everything uses. */
#ifndef HOST_LINUX_KERNEL_H
#define HOST_LINUX_KERNEL_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/types.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#endif

/* For powers of two only. */
#define ALIGN(x, a)							\
	(((x) + ((__typeof__(x))(a) - 1)) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define IS_ALIGNED(x, a)	(((x) & ((__typeof__(x))(a) - 1)) == 0)
#define round_up(x, a)		ALIGN(x, a)
#define round_down(x, a)	ALIGN_DOWN(x, a)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))

#define lower_32_bits(n)	((u32)(n))
#define upper_32_bits(n)	((u32)((u64)(n) >> 32))

/* The one form of Kconfig test that is in use: an option that is 1 or unset. */
#define IS_ENABLED(option)	__host_enabled(option)
#define __host_enabled(value)	__host_second(__host_arg_##value 1, 0)
#define __host_arg_1		0,
#define __host_second(...)	__host_second_of(__VA_ARGS__, 0)
#define __host_second_of(first, second, ...)	second

#define might_sleep()		do { } while (0)

#endif /* HOST_LINUX_KERNEL_H */
