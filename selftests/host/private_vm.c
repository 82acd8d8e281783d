// SPDX-License-Identifier: GPL-2.0
/*
 * The virtual machine with private memory: its vCPUs and their faults.  What the
 * host does is in private_host.c.  Each function does what the glue does in its
 * place, with the same locks in the same order.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/sched.h>

#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

/* Tables that a fault may need, and a split on the way. */
#define FAULT_TABLES	(PGT_MAX_LEVEL + 1)
/* Tries of an access: each gets on in some way. */
#define TRIES		400

const struct pvm_config pvm_configs[] = {
	{ .name = "ept", .vm = &vm_configs[0], .shared_bit = 39 },
	{ .name = "npt", .vm = &vm_configs[1], .shared_bit = 33 },
	{ .name = "ept-l5", .vm = &vm_configs[3], .shared_bit = 49 },
};

const unsigned int pvm_nr_configs = ARRAY_SIZE(pvm_configs);

struct pvm pvm;

u64 pvm_shared(u64 gfn)
{
	return gfn | pvm.private_end;
}

/*
 * vCPUs.
 */

bool pvm_enter(unsigned int nr)
{
	struct pvm_vcpu *v = &pvm.vcpu[nr];
	struct cpu *cpu = &vm.vcpu[nr].cpu;
	bool flush = false;

	if (v->in_guest)
		return true;
	v->entering = true;
	/* Whoever kicks from now on waits for us. */
	WRITE_ONCE(v->in_guest, true);
	/* As KVM, before it looks at requests; who kicks looks at the mode. */
	smp_mb();
	if (!softsept_enter(&pvm.soft, &v->soft, &flush)) {
		v->entering = false;
		WRITE_ONCE(v->in_guest, false);
		return false;
	}
	if (flush)
		cpu_flush_range(cpu, 0, pvm.private_end);
	v->entering = false;
	/* What was handed back while we came in was not looked for here. */
	cpu_check(cpu);
	return true;
}

void pvm_exit(unsigned int nr)
{
	struct pvm_vcpu *v = &pvm.vcpu[nr];

	if (!v->in_guest)
		return;
	softsept_exit(&pvm.soft, &v->soft);
	cpu_go(&vm.vcpu[nr].cpu);
	WRITE_ONCE(v->exits, v->exits + 1);
	WRITE_ONCE(v->in_guest, false);
}

static void pvm_kick(struct mirror *mirror)
{
	unsigned long exits[VM_CPUS];

	pvm.kick_owed = false;
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		struct pvm_vcpu *v = &pvm.vcpu[i];

		exits[i] = READ_ONCE(v->exits);
		if (!READ_ONCE(v->in_guest))
			continue;
		if (v->driven && sim_context != SIM_OUTSIDE)
			cpu_stop(&vm.vcpu[i].cpu);
		else
			pvm_exit(i);
	}
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		while (READ_ONCE(pvm.vcpu[i].in_guest) &&
		       READ_ONCE(pvm.vcpu[i].exits) == exits[i])
			cpu_relax();
}

static void on_translate(struct cpu *cpu, u64 gfn, enum cpu_access access,
			 const struct cpu_outcome *outcome)
{
	if (gfn >= pvm.private_end || pvm.unwritten)
		return;
	if (outcome->pfn != pvm_pfn(gfn))
		host_fail("private", "gfn %#llx is pfn %#llx for cpu %d",
			  (unsigned long long)gfn,
			  (unsigned long long)outcome->pfn, cpu->id);
	if (private_content(outcome->pfn) == PVM_HOST)
		host_fail("private", "cpu %d sees the host's data at gfn %#llx",
			  cpu->id, (unsigned long long)gfn);
}

static void on_write(struct cpu *cpu, u64 gfn,
		     const struct cpu_outcome *outcome)
{
	private_fill(outcome->pfn, 1, PVM_GUEST);
}

/* Before and after: the page may not go to the host meanwhile. */
static void on_clear(u64 pfn, int level)
{
	for (u64 i = 0; i < pgt_pages(level); i++)
		if (!pvm_is_given(pfn + i))
			host_fail("private", "pfn %#llx is the host's and cleared",
				  (unsigned long long)pfn + i);
}

/*
 * Life of a machine.
 */

static void make_root(const struct pvm_config *config)
{
	struct pgt_attr leaf = {
		.access = PGT_ALL_RIGHTS,
		.memtype = config->vm->mode.format == CPU_EPT ? 6 : 0,
		.host_writable = true,
		.mmu_writable = true,
	};
	struct pgt_cache cache;
	unsigned int nr;
	u64 *foreign;

	pgt_cache_init(&cache, &vm.mmu);
	HOST_EQ(pgt_cache_fill(&cache, PGT_MAX_LEVEL, true), 0);
	write_lock(&vm.lock);
	pvm.root = pgt_root_get(&vm.mmu, &vm.fmt, config->vm->levels, 0, vm.role,
				&cache);
	HOST_CHECK(!IS_ERR(pvm.root));
	foreign = pgt_root_foreign(pvm.root, pvm.private_end, &nr, &cache);
	HOST_CHECK(!IS_ERR(foreign));
	write_unlock(&vm.lock);
	pgt_cache_drain(&cache);
	softsept_init(&pvm.soft, &vm.fmt, &leaf, foreign, nr,
		      pvm.root->foreign_level);
}

void pvm_create(const struct pvm_config *config, unsigned int nr_cpus,
		u64 nr_gfns, int folio_level, unsigned int flags)
{
	int levels = (config->shared_bit - PGT_PAGE_SHIFT) / 9 + 1;
	struct pgt_counters counters;

	vm_create(config->vm, nr_cpus, nr_gfns, folio_level);
	pvm = (struct pvm) {
		.config = config,
		.folio_level = folio_level,
		.accept_level = 1,
		.around = 1,
		.private_end = 1ULL << (config->shared_bit - PGT_PAGE_SHIFT),
		.one_window = true,
		.unwritten = flags & PVM_AUTO_ACCEPT,
	};
	pvm_own_pages(nr_gfns);
	private_reset();
	private.kick = pvm_kick;
	private.clear = on_clear;
	private.cleared = on_clear;

	make_root(config);
	pvm_see_through();
	HOST_EQ(pvm.soft.level, levels);
	counters = host_counters(&pvm.counters);
	HOST_EQ(mirror_init(&pvm.mirror, &vm.lock, &pvm.soft.provider, levels,
			    pvm.private_end, &counters), 0);
	for (unsigned int i = 0; i < nr_cpus; i++) {
		struct cpu *cpu = &vm.vcpu[i].cpu;

		mirror_cache_init(&pvm.vcpu[i].cache, &pvm.mirror);
		vm_load(&vm.vcpu[i]);
		cpu->on_translate = on_translate;
		cpu->on_write = on_write;
	}
	pvm.soft.auto_accept = flags & PVM_AUTO_ACCEPT;
	if (!(flags & PVM_NOT_FINALIZED)) {
		write_lock(&vm.lock);
		softsept_finalize(&pvm.soft);
		write_unlock(&vm.lock);
	}
}

void pvm_destroy(void)
{
	u64 leaked;

	sim_gap = NULL;
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		pvm_exit(i);
		vm_unload(&vm.vcpu[i]);
		mirror_cache_drain(&pvm.vcpu[i].cache);
	}
	mirror_destroy(&pvm.mirror);
	leaked = pvm_free_leaked();
	if (!private.refusals_expected) {
		HOST_EQ(leaked, 0);
		HOST_EQ(private.leaks, 0);
	}
	HOST_EQ(pvm.provided, leaked);
	if (pvm.pages != pvm.leaked)
		host_fail("leak", "the provider has %llu pages, %llu were leaked",
			  (unsigned long long)pvm.pages,
			  (unsigned long long)pvm.leaked);
	HOST_EQ(atomic_long_read(&pvm.counters.tables), 0);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		HOST_EQ(atomic_long_read(&pvm.counters.leaves[level]), 0);
	HOST_CHECK(list_empty(&pvm.mirror.mmu.roots));
	pgt_root_put(pvm.root);
	vm_destroy();
}

/*
 * Faults.
 */

void pvm_refill(struct mirror_cache *cache, unsigned int tables)
{
	if (mirror_cache_fill(cache, tables))
		host_fail("assert", "out of memory");
}

static bool is_stale(unsigned long seq, u64 start, u64 end)
{
	if (READ_ONCE(pvm.invalidating) && start < pvm.invalid_end &&
	    end > pvm.invalid_start)
		return true;
	return READ_ONCE(pvm.seq) != seq;
}

int pvm_map_locked(u64 gfn, int level, int max_level, unsigned int around,
		   struct mirror_cache *cache)
{
	u64 pages = pgt_pages(level);
	u64 pfns[PGT_ENTRIES];
	struct mirror_map map = {
		.gfn = gfn,
		.level = level,
		.start = gfn & ~(around * pages - 1),
		.pfns = pfns,
		.nr = around,
		.max_level = max_level,
	};

	for (unsigned int i = 0; i < around; i++) {
		u64 start = map.start + i * pages;

		pfns[i] = PGT_NO_PFN;
		/* Neighbours, where nothing is on the way out. */
		if (pvm_is_folio(start, level) &&
		    (start == pgt_base(gfn, level) ||
		     !is_stale(pvm.seq, start, start + pages)))
			pfns[i] = pvm_pfn(start);
	}
	return mirror_map(&pvm.mirror, &map, cache);
}

int pvm_map(unsigned int nr, u64 gfn, int level, int max_level,
	    unsigned int around)
{
	struct mirror_cache *cache = &pvm.vcpu[nr].cache;
	unsigned long seq;
	int ret;

	for (;;) {
		pvm_refill(cache, FAULT_TABLES);
		seq = READ_ONCE(pvm.seq);
		read_lock(&vm.lock);
		if (is_stale(seq, pgt_base(gfn, level),
			     pgt_base(gfn, level) + pgt_pages(level)))
			ret = -EAGAIN;
		else
			ret = pvm_map_locked(gfn, level, max_level, around,
					     cache);
		read_unlock(&vm.lock);
		if (ret == -E2BIG)
			ret = pvm_split(gfn, max_level) ?: -ENOMEM;
		if (ret != -ENOMEM)
			return ret;
	}
}

enum softsept_error pvm_accept(u64 gfn, int level)
{
	enum softsept_error error;

	rcu_read_lock();
	error = softsept_accept(&pvm.soft, gfn, level);
	rcu_read_unlock();
	return error;
}

/* The host's part of it. */
static int fault_private(unsigned int nr, u64 gfn, int accept_level)
{
	int level = min_t(int, pvm.folio_level,
			  pvm.soft.provider.max_map_level);
	int ret;

	level = min(level, accept_level);
	while (level > 1 && !pvm_is_folio(gfn, level))
		level--;
	ret = pvm_map(nr, gfn, level, accept_level, pvm.around);
	if (ret < 0 && ret != -EAGAIN)
		host_fail("assert", "mirror_map() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
	return min(ret, 0);
}

/* The guest accepts, from the largest size down, and exits where it has to. */
static int accept(unsigned int nr, u64 gfn)
{
	for (int level = pvm.accept_level; level; level--) {
		enum softsept_error error;

		error = pvm_accept(pgt_base(gfn, level), level);
		switch (error) {
		case SOFTSEPT_OK:
		case SOFTSEPT_ACCEPTED:
			return 0;
		case SOFTSEPT_BUSY:
			return -EAGAIN;
		case SOFTSEPT_SIZE:
			continue;
		case SOFTSEPT_EXIT:
			return fault_private(nr, gfn, level);
		default:
			host_fail("assert", "accept of gfn %#llx: error %d",
				  (unsigned long long)gfn, error);
		}
	}
	host_fail("assert", "no size to accept gfn %#llx with",
		  (unsigned long long)gfn);
}

static int fault_shared(unsigned int nr, u64 gfn)
{
	struct vcpu *vcpu = &vm.vcpu[nr];
	struct pgt_map map = {
		.gfn = gfn,
		.pfn = PVM_SHARED_PFN + (gfn & ~pvm.private_end),
		.level = 1,
		.req_level = 1,
		.access = vm.access,
		.want = PGT_R,
		.memtype = vm.config->mode.format == CPU_EPT ? 6 : 0,
		.host_writable = true,
		.mmu_writable = true,
	};
	struct pgt_batch batch;
	int ret;

	HOST_EQ(pgt_cache_fill(&vcpu->cache, FAULT_TABLES, false), 0);
	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	ret = pgt_map(&batch, pvm.root, &map, &vcpu->cache);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	if (ret < 0 && ret != -EAGAIN)
		host_fail("assert", "pgt_map() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
	return min(ret, 0);
}

int pvm_fault(unsigned int nr, u64 gfn)
{
	if ((gfn & ~pvm.private_end) >= vm.nr_gfns)
		return -EFAULT;
	if (gfn & pvm.private_end)
		return fault_shared(nr, gfn);
	return pvm.soft.auto_accept ?
	       fault_private(nr, gfn, pvm.soft.provider.max_map_level) :
	       accept(nr, gfn);
}

enum cpu_result pvm_try(unsigned int nr, u64 gfn, enum cpu_access access)
{
	if (!pvm_enter(nr))
		return CPU_STOPPED;
	return cpu_access(&vm.vcpu[nr].cpu, gfn, access, NULL);
}

bool pvm_access(unsigned int nr, u64 gfn, enum cpu_access access)
{
	enum cpu_result result;
	int ret;

	for (int tries = 0; tries < TRIES; tries++) {
		/*
		 * While the gate is closed we wait for others, which may have far
		 * to go; the explorer notices if there are none.
		 */
		if (!pvm_enter(nr)) {
			tries -= sim_in_task;
			cpu_relax();
			continue;
		}
		result = pvm_try(nr, gfn, access);
		if (result == CPU_OK)
			return true;
		pvm_exit(nr);
		ret = 0;
		if (result == CPU_VIOLATION)
			ret = pvm_fault(nr, gfn);
		else if (result != CPU_STOPPED)
			host_fail("cpu", "gfn %#llx: result %d",
				  (unsigned long long)gfn, result);
		if (ret == -EFAULT)
			return false;
		if (ret == -EAGAIN)
			cpu_relax();
	}
	host_fail("livelock", "gfn %#llx still faults",
		  (unsigned long long)gfn);
}
