/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: spinlocks and reader-writer locks, in the three ways to build.
 *
 * sim/lock.c has the explorer's, sim/thread.c those on threads.
 */
#ifndef HOST_LINUX_SPINLOCK_H
#define HOST_LINUX_SPINLOCK_H

#include <linux/compiler.h>
#include <linux/types.h>

#if defined(HOST_SIM)

#include "sim/context.h"

/* Contexts are numbered from 0, so a holder is kept as its number plus one. */
typedef struct spinlock {
	u8 holder;
} spinlock_t;

typedef struct {
	u8 writer;
	u8 nr_readers;
	u8 reader[SIM_CONTEXTS];
} rwlock_t;

#define __HOST_SPIN_LOCK_INIT	{ 0 }
#define __HOST_RW_LOCK_INIT	{ .writer = 0 }

#elif defined(HOST_THREADS)

#include <pthread.h>

typedef struct spinlock {
	pthread_mutex_t mutex;
} spinlock_t;

typedef struct {
	pthread_rwlock_t lock;
	int waiters;
} rwlock_t;

#define __HOST_SPIN_LOCK_INIT	{ .mutex = PTHREAD_MUTEX_INITIALIZER }
#define __HOST_RW_LOCK_INIT	{ .lock = PTHREAD_RWLOCK_INITIALIZER }

#else /* HOST_BENCH */

typedef struct spinlock {
	int held;
} spinlock_t;

typedef struct {
	int held;
} rwlock_t;

#define __HOST_SPIN_LOCK_INIT	{ 0 }
#define __HOST_RW_LOCK_INIT	{ 0 }

#endif

#define __SPIN_LOCK_UNLOCKED(name)	__HOST_SPIN_LOCK_INIT
#define __RW_LOCK_UNLOCKED(name)	__HOST_RW_LOCK_INIT
#define DEFINE_SPINLOCK(name)	spinlock_t name = __HOST_SPIN_LOCK_INIT
#define DEFINE_RWLOCK(name)	rwlock_t name = __HOST_RW_LOCK_INIT

#define spin_lock_init(l)						\
	do { *(l) = (spinlock_t)__HOST_SPIN_LOCK_INIT; } while (0)
#define rwlock_init(l)							\
	do { *(l) = (rwlock_t)__HOST_RW_LOCK_INIT; } while (0)

/* The kernel's differ where spinlocks may sleep, which none does here. */
typedef spinlock_t raw_spinlock_t;
#define raw_spin_lock_init(l)	spin_lock_init(l)
#define raw_spin_lock(l)	spin_lock(l)
#define raw_spin_unlock(l)	spin_unlock(l)

#ifdef HOST_BENCH

/* One instruction each; the kernel's own cost is not the engine's. */
#define __HOST_LOCK_OP(name, type, change)				\
static inline void name(type *lock)					\
{									\
	*(volatile int *)&lock->held += (change);			\
}

__HOST_LOCK_OP(spin_lock, spinlock_t, 1)
__HOST_LOCK_OP(spin_unlock, spinlock_t, -1)
__HOST_LOCK_OP(read_lock, rwlock_t, 1)
__HOST_LOCK_OP(read_unlock, rwlock_t, -1)
__HOST_LOCK_OP(write_lock, rwlock_t, 1)
__HOST_LOCK_OP(write_unlock, rwlock_t, -1)

static inline int rwlock_needbreak(rwlock_t *lock)
{
	return *(volatile int *)&lock->held < 0;
}

#else

void spin_lock(spinlock_t *lock);
int spin_trylock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
void read_lock(rwlock_t *lock);
void read_unlock(rwlock_t *lock);
void write_lock(rwlock_t *lock);
int write_trylock(rwlock_t *lock);
void write_unlock(rwlock_t *lock);
int rwlock_needbreak(rwlock_t *lock);

#endif

#endif /* HOST_LINUX_SPINLOCK_H */
