// SPDX-License-Identifier: GPL-2.0
/*
 * Private memory in the world of the tests.
 */
#include <linux/compiler.h>
#include <linux/string.h>

#include "pgt/format.h"
#include "private.h"
#include "test.h"

struct private private;

/* By data frame. */
static u8 *contents;

__attribute__((__constructor__))
static void map_contents(void)
{
	contents = mem_map(DATA_FRAMES * sizeof(*contents));
}

static u8 *content_of(u64 pfn, u64 nr)
{
	HOST_CHECK(pfn >= DATA_PFN_BASE &&
		   pfn - DATA_PFN_BASE + nr <= DATA_FRAMES);
	return &contents[pfn - DATA_PFN_BASE];
}

void private_reset(void)
{
	private = (struct private){ };
}

void private_fill(u64 pfn, u64 nr, u8 content)
{
	memset(content_of(pfn, nr), content, nr);
}

u8 private_content(u64 pfn)
{
	return *content_of(pfn, 1);
}

void mirror_env_kick(struct mirror *mirror)
{
	private.kicks++;
	if (private.kick)
		private.kick(mirror);
}

void mirror_env_broken(struct mirror *mirror, enum mirror_call call, u64 gfn,
		       int level, int error)
{
	private.refusals++;
	if (private.refusals_expected)
		return;
	host_fail("broken", "call %d for gfn %#llx at level %d returned %d",
		  call, (unsigned long long)gfn, level, error);
}

void mirror_env_leak(struct mirror *mirror, u64 pfn, int level)
{
	private.leaks++;
	if (private.leak)
		private.leak(pfn, level);
}

/* The first page stands for all that others could see on the way. */
void softsept_env_clear(u64 pfn, int level)
{
	u64 nr = pgt_pages(level);

	private.clears++;
	if (private.clear)
		private.clear(pfn, level);
	WRITE_ONCE(*content_of(pfn, nr), 0);
	private_fill(pfn, nr, 0);
	if (private.cleared)
		private.cleared(pfn, level);
}

void mirror_env_trace(struct mirror *mirror, enum mirror_call call, u64 gfn,
		      int level, int ret)
{
}
