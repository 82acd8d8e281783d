/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: giving way to others. */
#ifndef HOST_LINUX_SCHED_H
#define HOST_LINUX_SCHED_H

#include <linux/compiler.h>
#include <linux/processor.h>
#include <linux/spinlock.h>

#ifdef HOST_BENCH

extern volatile int host_resched;

static inline bool need_resched(void)
{
	return host_resched;
}

static inline int cond_resched(void)
{
	return 0;
}

static inline int cond_resched_rwlock_read(rwlock_t *lock)
{
	return 0;
}

static inline int cond_resched_rwlock_write(rwlock_t *lock)
{
	return 0;
}

#else

bool need_resched(void);
int cond_resched(void);
int cond_resched_rwlock_read(rwlock_t *lock);
int cond_resched_rwlock_write(rwlock_t *lock);

#endif

#endif /* HOST_LINUX_SCHED_H */
