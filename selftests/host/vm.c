// SPDX-License-Identifier: GPL-2.0
/*
 * The virtual machine around the engine.  Each function does what KVM does in
 * its place, with the same locks in the same order; what is tested is the
 * engine, so what KVM does besides is left out.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "pgt/env.h"
#include "sim/explore.h"
#include "test.h"
#include "vm.h"

struct vm vm;

static struct vm_frame vm_frames[VM_MAX_GFNS];
/* By 2 MiB of guest memory: not all of it is one folio any more. */
static bool vm_mixed[VM_MAX_GFNS / 512];

#define HOST_EPT_BARE							\
	.phys_bits = 46, .max_leaf_level = 3, .nonpresent = BIT_ULL(63)
#define HOST_EPT							\
	HOST_EPT_BARE, .mmio_value = 6,					\
	.mmio_mask = GENMASK_ULL(51, 46) | 7
#define MODE_EPT							\
	.format = CPU_EPT, .phys_bits = 46, .huge_1g = true
#define HOST_LONG							\
	.phys_bits = 46, .max_leaf_level = 3, .nx = true,		\
	.mmio_value = BIT_ULL(51) | 1, .mmio_mask = BIT_ULL(51) | 1,	\
	.mmio_access = 6
#define MODE_LONG							\
	.phys_bits = 46, .nx = true, .huge_1g = true

const struct vm_config vm_configs[] = {
	{
		.name = "ept",
		.init = pgt_format_ept,
		.host = { HOST_EPT, .ad = true, .exec_only = true },
		.mode = { MODE_EPT, .levels = 4, .ad = true,
			  .exec_only = true },
		.levels = 4,
	}, {
		.name = "npt",
		.init = pgt_format_npt,
		.host = { HOST_LONG, .ad = true },
		.mode = { MODE_LONG, .format = CPU_LONG, .levels = 4 },
		.levels = 4,
	}, {
		.name = "ept-noad",
		.init = pgt_format_ept,
		.host = { HOST_EPT },
		.mode = { MODE_EPT, .levels = 4 },
		.levels = 4,
	}, {
		.name = "ept-mbec-ve-l5",
		.init = pgt_format_ept,
		/* As for a TD: an MMIO entry is one that lets the #VE through. */
		.host = { HOST_EPT_BARE, .ad = true, .exec_only = true,
			  .mbec = true, .suppress_ve = true,
			  .mmio_mask = BIT_ULL(63) | 7 },
		.mode = { MODE_EPT, .levels = 5, .ad = true,
			  .exec_only = true, .mbec = true, .ve = true },
		.levels = 5,
	}, {
		.name = "ept-noad-mbec-l1tf",
		.init = pgt_format_ept,
		.host = { HOST_EPT, .mbec = true,
			  .l1tf_mask = GENMASK_ULL(45, 41) },
		.mode = { MODE_EPT, .levels = 4, .mbec = true },
		.levels = 4,
	}, {
		.name = "npt-noad-l5",
		.init = pgt_format_npt,
		.host = { HOST_LONG },
		.mode = { MODE_LONG, .format = CPU_LONG, .levels = 5 },
		.levels = 5,
	}, {
		.name = "npt-me",
		.init = pgt_format_npt,
		.host = { HOST_LONG, .ad = true, .me_value = BIT_ULL(47),
			  .me_mask = BIT_ULL(47),
			  .nonpresent = BIT_ULL(63) },
		.mode = { MODE_LONG, .format = CPU_LONG, .levels = 4,
			  .me_mask = BIT_ULL(47) },
		.levels = 4,
	}, {
		.name = "pae",
		.init = pgt_format_pae,
		.host = { HOST_LONG, .ad = true },
		.mode = { MODE_LONG, .format = CPU_PAE, .levels = 3 },
		.levels = 3,
	}, {
		.name = "pae-noad",
		.init = pgt_format_pae,
		.host = { HOST_LONG },
		.mode = { MODE_LONG, .format = CPU_PAE, .levels = 3 },
		.levels = 3,
	},
};

const unsigned int vm_nr_configs = ARRAY_SIZE(vm_configs);

static struct vm *mmu_to_vm(struct pgt_mmu *mmu)
{
	/* No CPU walks a mirror: it never asks. */
	HOST_CHECK(mmu == &vm.mmu);
	return container_of(mmu, struct vm, mmu);
}

/*
 * What the engine asks for.
 */

void pgt_env_flush(struct pgt_mmu *mmu, u64 start, u64 end)
{
	struct vm *v = mmu_to_vm(mmu);

	v->flushes++;
	v->flush_start = start;
	v->flush_end = end;
	for (unsigned int i = 0; i < v->nr_cpus; i++) {
		/* One CPU after the other, as interrupts reach them. */
		cpu_flush_range(&v->vcpu[i].cpu, start, end);
	}
}

void pgt_env_obsolete(struct pgt_mmu *mmu)
{
	struct vm *v = mmu_to_vm(mmu);

	v->obsoletes++;
	for (unsigned int i = 0; i < v->nr_cpus; i++) {
		WRITE_ONCE(v->vcpu[i].obsolete, true);
		cpu_unload(&v->vcpu[i].cpu);
	}
}

void pgt_env_log_dirty(struct pgt_root *root, u64 gfn)
{
	struct vm *v = mmu_to_vm(root->mmu);

	if (v->log_dirty)
		v->log_dirty(root, gfn);
	else
		WRITE_ONCE(v->frame[gfn].log, 1);
}

static int vm_max_level(u64 gfn);

int pgt_env_max_level(struct pgt_root *root, u64 gfn, u64 pfn)
{
	struct vm *v = mmu_to_vm(root->mmu);

	return v->max_level ? v->max_level(root, gfn, pfn) : vm_max_level(gfn);
}

void pgt_env_account_table(void *table, int nr)
{
	HOST_CHECK(mem_is_table(__pa(table) >> MEM_PAGE_SHIFT));
	vm.tables += nr;
}

void pgt_env_trace_change(u64 gfn, int level, u64 old, u64 new)
{
	vm.traced = (struct vm_trace){ vm.traced.nr + 1, gfn, level, old, new };
}

/*
 * I3.  A write must be in a dirty folio, and, while the log is on, in the log by
 * the time at which the page is copied for the last time.
 */

static u64 vm_folio(u64 pfn)
{
	return pgt_base(pfn, vm.folio_level);
}

static void vm_on_write(struct cpu *cpu, u64 gfn,
			const struct cpu_outcome *outcome)
{
	struct vm_frame *frame = &vm.frame[gfn];

	if (!data_is_dirty(vm_folio(outcome->pfn)))
		host_fail("I3", "cpu %d wrote to gfn %#llx, its folio is clean",
			  cpu->id, (unsigned long long)gfn);
	frame->unsaved = 1;
	if (vm.checked && !frame->log && !frame->fixing && !frame->harvesting)
		host_fail("I3", "cpu %d wrote to gfn %#llx, no log has it",
			  cpu->id, (unsigned long long)gfn);
}

static void vm_on_pml(struct cpu *cpu, u64 gfn)
{
	if (vm.log_on)
		vm.frame[gfn].log = 1;
}

void vm_check_log(void)
{
	if (!vm.checked)
		return;
	for (u64 gfn = 0; gfn < vm.nr_gfns; gfn++)
		if (vm.frame[gfn].unsaved && !vm.frame[gfn].log)
			host_fail("I3", "gfn %#llx was written, no log has it",
				  (unsigned long long)gfn);
}

/*
 * Life of a VM.
 */

void vm_create(const struct vm_config *config, unsigned int nr_cpus,
	       u64 nr_gfns, int folio_level)
{
	struct pgt_counters counters;

	vm.config = config;
	vm.nr_cpus = nr_cpus;
	vm.nr_gfns = nr_gfns;
	vm.folio_level = min(folio_level, config->mode.format == CPU_PAE ?
					  2 : 3);
	vm.access = PGT_R | PGT_W | PGT_X | PGT_UX | PGT_U;
	vm.role = 0;
	vm.prefetch_on_map = false;
	vm.log_on = false;
	vm.checked = false;
	vm.pml = false;
	vm.nx_huge = false;
	vm.seq = 0;
	vm.invalidating = 0;
	vm.faulting = 0;
	vm.tables = 0;
	vm.flushes = 0;
	vm.obsoletes = 0;
	vm.traced = (struct vm_trace){ };
	vm.log_dirty = NULL;
	vm.max_level = NULL;
	vm.frame = vm_frames;
	memset(vm_frames, 0, nr_gfns * sizeof(*vm_frames));
	memset(vm_mixed, 0, sizeof(vm_mixed));

	rwlock_init(&vm.lock);
	HOST_EQ(config->init(&vm.fmt, &config->host), 0);
	counters = host_counters(&vm.counters);
	pgt_mmu_init(&vm.mmu, &vm.lock, ~0ULL, vm.fmt.nonpresent, &counters);
	for (unsigned int i = 0; i < nr_cpus; i++) {
		struct vcpu *vcpu = &vm.vcpu[i];

		vcpu->vm = &vm;
		vcpu->root = NULL;
		vcpu->obsolete = false;
		cpu_init(&vcpu->cpu, &config->mode);
		vcpu->cpu.id = i;
		vcpu->cpu.owner = vcpu;
		vcpu->cpu.on_write = vm_on_write;
		vcpu->cpu.on_pml = vm_on_pml;
		pgt_cache_init(&vcpu->cache, &vm.mmu);
	}
}

void vm_validate(void)
{
	struct pgt_verdict verdict;

	if (!pgt_validate(&vm.mmu, &verdict))
		host_fail("validator",
			  "%s: gfn %#llx, entry %#llx at level %d",
			  verdict.what, (unsigned long long)verdict.gfn,
			  (unsigned long long)verdict.entry, verdict.level);
	if (vm.tables != atomic_long_read(vm.mmu.counters.tables))
		host_fail("account", "%ld tables accounted, %ld counted",
			  vm.tables, atomic_long_read(vm.mmu.counters.tables));
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		cpu_check(&vm.vcpu[i].cpu);
}

void vm_unload(struct vcpu *vcpu)
{
	cpu_unload(&vcpu->cpu);
	if (vcpu->root)
		pgt_root_put(vcpu->root);
	vcpu->root = NULL;
}

void vm_destroy(void)
{
	vm_check_log();
	for (unsigned int i = 0; i < vm.nr_cpus; i++) {
		vm_unload(&vm.vcpu[i]);
		pgt_cache_drain(&vm.vcpu[i].cache);
	}
	pgt_mmu_destroy(&vm.mmu);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		if (atomic_long_read(vm.mmu.counters.leaves[level]))
			host_fail("account", "%ld leaves at level %d are left",
				  atomic_long_read(vm.mmu.counters.leaves[level]),
				  level);
	if (atomic_long_read(vm.mmu.counters.tables) || vm.tables)
		host_fail("account", "%ld tables are left, %ld accounted",
			  atomic_long_read(vm.mmu.counters.tables), vm.tables);
	if (!list_empty(&vm.mmu.roots))
		host_fail("leak", "a root is left");
	if (mem_tables_in_use())
		host_fail("leak", "%llu tables are left",
			  (unsigned long long)mem_tables_in_use());
}

/* The largest mapping that the host's folios allow. */
static int vm_max_level(u64 gfn)
{
	u64 base = pgt_base(gfn, 3) / 512;

	if (vm.folio_level == 1 || READ_ONCE(vm_mixed[gfn / 512]))
		return 1;
	if (vm.folio_level == 2)
		return 2;
	for (u64 i = base; i < base + 512 && i < ARRAY_SIZE(vm_mixed); i++)
		if (vm_mixed[i])
			return 2;
	return 3;
}

/* Pages of [start, end) were exchanged: what is one folio now? */
static void vm_mix(u64 start, u64 end)
{
	for (u64 gfn = pgt_base(start, 2); gfn < end; gfn += 512)
		WRITE_ONCE(vm_mixed[gfn / 512],
			   gfn < start || gfn + 512 > end ||
			   (vm.folio_level > 2 && end - start < 0x40000));
}

u64 vm_pfn(u64 gfn)
{
	return DATA_PFN_BASE + vm.frame[gfn].stride * VM_STRIDE + gfn;
}

/*
 * Faults.
 */

static void vm_refill(struct vcpu *vcpu)
{
	/* Enough for any path, and for one split on it. */
	if (pgt_cache_fill(&vcpu->cache, vm.config->levels + 1, true))
		host_fail("assert", "out of memory in a fault");
}

void vm_load(struct vcpu *vcpu)
{
	struct pgt_root *root;

	if (vcpu->root && !READ_ONCE(vcpu->obsolete))
		return;
	if (vcpu->root)
		vm_unload(vcpu);
	vm_refill(vcpu);
	/*
	 * The request is cleared under the lock: who invalidates holds it for
	 * writing, so either we get a root that is valid still and lose it by
	 * another request, or one made after.
	 */
	read_lock(&vm.lock);
	WRITE_ONCE(vcpu->obsolete, false);
	root = pgt_root_get(&vm.mmu, &vm.fmt, vm.config->levels, 0, vm.role,
			    &vcpu->cache);
	HOST_CHECK(!IS_ERR(root));
	vcpu->root = root;
	cpu_load_root(&vcpu->cpu, __pa(root->table));
	read_unlock(&vm.lock);
}

static u8 vm_want(enum cpu_access access)
{
	static const u8 want[] = {
		[CPU_READ] = PGT_R,
		[CPU_WRITE] = PGT_W,
		[CPU_EXEC] = PGT_X,
		[CPU_USER_EXEC] = PGT_UX,
	};

	if (vm.config->mode.format != CPU_EPT)
		return access == CPU_USER_EXEC ? PGT_X | PGT_U :
						 want[access] | PGT_U;
	if (access == CPU_USER_EXEC && !vm.config->mode.mbec)
		return PGT_X;
	return want[access];
}

static bool vm_is_stale(unsigned long seq, u64 gfn)
{
	if (READ_ONCE(vm.invalidating) && gfn >= vm.invalid_start &&
	    gfn < vm.invalid_end)
		return true;
	return READ_ONCE(vm.seq) != seq;
}

int vm_map(struct vcpu *vcpu, u64 gfn, int level, u8 access, u8 want)
{
	struct pgt_map map = {
		.gfn = gfn,
		.want = want,
		.nx_huge = vm.nx_huge,
		.memtype = vm.config->mode.format == CPU_EPT ? 6 : 0,
	};
	struct vm_frame *frame = &vm.frame[gfn];
	struct pgt_batch batch;
	unsigned long seq;
	int ret;

	vm_refill(vcpu);
	vm.faulting++;
	seq = READ_ONCE(vm.seq);
	if (READ_ONCE(frame->absent)) {
		ret = -EFAULT;
		goto out;
	}
	map.level = min(level, vm_max_level(gfn));
	map.req_level = map.level;
	map.pfn = DATA_PFN_BASE + READ_ONCE(frame->stride) * VM_STRIDE + gfn;
	map.host_writable = !READ_ONCE(frame->readonly);
	map.log = READ_ONCE(vm.log_on);
	if (map.log)
		map.level = 1;
	if (vm.nx_huge && want & (PGT_X | PGT_UX) && map.level > 1) {
		map.level = 1;
		map.nx_disallow = true;
	}
	map.access = access;
	/* With the log on only who writes may write. */
	if (!map.host_writable || (map.log && !(want & PGT_W)))
		map.access &= ~PGT_W;
	if (want & ~map.access) {
		ret = -EFAULT;
		goto out;
	}
	if (map.host_writable && access & PGT_W) {
		map.mmu_writable = true;
		data_set_dirty(vm_folio(map.pfn));
	}

	read_lock(&vm.lock);
	if (vm_is_stale(seq, gfn)) {
		ret = -EAGAIN;
	} else {
		pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
		ret = pgt_map(&batch, vcpu->root, &map, &vcpu->cache);
		pgt_batch_end(&batch);
	}
	read_unlock(&vm.lock);
	if (ret < 0 && ret != -EAGAIN)
		host_fail("assert", "pgt_map() of gfn %#llx returns %d",
			  (unsigned long long)gfn, ret);
	if (vm.prefetch_on_map)
		cpu_prefetch(&vcpu->cpu, gfn);
out:
	vm.faulting--;
	return ret;
}

int vm_fault(struct vcpu *vcpu, u64 gfn, enum cpu_access access)
{
	u8 want = vm_want(access);
	bool log;
	int ret;

	if (gfn >= vm.nr_gfns)
		return -EFAULT;
	vm.faulting++;
	log = READ_ONCE(vm.log_on);
	rcu_read_lock();
	vm.frame[gfn].fixing++;
	ret = pgt_fix(vcpu->root, gfn, want, log);
	vm.frame[gfn].fixing--;
	rcu_read_unlock();
	if (ret == -ENOENT || ret == -EACCES)
		ret = vm_map(vcpu, gfn, 3, vm.access, want);
	vm.faulting--;
	return ret;
}

bool vm_access(struct vcpu *vcpu, u64 gfn, enum cpu_access access)
{
	struct cpu_outcome outcome;
	int ret;

	for (int tries = 0; tries < 40; tries++) {
		vm_load(vcpu);
		switch (cpu_access(&vcpu->cpu, gfn, access, &outcome)) {
		case CPU_OK:
			return true;
		case CPU_NO_ROOT:
		case CPU_STOPPED:
			continue;
		case CPU_VIOLATION:
			if (READ_ONCE(vcpu->obsolete))
				continue;
			ret = vm_fault(vcpu, gfn, access);
			if (ret == -EFAULT)
				return false;
			if (ret == -EAGAIN)
				cpu_relax();
			continue;
		case CPU_MISCONFIG:
		case CPU_VE:
			/* MMIO once; memory now, if there is any. */
			if (pgt_is_mmio(&vm.fmt, outcome.entry) &&
			    vm_fault(vcpu, gfn, access) != -EFAULT)
				continue;
			host_fail("cpu", "gfn %#llx: entry %#llx, level %d, is malformed",
				  (unsigned long long)gfn,
				  (unsigned long long)outcome.entry,
				  outcome.level);
		}
	}
	host_fail("livelock", "gfn %#llx still faults", (unsigned long long)gfn);
}

bool vm_read(unsigned int cpu, u64 gfn)
{
	return vm_access(&vm.vcpu[cpu], gfn, CPU_READ);
}

bool vm_write(unsigned int cpu, u64 gfn)
{
	return vm_access(&vm.vcpu[cpu], gfn, CPU_WRITE);
}

/*
 * The host.
 */

static void vm_lock(enum pgt_mode mode)
{
	if (mode == PGT_EXCLUSIVE)
		write_lock(&vm.lock);
	else
		read_lock(&vm.lock);
}

static void vm_unlock(enum pgt_mode mode)
{
	if (mode == PGT_EXCLUSIVE)
		write_unlock(&vm.lock);
	else
		read_unlock(&vm.lock);
}

/*
 * As an mmu_notifier: what comes between start and end is between the two holds
 * of the lock.  Pages are handed back when the first of them returns.
 */
void vm_unmap(u64 start, u64 end, int stride, bool may_yield, bool open)
{
	struct pgt_root *root;
	struct pgt_batch batch;
	struct pgt_open opened;

	write_lock(&vm.lock);
	if (vm.invalidating) {
		vm.invalid_start = min(vm.invalid_start, start);
		vm.invalid_end = max(vm.invalid_end, end);
	} else {
		vm.invalid_start = start;
		vm.invalid_end = end;
	}
	WRITE_ONCE(vm.invalidating, vm.invalidating + 1);
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, may_yield);
	if (open)
		pgt_batch_open(&batch, &opened, start, end);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range range = { start, end };

		pgt_zap_leaves(&batch, root, &range);
	}
	pgt_batch_end(&batch);
	write_unlock(&vm.lock);

	for (u64 gfn = start; gfn < end; gfn++) {
		struct vm_frame *frame = &vm.frame[gfn];

		if (!frame->absent)
			data_hand_back(vm_pfn(gfn), 1);
		if (stride != VM_ABSENT)
			WRITE_ONCE(frame->stride, stride);
		WRITE_ONCE(frame->absent, stride == VM_ABSENT);
	}
	vm_mix(start, end);
	for (unsigned int i = 0; i < vm.nr_cpus; i++)
		cpu_check(&vm.vcpu[i].cpu);

	write_lock(&vm.lock);
	WRITE_ONCE(vm.seq, vm.seq + 1);
	WRITE_ONCE(vm.invalidating, vm.invalidating - 1);
	write_unlock(&vm.lock);
}

void vm_age(u64 start, u64 end)
{
	struct pgt_range range = { start, end };

	pgt_age_roots(&vm.mmu, PGT_ANY_SPACE, &range, false);
}

void vm_wrprot(u64 start, u64 end, bool track, enum pgt_mode mode)
{
	struct pgt_root *root;
	struct pgt_batch batch;
	bool flush;

	vm_lock(mode);
	pgt_batch_begin(&batch, &vm.mmu, mode, true);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range range = { start, end };

		if (vm.pml && vm.fmt.dirty && !track)
			pgt_clear_dirty(&batch, root, &range);
		else
			pgt_wrprot(&batch, root, &range, 1, track);
	}
	if (track) {
		pgt_batch_end(&batch);
		vm_unlock(mode);
		return;
	}
	/* Dirty logging flushes after it has dropped the lock. */
	flush = pgt_batch_defer(&batch);
	vm_unlock(mode);
	if (flush)
		pgt_env_flush(&vm.mmu, start, end);
}

void vm_log_start(u64 start, u64 end)
{
	WRITE_ONCE(vm.log_on, true);
	/* synchronize_srcu(): no fault goes on that does not know. */
	while (READ_ONCE(vm.faulting))
		cpu_relax();
	vm_wrprot(start, end, false, PGT_SHARED);
	/* From here on every page was copied once, and counts. */
	for (u64 gfn = start; gfn < end; gfn++)
		if (!vm.frame[gfn].log)
			vm.frame[gfn].unsaved = 0;
	vm.checked = true;
}

void vm_log_stop(void)
{
	vm.checked = false;
	WRITE_ONCE(vm.log_on, false);
	for (u64 gfn = 0; gfn < vm.nr_gfns; gfn++)
		vm.frame[gfn].log = 0;
}

void vm_harvest(u64 gfn, u64 mask)
{
	struct pgt_root *root;
	struct pgt_batch batch;
	u64 taken = 0;
	bool flush;

	write_lock(&vm.lock);
	for (int i = 0; i < 64 && gfn + i < vm.nr_gfns; i++) {
		struct vm_frame *frame = &vm.frame[gfn + i];

		if (!(mask & BIT_ULL(i)) || !READ_ONCE(frame->log))
			continue;
		taken |= BIT_ULL(i);
		frame->harvesting++;
		WRITE_ONCE(frame->log, 0);
	}
	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS)
		pgt_clear_dirty_mask(&batch, root, gfn, taken, !vm.pml);
	flush = pgt_batch_defer(&batch);
	write_unlock(&vm.lock);
	if (flush)
		pgt_env_flush(&vm.mmu, gfn, gfn + 64);

	for (int i = 0; i < 64; i++) {
		if (!(taken & BIT_ULL(i)))
			continue;
		vm.frame[gfn + i].harvesting--;
		vm.frame[gfn + i].unsaved = 0;
	}
}

int vm_split(u64 start, u64 end, int level, enum pgt_mode mode)
{
	struct pgt_cache cache;
	struct pgt_root *root;
	struct pgt_batch batch;

	pgt_cache_init(&cache, &vm.mmu);
	vm_lock(mode);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range range = { start, end };
		int ret;

		do {
			pgt_batch_begin(&batch, &vm.mmu, mode, true);
			ret = pgt_split(&batch, root, &range, level,
					vm.nx_huge ? vm.access &
						     (PGT_X | PGT_UX) : 0,
					&cache);
			pgt_batch_end(&batch);
			if (!ret)
				break;
			vm_unlock(mode);
			ret = pgt_cache_fill(&cache, 1, false);
			vm_lock(mode);
		} while (!ret);
		if (ret) {
			pgt_root_put(root);
			vm_unlock(mode);
			return ret;
		}
	}
	vm_unlock(mode);
	pgt_cache_drain(&cache);
	return 0;
}

void vm_collapse(u64 start, u64 end, enum pgt_mode mode)
{
	struct pgt_root *root;
	struct pgt_batch batch;

	vm_lock(mode);
	pgt_batch_begin(&batch, &vm.mmu, mode, true);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range range = { start, end };

		pgt_collapse(&batch, root, &range, vm.nx_huge);
	}
	pgt_batch_end(&batch);
	vm_unlock(mode);
}

void vm_zap_all_fast(enum pgt_mode mode)
{
	write_lock(&vm.lock);
	pgt_roots_invalidate(&vm.mmu, PGT_ANY_SPACE);
	if (mode == PGT_EXCLUSIVE) {
		pgt_roots_empty(&vm.mmu, mode, true);
		write_unlock(&vm.lock);
		return;
	}
	write_unlock(&vm.lock);
	read_lock(&vm.lock);
	pgt_roots_empty(&vm.mmu, mode, true);
	read_unlock(&vm.lock);
}

unsigned int vm_zap_nx(enum pgt_mode mode)
{
	struct pgt_root *root;
	struct pgt_batch batch;
	unsigned int nr = 0;

	vm_lock(mode);
	pgt_batch_begin(&batch, &vm.mmu, mode, true);
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range range = { 0, vm.nr_gfns };

		while (pgt_zap_nx_table(&batch, root, &range))
			nr++;
	}
	pgt_batch_end(&batch);
	vm_unlock(mode);
	return nr;
}
