/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: the descriptor of a page-table page. */
#ifndef HOST_LINUX_MM_TYPES_H
#define HOST_LINUX_MM_TYPES_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/types.h>

struct page;

struct ptdesc {
	union {
		struct rcu_head pt_rcu_head;
		struct list_head pt_list;
	};
	unsigned long pt_index;
	/* A power of two, so that going to the page is a shift. */
	unsigned long host_pad[3];
};

static_assert(sizeof(struct ptdesc) == 64);

#endif /* HOST_LINUX_MM_TYPES_H */
