// SPDX-License-Identifier: GPL-2.0
/*
 * Roots: made for a key, shared by reference, invalidated all at once, emptied
 * in steps, freed with their last user.
 *
 * The MMU itself holds one reference from when a root is made until it has been
 * emptied.  So a root whose last reference goes maps nothing, and a root that
 * still maps something stays on the list, where unmapping finds it.
 */
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "walk.h"

static bool pgt_root_in_space(const struct pgt_root *root, int space)
{
	return space == PGT_ANY_SPACE || root->space == space;
}

/* Needs the roots lock. */
static struct pgt_root *pgt_root_find(struct pgt_mmu *mmu, int space, u32 role)
{
	struct pgt_root *root;

	list_for_each_entry(root, &mmu->roots, link)
		if (root->state == PGT_ROOT_VALID && root->space == space &&
		    root->role == role && refcount_inc_not_zero(&root->refs))
			return root;
	return NULL;
}

struct pgt_root *pgt_root_get(struct pgt_mmu *mmu,
			      const struct pgt_format *fmt, int levels,
			      int space, u32 role, struct pgt_cache *cache)
{
	struct pgt_root *root;

	lockdep_assert_held(mmu->lock);
	if (levels < fmt->min_root_level || levels > fmt->max_root_level ||
	    fmt->nonpresent != mmu->nonpresent)
		return ERR_PTR(-EINVAL);

	spin_lock(&mmu->roots_lock);
	root = pgt_root_find(mmu, space, role);
	if (root)
		goto out;
	if (!cache->root || !cache->nr) {
		root = ERR_PTR(-ENOMEM);
		goto out;
	}
	root = cache->root;
	cache->root = NULL;
	root->mmu = mmu;
	root->fmt = fmt;
	root->table = pgt_cache_pop(cache);
	virt_to_ptdesc(root->table)->pt_index = (unsigned long)root;
	root->end = min(pgt_pages(levels + 1), fmt->max_gfn);
	root->foreign_end = 0;
	root->foreign_level = 0;
	root->nr = ++mmu->root_nr;
	root->role = role;
	root->space = space;
	root->levels = levels;
	root->state = PGT_ROOT_VALID;
	refcount_set(&root->refs, 2);
	atomic_long_inc(mmu->counters.tables);
	pgt_env_account_table(root->table, 1);
	/* Publishes all of the above to pgt_root_next() and pgt_root_seek(). */
	list_add_tail_rcu(&root->link, &mmu->roots);
out:
	spin_unlock(&mmu->roots_lock);
	return root;
}

static void pgt_root_free_cb(struct rcu_head *head)
{
	struct pgt_root *root = container_of(head, struct pgt_root, rcu);

	pgt_table_free(root->table);
	kfree(root);
}

/*
 * The tables between the root and its foreign entries, which emptying leaves.
 * Nobody can reach them: the root has no user, and vCPUs that had it loaded
 * dropped all that they cached for it.
 */
static long pgt_root_unpin(struct pgt_root *root, struct list_head *tables)
{
	u64 *table = root->table;
	long nr = 0;

	for (int level = root->levels; level > root->foreign_level; level--) {
		u64 link = READ_ONCE(table[0]);

		if (!pgt_is_table(link, level))
			break;
		table = pgt_table_of(root->fmt, link);
		pgt_env_account_table(table, -1);
		list_add_tail(&virt_to_ptdesc(table)->pt_list, tables);
		nr++;
	}
	return nr;
}

void pgt_root_put(struct pgt_root *root)
{
	struct pgt_mmu *mmu = root->mmu;
	LIST_HEAD(pinned);
	long nr = 1;

	if (!refcount_dec_and_test(&root->refs))
		return;

	if (root->foreign_end)
		nr += pgt_root_unpin(root, &pinned);
	pgt_env_account_table(root->table, -1);
	/* Off the list and out of the counters at once, for the validator. */
	spin_lock(&mmu->roots_lock);
	list_del_rcu(&root->link);
	atomic_long_sub(nr, mmu->counters.tables);
	spin_unlock(&mmu->roots_lock);

	pgt_tables_free_rcu(&pinned);
	/*
	 * Lockless walkers may still hold what pgt_root_next() showed them, or
	 * be in the tables of what pgt_root_seek() did.
	 */
	call_rcu(&root->rcu, pgt_root_free_cb);
}

struct pgt_root *pgt_root_of(u64 *table)
{
	return (struct pgt_root *)(unsigned long)virt_to_ptdesc(table)->pt_index;
}

struct pgt_root *pgt_root_next(struct pgt_mmu *mmu, struct pgt_root *prev,
			       int space, unsigned int states)
{
	struct pgt_root *root;

	/*
	 * Our reference keeps @prev on the list, so its link leads on.  RCU
	 * keeps the roots behind it in memory until we have taken a reference
	 * or gone past them.
	 */
	rcu_read_lock();
	root = prev ? list_next_or_null_rcu(&mmu->roots, &prev->link,
					    struct pgt_root, link) :
		      list_first_or_null_rcu(&mmu->roots, struct pgt_root,
					     link);
	while (root) {
		if (pgt_root_in_space(root, space) &&
		    BIT(READ_ONCE(root->state)) & states &&
		    refcount_inc_not_zero(&root->refs))
			break;
		root = list_next_or_null_rcu(&mmu->roots, &root->link,
					     struct pgt_root, link);
	}
	rcu_read_unlock();

	if (prev)
		pgt_root_put(prev);
	return root;
}

/*
 * No reference is needed within the RCU section: a root and its top table are
 * freed by call_rcu() from after list_del_rcu(), tables below by call_rcu() from
 * after their link was cut, so whoever finds the one or the other is waited for.
 * What is published before the root is seen with it, by address dependency
 * (list_add_tail_rcu() in pgt_root_get()).  A root that has been invalidated since
 * we looked is being emptied by pgt_roots_empty(), whose exchanges reckon with
 * those of pgt_age() as they do with the CPU's.
 */
struct pgt_root *pgt_root_seek(struct pgt_mmu *mmu, u64 nr, int space,
			       unsigned int states)
{
	struct pgt_root *root;

	pgt_assert_rcu();
	list_for_each_entry_rcu(root, &mmu->roots, link)
		if (root->nr >= nr && pgt_root_in_space(root, space) &&
		    BIT(READ_ONCE(root->state)) & states)
			return root;
	return NULL;
}

bool pgt_age_roots(struct pgt_mmu *mmu, int space,
		   const struct pgt_range *range, bool test)
{
	struct pgt_range left = *range;
	struct pgt_root *root;
	bool young = false;
	u64 nr = 0;

	do {
		rcu_read_lock();
		root = pgt_root_seek(mmu, nr, space, PGT_VALID_ROOTS);
		if (root) {
			/* The one that we were in has gone. */
			if (root->nr != nr)
				left = *range;
			nr = root->nr;
			young |= test ? pgt_test_age(root, &left) :
					pgt_age(root, &left);
			if (left.start >= left.end) {
				left = *range;
				nr++;
			}
		}
		rcu_read_unlock();
	} while (root && !(test && young));
	return young;
}

void pgt_roots_invalidate(struct pgt_mmu *mmu, int space)
{
	struct pgt_root *root;
	bool any = false;

	lockdep_assert_held_write(mmu->lock);
	spin_lock(&mmu->roots_lock);
	list_for_each_entry(root, &mmu->roots, link) {
		if (root->state == PGT_ROOT_VALID &&
		    pgt_root_in_space(root, space)) {
			/*
			 * Faults look at this under the lock that we hold for
			 * writing: none maps in the root from here on.
			 */
			WRITE_ONCE(root->state, PGT_ROOT_INVALID);
			any = true;
		}
	}
	spin_unlock(&mmu->roots_lock);
	if (any)
		pgt_env_obsolete(mmu);
}

void pgt_roots_empty(struct pgt_mmu *mmu, enum pgt_mode mode, bool may_yield)
{
	struct pgt_root *root;
	struct pgt_batch batch;

	pgt_batch_begin(&batch, mmu, mode, may_yield);
	batch.obsolete = true;
	pgt_for_each_root(mmu, root, PGT_ANY_SPACE, PGT_INVALID_ROOTS) {
		struct pgt_range all = { .end = ~0ULL };

		pgt_zap_tables(&batch, root, &all);
		pgt_batch_settle(&batch);
		spin_lock(&mmu->roots_lock);
		WRITE_ONCE(root->state, PGT_ROOT_EMPTIED);
		spin_unlock(&mmu->roots_lock);
		/* The MMU's reference; the loop has one of its own. */
		pgt_root_put(root);
	}
	pgt_batch_end(&batch);
}

/*
 * Come to the first of the @nr entries at @level that map the lowest gfns, if all
 * of them are empty.  The tables on the way have to stay, so none may be there
 * for the mitigation.
 */
static int pgt_root_find_foreign(struct pgt_batch *batch, struct pgt_root *root,
				 struct pgt_pos *pos, int level,
				 unsigned int nr, struct pgt_cache *cache)
{
	const struct pgt_format *fmt = root->fmt;

	pgt_pos_in(pos, root->table, 0, root->levels);
	while (pos->level > level) {
		if (pgt_is_empty(fmt, pos->old) &&
		    pgt_link_table(batch, fmt, pos, 0, cache))
			return -ENOMEM;
		if (!pgt_is_table(pos->old, pos->level) ||
		    pos->old & fmt->nx_disallowed)
			return -EBUSY;
		pgt_pos_dive(pos, fmt, 0, pos->level - 1);
	}
	for (unsigned int i = 0; i < nr; i++)
		if (!pgt_is_empty(fmt, READ_ONCE(pos->entry[i])))
			return -EBUSY;
	return 0;
}

u64 *pgt_root_foreign(struct pgt_root *root, u64 end, unsigned int *nr,
		      struct pgt_cache *cache)
{
	struct pgt_batch batch;
	struct pgt_pos pos;
	int level = 1;
	int ret;

	lockdep_assert_held_write(root->mmu->lock);
	if (root->foreign_end || !end || end & (end - 1) || end >= root->end)
		return ERR_PTR(-EINVAL);
	/* As few entries as possible, so as high up as possible. */
	while (end >= pgt_pages(level + 1))
		level++;
	*nr = end / pgt_pages(level);

	pgt_batch_begin(&batch, root->mmu, PGT_EXCLUSIVE, false);
	rcu_read_lock();
	ret = pgt_root_find_foreign(&batch, root, &pos, level, *nr, cache);
	rcu_read_unlock();
	pgt_batch_end(&batch);
	if (ret)
		return ERR_PTR(ret);
	root->foreign_level = level;
	root->foreign_end = end;
	return pos.entry;
}

void pgt_mmu_destroy(struct pgt_mmu *mmu)
{
	write_lock(mmu->lock);
	pgt_roots_invalidate(mmu, PGT_ANY_SPACE);
	pgt_roots_empty(mmu, PGT_EXCLUSIVE, true);
	write_unlock(mmu->lock);
	rcu_barrier();
}
