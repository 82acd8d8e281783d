// SPDX-License-Identifier: GPL-2.0
/*
 * What the engine calls while it is measured, as cheap as can be: what KVM does
 * there is not the engine's.  The cases are bench.c's, RCU is sim/bench.c's.
 */
#include "bench/bench.h"
#include "pgt/env.h"
#include "pgt/pgt.h"

unsigned long bench_flushes;
unsigned long bench_logged;
long bench_tables;

void pgt_env_flush(struct pgt_mmu *mmu, u64 start, u64 end)
{
	bench_flushes++;
}

void pgt_env_obsolete(struct pgt_mmu *mmu)
{
}

void pgt_env_log_dirty(struct pgt_root *root, u64 gfn)
{
	bench_logged++;
}

int pgt_env_max_level(struct pgt_root *root, u64 gfn, u64 pfn)
{
	return 2;
}

void pgt_env_account_table(void *table, int nr)
{
	bench_tables += nr;
}
