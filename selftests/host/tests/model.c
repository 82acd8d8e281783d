// SPDX-License-Identifier: GPL-2.0
/*
 * The engine against the reference model (model.c): random sequences of
 * operations for each kind of page table, the fuzzer's corpus, and what came of
 * both.
 *
 * Of the random ones, the seed of a sequence is what a failure prints: with
 * --seed it is the first sequence that runs.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/errno.h>
#include <linux/mm.h>

#include "model.h"
#include "test.h"

#define MODEL_SEQUENCES	160
#define MODEL_MAX_BYTES	3000

static u64 next_random(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static u64 model_sequence(const struct vm_config *config, u64 seed)
{
	static u8 data[MODEL_MAX_BYTES];
	size_t size = 200 + next_random(&seed) % (MODEL_MAX_BYTES - 200);

	for (size_t i = 0; i < size; i++)
		data[i] = next_random(&seed) >> 32;
	return model_run(data, size, config);
}

static void model_test(const struct vm_config *config)
{
	unsigned int seconds = host_seconds(0);
	time_t end = time(NULL) + seconds;
	u64 first = host_seed(), seeds = host_seed(), ops = 0, nr = 0;

	for (;;) {
		/* What a failure prints is host_run.seed. */
		ops += model_sequence(config, host_run.seed);
		nr++;
		if (seconds ? time(NULL) >= end : nr == MODEL_SEQUENCES)
			break;
		host_run.seed = next_random(&seeds);
	}
	host_run.seed = first;
	if (host_verbose() || seconds)
		host_note("%llu operations in %llu sequences",
			  (unsigned long long)ops, (unsigned long long)nr);
}

#define MODEL_TEST(id, index)						\
	HOST_TEST(model, id)						\
	{								\
		model_test(&vm_configs[index]);				\
	}

MODEL_TEST(ept, 0)
MODEL_TEST(npt, 1)
MODEL_TEST(ept_noad, 2)
MODEL_TEST(ept_mbec_ve_l5, 3)
MODEL_TEST(ept_noad_mbec_l1tf, 4)
MODEL_TEST(npt_noad_l5, 5)
MODEL_TEST(npt_me, 6)
MODEL_TEST(pae, 7)
MODEL_TEST(pae_noad, 8)

/* If there is a kind more, it needs a line above. */
HOST_TEST(model, every_config)
{
	static const char * const name[] = {
		"ept", "npt", "ept-noad", "ept-mbec-ve-l5",
		"ept-noad-mbec-l1tf", "npt-noad-l5", "npt-me", "pae",
		"pae-noad",
	};

	HOST_EQ(vm_nr_configs, sizeof(name) / sizeof(name[0]));
	for (unsigned int i = 0; i < vm_nr_configs; i++)
		HOST_CHECK(!strcmp(vm_configs[i].name, name[i]));
}

/* Where the program was built from, unless the environment knows better. */
static void corpus_dir(char *dir, size_t size)
{
	const char *env = getenv("ALTMMU_HOST_DIR");

	if (env) {
		snprintf(dir, size, "%s/fuzz/corpus", env);
		return;
	}
#ifdef HOST_DIR
	snprintf(dir, size, "%s/fuzz/corpus", HOST_DIR);
#else
	snprintf(dir, size, "%s", __FILE__);
	char *slash = strrchr(dir, '/');

	HOST_CHECK(slash);
	*slash = 0;
	strncat(dir, "/../fuzz/corpus", size - strlen(dir) - 1);
#endif
}

HOST_TEST(model, corpus)
{
	static u8 data[1 << 16];
	struct dirent **list;
	char dir[512], path[800];
	unsigned int nr = 0;
	int files;

	corpus_dir(dir, sizeof(dir));
	/* Sorted, for the same failure each time. */
	files = scandir(dir, &list, NULL, alphasort);
	if (files < 0)
		host_skip("no %s here", dir);
	for (int i = 0; i < files; i++) {
		size_t size = 0;
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		file = list[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
		free(list[i]);
		if (!file)
			continue;
		size = fread(data, 1, sizeof(data), file);
		fclose(file);
		if (host_verbose())
			host_note("%s", path);
		model_run(data, size, NULL);
		nr++;
	}
	free(list);
	HOST_CHECK(nr);
}

/*
 * Corners that the model has found the engine to get wrong once, each by the
 * consequence that it had.
 */

#define CORNER_PFN	0x10000000ULL

static struct pgt_root *corner_root;
static struct pgt_cache corner_cache;

static void corner_begin(const struct vm_config *config)
{
	vm_create(config, 1, 0, 3);
	vm.vcpu[0].cpu.on_write = NULL;
	pgt_cache_init(&corner_cache, &vm.mmu);
	HOST_EQ(pgt_cache_fill(&corner_cache, 16, true), 0);
	write_lock(&vm.lock);
	corner_root = pgt_root_get(&vm.mmu, &vm.fmt, config->levels, 0, 0,
				   &corner_cache);
	write_unlock(&vm.lock);
	cpu_load_root(&vm.vcpu[0].cpu, __pa(corner_root->table));
}

static void corner_end(void)
{
	vm_validate();
	cpu_unload(&vm.vcpu[0].cpu);
	pgt_root_put(corner_root);
	pgt_cache_drain(&corner_cache);
	vm_destroy();
}

static struct pgt_map corner_page(u64 gfn, int level)
{
	return (struct pgt_map){
		.gfn = gfn, .pfn = CORNER_PFN + gfn, .level = level,
		.req_level = level, .host_writable = true,
		.mmu_writable = true,
		.access = PGT_R | PGT_W | PGT_X | PGT_UX | PGT_U,
		.memtype = vm.config->mode.format == CPU_EPT ? 6 : 0,
	};
}

static int corner_map(struct pgt_map *map)
{
	struct pgt_batch batch;
	int ret;

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	ret = pgt_map(&batch, corner_root, map, &corner_cache);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	return ret;
}

static int corner_map_page(u64 gfn, int level)
{
	struct pgt_map map = corner_page(gfn, level);

	return corner_map(&map);
}

static bool corner_access(u64 gfn, enum cpu_access access)
{
	return cpu_access(&vm.vcpu[0].cpu, gfn, access, NULL) == CPU_OK;
}

static bool corner_is_mapped(u64 gfn)
{
	u64 entries[PGT_MAX_LEVEL + 1];
	int level;

	rcu_read_lock();
	level = pgt_lookup(corner_root, gfn, entries);
	rcu_read_unlock();
	return level > 0 && pgt_is_leaf(entries[level], level);
}

/* Zap a page in an open batch, and leave the lock, as a yield does. */
static void corner_open(struct pgt_batch *batch, u64 gfn)
{
	static struct pgt_open open;
	struct pgt_range range = { gfn, gfn + 1 };

	write_lock(&vm.lock);
	pgt_batch_begin(batch, &vm.mmu, PGT_EXCLUSIVE, true);
	pgt_batch_open(batch, &open, gfn, gfn + 1);
	pgt_zap_leaves(batch, corner_root, &range);
	write_unlock(&vm.lock);
}

static void corner_close(struct pgt_batch *batch)
{
	write_lock(&vm.lock);
	pgt_batch_end(batch);
	write_unlock(&vm.lock);
}

/* A huge leaf goes whole: what is stale is more than the batch was opened for. */
HOST_TEST(corner, open_huge)
{
	struct pgt_range range = { 0x100, 0x101 };
	struct pgt_batch open, batch;

	corner_begin(VM_EPT);
	HOST_EQ(corner_map_page(0x100, 2), PGT_DONE);
	HOST_CHECK(corner_access(0x100, CPU_WRITE));
	corner_open(&open, 0x10);

	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	pgt_wrprot(&batch, corner_root, &range, 1, true);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	if (corner_access(0x100, CPU_WRITE))
		host_fail("open", "a page is written to that was write-protected");

	corner_close(&open);
	corner_end();
}

/* What an open batch unmaps does not come back as a part of a huge leaf. */
HOST_TEST(corner, open_map_huge)
{
	struct pgt_batch open;

	corner_begin(VM_EPT);
	HOST_EQ(corner_map_page(0x10, 1), PGT_DONE);
	corner_open(&open, 0x10);
	HOST_EQ(corner_map_page(0x11, 2), -EAGAIN);
	HOST_CHECK(!corner_is_mapped(0x10));
	corner_close(&open);
	corner_end();
}

HOST_TEST(corner, open_collapse)
{
	struct pgt_range range = { 0, 0x200 };
	struct pgt_batch open, batch;

	corner_begin(VM_EPT);
	HOST_EQ(corner_map_page(0x10, 1), PGT_DONE);
	HOST_EQ(corner_map_page(0x11, 1), PGT_DONE);
	corner_open(&open, 0x10);
	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	pgt_collapse(&batch, corner_root, &range, false);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	HOST_CHECK(!corner_is_mapped(0x10));
	corner_close(&open);
	corner_end();
}

/* Aged without a flush, then given back with fewer rights than it had. */
HOST_TEST(corner, tracked_exec)
{
	struct pgt_range range = { 0x10, 0x11 };
	struct pgt_map map;

	corner_begin(VM_EPT_NO_AD);
	HOST_EQ(corner_map_page(0x10, 1), PGT_DONE);
	HOST_CHECK(corner_access(0x10, CPU_EXEC));
	rcu_read_lock();
	HOST_CHECK(pgt_age(corner_root, &range));
	rcu_read_unlock();
	map = corner_page(0x10, 1);
	map.access = PGT_R;
	map.want = PGT_R;
	HOST_EQ(corner_map(&map), PGT_DONE);
	if (corner_access(0x10, CPU_EXEC))
		host_fail("stale", "a page is executed that must not be");
	corner_end();
}

/* Nothing beyond max_gfn is mapped, though a huge leaf would reach there. */
HOST_TEST(corner, map_beyond_end)
{
	corner_begin(VM_EPT);
	vm.mmu.max_gfn = 0x300;
	HOST_EQ(corner_map_page(0x210, 2), -ERANGE);
	HOST_EQ(corner_map_page(0x210, 1), PGT_DONE);
	corner_end();
}

HOST_TEST(corner, collapse_beyond_end)
{
	struct pgt_range range = { 0, ~0ULL };
	struct pgt_batch batch;

	corner_begin(VM_EPT);
	vm.mmu.max_gfn = 0x300;
	HOST_EQ(corner_map_page(0x210, 1), PGT_DONE);
	read_lock(&vm.lock);
	pgt_batch_begin(&batch, &vm.mmu, PGT_SHARED, false);
	pgt_collapse(&batch, corner_root, &range, false);
	pgt_batch_end(&batch);
	read_unlock(&vm.lock);
	if (corner_access(0x310, CPU_READ))
		host_fail("end", "a page beyond the end is accessed");
	corner_end();
}

/* EPT: writable and not readable is malformed. */
HOST_TEST(corner, fix_unreadable)
{
	struct pgt_map map;
	int ret;

	corner_begin(VM_EPT);
	map = corner_page(0x10, 1);
	map.access = PGT_X;
	HOST_EQ(corner_map(&map), PGT_DONE);
	rcu_read_lock();
	ret = pgt_fix(corner_root, 0x10, PGT_W, false);
	rcu_read_unlock();
	HOST_EQ(ret, -EACCES);
	HOST_CHECK(corner_access(0x10, CPU_EXEC));
	corner_end();
}

static void corner_map_over(u64 gfn, int level)
{
	struct pgt_map map = corner_page(gfn, 3);
	u64 entries[PGT_MAX_LEVEL + 1];

	map.access &= ~PGT_W;
	HOST_EQ(corner_map(&map), PGT_DONE);
	rcu_read_lock();
	HOST_EQ(pgt_lookup(corner_root, 0x10, entries), level);
	rcu_read_unlock();
	HOST_CHECK(pgt_is_dirty(&vm.fmt, entries[level]));
}

/* Dirty is dirty, also two levels down. */
HOST_TEST(corner, deep_dirty)
{
	corner_begin(VM_EPT);
	HOST_EQ(corner_map_page(0x10, 1), PGT_DONE);
	corner_map_over(0x11, 2);
	corner_map_over(0x211, 3);
	corner_end();
}
