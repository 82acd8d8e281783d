// SPDX-License-Identifier: GPL-2.0
/*
 * Table pages: where they come from and how they go.  What is in them is
 * change.h's to write.
 *
 * A table has no metadata besides the struct ptdesc that every page has anyway:
 * its level and gfn are known from the walk that reaches it.  The descriptor's
 * list link, index and RCU head are used from when the table is unlinked; that
 * of a top table has its root in the index.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

void pgt_cache_init(struct pgt_cache *cache, const struct pgt_mmu *mmu)
{
	*cache = (struct pgt_cache) {
		.init = mmu->nonpresent,
		.gfp = GFP_KERNEL_ACCOUNT,
	};
}

static void pgt_cache_link(struct pgt_cache *cache, u64 *table)
{
	table[0] = (unsigned long)cache->head;
	cache->head = table;
	cache->nr++;
}

int pgt_cache_fill(struct pgt_cache *cache, unsigned int tables, bool root)
{
	struct ptdesc *pt;

	if (root && !cache->root) {
		cache->root = kzalloc_obj(*cache->root, GFP_KERNEL_ACCOUNT);
		if (!cache->root)
			return -ENOMEM;
	}
	while (cache->nr < tables) {
		pt = pagetable_alloc(cache->gfp, 0);
		if (!pt)
			return -ENOMEM;
		memset64(ptdesc_address(pt), cache->init, PGT_ENTRIES);
		pgt_cache_link(cache, ptdesc_address(pt));
	}
	return 0;
}

void pgt_cache_drain(struct pgt_cache *cache)
{
	u64 *table;

	while ((table = pgt_cache_pop(cache)))
		pgt_table_free(table);
	kfree(cache->root);
	cache->root = NULL;
}

/* A table of empty entries, or NULL. */
u64 *pgt_cache_pop(struct pgt_cache *cache)
{
	u64 *table = cache->head;

	if (!table)
		return NULL;
	cache->head = (u64 *)(unsigned long)table[0];
	cache->nr--;
	table[0] = cache->init;
	return table;
}

/* Give back a table that was written to but never linked. */
void pgt_cache_push(struct pgt_cache *cache, u64 *table)
{
	memset64(table, cache->init, PGT_ENTRIES);
	pgt_cache_link(cache, table);
}

/*
 * For a table that nothing has ever reached, or can reach no more.  It is none of
 * the kernel's own, for which pagetable_free() calls what modules can't.
 */
void pgt_table_free(u64 *table)
{
	__pagetable_free(virt_to_ptdesc(table));
}

static void pgt_table_free_cb(struct rcu_head *head)
{
	__pagetable_free(container_of(head, struct ptdesc, pt_rcu_head));
}

/*
 * Free tables that no CPU can reach any more.  Lockless walkers may: they are
 * inside rcu_read_lock() from before they read the link until they are done, so
 * call_rcu() waits for every one that could have read it before it was cut.
 */
void pgt_tables_free_rcu(struct list_head *tables)
{
	struct ptdesc *pt, *next;

	list_for_each_entry_safe(pt, next, tables, pt_list) {
		/* pt_rcu_head shares its place with pt_list. */
		list_del(&pt->pt_list);
		call_rcu(&pt->pt_rcu_head, pgt_table_free_cb);
	}
}
