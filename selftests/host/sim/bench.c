// SPDX-License-Identifier: GPL-2.0
/* What is left of RCU and scheduling where the engine is measured. */
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "sim/explore.h"

volatile int host_rcu_depth;
volatile int host_resched;
bool sim_need_resched;

static struct rcu_head *queue;

/* Runs callbacks, in any order, when asked to. */
void rcu_barrier(void)
{
	struct rcu_head *head;

	while ((head = queue)) {
		queue = head->next;
		head->func(head);
	}
}

void synchronize_rcu(void)
{
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	head->func = func;
	head->next = queue;
	queue = head;
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

unsigned int sim_choose(unsigned int n)
{
	return 0;
}

void sim_yield(void)
{
}
