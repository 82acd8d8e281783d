// SPDX-License-Identifier: GPL-2.0
/*
 * The software provider: what vCPUs and their guests do while the host works, in
 * every order.
 *
 * The host's side is what the mirror does, as short as can be: block, track, kick,
 * then let go; a window if anything is busy.  A page or a table that was let go
 * goes to somebody else at once.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/string.h>

#include "sim/explore.h"
#include "soft.h"
#include "test.h"

#ifdef HOST_SLOW
#define RACE_PREEMPTIONS	2
#define RACE_SCHEDULES		3000
#else
#define RACE_PREEMPTIONS	3
#define RACE_SCHEDULES		20000
#endif

#define RACE_CPUS	2

/**
 * struct race_vcpu - a vCPU as KVM runs it
 * @v:		what the provider has of it
 * @cpu:	what it runs on
 * @mode:	in the guest, or on the way in or out, with interrupts off
 * @outs:	times that it left
 * @request:	to be out of the guest before it goes on
 */
struct race_vcpu {
	struct softsept_vcpu v;
	struct cpu cpu;
	bool mode;
	int outs;
	bool request;
};

static struct race_vcpu vcpus[RACE_CPUS];
static unsigned int nr_vcpus;

/* A window is open: nobody may be in the guest. */
static bool window;
/* What softsept_accept() has returned, a bit each. */
static unsigned int accepted;
/* The page or pages at the gfn were let go, and filled by whoever got them. */
static bool let_go;
static u64 gfn;

static void race_kick(struct mirror *mirror)
{
	int outs[RACE_CPUS];

	for (unsigned int i = 0; i < nr_vcpus; i++) {
		outs[i] = READ_ONCE(vcpus[i].outs);
		WRITE_ONCE(vcpus[i].request, true);
	}
	/* Who was not in the guest finds the request before it goes there. */
	for (unsigned int i = 0; i < nr_vcpus; i++)
		while (READ_ONCE(vcpus[i].mode) &&
		       READ_ONCE(vcpus[i].outs) == outs[i])
			cpu_relax();
}

/* One round of a vCPU: true if it was in the guest. */
static bool race_round(struct race_vcpu *vcpu)
{
	bool flush = false;
	bool in;

	WRITE_ONCE(vcpu->request, false);
	WRITE_ONCE(vcpu->mode, true);
	in = softsept_enter(&soft.s, &vcpu->v, &flush);
	if (flush)
		cpu_flush_all(&vcpu->cpu);
	if (in && !READ_ONCE(vcpu->request)) {
		HOST_CHECK(!window);
		cpu_access(&vcpu->cpu, gfn, CPU_WRITE, NULL);
		HOST_CHECK(!window);
	}
	if (in)
		softsept_exit(&soft.s, &vcpu->v);
	WRITE_ONCE(vcpu->outs, vcpu->outs + 1);
	WRITE_ONCE(vcpu->mode, false);
	return in;
}

static void race_vcpu0(void *ctx)
{
	race_round(&vcpus[0]);
	race_round(&vcpus[0]);
}

static void race_vcpu1(void *ctx)
{
	race_round(&vcpus[1]);
}

/* The guest of a vCPU that is outside, in a hypercall. */
static void race_accept(void *ctx)
{
	int level = *(int *)ctx;
	enum softsept_error error;

	while ((error = soft_accept(pgt_base(gfn, level), level)) ==
	       SOFTSEPT_BUSY)
		cpu_relax();
	accepted |= BIT(error);
}

static void race_open(void)
{
	soft.s.provider.ops->open_window(&soft.s.provider);
	window = true;
	/* The same from inside: nobody is counted in, nobody gets in. */
	HOST_EQ(atomic_read(&soft.s.inside[0]), 0);
	HOST_EQ(atomic_read(&soft.s.inside[1]), 0);
}

static void race_close(void)
{
	window = false;
	soft.s.provider.ops->close_window(&soft.s.provider);
}

/* What is busy is done in a window, where nothing is. */
static void race_force(enum softsept_error (*call)(u64 gfn, int level),
		       u64 at, int level)
{
	enum softsept_error error = call(at, level);

	if (error == SOFTSEPT_BUSY) {
		race_open();
		error = call(at, level);
		race_close();
	}
	HOST_EQ(error, SOFTSEPT_OK);
}

static void race_track(void)
{
	enum softsept_error error = soft_track();

	if (error) {
		HOST_EQ(error, SOFTSEPT_EPOCH_BUSY);
		race_open();
		error = soft_track();
		race_close();
	}
	HOST_EQ(error, SOFTSEPT_OK);
	race_kick(NULL);
}

static void let_page_go(int level)
{
	u64 nr = pgt_pages(level);

	data_hand_back(soft_pfn(pgt_base(gfn, level)), nr);
	private_fill(soft_pfn(pgt_base(gfn, level)), nr, 0x77);
	let_go = true;
}

/* Of the tables in use, the one of the entry at @level is freed through RCU. */
static void free_table_cb(struct rcu_head *head)
{
	__pagetable_free(container_of(head, struct ptdesc, pt_rcu_head));
}

static void let_table_go(int level)
{
	for (unsigned int i = 0; i < soft.nr_tables; i++)
		if (soft.table[i] == soft.linked[level])
			soft.table[i] = NULL;
	call_rcu(&virt_to_ptdesc(soft.linked[level])->pt_rcu_head,
		 free_table_cb);
}

static void race_remove(void *ctx)
{
	int level = *(int *)ctx;
	u64 base = pgt_base(gfn, level);

	race_force(soft_block, base, level);
	race_track();
	race_force(soft_remove, base, level);
	let_page_go(level);
}

/* Twice, so that a vCPU may be left over in the epoch before. */
static void race_remove_late(void *ctx)
{
	race_track();
	race_remove(ctx);
}

static void race_remove_table(void *ctx)
{
	race_remove(ctx);
	race_force(soft_block, pgt_base(gfn, 2), 2);
	race_track();
	race_force(soft_unlink, pgt_base(gfn, 2), 2);
	let_table_go(2);
}

/* All of it in one window, without a kick of its own. */
static void race_window(void *ctx)
{
	race_open();
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	HOST_EQ(soft_remove(gfn, 1), SOFTSEPT_OK);
	let_page_go(1);
	race_close();
}

static void race_demote(void *ctx)
{
	race_force(soft_block, pgt_base(gfn, 2), 2);
	race_track();
	race_force(soft_demote, pgt_base(gfn, 2), 2);
}

static void race_promote(void *ctx)
{
	enum softsept_error error;

	race_force(soft_block, pgt_base(gfn, 2), 2);
	race_track();
	error = soft_promote(pgt_base(gfn, 2), 2);
	if (error == SOFTSEPT_BUSY) {
		race_open();
		error = soft_promote(pgt_base(gfn, 2), 2);
		race_close();
	}
	if (error) {
		HOST_EQ(error, SOFTSEPT_PROMOTE);
		race_force(soft_unblock, pgt_base(gfn, 2), 2);
	} else {
		let_table_go(2);
	}
}

/*
 * What the provider promises by itself, whomever a kick waits for.
 */

/* Nobody is inside with an epoch that is older than the one before. */
static void race_in_epoch(void *ctx)
{
	bool flush;

	for (int i = 0; i < 2; i++) {
		HOST_CHECK(softsept_enter(&soft.s, &vcpus[0].v, &flush));
		HOST_CHECK(READ_ONCE(soft.s.epoch) - vcpus[0].v.epoch <= 1);
		softsept_exit(&soft.s, &vcpus[0].v);
	}
}

static void race_tracks(void *ctx)
{
	for (int i = 0; i < 3; i++)
		soft_track();
}

/* Nobody is counted in once the gate is closed. */
static void race_wait_for_counted(struct mirror *mirror)
{
	while (atomic_read(&soft.s.inside[0]) ||
	       atomic_read(&soft.s.inside[1]))
		cpu_relax();
}

static void race_in_gate(void *ctx)
{
	bool flush;

	for (int i = 0; i < 2; i++) {
		if (!softsept_enter(&soft.s, &vcpus[0].v, &flush))
			continue;
		HOST_CHECK(!READ_ONCE(window));
		softsept_exit(&soft.s, &vcpus[0].v);
	}
}

static void race_gate(void *ctx)
{
	private.kick = race_wait_for_counted;
	soft.s.provider.ops->open_window(&soft.s.provider);
	WRITE_ONCE(window, true);
	HOST_EQ(soft_track(), SOFTSEPT_OK);
	WRITE_ONCE(window, false);
	soft.s.provider.ops->close_window(&soft.s.provider);
}

/* Nobody is in the way: that the CPU has used a page meanwhile is no reason. */
static void race_block(void *ctx)
{
	HOST_EQ(soft_block(gfn, 1), SOFTSEPT_OK);
}

static void race_walk(void *ctx)
{
	cpu_access(&vcpus[0].cpu, gfn, CPU_READ, NULL);
}

static void race_create(void)
{
	soft_create(&soft_places[0]);
	private.kick = race_kick;
	gfn = soft.base + 5;
	window = false;
	let_go = false;
	accepted = 0;
}

/* vCPUs that have the page cached, some with this epoch. */
static void race_setup_vcpus(void *ctx)
{
	bool flush;

	race_create();
	soft_make(gfn, 1, SOFTSEPT_MAPPED, 0);
	nr_vcpus = RACE_CPUS;
	for (unsigned int i = 0; i < nr_vcpus; i++) {
		struct race_vcpu *vcpu = &vcpus[i];

		memset(&vcpu->v, 0, sizeof(vcpu->v));
		vcpu->mode = false;
		vcpu->outs = 0;
		vcpu->request = false;
		cpu_init(&vcpu->cpu, &soft.place->config->mode);
		cpu_load_root(&vcpu->cpu, __pa(soft.cpu_root));
		HOST_CHECK(softsept_enter(&soft.s, &vcpu->v, &flush));
		HOST_EQ(cpu_access(&vcpu->cpu, gfn, CPU_READ, NULL), CPU_OK);
		softsept_exit(&soft.s, &vcpu->v);
	}
}

/* A page that no CPU has used yet. */
static void race_setup_unused(void *ctx)
{
	race_create();
	nr_vcpus = 1;
	soft.s.leaf.accessed = false;
	soft.s.leaf.access = PGT_R | PGT_X;
	soft_make(gfn, 1, SOFTSEPT_MAPPED, 0);
	cpu_init(&vcpus[0].cpu, &soft.place->config->mode);
	cpu_load_root(&vcpus[0].cpu, __pa(soft.cpu_root));
}

/* A leaf that the guest is to accept. */
static void race_setup_pending(void *ctx)
{
	int level = *(int *)ctx;

	race_create();
	nr_vcpus = 0;
	soft_make(pgt_base(gfn, level), level, SOFTSEPT_PENDING, 0);
	private_fill(soft_pfn(soft.base), 512, 0x11);
}

/* The same, and the guest may ask for another size. */
static void race_setup_large(void *ctx)
{
	int level = 2;

	race_setup_pending(&level);
}

/* A table of such leaves. */
static void race_setup_children(void *ctx)
{
	race_create();
	nr_vcpus = 0;
	soft_make(soft.base, 2, SOFTSEPT_LINK, SOFTSEPT_PENDING);
	private_fill(soft_pfn(soft.base), 512, 0x11);
}

static void race_check(void *ctx)
{
	/* Entries are locked by nobody, and nobody is counted anywhere. */
	soft_validate();
	HOST_EQ(atomic_read(&soft.s.inside[0]), 0);
	HOST_EQ(atomic_read(&soft.s.inside[1]), 0);
	HOST_EQ(atomic_read(&soft.s.gate), 0);
	HOST_EQ(atomic_read(&soft.s.accepting), 0);
	HOST_EQ(atomic_read(&soft.s.tree), 0);
	/* What was let go is not cleared by a guest that came late. */
	if (let_go)
		HOST_EQ(private_content(soft_pfn(gfn)), 0x77);
}

/* Who enters after that has forgotten the page. */
static void race_check_vcpus(void *ctx)
{
	race_check(ctx);
	for (unsigned int i = 0; i < nr_vcpus; i++) {
		race_round(&vcpus[i]);
		cpu_check(&vcpus[i].cpu);
	}
}

/* What the guest has accepted is accepted, and cleared; the rest is not. */
static void race_check_accept(void *ctx)
{
	enum softsept_state state = soft_state(gfn, 1);

	race_check(ctx);
	for (unsigned int i = 0; i < 512; i++) {
		u64 at = soft.base + i;
		bool mapped = soft_state(at, 1) == SOFTSEPT_MAPPED;

		if (!let_go)
			HOST_EQ(private_content(soft_pfn(at)),
				mapped ? 0 : 0x11);
	}
	/* Of two, one comes first. */
	if (accepted & BIT(SOFTSEPT_ACCEPTED))
		HOST_CHECK(accepted & BIT(SOFTSEPT_OK));
	HOST_EQ(accepted & ~(BIT(SOFTSEPT_OK) | BIT(SOFTSEPT_EXIT) |
			     BIT(SOFTSEPT_ACCEPTED) | BIT(SOFTSEPT_SIZE)), 0);
	if (let_go)
		HOST_EQ(state, SOFTSEPT_FREE);
	else
		HOST_EQ(state, accepted & BIT(SOFTSEPT_OK) ? SOFTSEPT_MAPPED :
							     SOFTSEPT_PENDING);
}

static void race_teardown(void *ctx)
{
	for (unsigned int i = 0; i < nr_vcpus; i++)
		cpu_unload(&vcpus[i].cpu);
	soft_destroy();
}

static void race_run(const char *name, void (*setup)(void *),
		     void (*first)(void *), void (*second)(void *),
		     void (*third)(void *), void (*check)(void *), int level)
{
	struct sim_case c = {
		.name = name,
		.nr_tasks = third ? 3 : 2,
		.setup = setup,
		.task = { first, second, third },
		.check = check,
		.teardown = race_teardown,
		.ctx = &level,
	};
	unsigned int bound;
	struct sim_stats stats;

	/* Few preemptions are complete where more would be too many. */
	bound = sim_explore_most(&c, RACE_PREEMPTIONS, RACE_SCHEDULES, &stats);
	HOST_CHECK(stats.complete);
	host_note("%s: %llu schedules, %u preemptions", name,
		  (unsigned long long)stats.schedules, bound);
}

HOST_TEST(softsept, race_enter_track)
{
	race_run("remove", race_setup_vcpus, race_vcpu0, race_remove, NULL,
		 race_check_vcpus, 1);
	race_run("remove after a track", race_setup_vcpus, race_vcpu0,
		 race_remove_late, NULL, race_check_vcpus, 1);
	race_run("remove, two vCPUs", race_setup_vcpus, race_vcpu0, race_remove,
		 race_vcpu1, race_check_vcpus, 1);
}

HOST_TEST(softsept, race_walk_block)
{
	race_run("block", race_setup_unused, race_walk, race_block, NULL,
		 race_check, 1);
}

HOST_TEST(softsept, race_epochs)
{
	race_run("tracks", race_setup_vcpus, race_in_epoch, race_tracks, NULL,
		 race_check_vcpus, 1);
}

HOST_TEST(softsept, race_enter_window)
{
	race_run("gate", race_setup_vcpus, race_in_gate, race_gate, NULL,
		 race_check, 1);
	race_run("window", race_setup_vcpus, race_vcpu0, race_window, NULL,
		 race_check_vcpus, 1);
	race_run("window, two vCPUs", race_setup_vcpus, race_vcpu0, race_window,
		 race_vcpu1, race_check_vcpus, 1);
}

HOST_TEST(softsept, race_accept_remove)
{
	for (int level = 1; level <= 2; level++)
		race_run("remove", race_setup_pending, race_accept, race_remove,
			 NULL, race_check_accept, level);
	race_run("window", race_setup_pending, race_accept, race_window, NULL,
		 race_check_accept, 1);
	race_run("table", race_setup_pending, race_accept, race_remove_table,
		 NULL, race_check_accept, 1);
	race_run("two of them", race_setup_pending, race_accept, race_remove,
		 race_accept, race_check_accept, 1);
}

HOST_TEST(softsept, race_accept_demote)
{
	for (int level = 1; level <= 2; level++)
		race_run("demote", race_setup_large, race_accept, race_demote,
			 NULL, race_check_accept, level);
}

HOST_TEST(softsept, race_accept_promote)
{
	for (int level = 1; level <= 2; level++)
		race_run("promote", race_setup_children, race_accept,
			 race_promote, NULL, race_check_accept, level);
}
