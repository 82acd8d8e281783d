/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: RCU.  sim/lock.c has the explorer's, sim/thread.c the real one.
 */
#ifndef HOST_LINUX_RCUPDATE_H
#define HOST_LINUX_RCUPDATE_H

#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/types.h>

typedef void (*rcu_callback_t)(struct rcu_head *head);

void call_rcu(struct rcu_head *head, rcu_callback_t func);
void rcu_barrier(void);
void synchronize_rcu(void);
void host_kfree_rcu(struct rcu_head *head, void *object);

#ifdef HOST_BENCH
extern volatile int host_rcu_depth;

static inline void rcu_read_lock(void)
{
	host_rcu_depth++;
}

static inline void rcu_read_unlock(void)
{
	host_rcu_depth--;
}

static inline int rcu_read_lock_held(void)
{
	return 1;
}
#else
void rcu_read_lock(void);
void rcu_read_unlock(void);
int rcu_read_lock_held(void);
#endif

#define kfree_rcu(ptr, member)	host_kfree_rcu(&(ptr)->member, ptr)

#define rcu_access_pointer(p)		READ_ONCE(p)
#define rcu_dereference(p)		READ_ONCE(p)
#define rcu_dereference_raw(p)		READ_ONCE(p)
#define rcu_dereference_check(p, cond)	READ_ONCE(p)
#define rcu_dereference_protected(p, cond)	(p)
#define rcu_assign_pointer(p, val)	WRITE_ONCE(p, val)
#define RCU_INIT_POINTER(p, val)	WRITE_ONCE(p, val)
#define RCU_LOCKDEP_WARN(cond, msg)	WARN_ON_ONCE(cond)

#endif /* HOST_LINUX_RCUPDATE_H */
