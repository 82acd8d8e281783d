// SPDX-License-Identifier: GPL-2.0
/*
 * What holds of a machine with private memory at rest, and what was asked of its
 * provider.
 */
#include <linux/kernel.h>
#include <linux/mm.h>

#include "mirror/softsept_internal.h"
#include "pgt/internal.h"
#include "private_vm.h"
#include "test.h"

static struct pvm_cost cost_before;

/*
 * What CPUs have cached of pages and tables that were handed back.  One that
 * forgets it at its next entry may have it until then.
 */
void pvm_check_cpus(void)
{
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		if (!pvm.vcpu[i].entering &&
		    pvm.vcpu[i].soft.epoch == pvm.soft.epoch)
			cpu_check(&vm.vcpu[i].cpu);
}

__noreturn
static void differ(u64 gfn, int level, u64 ours, u64 theirs, const char *how)
{
	host_fail("compare",
		  "gfn %#llx, level %d: %s: %#llx in the mirror, %#llx in the private table",
		  (unsigned long long)gfn, level, how,
		  (unsigned long long)ours, (unsigned long long)theirs);
}

static void compare(u64 *ours, u64 *theirs, unsigned int nr, u64 gfn, int level)
{
	for (unsigned int i = 0; i < nr; i++, gfn += pgt_pages(level)) {
		u64 a = ours[i], b = theirs[i];
		enum softsept_state state;
		u64 pa;

		/* Of most entries there is nothing. */
		if (!a && b == vm.fmt.nonpresent)
			continue;
		state = softsept_state_of(b, level);
		pa = softsept_pa(&pvm.soft, b, level);
		if (b & SOFTSEPT_E_LOCK && !pgt_is_present(b))
			differ(gfn, level, a, b, "locked");
		if (pgt_is_leaf(a, level)) {
			if ((state != SOFTSEPT_MAPPED &&
			     state != SOFTSEPT_PENDING) ||
			    pa >> PGT_PAGE_SHIFT !=
			    pgt_leaf_pfn(&pvm.mirror.fmt, a, level))
				differ(gfn, level, a, b, "leaf");
		} else if (pgt_is_table(a, level)) {
			u64 *below = pgt_table_of(&pvm.mirror.fmt, a);
			unsigned long given =
				virt_to_ptdesc(below)->pt_index;

			if (state != SOFTSEPT_LINK ||
			    given != (unsigned long)__va(pa))
				differ(gfn, level, a, b, "table");
			compare(below, __va(pa), PGT_ENTRIES, gfn, level - 1);
		} else {
			differ(gfn, level, a, b, "neither leaf nor table");
		}
	}
}

void pvm_validate(void)
{
	struct pgt_verdict verdict;
	const char *which = "shared";
	bool ok;

	ok = pgt_validate(&vm.mmu, &verdict);
	if (ok) {
		which = "mirror";
		ok = mirror_validate(&pvm.mirror, &verdict);
	}
	if (!ok)
		host_fail("validator",
			  "%s: %s: gfn %#llx, entry %#llx at level %d", which,
			  verdict.what, (unsigned long long)verdict.gfn,
			  (unsigned long long)verdict.entry, verdict.level);
}

void pvm_check(void)
{
	struct mirror_provider *p = &pvm.soft.provider;
	struct pgt_counters *counters = &pvm.mirror.mmu.counters;
	u64 *root = pvm.mirror.root->table;
	unsigned int inside = 0;
	u64 pages = 0;

	pvm_validate();
	compare(root, pvm.soft.root, pvm.soft.nr, 0, pvm.soft.level);
	for (unsigned int i = pvm.soft.nr; i < PGT_ENTRIES; i++)
		HOST_EQ(root[i], 0);
	/* Each table of the mirror has one of the provider's, but for the root. */
	HOST_EQ(atomic_long_read(counters->tables), pvm.provided + 1);
	HOST_EQ(vm.tables, atomic_long_read(counters->tables) +
			   atomic_long_read(vm.mmu.counters.tables));
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		pages += atomic_long_read(counters->leaves[level]) *
			 pgt_pages(level);
	HOST_EQ(pages, pvm.pages);

	HOST_CHECK(!pvm.mirror.untracked);
	HOST_CHECK(!pvm.mirror.window);
	HOST_CHECK(!pvm.window);
	HOST_CHECK(!pvm.kick_owed);
	HOST_EQ(atomic_read(&pvm.soft.gate), 0);
	HOST_EQ(atomic_read(&pvm.soft.tree), 0);
	HOST_EQ(atomic_read(&pvm.soft.accepting), 0);
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		inside += pvm.vcpu[i].soft.inside;
	HOST_EQ(atomic_read(&pvm.soft.inside[0]) +
		atomic_read(&pvm.soft.inside[1]), inside);
	HOST_EQ(private.kicks, atomic_long_read(&p->kicks) +
			       atomic_long_read(&p->calls[MIRROR_OPEN_WINDOW]));
	HOST_EQ(atomic_long_read(&p->calls[MIRROR_OPEN_WINDOW]),
		atomic_long_read(&p->calls[MIRROR_CLOSE_WINDOW]));
	pvm_check_cpus();
}

static void read_cost(struct pvm_cost *cost)
{
	struct mirror_provider *p = &pvm.soft.provider;

	for (int i = 0; i < MIRROR_NR_CALLS; i++) {
		cost->busy[i] = atomic_long_read(&p->busy[i]);
		cost->calls[i] = atomic_long_read(&p->calls[i]) - cost->busy[i];
	}
	cost->kicks = atomic_long_read(&p->kicks);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		cost->leaves[level] =
			atomic_long_read(&pvm.counters.leaves[level]);
	cost->tables = atomic_long_read(&pvm.counters.tables);
}

void pvm_cost_begin(void)
{
	read_cost(&cost_before);
}

struct pvm_cost pvm_cost(void)
{
	struct pvm_cost cost;

	read_cost(&cost);
	for (int i = 0; i < MIRROR_NR_CALLS; i++) {
		cost.calls[i] -= cost_before.calls[i];
		cost.busy[i] -= cost_before.busy[i];
	}
	cost.kicks -= cost_before.kicks;
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		cost.leaves[level] -= cost_before.leaves[level];
	cost.tables -= cost_before.tables;
	return cost;
}
