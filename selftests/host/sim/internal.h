/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the simulation need of each other; not for tests. */
#ifndef HOST_SIM_INTERNAL_H
#define HOST_SIM_INTERNAL_H

#include <linux/types.h>

#include "sim/context.h"

/*
 * Who has ever freed the memory at an address, a bit per task, until told to
 * forget: a free is a write to all of it, see explore.c.
 */
u8 mem_freers(unsigned long addr);
void mem_forget_freers(void);

#ifdef HOST_SIM

extern unsigned int sim_context;
/* The task that runs or on top of which a callback runs; else SIM_OUTSIDE. */
extern unsigned int sim_task;

static inline unsigned int mem_task(void)
{
	return sim_task;
}

/*
 * Let others run until @ready(@what), which looks at nothing but @what and
 * state of the simulation.  Fails the test if that can't come.
 */
void sim_wait(bool (*ready)(const void *what), const void *what);
/* Some task waits for @what. */
bool sim_waited_for(const void *what);
/* Something has changed that a spinning task may wait for. */
void sim_progress(void);
/* Let another task run, if one can. */
void sim_give_way(void);
/* need_resched() in a task. */
bool sim_resched(void);

/* Locks that a context holds, and the nesting of its RCU sections. */
extern unsigned int sim_locks_held[SIM_CONTEXTS];
extern unsigned int sim_rcu_depth[SIM_CONTEXTS];

static inline bool mem_in_callback(void)
{
	return sim_context == SIM_CALLBACK;
}

static inline bool mem_in_section(void)
{
	return sim_rcu_depth[sim_context];
}

#else

static inline unsigned int mem_task(void)
{
	return 0;
}

static inline bool mem_in_callback(void)
{
	return false;
}

static inline bool mem_in_section(void)
{
	return false;
}

#endif

#endif /* HOST_SIM_INTERNAL_H */
