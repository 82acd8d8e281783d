/* SPDX-License-Identifier: GPL-2.0 */
/* What bench/env.c counts for bench/bench.c. */
#ifndef HOST_BENCH_BENCH_H
#define HOST_BENCH_BENCH_H

extern unsigned long bench_flushes;
extern unsigned long bench_logged;
extern long bench_tables;

#endif /* HOST_BENCH_BENCH_H */
