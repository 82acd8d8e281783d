/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters for an MMU that nobody but the tests looks at.
 */
#ifndef HOST_COUNTERS_H
#define HOST_COUNTERS_H

#include "pgt/pgt.h"

struct host_counters {
	atomic_long_t leaves[PGT_MAX_LEAF_LEVEL + 1];
	atomic_long_t tables;
	atomic_long_t nx_tables;
};

/* Set all to 0. */
static inline struct pgt_counters host_counters(struct host_counters *own)
{
	struct pgt_counters counters = {
		.tables = &own->tables,
		.nx_tables = &own->nx_tables,
	};

	atomic_long_set(&own->tables, 0);
	atomic_long_set(&own->nx_tables, 0);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++) {
		atomic_long_set(&own->leaves[level], 0);
		counters.leaves[level] = &own->leaves[level];
	}
	return counters;
}

#endif /* HOST_COUNTERS_H */
