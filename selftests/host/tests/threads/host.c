// SPDX-License-Identifier: GPL-2.0
/*
 * What the host does to a VM while its vCPUs run, each by a thread of its own:
 * one function per thread, one call per turn.  Locks are KVM's.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>

#include "guest.h"
#include "pgt/env.h"
#include "test.h"

/* Some gfns of the logged or of the other part, which end within it. */
static struct pgt_range random_range(u64 *rnd, bool logged)
{
	u64 n = next_random(rnd);
	u64 first = logged ? LOGGED_START : HUGE_START;
	u64 last = logged ? LOGGED_END : HUGE_END;
	u64 unit = logged ? 1 : PGT_ENTRIES;
	struct pgt_range range;

	range.start = first + n % ((last - first) / unit) * unit;
	n = next_random(rnd);
	range.end = min(last, range.start + (1 + n % (logged ? 700 : 3)) *
			unit);
	return range;
}

static struct pgt_range huge_part(void)
{
	return (struct pgt_range){ HUGE_START, HUGE_END };
}

/* As an mmu notifier: other pages are behind the range when it is over. */
void host_unmap(u64 *rnd)
{
	struct pgt_range range = random_range(rnd, next_random(rnd) % 2);
	bool open = next_random(rnd) % 2;
	bool tables = next_random(rnd) % 4 == 0;
	struct pgt_batch batch;
	struct pgt_open opened;
	struct pgt_root *root;

	write_lock(&guest.lock);
	guest.invalid_start = range.start;
	guest.invalid_end = range.end;
	guest.invalidating++;
	pgt_batch_begin(&batch, &guest.mmu, PGT_EXCLUSIVE, true);
	if (open)
		pgt_batch_open(&batch, &opened, range.start, range.end);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range left = range;

		if (tables)
			pgt_zap_tables(&batch, root, &left);
		else
			pgt_zap_leaves(&batch, root, &left);
	}
	pgt_batch_end(&batch);
	write_unlock(&guest.lock);

	for (u64 gfn = range.start; gfn < range.end;
	     gfn += is_logged(gfn) ? 1 : PGT_ENTRIES)
		ADD(*generation_of(gfn), 1);

	write_lock(&guest.lock);
	ADD(guest.seq, 1);
	guest.invalidating--;
	write_unlock(&guest.lock);
}

void host_age(u64 *rnd)
{
	struct pgt_range range = random_range(rnd, next_random(rnd) % 2);
	bool test = next_random(rnd) % 4 == 0;

	pgt_age_roots(&guest.mmu, PGT_ANY_SPACE, &range, test);
}

/* As logging starts: everything is protected, whatever is in the log. */
void host_protect(u64 *rnd)
{
	struct pgt_range range = random_range(rnd, true);
	struct pgt_batch batch;
	struct pgt_root *root;
	bool flush;

	read_lock(&guest.lock);
	pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, true);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range left = range;

		if (guest.config->pml)
			pgt_clear_dirty(&batch, root, &left);
		else
			pgt_wrprot(&batch, root, &left, 1, false);
	}
	flush = pgt_batch_defer(&batch);
	read_unlock(&guest.lock);
	if (flush)
		pgt_env_flush(&guest.mmu, range.start, range.end);
}

void host_harvest(u64 *rnd)
{
	u64 first = next_random(rnd) % (LOGGED_PAGES / 64) * 64;
	u64 gfn = LOGGED_START + first;
	struct pgt_batch batch;
	struct pgt_root *root;
	u64 taken = 0;
	bool flush;

	write_lock(&guest.lock);
	for (int i = 0; i < 64; i++) {
		STORE(guest.harvesting[first + i], 1);
		if (__atomic_exchange_n(&guest.log[first + i], 0,
					__ATOMIC_SEQ_CST))
			taken |= BIT_ULL(i);
		else
			STORE(guest.harvesting[first + i], 0);
	}
	pgt_batch_begin(&batch, &guest.mmu, PGT_EXCLUSIVE, false);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS)
		pgt_clear_dirty_mask(&batch, root, gfn, taken,
				     !guest.config->pml);
	flush = pgt_batch_defer(&batch);
	write_unlock(&guest.lock);
	if (flush)
		pgt_env_flush(&guest.mmu, gfn, gfn + 64);
	for (int i = 0; i < 64; i++) {
		if (!(taken & BIT_ULL(i)))
			continue;
		STORE(guest.harvesting[first + i], 0);
		STORE(guest.copied[first + i], LOAD(guest.written[first + i]));
	}
}

void host_split(u64 *rnd)
{
	struct pgt_range range = random_range(rnd, false);
	struct pgt_cache cache;
	struct pgt_root *root;

	pgt_cache_init(&cache, &guest.mmu);
	if (pgt_cache_fill(&cache, 1, false))
		host_fail("memory", "out of memory in a split");
	read_lock(&guest.lock);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range left = range;
		struct pgt_batch batch;
		int ret;

		for (;;) {
			pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, true);
			ret = pgt_split(&batch, root, &left, 1,
					guest.config->nx_huge ? PGT_X : 0,
					&cache);
			pgt_batch_end(&batch);
			if (!ret)
				break;
			read_unlock(&guest.lock);
			if (pgt_cache_fill(&cache, 2, false))
				host_fail("memory", "out of memory in a split");
			read_lock(&guest.lock);
		}
	}
	read_unlock(&guest.lock);
	pgt_cache_drain(&cache);
}

void host_collapse(u64 *rnd)
{
	struct pgt_range range = random_range(rnd, false);
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&guest.lock);
	pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, true);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range left = range;

		pgt_collapse(&batch, root, &left, guest.config->nx_huge);
	}
	pgt_batch_end(&batch);
	read_unlock(&guest.lock);
}

void host_recover_nx(u64 *rnd)
{
	/* Up to more than a batch can keep frozen. */
	unsigned int most = 1 + next_random(rnd) % (2 * PGT_BATCH_FROZEN);
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&guest.lock);
	pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, true);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range left = huge_part();

		while (most && pgt_zap_nx_table(&batch, root, &left))
			most--;
	}
	pgt_batch_end(&batch);
	read_unlock(&guest.lock);
}

/* As when a memslot is deleted. */
void host_zap_roots(u64 *rnd)
{
	write_lock(&guest.lock);
	pgt_roots_invalidate(&guest.mmu, next_random(rnd) % 2 ? 0 :
						PGT_ANY_SPACE);
	write_unlock(&guest.lock);
	read_lock(&guest.lock);
	pgt_roots_empty(&guest.mmu, PGT_SHARED, true);
	read_unlock(&guest.lock);
}

static void expire_mmio(void)
{
	u64 gen = ADD(guest.mmio_gen, 1);
	struct pgt_batch batch;
	struct pgt_root *root;

	read_lock(&guest.lock);
	pgt_batch_begin(&batch, &guest.mmu, PGT_SHARED, true);
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_VALID_ROOTS) {
		struct pgt_range left = { MMIO_START, MMIO_END };

		pgt_expire_mmio(&batch, root, &left, gen);
	}
	pgt_batch_end(&batch);
	read_unlock(&guest.lock);
}

/* Dump everything, under RCU alone; and look some gfns up. */
void host_look(u64 *rnd)
{
	struct pgt_dump_entry out[64];
	struct pgt_root *root;

	if (next_random(rnd) % 4 == 0)
		expire_mmio();
	pgt_for_each_root(&guest.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range range = { 0, ~0ULL };
		u64 entries[PGT_MAX_LEVEL + 1];
		u64 last = 0;
		unsigned int nr;
		int level;

		do {
			rcu_read_lock();
			nr = pgt_dump(root, &range, out, 64);
			level = pgt_lookup(root, HUGE_START, entries);
			rcu_read_unlock();
			for (unsigned int i = 0; i < nr; i++) {
				if (out[i].level < 1 ||
				    out[i].level > root->levels)
					host_fail("dump", "level %d",
						  out[i].level);
			}
			if (nr && range.start < last)
				host_fail("dump", "goes back to %#llx",
					  (unsigned long long)range.start);
			last = range.start;
			if (level < 1 || level > root->levels)
				host_fail("lookup", "level %d", level);
		} while (range.start < range.end);
	}
}
