/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: memory barriers. */
#ifndef HOST_ASM_BARRIER_H
#define HOST_ASM_BARRIER_H

#include <linux/compiler.h>

/*
 * The explorer's memory is sequentially consistent.  The thread sanitizer knows
 * no fences: what it sees must be ordered by the accesses themselves.
 */
#if defined(HOST_SIM) || defined(HOST_THREADS)
#define smp_mb()		barrier()
#else
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif
#define smp_rmb()		barrier()
#define smp_wmb()		barrier()
#define smp_mb__before_atomic()	barrier()
#define smp_mb__after_atomic()	barrier()

/* Marked accesses are acquires and releases here, see linux/compiler.h. */
#define smp_load_acquire(p)	READ_ONCE(*(p))
#define smp_store_release(p, val)	WRITE_ONCE(*(p), val)
#define smp_store_mb(var, val)						\
	do { WRITE_ONCE(var, val); smp_mb(); } while (0)

#endif /* HOST_ASM_BARRIER_H */
