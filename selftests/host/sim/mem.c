// SPDX-License-Identifier: GPL-2.0
/*
 * Physical memory: handing out tables and objects, and the state of data pages.
 *
 * What happens to the contents is not looked at here.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/context.h"
#include "sim/internal.h"
#include "sim/mem.h"
#include "sim/point.h"
#include "test.h"

#ifdef HOST_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)	((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size)	((void)(addr), (void)(size))
#endif

#ifdef HOST_THREADS
#include <pthread.h>

static pthread_mutex_t mem_mutex = PTHREAD_MUTEX_INITIALIZER;

static void mem_lock(void)
{
	pthread_mutex_lock(&mem_mutex);
}

static void mem_unlock(void)
{
	pthread_mutex_unlock(&mem_mutex);
}
#else
static void mem_lock(void)
{
}

static void mem_unlock(void)
{
}
#endif

#define NONE		(~0U)

/*
 * Each context allocates from a region of its own, so that the addresses a task
 * gets do not depend on how far others have come.  Nothing freed is handed out
 * again while the region lasts; from then on what was freed first is.
 */
#define TASK_FRAMES	1536U
#define TASK_BLOCKS	12288U

/* Blocks of the largest object; each is followed by a block never in use. */
#define MAX_BLOCKS	256U

struct region {
	u32 start;
	u32 next;	/* below are units handed out at least once */
	u32 end;
};

struct fifo {
	u32 first;
	u32 last;
};

unsigned char *mem_base;
struct ptdesc *mem_ptdesc;
u8 mem_frame_state[MEM_FRAMES];
u8 mem_block_state[MEM_BLOCKS];

static struct ptdesc ptdescs[MEM_FRAMES] __aligned(64);
static u32 frame_generation[MEM_FRAMES];
static u32 frame_link[MEM_FRAMES];
static u32 block_link[MEM_BLOCKS];
/* Blocks of the object that starts here. */
static u16 block_nr[MEM_BLOCKS];

/* Who freed it, a bit per task: at once, or in a callback of RCU. */
struct freers {
	u8 direct;
	u8 late;
};

static struct freers frame_freers[MEM_FRAMES];
static struct freers block_freers[MEM_BLOCKS];

static struct region frames[SIM_CONTEXTS];
static struct region blocks[SIM_CONTEXTS];
static struct fifo free_frames;
static struct fifo free_blocks[MAX_BLOCKS + 1];

static u64 tables_in_use;
static u64 objects_in_use;
static u64 alloc_count;
static long fail_in = -1;
static bool over_limit;

static void note_free(struct freers *freers)
{
	if (mem_in_callback())
		freers->late |= 1 << mem_task();
	else
		freers->direct |= 1 << mem_task();
}

/*
 * A callback waits for all sections that could have found the memory, so that
 * within a section nothing that a callback has freed is there to be found.
 */
static u8 seen_freers(const struct freers *freers)
{
	return freers->direct | (mem_in_section() ? 0 : freers->late);
}

static void *frame_address(u32 frame)
{
	return mem_base + ((unsigned long)frame << MEM_PAGE_SHIFT);
}

static void *block_address(u32 block)
{
	return mem_base + MEM_TABLE_BYTES +
	       ((unsigned long)block << MEM_BLOCK_SHIFT);
}

static unsigned int mem_context(void)
{
#ifdef HOST_SIM
	return sim_context;
#else
	return SIM_OUTSIDE;
#endif
}

void mem_bad_access(unsigned long addr)
{
	unsigned long offset = addr - (unsigned long)mem_base;

	if (offset < MEM_TABLE_BYTES)
		host_fail("use-after-free",
			  "access to entry %lu of the page at %#lx, which is not allocated",
			  (offset % MEM_PAGE_SIZE) / sizeof(u64),
			  (offset & ~(MEM_PAGE_SIZE - 1)) + MEM_PA_BASE);
	host_fail("use-after-free", "access to object memory not allocated");
}

void mem_bad_pa(u64 pa)
{
	host_fail("bad-pa", "no table can be at the physical address %#llx",
		  (unsigned long long)pa);
}

void mem_bad_va(const volatile void *addr)
{
	host_fail("bad-pa", "%p is not in a table", addr);
}

/* Split units 0 to @total - 1, @share for each context but the outside. */
static void regions_init(struct region *regions, u32 share, u32 total)
{
	u32 next = total - (SIM_CONTEXTS - 1) * share;
	int i;

	regions[SIM_OUTSIDE] = (struct region){ .end = next };
	for (i = SIM_OUTSIDE + 1; i < SIM_CONTEXTS; i++, next += share)
		regions[i] = (struct region){ next, next, next + share };
}

static void fifo_init(void)
{
	u32 i;

	free_frames = (struct fifo){ NONE, NONE };
	for (i = 0; i <= MAX_BLOCKS; i++)
		free_blocks[i] = free_frames;
}

static void fifo_put(struct fifo *fifo, u32 *links, u32 unit)
{
	links[unit] = NONE;
	if (fifo->first == NONE)
		fifo->first = unit;
	else
		links[fifo->last] = unit;
	fifo->last = unit;
}

static u32 fifo_get(struct fifo *fifo, const u32 *links)
{
	u32 unit = fifo->first;

	if (unit != NONE)
		fifo->first = links[unit];
	return unit;
}

static u32 region_get(struct region *region, u32 nr)
{
	u32 unit = region->next;

	if (region->end - unit < nr)
		return NONE;
	region->next += nr;
	return unit;
}

/* @nr neighbours: new ones, else freed ones, else another context's. */
static u32 units_get(struct region *regions, struct fifo *fifo,
		     const u32 *links, u32 nr)
{
	u32 unit = region_get(&regions[mem_context()], nr);
	int i;

	if (unit == NONE)
		unit = fifo_get(fifo, links);
	for (i = 0; i < SIM_CONTEXTS && unit == NONE; i++)
		unit = region_get(&regions[i], nr);
	return unit;
}

void *mem_map(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		host_fail("memory", "can't reserve %zu bytes", size);
	return map;
}

void mem_init(void)
{
	if (mem_base)
		return;
	mem_base = mem_map(MEM_BYTES);
	mem_ptdesc = ptdescs;
	regions_init(frames, TASK_FRAMES, MEM_FRAMES);
	regions_init(blocks, TASK_BLOCKS, MEM_BLOCKS);
	fifo_init();
	ASAN_POISON_MEMORY_REGION(mem_base, MEM_BYTES);
}

void mem_reset(void)
{
	struct region *r;
	size_t size;

	mem_init();
	for (r = frames; r < frames + SIM_CONTEXTS; r++) {
		size = r->next - r->start;
		memset(mem_frame_state + r->start, MEM_UNUSED, size);
		memset(frame_generation + r->start, 0, size * sizeof(u32));
		ASAN_POISON_MEMORY_REGION(frame_address(r->start),
					  size << MEM_PAGE_SHIFT);
		r->next = r->start;
	}
	for (r = blocks; r < blocks + SIM_CONTEXTS; r++) {
		size = r->next - r->start;
		memset(mem_block_state + r->start, MEM_UNUSED, size);
		ASAN_POISON_MEMORY_REGION(block_address(r->start),
					  size << MEM_BLOCK_SHIFT);
		r->next = r->start;
	}
	fifo_init();
	tables_in_use = 0;
	objects_in_use = 0;
	alloc_count = 0;
	fail_in = -1;
	over_limit = false;
	data_reset();
}

/*
 * While a failure is due the order of allocations matters, so that each is a
 * shared access.
 */
static bool alloc_fails(gfp_t gfp)
{
	if (fail_in > 0)
		sim_point(&fail_in, SIM_WRITE);
	alloc_count++;
	if (over_limit && gfp & __GFP_ACCOUNT)
		return true;
	if (fail_in < 0 || --fail_in > 0)
		return false;
	fail_in = -1;
	return true;
}

/* Others may run before memory is given back. */
static void free_point(const void *addr)
{
#ifdef HOST_SIM
	if (sim_in_task)
		sim_point_task(addr, SIM_FREE);
#endif
}

struct ptdesc *mem_table_alloc(gfp_t gfp, unsigned int order)
{
	u32 frame = NONE;
	void *page;

	if (order)
		host_fail("memory", "table of order %u wanted", order);
	mem_lock();
	if (!alloc_fails(gfp)) {
		frame = units_get(frames, &free_frames, frame_link, 1);
		if (frame == NONE)
			host_fail("memory", "no table page is left");
		mem_frame_state[frame] = MEM_IN_USE;
		tables_in_use++;
	}
	mem_unlock();
	if (frame == NONE)
		return NULL;

	page = frame_address(frame);
	ASAN_UNPOISON_MEMORY_REGION(page, MEM_PAGE_SIZE);
	memset(page, gfp & __GFP_ZERO ? 0 : (u8)MEM_POISON, MEM_PAGE_SIZE);
	memset(&ptdescs[frame], 0, sizeof(ptdescs[frame]));
	return &ptdescs[frame];
}

void mem_table_free(struct ptdesc *pt)
{
	u32 frame = pt - ptdescs;
	void *page;

	if (!pt || pt < ptdescs || pt >= ptdescs + MEM_FRAMES)
		host_fail("double-free", "free of what is not a table");
	page = frame_address(frame);
	free_point(page);
	mem_lock();
	if (mem_frame_state[frame] != MEM_IN_USE)
		host_fail("double-free",
			  "the page at %#lx is freed but not allocated",
			  mem_offset(page) + MEM_PA_BASE);
	/* Before another thread can have it. */
	memset(page, (u8)MEM_POISON, MEM_PAGE_SIZE);
	ASAN_POISON_MEMORY_REGION(page, MEM_PAGE_SIZE);
	mem_frame_state[frame] = MEM_FREE;
	frame_generation[frame]++;
	note_free(&frame_freers[frame]);
	fifo_put(&free_frames, frame_link, frame);
	tables_in_use--;
	mem_unlock();
}

void *mem_object_alloc(size_t size, gfp_t gfp)
{
	u32 nr = DIV_ROUND_UP(size ?: 1, 1UL << MEM_BLOCK_SHIFT);
	u32 block = NONE;
	void *object;

	if (size > MAX_BLOCKS << MEM_BLOCK_SHIFT)
		host_fail("memory", "object of %zu bytes wanted", size);
	mem_lock();
	if (!alloc_fails(gfp)) {
		block = units_get(blocks, &free_blocks[nr], block_link, nr + 1);
		if (block == NONE)
			host_fail("memory", "no object memory is left");
		memset(mem_block_state + block, MEM_IN_USE, nr);
		block_nr[block] = nr;
		objects_in_use++;
	}
	mem_unlock();
	if (block == NONE)
		return NULL;

	object = block_address(block);
	ASAN_UNPOISON_MEMORY_REGION(object, size);
	memset(object, gfp & __GFP_ZERO ? 0 : (u8)MEM_POISON, size);
	return object;
}

void mem_object_free(const void *object)
{
	unsigned long offset = mem_offset(object) - MEM_TABLE_BYTES;
	u32 block = offset >> MEM_BLOCK_SHIFT;
	u32 nr;

	if (!object)
		return;
	free_point(object);
	mem_lock();
	if (offset >= MEM_OBJECT_BYTES ||
	    offset % (1UL << MEM_BLOCK_SHIFT) ||
	    mem_block_state[block] != MEM_IN_USE || !block_nr[block])
		host_fail("double-free",
			  "an object is freed that is not allocated");
	nr = block_nr[block];
	ASAN_UNPOISON_MEMORY_REGION(object, (size_t)nr << MEM_BLOCK_SHIFT);
	memset(block_address(block), (u8)MEM_POISON,
	       (size_t)nr << MEM_BLOCK_SHIFT);
	ASAN_POISON_MEMORY_REGION(object, (size_t)nr << MEM_BLOCK_SHIFT);
	memset(mem_block_state + block, MEM_FREE, nr);
	block_nr[block] = 0;
	note_free(&block_freers[block]);
	fifo_put(&free_blocks[nr], block_link, block);
	objects_in_use--;
	mem_unlock();
}

u64 mem_tables_in_use(void)
{
	return tables_in_use;
}

u64 mem_objects_in_use(void)
{
	return objects_in_use;
}

static u64 pfn_frame(u64 pfn)
{
	return pfn - (MEM_PA_BASE >> MEM_PAGE_SHIFT);
}

bool mem_is_table(u64 pfn)
{
	u64 frame = pfn_frame(pfn);

	return frame < MEM_FRAMES && mem_frame_state[frame] == MEM_IN_USE;
}

u32 mem_generation(u64 pfn)
{
	u64 frame = pfn_frame(pfn);

	if (frame >= MEM_FRAMES)
		mem_bad_pa(pfn << MEM_PAGE_SHIFT);
	return frame_generation[frame];
}

void mem_fail_at(long n)
{
	fail_in = n > 0 ? n : -1;
}

void mem_over_limit(bool over)
{
	over_limit = over;
}

u64 mem_alloc_count(void)
{
	return alloc_count;
}

u8 mem_freers(unsigned long addr)
{
	unsigned long offset = addr - (unsigned long)mem_base;
	u32 block;

	if (offset < MEM_TABLE_BYTES)
		return seen_freers(&frame_freers[offset >> MEM_PAGE_SHIFT]);
	if (offset >= MEM_BYTES)
		return 0;
	/* Only the first block of an object knows. */
	block = (offset - MEM_TABLE_BYTES) >> MEM_BLOCK_SHIFT;
	while (block && !(block_freers[block].direct |
			  block_freers[block].late) &&
	       mem_block_state[block - 1])
		block--;
	return seen_freers(&block_freers[block]);
}

void mem_forget_freers(void)
{
	memset(frame_freers, 0, sizeof(frame_freers));
	memset(block_freers, 0, sizeof(block_freers));
}

/*
 * Data pages.  One word each, so that threads need no lock: the generation in
 * the upper half, then the epoch that it counts from, then the dirty bit.  A
 * word of another epoch means 0, which makes data_reset() cheap.
 */
#define DATA_DIRTY		1U
#define DATA_EPOCH_MASK		0xfffffffeU

static u64 *data_frames;
static u32 data_epoch = 2;
/* Times that pages were handed back. */
static u32 data_now;

__attribute__((__constructor__))
static void map_data_frames(void)
{
	data_frames = mem_map(DATA_FRAMES * sizeof(*data_frames));
}

static u64 *data_word(u64 pfn)
{
	if (!data_is_frame(pfn))
		host_fail("bad-pa", "there is no data page %#llx",
			  (unsigned long long)pfn);
	return &data_frames[pfn - DATA_PFN_BASE];
}

static u64 data_get(u64 *word)
{
	u64 val = __atomic_load_n(word, __ATOMIC_RELAXED);

	return (val & DATA_EPOCH_MASK) == data_epoch ? val : data_epoch;
}

/* Set bits of a page's state, and its generation unless that is 0. */
static void data_change(u64 *word, u32 generation, u64 clear, u64 set)
{
	u64 old = __atomic_load_n(word, __ATOMIC_RELAXED);
	u64 val;

	do {
		val = (old & DATA_EPOCH_MASK) == data_epoch ? old : data_epoch;
		val = (val & ~clear) | set;
		if (generation)
			val = (u32)val | (u64)generation << 32;
	} while (!__atomic_compare_exchange_n(word, &old, val, true,
					      __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
}

bool data_is_frame(u64 pfn)
{
	return pfn >= DATA_PFN_BASE && pfn - DATA_PFN_BASE < DATA_FRAMES;
}

u32 data_generation(u64 pfn)
{
	u64 *word = data_word(pfn);

	return data_get(word) >> 32;
}

u32 data_clock(void)
{
	return __atomic_load_n(&data_now, __ATOMIC_RELAXED);
}

void data_hand_back(u64 pfn, u64 nr)
{
	u64 *word = data_word(pfn);
	u32 now;

	if (!nr)
		return;
	data_word(pfn + nr - 1);
	now = __atomic_add_fetch(&data_now, 1, __ATOMIC_RELAXED);
	while (nr--)
		data_change(word++, now, DATA_DIRTY, 0);
}

void data_set_dirty(u64 pfn)
{
	u64 *word = data_word(pfn);

	data_change(word, 0, 0, DATA_DIRTY);
}

bool data_is_dirty(u64 pfn)
{
	u64 *word = data_word(pfn);

	return data_get(word) & DATA_DIRTY;
}

void data_reset(void)
{
	data_now = 0;
	data_epoch += 2;
	if (!data_epoch) {
		memset(data_frames, 0, DATA_FRAMES * sizeof(*data_frames));
		data_epoch = 2;
	}
}
