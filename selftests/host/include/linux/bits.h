/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: single bits and runs of bits. */
#ifndef HOST_LINUX_BITS_H
#define HOST_LINUX_BITS_H

#include <linux/build_bug.h>
#include <linux/types.h>

#define BITS_PER_BYTE		8
#define BITS_PER_LONG		64
#define BITS_PER_LONG_LONG	64

#define BIT(nr)			(1UL << (nr))
#define BIT_ULL(nr)		(1ULL << (nr))

/* Bits @high down to @low, both included. */
#define GENMASK_ULL(high, low)						\
	((~0ULL >> (63 - (high))) & (~0ULL << (low)))
#define GENMASK(high, low)	((unsigned long)GENMASK_ULL(high, low))

#endif /* HOST_LINUX_BITS_H */
