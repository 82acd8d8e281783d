/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the kernel's names for integer types; nothing that acts. */
#ifndef HOST_LINUX_TYPES_H
#define HOST_LINUX_TYPES_H

#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

typedef unsigned int gfp_t;
typedef u64 phys_addr_t;
typedef u64 gpa_t;
typedef u64 hpa_t;
typedef u64 gfn_t;
typedef u64 kvm_pfn_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	long counter;
} atomic_long_t;

struct list_head {
	struct list_head *next, *prev;
};

/*
 * The explorer keeps beside the kernel's two words which readers a callback
 * has to wait for, and what kfree_rcu() is to free.
 */
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
	void *object;
	unsigned long readers;
};

#define __rcu
#define __user
#define __iomem
#define __must_hold(x)
#define __acquires(x)
#define __releases(x)

#endif /* HOST_LINUX_TYPES_H */
