// SPDX-License-Identifier: GPL-2.0
/*
 * The reference model of the engine, and the decoder that drives both.
 *
 * The model is a tree of attributes, changed by recursion; it knows what bits
 * the manuals give an attribute, but takes no function of the engine for it.  An
 * entry's expected value is kept next to its attributes, so that comparing a
 * table is comparing memory.
 *
 * Each operation of the engine is called first, then repeated on the model,
 * where its result, the entries, the range, the log and what is stale must come
 * out the same.  Where the engine may settle a batch at moments that are its own
 * business (yielding, meeting a frozen entry) what is stale is not compared but
 * taken over; that nothing stale stays is checked in the CPUs' caches anyway.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <stdarg.h>
#include <stdio.h>

#include "model.h"
#include "pgt/env.h"
#include "sim/explore.h"
#include "test.h"

#define MODEL_TABLES	96	/* in use at a time, at most */
#define MODEL_ROOTS	4
#define MODEL_CPUS	2
#define MODEL_DEPTH	3	/* batches at a time */
#define MODEL_BATCH_OPS	4
#define MODEL_LOG	512
/* Pages of the guest are in no data frame, for they never go away. */
#define MODEL_PFN	0x10000000ULL

/* What cpu.c calls the rights of a translation. */
#define CPU_R		BIT(0)
#define CPU_W		BIT(1)
#define CPU_X		BIT(2)
#define CPU_UX		BIT(3)

enum model_kind {
	MODEL_EMPTY,
	MODEL_PAGE,
	MODEL_TABLE,
	MODEL_MMIO,
	MODEL_FROZEN,
	MODEL_FOREIGN,
};

struct model_table;

/**
 * struct model_entry - what an entry says
 * @kind:	enum model_kind
 * @rights:	of a page: PGT_R, PGT_X, PGT_UX, PGT_U, also while it is tracked
 * @memtype:	of a page
 * @mmio_access: of MMIO
 * @write:	of a page
 * @host_writable: of a page
 * @mmu_writable: of a page
 * @dirty:	of a page, in a format with dirty bits
 * @accessed:	of a page; if not, and the format has no such bit: tracked
 * @encrypted:	of a page
 * @nx_disallowed: of a table
 * @pfn:	of a page
 * @gen:	of MMIO
 * @value:	of a foreign entry
 * @table:	of a table
 */
struct model_entry {
	u8 kind;
	u8 rights;
	u8 memtype;
	u8 mmio_access;
	bool write;
	bool host_writable;
	bool mmu_writable;
	bool dirty;
	bool accessed;
	bool encrypted;
	bool nx_disallowed;
	union {
		u64 pfn;
		u64 gen;
		u64 value;
		struct model_table *table;
	};
};

/**
 * struct model_table - a table
 * @value:	what its entries must hold
 * @entry:	what they mean
 * @real:	the engine's, or NULL as long as it has not been seen
 * @next:	in the list of free ones
 */
struct model_table {
	u64 value[PGT_ENTRIES];
	struct model_entry entry[PGT_ENTRIES];
	u64 *real;
	struct model_table *next;
};

/* An entry and where it is. */
struct model_at {
	struct model_table *table;
	struct model_entry *e;
	u64 gfn;
	int level;
};

struct model_root {
	struct pgt_root *real;
	struct model_table *top;
	u64 end;
	u64 foreign_end;
	int foreign_level;
	int space;
	u32 role;
	int state;
	unsigned int refs;
};

struct model_span {
	u64 start;
	u64 end;
};

/* What a finished operation has promised about the CPUs. */
enum model_promise {
	PROMISE_UNMAPPED,	/* nobody has another page than is mapped now */
	PROMISE_WRPROT,		/* nobody writes where it is not allowed */
	PROMISE_DIRTY,		/* the next write is noticed */
};

struct model_due {
	enum model_promise promise;
	struct model_root *root;
	struct model_span span;
	int min_level;
};

/**
 * struct model_batch - a batch of the engine and what is expected of it
 * @real:	the engine's
 * @stale:	what must be stale
 * @yields:	the engine settles when it likes
 * @inexact:	@stale was taken over from the engine in this operation
 * @unlinked:	tables taken out and not freed yet
 * @open:	if it is open
 * @nr_frozen:	entries in @frozen
 * @nr_due:	entries in @due
 * @may_wait:	everything in it may be deferred for longer
 */
struct model_batch {
	struct pgt_batch real;
	struct model_span stale;
	bool yields;
	bool inexact;
	unsigned long unlinked;
	struct pgt_open open;
	unsigned int nr_frozen;
	unsigned int nr_due;
	bool may_wait;
	struct model_at frozen[PGT_BATCH_FROZEN];
	struct model_due due[4 * MODEL_BATCH_OPS];
};

struct model_input {
	const u8 *data;
	size_t size;
	size_t at;
};

static struct model {
	struct model_input in;
	const struct vm_config *config;
	const struct pgt_host *host;
	struct pgt_format *fmt;
	bool ept;
	bool ad;
	u64 max_gfn;
	u64 end;		/* of a root */
	u64 spot[8];
	struct model_root root[MODEL_ROOTS];
	struct model_root *cpu_root[MODEL_CPUS];
	struct pgt_cache cache;
	unsigned int cached;	/* tables in it */
	struct model_batch *batch[MODEL_DEPTH];
	unsigned int depth;
	struct model_span owed;	/* by us, after a deferral */
	u64 flushes;
	u64 log[MODEL_LOG];
	unsigned int nr_log;
	u64 want_log[MODEL_LOG];
	unsigned int nr_want_log;
	int max_level;
	u64 ops;
	const char *op;
} m;

static struct model_table model_pool[MODEL_TABLES + 64];
static struct model_table *model_free;
static unsigned int model_used;

__attribute__((__noreturn__, __cold__, __format__(printf, 1, 2)))
static void model_fail(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	host_fail("model", "%s, operation %llu (%s), byte %zu: %s",
		  m.config->name, (unsigned long long)m.ops, m.op ?: "none",
		  m.in.at, text);
}

/* The engine's, and what the model says it must be. */
#define MODEL_EQ(what, real, want) do {					\
	long long __have = (long long)(real);				\
	long long __want = (long long)(want);				\
									\
	if (__have != __want)						\
		model_fail("%s is %lld (%#llx), not %lld (%#llx)", what,\
			   __have, (unsigned long long)__have, __want,	\
			   (unsigned long long)__want);			\
} while (0)

#define model_note(fmt, ...) do {					\
	if (host_verbose())						\
		host_note("%llu %s: " fmt, (unsigned long long)m.ops,	\
			  m.op, ##__VA_ARGS__);				\
} while (0)

/*
 * Input.
 */

static bool model_more(void)
{
	return m.in.at < m.in.size;
}

static u8 model_byte(void)
{
	return model_more() ? m.in.data[m.in.at++] : 0;
}

static u64 model_gfn(void)
{
	static const u16 offset[] = {
		0, 1, 2, 3, 4, 7, 8, 0x3f, 0x40, 0x80, 0xff, 0x100, 0x180,
		0x1fe, 0x1ff,
	};
	u8 byte = model_byte();
	unsigned int i = (byte >> 3) & 15;

	/* Sometimes one that can't be. */
	if (i == ARRAY_SIZE(offset))
		return byte & BIT(7) ? m.end + 3 : m.spot[byte & 7] + 5;
	return m.spot[byte & 7] + offset[i];
}

static struct model_span model_range(void)
{
	u64 a = model_gfn(), b;

	switch (model_byte() & 7) {
	case 0:
		return (struct model_span){ a, a + 1 };
	case 1:
		return (struct model_span){ a, a + 8 };
	case 2:
		a = pgt_base(a, 2);
		return (struct model_span){ a, a + 512 };
	case 3:
		a = pgt_base(a, 3);
		return (struct model_span){ a, a + 0x40000 };
	case 4:
		return (struct model_span){ 0, ~0ULL };
	case 5:
		return (struct model_span){ a, pgt_base(a, 2) + 512 };
	case 6:
		return (struct model_span){ pgt_base(a, 2), a + 1 };
	default:
		b = model_gfn();
		return (struct model_span){ min(a, b), max(a, b) };
	}
}

/* A page for a gfn, in line with some of its neighbours' or not. */
static u64 model_pfn(u64 gfn, unsigned int variant, int level)
{
	u64 pfn = MODEL_PFN + (gfn & 0xfffff);

	switch (variant & 7) {
	case 4:
	case 5:
		return pfn + 0x100000;
	case 6:
		return level < 3 ? pfn + 0x1000 : pfn;
	case 7:
		return level < 2 ? pfn + 3 : pfn;
	default:
		return pfn;
	}
}

/*
 * What attributes look like.
 */

static u64 model_page_value(const struct model_entry *e, int level)
{
	bool tracked = !m.ad && !e->accessed;
	u64 v = BIT_ULL(11) | (e->pfn << 12);

	if (level > 1)
		v |= BIT_ULL(7);
	if (e->encrypted)
		v |= m.host->me_value;
	if (e->host_writable)
		v |= m.fmt->host_writable;
	if (e->mmu_writable)
		v |= m.fmt->mmu_writable;
	if (m.ept) {
		int shift = tracked ? 52 : 0;

		v |= (u64)e->memtype << 3;
		if (m.host->suppress_ve)
			v |= BIT_ULL(63);
		if (e->rights & PGT_R)
			v |= BIT_ULL(0 + shift);
		if (e->rights & PGT_X)
			v |= BIT_ULL(2 + shift);
		if (e->rights & PGT_UX)
			v |= BIT_ULL(10 + shift);
		if (e->write)
			v |= BIT_ULL(1);
		if (m.ad && e->accessed)
			v |= BIT_ULL(8);
		if (m.ad && e->dirty)
			v |= BIT_ULL(9);
		return v;
	}
	if (!tracked)
		v |= BIT_ULL(0);
	if (e->write)
		v |= BIT_ULL(1);
	if (e->rights & PGT_U)
		v |= BIT_ULL(2);
	v |= (u64)(e->memtype & 3) << 3;
	if (e->memtype & 4)
		v |= level > 1 ? BIT_ULL(12) : BIT_ULL(7);
	if (!m.ad || e->accessed)
		v |= BIT_ULL(5);
	if (!m.ad || e->dirty)
		v |= BIT_ULL(6);
	if (!(e->rights & PGT_X))
		v |= BIT_ULL(63);
	return v;
}

/* But for the address. */
static u64 model_link_value(const struct model_entry *e, int level)
{
	u64 v = BIT_ULL(11) | m.host->me_value;

	if (e->nx_disallowed)
		v |= m.fmt->nx_disallowed;
	if (m.ept) {
		v |= GENMASK_ULL(2, 0);
		if (m.host->mbec)
			v |= BIT_ULL(10);
		if (m.host->suppress_ve)
			v |= BIT_ULL(63);
		if (m.ad)
			v |= BIT_ULL(8);
		return v;
	}
	if (m.config->mode.format == CPU_PAE && level == 3)
		return v | BIT_ULL(0);
	return v | BIT_ULL(0) | BIT_ULL(1) | BIT_ULL(2) | BIT_ULL(5);
}

static u64 model_value(const struct model_at *at)
{
	const struct model_entry *e = at->e;

	switch (e->kind) {
	case MODEL_PAGE:
		return model_page_value(e, at->level);
	case MODEL_TABLE:
		return model_link_value(e, at->level) |
		       (e->table->real ? __pa(e->table->real) : 0);
	case MODEL_MMIO:
		return pgt_mmio_make(m.fmt, at->gfn, e->gen, e->mmio_access);
	case MODEL_FROZEN:
		return m.fmt->frozen;
	case MODEL_FOREIGN:
		return e->value;
	default:
		return m.host->nonpresent;
	}
}

/* After each change of an entry. */
static void model_changed(const struct model_at *at)
{
	at->table->value[at->e - at->table->entry] = model_value(at);
}

static bool model_tracked(const struct model_entry *e)
{
	return e->kind == MODEL_PAGE && !m.ad && !e->accessed;
}

/* Rights that the format can express, of those that are to be granted. */
static u8 model_rights(u8 access)
{
	u8 rights;

	if (m.ept) {
		rights = access & (PGT_R | PGT_X |
				   (m.host->mbec ? PGT_UX : 0));
		if (access & PGT_W ||
		    (!m.host->exec_only && access & (PGT_X | PGT_UX)))
			rights |= PGT_R;
		return rights;
	}
	rights = access & (PGT_R | PGT_X | PGT_U);
	return access & (PGT_R | PGT_W | PGT_X | PGT_U) ? rights | PGT_R : 0;
}

static bool model_allows(const struct model_entry *e, u8 want)
{
	u8 rights = e->rights | (e->write ? PGT_W : 0);

	if (model_tracked(e))
		rights = 0;
	return !(want & ~rights);
}

/* What a CPU may do that uses exactly this. */
static u8 model_cpu_rights(const struct model_entry *e)
{
	u8 rights = 0;

	if (!m.ept && !(e->rights & PGT_U))
		return 0;
	if (e->rights & PGT_R)
		rights |= CPU_R;
	if (e->write)
		rights |= CPU_W;
	if (e->rights & PGT_X)
		rights |= CPU_X;
	if (e->rights & (m.ept && m.host->mbec ? PGT_UX : PGT_X))
		rights |= CPU_UX;
	return rights;
}

/*
 * The tree.
 */

static struct model_table *model_table_new(u64 gfn, int level)
{
	struct model_table *t = model_free;

	if (!t)
		model_fail("out of tables");
	model_free = t->next;
	model_used++;
	memset(t->entry, 0, sizeof(t->entry));
	for (int i = 0; i < PGT_ENTRIES; i++)
		t->value[i] = m.host->nonpresent;
	t->real = NULL;
	return t;
}

static void model_table_free(struct model_table *t)
{
	t->next = model_free;
	model_free = t;
	model_used--;
}

static struct model_at model_at(struct model_table *t, int level, u64 gfn)
{
	return (struct model_at){
		.table = t,
		.e = &t->entry[pgt_index(gfn, level)],
		.gfn = pgt_base(gfn, level),
		.level = level,
	};
}

static struct model_at model_top(struct model_root *root, u64 gfn)
{
	return model_at(root->top, m.config->levels, gfn);
}

static struct model_at model_down(const struct model_at *at, u64 gfn)
{
	return model_at(at->e->table, at->level - 1, gfn);
}

/* The last entry on the way to a gfn. */
static struct model_at model_find(struct model_root *root, u64 gfn)
{
	struct model_at at = model_top(root, gfn);

	while (at.e->kind == MODEL_TABLE)
		at = model_down(&at, gfn);
	return at;
}

static u64 model_at_end(const struct model_at *at)
{
	return at->gfn + pgt_pages(at->level);
}

/* What of a span the engine may look at. */
static struct model_span model_clip(const struct model_root *root,
				    struct model_span span)
{
	span.start = max(span.start, root->foreign_end);
	span.end = min3(span.end, root->end, m.max_gfn);
	return span;
}

static bool model_overlap(struct model_span a, struct model_span b)
{
	return a.start < a.end && b.start < b.end && a.start < b.end &&
	       b.start < a.end;
}

static struct model_span model_at_span(const struct model_at *at)
{
	return (struct model_span){ at->gfn, model_at_end(at) };
}

/* For entries that overlap a span: of links, those where the walk ends. */
typedef void (*model_fn)(struct model_batch *b, struct model_at *at, void *arg);

static void model_walk(struct model_batch *b, struct model_table *t, int level,
		       u64 base, struct model_span span, int floor,
		       model_fn fn, void *arg)
{
	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));

		if (!model_overlap(model_at_span(&at), span))
			continue;
		if (level <= floor || at.e->kind != MODEL_TABLE)
			fn(b, &at, arg);
		if (level > floor && at.e->kind == MODEL_TABLE)
			model_walk(b, at.e->table, level - 1, at.gfn, span,
				   floor, fn, arg);
	}
}

static void model_for_each(struct model_batch *b, struct model_root *root,
			   struct model_span span, int floor, model_fn fn,
			   void *arg)
{
	model_walk(b, root->top, m.config->levels, 0, model_clip(root, span),
		   floor, fn, arg);
}

/*
 * Batches.
 */

static void model_stale(struct model_batch *b, u64 start, u64 end)
{
	if (!b)
		return;
	b->stale.start = min(b->stale.start, start);
	b->stale.end = max(b->stale.end, end);
}

static void model_stale_at(struct model_batch *b, const struct model_at *at)
{
	model_stale(b, at->gfn, model_at_end(at));
}

/* What an open batch may have left in CPUs, and is going to. */
static struct model_span model_open_span(const struct model_batch *b)
{
	struct model_span span = { b->real.open->start, b->real.open->end };

	if (b->stale.start < b->stale.end) {
		span.start = min(span.start, b->stale.start);
		span.end = max(span.end, b->stale.end);
	}
	return span;
}

static bool model_open(const struct model_batch *but, struct model_span span)
{
	for (unsigned int i = 0; i < m.depth; i++)
		if (m.batch[i] != but && m.batch[i]->real.open &&
		    model_overlap(model_open_span(m.batch[i]), span))
			return true;
	return false;
}

static bool model_others_open(const struct model_batch *but)
{
	for (unsigned int i = 0; i < m.depth; i++)
		if (m.batch[i] != but && m.batch[i]->real.open)
			return true;
	return false;
}

/* Frozen entries become empty: the batch has been settled. */
static void model_thaw(struct model_batch *b)
{
	for (unsigned int i = 0; i < b->nr_frozen; i++) {
		/* Or its table went meanwhile. */
		if (b->frozen[i].e->kind != MODEL_FROZEN)
			continue;
		b->frozen[i].e->kind = MODEL_EMPTY;
		model_changed(&b->frozen[i]);
	}
	b->nr_frozen = 0;
	b->inexact = true;
}

/* Take out a table with all below it. */
static void model_unlink(struct model_batch *b, struct model_table *t)
{
	for (int i = 0; i < PGT_ENTRIES; i++) {
		if (t->entry[i].kind == MODEL_FROZEN && b)
			model_thaw(b);
		if (t->entry[i].kind == MODEL_TABLE)
			model_unlink(b, t->entry[i].table);
	}
	model_table_free(t);
	if (b)
		b->unlinked++;
}

/* Make an entry something that no CPU can use. */
static void model_cut(struct model_batch *b, struct model_at *at,
		      enum model_kind kind)
{
	struct model_entry old = *at->e;

	if (old.kind == MODEL_PAGE || old.kind == MODEL_TABLE)
		model_stale_at(b, at);
	*at->e = (struct model_entry){ .kind = kind };
	model_changed(at);
	if (old.kind == MODEL_TABLE)
		model_unlink(b, old.table);
}

/* Whether a CPU that uses @old must be told of @new, both pages. */
static bool model_is_cut(const struct model_entry *old,
			 const struct model_entry *new)
{
	u8 before = old->rights | (old->write ? PGT_W : 0);
	u8 after = new->rights | (new->write ? PGT_W : 0);

	if (model_tracked(new))
		after = 0;
	return before & ~after || (old->mmu_writable && !new->mmu_writable) ||
	       (old->dirty && !new->dirty) || old->pfn != new->pfn ||
	       old->memtype != new->memtype ||
	       old->encrypted != new->encrypted;
}

/*
 * Whether the CPUs agree.
 */

static bool model_is_pending(const struct cpu_tlb *tlb)
{
	struct model_span span = { tlb->gfn, tlb->gfn + pgt_pages(tlb->level) };

	for (unsigned int i = 0; i < m.depth; i++)
		if (model_overlap(m.batch[i]->stale, span))
			return true;
	return model_overlap(m.owed, span);
}

enum model_grade {
	GRADE_ALL,	/* pending invalidations excuse everything */
	GRADE_PAGE,	/* of promises */
	GRADE_WRITE,
	GRADE_DIRTY,
};

static void model_check_gfn(unsigned int cpu, const struct cpu_tlb *tlb,
			    u64 gfn, enum model_grade grade, int min_level)
{
	struct model_at at = model_find(m.cpu_root[cpu], gfn);
	const struct model_entry *e = at.e;
	const char *what = NULL;
	u8 rights;

	if (e->kind != MODEL_PAGE ||
	    e->pfn + (gfn - at.gfn) != tlb->pfn + (gfn - tlb->gfn)) {
		if (grade == GRADE_WRITE && tlb->rights & CPU_W)
			what = "an unmapped page to write to";
		else if (grade == GRADE_ALL || grade == GRADE_PAGE)
			what = "a page that is not mapped";
	} else {
		rights = model_cpu_rights(e);
		/* Aged, which takes the right to write as well. */
		if (grade == GRADE_ALL && !m.ad && e->mmu_writable)
			rights |= CPU_W;
		if (grade == GRADE_ALL && tlb->rights & ~rights)
			what = "more rights";
		if (grade == GRADE_WRITE && at.level >= min_level &&
		    tlb->rights & CPU_W & ~rights)
			what = "write permission";
		if ((grade == GRADE_ALL || grade == GRADE_DIRTY) && m.ad &&
		    tlb->dirty && !e->dirty)
			what = "the page as dirty";
	}
	if (!what || (grade == GRADE_ALL && model_is_pending(tlb)))
		return;
	/* Who is owed the invalidation copies the page after it. */
	if (grade == GRADE_DIRTY &&
	    model_overlap(m.owed, (struct model_span){ gfn, gfn + 1 }))
		return;
	model_fail("CPU %u holds %s at gfn %#llx (from level %d, gfn %#llx)",
		   cpu, what, (unsigned long long)gfn, tlb->level,
		   (unsigned long long)tlb->gfn);
}

/* Of a translation, the gfns that operations tell apart. */
static void model_check_tlb(unsigned int cpu, const struct cpu_tlb *tlb,
			    struct model_span span, enum model_grade grade,
			    int min_level)
{
	static const u16 offset[] = {
		0, 1, 2, 3, 4, 5, 7, 8, 9, 0x3f, 0x40, 0x80, 0xff, 0x100,
		0x180, 0x1fe, 0x1ff,
	};
	struct model_span own = { tlb->gfn, tlb->gfn + pgt_pages(tlb->level) };

	own.start = max(own.start, span.start);
	own.end = min(own.end, span.end);
	if (own.start >= own.end)
		return;
	if (tlb->level == 1) {
		model_check_gfn(cpu, tlb, own.start, grade, min_level);
		return;
	}
	for (int i = 0; i < ARRAY_SIZE(m.spot); i++) {
		if (!model_overlap(own, (struct model_span){ m.spot[i],
							     m.spot[i] + 512 }))
			continue;
		for (int j = 0; j < ARRAY_SIZE(offset); j++) {
			u64 gfn = m.spot[i] + offset[j];

			if (gfn >= own.start && gfn < own.end)
				model_check_gfn(cpu, tlb, gfn, grade,
						min_level);
		}
	}
}

static void model_check_chain(const struct cpu_table *chain, int level)
{
	for (; level <= m.config->levels; level++)
		if (!mem_is_table(chain[level].pa >> 12) ||
		    mem_generation(chain[level].pa >> 12) !=
		    chain[level].generation)
			model_fail("a CPU holds a table that was freed");
}

static void model_check_cpus(void)
{
	for (unsigned int i = 0; i < MODEL_CPUS; i++) {
		struct cpu *cpu = &vm.vcpu[i].cpu;

		if (!cpu->loaded) {
			m.cpu_root[i] = NULL;
			continue;
		}
		for (unsigned int j = 0; j < cpu->nr_tlb; j++) {
			model_check_tlb(i, &cpu->tlb[j],
					(struct model_span){ 0, ~0ULL },
					GRADE_ALL, 1);
			model_check_chain(cpu->tlb[j].chain,
					  cpu->tlb[j].level);
		}
		for (unsigned int j = 0; j < cpu->nr_psc; j++)
			model_check_chain(cpu->psc[j].chain,
					  cpu->psc[j].level - 1);
	}
}

/* No pending invalidation is an excuse for what was promised. */
static void model_check_due(const struct model_due *due)
{
	static const enum model_grade grade[] = {
		[PROMISE_UNMAPPED] = GRADE_PAGE,
		[PROMISE_WRPROT] = GRADE_WRITE,
		[PROMISE_DIRTY] = GRADE_DIRTY,
	};

	for (unsigned int i = 0; i < MODEL_CPUS; i++) {
		struct cpu *cpu = &vm.vcpu[i].cpu;

		if (!cpu->loaded || m.cpu_root[i] != due->root)
			continue;
		for (unsigned int j = 0; j < cpu->nr_tlb; j++)
			model_check_tlb(i, &cpu->tlb[j], due->span,
					grade[due->promise], due->min_level);
	}
}

/*
 * Whether the tables agree.
 */

__attribute__((__noreturn__, __cold__))
static void model_differs(struct model_table *t, int level, u64 base)
{
	int i = 0;

	while (t->real[i] == t->value[i])
		i++;
	model_fail("entry at gfn %#llx, level %d, is %#llx, not %#llx (kind %d)",
		   (unsigned long long)(base + i * pgt_pages(level)), level,
		   (unsigned long long)t->real[i],
		   (unsigned long long)t->value[i], t->entry[i].kind);
}

static void model_compare_table(struct model_table *t, int level, u64 base)
{
	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));
		u64 real = t->real[i];

		if (at.e->kind != MODEL_TABLE || at.e->table->real)
			continue;
		/* A table that has not been seen yet. */
		if ((real & ~m.fmt->addr) != t->value[i])
			model_fail("entry %#llx at gfn %#llx, level %d, is not the link %#llx",
				   (unsigned long long)real,
				   (unsigned long long)at.gfn, level,
				   (unsigned long long)t->value[i]);
		at.e->table->real = __va(real & m.fmt->addr);
		model_changed(&at);
	}
	if (memcmp(t->real, t->value, sizeof(t->value)))
		model_differs(t, level, base);
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (t->entry[i].kind == MODEL_TABLE)
			model_compare_table(t->entry[i].table, level - 1,
					    base + i * pgt_pages(level));
}

static void model_compare_roots(void)
{
	unsigned int nr = 0, real = 0;
	struct pgt_root *pos;

	for (int i = 0; i < MODEL_ROOTS; i++) {
		struct model_root *root = &m.root[i];

		if (!root->real)
			continue;
		nr++;
		MODEL_EQ("state of a root", root->real->state, root->state);
		MODEL_EQ("references", refcount_read(&root->real->refs),
			 root->refs + (root->state != PGT_ROOT_EMPTIED));
		model_compare_table(root->top, m.config->levels, 0);
	}
	list_for_each_entry(pos, &vm.mmu.roots, link)
		real++;
	MODEL_EQ("roots on the list", real, nr);
}

static void model_compare(void)
{
	unsigned long unlinked = 0;
	struct pgt_verdict verdict;

	MODEL_EQ("tables in the cache", m.cache.nr, m.cached);
	MODEL_EQ("pages logged", m.nr_log, m.nr_want_log);
	for (unsigned int i = 0; i < m.nr_log; i++)
		MODEL_EQ("a logged gfn", m.log[i], m.want_log[i]);
	m.nr_log = 0;
	m.nr_want_log = 0;
	model_compare_roots();
	for (unsigned int i = 0; i < m.depth; i++)
		unlinked += m.batch[i]->unlinked;
	MODEL_EQ("tables in use", mem_tables_in_use(),
		 model_used + m.cached + unlinked);
	model_check_cpus();
	if (m.depth)
		return;
	MODEL_EQ("tables accounted", vm.tables, model_used);
	if (!pgt_validate(&vm.mmu, &verdict))
		model_fail("validator: %s: gfn %#llx, entry %#llx, level %d",
			   verdict.what, (unsigned long long)verdict.gfn,
			   (unsigned long long)verdict.entry, verdict.level);
}

/*
 * After an operation in a batch: what is stale is the same, or where that is
 * the engine's own business, taken over.
 */
static void model_sync(struct model_batch *b)
{
	struct pgt_batch *real = &b->real;
	struct list_head *link;

	if (b->yields || b->inexact) {
		if (b->nr_frozen > real->nr_frozen) {
			unsigned int gone = b->nr_frozen - real->nr_frozen;
			struct model_at kept[PGT_BATCH_FROZEN];

			memcpy(kept, b->frozen + gone,
			       real->nr_frozen * sizeof(*kept));
			b->nr_frozen = gone;
			model_thaw(b);
			memcpy(b->frozen, kept,
			       real->nr_frozen * sizeof(*kept));
			b->nr_frozen = real->nr_frozen;
		}
		b->stale.start = real->stale_start;
		b->stale.end = real->stale_end;
		b->unlinked = 0;
		list_for_each(link, &real->unlinked)
			b->unlinked++;
		m.flushes = vm.flushes;
		b->inexact = false;
	}
	MODEL_EQ("frozen entries", real->nr_frozen, b->nr_frozen);
	if (b->stale.start < b->stale.end ||
	    real->stale_start < real->stale_end) {
		if (model_others_open(b)) {
			/* At least what is stale. */
			if (b->stale.start < b->stale.end &&
			    (real->stale_start > b->stale.start ||
			     real->stale_end < b->stale.end))
				model_fail("not all that is stale is noted");
			b->stale.start = real->stale_start;
			b->stale.end = real->stale_end;
		}
		MODEL_EQ("start of what is stale", real->stale_start,
			 b->stale.start);
		MODEL_EQ("end of what is stale", real->stale_end,
			 b->stale.end);
	}
	MODEL_EQ("flushes", vm.flushes, m.flushes);
}

static void model_promise(struct model_batch *b, enum model_promise promise,
			  struct model_root *root, struct model_span span,
			  int min_level)
{
	if (root->state == PGT_ROOT_VALID && b->nr_due < ARRAY_SIZE(b->due))
		b->due[b->nr_due++] = (struct model_due){
			promise, root, model_clip(root, span), min_level
		};
}

/* What every operation over a range does first. */
static void model_enter(struct model_batch *b, struct model_root *root,
			struct model_span span)
{
	struct model_span clip = model_clip(root, span);

	if (model_open(b, clip))
		model_stale(b, clip.start, clip.end);
}

/*
 * Operations.  Each reads its parameters, calls the engine, and does the same.
 */

static void model_logged(struct pgt_root *root, u64 gfn)
{
	if (m.nr_log < MODEL_LOG)
		m.log[m.nr_log++] = gfn;
}

static void model_want_log(u64 gfn)
{
	if (m.nr_want_log < MODEL_LOG)
		m.want_log[m.nr_want_log++] = gfn;
}

static int model_host_level(struct pgt_root *root, u64 gfn, u64 pfn)
{
	return m.max_level;
}

static void model_fill(unsigned int tables, bool root)
{
	if (tables + model_used > MODEL_TABLES)
		tables = model_used < MODEL_TABLES ?
			 MODEL_TABLES - model_used : 0;
	HOST_EQ(pgt_cache_fill(&m.cache, tables, root), 0);
	m.cached = max(m.cached, tables);
}

/* Take a table for an entry, with nothing in it. */
static bool model_link(struct model_at *at, bool nx)
{
	if (!m.cached)
		return false;
	m.cached--;
	*at->e = (struct model_entry){
		.kind = MODEL_TABLE,
		.nx_disallowed = nx,
		.table = model_table_new(at->gfn, at->level - 1),
	};
	model_changed(at);
	return true;
}

static bool model_split_page(struct model_at *at, bool nx, u8 exec)
{
	struct model_entry page = *at->e;
	u8 added = model_rights(exec) & (PGT_X | PGT_UX);
	u64 pages = pgt_pages(at->level - 1);

	if (!model_link(at, nx))
		return false;
	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_at child = model_at(at->e->table, at->level - 1,
						 at->gfn + i * pages);

		*child.e = page;
		child.e->pfn = page.pfn + i * pages;
		if (child.level == 1)
			child.e->rights |= added;
		model_changed(&child);
	}
	return true;
}

static void model_page(struct model_at *at, const struct pgt_map *map, u64 pfn)
{
	u8 access = map->access;

	if (at->level > 1 && map->nx_huge)
		access &= ~(PGT_X | PGT_UX);
	*at->e = (struct model_entry){
		.kind = MODEL_PAGE,
		.rights = model_rights(access),
		.memtype = map->memtype,
		.write = access & PGT_W,
		.host_writable = map->host_writable || access & PGT_W,
		.mmu_writable = map->mmu_writable || access & PGT_W,
		.dirty = m.ad && access & PGT_W,
		.accessed = !map->prefetch,
		.encrypted = map->encrypted,
		.pfn = pgt_base(pfn, at->level),
	};
	if (model_tracked(at->e))
		at->e->write = false;
	model_changed(at);
	if (map->log && at->e->write)
		model_want_log(map->gfn);
}

static void model_sum_dirty(struct model_batch *b, struct model_at *at,
			    void *arg)
{
	struct model_entry *page = arg;

	if (at->e->kind == MODEL_PAGE && at->e->dirty)
		page->dirty = true;
}

static bool model_map_bad(const struct pgt_map *map, u64 pfn)
{
	u64 below;

	if (map->level < 1 || map->level > m.fmt->max_leaf_level)
		return true;
	below = pgt_pages(map->level) - 1;
	if ((map->gfn ^ pfn) & below || pfn >> (m.host->phys_bits - 12) ||
	    map->want & ~map->access)
		return true;
	if (map->level == 1)
		return false;
	return (map->nx_huge && map->want & (PGT_X | PGT_UX)) ||
	       (map->log && map->access & PGT_W);
}

/* To @map->level, with new tables, or to a page above, or to an error. */
static int model_descend(struct model_root *root, struct model_at *at,
			 const struct pgt_map *map)
{
	while (at->level > map->level && at->e->kind != MODEL_PAGE) {
		bool nx = map->nx_disallow && at->level <= map->req_level;

		if (at->e->kind == MODEL_FROZEN)
			return -EAGAIN;
		if (at->e->kind != MODEL_TABLE && !model_link(at, nx))
			return -ENOMEM;
		*at = model_down(at, map->gfn);
	}
	return at->e->kind == MODEL_FROZEN ? -EAGAIN : 0;
}

static bool model_links_tables(const struct model_table *t)
{
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (t->entry[i].kind == MODEL_TABLE)
			return true;
	return false;
}

static bool model_has_pages(const struct model_table *t)
{
	for (int i = 0; i < PGT_ENTRIES; i++)
		if (t->entry[i].kind == MODEL_PAGE)
			return true;
	return false;
}

/* Make room for a page: -EAGAIN, PGT_DONE, or PGT_SPURIOUS if a table stays. */
static int model_prune(struct model_batch *b, const struct pgt_map *map,
		       struct model_at *at)
{
	unsigned int dropped = 0;
	u64 index = pgt_index(map->gfn, at->level - 1);
	int ret = PGT_DONE;

	for (int i = 0; i < PGT_ENTRIES; i++, index++) {
		struct model_at child = {
			.table = at->e->table,
			.e = &at->e->table->entry[index % PGT_ENTRIES],
			.level = at->level - 1,
		};

		child.gfn = at->gfn + index % PGT_ENTRIES *
			    pgt_pages(child.level);
		if (child.e->kind == MODEL_FROZEN)
			ret = -EAGAIN;
		if (child.e->kind != MODEL_TABLE)
			continue;
		if ((map->nx_huge && child.e->nx_disallowed) ||
		    model_has_pages(child.e->table) ||
		    model_links_tables(child.e->table))
			return PGT_SPURIOUS;
		if (dropped++ == PGT_MAP_DROPS ||
		    b->nr_frozen == PGT_BATCH_FROZEN)
			return -EAGAIN;
		if (b->real.mode == PGT_EXCLUSIVE) {
			model_cut(b, &child, MODEL_EMPTY);
			continue;
		}
		model_cut(b, &child, MODEL_FROZEN);
		b->frozen[b->nr_frozen++] = child;
		ret = -EAGAIN;
	}
	return ret;
}

/* Lowers @map->level as the engine does. */
static int model_map_at(struct model_batch *b, struct model_root *root,
			struct pgt_map *map)
{
	struct model_at at = model_top(root, map->gfn);
	struct model_entry old = { };
	int ret;

	for (;;) {
		ret = model_descend(root, &at, map);
		if (ret)
			return ret;
		if (at.e->kind == MODEL_TABLE) {
			ret = PGT_SPURIOUS;
			if (!(map->nx_huge && at.e->nx_disallowed) &&
			    at.gfn >= root->foreign_end &&
			    !(map->prefetch && model_has_pages(at.e->table)))
				ret = model_prune(b, map, &at);
			if (ret == PGT_DONE)
				break;
			if (ret < 0)
				return ret;
			map->level--;
			continue;
		}
		if (at.e->kind != MODEL_PAGE)
			break;
		if (at.e->pfn + (map->gfn - at.gfn) != map->pfn)
			return -EEXIST;
		if (map->prefetch || model_allows(at.e, map->want))
			return PGT_SPURIOUS;
		if (at.level == map->level)
			break;
		if (!model_split_page(&at, map->nx_disallow &&
					   at.level <= map->req_level,
				      map->nx_huge ? map->access : 0))
			return -ENOMEM;
	}

	if (at.e->kind == MODEL_TABLE) {
		model_walk(b, at.e->table, at.level - 1, at.gfn,
			   model_at_span(&at), 1, model_sum_dirty, &old);
		model_cut(b, &at, MODEL_EMPTY);
		model_page(&at, map, map->pfn);
		at.e->dirty |= old.dirty;
	} else {
		old = *at.e;
		model_page(&at, map, map->pfn);
		if (old.kind == MODEL_PAGE) {
			at.e->dirty |= old.dirty;
			at.e->accessed |= old.accessed && m.ad;
			if (model_is_cut(&old, at.e))
				model_stale_at(b, &at);
		}
	}
	model_changed(&at);
	return PGT_DONE;
}

/* Whether the gfns may be mapped at all; @span is what the leaf would cover. */
static int model_map_allowed(struct model_root *root, u64 gfn,
			     struct model_span span, int ret)
{
	if (gfn < root->foreign_end || gfn >= min(root->end, m.max_gfn))
		return -ERANGE;
	/* Which of two errors comes first is nobody's business. */
	if (span.end > min(root->end, m.max_gfn) && ret != -EAGAIN)
		return -ERANGE;
	if (root->state != PGT_ROOT_VALID || model_open(NULL, span))
		return -EAGAIN;
	return span.end > min(root->end, m.max_gfn) ? -ERANGE : 0;
}

static void model_map_byte(struct pgt_map *map)
{
	static const u8 access[] = {
		0x1f, 0x1f, 0x1f, PGT_R | PGT_X | PGT_UX | PGT_U,
		PGT_R | PGT_W | PGT_U, PGT_R | PGT_U, PGT_X | PGT_UX | PGT_U,
	};
	static const u8 want[] = {
		PGT_R, PGT_W, PGT_X, 0, PGT_UX, PGT_R | PGT_W, PGT_R | PGT_X,
		PGT_R,
	};
	static const u8 level[] = { 1, 1, 1, 2, 2, 2, 3, 1 };
	static const u8 memtype[] = { 6, 6, 0, 14 };
	static const u8 pat[] = { 0, 0, 1, 4 };
	u8 a = model_byte(), c = model_byte(), d = model_byte();

	map->gfn = model_gfn();
	map->level = level[a & 7];
	map->prefetch = (a >> 3 & 7) == 7;
	if (a >> 6 == 3) {
		map->nx_huge = true;
		map->nx_disallow = c & BIT(7);
	}
	map->req_level = min(map->level + (c & BIT(6) ? 2 : 1), 3);
	map->access = access[min(c & 7, 6)];
	if ((c & 7) == 7)
		map->access = model_byte() & 0x1f;
	map->want = want[c >> 3 & 7];
	if (d & 7)
		map->want &= map->access;
	map->host_writable = map->access & PGT_W || d & BIT(3);
	map->mmu_writable = map->host_writable && d & BIT(4);
	map->log = (d >> 5) == 7;
	if (map->log && !(d & BIT(0)))
		map->level = 1;
	map->memtype = m.ept ? memtype[0] : pat[0];
	if ((d >> 5) == 6) {
		map->memtype = m.ept ? memtype[c & 3] : pat[c & 3];
		map->encrypted = m.host->me_value && c & BIT(4);
	}
	map->pfn = model_pfn(map->gfn, d & 7, map->level);
	if (map->level == 3 && (a >> 3 & 7) == 6)
		map->pfn += 7;
}

/* A leaf that nothing can be done with is not to be asked for. */
static bool model_map_useless(const struct pgt_map *map)
{
	u8 access = map->access;

	if (map->nx_huge)
		access &= ~(PGT_X | PGT_UX);
	return !model_rights(access);
}

static void model_op_map(struct model_batch *b, struct model_root *root)
{
	struct pgt_map map = { }, real;
	struct model_span leaf;
	int want, ret;

	model_map_byte(&map);
	if (model_map_useless(&map))
		return;
	model_note("gfn %#llx pfn %#llx level %d/%d access %#x want %#x%s%s%s%s hw %d mw %d",
		   (unsigned long long)map.gfn, (unsigned long long)map.pfn,
		   map.level, map.req_level, map.access, map.want,
		   map.prefetch ? " prefetch" : "",
		   map.nx_huge ? " nx_huge" : "",
		   map.nx_disallow ? " nx_disallow" : "",
		   map.log ? " log" : "", map.host_writable, map.mmu_writable);

	real = map;
	ret = pgt_map(&b->real, root->real, &real, &m.cache);

	leaf.start = pgt_base(map.gfn, map.level);
	leaf.end = leaf.start + pgt_pages(map.level);
	want = model_map_bad(&map, map.pfn) ? -EINVAL :
	       model_map_allowed(root, map.gfn, leaf, ret);
	if (!want)
		want = model_map_at(b, root, &map);
	MODEL_EQ("pgt_map()", ret, want);
	MODEL_EQ("level of the leaf", real.level, map.level);
	if (want == PGT_DONE)
		model_promise(b, PROMISE_UNMAPPED, root, leaf, 1);
	b->may_wait = false;
}

static void model_op_map_run(struct model_batch *b, struct model_root *root)
{
	struct pgt_map map = { };
	struct model_span span;
	unsigned int nr = 1 + (model_byte() & 31);
	u32 holes = model_byte() & BIT(0) ? 0x10204 : 0;
	u8 odd = model_byte();
	int want = 0, ret;
	bool first = true;
	struct model_at at;
	u64 pages, limit = min(root->end, m.max_gfn);
	u64 pfns[32];

	model_map_byte(&map);
	if (model_map_useless(&map))
		return;
	pages = pgt_pages(map.level);
	if (odd & 7)
		map.gfn = pgt_base(map.gfn, map.level);
	for (unsigned int i = 0; i < nr; i++) {
		u64 gfn = map.gfn + i * pages;

		pfns[i] = holes & BIT(i) ? PGT_NO_PFN :
			  model_pfn(gfn, odd >> 3, map.level);
	}
	model_note("gfn %#llx level %d nr %u", (unsigned long long)map.gfn,
		   map.level, nr);

	ret = pgt_map_run(&b->real, root->real, &map, pfns, nr, &m.cache);

	nr = min(nr, PGT_ENTRIES - pgt_index(map.gfn, map.level));
	if (map.gfn + pages <= limit)
		nr = min_t(u64, nr, (limit - map.gfn) / pages);
	for (unsigned int i = 0; i < nr; i++)
		if (pfns[i] != PGT_NO_PFN && model_map_bad(&map, pfns[i]))
			want = -EINVAL;
	if (map.gfn & (pages - 1))
		want = -EINVAL;
	span = (struct model_span){ map.gfn, map.gfn + nr * pages };
	if (!want &&
	    (map.gfn < root->foreign_end || map.gfn + pages > limit))
		want = -ERANGE;
	if (!want && (root->state != PGT_ROOT_VALID || model_open(NULL, span)))
		want = -EAGAIN;
	if (!want) {
		at = model_top(root, map.gfn);
		want = model_descend(root, &at, &map);
	}
	for (unsigned int i = 0; i < nr && want >= 0; i++) {
		struct model_at leaf;
		struct pgt_map one = map;

		/* A huge page is in the way of all. */
		if (first && at.level > map.level)
			break;
		first = false;
		one.gfn = map.gfn + i * pages;
		if (one.gfn + pages > limit)
			break;
		leaf = model_at(at.table, map.level, one.gfn);
		if (pfns[i] == PGT_NO_PFN || leaf.e->kind != MODEL_EMPTY)
			continue;
		model_page(&leaf, &one, pfns[i]);
		want++;
	}
	MODEL_EQ("pgt_map_run()", ret, want);
	if (want > 0)
		model_promise(b, PROMISE_UNMAPPED, root, span, 1);
	b->may_wait = false;
}

static void model_op_fix(struct model_batch *b, struct model_root *root)
{
	u64 gfn = model_gfn();
	u8 byte = model_byte();
	u8 want = byte & BIT(0) ? PGT_W : byte & 0x1f & ~PGT_W;
	bool log = byte & BIT(6);
	struct model_at at;
	struct model_entry fixed;
	int ret, expect;

	model_note("gfn %#llx want %#x log %d", (unsigned long long)gfn, want,
		   log);
	rcu_read_lock();
	ret = pgt_fix(root->real, gfn, want, log);
	rcu_read_unlock();

	at.e = NULL;
	if (gfn >= root->foreign_end && gfn < min(root->end, m.max_gfn))
		at = model_find(root, gfn);
	if (at.e && at.e->kind == MODEL_FROZEN) {
		expect = -EAGAIN;
	} else if (!at.e || at.e->kind != MODEL_PAGE) {
		expect = -ENOENT;
	} else if (model_allows(at.e, want)) {
		expect = PGT_SPURIOUS;
	} else {
		bool gains;

		fixed = *at.e;
		fixed.accessed |= !m.ad;
		/* Writing without reading would be malformed. */
		fixed.write |= want & PGT_W && fixed.mmu_writable &&
			       fixed.rights & PGT_R;
		gains = fixed.write && !at.e->write;
		if (!model_allows(&fixed, want) ||
		    (log && at.level > 1 && gains)) {
			expect = -EACCES;
		} else {
			expect = PGT_DONE;
			*at.e = fixed;
			model_changed(&at);
			if (log && gains)
				model_want_log(gfn);
		}
	}
	MODEL_EQ("pgt_fix()", ret, expect);
}

static void model_op_lookup(struct model_batch *b, struct model_root *root)
{
	u64 entries[PGT_MAX_LEVEL + 1] = { };
	u64 gfn = model_gfn();
	struct model_at at;
	int ret;

	rcu_read_lock();
	ret = pgt_lookup(root->real, gfn, entries);
	rcu_read_unlock();
	if (gfn < root->foreign_end || gfn >= min(root->end, m.max_gfn)) {
		MODEL_EQ("pgt_lookup()", ret, -ERANGE);
		return;
	}
	at = model_top(root, gfn);
	for (;;) {
		MODEL_EQ("entry looked up", entries[at.level],
			 at.table->value[at.e - at.table->entry]);
		if (at.e->kind != MODEL_TABLE)
			break;
		at = model_down(&at, gfn);
	}
	MODEL_EQ("pgt_lookup()", ret, at.level);
}

static void model_zap_page(struct model_batch *b, struct model_at *at,
			   void *arg)
{
	if (at->e->kind == MODEL_PAGE)
		model_cut(b, at, MODEL_EMPTY);
}

/* For an open batch, within the gfns that it was opened for. */
static struct model_span model_batch_range(struct model_batch *b)
{
	struct model_span span = model_range();

	if (b->real.open) {
		span.start = max(span.start, b->real.open->start);
		span.end = min(span.end, b->real.open->end);
	}
	model_note("gfns %#llx to %#llx", (unsigned long long)span.start,
		   (unsigned long long)span.end);
	return span;
}

static void model_op_zap_leaves(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_batch_range(b);
	struct pgt_range range = { span.start, span.end };

	pgt_zap_leaves(&b->real, root->real, &range);
	model_enter(b, root, span);
	model_for_each(b, root, span, 1, model_zap_page, NULL);
	MODEL_EQ("start of the range", range.start, span.end);
	model_promise(b, PROMISE_UNMAPPED, root, span, 1);
	b->may_wait = false;
}

static void model_zap(struct model_batch *b, struct model_root *root,
		      struct model_table *t, int level, u64 base,
		      struct model_span span, struct model_span clip)
{
	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));
		bool within = at.gfn >= span.start &&
			      at.gfn >= root->foreign_end &&
			      model_at_end(&at) <= span.end;

		if (!model_overlap(model_at_span(&at), clip))
			continue;
		if (at.e->kind == MODEL_TABLE && !within)
			model_zap(b, root, at.e->table, level - 1, at.gfn,
				  span, clip);
		else if (at.e->kind != MODEL_EMPTY)
			model_cut(b, &at, MODEL_EMPTY);
	}
}

static void model_op_zap_tables(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_batch_range(b);
	struct pgt_range range = { span.start, span.end };

	pgt_zap_tables(&b->real, root->real, &range);
	model_enter(b, root, span);
	model_zap(b, root, root->top, m.config->levels, 0, span,
		  model_clip(root, span));
	MODEL_EQ("start of the range", range.start, span.end);
	model_promise(b, PROMISE_UNMAPPED, root, span, 1);
	b->may_wait = false;
}

/*
 * The first table that the mitigation has made, or that is in one that it has,
 * @above, and not before @start.  Those that link tables come after these.
 */
static bool model_find_nx(struct model_batch *b, struct model_table *t,
			  int level, u64 base, struct model_span span,
			  u64 start, const struct model_at *above,
			  struct model_at *found, u64 *next)
{
	for (int i = 0; i < PGT_ENTRIES && level > 1; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));

		if (!model_overlap(model_at_span(&at), span))
			continue;
		if (at.e->kind == MODEL_FROZEN)
			model_thaw(b);
		if (at.e->kind != MODEL_TABLE)
			continue;
		if ((above ? at.gfn >= start : at.e->nx_disallowed) &&
		    !model_links_tables(at.e->table)) {
			*found = at;
			*next = model_at_end(&at);
			if (above && *next == model_at_end(above))
				--*next;
			return true;
		}
		if (model_find_nx(b, at.e->table, level - 1, at.gfn, span,
				  start, at.e->nx_disallowed ? &at : above,
				  found, next))
			return true;
	}
	return false;
}

static void model_op_zap_nx(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	struct model_at at;
	bool found, ret;
	u64 next;

	/* When a yield would thaw what was frozen is nobody's business. */
	if (b->yields && b->real.mode == PGT_SHARED)
		return;
	model_note("gfns %#llx to %#llx", (unsigned long long)span.start,
		   (unsigned long long)span.end);
	/* So is when a long search does. */
	b->inexact = b->nr_frozen;
	ret = pgt_zap_nx_table(&b->real, root->real, &range);
	model_enter(b, root, span);
	found = model_find_nx(b, root->top, m.config->levels, 0,
			      model_clip(root, span), span.start, NULL, &at,
			      &next);
	MODEL_EQ("pgt_zap_nx_table()", ret, found);
	b->may_wait = false;
	if (!found) {
		if (range.start < min3(range.end, root->end, m.max_gfn))
			model_fail("the range is not done");
		return;
	}
	MODEL_EQ("start of the range", range.start, next);
	if (b->real.mode == PGT_EXCLUSIVE) {
		model_cut(b, &at, MODEL_EMPTY);
	} else {
		model_cut(b, &at, MODEL_FROZEN);
		b->frozen[b->nr_frozen++] = at;
	}
	model_promise(b, PROMISE_UNMAPPED, root, model_at_span(&at), 1);
}

struct model_take {
	int min_level;
	bool write;
	bool mmu_writable;
	bool dirty;
	u64 gfn;
	u64 mask;
};

static void model_take(struct model_batch *b, struct model_at *at, void *arg)
{
	struct model_take *take = arg;
	struct model_entry *e = at->e;
	bool stale = false;

	if (e->kind == MODEL_FROZEN)
		model_thaw(b);
	if (e->kind != MODEL_PAGE || at->level < take->min_level)
		return;
	if (take->mask && (at->level > 1 || at->gfn - take->gfn > 63 ||
			   !(take->mask & BIT_ULL(at->gfn - take->gfn))))
		return;
	if (take->write && e->mmu_writable)
		stale = true;
	if (take->dirty && e->dirty)
		stale = true;
	if (take->write)
		e->write = false;
	if (take->mmu_writable)
		e->mmu_writable = false;
	if (take->dirty)
		e->dirty = false;
	model_changed(at);
	if (stale)
		model_stale_at(b, at);
}

static void model_op_wrprot(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	u8 byte = model_byte();
	struct model_take take = {
		.min_level = byte & 4 ? 2 : byte & 8 ? 3 : 1,
		.write = true,
		.mmu_writable = (byte & 3) == 3,
	};

	model_note("gfns %#llx to %#llx min %d track %d",
		   (unsigned long long)span.start, (unsigned long long)span.end,
		   take.min_level, take.mmu_writable);
	pgt_wrprot(&b->real, root->real, &range, take.min_level,
		   take.mmu_writable);
	model_enter(b, root, span);
	model_for_each(b, root, span, take.min_level, model_take, &take);
	MODEL_EQ("start of the range", range.start, span.end);
	model_promise(b, PROMISE_WRPROT, root, span, take.min_level);
	if (take.mmu_writable)
		b->may_wait = false;
}

static void model_op_clear_dirty(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	struct model_take take = {
		.min_level = 1, .write = !m.ad, .dirty = m.ad,
	};

	model_note("gfns %#llx to %#llx", (unsigned long long)span.start,
		   (unsigned long long)span.end);
	pgt_clear_dirty(&b->real, root->real, &range);
	model_enter(b, root, span);
	model_for_each(b, root, span, 1, model_take, &take);
	MODEL_EQ("start of the range", range.start, span.end);
	model_promise(b, m.ad ? PROMISE_DIRTY : PROMISE_WRPROT, root, span, 1);
}

static void model_op_clear_mask(struct model_batch *b, struct model_root *root)
{
	u64 gfn = pgt_base(model_gfn(), 1) & ~63ULL;
	u8 byte = model_byte();
	bool wrprot = byte & 1;
	bool write = wrprot || !m.ad;
	u64 mask = 0;

	for (int i = 0; i < 64; i += 8)
		mask |= (u64)model_byte() << i;
	if (byte & 2)
		mask = 1ULL << (byte >> 2);
	model_note("gfn %#llx mask %#llx wrprot %d", (unsigned long long)gfn,
		   (unsigned long long)mask, wrprot);
	pgt_clear_dirty_mask(&b->real, root->real, gfn, mask, wrprot);
	if (mask) {
		struct model_take take = {
			.min_level = 1, .write = write, .dirty = !write,
			.gfn = gfn, .mask = mask,
		};
		struct model_span span = {
			gfn + __builtin_ctzll(mask),
			gfn + 64 - __builtin_clzll(mask),
		};

		model_enter(b, root, span);
		model_for_each(b, root, span, 1, model_take, &take);
	}
}

static void model_sum_young(struct model_batch *b, struct model_at *at,
			    void *arg)
{
	bool *young = arg;

	*young |= at->e->kind == MODEL_PAGE && at->e->accessed;
}

static void model_make_old(struct model_batch *b, struct model_at *at,
			   void *arg)
{
	if (at->e->kind != MODEL_PAGE)
		return;
	at->e->accessed = false;
	if (!m.ad)
		at->e->write = false;
	model_changed(at);
}

static void model_op_age(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	bool test = model_byte() & 1;
	bool young = false, ret = false;

	model_note("gfns %#llx to %#llx%s", (unsigned long long)span.start,
		   (unsigned long long)span.end, test ? " test" : "");
	while (range.start < range.end) {
		rcu_read_lock();
		ret |= test ? pgt_test_age(root->real, &range) :
			      pgt_age(root->real, &range);
		rcu_read_unlock();
	}
	model_for_each(b, root, span, 1, model_sum_young, &young);
	MODEL_EQ("young", ret, young);
	if (!test)
		model_for_each(b, root, span, 1, model_make_old, NULL);
}

/* Return: where it ends for want of tables, or ~0. */
static u64 model_split(struct model_batch *b, struct model_table *t, int level,
		       u64 base, struct model_span clip, int to, u8 exec)
{
	for (int i = 0; i < PGT_ENTRIES && level > to; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));
		u64 end;

		if (!model_overlap(model_at_span(&at), clip))
			continue;
		if (at.e->kind == MODEL_FROZEN)
			model_thaw(b);
		if (at.e->kind == MODEL_PAGE &&
		    !model_split_page(&at, false, exec))
			return max(at.gfn, clip.start);
		if (at.e->kind != MODEL_TABLE)
			continue;
		end = model_split(b, at.e->table, level - 1, at.gfn, clip, to,
				  exec);
		if (end != ~0ULL)
			return end;
	}
	return ~0ULL;
}

static void model_op_split(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	u8 byte = model_byte();
	int level = 1 + (byte & 1);
	u8 exec = byte & 2 ? byte >> 2 & (PGT_X | PGT_UX) : 0;
	u64 stop;
	int ret;

	model_note("gfns %#llx to %#llx level %d exec %#x, %u tables",
		   (unsigned long long)span.start, (unsigned long long)span.end,
		   level, exec, m.cached);
	ret = pgt_split(&b->real, root->real, &range, level, exec, &m.cache);
	model_enter(b, root, span);
	stop = model_split(b, root->top, m.config->levels, 0,
			   model_clip(root, span), level, exec);
	MODEL_EQ("pgt_split()", ret, stop == ~0ULL ? 0 : -ENOMEM);
	MODEL_EQ("start of the range", range.start,
		 stop == ~0ULL ? span.end : stop);
}

/* Whether the table at @at can be one page, and which. */
static bool model_join(struct model_at *at, struct model_entry *page)
{
	u64 pages = pgt_pages(at->level - 1);
	struct model_entry *first = NULL;
	u64 base = 0;

	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_entry *e = &at->e->table->entry[i];

		if (e->kind == MODEL_EMPTY)
			continue;
		if (e->kind != MODEL_PAGE)
			return false;
		if (!first) {
			first = e;
			base = e->pfn - i * pages;
			*page = *e;
		}
		if (e->pfn != base + i * pages || e->rights != first->rights ||
		    e->memtype != first->memtype ||
		    e->host_writable != first->host_writable ||
		    e->encrypted != first->encrypted)
			return false;
		page->write &= e->write;
		page->mmu_writable &= e->mmu_writable;
		page->dirty |= e->dirty;
		page->accessed |= e->accessed;
	}
	if (!first || base & (pgt_pages(at->level) - 1))
		return false;
	page->pfn = base;
	return true;
}

struct model_collapse {
	struct model_root *root;
	struct model_span span;
	int level;
	bool nx_huge;
};

static void model_collapse(struct model_batch *b, struct model_at *at,
			   void *arg)
{
	struct model_collapse *c = arg;
	struct model_entry page;

	if (at->e->kind == MODEL_FROZEN)
		model_thaw(b);
	if (at->level != c->level || at->e->kind != MODEL_TABLE ||
	    at->gfn < c->span.start || at->gfn < c->root->foreign_end ||
	    model_at_end(at) > c->span.end)
		return;
	/* What is not to be mapped must not come back in a larger page. */
	if (model_at_end(at) > min(c->root->end, m.max_gfn) ||
	    model_open(NULL, model_at_span(at)))
		return;
	if ((c->nx_huge && at->e->nx_disallowed) || m.max_level < c->level ||
	    !model_join(at, &page))
		return;
	if (c->nx_huge)
		page.rights &= ~(PGT_X | PGT_UX);
	model_cut(b, at, MODEL_EMPTY);
	*at->e = page;
	if (model_tracked(at->e))
		at->e->write = false;
	model_changed(at);
}

static void model_op_collapse(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	u8 byte = model_byte();
	struct model_collapse c = {
		.root = root, .span = span, .nx_huge = byte & 1,
	};

	/* Execute-only pages and the mitigation do not go together. */
	if (c.nx_huge && m.host->exec_only)
		c.nx_huge = false;
	m.max_level = byte & 2 ? 2 : byte & 4 ? 1 : 3;
	model_note("gfns %#llx to %#llx nx_huge %d max %d",
		   (unsigned long long)span.start, (unsigned long long)span.end,
		   c.nx_huge, m.max_level);
	pgt_collapse(&b->real, root->real, &range, c.nx_huge);
	model_enter(b, root, span);
	for (c.level = 2; c.level <= m.fmt->max_leaf_level; c.level++)
		model_for_each(b, root, span, c.level, model_collapse, &c);
	MODEL_EQ("start of the range", range.start, span.end);
	b->may_wait = false;
}

#define MODEL_GEN_MASK	GENMASK_ULL(17, 0)

static u64 model_gen(u8 byte)
{
	static const u64 gen[] = {
		7, 7, 7, 8, 0x3ffff, 0x80007, 0,
	};

	return (byte & 7) == 7 ? BIT_ULL(63) | 7 : gen[byte & 7];
}

static void model_op_mmio(struct model_batch *b, struct model_root *root)
{
	static const struct pgt_map no_map;
	u64 gfn = model_gfn();
	u8 byte = model_byte();
	u64 gen = model_gen(byte), access = byte >> 3 & 7;
	struct pgt_map map = no_map;
	struct model_at at;
	int ret, want;

	model_note("gfn %#llx gen %#llx", (unsigned long long)gfn,
		   (unsigned long long)gen);
	ret = pgt_map_mmio(&b->real, root->real, gfn, gen, access, &m.cache);

	map.gfn = gfn;
	map.level = 1;
	if (!m.host->mmio_mask || gfn >= m.fmt->mmio_gfn_max)
		want = -EOPNOTSUPP;
	else if (gen & PGT_GEN_IN_PROGRESS)
		want = -EBUSY;
	else
		want = model_map_allowed(root, gfn,
					 (struct model_span){ gfn, gfn + 1 },
					 ret);
	if (!want) {
		at = model_top(root, gfn);
		want = model_descend(root, &at, &map);
	}
	access &= m.host->mmio_access;
	gen &= MODEL_GEN_MASK;
	if (!want) {
		if (at.e->kind == MODEL_PAGE) {
			want = -EEXIST;
		} else if (at.e->kind == MODEL_MMIO && at.e->gen == gen &&
			   at.e->mmio_access == access) {
			want = PGT_SPURIOUS;
		} else {
			*at.e = (struct model_entry){
				.kind = MODEL_MMIO, .gen = gen,
				.mmio_access = access,
			};
			model_changed(&at);
		}
	}
	MODEL_EQ("pgt_map_mmio()", ret, want);
	b->may_wait = false;
}

static void model_op_lookup_mmio(struct model_batch *b, struct model_root *root)
{
	u64 gfn = model_gfn(), gen = model_gen(model_byte());
	u64 access = 0x5a;
	struct model_at at;
	int ret, want;

	rcu_read_lock();
	ret = pgt_lookup_mmio(root->real, gfn, gen, &access);
	rcu_read_unlock();
	at.e = NULL;
	if (gfn >= root->foreign_end && gfn < min(root->end, m.max_gfn))
		at = model_find(root, gfn);
	if (!at.e || at.e->kind != MODEL_MMIO)
		want = -ENOENT;
	else if (gen & PGT_GEN_IN_PROGRESS ||
		 at.e->gen != (gen & MODEL_GEN_MASK))
		want = -ESTALE;
	else
		want = 0;
	MODEL_EQ("pgt_lookup_mmio()", ret, want);
	MODEL_EQ("access", access, want ? 0x5a : at.e->mmio_access);
}

static void model_expire(struct model_batch *b, struct model_at *at, void *arg)
{
	u64 *gen = arg;

	if (at->e->kind == MODEL_MMIO && at->e->gen != *gen)
		model_cut(b, at, MODEL_EMPTY);
}

static void model_op_expire(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct pgt_range range = { span.start, span.end };
	u64 gen = model_gen(model_byte()) & MODEL_GEN_MASK;

	model_note("gfns %#llx to %#llx gen %#llx",
		   (unsigned long long)span.start, (unsigned long long)span.end,
		   (unsigned long long)gen);
	pgt_expire_mmio(&b->real, root->real, &range, gen);
	model_enter(b, root, span);
	model_for_each(b, root, span, 1, model_expire, &gen);
	MODEL_EQ("start of the range", range.start, span.end);
}

/*
 * The dump: what it lists is compared on the way of a walk of the model, which
 * it may interrupt to repeat links.
 */
struct model_dump {
	struct model_root *root;
	struct pgt_range range;
	struct pgt_dump_entry out[40];
	unsigned int room;
	unsigned int nr;
	unsigned int at;
	u64 from;
};

static void model_dump_more(struct model_dump *d)
{
	d->from = d->range.start;
	rcu_read_lock();
	d->nr = pgt_dump(d->root->real, &d->range, d->out, d->room);
	rcu_read_unlock();
	d->at = 0;
}

/* Whether it is a link once more, on the way to where the call began. */
static bool model_dump_again(const struct model_dump *d,
			     const struct pgt_dump_entry *out)
{
	return pgt_is_table(out->entry, out->level) &&
	       pgt_base(max(d->from, d->root->foreign_end), out->level) ==
		       out->gfn;
}

static void model_dump_expect(struct model_dump *d, const struct model_at *at)
{
	u64 value = at->table->value[at->e - at->table->entry];

	for (;;) {
		const struct pgt_dump_entry *out = &d->out[d->at];

		if (d->at == d->nr) {
			model_dump_more(d);
			if (!d->nr && d->range.start >= d->range.end)
				model_fail("gfn %#llx is not in the dump",
					   (unsigned long long)at->gfn);
			continue;
		}
		d->at++;
		if (out->level == at->level && out->gfn == at->gfn) {
			MODEL_EQ("dumped entry", out->entry, value);
			return;
		}
		if (!model_dump_again(d, out))
			model_fail("gfn %#llx at level %d is in the dump",
				   (unsigned long long)out->gfn, out->level);
	}
}

static void model_dump_walk(struct model_dump *d, struct model_table *t,
			    int level, u64 base, struct model_span clip)
{
	for (int i = 0; i < PGT_ENTRIES; i++) {
		struct model_at at = model_at(t, level,
					      base + i * pgt_pages(level));

		if (!model_overlap(model_at_span(&at), clip) ||
		    at.e->kind == MODEL_EMPTY)
			continue;
		model_dump_expect(d, &at);
		if (at.e->kind == MODEL_TABLE)
			model_dump_walk(d, at.e->table, level - 1, at.gfn,
					clip);
	}
}

static void model_op_dump(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();
	struct model_dump d = {
		.root = root, .range = { span.start, span.end },
		.room = m.config->levels + 1 + (model_byte() & 31),
	};

	model_dump_walk(&d, root->top, m.config->levels, 0,
			model_clip(root, span));
	while (d.at < d.nr || d.range.start < d.range.end) {
		if (d.at == d.nr)
			model_dump_more(&d);
		else if (!model_dump_again(&d, &d.out[d.at++]))
			model_fail("more in the dump than there is");
	}
	MODEL_EQ("start of the range", d.range.start,
		 span.start < span.end ? span.end : d.range.start);
}

/*
 * The guest.
 */

static void model_cpu_room(struct cpu *cpu)
{
	if (cpu->nr_tlb > 48 || cpu->nr_psc > CPU_PSC_ENTRIES - 8)
		cpu_flush_all(cpu);
}

/* The walk may have gone through tables that are pending. */
static bool model_gfn_pending(u64 gfn)
{
	struct cpu_tlb tlb = { .gfn = gfn, .level = 1 };

	return model_is_pending(&tlb);
}

static void model_op_prefetch(unsigned int i, u64 gfn)
{
	struct cpu *cpu = &vm.vcpu[i].cpu;
	struct model_at at;
	unsigned int ret;

	for (unsigned int j = 0; j < cpu->nr_tlb; j++) {
		const struct cpu_tlb *tlb = &cpu->tlb[j];

		if (pgt_base(gfn, tlb->level) == tlb->gfn)
			return;
	}
	ret = cpu_prefetch(cpu, gfn);
	at = model_find(m.cpu_root[i], gfn);
	if (at.e->kind != MODEL_PAGE || model_tracked(at.e) ||
	    !model_cpu_rights(at.e)) {
		MODEL_EQ("level prefetched", ret, 0);
		return;
	}
	if (!ret && model_gfn_pending(gfn))
		return;
	if (ret != at.level)
		model_fail("prefetch of gfn %#llx gives level %u, not that of %#llx",
			   (unsigned long long)gfn, ret,
			   (unsigned long long)model_value(&at));
	at.e->accessed = true;
	model_changed(&at);
}

static void model_op_access(struct model_batch *b, struct model_root *root)
{
	static const u8 need[] = { CPU_R, CPU_W, CPU_X, CPU_UX };
	u8 byte = model_byte();
	u64 gfn = model_gfn();
	unsigned int i = byte & 1;
	enum cpu_access access = byte >> 1 & 3;
	struct cpu *cpu = &vm.vcpu[i].cpu;
	struct cpu_outcome outcome;
	enum cpu_result result;
	struct model_at at;
	bool allowed;

	if (!cpu->loaded || gfn >= m.end)
		return;
	root = m.cpu_root[i];
	if (gfn < root->foreign_end)
		return;
	model_cpu_room(cpu);
	model_note("cpu %u gfn %#llx access %d%s", i, (unsigned long long)gfn,
		   access, byte & 8 ? " prefetch" : "");
	if (byte & 8) {
		model_op_prefetch(i, gfn);
		return;
	}
	result = cpu_access(cpu, gfn, access, &outcome);
	/* It has forgotten what made it fault, if that was out of date. */
	if (result == CPU_VIOLATION)
		result = cpu_access(cpu, gfn, access, &outcome);
	/* Then everything is as it was checked after the last operation. */
	if (result == CPU_OK && outcome.from_tlb)
		return;

	at = model_find(root, gfn);
	allowed = at.e->kind == MODEL_PAGE && !model_tracked(at.e) &&
		  model_cpu_rights(at.e) & need[access];
	switch (result) {
	case CPU_OK:
		if (!allowed)
			model_fail("access to gfn %#llx passes",
				   (unsigned long long)gfn);
		MODEL_EQ("page accessed", outcome.pfn,
			 at.e->pfn + (gfn - at.gfn));
		MODEL_EQ("memory type", outcome.memtype, at.e->memtype);
		MODEL_EQ("encryption", outcome.encrypted, at.e->encrypted);
		at.e->accessed = true;
		if (access == CPU_WRITE && m.ad)
			at.e->dirty = true;
		model_changed(&at);
		return;
	case CPU_VIOLATION:
		if (allowed)
			model_fail("access to gfn %#llx faults",
				   (unsigned long long)gfn);
		return;
	case CPU_MISCONFIG:
	case CPU_VE:
		if (at.e->kind != MODEL_MMIO)
			model_fail("gfn %#llx is malformed: %#llx",
				   (unsigned long long)gfn,
				   (unsigned long long)outcome.entry);
		return;
	default:
		model_fail("access to gfn %#llx ends with %d",
			   (unsigned long long)gfn, result);
	}
}

/*
 * Batches, and what is done in them.
 */

static void model_lock(enum pgt_mode mode)
{
	if (mode == PGT_EXCLUSIVE)
		write_lock(&vm.lock);
	else
		read_lock(&vm.lock);
}

static void model_unlock(enum pgt_mode mode)
{
	if (mode == PGT_EXCLUSIVE)
		write_unlock(&vm.lock);
	else
		read_unlock(&vm.lock);
}

static void model_resched(bool on)
{
#ifdef HOST_SIM
	sim_need_resched = on;
#endif
}

#define EXCLUSIVE	BIT(0)	/* wants the lock so */
#define OPEN		BIT(1)	/* may be in an open batch */
#define LEFT		BIT(2)	/* leaves an invalidated root alone */

static const struct model_op {
	const char *name;
	void (*run)(struct model_batch *b, struct model_root *root);
	unsigned int flags;
} model_ops[] = {
	{ "map", model_op_map, 0 },
	{ "map", model_op_map, 0 },
	{ "map", model_op_map, 0 },
	{ "map", model_op_map, 0 },
	{ "map", model_op_map, 0 },
	{ "map_run", model_op_map_run, 0 },
	{ "map_run", model_op_map_run, 0 },
	{ "access", model_op_access, OPEN },
	{ "access", model_op_access, OPEN },
	{ "access", model_op_access, OPEN },
	{ "access", model_op_access, OPEN },
	{ "access", model_op_access, OPEN },
	{ "fix", model_op_fix, OPEN },
	{ "fix", model_op_fix, OPEN },
	{ "lookup", model_op_lookup, OPEN },
	{ "zap_leaves", model_op_zap_leaves, EXCLUSIVE | OPEN },
	{ "zap_tables", model_op_zap_tables, EXCLUSIVE | OPEN },
	{ "zap_nx_table", model_op_zap_nx, LEFT },
	{ "wrprot", model_op_wrprot, LEFT },
	{ "wrprot", model_op_wrprot, LEFT },
	{ "clear_dirty", model_op_clear_dirty, LEFT },
	{ "clear_dirty_mask", model_op_clear_mask, EXCLUSIVE },
	{ "age", model_op_age, OPEN },
	{ "age", model_op_age, OPEN },
	{ "split", model_op_split, LEFT },
	{ "split", model_op_split, LEFT },
	{ "collapse", model_op_collapse, LEFT },
	{ "collapse", model_op_collapse, LEFT },
	{ "map_mmio", model_op_mmio, 0 },
	{ "lookup_mmio", model_op_lookup_mmio, OPEN },
	{ "expire_mmio", model_op_expire, LEFT },
	{ "dump", model_op_dump, OPEN },
};

static struct model_root *model_pick(u8 byte)
{
	struct model_root *first = NULL;

	for (int i = 0; i < MODEL_ROOTS; i++) {
		struct model_root *root = &m.root[i];

		if (!root->real || !root->refs)
			continue;
		if (!first)
			first = root;
		if ((byte & 3) == i)
			return root;
	}
	return first;
}

/* Operations that find nothing to do in an invalidated root. */
static void model_op_left(struct model_batch *b, struct model_root *root)
{
	struct model_span span = model_range();

	for (int i = 0; i < 6; i++) {
		struct pgt_range range = { span.start, span.end };
		struct pgt_root *real = root->real;

		switch (i) {
		case 0:
			MODEL_EQ("pgt_zap_nx_table()",
				 pgt_zap_nx_table(&b->real, real, &range),
				 false);
			break;
		case 1:
			pgt_wrprot(&b->real, real, &range, 1, true);
			break;
		case 2:
			pgt_clear_dirty(&b->real, real, &range);
			break;
		case 3:
			MODEL_EQ("pgt_split()",
				 pgt_split(&b->real, real, &range, 1, 0,
					   &m.cache), 0);
			break;
		case 4:
			pgt_collapse(&b->real, real, &range, false);
			break;
		case 5:
			pgt_expire_mmio(&b->real, real, &range, 0);
			break;
		}
		MODEL_EQ("start of the range", range.start, span.end);
		model_enter(b, root, span);
	}
}

static void model_one(struct model_batch *b)
{
	u8 byte = model_byte();
	const struct model_op *op = &model_ops[byte & 31];
	struct model_root *root = model_pick(byte >> 5);

	if (!root || (op->flags & EXCLUSIVE && b->real.mode != PGT_EXCLUSIVE) ||
	    (!(op->flags & OPEN) && b->real.open))
		return;
	m.op = op->name;
	m.ops++;
	if (byte >> 7)
		model_fill(6, false);
	model_resched(b->yields);
	if (op->flags & LEFT && b->real.mode == PGT_SHARED &&
	    root->state != PGT_ROOT_VALID)
		model_op_left(b, root);
	else
		op->run(b, root);
	model_resched(false);
	model_sync(b);
	model_compare();
}

/* The caller's part of a deferral. */
static void model_pay(void)
{
	if (m.owed.start < m.owed.end) {
		pgt_env_flush(&vm.mmu, m.owed.start, m.owed.end);
		m.flushes++;
	}
	m.owed = (struct model_span){ ~0ULL, 0 };
	m.op = "flush";
	model_compare();
}

static void model_end(struct model_batch *b, u8 byte)
{
	bool stale = b->stale.start < b->stale.end;
	struct model_span span = b->stale;
	bool defer = byte & 1 && !b->real.open;
	bool owes = defer && stale && !b->unlinked && !b->nr_frozen;
	bool ret;

	m.op = defer ? "defer" : "end";
	model_note("stale %#llx to %#llx", (unsigned long long)span.start,
		   (unsigned long long)span.end);
	if (defer) {
		ret = pgt_batch_defer(&b->real);
		MODEL_EQ("pgt_batch_defer()", ret, owes);
		if (owes) {
			m.owed.start = min(m.owed.start, span.start);
			m.owed.end = max(m.owed.end, span.end);
		}
	} else {
		pgt_batch_end(&b->real);
	}
	if (stale && !owes) {
		m.flushes++;
		MODEL_EQ("start of the flush", vm.flush_start, span.start);
		MODEL_EQ("end of the flush", vm.flush_end, span.end);
	}
	MODEL_EQ("flushes", vm.flushes, m.flushes);
	model_thaw(b);
	b->unlinked = 0;
	m.depth--;
	model_compare();
	if (owes && !(b->may_wait && byte & 2))
		model_pay();
	/* What is owed has just been done, or is not to be relied on yet. */
	for (unsigned int i = 0; i < b->nr_due &&
	     (!owes || m.owed.start >= m.owed.end); i++)
		model_check_due(&b->due[i]);
}

static void model_batch(void)
{
	struct model_batch batch, *b = &batch;
	u8 byte = model_byte();
	enum pgt_mode mode = byte & 1 ? PGT_EXCLUSIVE : PGT_SHARED;
	unsigned int nr = 1 + (byte >> 1 & 3);

	memset(b, 0, sizeof(*b));
	b->stale = (struct model_span){ ~0ULL, 0 };
	b->yields = (byte >> 3 & 7) == 7;
	b->may_wait = true;
	model_lock(mode);
	m.op = "begin";
	model_note("%s%s%s", mode == PGT_SHARED ? "shared" : "exclusive",
		   byte >> 6 == 3 ? " open" : "", b->yields ? " yields" : "");
	pgt_batch_begin(&b->real, &vm.mmu, mode, b->yields);
	m.batch[m.depth++] = b;
	if (mode == PGT_EXCLUSIVE && byte >> 6 == 3) {
		struct model_span span = model_range();

		/* No gfn at all is none of the engine's cases. */
		span.end += span.start == span.end;
		model_note("open %#llx to %#llx",
			   (unsigned long long)span.start,
			   (unsigned long long)span.end);
		pgt_batch_open(&b->real, &b->open, span.start, span.end);
	}
	while (nr--)
		model_one(b);
	/* As if it yielded: others come between. */
	if (b->real.open && m.depth < MODEL_DEPTH) {
		model_unlock(mode);
		nr = model_byte() & 3;
		while (nr--)
			model_batch();
		model_lock(mode);
		model_one(b);
	}
	model_end(b, model_byte());
	model_unlock(mode);
}

/*
 * Roots.
 */

static struct model_root *model_root_slot(void)
{
	for (int i = 0; i < MODEL_ROOTS; i++)
		if (!m.root[i].real)
			return &m.root[i];
	return NULL;
}

static void model_root_get(u8 byte)
{
	enum pgt_mode mode = byte & BIT(0) ? PGT_EXCLUSIVE : PGT_SHARED;
	int space = byte >> 1 & 1, levels = m.config->levels;
	u32 role = byte >> 2 & 1;
	struct model_root *root = NULL;
	struct pgt_root *real;
	bool had_root;
	long want = 0;

	m.op = "root_get";
	m.ops++;
	if ((byte >> 3 & 7) == 7)
		levels = 6;
	if (byte >> 6 != 3)
		model_fill(2, true);
	for (int i = 0; i < MODEL_ROOTS; i++)
		if (m.root[i].real && m.root[i].state == PGT_ROOT_VALID &&
		    m.root[i].space == space && m.root[i].role == role)
			root = &m.root[i];
	if (!root && !model_root_slot())
		return;
	had_root = m.cache.root;
	model_note("space %d role %u levels %d", space, role, levels);

	model_lock(mode);
	real = pgt_root_get(&vm.mmu, m.fmt, levels, space, role, &m.cache);
	model_unlock(mode);

	if (levels != m.config->levels)
		want = -EINVAL;
	else if (!root && (!had_root || !m.cached))
		want = -ENOMEM;
	MODEL_EQ("pgt_root_get()", IS_ERR(real) ? PTR_ERR(real) : 0, want);
	if (want) {
		model_compare();
		return;
	}
	if (root) {
		if (root->real != real)
			model_fail("another root is found");
	} else {
		root = model_root_slot();
		*root = (struct model_root){
			.real = real, .space = space, .role = role,
			.state = PGT_ROOT_VALID, .end = m.end,
			.top = model_table_new(0, levels),
		};
		root->top->real = real->table;
		m.cached--;
		MODEL_EQ("end of the root", real->end, m.end);
		if (m.cache.root)
			model_fail("the spare root is still there");
	}
	root->refs++;
	model_compare();
}

static void model_root_gone(struct model_root *root)
{
	if (root->refs || root->state != PGT_ROOT_EMPTIED)
		return;
	model_unlink(NULL, root->top);
	root->real = NULL;
}

static void model_root_put(struct model_root *root)
{
	m.op = "root_put";
	m.ops++;
	if (root->refs == 1)
		for (unsigned int i = 0; i < MODEL_CPUS; i++)
			if (m.cpu_root[i] == root) {
				cpu_unload(&vm.vcpu[i].cpu);
				m.cpu_root[i] = NULL;
			}
	root->refs--;
	pgt_root_put(root->real);
	model_root_gone(root);
	model_compare();
}

static void model_roots_invalidate(u8 byte)
{
	int space = byte & 1 ? PGT_ANY_SPACE : byte >> 1 & 1;
	u64 obsoletes = vm.obsoletes;
	bool any = false;

	m.op = "roots_invalidate";
	m.ops++;
	model_note("space %d", space);
	write_lock(&vm.lock);
	pgt_roots_invalidate(&vm.mmu, space);
	write_unlock(&vm.lock);
	for (int i = 0; i < MODEL_ROOTS; i++) {
		struct model_root *root = &m.root[i];

		if (!root->real || root->state != PGT_ROOT_VALID ||
		    (space != PGT_ANY_SPACE && root->space != space))
			continue;
		root->state = PGT_ROOT_INVALID;
		any = true;
	}
	MODEL_EQ("calls to make vCPUs drop roots", vm.obsoletes - obsoletes,
		 any);
	for (unsigned int i = 0; i < MODEL_CPUS && any; i++)
		m.cpu_root[i] = NULL;
	model_compare();
}

static void model_roots_empty(u8 byte)
{
	enum pgt_mode mode = byte & 1 ? PGT_EXCLUSIVE : PGT_SHARED;
	struct model_span all = { 0, ~0ULL };
	bool yields = byte & 2;

	m.op = "roots_empty";
	m.ops++;
	model_lock(mode);
	model_resched(yields);
	pgt_roots_empty(&vm.mmu, mode, yields);
	model_resched(false);
	model_unlock(mode);
	for (int i = 0; i < MODEL_ROOTS; i++) {
		struct model_root *root = &m.root[i];

		if (!root->real || root->state != PGT_ROOT_INVALID)
			continue;
		model_zap(NULL, root, root->top, m.config->levels, 0, all,
			  model_clip(root, all));
		root->state = PGT_ROOT_EMPTIED;
		model_root_gone(root);
	}
	MODEL_EQ("flushes", vm.flushes, m.flushes);
	model_compare();
}

/* To the first of the entries, if all are empty. */
static int model_find_foreign(struct model_root *root, struct model_at *at,
			      int level, unsigned int nr)
{
	*at = model_top(root, 0);
	while (at->level > level) {
		if (at->e->kind == MODEL_EMPTY && !model_link(at, false))
			return -ENOMEM;
		if (at->e->kind != MODEL_TABLE || at->e->nx_disallowed)
			return -EBUSY;
		*at = model_down(at, 0);
	}
	for (unsigned int i = 0; i < nr; i++)
		if (at->table->entry[i].kind != MODEL_EMPTY)
			return -EBUSY;
	return 0;
}

static void model_root_foreign(struct model_root *root, u8 byte)
{
	static const u64 ends[] = {
		0x1, 0x80, 0x200, 0x400, 0x40000, 0x80000, 0x300, 0,
	};
	u64 end = byte & BIT(6) ? m.end : ends[byte & 7];
	struct model_at at;
	unsigned int nr = 0;
	int level = 1;
	long want = 0;
	u64 *entry;

	for (unsigned int i = 0; i < MODEL_CPUS; i++)
		if (m.cpu_root[i] == root)
			return;
	if (root->state != PGT_ROOT_VALID)
		return;
	m.op = "root_foreign";
	m.ops++;
	if (byte & BIT(5))
		model_fill(4, false);
	model_note("end %#llx", (unsigned long long)end);
	write_lock(&vm.lock);
	entry = pgt_root_foreign(root->real, end, &nr, &m.cache);
	write_unlock(&vm.lock);

	if (root->foreign_end || !end || end & (end - 1) || end >= m.end) {
		want = -EINVAL;
	} else {
		while (end >= pgt_pages(level + 1))
			level++;
		want = model_find_foreign(root, &at, level,
					  end / pgt_pages(level));
	}
	MODEL_EQ("pgt_root_foreign()", IS_ERR(entry) ? PTR_ERR(entry) : 0,
		 want);
	if (!want) {
		MODEL_EQ("number of entries", nr, end / pgt_pages(level));
		root->foreign_end = end;
		root->foreign_level = level;
		for (unsigned int i = 0; i < nr; i++) {
			struct model_at f = model_at(at.table, level,
						     i * pgt_pages(level));

			/* To the engine a link to nowhere, to a CPU nothing. */
			*f.e = (struct model_entry){
				.kind = MODEL_FOREIGN,
				.value = PGT_PRESENT | (0x123ULL << 40) |
					 (i << 12),
			};
			model_changed(&f);
			entry[i] = f.e->value;
		}
	}
	model_compare();
	/* A root that is half made must not be used in another way. */
	if (want == -ENOMEM) {
		model_fill(4, false);
		model_root_foreign(root, byte | BIT(5));
	}
}

static void model_load(u8 byte)
{
	struct model_root *root = model_pick(byte >> 1);
	unsigned int i = byte & 1;

	m.op = "load";
	m.ops++;
	if (!root || root->state != PGT_ROOT_VALID)
		return;
	m.cpu_root[i] = root;
	cpu_load_root(&vm.vcpu[i].cpu, __pa(root->real->table));
}

static void model_root_op(void)
{
	u8 op = model_byte(), byte = model_byte();
	struct model_root *root = model_pick(byte);

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		model_root_get(byte);
		break;
	case 3:
		model_root_put(root);
		break;
	case 4:
		model_roots_invalidate(byte);
		break;
	case 5:
	case 6:
		model_roots_empty(byte);
		break;
	case 7:
		model_root_get(byte);
		root = model_pick(byte);
		model_root_foreign(root, model_byte());
		break;
	case 8:
		pgt_cache_drain(&m.cache);
		m.cached = 0;
		break;
	case 9:
	case 10:
		model_fill(byte & 7, byte & 8);
		break;
	case 11:
		model_pay();
		break;
	default:
		model_load(byte);
	}
}

/*
 * A whole run.
 */

static void model_begin(const struct vm_config *config, u8 byte)
{
	const u64 spot[] = { 0, 0x200, 0x3fe00, 0x40000, 0x40200 };
	u64 max_gfn = ~0ULL;

	memset(&m.host, 0, sizeof(m) - offsetof(struct model, host));
	m.config = config;
	m.host = &config->host;
	mem_reset();
	vm_create(config, MODEL_CPUS, 0, 1);
	m.fmt = &vm.fmt;
	m.ept = config->mode.format == CPU_EPT;
	m.ad = config->host.ad;
	m.end = config->mode.format == CPU_PAE ? 0x100000 :
		pgt_pages(config->levels + 1);
	memcpy(m.spot, spot, sizeof(spot));
	m.spot[5] = m.end - 0x200;
	m.spot[6] = 0;
	m.spot[7] = 0x200;
	switch (byte & 7) {
	case 4:
		max_gfn = 0x40303;
		break;
	case 5:
		max_gfn = m.end - 0x103;
		break;
	case 6:
		max_gfn = 0x205;
		break;
	case 7:
		max_gfn = 0x40000;
		break;
	}
	vm.mmu.max_gfn = max_gfn;
	m.max_gfn = max_gfn;
	vm.log_dirty = model_logged;
	vm.max_level = model_host_level;
	for (unsigned int i = 0; i < MODEL_CPUS; i++) {
		vm.vcpu[i].cpu.on_write = NULL;
		vm.vcpu[i].cpu.on_pml = NULL;
	}
	m.owed = (struct model_span){ ~0ULL, 0 };
	pgt_cache_init(&m.cache, &vm.mmu);

	model_free = NULL;
	model_used = 0;
	for (int i = 0; i < ARRAY_SIZE(model_pool); i++) {
		model_pool[i].next = model_free;
		model_free = &model_pool[i];
	}
}

u64 model_run(const u8 *data, size_t size, const struct vm_config *config)
{
	m.in = (struct model_input){ data, size, 0 };
	if (!config)
		config = &vm_configs[model_byte() % vm_nr_configs];
	model_begin(config, model_byte());

	while (model_more()) {
		u8 byte;

		/* There is always a root to do something with. */
		if (!model_pick(0)) {
			model_root_get(0);
			/* All slots may be taken by roots to be emptied. */
			if (!model_pick(0)) {
				model_roots_empty(0);
				model_root_get(0);
			}
			model_load(0);
			model_load(1);
		}
		byte = model_byte();
		if (byte % 8 == 0)
			model_root_op();
		else
			model_batch();
	}

	model_pay();
	for (int i = 0; i < MODEL_ROOTS; i++)
		while (m.root[i].real && m.root[i].refs)
			model_root_put(&m.root[i]);
	pgt_cache_drain(&m.cache);
	vm_destroy();
	return m.ops;
}
