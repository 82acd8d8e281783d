// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of pairs of operations: which there are, and running one from each state
 * of the two.  What is explored is the groups' business.
 */
#include <stdio.h>
#include <string.h>

#include <linux/kernel.h>

#include "pairs.h"
#include "sim/explore.h"
#include "test.h"

#define MAX_PAIRS	512
#define MAX_STATES	16

const struct pair_op *pair_ops[2];

static struct pair_group *groups;

void pair_task0(void *ctx)
{
	pair_ops[0]->run(0);
}

void pair_task1(void *ctx)
{
	pair_ops[1]->run(1);
}

void pair_explore(const struct sim_case *c, unsigned int max_preemptions,
		  u64 max_schedules, u64 *schedules)
{
	struct sim_stats stats;
	unsigned int bound;

	bound = sim_explore_most(c, max_preemptions, max_schedules, &stats);
	HOST_CHECK(stats.complete);
	if (bound < max_preemptions)
		host_note("%s: all schedules with %u preemptions only", c->name,
			  bound);
	*schedules += stats.schedules;
	if (host_verbose())
		host_note("%s: %llu schedules", c->name,
			  (unsigned long long)stats.schedules);
}

static const struct pair_op *find(const struct pair_group *group,
				  const char *name, size_t len)
{
	for (unsigned int i = 0; i < group->nr; i++)
		if (strlen(group->ops[i].name) == len &&
		    !memcmp(group->ops[i].name, name, len))
			return &group->ops[i];
	return NULL;
}

static void run_pair(void)
{
	const char *name = strchr(host_run.test, '.') + 1;
	const char *plus = strchr(name, '+');
	const struct pair_group *group = groups;
	bool done[MAX_STATES] = { };
	u64 schedules = 0;

	while (strncmp(group->name, host_run.test, name - host_run.test))
		group = group->next;
	pair_ops[0] = find(group, name, plus - name);
	pair_ops[1] = find(group, plus + 1, strlen(plus + 1));
	sim_never_resched = true;
	for (int i = 0; i < 2; i++) {
		const struct pair_op *op = pair_ops[i];

		for (unsigned int j = 0; j < op->nr_states; j++) {
			if (!done[op->states[j]])
				group->explore(op->states[j], &schedules);
			done[op->states[j]] = true;
		}
	}
	host_note("%llu schedules", (unsigned long long)schedules);
}

void pair_register(struct pair_group *group)
{
	static struct host_test tests[MAX_PAIRS];
	static char names[MAX_PAIRS][48];
	static unsigned int nr;

	group->next = groups;
	groups = group;
	for (unsigned int a = 0; a < group->nr; a++) {
		for (unsigned int b = a; b < group->nr; b++) {
			const struct pair_op *first = &group->ops[a];
			const struct pair_op *second = &group->ops[b];

			if (first->flags & second->flags & group->apart)
				continue;
			HOST_CHECK(nr < MAX_PAIRS);
			snprintf(names[nr], sizeof(names[nr]), "%s%s+%s",
				 group->name, first->name, second->name);
			tests[nr].name = names[nr];
			tests[nr].run = run_pair;
			host_register(&tests[nr++]);
		}
	}
}
