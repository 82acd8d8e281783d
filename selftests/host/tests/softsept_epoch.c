// SPDX-License-Identifier: GPL-2.0
/*
 * The software provider: epochs, windows, calls that are busy or interrupted, and
 * vCPUs.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "soft.h"
#include "test.h"

/* Whether a leaf that is blocked counts as tracked; changes nothing. */
static bool tracked(u64 gfn, int level)
{
	HOST_EQ(soft.s.provider.ops->remove(&soft.s.provider, gfn, level, 1),
		-EIO);
	if (soft.s.last_error == SOFTSEPT_OPERAND)
		return true;
	HOST_EQ(soft.s.last_error, SOFTSEPT_NOT_TRACKED);
	return false;
}

/* Enter, and whether that flushes. */
static bool enter(struct softsept_vcpu *v)
{
	bool flush = false;

	HOST_CHECK(softsept_enter(&soft.s, v, &flush));
	HOST_CHECK(v->inside);
	return flush;
}

static void leave(struct softsept_vcpu *v)
{
	softsept_exit(&soft.s, v);
	HOST_CHECK(!v->inside);
}

HOST_TEST(softsept, epochs)
{
	struct softsept_vcpu a = { }, b = { };
	u64 gfn;

	soft_create(&soft_places[0]);
	gfn = soft.base;
	soft_make(gfn, 1, SOFTSEPT_PENDING, 0);
	HOST_CHECK(enter(&a));
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	/* The epoch of the block is the current one. */
	HOST_CHECK(!tracked(gfn, 1));
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_NOT_TRACKED);
	/* It is the one before, and somebody is inside with it. */
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_CHECK(!tracked(gfn, 1));
	HOST_EQ(soft_unblock(gfn, 1), SOFTSEPT_NOT_TRACKED);
	HOST_EQ(soft_track(), SOFTSEPT_EPOCH_BUSY);
	HOST_EQ(soft.s.epoch, 2);
	/* Who enters now does no harm. */
	HOST_CHECK(enter(&b));
	HOST_CHECK(!tracked(gfn, 1));
	leave(&a);
	HOST_CHECK(tracked(gfn, 1));
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	/* Older than the one before: that somebody is inside is no matter. */
	HOST_CHECK(tracked(gfn, 1));
	HOST_EQ(soft_track(), SOFTSEPT_EPOCH_BUSY);
	/* A new block starts over. */
	HOST_EQ(soft_unblock(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	HOST_CHECK(!tracked(gfn, 1));
	leave(&b);
	HOST_CHECK(!tracked(gfn, 1));
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(atomic_read(&soft.s.inside[0]), 0);
	HOST_EQ(atomic_read(&soft.s.inside[1]), 0);
	soft_destroy();
}

/* Once per epoch, whatever a vCPU did meanwhile. */
HOST_TEST(softsept, flushes)
{
	struct softsept_vcpu v = { };

	soft_create(&soft_places[0]);
	HOST_CHECK(enter(&v));
	leave(&v);
	HOST_CHECK(!enter(&v));
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	leave(&v);
	HOST_CHECK(enter(&v));
	leave(&v);
	HOST_CHECK(!enter(&v));
	leave(&v);
	for (int i = 0; i < 2; i++)
		HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_CHECK(enter(&v));
	leave(&v);
	soft_destroy();
}

/* A stamp that has come round is never taken for an older one. */
HOST_TEST(softsept, stamps_wrap)
{
	struct softsept_vcpu v = { };
	u64 gfn;

	for (u64 start = 1; start < 2000; start += 509) {
		soft_create(&soft_places[1]);
		gfn = soft.base;
		soft_make(gfn, 1, SOFTSEPT_MAPPED, 0);
		soft.s.epoch = start;
		HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
		for (unsigned int n = 0; n < 1600; n++) {
			HOST_EQ(soft.s.epoch, start + n);
			/* Where bits are missing it may seem too young. */
			if (n == 0 || n % 512)
				HOST_EQ(tracked(gfn, 1), n > 0);
			else
				HOST_CHECK(!tracked(gfn, 1));
			/* Somebody is inside with the epoch before. */
			enter(&v);
			HOST_EQ(soft_track(), SOFTSEPT_OK);
			if (n == 0)
				HOST_CHECK(!tracked(gfn, 1));
			else if ((n + 1) % 512 > 1)
				HOST_CHECK(tracked(gfn, 1));
			leave(&v);
		}
		soft_destroy();
	}
}

static struct softsept_vcpu *kicked;

static void kick(struct mirror *mirror)
{
	HOST_CHECK(atomic_read(&soft.s.gate));
	if (kicked)
		leave(kicked);
	kicked = NULL;
}

HOST_TEST(softsept, windows)
{
	struct softsept_vcpu v = { };
	const struct mirror_ops *ops;
	bool flush = false;

	soft_create(&soft_places[0]);
	ops = soft.s.provider.ops;
	soft_make(soft.base, 1, SOFTSEPT_PENDING, 0);
	enter(&v);
	kicked = &v;
	private.kick = kick;
	ops->open_window(&soft.s.provider);
	HOST_EQ(private.kicks, 1);
	HOST_CHECK(!v.inside);
	/* Nobody gets in, and trying leaves no trace. */
	HOST_CHECK(!softsept_enter(&soft.s, &v, &flush));
	HOST_CHECK(!v.inside && !flush);
	HOST_EQ(atomic_read(&soft.s.inside[1]), 0);
	HOST_EQ(soft_accept(soft.base, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_CHECK(!softsept_enter(&soft.s, &v, &flush));
	/* One of two is closed. */
	ops->open_window(&soft.s.provider);
	ops->close_window(&soft.s.provider);
	HOST_CHECK(!softsept_enter(&soft.s, &v, &flush));
	ops->close_window(&soft.s.provider);
	HOST_CHECK(enter(&v));
	leave(&v);
	HOST_EQ(soft_accept(soft.base, 1), SOFTSEPT_OK);
	HOST_EQ(atomic_read(&soft.s.accepting), 0);
	soft_destroy();
}

static u64 cleared_gfn;
static int cleared_level;

/* While the page is filled the entry is somebody's, all around is not. */
static void on_clear(u64 pfn, int level)
{
	u64 gfn = cleared_gfn;

	HOST_EQ(level, cleared_level);
	HOST_EQ(pfn, soft_pfn(gfn));
	HOST_EQ(soft_state(gfn, level), SOFTSEPT_PENDING);
	HOST_EQ(soft_block(gfn, level), SOFTSEPT_BUSY);
	HOST_EQ(soft_remove(gfn, level), SOFTSEPT_BUSY);
	HOST_EQ(soft_map(gfn, level), SOFTSEPT_BUSY);
	HOST_EQ(soft_accept(gfn, level), SOFTSEPT_BUSY);
	HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_map(gfn + pgt_pages(level), level), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn + pgt_pages(level), level), SOFTSEPT_OK);
	/* The guest does that, while the host works on what is above. */
	HOST_EQ(soft_block(gfn, level + 1), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_promote(gfn, level + 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_unlink(gfn, level + 1), SOFTSEPT_NOT_FREE);
	HOST_EQ(soft_unblock(gfn, level + 1), SOFTSEPT_OK);
	soft_validate();
}

HOST_TEST(softsept, entry_lock)
{
	for (int level = 1; level <= 2; level++) {
		soft_create(&soft_places[0]);
		cleared_gfn = soft.base;
		cleared_level = level;
		private.clear = on_clear;
		soft_make(soft.base, level, SOFTSEPT_PENDING, 0);
		HOST_EQ(soft_accept(soft.base, level), SOFTSEPT_OK);
		HOST_EQ(soft_state(soft.base, level), SOFTSEPT_MAPPED);
		HOST_EQ(private.clears, 1);
		soft_validate();
		soft_destroy();
	}
}

HOST_TEST(softsept, busy)
{
	const struct mirror_ops *ops;
	u64 gfn;

	soft_create(&soft_places[0]);
	ops = soft.s.provider.ops;
	gfn = soft.base;
	soft_reach(gfn, 1);
	soft.s.busy_every = 3;
	/* Every call counts. */
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_BUSY);
	HOST_EQ(soft.s.epoch, 1);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_unblock(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	soft.s.busy_every = 1;
	HOST_EQ(soft_track(), SOFTSEPT_BUSY);
	/* A guest is not told; a window helps. */
	HOST_EQ(soft_accept(gfn, 1), SOFTSEPT_EXIT);
	ops->open_window(&soft.s.provider);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_OK);
	ops->close_window(&soft.s.provider);
	HOST_EQ(soft_map(gfn, 1), SOFTSEPT_BUSY);
	HOST_EQ(ops->reclaim(&soft.s.provider, soft_pfn(gfn), 1), 0);
	soft_destroy();
}

HOST_TEST(softsept, interrupted)
{
	static const unsigned int often[] = { 1, 2, 5 };

	for (unsigned int t = 0; t < ARRAY_SIZE(often); t++) {
		unsigned int seen = 0;

		soft_create(&soft_places[0]);
		soft_make(soft.base, 2, SOFTSEPT_BLOCKED, 0);
		soft.s.interrupt_every = often[t];
		for (unsigned int i = 0; i < 12; i++) {
			bool demote = i % 2 == 0;
			enum softsept_error error;

			error = demote ? soft_demote(soft.base, 2) :
					 soft_promote(soft.base, 2);
			if (error) {
				HOST_EQ(error, SOFTSEPT_INTERRUPTED);
				seen++;
				/* Again at once, and it gets through. */
				if (demote)
					soft_drop_table();
				error = demote ? soft_demote(soft.base, 2) :
						 soft_promote(soft.base, 2);
				HOST_EQ(error, SOFTSEPT_OK);
			}
			HOST_EQ(soft_block(soft.base, 2), SOFTSEPT_OK);
			HOST_EQ(soft_track(), SOFTSEPT_OK);
		}
		HOST_CHECK(seen > 0);
		/* Not in a window. */
		soft.s.provider.ops->open_window(&soft.s.provider);
		for (int i = 0; i < 4; i++) {
			HOST_EQ(soft_demote(soft.base, 2), SOFTSEPT_OK);
			HOST_EQ(soft_block(soft.base, 2), SOFTSEPT_OK);
			HOST_EQ(soft_track(), SOFTSEPT_OK);
			HOST_EQ(soft_promote(soft.base, 2), SOFTSEPT_OK);
			HOST_EQ(soft_block(soft.base, 2), SOFTSEPT_OK);
			HOST_EQ(soft_track(), SOFTSEPT_OK);
		}
		soft.s.provider.ops->close_window(&soft.s.provider);
		soft_destroy();
	}
}

/* Everything that a guest may find, side by side, on a CPU that walks it. */
HOST_TEST(softsept, reach)
{
	for (unsigned int p = 0; p < soft_nr_places; p++) {
		const struct soft_place *place = &soft_places[p];
		struct cpu_outcome outcome;
		static struct cpu cpu;

		soft_create(place);
		cpu_init(&cpu, &place->config->mode);
		for (int level = 1; level <= 3; level++)
			for (int state = SOFTSEPT_FREE;
			     state < SOFTSEPT_NR_STATES; state++) {
				u64 gfn = soft.base;
				enum cpu_result result;

				/* Of a link, a page that is mapped below. */
				if (level == 1 && (state == SOFTSEPT_LINK ||
						   state ==
						   SOFTSEPT_LINK_BLOCKED))
					continue;
				soft_destroy();
				soft_create(place);
				cpu_load_root(&cpu, __pa(soft.cpu_root));
				soft_make(gfn, level, state, level == 2 ?
					  SOFTSEPT_MAPPED : SOFTSEPT_FREE);
				for (int i = 0; i < 3; i++) {
					u64 at = gfn + i * 100 %
						 pgt_pages(level);
					bool ok = state == SOFTSEPT_MAPPED ||
						  (state == SOFTSEPT_LINK &&
						   level == 2);

					result = cpu_access(&cpu, at, i,
							    &outcome);
					HOST_EQ(result, ok ? CPU_OK :
						CPU_VIOLATION);
					if (ok)
						HOST_EQ(outcome.pfn,
							soft_pfn(at));
				}
			}
		cpu_unload(&cpu);
		soft_destroy();
	}
}
