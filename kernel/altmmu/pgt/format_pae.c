// SPDX-License-Identifier: GPL-2.0
/*
 * PAE paging, for shadow page tables and nested paging of a PAE host: SDM
 * volume 3, 4.4 (tables 4-8 to 4-11); APM volume 2, 5.2.3.
 */
#include <linux/errno.h>

#include "internal.h"

#define PAE_P			BIT_ULL(0)

/**
 * pgt_format_pae() - fill in the PAE format
 * @fmt:	to be filled in
 * @host:	what it depends on; @exec_only, @mbec, @suppress_ve are not used
 *
 * Return: 0, or -EINVAL if the masks in @host overlap or name unusable bits.
 */
int pgt_format_pae(struct pgt_format *fmt, const struct pgt_host *host)
{
	pgt_format_long(fmt, host);
	fmt->name = "pae";
	/* A PDPTE has neither rights nor an accessed bit, and there are four. */
	fmt->table[3] = PAE_P;
	fmt->max_leaf_level = 2;
	fmt->min_root_level = 3;
	fmt->max_root_level = 3;
	fmt->max_gfn = BIT_ULL(32 - PGT_PAGE_SHIFT);
	return pgt_format_finish(fmt, host);
}
