// SPDX-License-Identifier: GPL-2.0
/*
 * The TDX provider: the mirror above it, and below it a module that keeps the
 * rules.  The mirror is tested elsewhere; here it is whether what it asks for
 * arrives as the right SEAMCALLs, in an order that is legal, and whether all
 * memory that comes back can be used.
 */
#include <time.h>

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <asm/shared/tdx_errno.h>

#include "private.h"
#include "sim/explore.h"
#include "tdx.h"
#include "test.h"

#define TDX_EPT4	(&vm_configs[0])
#define TDX_EPT5	(&vm_configs[3])

#define CALLS(leaf)	(tdx.calls[TDX_##leaf])

/* A TD that runs, with both vCPUs in the guest. */
static void create(const struct vm_config *config)
{
	tdx_create(config, false);
	tdx_finalize();
	for (unsigned int i = 0; i < TDX_CPUS; i++)
		tdx_enter(i);
}

/* One leaf for every gfn of the range, accepted. */
static void populate(u64 start, u64 end, int level)
{
	for (u64 gfn = start; gfn < end; gfn += pgt_pages(level))
		HOST_EQ(tdx_map(gfn, level), 1);
	tdx_accept(start, end, level);
}

/* The guest may use the range, and both vCPUs have cached some of it by then. */
static void touch(u64 start, u64 end)
{
	u64 step = max((end - start) / 40, 1ULL);

	for (unsigned int i = 0; i < TDX_CPUS; i++) {
		for (u64 gfn = start; gfn < end; gfn += step)
			HOST_EQ(tdx_access(i, gfn), CPU_OK);
		HOST_EQ(tdx_access(i, end - 1), CPU_OK);
	}
}

/* The next calls in the log, from @at on, are @nr of @leaf. */
static unsigned int follow(unsigned int at, enum tdx_leaf leaf, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++, at++) {
		HOST_CHECK(at < tdx.nr_log);
		HOST_EQ(tdx.log[at].leaf, leaf);
		HOST_EQ(tdx.log[at].status, 0);
	}
	return at;
}

HOST_TEST(tdx, map_run)
{
	create(TDX_EPT4);
	HOST_EQ(tdx_map_range(700, 512, 512, 1), 512);
	HOST_EQ(CALLS(SEPT_ADD), 3);
	HOST_EQ(CALLS(PAGE_AUG), 512);
	HOST_EQ(tdx.calls[TDX_PAGE_ADD], 0);
	tdx_compare(0, 2048);
	/* Nothing is the guest's before it has accepted it. */
	HOST_CHECK(tdx_access(0, 700) != CPU_OK);
	tdx_accept(512, 1024, 1);
	touch(512, 1024);
	HOST_EQ(tdx_map(700, 1), 0);
	HOST_EQ(CALLS(PAGE_AUG), 512);
	tdx_destroy();
}

/* A run ends at what is in its way, and its first part is mapped. */
HOST_TEST(tdx, map_part)
{
	create(TDX_EPT4);
	HOST_EQ(tdx_map(0, 1), 1);
	tdx_forget_log();
	/* The page of the fault is busy at first. */
	tdx.fail = TDX_PAGE_AUG;
	tdx.fail_status = TDX_OPERAND_BUSY;
	HOST_EQ(tdx_map_range(5, 0, 16, 1), 15);
	HOST_EQ(CALLS(PAGE_AUG), 16);
	tdx_compare(0, 32);
	/* The third one is, and then is not any more. */
	tdx.fail = TDX_PAGE_AUG;
	tdx.fail_after = 2;
	HOST_EQ(tdx_map_range(21, 16, 16, 1), 16);
	HOST_EQ(CALLS(PAGE_AUG), 16 + 17);
	tdx_compare(0, 32);
	tdx_destroy();
}

HOST_TEST(tdx, five_levels)
{
	create(TDX_EPT5);
	populate(0, 512, 1);
	HOST_EQ(CALLS(SEPT_ADD), 4);
	touch(0, 512);
	tdx_compare(0, 1024);
	tdx_zap(0, 512, true);
	HOST_EQ(CALLS(SEPT_REMOVE), 4);
	tdx_compare(0, 1024);
	tdx_destroy();
}

/* Before the TD is finalized pages have contents, and nothing is tracked. */
HOST_TEST(tdx, add)
{
	const u64 source = DATA_PFN_BASE + 0x100000;

	tdx_create(TDX_EPT4, false);
	tdx.source = pfn_to_page(source);
	for (u64 gfn = 0; gfn < 8; gfn++) {
		private_fill(source, 1, gfn + 1);
		HOST_EQ(tdx_map(gfn, 1), 1);
	}
	tdx.source = NULL;
	HOST_EQ(CALLS(PAGE_ADD), 8);
	HOST_EQ(CALLS(PAGE_AUG), 0);
	tdx_zap(2, 4, false);
	HOST_EQ(CALLS(RANGE_BLOCK), 2);
	HOST_EQ(CALLS(TRACK), 0);
	HOST_EQ(CALLS(PAGE_REMOVE), 2);
	HOST_EQ(CALLS(WBINVD), 2);
	tdx_finalize();
	HOST_EQ(tdx_map(2, 1), 1);
	HOST_EQ(CALLS(PAGE_AUG), 1);
	tdx_accept(2, 3, 1);
	for (u64 gfn = 0; gfn < 8; gfn++) {
		HOST_EQ(tdx_access(0, gfn) == CPU_OK, gfn != 3);
		if (gfn != 3)
			HOST_EQ(private_content(tdx_pfn(gfn)),
				gfn == 2 ? 0 : gfn + 1);
	}
	tdx_zap(0, 8, false);
	tdx_destroy();
}

static unsigned int finalize_at;

static void finalize_in_gap(void)
{
	if (finalize_at && !--finalize_at)
		tdx_finalize();
}

/*
 * The TD is finalized while a zap has let go of the lock: what it had blocked is
 * tracked after all, wherever it had come to.
 */
HOST_TEST(tdx, finalize_beside_zap)
{
	const u64 source = DATA_PFN_BASE + 0x100000;
	unsigned int gaps = 0;

	do {
		mem_reset();
		tdx_create(TDX_EPT4, false);
		tdx.source = pfn_to_page(source);
		for (u64 gfn = 0; gfn < 8; gfn++)
			HOST_EQ(tdx_map(gfn, 1), 1);
		tdx.source = NULL;
		finalize_at = ++gaps;
		sim_gap = finalize_in_gap;
		sim_need_resched = true;
		tdx_zap(2, 6, false);
		sim_need_resched = false;
		sim_gap = NULL;
		HOST_EQ(tdx.mirror.broken, false);
		tdx_compare(0, 32);
		if (finalize_at)
			tdx_finalize();
		tdx_destroy();
	} while (!finalize_at);
	/* In either half of the zap. */
	HOST_CHECK(gaps > 6);
}

/* Without a page to copy there is a bug in KVM, and no SEAMCALL. */
static void add_nothing(void *arg)
{
	tdx_create(TDX_EPT4, false);
	tdx_map(0, 1);
}

HOST_TEST(tdx, add_nothing)
{
	host_must_fail("warn", add_nothing, NULL);
}

/* 2 MiB in pages of 4K: one epoch, and a write-back for each. */
HOST_TEST(tdx, zap_batch)
{
	unsigned int at;

	create(TDX_EPT4);
	populate(512, 1024, 1);
	touch(512, 1024);
	tdx_forget_log();
	tdx_zap(512, 1024, false);
	at = follow(0, TDX_RANGE_BLOCK, 512);
	at = follow(at, TDX_TRACK, 1);
	for (u64 i = 0; i < 512; i++) {
		at = follow(at, TDX_PAGE_REMOVE, 1);
		at = follow(at, TDX_WBINVD, 1);
	}
	HOST_EQ(at, tdx.nr_log);
	HOST_EQ(private.kicks, 1);
	HOST_CHECK(tdx_access(0, 600) != CPU_OK);
	tdx_compare(0, 2048);
	tdx_destroy();
}

/* A large leaf goes whole, and is written back in pages of 4K. */
HOST_TEST(tdx, zap_large)
{
	unsigned int at;

	create(TDX_EPT4);
	populate(0, 1024, 2);
	touch(0, 1024);
	tdx_forget_log();
	tdx_zap(512, 1024, false);
	at = follow(0, TDX_RANGE_BLOCK, 1);
	at = follow(at, TDX_TRACK, 1);
	at = follow(at, TDX_PAGE_REMOVE, 1);
	at = follow(at, TDX_WBINVD, 512);
	HOST_EQ(at, tdx.nr_log);
	tdx_compare(0, 2048);
	touch(0, 512);
	tdx_destroy();
}

/* A part of a 2M leaf: split first, and what is left stays the guest's. */
HOST_TEST(tdx, zap_straddling)
{
	unsigned int at;

	create(TDX_EPT4);
	populate(0, 512, 2);
	touch(0, 512);
	tdx_forget_log();
	private.kicks = 0;
	tdx_zap(100, 102, false);
	at = follow(0, TDX_RANGE_BLOCK, 1);
	at = follow(at, TDX_TRACK, 1);
	at = follow(at, TDX_PAGE_DEMOTE, 1);
	at = follow(at, TDX_RANGE_BLOCK, 2);
	at = follow(at, TDX_TRACK, 1);
	at = follow(at, TDX_PAGE_REMOVE, 1);
	at = follow(at, TDX_WBINVD, 1);
	at = follow(at, TDX_PAGE_REMOVE, 1);
	at = follow(at, TDX_WBINVD, 1);
	HOST_EQ(at, tdx.nr_log);
	HOST_EQ(private.kicks, 2);
	tdx_compare(0, 1024);
	touch(0, 100);
	touch(102, 512);
	tdx_destroy();
}

/* Tables go from the bottom up, one track per level. */
HOST_TEST(tdx, zap_tables)
{
	create(TDX_EPT4);
	populate(0, 2048, 1);
	touch(0, 2048);
	tdx_forget_log();
	tdx_zap(0, 2048, true);
	HOST_EQ(CALLS(SEPT_REMOVE), 6);
	HOST_EQ(CALLS(TRACK), 4);
	HOST_EQ(CALLS(WBINVD), 2048 + 6);
	HOST_EQ(CALLS(RANGE_BLOCK), 2048 + 6);
	HOST_EQ(atomic_long_read(&tdx.counters.tables), 1);
	tdx_compare(0, 4096);
	/* And all of it can be had again. */
	populate(0, 512, 1);
	touch(0, 512);
	tdx_destroy();
}

/* Large leaves of small ones, to 1G. */
HOST_TEST(tdx, promote)
{
	u64 giga = pgt_pages(3);

	create(TDX_EPT4);
	populate(0, 512, 1);
	populate(512, giga, 2);
	touch(0, 512);
	tdx_forget_log();
	HOST_EQ(tdx_promote(0, giga), 2);
	HOST_EQ(CALLS(PAGE_PROMOTE), 2);
	HOST_EQ(CALLS(TRACK), 2);
	HOST_EQ(CALLS(WBINVD), 2);
	HOST_EQ(CALLS(RANGE_UNBLOCK), 0);
	HOST_EQ(atomic_long_read(&tdx.counters.leaves[3]), 1);
	touch(0, 512);
	/* A page of it: three tracks, and two splits. */
	tdx_forget_log();
	tdx_zap(giga - 1, giga, false);
	HOST_EQ(CALLS(PAGE_DEMOTE), 2);
	HOST_EQ(CALLS(TRACK), 3);
	HOST_EQ(CALLS(PAGE_REMOVE), 1);
	tdx_compare(0, 2048);
	touch(0, 512);
	tdx_destroy();
}

/* What is not all in one state stays as it is, and is not left blocked. */
HOST_TEST(tdx, promote_refused)
{
	create(TDX_EPT4);
	HOST_EQ(tdx_map_range(0, 0, 512, 1), 512);
	tdx_accept(0, 256, 1);
	tdx_forget_log();
	HOST_EQ(tdx_promote(0, 512), 0);
	HOST_EQ(CALLS(PAGE_PROMOTE), 1);
	HOST_EQ(CALLS(RANGE_UNBLOCK), 1);
	HOST_EQ(CALLS(WBINVD), 0);
	touch(0, 256);
	tdx_compare(0, 512);
	tdx_accept(256, 512, 1);
	HOST_EQ(tdx_promote(0, 512), 1);
	touch(0, 512);
	tdx_compare(0, 512);
	tdx_destroy();
}

/* Interrupted calls are repeated; the table that was half filled is used. */
HOST_TEST(tdx, interrupted)
{
	create(TDX_EPT4);
	populate(0, 512, 2);
	tdx.fail = TDX_PAGE_DEMOTE;
	tdx.fail_status = TDX_INTERRUPTED_RESTARTABLE;
	tdx_split(0, 1);
	HOST_EQ(CALLS(PAGE_DEMOTE), 2);
	tdx_compare(0, 512);
	tdx.fail = TDX_PAGE_PROMOTE;
	tdx.fail_status = TDX_INTERRUPTED_RESTARTABLE;
	HOST_EQ(tdx_promote(0, 512), 1);
	HOST_EQ(CALLS(PAGE_PROMOTE), 2);
	tdx_compare(0, 512);
	touch(0, 512);
	tdx_destroy();
}

/* At the end leaves of every size, and tables, are taken back. */
HOST_TEST(tdx, teardown)
{
	u64 giga = pgt_pages(3);

	create(TDX_EPT4);
	populate(0, giga, 2);
	HOST_EQ(tdx_promote(0, giga), 1);
	populate(giga, giga + 512, 2);
	populate(giga + 512, giga + 520, 1);
	touch(giga, giga + 520);
	tdx_forget_log();
	tdx_destroy();
	/* One leaf of 1G, one of 2M, eight of 4K, three tables. */
	HOST_EQ(CALLS(RECLAIM), 1 + 1 + 8 + 3);
	HOST_EQ(CALLS(WBINVD), 0);
	HOST_EQ(CALLS(RANGE_BLOCK), 0);
}

/* As long as the module has the key nothing comes back: all of it is lost. */
static void teardown_early(void *arg)
{
	create(TDX_EPT4);
	populate(0, 1, 1);
	tdx.sept.provider.ops->reclaim(&tdx.sept.provider, tdx_pfn(0), 1);
	HOST_CHECK(tdx_page_is_clean(tdx_pfn(0)));
}

HOST_TEST(tdx, teardown_early)
{
	host_must_fail("assert", teardown_early, NULL);
}

/*
 * A vCPU that has been in the guest since before the last epoch is in the way of
 * the next one, until it is kicked.
 */
HOST_TEST(tdx, epoch_busy)
{
	unsigned int at;

	create(TDX_EPT4);
	populate(0, 16, 1);
	touch(0, 16);
	/* Somebody has tracked, and not kicked. */
	HOST_EQ(tdx.soft.provider.ops->track(&tdx.soft.provider), 0);
	tdx_exit(1);
	tdx_forget_log();
	private.kicks = 0;
	tdx_zap(0, 1, false);
	at = follow(0, TDX_RANGE_BLOCK, 1);
	HOST_EQ(tdx.log[at].leaf, TDX_TRACK);
	HOST_EQ(tdx.log[at].status,
		TDX_PREVIOUS_TLB_EPOCH_BUSY | TDX_OPERAND_ID_TD_EPOCH);
	at = follow(at + 1, TDX_TRACK, 1);
	at = follow(at, TDX_PAGE_REMOVE, 1);
	follow(at, TDX_WBINVD, 1);
	/* One for the window, one after the track. */
	HOST_EQ(private.kicks, 2);
	HOST_CHECK(!tdx.held);
	touch(1, 16);
	tdx_destroy();
}

/* Calls that others are in the way of, every so many of them. */
static void busy(unsigned int busy_every, unsigned int interrupt_every)
{
	create(TDX_EPT4);
	tdx.soft.busy_every = busy_every;
	tdx.soft.interrupt_every = interrupt_every;
	populate(0, 1024, 1);
	touch(0, 1024);
	HOST_CHECK(tdx_promote(0, 1024) <= 2);
	tdx_compare(0, 1024);
	tdx_zap(100, 300, false);
	tdx_compare(0, 1024);
	tdx_zap(0, 700, true);
	tdx_compare(0, 1024);
	touch(700, 1024);
	populate(0, 512, 2);
	touch(0, 512);
	tdx_zap(5, 6, false);
	tdx_compare(0, 1024);
	tdx_zap(0, 1024, true);
	tdx_compare(0, 1024);
	HOST_CHECK(!tdx.held);
	tdx_destroy();
}

HOST_TEST(tdx, busy)
{
	for (unsigned int every = 2; every < 12; every++) {
		busy(every, 0);
		busy(every, every + 1);
	}
	busy(0, 3);
}

/* What the mirror is told of each status. */
HOST_TEST(tdx, errors)
{
	static const struct {
		u64 status;
		int ret;
	} want[] = {
		{ TDX_OPERAND_BUSY, -EBUSY },
		{ TDX_OPERAND_BUSY | TDX_OPERAND_ID_SEPT, -EBUSY },
		{ TDX_PREVIOUS_TLB_EPOCH_BUSY | TDX_OPERAND_ID_TD_EPOCH,
		  -EBUSY },
		{ TDX_INTERRUPTED_RESTARTABLE, -EINTR },
		{ TDX_EPT_INVALID_PROMOTE_CONDITIONS | TDX_OPERAND_ID_RCX,
		  -EOPNOTSUPP },
		{ TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OPERAND_ID_RCX, -EIO },
		{ TDX_GPA_RANGE_ALREADY_BLOCKED, -EIO },
		{ TDX_TLB_TRACKING_NOT_DONE, -EIO },
		{ 0x8000ff0000000006ULL, -EIO },
		{ 1, -EIO },
	};
	struct mirror_provider *p = &tdx.sept.provider;
	const u64 pfns[] = { DATA_PFN_BASE, DATA_PFN_BASE + 1 };

	create(TDX_EPT4);
	tdx.source = pfn_to_page(DATA_PFN_BASE);
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
#define FAILS(name, call) do {						\
	tdx.fail = TDX_##name;						\
	tdx.fail_status = want[i].status;				\
	HOST_EQ(call, want[i].ret);					\
} while (0)
		FAILS(SEPT_ADD, p->ops->link(p, 0, 4, tdx.root));
		FAILS(PAGE_AUG, p->ops->map(p, 0, 1, pfns, 2));
		FAILS(PAGE_ADD, p->ops->add(p, 0, pfns[0]));
		FAILS(RANGE_BLOCK, p->ops->block(p, 0, 1));
		FAILS(TRACK, p->ops->track(p));
		FAILS(RANGE_UNBLOCK, p->ops->unblock(p, 0, 1));
		FAILS(PAGE_REMOVE, p->ops->remove(p, 0, 1, pfns[0]));
		FAILS(SEPT_REMOVE, p->ops->unlink(p, 0, 2, tdx.root));
		FAILS(PAGE_PROMOTE, p->ops->promote(p, 0, 2, tdx.root));
		FAILS(PAGE_DEMOTE, p->ops->demote(p, 0, 2, tdx.root));
		FAILS(RECLAIM, p->ops->reclaim(p, pfns[0], 1));
#undef FAILS
	}
	/* A table that may hold what the module wrote is cleaned at the end. */
	HOST_CHECK(tdx_page_is_clean(__pa(tdx.root) >> PAGE_SHIFT));
	tdx_destroy();
}

/* A page that can't be written back is not the host's: the TD is at its end. */
static void write_back_fails(void *arg)
{
	create(TDX_EPT4);
	populate(0, 4, 1);
	tdx.fail = TDX_WBINVD;
	tdx.fail_status = TDX_OPERAND_BUSY;
	tdx_zap(0, 4, false);
}

/* The module and the mirror differ about which table goes. */
static void wrong_table(void *arg)
{
	create(TDX_EPT4);
	populate(0, 512, 1);
	tdx.wrong_table = true;
	tdx_promote(0, 512);
}

HOST_TEST(tdx, disagree)
{
	host_must_fail("broken", write_back_fails, NULL);
	host_must_fail("broken", wrong_table, NULL);
}

/*
 * Anything in any order, once with the module between the mirror and the private
 * tables, and once without: there must be no difference.
 */
static u64 random_state;

static u64 draw(u64 n)
{
	random_state = random_state * 6364136223846793005ULL +
		       1442695040888963407ULL;
	return (random_state >> 33) % n;
}

#define RANDOM_GFNS	4096
/* Unless --seconds says how long. */
#define RANDOM_RUNS	40

static bool is_free(u64 start, u64 end)
{
	for (u64 gfn = start; gfn < end; gfn++) {
		int level = 1;

		if (softsept_state(&tdx.soft, gfn, &level) != SOFTSEPT_FREE)
			return false;
	}
	return true;
}

static void random_op(void)
{
	u64 gfn = draw(RANDOM_GFNS), end = gfn + 1 + draw(RANDOM_GFNS - gfn);
	u64 base = pgt_base(gfn, 2);

	switch (draw(8)) {
	case 0:
	case 1:
		tdx_map_range(gfn, base, 512, 1);
		break;
	case 2:
		if (is_free(base, base + 512))
			tdx_map(base, 2);
		break;
	case 3:
		for (; gfn < end; gfn++) {
			rcu_read_lock();
			softsept_accept(&tdx.soft, gfn, 1);
			rcu_read_unlock();
		}
		rcu_read_lock();
		softsept_accept(&tdx.soft, base, 2);
		rcu_read_unlock();
		break;
	case 4:
		tdx_zap(gfn, min(end, gfn + 600), false);
		break;
	case 5:
		tdx_zap(gfn, end, true);
		break;
	case 6:
		tdx_promote(0, RANDOM_GFNS);
		break;
	default:
		tdx_split(gfn, 1);
		break;
	}
	for (unsigned int i = 0; i < TDX_CPUS; i++)
		tdx_access(i, draw(RANDOM_GFNS));
	if (!draw(4))
		tdx_compare(0, RANDOM_GFNS);
}

static void random_run(u64 seed, bool direct, long *calls, long *were_busy)
{
	struct mirror_provider *p;

	mem_reset();
	random_state = seed;
	tdx_create(draw(2) ? TDX_EPT4 : TDX_EPT5, direct);
	tdx_finalize();
	p = tdx_provider();
	tdx.soft.busy_every = draw(3) ? 0 : 2 + draw(20);
	tdx.soft.interrupt_every = draw(3) ? 0 : 2 + draw(5);
	for (unsigned int i = 0; i < 60; i++)
		random_op();
	for (int call = 0; call < MIRROR_NR_CALLS; call++) {
		calls[call] = atomic_long_read(&p->calls[call]);
		were_busy[call] = atomic_long_read(&p->busy[call]);
	}
	if (direct)
		tdx_teardown();
	else
		tdx_destroy();
}

HOST_TEST(tdx, random)
{
	unsigned int seconds = host_seconds(0);
	time_t end = time(NULL) + seconds;
	u64 first = host_seed(), nr = 0;

	for (;;) {
		long calls[2][MIRROR_NR_CALLS], were_busy[2][MIRROR_NR_CALLS];

		/* What a failure prints is host_run.seed. */
		random_run(host_run.seed, false, calls[0], were_busy[0]);
		random_run(host_run.seed, true, calls[1], were_busy[1]);
		for (int call = 0; call < MIRROR_NR_CALLS; call++) {
			HOST_EQ(calls[0][call], calls[1][call]);
			HOST_EQ(were_busy[0][call], were_busy[1][call]);
		}
		nr++;
		if (seconds ? time(NULL) >= end : nr == RANDOM_RUNS)
			break;
		host_run.seed++;
	}
	host_run.seed = first;
	if (host_verbose() || seconds)
		host_note("%llu runs", (unsigned long long)nr);
}
