/* SPDX-License-Identifier: GPL-2.0 */
/* The hook before every shared access; what the explorer does is explore.c's. */
#ifndef HOST_SIM_POINT_H
#define HOST_SIM_POINT_H

#include <stdbool.h>

enum sim_kind {
	SIM_READ,
	SIM_WRITE,	/* anything that others could notice */
	SIM_FREE,	/* a write that gives memory back, or may do so */
};

#ifdef HOST_SIM

#include "sim/mem.h"

/* A task of the explorer is running, and no RCU callback on top of it. */
extern bool sim_in_task;

/* The address is all that matters: what is there may not be initialised yet. */
#if __has_attribute(__access__)
__attribute__((__access__(__none__, 1)))
#endif
void sim_point_task(const volatile void *addr, enum sim_kind kind);

static inline void sim_point(const volatile void *addr, enum sim_kind kind)
{
	if (__builtin_expect(sim_in_task, 0))
		sim_point_task(addr, kind);
	/* Only now: others may have freed it while the task waited. */
	mem_check_access(addr);
}

#else

static inline void sim_point(const volatile void *addr, enum sim_kind kind)
{
}

#endif

#endif /* HOST_SIM_POINT_H */
