// SPDX-License-Identifier: GPL-2.0
/*
 * The explorer's locks, RCU, and asking whether to give way.
 *
 * There is no fairness: whoever is scheduled when a lock is free takes it.
 *
 * An RCU callback runs at the earliest moment that the kernel would allow: at
 * once if nobody is in a read-side section, or when the last of those who were
 * leaves.  Later moments are not tried, as memory that goes early shows more.
 */
#include <linux/bug.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "sim/explore.h"
#include "sim/internal.h"
#include "test.h"

unsigned int sim_locks_held[SIM_CONTEXTS];
unsigned int sim_rcu_depth[SIM_CONTEXTS];

/* Pending callbacks in order; the address also stands for all of RCU. */
static struct rcu_head *pending;
static struct rcu_head **pending_end = &pending;

/*
 * RCU.
 */

/* The contexts in a section, a bit each. */
static unsigned long rcu_readers(void)
{
	unsigned long readers = 0;
	unsigned int i;

	for (i = 0; i < SIM_CONTEXTS; i++)
		readers |= (unsigned long)!!sim_rcu_depth[i] << i;
	return readers;
}

static struct rcu_head *take_callback(void)
{
	struct rcu_head **link, *head;

	for (link = &pending; *link; link = &(*link)->next) {
		head = *link;
		if (head->readers)
			continue;
		*link = head->next;
		if (pending_end == &head->next)
			pending_end = link;
		return head;
	}
	return NULL;
}

static void run_callbacks(void)
{
	unsigned int context = sim_context;
	struct rcu_head *head;

	if (context == SIM_CALLBACK)
		return;
	while ((head = take_callback())) {
		sim_context = SIM_CALLBACK;
		head->func(head);
		if (sim_locks_held[SIM_CALLBACK] ||
		    sim_rcu_depth[SIM_CALLBACK])
			host_fail("lockdep",
				  "an RCU callback ended with a lock held");
		sim_progress();
		sim_context = context;
	}
}

/*
 * Nested sections are nobody else's business.  Entering is a read: in which
 * order two tasks do so makes no difference, only whether they do it before or
 * after a call_rcu(), which is a write.  Leaving is no point.  It may run
 * callbacks, as call_rcu() may; but who is in a section can't reach what they
 * free, and who is in none is interrupted before his own access to it.
 */
void rcu_read_lock(void)
{
	if (!sim_rcu_depth[sim_context])
		sim_point(&pending, SIM_READ);
	sim_rcu_depth[sim_context]++;
}

void rcu_read_unlock(void)
{
	struct rcu_head *head;

	if (!sim_rcu_depth[sim_context])
		host_fail("lockdep", "rcu_read_unlock() out of a section");
	if (--sim_rcu_depth[sim_context])
		return;
	for (head = pending; head; head = head->next)
		head->readers &= ~(1UL << sim_context);
	run_callbacks();
}

int rcu_read_lock_held(void)
{
	return sim_rcu_depth[sim_context];
}

static void queue_callback(struct rcu_head *head, rcu_callback_t func)
{
	struct rcu_head *other;

	sim_point(&pending, SIM_WRITE);
	for (other = pending; other; other = other->next) {
		if (other == head)
			host_fail("double-free", "call_rcu() twice for one");
	}
	head->next = NULL;
	head->func = func;
	head->readers = rcu_readers();
	*pending_end = head;
	pending_end = &head->next;
	run_callbacks();
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	head->object = NULL;
	queue_callback(head, func);
}

static void free_object(struct rcu_head *head)
{
	kfree(head->object);
}

void host_kfree_rcu(struct rcu_head *head, void *object)
{
	head->object = object;
	queue_callback(head, free_object);
}

static bool nothing_pending(const void *unused)
{
	return !pending;
}

void rcu_barrier(void)
{
	sim_point(&pending, SIM_WRITE);
	sim_wait(nothing_pending, &pending);
}

static void note_grace_period(struct rcu_head *head)
{
	head->object = head;
}

static bool grace_period_over(const void *what)
{
	const struct rcu_head *head = what;

	return head->object;
}

void synchronize_rcu(void)
{
	struct rcu_head head;

	call_rcu(&head, note_grace_period);
	sim_wait(grace_period_over, &head);
}

unsigned int sim_rcu_pending(void)
{
	struct rcu_head *head;
	unsigned int nr = 0;

	for (head = pending; head; head = head->next)
		nr++;
	return nr;
}

/*
 * Locks.
 */

/* Preemption is off from before a task tries to take a lock. */
static void locking(void)
{
	if (sim_lock_is_rcu)
		rcu_read_lock();
}

static void unlocked(void)
{
	if (sim_lock_is_rcu)
		rcu_read_unlock();
}

static void took_lock(void)
{
	sim_locks_held[sim_context]++;
}

static void dropped_lock(void)
{
	sim_locks_held[sim_context]--;
	unlocked();
}

static void not_held(const char *what)
{
	host_fail("lockdep", "%s() of a lock that is not held", what);
}

static bool spin_free(const void *what)
{
	const spinlock_t *lock = what;

	return !lock->holder;
}

static bool read_free(const void *what)
{
	const rwlock_t *lock = what;

	return !lock->writer;
}

static bool write_free(const void *what)
{
	const rwlock_t *lock = what;

	return !lock->writer && !lock->nr_readers;
}

void spin_lock(spinlock_t *lock)
{
	locking();
	sim_point(lock, SIM_WRITE);
	sim_wait(spin_free, lock);
	lock->holder = sim_context + 1;
	took_lock();
}

int spin_trylock(spinlock_t *lock)
{
	locking();
	sim_point(lock, SIM_WRITE);
	if (!spin_free(lock)) {
		unlocked();
		return 0;
	}
	lock->holder = sim_context + 1;
	took_lock();
	return 1;
}

void spin_unlock(spinlock_t *lock)
{
	sim_point(lock, SIM_WRITE);
	if (lock->holder != sim_context + 1)
		not_held("spin_unlock");
	lock->holder = 0;
	dropped_lock();
}

/* Readers do not disturb each other: for the explorer they only read. */
void read_lock(rwlock_t *lock)
{
	locking();
	sim_point(lock, SIM_READ);
	sim_wait(read_free, lock);
	lock->nr_readers++;
	lock->reader[sim_context]++;
	took_lock();
}

void read_unlock(rwlock_t *lock)
{
	sim_point(lock, SIM_READ);
	if (!lock->reader[sim_context])
		not_held("read_unlock");
	lock->reader[sim_context]--;
	lock->nr_readers--;
	sim_progress();
	dropped_lock();
}

void write_lock(rwlock_t *lock)
{
	locking();
	sim_point(lock, SIM_WRITE);
	sim_wait(write_free, lock);
	lock->writer = sim_context + 1;
	took_lock();
}

int write_trylock(rwlock_t *lock)
{
	locking();
	sim_point(lock, SIM_WRITE);
	if (!write_free(lock)) {
		unlocked();
		return 0;
	}
	lock->writer = sim_context + 1;
	took_lock();
	return 1;
}

void write_unlock(rwlock_t *lock)
{
	sim_point(lock, SIM_WRITE);
	if (lock->writer != sim_context + 1)
		not_held("write_unlock");
	lock->writer = 0;
	dropped_lock();
}

/*
 * Not a point, for a walk asks at every entry.  Who comes to wait for the lock
 * between two questions could as well have come at the last point before them:
 * what the walk does from there on is nothing that anybody else sees.
 */
int rwlock_needbreak(rwlock_t *lock)
{
	return sim_waited_for(lock);
}

bool host_spin_held(const spinlock_t *lock, enum host_hold how)
{
	return lock->holder == sim_context + 1;
}

bool host_rw_held(const rwlock_t *lock, enum host_hold how)
{
	if (how != HOST_HELD_READ && lock->writer == sim_context + 1)
		return true;
	return how != HOST_HELD_WRITE && lock->reader[sim_context];
}

void host_lockdep(bool ok, const char *file, int line, const char *what)
{
	if (!ok)
		host_fail("lockdep", "%s:%d: %s", file, line, what);
}

/*
 * Giving way.
 */

bool need_resched(void)
{
	if (sim_context == SIM_OUTSIDE)
		return sim_need_resched;
	if (sim_never_resched)
		return false;
	return sim_context != SIM_CALLBACK && sim_resched();
}

int cond_resched(void)
{
	if (!need_resched())
		return 0;
	sim_yield();
	return 1;
}

void (*sim_gap)(void);

static void give_way(void)
{
	sim_give_way();
	if (sim_gap && sim_context == SIM_OUTSIDE)
		sim_gap();
}

/* The kernel's locks are fair: who waits is served before we have it again. */
int cond_resched_rwlock_read(rwlock_t *lock)
{
	lockdep_assert_held_read(lock);
	if (!rwlock_needbreak(lock) && !need_resched())
		return 0;
	read_unlock(lock);
	give_way();
	read_lock(lock);
	return 1;
}

int cond_resched_rwlock_write(rwlock_t *lock)
{
	lockdep_assert_held_write(lock);
	if (!rwlock_needbreak(lock) && !need_resched())
		return 0;
	write_unlock(lock);
	give_way();
	write_lock(lock);
	return 1;
}
