// SPDX-License-Identifier: GPL-2.0
/*
 * Running out of memory: at every allocation in turn, and out of cached tables
 * at every place in turn.
 *
 * One scenario uses all that fills a cache or takes from one.  Whoever runs out
 * tries again, as KVM would, and must come to the very tables that it comes to
 * without any failure, with nothing leaked on the way.
 */
#include <string.h>

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "test.h"
#include "vm.h"

#define NOMEM_PFN	0x10000000ULL
#define NOMEM_GEN	7
#define NOMEM_FOREIGN	0x200ULL
#define NOMEM_ENTRIES	4096

/* How the scenario is to get its tables. */
struct nomem_how {
	unsigned int fill;	/* tables wanted when some are needed */
	unsigned int cached;	/* tables in the cache to begin with */
	unsigned int failed;	/* fills that failed */
	unsigned int ran_out;	/* operations that did */
};

static struct pgt_cache nomem_cache;
static struct nomem_how nomem;

/* What is left in the end. */
struct nomem_content {
	unsigned int nr;
	struct pgt_dump_entry entry[NOMEM_ENTRIES];
};

static struct nomem_content nomem_want, nomem_have;

static void nomem_check(void)
{
	struct pgt_verdict verdict;

	if (!pgt_validate(&vm.mmu, &verdict))
		host_fail("validator", "%s: gfn %#llx, level %d", verdict.what,
			  (unsigned long long)verdict.gfn, verdict.level);
	/* Nothing is on its way: each table is in a root or in the cache. */
	HOST_EQ(mem_tables_in_use(),
		atomic_long_read(vm.mmu.counters.tables) + nomem_cache.nr);
	HOST_EQ(vm.tables, atomic_long_read(vm.mmu.counters.tables));
}

/* More tables, out of the lock; twice, for what fails once. */
static void nomem_fill(bool root)
{
	unsigned int had = nomem_cache.nr;

	write_unlock(&vm.lock);
	if (pgt_cache_fill(&nomem_cache, nomem.fill, root)) {
		nomem.failed++;
		/* What could be had is kept. */
		HOST_CHECK(nomem_cache.nr >= had);
		HOST_CHECK(nomem_cache.nr < nomem.fill || !nomem_cache.root);
		nomem_check();
		HOST_EQ(pgt_cache_fill(&nomem_cache, nomem.fill, root), 0);
	}
	HOST_CHECK(nomem_cache.nr >= nomem.fill);
	HOST_CHECK(!root || nomem_cache.root);
	write_lock(&vm.lock);
}

/*
 * Do @expr until it does not run out.  It must have used what there was, or the
 * caller would try forever.
 */
#define NOMEM_RETRY(ret, root, expr) do {				\
	while ((ret = (expr)) == -ENOMEM) {				\
		nomem.ran_out++;					\
		HOST_EQ(nomem_cache.nr, 0);				\
		nomem_check();						\
		nomem_fill(root);					\
	}								\
} while (0)

static struct pgt_root *nomem_root(int space)
{
	struct pgt_root *root;

	for (;;) {
		root = pgt_root_get(&vm.mmu, &vm.fmt, vm.config->levels, space,
				    0, &nomem_cache);
		if (!IS_ERR(root))
			return root;
		HOST_EQ(PTR_ERR(root), -ENOMEM);
		nomem.ran_out++;
		nomem_check();
		nomem_fill(true);
	}
}

static struct pgt_map nomem_map(u64 gfn, int level)
{
	return (struct pgt_map){
		.gfn = gfn,
		.pfn = NOMEM_PFN + gfn,
		.level = level,
		.req_level = level,
		.access = PGT_R | PGT_W | PGT_X | PGT_UX | PGT_U,
		.want = PGT_R,
		.memtype = vm.config->mode.format == CPU_EPT ? 6 : 0,
		.host_writable = true,
		.mmu_writable = true,
	};
}

/* Every batch must end without a flush: nothing gets stale here. */
static int nomem_map_one(struct pgt_root *root, struct pgt_map *map)
{
	struct pgt_batch batch;
	int ret;

	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	ret = pgt_map(&batch, root, map, &nomem_cache);
	pgt_batch_end(&batch);
	return ret;
}

static int nomem_map_run(struct pgt_root *root, const struct pgt_map *map,
			 const u64 *pfns, unsigned int nr)
{
	struct pgt_batch batch;
	int ret;

	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	ret = pgt_map_run(&batch, root, map, pfns, nr, &nomem_cache);
	pgt_batch_end(&batch);
	return ret;
}

static int nomem_map_mmio(struct pgt_root *root, u64 gfn)
{
	struct pgt_batch batch;
	int ret;

	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	ret = pgt_map_mmio(&batch, root, gfn, NOMEM_GEN, 2, &nomem_cache);
	pgt_batch_end(&batch);
	return ret;
}

static int nomem_split(struct pgt_root *root, struct pgt_range *range,
		       int level)
{
	u64 start = range->start;
	struct pgt_batch batch;
	int ret;

	pgt_batch_begin(&batch, &vm.mmu, PGT_EXCLUSIVE, false);
	ret = pgt_split(&batch, root, range, level, 0, &nomem_cache);
	pgt_batch_end(&batch);
	HOST_CHECK(range->start >= start);
	return ret;
}

static u64 *nomem_foreign(struct pgt_root *root)
{
	unsigned int nr;
	u64 *entry;

	for (;;) {
		entry = pgt_root_foreign(root, NOMEM_FOREIGN, &nr,
					 &nomem_cache);
		if (!IS_ERR(entry))
			return entry;
		HOST_EQ(PTR_ERR(entry), -ENOMEM);
		nomem.ran_out++;
		nomem_check();
		nomem_fill(false);
	}
}

static void nomem_scenario(const struct vm_config *config)
{
	int huge = config->mode.format == CPU_PAE ? 2 : 3;
	struct pgt_root *root, *other;
	struct pgt_range range;
	struct pgt_map map;
	u64 pfns[8];
	u64 *entry;
	int ret;

	write_lock(&vm.lock);
	root = nomem_root(0);
	/* A second root, of which a part is not the engine's. */
	other = nomem_root(1);
	entry = nomem_foreign(other);
	*entry = PGT_PRESENT;

	/* A page at the end of one table and one in the next. */
	map = nomem_map(0x3ff, 1);
	NOMEM_RETRY(ret, false, nomem_map_one(root, &map));
	HOST_EQ(ret, PGT_DONE);
	map = nomem_map(0x400, 1);
	NOMEM_RETRY(ret, false, nomem_map_one(root, &map));
	HOST_EQ(ret, PGT_DONE);
	map = nomem_map(0x400, 1);
	NOMEM_RETRY(ret, false, nomem_map_one(other, &map));
	HOST_EQ(ret, PGT_DONE);

	/* A run, where there is no table yet. */
	map = nomem_map(0x601, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = i == 3 ? PGT_NO_PFN : NOMEM_PFN + 0x601 + i;
	NOMEM_RETRY(ret, false,
		    nomem_map_run(root, &map, pfns, ARRAY_SIZE(pfns)));
	HOST_EQ(ret, ARRAY_SIZE(pfns) - 1);

	NOMEM_RETRY(ret, false, nomem_map_mmio(root, 0x90005));
	HOST_EQ(ret, PGT_DONE);

	/* The largest page, split where it is touched, at last into 4K. */
	map = nomem_map(0x40000, huge);
	NOMEM_RETRY(ret, false, nomem_map_one(root, &map));
	HOST_EQ(ret, PGT_DONE);
	range = (struct pgt_range){ 0x401ff, 0x40201 };
	NOMEM_RETRY(ret, false, nomem_split(root, &range, 2));
	range = (struct pgt_range){ 0x401ff, 0x40201 };
	NOMEM_RETRY(ret, false, nomem_split(root, &range, 1));
	HOST_EQ(range.start, range.end);

	/* Split by a fault, which the mitigation makes want 4K. */
	map = nomem_map(0xc0000, huge);
	map.nx_huge = true;
	NOMEM_RETRY(ret, false, nomem_map_one(root, &map));
	HOST_EQ(ret, PGT_DONE);
	map = nomem_map(0xc0203, 1);
	map.req_level = huge;
	map.nx_huge = true;
	map.nx_disallow = true;
	map.want = PGT_X;
	NOMEM_RETRY(ret, false, nomem_map_one(root, &map));
	HOST_CHECK(ret == PGT_DONE || ret == PGT_SPURIOUS);
	write_unlock(&vm.lock);
	nomem_check();
}

/* Entries of all roots, but for the addresses of tables. */
static void nomem_collect(struct nomem_content *content)
{
	static struct pgt_dump_entry out[256];
	struct pgt_root *root;
	unsigned int nr;

	content->nr = 0;
	pgt_for_each_root(&vm.mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		struct pgt_range range = { 0, ~0ULL };

		rcu_read_lock();
		while (range.start < range.end) {
			nr = pgt_dump(root, &range, out, ARRAY_SIZE(out));
			HOST_CHECK(content->nr + nr <= NOMEM_ENTRIES);
			for (unsigned int i = 0; i < nr; i++) {
				struct pgt_dump_entry *e =
					&content->entry[content->nr++];

				*e = out[i];
				if (pgt_is_table(e->entry, e->level))
					e->entry &= ~vm.fmt.addr;
			}
		}
		rcu_read_unlock();
	}
}

static void nomem_compare(void)
{
	HOST_EQ(nomem_have.nr, nomem_want.nr);
	for (unsigned int i = 0; i < nomem_have.nr; i++) {
		HOST_EQ(nomem_have.entry[i].gfn, nomem_want.entry[i].gfn);
		HOST_EQ(nomem_have.entry[i].level, nomem_want.entry[i].level);
		HOST_EQ(nomem_have.entry[i].entry, nomem_want.entry[i].entry);
	}
}

/* The scenario once, with the @fail_at-th allocation failing. */
static void nomem_run(const struct vm_config *config, unsigned int fill,
		      unsigned int cached, long fail_at,
		      struct nomem_content *content)
{
	struct pgt_root *root;

	mem_reset();
	vm_create(config, 0, 0, 1);
	nomem = (struct nomem_how){ .fill = fill, .cached = cached };
	pgt_cache_init(&nomem_cache, &vm.mmu);
	if (cached)
		HOST_EQ(pgt_cache_fill(&nomem_cache, cached, true), 0);
	if (fail_at)
		mem_fail_at(fail_at);
	nomem_scenario(config);
	mem_fail_at(-1);
	nomem_collect(content);
	HOST_EQ(vm.flushes, 0);

	pgt_cache_drain(&nomem_cache);
	/* The scenario's references. */
	list_for_each_entry(root, &vm.mmu.roots, link)
		HOST_EQ(refcount_read(&root->refs), 2);
	for (int space = 0; space < 2; space++) {
		root = pgt_root_next(&vm.mmu, NULL, space, PGT_VALID_ROOTS);
		HOST_CHECK(root);
		pgt_root_put(root);
		pgt_root_put(root);
	}
	vm_destroy();
	HOST_EQ(mem_objects_in_use(), 0);
}

/* Return: the tables that the scenario needs, all roots together. */
static unsigned int nomem_plain(const struct vm_config *config)
{
	nomem_run(config, 64, 64, 0, &nomem_want);
	HOST_EQ(nomem.failed, 0);
	return mem_alloc_count();
}

static void nomem_allocations(const struct vm_config *config)
{
	unsigned int nr_failed = 0;

	nomem_plain(config);
	/* Tables one by one and by the handful. */
	for (unsigned int fill = 1; fill <= 6; fill += 5) {
		for (long n = 1;; n++) {
			nomem_run(config, fill, 0, n, &nomem_have);
			nomem_compare();
			HOST_CHECK(nomem.failed <= 1);
			if (!nomem.failed)
				break;
			nr_failed++;
		}
	}
	/* The roots, their tables, and all tables below were in turn. */
	HOST_CHECK(nr_failed > 30);
}

static void nomem_tables(const struct vm_config *config)
{
	unsigned int enough = nomem_plain(config);

	for (unsigned int cached = 0; cached <= enough; cached++) {
		nomem_run(config, 1, cached, 0, &nomem_have);
		nomem_compare();
		/* With more than the scenario needs it never runs out. */
		HOST_CHECK(cached < enough || nomem.ran_out <= 1);
	}
	/* And always only just not enough. */
	for (unsigned int fill = 1; fill < 8; fill++) {
		nomem_run(config, fill, 0, 0, &nomem_have);
		nomem_compare();
		HOST_CHECK(nomem.ran_out);
	}
}

HOST_TEST(nomem, allocations)
{
	for (unsigned int i = 0; i < vm_nr_configs; i++)
		nomem_allocations(&vm_configs[i]);
}

HOST_TEST(nomem, tables)
{
	for (unsigned int i = 0; i < vm_nr_configs; i++)
		nomem_tables(&vm_configs[i]);
}
