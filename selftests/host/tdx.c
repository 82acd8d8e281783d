// SPDX-License-Identifier: GPL-2.0
/*
 * A TD in the world of the tests: its vCPUs, its life, and what the host does to
 * it.  The module is in tdx_module.c.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "mirror/softsept_internal.h"
#include "private.h"
#include "sim/mem.h"
#include "tdx.h"
#include "test.h"

struct tdx tdx;

/*
 * vCPUs.
 */

void tdx_enter(unsigned int cpu)
{
	struct tdx_vcpu *vcpu = &tdx.vcpu[cpu];
	bool flush;

	if (vcpu->v.inside)
		return;
	HOST_CHECK(!tdx.held);
	HOST_CHECK(softsept_enter(&tdx.soft, &vcpu->v, &flush));
	if (flush)
		cpu_flush_all(&vcpu->cpu);
}

void tdx_exit(unsigned int cpu)
{
	if (tdx.vcpu[cpu].v.inside)
		softsept_exit(&tdx.soft, &tdx.vcpu[cpu].v);
}

static void tdx_kick(struct mirror *mirror)
{
	HOST_CHECK(mirror == &tdx.mirror);
	for (unsigned int i = 0; i < TDX_CPUS; i++)
		tdx_exit(i);
}

enum cpu_result tdx_access(unsigned int cpu, u64 gfn)
{
	tdx_enter(cpu);
	/* A real one would forget something, too, when it is full. */
	if (tdx.vcpu[cpu].cpu.nr_tlb > CPU_TLB_ENTRIES / 2)
		cpu_flush_all(&tdx.vcpu[cpu].cpu);
	return cpu_access(&tdx.vcpu[cpu].cpu, gfn, CPU_READ, NULL);
}

static void tdx_hold(struct tdx_sept *sept)
{
	HOST_CHECK(sept == &tdx.sept && !tdx.held);
	tdx.held = true;
	tdx.soft.provider.ops->open_window(&tdx.soft.provider);
}

static void tdx_release(struct tdx_sept *sept)
{
	HOST_CHECK(sept == &tdx.sept && tdx.held);
	tdx.held = false;
	tdx.soft.provider.ops->close_window(&tdx.soft.provider);
}

/*
 * The TD as a whole.
 */

struct mirror_provider *tdx_provider(void)
{
	return tdx.direct ? &tdx.soft.provider : &tdx.sept.provider;
}

u64 tdx_pfn(u64 gfn)
{
	return DATA_PFN_BASE + gfn;
}

void tdx_forget_log(void)
{
	tdx.nr_log = 0;
	memset(tdx.calls, 0, sizeof(tdx.calls));
}

void tdx_create(const struct vm_config *config, bool direct)
{
	struct pgt_attr leaf = { .access = PGT_ALL_RIGHTS, .memtype = 6 };
	struct ptdesc *pt = pagetable_alloc(GFP_KERNEL_ACCOUNT, 0);
	struct pgt_counters counters;

	memset(&tdx, 0, sizeof(tdx));
	tdx_forget_pages();
	private_reset();
	private.kick = tdx_kick;
	counters = host_counters(&tdx.counters);
	tdx.direct = direct;
	tdx.fail = TDX_NR_LEAVES;
	rwlock_init(&tdx.lock);
	HOST_EQ(config->init(&tdx.fmt, &config->host), 0);

	/* The upper half of the root is what a shared GPA would select. */
	tdx.root = ptdesc_address(pt);
	memset64(tdx.root, tdx.fmt.nonpresent, PGT_ENTRIES);
	softsept_init(&tdx.soft, &tdx.fmt, &leaf, tdx.root, PGT_ENTRIES / 2,
		      config->levels);
	tdx.soft.provider.mirror = &tdx.mirror;
	for (unsigned int i = 0; i < TDX_CPUS; i++) {
		cpu_init(&tdx.vcpu[i].cpu, &config->mode);
		tdx.vcpu[i].cpu.id = i;
		cpu_load_root(&tdx.vcpu[i].cpu, __pa(tdx.root));
	}

	tdx.sept = (struct tdx_sept) {
		.td = &tdx.td,
		.hkid = TDX_HKID,
		.source = &tdx.source,
		.hold = tdx_hold,
		.release = tdx_release,
	};
	tdx_sept_init(&tdx.sept);
	HOST_EQ(mirror_init(&tdx.mirror, &tdx.lock, tdx_provider(),
			    config->levels,
			    pgt_pages(config->levels) * PGT_ENTRIES / 2,
			    &counters), 0);
	mirror_cache_init(&tdx.cache, &tdx.mirror);
}

void tdx_finalize(void)
{
	write_lock(&tdx.lock);
	softsept_finalize(&tdx.soft);
	if (!tdx.direct)
		tdx_sept_finalize(&tdx.sept);
	write_unlock(&tdx.lock);
}

void tdx_teardown(void)
{
	for (unsigned int i = 0; i < TDX_CPUS; i++) {
		tdx_exit(i);
		cpu_unload(&tdx.vcpu[i].cpu);
	}
	mirror_cache_drain(&tdx.cache);
	tdx.key_gone = true;
	mirror_destroy(&tdx.mirror);
	__pagetable_free(virt_to_ptdesc(tdx.root));
}

void tdx_destroy(void)
{
	tdx_teardown();
	HOST_EQ(private.leaks, 0);
	tdx_check_pages();
	HOST_EQ(atomic_long_read(&tdx.counters.tables), 0);
	HOST_EQ(mem_tables_in_use(), 0);
}

/*
 * What the host does.
 */

static void tdx_fill(void)
{
	HOST_EQ(mirror_cache_fill(&tdx.cache, 16), 0);
}

int tdx_map_range(u64 gfn, u64 start, unsigned int nr, int level)
{
	u64 pfns[PGT_ENTRIES];
	struct mirror_map map = {
		.gfn = gfn,
		.level = level,
		.start = start,
		.pfns = pfns,
		.nr = nr,
		.max_level = level,
	};
	int ret;

	HOST_CHECK(nr <= PGT_ENTRIES);
	for (unsigned int i = 0; i < nr; i++)
		pfns[i] = tdx_pfn(start + i * pgt_pages(level));
	do {
		tdx_fill();
		read_lock(&tdx.lock);
		ret = mirror_map(&tdx.mirror, &map, &tdx.cache);
		read_unlock(&tdx.lock);
	} while (ret == -EAGAIN);
	return ret;
}

int tdx_map(u64 gfn, int level)
{
	return tdx_map_range(gfn, pgt_base(gfn, level), 1, level);
}

void tdx_accept(u64 start, u64 end, int level)
{
	enum softsept_error error;

	for (u64 gfn = start; gfn < end; gfn += pgt_pages(level)) {
		rcu_read_lock();
		error = softsept_accept(&tdx.soft, gfn, level);
		rcu_read_unlock();
		HOST_CHECK(!error || error == SOFTSEPT_ACCEPTED);
	}
}

/* Pages that a range has in the module's tables. */
static bool tdx_is_mapped(u64 gfn)
{
	struct softsept_op op = tdx_find(gfn, 1);

	return softsept_state_of(op.old, op.level) >= SOFTSEPT_PENDING;
}

void tdx_zap(u64 start, u64 end, bool tables)
{
	static bool mapped[VM_MAX_GFNS];
	struct pgt_range range = { start, end };
	int ret;

	HOST_CHECK(end <= VM_MAX_GFNS);
	for (u64 gfn = start; gfn < end; gfn++)
		mapped[gfn] = tdx_is_mapped(gfn);
	tdx_fill();
	write_lock(&tdx.lock);
	ret = tables ? mirror_zap_tables(&tdx.mirror, &range, true, &tdx.cache) :
		       mirror_zap(&tdx.mirror, &range, true, &tdx.cache);
	write_unlock(&tdx.lock);
	HOST_EQ(ret, 0);
	for (u64 gfn = start; gfn < end; gfn++) {
		if (!mapped[gfn])
			continue;
		HOST_CHECK(tdx_page_is_clean(tdx_pfn(gfn)));
		data_hand_back(tdx_pfn(gfn), 1);
	}
	for (unsigned int i = 0; i < TDX_CPUS; i++) {
		tdx_enter(i);
		cpu_check(&tdx.vcpu[i].cpu);
	}
}

void tdx_split(u64 gfn, int level)
{
	tdx_fill();
	write_lock(&tdx.lock);
	HOST_EQ(mirror_split(&tdx.mirror, gfn, level, &tdx.cache), 0);
	write_unlock(&tdx.lock);
}

unsigned int tdx_promote(u64 start, u64 end)
{
	struct pgt_range range = { start, end };
	unsigned int nr;

	write_lock(&tdx.lock);
	nr = mirror_promote(&tdx.mirror, &range, true);
	write_unlock(&tdx.lock);
	return nr;
}

void tdx_compare(u64 start, u64 end)
{
	for (u64 gfn = start; gfn < end; gfn++) {
		struct softsept_op op = tdx_find(gfn, 1);
		enum softsept_state state = softsept_state_of(op.old, op.level);
		struct mirror_query query;
		u64 pfn = 0;
		int level;

		rcu_read_lock();
		level = mirror_lookup(&tdx.mirror, gfn, &pfn);
		rcu_read_unlock();
		HOST_EQ(level, state >= SOFTSEPT_PENDING ? op.level : 0);
		if (level) {
			HOST_EQ(pfn, tdx_pfn(gfn));
			HOST_EQ(softsept_pa(&tdx.soft, op.old, level) >>
				PAGE_SHIFT, tdx_pfn(pgt_base(gfn, level)));
		}
		/* Nothing is left blocked. */
		HOST_CHECK(state != SOFTSEPT_BLOCKED &&
			   state != SOFTSEPT_LINK_BLOCKED &&
			   state != SOFTSEPT_PENDING_BLOCKED);
		if (tdx.direct)
			continue;
		tdx.sept.provider.ops->query(&tdx.sept.provider, gfn, 1,
					     &query);
		HOST_EQ(query.level, op.level);
		HOST_EQ(query.leaf, level > 0);
		HOST_EQ(query.accepted, state == SOFTSEPT_MAPPED);
	}
}
