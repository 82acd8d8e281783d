// SPDX-License-Identifier: GPL-2.0
/*
 * Locks and RCU on threads, for the thread sanitizer.
 *
 * Nothing here may order more than the kernel's does, or races would be hidden;
 * the mutexes inside are taken by slow paths only.
 */
#include <linux/atomic.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "sim/explore.h"
#include "test.h"

bool sim_need_resched;

/* Locks of the running thread; few enough to search. */
#define MAX_HELD	16

static __thread struct {
	const void *lock;
	enum host_hold how;
} held[MAX_HELD];
static __thread unsigned int nr_held;

static void note_held(const void *lock, enum host_hold how)
{
	if (nr_held == MAX_HELD)
		host_fail("lockdep", "more than %d locks held", MAX_HELD);
	held[nr_held].lock = lock;
	held[nr_held++].how = how;
}

/* Any kind of hold if @how is HOST_HELD. */
static bool is_held(const void *lock, enum host_hold how)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++) {
		if (held[i].lock == lock &&
		    (how == HOST_HELD || held[i].how == how))
			return true;
	}
	return false;
}

static void note_dropped(const void *lock, enum host_hold how)
{
	unsigned int i;

	for (i = nr_held; i--;) {
		if (held[i].lock != lock || held[i].how != how)
			continue;
		held[i] = held[--nr_held];
		return;
	}
	host_fail("lockdep", "a lock is dropped that is not held");
}

void spin_lock(spinlock_t *lock)
{
	pthread_mutex_lock(&lock->mutex);
	note_held(lock, HOST_HELD_WRITE);
}

int spin_trylock(spinlock_t *lock)
{
	if (pthread_mutex_trylock(&lock->mutex))
		return 0;
	note_held(lock, HOST_HELD_WRITE);
	return 1;
}

void spin_unlock(spinlock_t *lock)
{
	note_dropped(lock, HOST_HELD_WRITE);
	pthread_mutex_unlock(&lock->mutex);
}

static void wait_begin(rwlock_t *lock)
{
	__atomic_fetch_add(&lock->waiters, 1, __ATOMIC_RELAXED);
}

static void wait_end(rwlock_t *lock)
{
	__atomic_fetch_sub(&lock->waiters, 1, __ATOMIC_RELAXED);
}

void read_lock(rwlock_t *lock)
{
	wait_begin(lock);
	pthread_rwlock_rdlock(&lock->lock);
	wait_end(lock);
	note_held(lock, HOST_HELD_READ);
}

void read_unlock(rwlock_t *lock)
{
	note_dropped(lock, HOST_HELD_READ);
	pthread_rwlock_unlock(&lock->lock);
}

void write_lock(rwlock_t *lock)
{
	wait_begin(lock);
	pthread_rwlock_wrlock(&lock->lock);
	wait_end(lock);
	note_held(lock, HOST_HELD_WRITE);
}

int write_trylock(rwlock_t *lock)
{
	if (pthread_rwlock_trywrlock(&lock->lock))
		return 0;
	note_held(lock, HOST_HELD_WRITE);
	return 1;
}

void write_unlock(rwlock_t *lock)
{
	note_dropped(lock, HOST_HELD_WRITE);
	pthread_rwlock_unlock(&lock->lock);
}

int rwlock_needbreak(rwlock_t *lock)
{
	return __atomic_load_n(&lock->waiters, __ATOMIC_RELAXED) > 0;
}

bool host_spin_held(const spinlock_t *lock, enum host_hold how)
{
	return is_held(lock, HOST_HELD);
}

bool host_rw_held(const rwlock_t *lock, enum host_hold how)
{
	return is_held(lock, how);
}

void host_lockdep(bool ok, const char *file, int line, const char *what)
{
	if (!ok)
		host_fail("lockdep", "%s:%d: %s", file, line, what);
}

/*
 * Giving way.
 */

/* A stream of its own for each thread; threads are not repeatable anyway. */
static u64 draw(void)
{
	static __thread u64 state;
	static u64 threads;
	u64 x;

	if (!state)
		state = host_seed() ^
			__atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED) << 32;
	x = state += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

unsigned int sim_choose(unsigned int n)
{
	return draw() % n;
}

void sim_yield(void)
{
	sched_yield();
}

bool need_resched(void)
{
	return !(draw() % 16);
}

int cond_resched(void)
{
	if (!need_resched())
		return 0;
	sched_yield();
	return 1;
}

void cpu_relax(void)
{
	sched_yield();
}

int cond_resched_rwlock_read(rwlock_t *lock)
{
	lockdep_assert_held_read(lock);
	if (!rwlock_needbreak(lock) && !need_resched())
		return 0;
	read_unlock(lock);
	sched_yield();
	read_lock(lock);
	return 1;
}

int cond_resched_rwlock_write(rwlock_t *lock)
{
	lockdep_assert_held_write(lock);
	if (!rwlock_needbreak(lock) && !need_resched())
		return 0;
	write_unlock(lock);
	sched_yield();
	write_lock(lock);
	return 1;
}

/*
 * RCU.
 *
 * A grace period counts a number up, then waits for each reader to be out of
 * any section or in one that began after that.  A reader publishes the number
 * it saw before it reads anything: if a grace period has missed it, the reader
 * began late enough to find nothing of what was unlinked before.
 */
#define MAX_THREADS	64

struct reader {
	bool used;
	u64 since;	/* 0: in no section */
};

static struct reader readers[MAX_THREADS];
static __thread struct reader *me;
static __thread unsigned int rcu_depth;
static u64 grace_period = 1;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_changed = PTHREAD_COND_INITIALIZER;
static struct rcu_head *queue;
static struct rcu_head **queue_end = &queue;
/* Callbacks queued and not yet run, those on their way included. */
static unsigned int nr_pending;

static void reader_exit(void *reader)
{
	me = NULL;
	__atomic_store_n(&((struct reader *)reader)->used, false,
			 __ATOMIC_RELEASE);
}

static void reader_init(void)
{
	unsigned int i;

	for (i = 0; i < MAX_THREADS; i++) {
		if (__atomic_exchange_n(&readers[i].used, true,
					__ATOMIC_ACQ_REL))
			continue;
		me = &readers[i];
		pthread_setspecific(key, me);
		return;
	}
	host_fail("host", "more than %d threads", MAX_THREADS);
}

static void wait_for_readers(void)
{
	u64 now = __atomic_add_fetch(&grace_period, 1, __ATOMIC_SEQ_CST);
	unsigned int i;
	u64 since;

	for (i = 0; i < MAX_THREADS; i++) {
		for (;;) {
			since = __atomic_load_n(&readers[i].since,
						__ATOMIC_SEQ_CST);
			if (!since || since >= now)
				break;
			usleep(20);
		}
	}
}

static void *rcu_thread(void *unused)
{
	struct rcu_head *head, *next;
	unsigned int nr;

	for (;;) {
		pthread_mutex_lock(&queue_mutex);
		while (!queue)
			pthread_cond_wait(&queue_changed, &queue_mutex);
		head = queue;
		queue = NULL;
		queue_end = &queue;
		pthread_mutex_unlock(&queue_mutex);

		wait_for_readers();
		for (nr = 0; head; head = next, nr++) {
			next = head->next;
			head->func(head);
		}

		pthread_mutex_lock(&queue_mutex);
		nr_pending -= nr;
		pthread_cond_broadcast(&queue_changed);
		pthread_mutex_unlock(&queue_mutex);
	}
	return NULL;
}

static void init_once(void)
{
	pthread_t thread;

	if (pthread_key_create(&key, reader_exit) ||
	    pthread_create(&thread, NULL, rcu_thread, NULL))
		host_fail("host", "no thread for RCU");
	pthread_detach(thread);
}

void rcu_read_lock(void)
{
	if (rcu_depth++)
		return;
	if (!me) {
		pthread_once(&once, init_once);
		reader_init();
	}
	__atomic_store_n(&me->since,
			 __atomic_load_n(&grace_period, __ATOMIC_SEQ_CST),
			 __ATOMIC_SEQ_CST);
}

void rcu_read_unlock(void)
{
	if (!rcu_depth)
		host_fail("lockdep", "rcu_read_unlock() out of a section");
	if (!--rcu_depth)
		__atomic_store_n(&me->since, 0, __ATOMIC_RELEASE);
}

int rcu_read_lock_held(void)
{
	return rcu_depth;
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	pthread_once(&once, init_once);
	head->next = NULL;
	head->func = func;
	pthread_mutex_lock(&queue_mutex);
	*queue_end = head;
	queue_end = &head->next;
	nr_pending++;
	pthread_cond_broadcast(&queue_changed);
	pthread_mutex_unlock(&queue_mutex);
}

static void free_object(struct rcu_head *head)
{
	kfree(head->object);
}

void host_kfree_rcu(struct rcu_head *head, void *object)
{
	head->object = object;
	call_rcu(head, free_object);
}

void rcu_barrier(void)
{
	pthread_mutex_lock(&queue_mutex);
	while (nr_pending)
		pthread_cond_wait(&queue_changed, &queue_mutex);
	pthread_mutex_unlock(&queue_mutex);
}

void synchronize_rcu(void)
{
	if (rcu_depth)
		host_fail("deadlock", "synchronize_rcu() in a section");
	wait_for_readers();
}
