/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: preemption, of which tasks and threads know nothing. */
#ifndef HOST_LINUX_PREEMPT_H
#define HOST_LINUX_PREEMPT_H

#define preempt_disable()	((void)0)
#define preempt_enable()	((void)0)

#endif /* HOST_LINUX_PREEMPT_H */
