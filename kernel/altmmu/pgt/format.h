/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The format of a page-table entry, as data, and pure functions over it.
 *
 * A format is filled in once per table family by pgt_format_ept(),
 * pgt_format_npt() or pgt_format_pae() and is constant from then on.  Nothing
 * here reads or writes a page table; see change.h for the one place that does.
 *
 * What every format shares: 64-bit entries, 512 a table (PAE's top table uses
 * four), bit 7 marks a huge leaf, bit 11 is ignored by the CPU in every kind of
 * entry and says that the engine maps something there.
 */
#ifndef ALTMMU_PGT_FORMAT_H
#define ALTMMU_PGT_FORMAT_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

#define PGT_MAX_LEVEL		5
#define PGT_MAX_LEAF_LEVEL	3
#define PGT_ENTRIES		512
#define PGT_PAGE_SHIFT		12

/* Set in every entry that maps a page or links a table, never elsewhere. */
#define PGT_PRESENT		BIT_ULL(11)
/* A leaf above level 1: PS in SDM 4.4-4.5 and APM 5.3-5.4, bit 7 in EPT. */
#define PGT_HUGE		BIT_ULL(7)

/*
 * The MMIO generation: 18 bits of the memslot generation, at bits that no
 * format needs to make an entry fault as MMIO.
 */
#define PGT_MMIO_GEN_BITS	18
#define PGT_MMIO_GEN_LOW	GENMASK_ULL(9, 3)
#define PGT_MMIO_GEN_HIGH	GENMASK_ULL(62, 52)
/* In a memslot generation: a memslot update is in progress. */
#define PGT_GEN_IN_PROGRESS	BIT_ULL(63)

/* Access rights, of a leaf or of a fault. */
#define PGT_R			BIT(0)
#define PGT_W			BIT(1)
#define PGT_X			BIT(2)	/* supervisor execute with MBEC */
#define PGT_UX			BIT(3)	/* user execute, MBEC only */
#define PGT_U			BIT(4)	/* user access, NPT, long mode and PAE */
#define PGT_ALL_RIGHTS		(PGT_R | PGT_W | PGT_X | PGT_UX | PGT_U)

/**
 * struct pgt_host - what a format depends on in this host or VM
 * @phys_bits:	width of a physical address that an entry may hold, in bits
 * @me_value:	set in every encrypted leaf and in every table link
 * @me_mask:	address bits that encryption takes away; @me_value is within
 * @mmio_value:	what makes an entry fault as MMIO.  0 where the guest is to get a
 *		#VE for it: then only @nonpresent's bit 63 tells the two apart
 * @mmio_mask:	the bits to compare with @mmio_value, or 0: MMIO is not cached
 * @mmio_access: right bits (of a hardware entry) that MMIO entries keep
 * @l1tf_mask:	contiguous address bits, the highest that the caches know, to
 *		be set in non-present entries that carry data so that they name
 *		no memory that is cached; 0 where the CPU is immune
 * @nonpresent:	value of an empty entry: 0, or bit 63 (suppress #VE)
 * @max_leaf_level: 1 to 3, what the CPU can map with one leaf
 * @ad:		accessed and dirty bits are used; else accesses are tracked by
 *		taking rights away, and writes by write protection alone
 * @exec_only:	EPT: the CPU takes a leaf that can be executed but not read
 * @mbec:	EPT: mode-based execute control is on
 * @suppress_ve: EPT: set bit 63 in present entries
 * @nx:		NPT, PAE: EFER.NXE is on, so bit 63 means no-execute
 */
struct pgt_host {
	u8 phys_bits;
	u64 me_value;
	u64 me_mask;
	u64 mmio_value;
	u64 mmio_mask;
	u64 mmio_access;
	u64 l1tf_mask;
	u64 nonpresent;
	u8 max_leaf_level;
	bool ad;
	bool exec_only;
	bool mbec;
	bool suppress_ve;
	bool nx;
};

/**
 * struct pgt_format - bits of an entry; a bit that a format lacks is 0
 * @name:	for dumps and messages
 * @present:	set in every present entry
 * @leaf:	set in every leaf besides
 * @table:	set in a table link, by the level of the entry
 * @access:	what a leaf with these rights (PGT_* bits) has set, but for its
 *		address, memory type, size and accessed bit
 * @read:	grants reading; what PGT_R, or any right in @need_read, sets
 * @write:	grants writing
 * @exec:	grants execution
 * @user_exec:	grants user-mode execution
 * @nx:		takes execution away (never together with @exec)
 * @user:	grants access to user mode
 * @reach:	the CPU takes an entry for present if any of these is set
 * @need_read:	PGT_* rights that are not to be had without PGT_R
 * @accessed:	set by the CPU on a walk
 * @dirty:	set by the CPU on a write
 * @addr:	the physical address, without encryption bits
 * @me:		set in an encrypted leaf
 * @memtype:	the memory type of a leaf, as far as it is in one place
 * @pat_small:	the PAT bit of a 4K leaf, where it is apart from @memtype
 * @pat_huge:	the PAT bit of a huge leaf
 * @host_writable: software: the host maps the page writable
 * @mmu_writable: software: @write may be set without asking anybody, and a
 *		TLB may hold a writable translation
 * @nx_disallowed: software, in table links: the table is there only because
 *		the NX-huge-page mitigation forbade a huge leaf
 * @track_save:	rights that access tracking saves (shifted up by @track_shift)
 * @memtype_shift: lowest bit of @memtype
 * @track_shift: distance from a right to the place where it is saved
 * @track_set:	set when an access-tracked leaf is given back to the CPU
 * @lose:	bits whose loss makes cached translations stale
 * @same:	bits that may not change without making them stale
 * @nonpresent:	value of an empty entry
 * @frozen:	value of an entry that somebody is about to change further
 * @mmio_value:	see struct pgt_host
 * @mmio_mask:	see struct pgt_host
 * @mmio_access: see struct pgt_host
 * @l1tf:	see struct pgt_host
 * @mmio_gfn_low: address bits of an MMIO entry that stay in place below @l1tf
 * @mmio_gfn_max: first gfn that an MMIO entry can't hold
 * @max_leaf_level: highest level that may hold a leaf
 * @min_root_level: fewest levels of a root
 * @max_root_level: most levels of a root
 * @max_gfn:	first gfn that this format can't map whatever the root's levels
 */
struct pgt_format {
	const char *name;
	u64 present;
	u64 leaf;
	u64 table[PGT_MAX_LEVEL + 1];
	u64 access[PGT_ALL_RIGHTS + 1];
	u64 read;
	u64 write;
	u64 exec;
	u64 user_exec;
	u64 nx;
	u64 user;
	u64 reach;
	u64 accessed;
	u64 dirty;
	u64 addr;
	u64 me;
	u64 memtype;
	u64 pat_small;
	u64 pat_huge;
	u64 host_writable;
	u64 mmu_writable;
	u64 nx_disallowed;
	u64 track_save;
	u64 track_set;
	u64 lose;
	u64 same;
	u64 nonpresent;
	u64 frozen;
	u64 mmio_value;
	u64 mmio_mask;
	u64 mmio_access;
	u64 l1tf;
	u64 mmio_gfn_low;
	u64 mmio_gfn_max;
	u64 max_gfn;
	u8 need_read;
	u8 memtype_shift;
	u8 track_shift;
	u8 max_leaf_level;
	u8 min_root_level;
	u8 max_root_level;
};

int pgt_format_ept(struct pgt_format *fmt, const struct pgt_host *host);
int pgt_format_npt(struct pgt_format *fmt, const struct pgt_host *host);
int pgt_format_pae(struct pgt_format *fmt, const struct pgt_host *host);

/* Pages of 4K under one entry at @level. */
static inline u64 pgt_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

/* The place of @gfn in its table at @level, 0 to 511. */
static inline unsigned int pgt_index(u64 gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (PGT_ENTRIES - 1);
}

/* The first gfn under the entry at @level that covers @gfn. */
static inline u64 pgt_base(u64 gfn, int level)
{
	return gfn & ~(pgt_pages(level) - 1);
}

static inline bool pgt_is_present(u64 entry)
{
	return entry & PGT_PRESENT;
}

static inline bool pgt_is_leaf(u64 entry, int level)
{
	return pgt_is_present(entry) && (level == 1 || (entry & PGT_HUGE));
}

static inline bool pgt_is_table(u64 entry, int level)
{
	return level > 1 && (entry & (PGT_PRESENT | PGT_HUGE)) == PGT_PRESENT;
}

static inline bool pgt_is_frozen(const struct pgt_format *fmt, u64 entry)
{
	return entry == fmt->frozen;
}

static inline bool pgt_is_empty(const struct pgt_format *fmt, u64 entry)
{
	return entry == fmt->nonpresent;
}

static inline bool pgt_is_mmio(const struct pgt_format *fmt, u64 entry)
{
	return fmt->mmio_mask && !pgt_is_present(entry) &&
	       (entry & fmt->mmio_mask) == fmt->mmio_value;
}

/* A leaf that the CPU can't use until somebody notes that it was accessed. */
static inline bool pgt_is_tracked(const struct pgt_format *fmt, u64 leaf)
{
	return pgt_is_present(leaf) && !(leaf & fmt->reach);
}

/* The physical address of the table that a link points to, in bytes. */
static inline u64 pgt_table_pa(const struct pgt_format *fmt, u64 link)
{
	return link & fmt->addr;
}

/* The first pfn of a leaf; a huge leaf has its PAT bit below the address. */
static inline u64 pgt_leaf_pfn(const struct pgt_format *fmt, u64 leaf,
			       int level)
{
	return pgt_base((leaf & fmt->addr) >> PGT_PAGE_SHIFT, level);
}

/* What an access-tracked leaf was before, without write permission. */
static inline u64 pgt_untrack(const struct pgt_format *fmt, u64 leaf)
{
	u64 saved = fmt->track_save << fmt->track_shift;

	return (leaf & ~saved) | ((leaf & saved) >> fmt->track_shift) |
	       fmt->track_set;
}

/* Take all rights from a leaf, keeping what pgt_untrack() needs. */
static inline u64 pgt_track(const struct pgt_format *fmt, u64 leaf)
{
	return (leaf & ~(fmt->reach | fmt->write)) |
	       ((leaf & fmt->track_save) << fmt->track_shift);
}

/* Whether the CPU has used a leaf since it was last made old. */
static inline bool pgt_is_accessed(const struct pgt_format *fmt, u64 leaf)
{
	return fmt->accessed ? leaf & fmt->accessed :
			       !pgt_is_tracked(fmt, leaf);
}

/* Without dirty bits a leaf is dirty while it can be written. */
static inline bool pgt_is_dirty(const struct pgt_format *fmt, u64 leaf)
{
	return leaf & (fmt->dirty ?: fmt->write);
}

/* The rights that the CPU finds in a leaf, as PGT_* bits. */
static inline u8 pgt_rights(const struct pgt_format *fmt, u64 leaf)
{
	u8 rights = 0;

	if (!(leaf & fmt->reach))
		return 0;
	if (leaf & fmt->read)
		rights |= PGT_R;
	if (leaf & fmt->write)
		rights |= PGT_W;
	if (fmt->exec ? leaf & fmt->exec : !(leaf & fmt->nx))
		rights |= PGT_X;
	if (leaf & fmt->user_exec)
		rights |= PGT_UX;
	if (leaf & fmt->user)
		rights |= PGT_U;
	return rights;
}

/* Whether the CPU may do with a leaf all that @want names. */
static inline bool pgt_allows(const struct pgt_format *fmt, u64 leaf, u8 want)
{
	return !(want & ~pgt_rights(fmt, leaf));
}

/* Give a leaf that the CPU can use exactly the rights to execute in @access. */
static inline u64 pgt_set_exec(const struct pgt_format *fmt, u64 leaf, u8 access)
{
	leaf &= ~(fmt->exec | fmt->user_exec | fmt->nx);
	if (access & PGT_X)
		leaf |= fmt->exec;
	else
		leaf |= fmt->nx;
	if (access & PGT_UX)
		leaf |= fmt->user_exec;
	return leaf;
}

static inline u64 pgt_make_table(const struct pgt_format *fmt, u64 pa,
				 int level)
{
	return fmt->table[level] | pa;
}

/* The kind of memory behind a leaf and how the CPU is to treat it. */
struct pgt_attr {
	u8 access;
	u8 memtype;
	bool host_writable;
	bool mmu_writable;
	bool encrypted;
	bool accessed;
};

/* A leaf for @pfn, which is aligned to @level. */
static __always_inline u64 pgt_make_leaf(const struct pgt_format *fmt, u64 pfn,
					 int level, const struct pgt_attr *attr)
{
	u64 leaf = fmt->access[attr->access & PGT_ALL_RIGHTS] |
		   (pfn << PGT_PAGE_SHIFT) |
		   (((u64)attr->memtype << fmt->memtype_shift) & fmt->memtype);

	if (level > 1)
		leaf |= PGT_HUGE;
	/* The index into the PAT has its highest bit elsewhere. */
	if (attr->memtype & BIT(2))
		leaf |= level == 1 ? fmt->pat_small : fmt->pat_huge;
	if (attr->encrypted)
		leaf |= fmt->me;
	if (attr->host_writable)
		leaf |= fmt->host_writable;
	if (attr->mmu_writable)
		leaf |= fmt->mmu_writable;
	if (attr->accessed)
		return leaf | fmt->accessed;
	return fmt->accessed ? leaf : pgt_track(fmt, leaf);
}

/* The same translation and rights for child @index of a huge leaf. */
u64 pgt_leaf_child(const struct pgt_format *fmt, u64 huge, int level,
		   unsigned int index);
/* The leaf at @level + 1 that a leaf at @level would be a part of. */
u64 pgt_leaf_parent(const struct pgt_format *fmt, u64 leaf, int level);

u64 pgt_mmio_make(const struct pgt_format *fmt, u64 gfn, u64 gen, u64 access);
u64 pgt_mmio_gfn(const struct pgt_format *fmt, u64 entry);
u64 pgt_mmio_gen(u64 entry);
u64 pgt_mmio_access(const struct pgt_format *fmt, u64 entry);

#endif /* ALTMMU_PGT_FORMAT_H */
