// SPDX-License-Identifier: GPL-2.0
/*
 * What the engine asks of a VM whose vCPUs are threads: above all that CPUs drop
 * what they have cached.
 *
 * As KVM does it: a CPU in the guest is interrupted and waited for, one outside
 * finds the request before it enters the guest again.  The walks of a CPU in the
 * guest are in no RCU section, as hardware is in none: only the invalidation
 * keeps a table from being freed under them.
 */
#include <linux/processor.h>
#include <linux/mm.h>

#include "guest.h"
#include "pgt/env.h"
#include "sim/mem.h"
#include "test.h"

static bool overlaps(u64 base, int level, u64 start, u64 end)
{
	return base < end && start < base + pgt_pages(level);
}

static void cpu_drop(struct guest_cpu *cpu, u64 start, u64 end)
{
	for (int i = 0; i < TLB_ENTRIES; i++) {
		struct tlb_entry *entry = &cpu->tlb[i];

		if (entry->level &&
		    overlaps(entry->base, entry->level, start, end))
			entry->level = 0;
	}
	if (overlaps(cpu->upper.base, 2, start, end))
		cpu->upper.table = NULL;
}

void cpu_drop_all(struct guest_cpu *cpu)
{
	cpu_drop(cpu, 0, ~0ULL);
}

void cpu_serve(struct guest_cpu *cpu)
{
	if (!LOAD(cpu->requested))
		return;
	pthread_mutex_lock(&cpu->mutex);
	cpu_drop(cpu, cpu->start, cpu->end);
	cpu->start = ~0ULL;
	cpu->end = 0;
	/* Whoever waits goes on from here. */
	STORE(cpu->requested, 0);
	pthread_mutex_unlock(&cpu->mutex);
}

static void request(struct guest_cpu *cpu, u64 start, u64 end)
{
	pthread_mutex_lock(&cpu->mutex);
	if (start < cpu->start)
		cpu->start = start;
	if (end > cpu->end)
		cpu->end = end;
	STORE(cpu->requested, 1);
	pthread_mutex_unlock(&cpu->mutex);
}

static void request_all(u64 start, u64 end)
{
	for (int i = 0; i < GUEST_CPUS; i++)
		request(&guest.cpu[i], start, end);
	for (int i = 0; i < GUEST_CPUS; i++) {
		struct guest_cpu *cpu = &guest.cpu[i];

		while (LOAD(cpu->in_guest) && LOAD(cpu->requested))
			cpu_relax();
	}
}

void pgt_env_flush(struct pgt_mmu *mmu, u64 start, u64 end)
{
	ADD(guest.flushes, 1);
	request_all(start, end);
}

void pgt_env_obsolete(struct pgt_mmu *mmu)
{
	for (int i = 0; i < GUEST_CPUS; i++)
		STORE(guest.cpu[i].obsolete, 1);
	request_all(0, ~0ULL);
}

void pgt_env_log_dirty(struct pgt_root *root, u64 gfn)
{
	if (!is_logged(gfn))
		host_fail("log", "gfn %#llx is not to be logged",
			  (unsigned long long)gfn);
	STORE(guest.log[gfn - LOGGED_START], 1);
}

/*
 * Collapsing maps pages that no fault asked for, so it has to respect, as faults
 * do, that the host is taking back some of them.  Both sides hold the lock.
 */
int pgt_env_max_level(struct pgt_root *root, u64 gfn, u64 pfn)
{
	if (is_logged(gfn))
		return 1;
	if (guest.invalidating && overlaps(pgt_base(gfn, 2), 2,
					   guest.invalid_start,
					   guest.invalid_end))
		return 1;
	return 2;
}

void pgt_env_account_table(void *table, int nr)
{
	if (!mem_is_table(__pa(table) >> MEM_PAGE_SHIFT))
		host_fail("account", "%p is accounted and not a table", table);
	ADD(guest.tables, nr);
}

void pgt_env_trace_change(u64 gfn, int level, u64 old, u64 new)
{
}
