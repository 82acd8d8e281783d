/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: atomic counters and compare-and-exchange.
 *
 * Operations that read and write are fully ordered here, also those that the
 * kernel leaves unordered.
 */
#ifndef HOST_LINUX_ATOMIC_H
#define HOST_LINUX_ATOMIC_H

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/types.h>

/* In the explorer nothing comes between a point and the access that follows. */
#define __host_rmw(p, expr) ({						\
	sim_point(p, SIM_WRITE);					\
	(expr); })

#define xchg(ptr, val) ({						\
	__typeof__(ptr) __host_x = (ptr);				\
	__typeof__(*(ptr)) __host_n = (val);				\
									\
	__host_rmw(__host_x, __atomic_exchange_n(__host_x, __host_n,	\
						 __ATOMIC_SEQ_CST)); })

/* On failure *@oldp is what was found. */
#define try_cmpxchg(ptr, oldp, val) ({					\
	__typeof__(ptr) __host_x = (ptr);				\
	__typeof__(oldp) __host_o = (oldp);				\
	__typeof__(*(ptr)) __host_n = (val);				\
									\
	__host_rmw(__host_x,						\
		   __atomic_compare_exchange_n(__host_x, __host_o,	\
					       __host_n, false,		\
					       __ATOMIC_SEQ_CST,	\
					       __ATOMIC_SEQ_CST)); })

#define cmpxchg(ptr, old, val) ({					\
	__typeof__(*(ptr)) __host_found = (old);			\
									\
	try_cmpxchg(ptr, &__host_found, val);				\
	__host_found; })

#define xchg64(ptr, val)		xchg(ptr, val)
#define cmpxchg64(ptr, old, val)	cmpxchg(ptr, old, val)
#define try_cmpxchg64(ptr, oldp, val)	try_cmpxchg(ptr, oldp, val)

#define ATOMIC_INIT(val)		{ (val) }
#define ATOMIC64_INIT(val)		{ (val) }
#define ATOMIC_LONG_INIT(val)		{ (val) }

/* One set of functions per width. */
#define __HOST_ATOMIC(name, type)					\
static inline type name##_read(const name##_t *v)			\
{									\
	sim_point(&v->counter, SIM_READ);				\
	return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);		\
}									\
									\
static inline type name##_read_acquire(const name##_t *v)		\
{									\
	sim_point(&v->counter, SIM_READ);				\
	return __atomic_load_n(&v->counter, __ATOMIC_ACQUIRE);		\
}									\
									\
static inline void name##_set(name##_t *v, type val)			\
{									\
	sim_point(&v->counter, SIM_WRITE);				\
	__atomic_store_n(&v->counter, val, __ATOMIC_RELAXED);		\
}									\
									\
static inline void name##_set_release(name##_t *v, type val)		\
{									\
	sim_point(&v->counter, SIM_WRITE);				\
	__atomic_store_n(&v->counter, val, __ATOMIC_RELEASE);		\
}									\
									\
static inline type name##_add_return(type val, name##_t *v)		\
{									\
	return __host_rmw(&v->counter,					\
			  __atomic_add_fetch(&v->counter, val,		\
					     __ATOMIC_SEQ_CST));	\
}									\
									\
static inline type name##_fetch_add(type val, name##_t *v)		\
{									\
	return __host_rmw(&v->counter,					\
			  __atomic_fetch_add(&v->counter, val,		\
					     __ATOMIC_SEQ_CST));	\
}									\
									\
static inline type name##_xchg(name##_t *v, type val)			\
{									\
	return xchg(&v->counter, val);					\
}									\
									\
static inline bool name##_try_cmpxchg(name##_t *v, type *old, type val)	\
{									\
	return try_cmpxchg(&v->counter, old, val);			\
}									\
									\
static inline type name##_cmpxchg(name##_t *v, type old, type val)	\
{									\
	return cmpxchg(&v->counter, old, val);				\
}									\
									\
static inline type name##_sub_return(type val, name##_t *v)		\
{									\
	return name##_add_return(-val, v);				\
}									\
									\
static inline type name##_inc_return(name##_t *v)			\
{									\
	return name##_add_return(1, v);					\
}									\
									\
static inline type name##_dec_return(name##_t *v)			\
{									\
	return name##_add_return(-1, v);				\
}									\
									\
static inline void name##_add(type val, name##_t *v)			\
{									\
	name##_add_return(val, v);					\
}									\
									\
static inline void name##_sub(type val, name##_t *v)			\
{									\
	name##_add_return(-val, v);					\
}									\
									\
static inline void name##_inc(name##_t *v)				\
{									\
	name##_add_return(1, v);					\
}									\
									\
static inline void name##_dec(name##_t *v)				\
{									\
	name##_add_return(-1, v);					\
}									\
									\
static inline bool name##_dec_and_test(name##_t *v)			\
{									\
	return !name##_add_return(-1, v);				\
}									\
									\
static inline bool name##_inc_not_zero(name##_t *v)			\
{									\
	type old = name##_read(v);					\
									\
	while (old && !name##_try_cmpxchg(v, &old, old + 1))		\
		;							\
	return old;							\
}									\
									\
static inline bool name##_inc_unless_negative(name##_t *v)		\
{									\
	type old = name##_read(v);					\
									\
	while (old >= 0 && !name##_try_cmpxchg(v, &old, old + 1))	\
		;							\
	return old >= 0;						\
}

__HOST_ATOMIC(atomic, int)
__HOST_ATOMIC(atomic64, s64)
__HOST_ATOMIC(atomic_long, long)

#endif /* HOST_LINUX_ATOMIC_H */
