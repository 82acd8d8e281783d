// SPDX-License-Identifier: GPL-2.0
/*
 * Epochs go on for longer than a provider can count: nothing may stay blocked
 * until its stamp comes round.
 *
 * private_provider.c looks at each track for how long something has been blocked.
 */
#include <linux/kernel.h>

#include "private_vm.h"
#include "sim/explore.h"
#include "test.h"

/* More than the 512 epochs that a stamp of the software provider tells apart. */
#define EPOCHS		520
/* Where others work while a zap of the first pages has let go of the lock. */
#define OTHERS		0x400ULL

static void (*others)(void);
static unsigned int gaps;

/* A zap has let go of the lock, and has blocked something.  Others do not. */
static void gap(void)
{
	bool resched = sim_need_resched;
	void (*fn)(void) = others;

	if (!fn || !gaps || !pvm.mirror.blocked)
		return;
	gaps--;
	others = NULL;
	sim_need_resched = false;
	fn();
	sim_need_resched = resched;
	others = fn;
}

static void zap_beside(u64 start, u64 end, void (*fn)(void), unsigned int nr)
{
	others = fn;
	gaps = nr;
	sim_gap = gap;
	sim_need_resched = true;
	pvm_convert(start, end, true);
	sim_need_resched = false;
	sim_gap = NULL;
	pvm_check();
	HOST_CHECK(gaps < nr);
}

HOST_TEST(mirror_age, many_epochs)
{
	pvm_create(PVM_EPT, 2, 1024, 1, 0);
	for (int i = 0; i < 1500; i++) {
		HOST_CHECK(pvm_access(i % 2, 5, CPU_WRITE));
		pvm_convert(5, 6, false);
	}
	pvm_check();
	pvm_destroy();
}

static u64 next;

/* Another page each time: faults are kept out of where zaps have been. */
static void zap_one(void)
{
	HOST_CHECK(pvm_access(1, next, CPU_WRITE));
	pvm_convert(next, next + 1, false);
	next++;
}

/* Some zaps for each step of one. */
HOST_TEST(mirror_age, a_few_each)
{
	pvm_create(PVM_EPT, 2, 2048, 1, 0);
	HOST_EQ(pvm_map(0, 0, 1, 1, 512), 512);
	/* Keeps a table, or it may be on its way out when a fault needs it. */
	HOST_EQ(pvm_map(0, 2047, 1, 1, 1), 1);
	next = OTHERS;
	zap_beside(0, 512, zap_one, EPOCHS);
	pvm_destroy();
}

static unsigned int nr_zaps;

static void zap_many(void)
{
	for (unsigned int i = 0; i < nr_zaps; i++)
		zap_one();
}

/* Many, while one waits for the lock: every number at which a stamp may wrap. */
HOST_TEST(mirror_age, many_at_once)
{
	for (nr_zaps = 508; nr_zaps < EPOCHS; nr_zaps++) {
		mem_reset();
		pvm_create(PVM_EPT, 2, 2048, 1, 0);
		HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
		next = OTHERS;
		zap_beside(0, 2, zap_many, 1);
		pvm_destroy();
	}
}

static bool odd;

/* A page, and then its table: two epochs. */
static void zap_tables(void)
{
	if (odd)
		zap_one();
	next = OTHERS + 512;
	for (unsigned int i = 0; i < MIRROR_MAX_AGE; i++) {
		HOST_CHECK(pvm_access(1, next, CPU_WRITE));
		pvm_convert_tables(pgt_base(next, 2), pgt_base(next, 2) + 512,
				   false);
		next += 512;
	}
}

/* An operation may become too late on its way, too. */
HOST_TEST(mirror_age, tables)
{
	for (unsigned int i = 0; i < 2; i++) {
		mem_reset();
		pvm_create(PVM_EPT, 2, VM_MAX_GFNS, 1, 0);
		HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
		next = OTHERS;
		odd = i;
		zap_beside(0, 2, zap_tables, 1);
		pvm_destroy();
	}
}

/* So many that have blocked something, and all of which are yet to track. */
#define AT_ONCE		(MIRROR_MAX_AGE + 20)

static unsigned int in_progress;

static void zap_two(void)
{
	u64 start = OTHERS + 2 * in_progress;

	if (in_progress == AT_ONCE)
		return;
	in_progress++;
	others = zap_two;
	gaps = 1;
	sim_need_resched = true;
	pvm_convert(start, start + 2, true);
}

/*
 * Many are at work at once.  None begins when something has become too old, but
 * all go on, and track.
 */
HOST_TEST(mirror_age, many_in_progress)
{
	pvm_create(PVM_EPT, 2, 2048, 1, 0);
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	HOST_EQ(pvm_map(0, OTHERS, 1, 1, 512), 512);
	in_progress = 0;
	zap_beside(0, 2, zap_two, 1);
	HOST_EQ(in_progress, AT_ONCE);
	pvm_destroy();
}

static void zap_in_steps(void)
{
	pvm.mirror.batch = 1;
	pvm_convert(OTHERS, OTHERS + 1024, false);
}

/* One whose batches are as small as can be. */
HOST_TEST(mirror_age, small_batches)
{
	pvm_create(PVM_EPT, 2, 2048, 1, 0);
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	for (u64 gfn = OTHERS; gfn < OTHERS + 1024; gfn += 512)
		HOST_EQ(pvm_map(0, gfn, 1, 1, 512), 512);
	zap_beside(0, 2, zap_in_steps, 1);
	pvm_destroy();
}

/* Every large leaf but the first. */
static void split_all(void)
{
	for (u64 gfn = 512; gfn < VM_MAX_GFNS; gfn += 512)
		HOST_EQ(pvm_split(gfn, 1), 0);
}

/* Those again. */
static void promote_all(void)
{
	for (u64 gfn = 512; gfn < VM_MAX_GFNS; gfn += 512)
		HOST_EQ(pvm_promote(gfn, gfn + 512, false), 1);
}

HOST_TEST(mirror_age, splits_and_promotions)
{
	pvm_create(PVM_EPT, 1, VM_MAX_GFNS, 2, 0);
	for (u64 gfn = 512; gfn < VM_MAX_GFNS; gfn += 512)
		HOST_EQ(pvm_map(0, gfn, 2, 2, 1), 1);
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	zap_beside(0, 2, split_all, 1);
	HOST_EQ(pvm_map(0, 0, 1, 1, 2), 2);
	zap_beside(0, 2, promote_all, 1);
	pvm_destroy();
}
