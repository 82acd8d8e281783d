/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the software provider share.
 */
#ifndef ALTMMU_MIRROR_SOFTSEPT_INTERNAL_H
#define ALTMMU_MIRROR_SOFTSEPT_INTERNAL_H

#include <linux/bitfield.h>
#include <linux/container_of.h>
#include <linux/mm.h>

#include "softsept.h"

/*
 * An entry that the CPU may use is a leaf or a link of the format's.  Any other
 * one is absent to the CPU: it has none of the bits that would make it present
 * (EPT: 2:0 and, with MBEC, 10; NPT: 0), nor PGT_PRESENT (11), and the CPU
 * ignores the rest, but for bit 63 in EPT, which is as in an empty entry.  There
 * stand:
 *
 *	62:54	the epoch in which it was blocked, as far as it fits
 *	53	somebody has the entry locked
 *	51:12	inverted, the address of the page or the table: a CPU that
 *		speculates through an absent entry (L1TF) finds no memory there
 *	7	it is a leaf above level 1
 *	5:3	its state
 *
 * A free entry that is not locked is the format's empty one.
 */
#define SOFTSEPT_E_STAMP	GENMASK_ULL(62, 54)
#define SOFTSEPT_E_LOCK		BIT_ULL(53)
#define SOFTSEPT_E_ADDR		GENMASK_ULL(51, PGT_PAGE_SHIFT)
#define SOFTSEPT_E_STATE	GENMASK_ULL(5, 3)

static inline struct softsept *softsept_of(struct mirror_provider *p)
{
	return container_of(p, struct softsept, provider);
}

struct softsept_rule;

/*
 * A call in progress: its rule, and the entry where the way to the gfn ends with
 * what that was found to hold.
 */
struct softsept_op {
	struct softsept *s;
	const struct softsept_rule *rule;
	u64 *entry;
	u64 old;
	int level;
};

static inline enum softsept_state softsept_state_of(u64 entry, int level)
{
	if (pgt_is_leaf(entry, level))
		return SOFTSEPT_MAPPED;
	if (pgt_is_present(entry))
		return SOFTSEPT_LINK;
	return FIELD_GET(SOFTSEPT_E_STATE, entry);
}

/* The address of the page or the table that an entry is about. */
static inline u64 softsept_pa(const struct softsept *s, u64 entry, int level)
{
	if (pgt_is_leaf(entry, level))
		return pgt_leaf_pfn(s->fmt, entry, level) << PGT_PAGE_SHIFT;
	if (pgt_is_present(entry))
		return pgt_table_pa(s->fmt, entry);
	return ~entry & SOFTSEPT_E_ADDR;
}

/* The table below a link, blocked or not. */
static inline u64 *softsept_table(const struct softsept_op *op)
{
	return __va(softsept_pa(op->s, op->old, op->level));
}

/* softsept.c */
int softsept_errno(struct softsept *s, enum softsept_error error);
bool softsept_inject_busy(struct softsept *s);
u64 softsept_make(const struct softsept *s, enum softsept_state state, u64 pa,
		  int level);
bool softsept_set(struct softsept_op *op, u64 new);
bool softsept_is_empty(const struct softsept *s, const u64 *table);
bool softsept_has(const struct softsept *s, u64 gfn, int level);
void softsept_walk(struct softsept_op *op, u64 gfn, int level);
enum softsept_state softsept_unblocked(enum softsept_state state);
enum softsept_error softsept_begin(struct softsept_op *op,
				   struct mirror_provider *p,
				   enum mirror_call call, u64 gfn, int level);
int softsept_end(struct softsept_op *op, enum softsept_error error);

/* softsept_resize.c */
int softsept_promote(struct mirror_provider *p, u64 gfn, int level,
		     void *table);
int softsept_demote(struct mirror_provider *p, u64 gfn, int level, void *table);

/* softsept_epoch.c */
bool softsept_is_tracked(const struct softsept *s, u64 entry);
int softsept_track(struct mirror_provider *p);
void softsept_open_window(struct mirror_provider *p);
void softsept_close_window(struct mirror_provider *p);

#endif /* ALTMMU_MIRROR_SOFTSEPT_INTERNAL_H */
