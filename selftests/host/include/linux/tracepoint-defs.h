/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: every event is traced, but where instructions are counted. */
#ifndef HOST_LINUX_TRACEPOINT_DEFS_H
#define HOST_LINUX_TRACEPOINT_DEFS_H

#define DECLARE_TRACEPOINT(name)	struct host_tracepoint_##name

#ifdef HOST_BENCH
#define tracepoint_enabled(name)	false
#else
#define tracepoint_enabled(name)	true
#endif

#endif /* HOST_LINUX_TRACEPOINT_DEFS_H */
