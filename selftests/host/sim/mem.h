/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Physical memory: page-table pages and objects, which are real, and data
 * pages, which are numbers with a little state each.
 *
 * Addresses repeat exactly from one mem_reset() to the next, given the same
 * calls: the explorer tells shared memory by its address.
 */
#ifndef HOST_SIM_MEM_H
#define HOST_SIM_MEM_H

#include <linux/compiler_attributes.h>
#include <linux/types.h>

struct ptdesc;

#define MEM_PAGE_SHIFT		12
#define MEM_PAGE_SIZE		(1UL << MEM_PAGE_SHIFT)

/* Table pages, then objects, in one mapping from mem_base on. */
#define MEM_FRAMES		16384UL
#define MEM_TABLE_BYTES		(MEM_FRAMES << MEM_PAGE_SHIFT)
#define MEM_BLOCK_SHIFT		6
#define MEM_BLOCKS		131072UL
#define MEM_OBJECT_BYTES	(MEM_BLOCKS << MEM_BLOCK_SHIFT)
#define MEM_BYTES		(MEM_TABLE_BYTES + MEM_OBJECT_BYTES)

/* The physical address of the first table; 0 is never one. */
#define MEM_PA_BASE		0x100000UL

/*
 * Every entry of a freed table: present and linking a table out of all memory,
 * to the engine and to a CPU in any format.
 */
#define MEM_POISON		0x5b5b5b5b5b5b5b5bULL

/* Data pages: 8 GiB from 4 GiB on. */
#define DATA_PFN_BASE		0x100000ULL
#define DATA_FRAMES		0x200000ULL

enum mem_state {
	MEM_UNUSED,	/* not handed out since mem_reset() */
	MEM_IN_USE,
	MEM_FREE,
};

extern unsigned char *mem_base;
extern struct ptdesc *mem_ptdesc;
/* By frame, and by the block that an object or a part of it is in. */
extern u8 mem_frame_state[MEM_FRAMES];
extern u8 mem_block_state[MEM_BLOCKS];

__noreturn void mem_bad_access(unsigned long addr);
__noreturn void mem_bad_pa(u64 pa);
__noreturn void mem_bad_va(const volatile void *addr);

/* Once per process, before everything else; repeated calls do nothing. */
void mem_init(void);

/**
 * mem_map() - memory that is there for good, zeroed
 * @size:	in bytes
 *
 * The leak sanitizer does not look for pointers in it, which with what all of
 * memory is described by takes longer than most tests.
 */
void *mem_map(size_t size);

/*
 * Forget all that was allocated, turn failures off and make every data page
 * clean, of generation 0.  Costs as much as was in use.
 */
void mem_reset(void);

struct ptdesc *mem_table_alloc(gfp_t gfp, unsigned int order);
void mem_table_free(struct ptdesc *pt);
void *mem_object_alloc(size_t size, gfp_t gfp);
void mem_object_free(const void *object);

/* The offset of an address in the arena; MEM_BYTES or more out of it. */
static inline unsigned long mem_offset(const volatile void *addr)
{
	return (unsigned long)addr - (unsigned long)mem_base;
}

static inline unsigned long mem_frame(const volatile void *addr)
{
	unsigned long offset = mem_offset(addr);

#ifndef HOST_BENCH
	if (offset >= MEM_TABLE_BYTES)
		mem_bad_va(addr);
#endif
	return offset >> MEM_PAGE_SHIFT;
}

static inline u64 mem_pa(const volatile void *addr)
{
#ifndef HOST_BENCH
	if (mem_offset(addr) >= MEM_TABLE_BYTES)
		mem_bad_va(addr);
#endif
	return mem_offset(addr) + MEM_PA_BASE;
}

/* Not for data pages: nothing is behind those. */
static inline void *mem_va(u64 pa)
{
#ifndef HOST_BENCH
	if (pa - MEM_PA_BASE >= MEM_TABLE_BYTES)
		mem_bad_pa(pa);
#endif
	return mem_base + (pa - MEM_PA_BASE);
}

/* Fails the test if @addr is in memory that is not allocated. */
static inline void mem_check_access(const volatile void *addr)
{
	unsigned long offset = mem_offset(addr);
	u8 state;

	if (__builtin_expect(offset >= MEM_BYTES, 0))
		return;
	if (offset < MEM_TABLE_BYTES)
		state = mem_frame_state[offset >> MEM_PAGE_SHIFT];
	else
		state = mem_block_state[(offset - MEM_TABLE_BYTES) >>
					MEM_BLOCK_SHIFT];
	if (__builtin_expect(state != MEM_IN_USE, 0))
		mem_bad_access((unsigned long)addr);
}

u64 mem_tables_in_use(void);
u64 mem_objects_in_use(void);

/* Of table pages, by page frame number.  A free counts the generation up. */
bool mem_is_table(u64 pfn);
u32 mem_generation(u64 pfn);

/*
 * Let the @n-th allocation from now fail, of pages and objects alike, counted
 * from 1; off with -1, which it is again once it has struck.
 */
void mem_fail_at(long n);
/* Let all fail that are charged, until mem_reset(). */
void mem_over_limit(bool over);
/* Allocations tried since mem_reset(). */
u64 mem_alloc_count(void);

/*
 * Data pages.  Handing pages back moves a clock on, and the pages' generation is
 * what the clock then says: who has cached a page keeps the clock of that time,
 * and has lost it if the page's generation is later.  None of this is a point.
 */
u32 data_clock(void);
bool data_is_frame(u64 pfn);
u32 data_generation(u64 pfn);
void data_hand_back(u64 pfn, u64 nr);
void data_set_dirty(u64 pfn);
bool data_is_dirty(u64 pfn);
void data_reset(void);

#endif /* HOST_SIM_MEM_H */
