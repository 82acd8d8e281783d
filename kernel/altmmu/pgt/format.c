// SPDX-License-Identifier: GPL-2.0
/*
 * What the entry formats have in common once their bits are known: making
 * leaves, leaves of another size, and MMIO entries.  The bits themselves are in
 * format_ept.c, format_npt.c and format_pae.c.
 */
#include <linux/bitfield.h>
#include <linux/bitops.h>
#include <linux/errno.h>

#include "internal.h"

/*
 * A frozen entry: no bit that any format takes for present, no address, and not
 * what an empty or MMIO entry looks like.
 */
#define PGT_FROZEN_MARK		0x2a8ULL

/* What all leaves with the rights in @access have in common. */
static u64 pgt_access_bits(const struct pgt_format *fmt, u8 access)
{
	u64 bits = fmt->present | fmt->leaf;

	if (access & fmt->need_read)
		access |= PGT_R;
	if (access & PGT_R)
		bits |= fmt->read;
	if (access & PGT_U)
		bits |= fmt->user;
	/* Nobody need make the CPU set what is known to be coming. */
	if (access & PGT_W)
		bits |= fmt->write | fmt->dirty | fmt->host_writable |
			fmt->mmu_writable;
	return pgt_set_exec(fmt, bits, access);
}

/* Check what the host passes, and fill in all that follows from the bits. */
int pgt_format_finish(struct pgt_format *fmt, const struct pgt_host *host)
{
	u64 phys = GENMASK_ULL(51, PGT_PAGE_SHIFT);
	u64 own = phys & host->mmio_mask;
	int relocated = hweight64(host->l1tf_mask);
	int top = own ? __ffs64(own) : 52;

	if (host->phys_bits < 32 || host->phys_bits > 52)
		return -EINVAL;
	if (host->me_value & ~host->me_mask || host->me_mask & ~phys)
		return -EINVAL;
	if (host->nonpresent & ~BIT_ULL(63))
		return -EINVAL;
	if (host->mmio_value & ~host->mmio_mask ||
	    host->mmio_mask & (PGT_PRESENT | PGT_MMIO_GEN_LOW |
			       PGT_MMIO_GEN_HIGH))
		return -EINVAL;
	if (host->mmio_access & ~(GENMASK_ULL(2, 0) & ~host->mmio_mask))
		return -EINVAL;
	/* Contiguous, and apart from what else takes address bits. */
	if (host->l1tf_mask &&
	    (host->l1tf_mask != GENMASK_ULL(fls64(host->l1tf_mask) - 1,
					    __ffs64(host->l1tf_mask)) ||
	     host->l1tf_mask & ~phys ||
	     host->l1tf_mask & (host->me_mask | host->mmio_mask)))
		return -EINVAL;
	if (top - relocated <= PGT_PAGE_SHIFT)
		return -EINVAL;
	if (host->max_leaf_level < 1 || host->max_leaf_level > 3)
		return -EINVAL;

	fmt->addr = GENMASK_ULL(host->phys_bits - 1, PGT_PAGE_SHIFT) &
		    ~host->me_mask;
	fmt->me = host->me_value;
	for (int level = 2; level <= PGT_MAX_LEVEL; level++)
		fmt->table[level] |= fmt->present | host->me_value;

	for (unsigned int access = 0; access <= PGT_ALL_RIGHTS; access++)
		fmt->access[access] = pgt_access_bits(fmt, access);

	fmt->lose = fmt->reach | fmt->write | fmt->exec | fmt->user_exec |
		    fmt->user | fmt->mmu_writable | fmt->dirty;
	fmt->same = PGT_PRESENT | PGT_HUGE | fmt->addr | host->me_mask |
		    fmt->memtype;

	fmt->nonpresent = host->nonpresent;
	fmt->frozen = host->nonpresent | host->l1tf_mask | PGT_FROZEN_MARK;
	if (host->mmio_mask &&
	    ((fmt->frozen & host->mmio_mask) == host->mmio_value ||
	     (fmt->nonpresent & host->mmio_mask) == host->mmio_value))
		return -EINVAL;

	fmt->mmio_value = host->mmio_value;
	fmt->mmio_mask = host->mmio_mask;
	fmt->mmio_access = host->mmio_access;
	fmt->l1tf = host->l1tf_mask;
	fmt->mmio_gfn_low = host->l1tf_mask ?
		(BIT_ULL(__ffs64(host->l1tf_mask)) - 1) & phys :
		phys;
	fmt->mmio_gfn_max = BIT_ULL(top - relocated - PGT_PAGE_SHIFT);
	if (fmt->max_leaf_level > host->max_leaf_level)
		fmt->max_leaf_level = host->max_leaf_level;
	return 0;
}

u64 pgt_leaf_child(const struct pgt_format *fmt, u64 huge, int level,
		   unsigned int index)
{
	u64 pfn = pgt_leaf_pfn(fmt, huge, level) + index * pgt_pages(level - 1);
	u64 leaf = (huge & ~fmt->addr) | (pfn << PGT_PAGE_SHIFT);

	if (level > 2)
		return leaf | (huge & fmt->pat_huge);
	leaf &= ~PGT_HUGE;
	return huge & fmt->pat_huge ? leaf | fmt->pat_small : leaf;
}

u64 pgt_leaf_parent(const struct pgt_format *fmt, u64 leaf, int level)
{
	u64 pfn = pgt_base(pgt_leaf_pfn(fmt, leaf, level), level + 1);
	u64 pat = leaf & (level == 1 ? fmt->pat_small : fmt->pat_huge);

	leaf = (leaf & ~fmt->addr) | PGT_HUGE | (pfn << PGT_PAGE_SHIFT);
	return pat ? leaf | fmt->pat_huge : leaf;
}

/*
 * An MMIO entry faults with its gfn, generation and access in it.  Where the CPU
 * may speculate through such an entry (L1TF), the highest address bits are set,
 * and the gfn bits that were there stand just above them.
 */
u64 pgt_mmio_make(const struct pgt_format *fmt, u64 gfn, u64 gen, u64 access)
{
	u64 addr = gfn << PGT_PAGE_SHIFT;
	u64 low = addr & fmt->mmio_gfn_low;
	u64 high = addr & ~fmt->mmio_gfn_low;

	return fmt->mmio_value | fmt->l1tf | (access & fmt->mmio_access) |
	       low | (high << hweight64(fmt->l1tf)) |
	       FIELD_PREP(PGT_MMIO_GEN_LOW, gen & GENMASK_ULL(6, 0)) |
	       FIELD_PREP(PGT_MMIO_GEN_HIGH,
			  (gen >> 7) & GENMASK_ULL(PGT_MMIO_GEN_BITS - 8, 0));
}

u64 pgt_mmio_gfn(const struct pgt_format *fmt, u64 entry)
{
	u64 addr = entry & GENMASK_ULL(51, PGT_PAGE_SHIFT) & ~fmt->mmio_mask;
	u64 high = addr & ~fmt->mmio_gfn_low & ~fmt->l1tf;

	return ((addr & fmt->mmio_gfn_low) | (high >> hweight64(fmt->l1tf))) >>
	       PGT_PAGE_SHIFT;
}

u64 pgt_mmio_gen(u64 entry)
{
	return FIELD_GET(PGT_MMIO_GEN_LOW, entry) |
	       FIELD_GET(PGT_MMIO_GEN_HIGH, entry) << 7;
}

u64 pgt_mmio_access(const struct pgt_format *fmt, u64 entry)
{
	return entry & fmt->mmio_access;
}
