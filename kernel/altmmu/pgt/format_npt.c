// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page tables and long mode: APM volume 2, 5.3.3 to 5.4.1 (long-mode
 * translation, fields of an entry), 5.5 (caches), 7.10.2 and 15.34 (encryption
 * bit), 15.25.5 (nested walks are user accesses); SDM volume 3, 4.5.
 */
#include <linux/errno.h>

#include "internal.h"

#define LONG_P			BIT_ULL(0)
#define LONG_W			BIT_ULL(1)
#define LONG_U			BIT_ULL(2)
#define LONG_MEMTYPE		GENMASK_ULL(4, 3) /* PWT, PCD */
#define LONG_ACCESSED		BIT_ULL(5)
#define LONG_DIRTY		BIT_ULL(6)
#define LONG_PAT_4K		BIT_ULL(7)
#define LONG_PAT_HUGE		BIT_ULL(12)
#define LONG_NX			BIT_ULL(63)

/*
 * Software's: 9 to 11 are ignored in every entry.  Access tracking clears P
 * alone: the CPU ignores all else in an entry that is not present.
 */
#define LONG_HOST_WRITABLE	BIT_ULL(9)
#define LONG_MMU_WRITABLE	BIT_ULL(10)
#define LONG_NX_DISALLOWED	BIT_ULL(9)	/* in a link */

/* PAE has the same low half; what differs is its caller's to say. */
void pgt_format_long(struct pgt_format *fmt, const struct pgt_host *host)
{
	*fmt = (struct pgt_format) {
		.name = "npt",
		.present = PGT_PRESENT,
		/* The CPU sets A and D always; if nobody reads them, spare it. */
		.leaf = host->ad ? 0 : LONG_ACCESSED | LONG_DIRTY,
		.read = LONG_P,
		.write = LONG_W,
		.nx = host->nx ? LONG_NX : 0,
		.user = LONG_U,
		.reach = LONG_P,
		.need_read = PGT_W | PGT_X | PGT_U,
		.accessed = host->ad ? LONG_ACCESSED : 0,
		.dirty = host->ad ? LONG_DIRTY : 0,
		.memtype = LONG_MEMTYPE,
		.memtype_shift = 3,
		.pat_small = LONG_PAT_4K,
		.pat_huge = LONG_PAT_HUGE,
		.host_writable = LONG_HOST_WRITABLE,
		.mmu_writable = LONG_MMU_WRITABLE,
		.nx_disallowed = LONG_NX_DISALLOWED,
		.track_set = LONG_P,
		.max_gfn = ~0ULL,
		.max_leaf_level = 3,
		.min_root_level = 3,
		.max_root_level = 5,
	};
	for (int level = 2; level <= PGT_MAX_LEVEL; level++)
		fmt->table[level] = LONG_P | LONG_W | LONG_U | LONG_ACCESSED;
}

/**
 * pgt_format_npt() - fill in the NPT and long-mode format
 * @fmt:	to be filled in
 * @host:	what it depends on; @exec_only, @mbec, @suppress_ve are not used
 *
 * Return: 0, or -EINVAL if the masks in @host overlap or name unusable bits.
 */
int pgt_format_npt(struct pgt_format *fmt, const struct pgt_host *host)
{
	pgt_format_long(fmt, host);
	return pgt_format_finish(fmt, host);
}
