/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pairs of operations that may run together: one test for each, named after the
 * two, as race.zap+write is.
 */
#ifndef HOST_TESTS_PAIRS_H
#define HOST_TESTS_PAIRS_H

#include <linux/types.h>

struct sim_case;

/**
 * struct pair_op - an operation
 * @name:	in the names of tests
 * @run:	does it; @self is the task's number
 * @states:	what it is about: the states that a pair with it starts from
 * @nr_states:	how many
 * @flags:	the group's
 */
struct pair_op {
	const char *name;
	void (*run)(unsigned int self);
	unsigned int states[3];
	unsigned int nr_states;
	unsigned int flags;
};

/**
 * struct pair_group - operations of which each runs beside each
 * @name:	of the tests, with a dot
 * @ops:	the operations
 * @nr:		how many
 * @apart:	two that both have one of these flags never run together
 * @explore:	run the pair from a state, and count schedules
 */
struct pair_group {
	const char *name;
	const struct pair_op *ops;
	unsigned int nr;
	unsigned int apart;
	void (*explore)(unsigned int state, u64 *schedules);
	struct pair_group *next;
};

/* Make the tests of a group; from a constructor. */
void pair_register(struct pair_group *group);

/* The two of the test that is running, by task, and the tasks. */
extern const struct pair_op *pair_ops[2];
void pair_task0(void *ctx);
void pair_task1(void *ctx);

/*
 * sim_explore_most(), which has to come to an end; says how deep it went where that
 * is less than it was to, and adds to @schedules.
 */
void pair_explore(const struct sim_case *c, unsigned int max_preemptions,
		  u64 max_schedules, u64 *schedules);

#endif /* HOST_TESTS_PAIRS_H */
