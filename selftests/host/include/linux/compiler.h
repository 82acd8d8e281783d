/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: attributes, and the marked accesses to shared memory.
 *
 * All shared accesses of the stand-in headers are built from the HOST_* macros
 * below, so that the three ways to build differ in one place:
 *
 * HOST_SIM: one thread; each access is a point at which the explorer may
 * switch tasks, and is indivisible because of that alone.
 *
 * HOST_THREADS: C11 atomics, for the thread sanitizer.  A marked load is an
 * acquire, though the kernel's is not: the kernel relies on the dependency
 * between loading a pointer and following it, for which C has no working name.
 * A marked store is a release, which on x86 it is.
 *
 * HOST_BENCH: the instructions that the kernel's would be.
 */
#ifndef HOST_LINUX_COMPILER_H
#define HOST_LINUX_COMPILER_H

#include <linux/compiler_attributes.h>
#include <linux/types.h>
#include "sim/point.h"

#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define barrier()		__asm__ __volatile__("" : : : "memory")
#define unreachable()		__builtin_unreachable()

#ifndef offsetof
#define offsetof(type, member)	__builtin_offsetof(type, member)
#endif
#define offsetofend(type, member)					\
	(offsetof(type, member) + sizeof(((type *)0)->member))

#ifdef HOST_THREADS
#define HOST_LOAD(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define HOST_STORE(p, val)	__atomic_store_n(p, val, __ATOMIC_RELEASE)
#else
#define HOST_LOAD(p)		(*(const volatile __typeof__(*(p)) *)(p))
#define HOST_STORE(p, val)						\
	do { *(volatile __typeof__(*(p)) *)(p) = (val); } while (0)
#endif

#define READ_ONCE(x) ({							\
	__auto_type __host_p = &(x);					\
									\
	sim_point(__host_p, SIM_READ);					\
	HOST_LOAD(__host_p); })

#define WRITE_ONCE(x, val) do {						\
	__typeof__(&(x)) __host_p = &(x);				\
	__typeof__(x) __host_v = (val);					\
									\
	sim_point(__host_p, SIM_WRITE);					\
	HOST_STORE(__host_p, __host_v);					\
} while (0)

#define data_race(expr)		(expr)

#endif /* HOST_LINUX_COMPILER_H */
