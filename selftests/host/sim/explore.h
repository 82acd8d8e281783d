/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The explorer: runs a few tasks in one thread, switching between them before
 * shared accesses, in every way or in many ways, always repeatably.
 *
 * Memory is sequentially consistent here; what weaker orders could do is left
 * to the thread sanitizer and to reading.  A race of unmarked accesses goes
 * unnoticed too: only marked ones are points.
 */
#ifndef HOST_SIM_EXPLORE_H
#define HOST_SIM_EXPLORE_H

#include <linux/types.h>

#include "sim/context.h"
#include "sim/point.h"

/**
 * struct sim_case - tasks to be interleaved
 * @name:	for messages
 * @nr_tasks:	1 to SIM_MAX_TASKS
 * @setup:	makes a fresh world in memory that was just reset; the same each
 *		time, addresses included; or NULL
 * @task:	what runs concurrently; ends without a lock or RCU section
 * @check:	after all tasks ended; or NULL
 * @teardown:	frees everything, which is checked; or NULL, then it is not
 * @ctx:	passed to all of them
 *
 * Setup, check and teardown run outside of tasks: nothing there is a point.
 */
struct sim_case {
	const char *name;
	unsigned int nr_tasks;
	void (*setup)(void *ctx);
	void (*task[SIM_MAX_TASKS])(void *ctx);
	void (*check)(void *ctx);
	void (*teardown)(void *ctx);
	void *ctx;
};

/**
 * struct sim_stats - what an exploration did
 * @schedules:	run; of an exhaustive exploration, in the pass that counts
 * @runs:	the same, with those that only found shared memory
 * @points:	shared accesses by tasks in all runs
 * @max_points:	the most in one run
 * @complete:	every schedule within the bound was run
 */
struct sim_stats {
	u64 schedules;
	u64 runs;
	u64 points;
	unsigned int max_points;
	bool complete;
};

/**
 * sim_explore_all() - run every schedule with few preemptions
 * @c:		what
 * @max_preemptions: switches away from a task that could have gone on, and
 *		calls of need_resched() that return true; switches where a task
 *		ends, blocks or spins come for free
 * @max_schedules: stop after so many, incomplete; 0: no limit
 * @st:		filled in, or NULL
 *
 * Resets memory before each schedule, so nothing must be allocated at the call.
 * With --schedule only the one schedule is run, and @st says that it was
 * complete.
 */
void sim_explore_all(const struct sim_case *c, unsigned int max_preemptions,
		     u64 max_schedules, struct sim_stats *st);

/**
 * sim_explore_most() - run every schedule with as many preemptions as can be
 * @c:		what
 * @max_preemptions: to begin with; fewer where these are too many schedules
 * @max_schedules: that are not too many, unless it is with one; 0: no limit
 * @st:		filled in
 *
 * For --schedule it is one exploration.
 *
 * Return: preemptions of the schedules that were run.
 */
unsigned int sim_explore_most(const struct sim_case *c,
			      unsigned int max_preemptions, u64 max_schedules,
			      struct sim_stats *st);

/**
 * sim_explore_random() - run schedules drawn at random
 * @c:		what
 * @seed:	of the series; the same seed gives the same schedules
 * @nr:		how many
 * @st:		filled in, or NULL
 *
 * Half of them preempt at a few places spread over the run, the others with
 * one of several probabilities everywhere.
 */
void sim_explore_random(const struct sim_case *c, u64 seed, u64 nr,
			struct sim_stats *st);

/**
 * sim_replay() - run one schedule
 * @c:		what
 * @schedule:	as printed by a failure, without the number before the colon
 */
void sim_replay(const struct sim_case *c, const char *schedule);

/* A choice from 0 to @n - 1, every one explored; outside of tasks it is 0. */
unsigned int sim_choose(unsigned int n);

/* A place where others may run, at no cost, though the task could go on. */
void sim_yield(void);

/* What need_resched() returns outside of tasks. */
extern bool sim_need_resched;

/*
 * need_resched() is false in tasks too, so that a lock is given up only for who
 * waits for it.  That is no loss where all that others could do in the gap needs
 * the lock: a preemption just before makes them wait for it, then they get it.
 */
extern bool sim_never_resched;

/* Outside of tasks, what others do when a rwlock is dropped for them, or NULL. */
extern void (*sim_gap)(void);

/*
 * Whether a held spinlock or rwlock is an RCU read-side section as well, as in
 * the kernel.  Off, which is stricter, unless a test sets it; a test that does
 * so does it before it explores.
 */
extern bool sim_lock_is_rcu;

/* The running context: SIM_OUTSIDE, a task from 1 on, or SIM_CALLBACK. */
extern unsigned int sim_context;

/* RCU callbacks that have not run yet. */
unsigned int sim_rcu_pending(void);

/* The schedule so far, for messages; false outside of an exploration. */
bool sim_describe(char *buf, size_t size, const char **case_name);

/* Whether @schedule could be one that sim_describe() made. */
bool sim_schedule_valid(const char *schedule);

#endif /* HOST_SIM_EXPLORE_H */
