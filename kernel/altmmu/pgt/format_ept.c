// SPDX-License-Identifier: GPL-2.0
/*
 * Extended page tables: SDM volume 3, 29.3.2 (tables 29-1 to 29-7), 29.3.3.1
 * (misconfigurations), 29.3.5 (accessed and dirty flags), 29.3.7 (memory type).
 */
#include <linux/errno.h>

#include "internal.h"

#define EPT_R			BIT_ULL(0)
#define EPT_W			BIT_ULL(1)
#define EPT_X			BIT_ULL(2)	/* supervisor only with MBEC */
#define EPT_MEMTYPE		GENMASK_ULL(6, 3) /* type, and ignore PAT */
#define EPT_ACCESSED		BIT_ULL(8)	/* with EPTP bit 6 */
#define EPT_DIRTY		BIT_ULL(9)
#define EPT_UX			BIT_ULL(10)	/* with MBEC */
#define EPT_SUPPRESS_VE		BIT_ULL(63)

/*
 * Software's, of the bits that the CPU ignores whatever is enabled: 52 to 56,
 * 59 and 62 in a leaf.  Access tracking saves R, X and UX 52 bits further up.
 */
#define EPT_TRACK_SHIFT		52
#define EPT_HOST_WRITABLE	BIT_ULL(55)
#define EPT_MMU_WRITABLE	BIT_ULL(56)
#define EPT_NX_DISALLOWED	BIT_ULL(59)

/**
 * pgt_format_ept() - fill in the EPT format
 * @fmt:	to be filled in
 * @host:	what it depends on; @nx is not used
 *
 * Return: 0, or -EINVAL if the masks in @host overlap or name unusable bits.
 */
int pgt_format_ept(struct pgt_format *fmt, const struct pgt_host *host)
{
	u64 exec = EPT_X | (host->mbec ? EPT_UX : 0);

	*fmt = (struct pgt_format) {
		.name = "ept",
		.present = PGT_PRESENT |
			   (host->suppress_ve ? EPT_SUPPRESS_VE : 0),
		.read = EPT_R,
		.write = EPT_W,
		.exec = EPT_X,
		.user_exec = host->mbec ? EPT_UX : 0,
		.reach = EPT_R | EPT_W | exec,
		/* W without R is a misconfiguration, X without R may be one. */
		.need_read = PGT_W |
			     (host->exec_only ? 0 : PGT_X | PGT_UX),
		.accessed = host->ad ? EPT_ACCESSED : 0,
		.dirty = host->ad ? EPT_DIRTY : 0,
		.memtype = EPT_MEMTYPE,
		.memtype_shift = 3,
		.host_writable = EPT_HOST_WRITABLE,
		.mmu_writable = EPT_MMU_WRITABLE,
		.nx_disallowed = EPT_NX_DISALLOWED,
		.track_save = EPT_R | exec,
		.track_shift = EPT_TRACK_SHIFT,
		.max_gfn = ~0ULL,
		.max_leaf_level = 3,
		.min_root_level = 3,
		.max_root_level = 5,
	};
	for (int level = 2; level <= PGT_MAX_LEVEL; level++)
		fmt->table[level] = EPT_R | EPT_W | exec |
				    (host->ad ? EPT_ACCESSED : 0);
	return pgt_format_finish(fmt, host);
}
