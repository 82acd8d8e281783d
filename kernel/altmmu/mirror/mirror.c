// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror as a whole: made, destroyed, looked at; its memory; and what is the
 * same for every call of a provider.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/sched.h>

#include "internal.h"

/* Software's, in a frozen entry: no address, neither present nor blocked. */
#define MIRROR_FROZEN		BIT_ULL(61)

/*
 * The format of tables that no CPU walks.  It has no rights, so no change makes
 * anything stale: what CPUs have cached is the provider's, and is seen to by its
 * epochs.
 */
static void mirror_init_format(struct pgt_format *fmt,
			       const struct mirror_provider *provider)
{
	*fmt = (struct pgt_format) {
		.name = "mirror",
		.present = PGT_PRESENT,
		.reach = PGT_PRESENT,
		.addr = GENMASK_ULL(51, PGT_PAGE_SHIFT),
		.frozen = MIRROR_FROZEN,
		.max_gfn = ~0ULL,
		.max_leaf_level = provider->max_leaf_level,
		.min_root_level = 3,
		.max_root_level = PGT_MAX_LEVEL,
	};
	for (int level = 2; level <= PGT_MAX_LEVEL; level++)
		fmt->table[level] = PGT_PRESENT;
}

/*
 * Memory.
 */

void mirror_cache_init(struct mirror_cache *cache, const struct mirror *mirror)
{
	pgt_cache_init(&cache->tables, &mirror->mmu);
	pgt_cache_init(&cache->provided, &mirror->mmu);
	cache->provided.init = mirror->provider->empty;
}

int mirror_cache_fill(struct mirror_cache *cache, unsigned int tables)
{
	return pgt_cache_fill(&cache->tables, tables, false) ?:
	       pgt_cache_fill(&cache->provided, tables, false);
}

void mirror_cache_drain(struct mirror_cache *cache)
{
	pgt_cache_drain(&cache->tables);
	pgt_cache_drain(&cache->provided);
}

/* From now on, until it is freed, @table's entry is where @provided is linked. */
void mirror_link_provided(u64 *table, void *provided)
{
	virt_to_ptdesc(table)->pt_index = (unsigned long)provided;
}

/*
 * Free a table that is no longer linked, and what the provider gave back with
 * it.  Both through RCU: lockless readers may be in the one, and in the other
 * whoever looks at a provider's tables without a lock.
 */
void mirror_free_table(u64 *table)
{
	void *provided = mirror_provided(table);
	LIST_HEAD(tables);

	if (provided)
		list_add(&virt_to_ptdesc(provided)->pt_list, &tables);
	list_add(&virt_to_ptdesc(table)->pt_list, &tables);
	pgt_tables_free_rcu(&tables);
}

/*
 * Calls.
 */

/* Count a call; @ret is what came of it.  Leaves are counted, not runs. */
int mirror_count(struct mirror *mirror, enum mirror_call call, u64 gfn,
		 int level, int ret)
{
	struct mirror_provider *p = mirror->provider;

	atomic_long_add(ret > 0 ? ret : 1, &p->calls[call]);
	if (ret == -EBUSY)
		atomic_long_inc(&p->busy[call]);
	mirror_env_trace(mirror, call, gfn, level, ret);
	return ret;
}

/* Tell the VM's owner of an answer that is none of those that were agreed on. */
int mirror_check(struct mirror *mirror, enum mirror_call call, u64 gfn,
		 int level, int ret)
{
	if (likely(!ret) || (call == MIRROR_MAP && ret > 0) ||
	    (call == MIRROR_PROMOTE && ret == -EOPNOTSUPP))
		return ret;
	mirror_env_broken(mirror, call, gfn, level, ret);
	/* Pairs with mirror_map(): who sees this sees that the VM is stopped. */
	smp_store_release(&mirror->broken, true);
	return -EIO;
}

/* Keep every vCPU out of the guest; true if they were kept out already. */
bool mirror_open_window(struct mirror *mirror)
{
	struct mirror_provider *p = mirror->provider;

	lockdep_assert_held_write(mirror->mmu.lock);
	if (mirror->window)
		return true;
	mirror->window = true;
	p->ops->open_window(p);
	mirror_count(mirror, MIRROR_OPEN_WINDOW, 0, 0, 0);
	return false;
}

/* At the end of a phase, and before the lock is dropped. */
void mirror_close_window(struct mirror *mirror)
{
	if (likely(!mirror->window))
		return;
	mirror->window = false;
	mirror->provider->ops->close_window(mirror->provider);
	mirror_count(mirror, MIRROR_CLOSE_WINDOW, 0, 0, 0);
}

/*
 * The whole.
 */

int mirror_init(struct mirror *mirror, rwlock_t *lock,
		struct mirror_provider *provider, int levels, u64 max_gfn,
		const struct pgt_counters *counters)
{
	struct pgt_cache cache;
	struct pgt_root *root;
	int ret;

	*mirror = (struct mirror) {
		.provider = provider,
		.batch = MIRROR_BATCH,
	};
	provider->mirror = mirror;
	mirror_init_format(&mirror->fmt, provider);
	pgt_mmu_init(&mirror->mmu, lock, max_gfn, 0, counters);

	pgt_cache_init(&cache, &mirror->mmu);
	ret = pgt_cache_fill(&cache, 1, true);
	if (!ret) {
		/* The lock is for who asserts that it is held. */
		read_lock(lock);
		root = pgt_root_get(&mirror->mmu, &mirror->fmt, levels, 0, 0,
				    &cache);
		read_unlock(lock);
		ret = PTR_ERR_OR_ZERO(root);
		mirror->root = ret ? NULL : root;
	}
	pgt_cache_drain(&cache);
	return ret;
}

/* Nobody is left who could be busy for long: what is not had then is leaked. */
#define MIRROR_RECLAIM_TRIES	16

static void mirror_reclaim(struct mirror *mirror, u64 gfn, u64 pfn, int level,
			   bool *leaked)
{
	struct mirror_provider *p = mirror->provider;
	int tries = MIRROR_RECLAIM_TRIES;
	int ret;

	do {
		ret = mirror_count(mirror, MIRROR_RECLAIM, gfn, level,
				   p->ops->reclaim(p, pfn, level));
	} while ((ret == -EINTR || ret == -EBUSY) && --tries);
	*leaked = mirror_check(mirror, MIRROR_RECLAIM, gfn, level, ret) < 0;
}

/* Take back all that is below a table, then what the provider had for it. */
static void mirror_destroy_table(struct mirror *mirror,
				 struct pgt_batch *batch, u64 *table, u64 gfn,
				 int level)
{
	struct pgt_pos pos = { .entry = table, .gfn = gfn, .level = level };
	bool leaked;

	for (int i = 0; i < PGT_ENTRIES; i++) {
		u64 was = READ_ONCE(*pos.entry);

		pos.old = was;
		if (mirror_is_blocked(was))
			was = mirror_unblocked(was);
		if (was)
			mirror_publish(mirror, batch, &pos, 0);
		if (pgt_is_table(was, level)) {
			u64 *below = pgt_table_of(&mirror->fmt, was);
			void *provided = mirror_provided(below);

			mirror_destroy_table(mirror, batch, below, pos.gfn,
					     level - 1);
			mirror_reclaim(mirror, pos.gfn,
				       __pa(provided) >> PGT_PAGE_SHIFT, 0,
				       &leaked);
			if (leaked)
				mirror_link_provided(below, NULL);
			mirror_free_table(below);
		} else if (pgt_is_leaf(was, level)) {
			u64 pfn = pgt_leaf_pfn(&mirror->fmt, was, level);

			mirror_reclaim(mirror, pos.gfn, pfn, level, &leaked);
			if (leaked)
				mirror_env_leak(mirror, pfn, level);
		}
		pos.entry++;
		pos.gfn += pgt_pages(level);
	}
	pgt_batch_settle(batch);
	cond_resched_rwlock_write(mirror->mmu.lock);
}

void mirror_destroy(struct mirror *mirror)
{
	struct pgt_root *root = mirror->root;
	struct pgt_batch batch;

	if (!root)
		return;
	write_lock(mirror->mmu.lock);
	pgt_batch_begin(&batch, &mirror->mmu, PGT_EXCLUSIVE, false);
	mirror_destroy_table(mirror, &batch, root->table, 0, root->levels);
	pgt_batch_end(&batch);
	spin_lock(&mirror->mmu.roots_lock);
	WRITE_ONCE(root->state, PGT_ROOT_EMPTIED);
	spin_unlock(&mirror->mmu.roots_lock);
	write_unlock(mirror->mmu.lock);

	/* The engine's reference, and ours. */
	pgt_root_put(root);
	pgt_root_put(root);
	mirror->root = NULL;
	rcu_barrier();
}

int mirror_lookup(struct mirror *mirror, u64 gfn, u64 *pfn)
{
	struct pgt_pos pos;

	pgt_assert_rcu();
	if (!pgt_pos_find(&pos, mirror->root, gfn, 1) ||
	    !pgt_is_leaf(pos.old, pos.level))
		return 0;
	*pfn = pgt_leaf_pfn(&mirror->fmt, pos.old, pos.level) +
	       (gfn - pos.gfn);
	return pos.level;
}
