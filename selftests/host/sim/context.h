/* SPDX-License-Identifier: GPL-2.0 */
/* Who may be running: the test itself, tasks of the explorer, RCU callbacks. */
#ifndef HOST_SIM_CONTEXT_H
#define HOST_SIM_CONTEXT_H

#define SIM_MAX_TASKS	4

/* Tasks are contexts 1 to SIM_MAX_TASKS. */
#define SIM_OUTSIDE	0
#define SIM_CALLBACK	(SIM_MAX_TASKS + 1)
#define SIM_CONTEXTS	(SIM_MAX_TASKS + 2)

#endif /* HOST_SIM_CONTEXT_H */
