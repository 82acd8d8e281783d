// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror against a reference model: random operations, all that there is
 * compared after each.
 *
 * The model knows of each private page the size of the leaf that maps it, and
 * whether it was accepted.  It knows nothing of tables: that these agree with
 * the provider's and are counted right is pvm_check()'s.
 *
 * A zap that yields has other operations run in the gap: other zaps, which may
 * overlap, and what the guest and the host do elsewhere.  What the first one
 * leaves in its range on the way is not known to the model; in the end it is
 * nothing.
 */
#include <string.h>
#include <time.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>

#include "pgt/walk.h"
#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

#define MODEL_GFNS	VM_MAX_GFNS
#define MODEL_1G	0x40000ULL
#define MODEL_CPUS	2
#define MODEL_SHARED	64
#ifdef HOST_SLOW
#define MODEL_SEQUENCES	12
#else
#define MODEL_SEQUENCES	200
#endif
#define MODEL_OPS	120

static struct {
	u8 level[MODEL_GFNS];		/* of the leaf, 0: none */
	bool accepted[MODEL_GFNS];
	bool shared[MODEL_SHARED];
	u64 pages;
	/* The range of a zap in whose gap we are. */
	bool in_gap;
	struct pgt_range gap;
	unsigned int gaps;
} model;

static u64 random_state;

static u64 draw(u64 n)
{
	u64 x = random_state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return (x ^ (x >> 31)) % n;
}

/* Mostly from a few tables, at both ends of one of 1 GiB. */
static u64 draw_gfn(void)
{
	switch (draw(8)) {
	case 0:
		return draw(MODEL_GFNS);
	case 1:
	case 2:
		return MODEL_1G - 512 + draw(1024);
	case 3:
		return draw(4) * 512 + draw(2) * 511;
	default:
		return draw(3 * 512);
	}
}

static bool in_gap(u64 start, u64 end)
{
	return model.in_gap && start < model.gap.end && end > model.gap.start;
}

/* Whether calls may be busy, or a link may be blocked by who is in the gap. */
static bool is_fuzzy(void)
{
	return model.in_gap || pvm.soft.busy_every;
}

static void model_set(u64 start, int level, bool accepted)
{
	for (u64 gfn = start; gfn < start + pgt_pages(level); gfn++) {
		HOST_EQ(model.level[gfn], 0);
		model.level[gfn] = level;
		model.accepted[gfn] = accepted;
	}
	model.pages += pgt_pages(level);
}

/* The leaf over a gfn is one of a smaller size from now on. */
static void model_split(u64 gfn, int level)
{
	int was = gfn < MODEL_GFNS ? model.level[gfn] : 0;
	u64 start = pgt_base(gfn, was ?: 1);

	for (; was > level; was--) {
		start = pgt_base(gfn, was);
		for (u64 i = start; i < start + pgt_pages(was); i++)
			model.level[i] = was - 1;
	}
}

static int lookup(u64 gfn, u64 *pfn)
{
	int level;

	rcu_read_lock();
	level = mirror_lookup(&pvm.mirror, gfn, pfn);
	rcu_read_unlock();
	return level;
}

static void model_compare(void)
{
	struct pgt_range range = { 0, MODEL_GFNS };
	struct pgt_walk w;
	u64 pages = 0;

	if (model.in_gap)
		return;
	pvm_check();
	rcu_read_lock();
	pgt_for_each(&w, pvm.mirror.root, &range, 1) {
		enum softsept_state state;
		u64 gfn = w.pos.gfn;
		int level = 1;

		if (!pgt_is_leaf(w.pos.old, w.pos.level))
			continue;
		pages += pgt_pages(w.pos.level);
		if (model.level[gfn] != w.pos.level)
			host_fail("model",
				  "gfn %#llx: a leaf of level %d, and %d in the model",
				  (unsigned long long)gfn, w.pos.level,
				  model.level[gfn]);
		HOST_EQ(pgt_leaf_pfn(&pvm.mirror.fmt, w.pos.old, w.pos.level),
			pvm_pfn(gfn));
		state = softsept_state(&pvm.soft, gfn, &level);
		HOST_EQ(level, w.pos.level);
		HOST_EQ(state, model.accepted[gfn] ? SOFTSEPT_MAPPED :
						     SOFTSEPT_PENDING);
	}
	rcu_read_unlock();
	HOST_EQ(pages, model.pages);
}

/*
 * Operations.
 */

/* What came of a fault that mapped something: which of the neighbours too. */
static void model_mapped(u64 gfn, int level, unsigned int around, int ret)
{
	u64 pfn, pages, start, end;
	int got = lookup(gfn, &pfn);
	int found = 0;

	HOST_CHECK(got && got <= level);
	/* Where a table was the leaf is smaller, and alone. */
	if (got < level)
		around = 1;
	pages = pgt_pages(got);
	start = gfn & ~(around * pages - 1);
	end = start + around * pages;
	for (; start < end && start < MODEL_GFNS; start += pages) {
		bool was = model.level[start];
		int is = lookup(start, &pfn);

		if (!was && is) {
			HOST_EQ(is, got);
			HOST_CHECK(pvm_is_folio(start, got));
			HOST_CHECK(!in_gap(start, start + pages));
			model_set(start, got, pvm.soft.auto_accept);
			found++;
		} else if (!is && got == 1 && !is_fuzzy()) {
			host_fail("model", "gfn %#llx was left out",
				  (unsigned long long)start);
		}
	}
	HOST_EQ(found, ret);
}

static void op_map(void)
{
	u64 gfn = draw_gfn();
	int level = draw(3) ? 1 : 2;
	int max_level = max_t(int, level, 1 + draw(3));
	unsigned int around = draw(2) ? 1 : draw(2) ? 8 : 512;
	int was = model.level[gfn];
	int ret;

	if (level == 2 && !pvm_is_folio(gfn, 2))
		level = 1;
	if (in_gap(pgt_base(gfn, 3), pgt_base(gfn, 3) + MODEL_1G) &&
	    was > max_level)
		return;
	ret = pvm_map(draw(MODEL_CPUS), gfn, level, max_level, around);
	if (ret == -EAGAIN) {
		HOST_CHECK(is_fuzzy());
		return;
	}
	if (in_gap(pgt_base(gfn, level), pgt_base(gfn, level) +
					 pgt_pages(level)))
		host_fail("model", "gfn %#llx was mapped during a zap",
			  (unsigned long long)gfn);
	if (!was) {
		HOST_CHECK(ret > 0);
		model_mapped(gfn, level, around, ret);
		return;
	}
	HOST_EQ(ret, 0);
	if (was > max_level)
		model_split(gfn, max_level);
}

static void op_accept(void)
{
	int level = 1 + draw(2);
	u64 gfn = pgt_base(draw_gfn(), level);
	int was = model.level[gfn];
	enum softsept_error error, want = SOFTSEPT_EXIT;

	if (in_gap(gfn, gfn + pgt_pages(level)))
		return;
	error = pvm_accept(gfn, level);
	if (was == level)
		want = model.accepted[gfn] ? SOFTSEPT_ACCEPTED : SOFTSEPT_OK;
	else if (was > level)
		want = model.accepted[gfn] ? SOFTSEPT_ACCEPTED : SOFTSEPT_EXIT;
	else if (was)
		want = SOFTSEPT_SIZE;
	else if (error == SOFTSEPT_SIZE)
		/* A table, in which that entry is empty. */
		want = level == 2 ? SOFTSEPT_SIZE : SOFTSEPT_EXIT;
	/* Its table may be blocked, as it is empty. */
	if (model.in_gap && !was)
		return;
	HOST_EQ(error, want);
	if (error == SOFTSEPT_OK)
		for (u64 i = gfn; i < gfn + pgt_pages(level); i++)
			model.accepted[i] = true;
}

/* Some of a table, so that it may become a leaf. */
static void op_accept_all(void)
{
	u64 start = pgt_base(draw_gfn(), 2);
	u64 end = start + (draw(4) ? 512 : draw(512));

	if (in_gap(start, end))
		return;
	for (u64 gfn = start; gfn < end; gfn++)
		if (model.level[gfn] == 1 && !model.accepted[gfn]) {
			HOST_EQ(pvm_accept(gfn, 1), SOFTSEPT_OK);
			model.accepted[gfn] = true;
		}
}

static void op_access(void)
{
	unsigned int cpu = draw(MODEL_CPUS);
	u64 gfn = draw_gfn();
	enum cpu_result result;
	bool good = model.level[gfn] && model.accepted[gfn];

	/* A CPU has no room for more. */
	if (vm.vcpu[cpu].cpu.nr_tlb > 150 || vm.vcpu[cpu].cpu.nr_psc > 150) {
		pvm_exit(cpu);
		cpu_flush_all(&vm.vcpu[cpu].cpu);
	}
	result = pvm_try(cpu, gfn, draw(2) ? CPU_READ : CPU_WRITE);
	if (result != CPU_OK)
		pvm_exit(cpu);
	if (in_gap(gfn, gfn + 1))
		return;
	HOST_EQ(result, good ? CPU_OK : CPU_VIOLATION);
}

static void op_prefetch(void)
{
	unsigned int cpu = draw(MODEL_CPUS);

	if (vm.vcpu[cpu].cpu.nr_psc < 150 && vm.vcpu[cpu].cpu.nr_tlb < 150 &&
	    pvm_enter(cpu))
		cpu_prefetch(&vm.vcpu[cpu].cpu, draw_gfn());
}

static void op_come_and_go(void)
{
	unsigned int cpu = draw(MODEL_CPUS);

	pvm_exit(cpu);
	if (draw(2))
		HOST_CHECK(pvm_enter(cpu));
}

static void op_shared(void)
{
	u64 index = draw(MODEL_SHARED);
	unsigned int cpu = draw(MODEL_CPUS);

	if (!draw(4)) {
		u64 end = draw(2) ? index + 1 : MODEL_SHARED;

		if (draw(3)) {
			pvm_zap_shared(pvm_shared(index), pvm_shared(end),
				       draw(2));
			memset(model.shared + index, 0, end - index);
		} else {
			/* All that there is: not what is the provider's. */
			pvm_zap_shared(0, ~0ULL, draw(2));
			memset(model.shared, 0, MODEL_SHARED);
		}
		return;
	}
	if (draw(2)) {
		HOST_CHECK(pvm_access(cpu, pvm_shared(index), CPU_WRITE));
		model.shared[index] = true;
		return;
	}
	HOST_EQ(pvm_try(cpu, pvm_shared(index), CPU_READ),
		model.shared[index] ? CPU_OK : CPU_VIOLATION);
}

static void model_op(void);

/* Others have the lock. */
static void model_gap(void)
{
	bool resched = sim_need_resched;

	pvm.windows = 0;
	if (model.in_gap || !model.gaps || draw(8))
		return;
	model.gaps--;
	/* What the zap has left blocked is as whoever comes next expects it. */
	pvm_validate();
	model.in_gap = true;
	sim_need_resched = false;
	model_op();
	sim_need_resched = resched;
	model.in_gap = false;
}

/* A leaf that reaches beyond an end of a range. */
static bool is_cut(u64 gfn, int level)
{
	return gfn < MODEL_GFNS && model.level[gfn] == level &&
	       pgt_base(gfn, level) != gfn;
}

/* Split what an end of a range is in; the epochs that takes. */
static long model_cut(u64 start, u64 end)
{
	long epochs = 0;

	for (int level = 3; level > 1; level--) {
		bool cut = is_cut(start, level) || is_cut(end, level);

		if (is_cut(start, level))
			model_split(start, level - 1);
		if (is_cut(end, level))
			model_split(end, level - 1);
		epochs += cut;
	}
	return epochs;
}

static long model_zap(u64 start, u64 end)
{
	long epochs = model_cut(start, end);

	for (u64 next = start; start < end; start++) {
		if (!model.level[start])
			continue;
		/* A batch begins where something is; a leaf goes whole. */
		if (start >= next) {
			next = start + MODEL_1G;
			if (next < end && model.level[next])
				next = pgt_base(next + pgt_pages(model.level[next]) - 1,
						model.level[next]);
			epochs++;
		}
		model.pages--;
		model.level[start] = 0;
		model.accepted[start] = false;
	}
	return epochs;
}

static void op_zap(void)
{
	bool tables = !draw(4), yields = draw(2) && !model.in_gap;
	u64 start = draw_gfn(), end;
	struct pvm_cost cost;
	long epochs, most;

	switch (draw(4)) {
	case 0:
		end = start + 1;
		break;
	case 1:
		start = pgt_base(start, 2);
		end = start + 512;
		break;
	case 2:
		end = start + draw(1500);
		break;
	default:
		end = MODEL_GFNS;
		break;
	}
	end = min(end, MODEL_GFNS);
	if (model.in_gap) {
		if (tables)
			pvm_convert_tables(start, end, false);
		else
			pvm_convert(start, end, false);
		model_zap(start, end);
		return;
	}

	pvm_cost_begin();
	model.gap = (struct pgt_range){ start, end };
	model.gaps = 3;
	sim_need_resched = yields;
	if (yields)
		model_cut(start, end);
	if (tables)
		pvm_convert_tables(start, end, yields);
	else
		pvm_convert(start, end, yields);
	sim_need_resched = false;
	epochs = model_zap(start, end);
	if (yields)
		return;
	cost = pvm_cost();
	HOST_EQ(cost.kicks, cost.calls[MIRROR_TRACK]);
	most = epochs + (tables ? pvm.mirror.root->levels - 1 : 0);
	if (cost.calls[MIRROR_TRACK] < epochs ||
	    cost.calls[MIRROR_TRACK] > most)
		host_fail("model", "%ld epochs, and %ld to %ld are needed",
			  cost.calls[MIRROR_TRACK], epochs, most);
}

static void op_split(void)
{
	u64 gfn = draw_gfn();
	int level = 1 + draw(2);

	if (in_gap(pgt_base(gfn, 3), pgt_base(gfn, 3) + MODEL_1G))
		return;
	HOST_EQ(pvm_split(gfn, level), 0);
	model_split(gfn, level);
}

/* Whether a table of leaves could be one. */
static bool is_uniform(u64 start, int level)
{
	if (!pvm_is_folio(start, level + 1))
		return false;
	for (u64 gfn = start; gfn < start + pgt_pages(level + 1); gfn++)
		if (model.level[gfn] != level ||
		    model.accepted[gfn] != model.accepted[start])
			return false;
	return true;
}

static void op_promote(void)
{
	u64 start = draw(2) ? 0 : draw_gfn();
	u64 end = min(draw(2) ? MODEL_GFNS : start + draw(2000), MODEL_GFNS);
	unsigned int want = 0;

	if (model.in_gap)
		return;
	for (int level = 1; level <= 2; level++) {
		u64 pages = pgt_pages(level + 1);
		u64 at = pgt_base(start + pages - 1, level + 1);

		for (; at + pages <= end; at += pages) {
			if (!is_uniform(at, level))
				continue;
			for (u64 gfn = at; gfn < at + pages; gfn++)
				model.level[gfn] = level + 1;
			want++;
		}
	}
	/* The lock is dropped now and then, and nobody comes. */
	model.gaps = 0;
	sim_need_resched = draw(2);
	HOST_EQ(pvm_promote(start, end, sim_need_resched), want);
	sim_need_resched = false;
}

/* Large leaves all over 1 GiB, where nothing is. */
static void op_fill(void)
{
	bool accepted = draw(2);

	if (model.in_gap || draw(12))
		return;
	for (u64 gfn = 0; gfn < MODEL_1G; gfn += 512) {
		u64 pfn;

		if (model.level[gfn] || !pvm_is_folio(gfn, 2) ||
		    pvm_map(0, gfn, 2, 2, 1) != 1)
			continue;
		if (lookup(gfn, &pfn) != 2) {
			model_set(gfn, 1, pvm.soft.auto_accept);
			continue;
		}
		model_set(gfn, 2, pvm.soft.auto_accept);
		if (accepted && !pvm.soft.auto_accept)
			HOST_EQ(pvm_accept(gfn, 2), SOFTSEPT_OK);
		for (u64 i = gfn; i < gfn + 512; i++)
			model.accepted[i] |= accepted;
	}
}

static void op_inject(void)
{
	static const unsigned int every[] = { 0, 0, 0, 2, 3, 7 };

	if (model.in_gap)
		return;
	pvm.soft.busy_every = every[draw(ARRAY_SIZE(every))];
	pvm.soft.interrupt_every = every[draw(ARRAY_SIZE(every))];
}

static void (* const model_ops[])(void) = {
	op_map, op_map, op_map, op_map, op_accept, op_accept, op_accept_all,
	op_access, op_access, op_access, op_prefetch, op_come_and_go,
	op_shared, op_zap, op_zap, op_split, op_promote, op_fill, op_inject,
};

static void model_op(void)
{
	model_ops[draw(ARRAY_SIZE(model_ops))]();
}

static void model_sequence(const struct pvm_config *config, u64 seed)
{
	mem_reset();
	memset(&model, 0, sizeof(model));
	random_state = seed;
	pvm_create(config, MODEL_CPUS, MODEL_GFNS, 3,
		   draw(5) ? 0 : PVM_AUTO_ACCEPT);
	if (!draw(4))
		pvm.mirror.batch = MODEL_1G;
	sim_gap = model_gap;
	for (int i = 0; i < MODEL_OPS; i++) {
		model_op();
		model_compare();
	}
	pvm.soft.busy_every = 0;
	pvm_destroy();
}

static void model_test(const struct pvm_config *config)
{
	unsigned int seconds = host_seconds(0);
	time_t end = time(NULL) + seconds;
	u64 first = host_seed(), seeds = host_seed(), nr = 0;

	for (;;) {
		/* What a failure prints is host_run.seed. */
		model_sequence(config, host_run.seed);
		nr++;
		if (seconds ? time(NULL) >= end : nr == MODEL_SEQUENCES)
			break;
		seeds = seeds * 6364136223846793005ULL + 1442695040888963407ULL;
		host_run.seed = seeds >> 16;
	}
	host_run.seed = first;
	if (host_verbose() || seconds)
		host_note("%llu sequences", (unsigned long long)nr);
}

HOST_TEST(mirror_model, ept)
{
	model_test(PVM_EPT);
}

HOST_TEST(mirror_model, npt)
{
	model_test(PVM_NPT);
}

HOST_TEST(mirror_model, ept_l5)
{
	model_test(PVM_L5);
}
