/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Software private page tables without a mirror above them: every call can be
 * made, legal or not.
 */
#ifndef ALTMMU_HOST_SOFT_H
#define ALTMMU_HOST_SOFT_H

#include "cpu.h"
#include "mirror/softsept.h"
#include "private.h"
#include "vm.h"

/**
 * struct soft_place - where in which tables the private root's entries are
 * @config:	format and CPU
 * @level:	of the entries
 * @nr:		how many
 */
struct soft_place {
	const struct vm_config *config;
	int level;
	unsigned int nr;
};

extern const struct soft_place soft_places[];
extern const unsigned int soft_nr_places;

#define SOFT_TABLES	16

/**
 * struct soft - one VM's
 * @s:		what is tested
 * @fmt:	its format
 * @place:	where it is
 * @cpu_root:	the root that a CPU loads
 * @base:	first gfn below the last of the private root's entries
 * @table:	every table handed out
 * @nr_tables:	how many
 * @linked:	by level, the table that soft_link() has linked last
 */
struct soft {
	struct softsept s;
	struct pgt_format fmt;
	const struct soft_place *place;
	u64 *cpu_root;
	u64 base;
	u64 *table[SOFT_TABLES];
	unsigned int nr_tables;
	u64 *linked[PGT_MAX_LEVEL + 1];
};

extern struct soft soft;

/* Finalized, with tables for nothing, and no vCPU. */
void soft_create(const struct soft_place *place);
void soft_destroy(void);

/* A table as link() and demote() want it; freed with the rest. */
u64 *soft_table(void);
/* Free the one that was handed out last. */
void soft_drop_table(void);
/* The page behind a gfn, contiguous and aligned as gfns are. */
u64 soft_pfn(u64 gfn);

/*
 * The calls.  What each returns is checked against the reason, which is what
 * comes back, and that nothing has changed if there is one.
 */
enum softsept_error soft_link_table(u64 gfn, int level, u64 *table);
enum softsept_error soft_link(u64 gfn, int level);
enum softsept_error soft_map_pfn(u64 gfn, int level, u64 pfn);
enum softsept_error soft_map(u64 gfn, int level);
enum softsept_error soft_add(u64 gfn);
enum softsept_error soft_block(u64 gfn, int level);
enum softsept_error soft_track(void);
enum softsept_error soft_unblock(u64 gfn, int level);
enum softsept_error soft_remove(u64 gfn, int level);
enum softsept_error soft_unlink(u64 gfn, int level);
enum softsept_error soft_promote(u64 gfn, int level);
enum softsept_error soft_demote(u64 gfn, int level);
enum softsept_error soft_accept(u64 gfn, int level);

/* The state at a level, or where the way ends, which is not lower. */
enum softsept_state soft_state(u64 gfn, int level);
/* Links for everything above @level that has none yet. */
void soft_reach(u64 gfn, int level);
/*
 * Make an entry of a state; blocked ones are tracked.  Links have @child
 * in all of their entries.
 */
void soft_make(u64 gfn, int level, enum softsept_state state,
	       enum softsept_state child);

/* All entries are what a CPU may see: fails the test if one isn't. */
void soft_validate(void);

#endif /* ALTMMU_HOST_SOFT_H */
