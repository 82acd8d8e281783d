/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the hint that a loop waits for another CPU. */
#ifndef HOST_LINUX_PROCESSOR_H
#define HOST_LINUX_PROCESSOR_H

#ifdef HOST_BENCH
#define cpu_relax()		__builtin_ia32_pause()
#else
void cpu_relax(void);
#endif

#endif /* HOST_LINUX_PROCESSOR_H */
