/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A TD: the TDX module's part in it, played by software private page tables
 * behind the kernel's wrappers of SEAMCALLs, with the vCPUs and the mirror on
 * either side.
 *
 * The module keeps what each page of memory is used for, and in what size; and
 * that of a page which it has let go of caches may still hold lines that were
 * written with the TD's key.  Such a page must be written back before the host
 * uses it.
 */
#ifndef ALTMMU_HOST_TDX_H
#define ALTMMU_HOST_TDX_H

#include "counters.h"
#include "cpu.h"
#include "mirror/mirror.h"
#include "mirror/softsept_internal.h"
#include "tdx/sept.h"
#include "vm.h"

/* Leaf functions of the module. */
enum tdx_leaf {
	TDX_SEPT_ADD,
	TDX_SEPT_REMOVE,
	TDX_SEPT_RD,
	TDX_PAGE_ADD,
	TDX_PAGE_AUG,
	TDX_PAGE_REMOVE,
	TDX_PAGE_PROMOTE,
	TDX_PAGE_DEMOTE,
	TDX_RANGE_BLOCK,
	TDX_RANGE_UNBLOCK,
	TDX_TRACK,
	TDX_RECLAIM,
	TDX_WBINVD,
	TDX_NR_LEAVES,
};

#define TDX_HKID	42
#define TDX_CPUS	2
#define TDX_LOG		4096

struct tdx_vcpu {
	struct softsept_vcpu v;
	struct cpu cpu;
};

struct tdx_log {
	enum tdx_leaf leaf;
	u64 gfn;
	int level;
	u64 status;
};

/**
 * struct tdx - a TD
 * @soft:	the private page tables
 * @fmt:	their format
 * @root:	the table with @soft's entries
 * @td:		what the wrappers get
 * @sept:	the provider that is tested
 * @source:	page that TDH.MEM.PAGE.ADD copies
 * @direct:	the mirror has @soft itself as its provider
 * @lock:	the MMU lock
 * @mirror:	above the provider
 * @cache:	for it
 * @counters:	its
 * @vcpu:	inside or outside of the guest
 * @key_gone:	TDH.MNG.KEY.FREEID was called
 * @held:	vCPUs must stay out
 * @calls:	by leaf, tried
 * @log:	all calls, as far as there is room
 * @nr_log:	how many
 * @fail:	the leaf to fail, after
 * @fail_after:	so many calls of it, once, with
 * @fail_status: this
 * @wrong_table: name another table than the one that was let go of
 */
struct tdx {
	struct softsept soft;
	struct pgt_format fmt;
	u64 *root;
	struct tdx_td td;
	struct tdx_sept sept;
	struct page *source;
	bool direct;
	rwlock_t lock;
	struct mirror mirror;
	struct mirror_cache cache;
	struct host_counters counters;
	struct tdx_vcpu vcpu[TDX_CPUS];
	bool key_gone;
	bool held;
	u64 calls[TDX_NR_LEAVES];
	struct tdx_log log[TDX_LOG];
	unsigned int nr_log;
	enum tdx_leaf fail;
	unsigned int fail_after;
	u64 fail_status;
	bool wrong_table;
};

extern struct tdx tdx;

/* A TD that is not finalized; with @direct the module is left out. */
void tdx_create(const struct vm_config *config, bool direct);
void tdx_finalize(void);
/* The end of it, with everything accounted for. */
void tdx_destroy(void);
/* Only until the key is gone, and what is left has been taken back. */
void tdx_teardown(void);

/* The provider that the mirror has. */
struct mirror_provider *tdx_provider(void);

/* The page behind a gfn, contiguous and aligned as gfns are. */
u64 tdx_pfn(u64 gfn);
/* Whether a page is the host's, to do with as it likes. */
bool tdx_page_is_clean(u64 pfn);
void tdx_forget_log(void);

/* tdx_module.c: the entry at @level, or where the way there ends. */
struct softsept_op tdx_find(u64 gfn, int level);
/* All pages are the host's: from now on, or at the end. */
void tdx_forget_pages(void);
void tdx_check_pages(void);

/* vCPUs. */
void tdx_enter(unsigned int cpu);
void tdx_exit(unsigned int cpu);
/* An access inside; what the CPU makes of it. */
enum cpu_result tdx_access(unsigned int cpu, u64 gfn);

/* What the host does.  A fault is repeated until it is done. */
int tdx_map_range(u64 gfn, u64 start, unsigned int nr, int level);
int tdx_map(u64 gfn, int level);
void tdx_accept(u64 start, u64 end, int level);
/* Let go of a range and use its memory. */
void tdx_zap(u64 start, u64 end, bool tables);
void tdx_split(u64 gfn, int level);
unsigned int tdx_promote(u64 start, u64 end);

/* The mirror and the module agree about every gfn in a range. */
void tdx_compare(u64 start, u64 end);

#endif /* ALTMMU_HOST_TDX_H */
