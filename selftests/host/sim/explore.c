// SPDX-License-Identifier: GPL-2.0
/*
 * The explorer: tasks as fibers, decisions, and the order in which to try them.
 *
 * Locks and RCU are lock.c's; they only wait through sim_wait().
 *
 * Where a preemption is tried
 * ---------------------------
 * A task runs in steps: a marked access, and what follows up to the next one.
 * Switching away before a step is tried only if the step can meet another task:
 * if it reads what another task writes, or writes what another task accesses.
 * Nothing is lost by that.  Take a schedule that switches away before a step
 * that meets nobody, and let the task run on to its next step that does, or to
 * its end, before the switch.  The steps so moved forward touch nothing that the
 * steps they have overtaken write, nor write what those touch; in a sequentially
 * consistent memory they commute, so that every read gives the same value and
 * the outcome is the same, with no more preemptions than before.
 *
 * Who accesses what is learned: each run adds to what is known.  If that lets a
 * step meet another task, all starts over; since the knowledge only grows, it
 * ends with a pass over all schedules that taught nothing new.  In that pass
 * every step that was run is known, so that the argument holds for all of them.
 * It takes that an address means the same thing in every schedule: see mem.h.
 *
 * What is not a marked access but does affect others is made one, or counts as
 * one: locks are accesses to the lock, RCU sections read one address that
 * call_rcu() writes, and freeing memory is a write to all of it, so that a step
 * that frees, or may have a callback do so, is taken to meet others in any case.
 */
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/explore.h"
#include "sim/internal.h"
#include "sim/mem.h"
#include "test.h"

#ifdef HOST_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE	(256UL << 10)
#define GUARD_SIZE	4096UL
/* A run that is longer goes in circles. */
#define MAX_STEPS	(1U << 18)
#define FOOTPRINTS	(1U << 16)

struct fiber {
	void *sp;
	void *bottom;
	size_t size;
	void *fake;	/* the address sanitizer's */
};

/**
 * struct task - a fiber with something to do
 * @fiber:	its stack
 * @fresh:	has made no access that meets another task
 * @done:	has ended
 * @relaxed:	spins, see sim_may_run()
 * @ready:	what it waits for, or NULL
 * @what:	argument of @ready
 * @writes:	made by the task itself
 * @news:	writes by others when it went around its loop the last time
 * @stale:	the same for the time before
 */
struct task {
	struct fiber fiber;
	bool fresh;
	bool done;
	bool relaxed;
	bool (*ready)(const void *what);
	const void *what;
	u64 writes;
	u64 news;
	u64 stale;
};

struct footprint {
	unsigned long addr;
	u8 readers;	/* a bit per task, in all runs so far */
	u8 writers;
};

/* A decision other than "go on" or "the first", by the step it was made at. */
struct event {
	u32 step;
	u32 choice;
};

/* A decision on the way that an exhaustive exploration is following. */
struct node {
	u8 nr;
	u8 choice;
};

enum mode {
	IDLE,
	ALL,
	RANDOM,
	REPLAY,
};

bool sim_in_task;
bool sim_need_resched;
bool sim_never_resched;
bool sim_lock_is_rcu;
unsigned int sim_context;
unsigned int sim_task;

static struct task tasks[SIM_MAX_TASKS];
static struct fiber outside = { .size = 0 };
static struct fiber *running = &outside;
static const struct sim_case *the_case;
static unsigned int nr_tasks;
/* Explorations that this test has begun. */
static unsigned int exploration;

static struct footprint footprints[FOOTPRINTS];
static unsigned int used_footprints[FOOTPRINTS / 2];
static unsigned int nr_footprints;

static enum mode mode;
static u32 steps;
static unsigned int preemptions;
static unsigned int max_preemptions;
static u64 total_writes;
static u64 total_points;
/* A step was found to meet another task in this run. */
static bool learned;

static struct event *events;
static unsigned int nr_events;
static unsigned int max_events;
static unsigned int replayed;

static struct node *nodes;
static unsigned int nr_nodes;
static unsigned int max_nodes;
static unsigned int depth;

static u64 random_state;
/* Preempt at these opportunities, or else one time in @random_every. */
static u32 random_at[4];
static unsigned int random_every;
static u32 opportunities;
static u32 last_opportunities;

void sim_switch(void **save, void *load);

static u64 draw(void)
{
	u64 x = random_state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static void *grow(void *array, unsigned int *max, size_t size)
{
	*max = *max ? *max * 2 : 1024;
	array = realloc(array, *max * size);
	if (!array)
		host_fail("memory", "the explorer has no memory left");
	return array;
}

/*
 * Fibers.
 */

static void fiber_switch(struct fiber *to)
{
	struct fiber *from = running;

	running = to;
#ifdef HOST_ASAN
	__sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
	sim_switch(&from->sp, to->sp);
#ifdef HOST_ASAN
	__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}

static void task_enter(unsigned int nr)
{
	sim_task = nr;
	sim_context = nr;
	sim_in_task = nr != SIM_OUTSIDE;
}

static void switch_to_task(unsigned int nr)
{
	struct task *t = &tasks[nr - 1];

	t->relaxed = false;
	t->ready = NULL;
	task_enter(nr);
	if (running != &t->fiber)
		fiber_switch(&t->fiber);
}

static void task_end(void);

/* A fiber serves one task after the other, so that no stack is ever left. */
static void fiber_main(void)
{
#ifdef HOST_ASAN
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	if (!outside.size) {
		outside.bottom = (void *)bottom;
		outside.size = size;
	}
#endif
	for (;;) {
		the_case->task[sim_task - 1](the_case->ctx);
		task_end();
	}
}

static void fiber_init(struct fiber *fiber)
{
	u8 *map = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void **top;

	if (map == MAP_FAILED || mprotect(map, GUARD_SIZE, PROT_NONE))
		host_fail("memory", "no stack for a task");
	fiber->bottom = map + GUARD_SIZE;
	fiber->size = STACK_SIZE;
	/* Six registers, where to go, and a place for no return address. */
	top = (void **)(map + GUARD_SIZE + STACK_SIZE);
	top[-2] = (void *)fiber_main;
	fiber->sp = top - 8;
}

/*
 * Decisions.
 */

static void record(unsigned int choice)
{
	if (nr_events == max_events)
		events = grow(events, &max_events, sizeof(*events));
	events[nr_events++] = (struct event){ steps, choice };
}

static unsigned int decide_all(unsigned int nr, bool paid)
{
	struct node *n;

	/* What this run finds out does not fit the way here: see explore. */
	if (learned || (paid && preemptions >= max_preemptions))
		return 0;
	if (depth == nr_nodes) {
		if (nr_nodes == max_nodes)
			nodes = grow(nodes, &max_nodes, sizeof(*nodes));
		nodes[nr_nodes++] = (struct node){ .nr = nr };
	}
	n = &nodes[depth++];
	if (n->nr != nr)
		host_fail("explorer",
			  "a case does not repeat: decision %u had %u ways to go on, now %u",
			  depth, n->nr, nr);
	return n->choice;
}

static unsigned int decide_random(unsigned int nr, bool paid)
{
	unsigned int i;
	bool go = false;

	if (!paid)
		return draw() % nr;
	if (preemptions >= max_preemptions)
		return 0;
	if (random_every) {
		go = !(draw() % random_every);
	} else {
		for (i = 0; i < ARRAY_SIZE(random_at); i++)
			go |= random_at[i] == opportunities;
	}
	opportunities++;
	return go ? 1 + draw() % (nr - 1) : 0;
}

static unsigned int decide_replay(unsigned int nr)
{
	unsigned int choice;

	if (replayed == nr_events || events[replayed].step != steps)
		return 0;
	choice = events[replayed++].choice;
	if (choice >= nr)
		host_fail("schedule",
			  "the schedule does not fit: choice %u of %u at step %u",
			  choice, nr, steps);
	return choice;
}

/* A choice of @nr; 0 is to go on as if there were none.  Others may be @paid. */
static unsigned int decide(unsigned int nr, bool paid)
{
	unsigned int choice = 0;

	if (nr < 2)
		return 0;
	switch (mode) {
	case ALL:
		choice = decide_all(nr, paid);
		break;
	case RANDOM:
		choice = decide_random(nr, paid);
		break;
	case REPLAY:
		return decide_replay(nr);
	case IDLE:
		break;
	}
	if (choice) {
		record(choice);
		preemptions += paid;
	}
	return choice;
}

static void step(void)
{
	if (++steps >= MAX_STEPS)
		host_fail("livelock", "no end after %u steps", steps);
}

/*
 * A task that has called cpu_relax() has gone around a loop.  It needs to go
 * around again only if others have written since it began that round: else it
 * would read the same again.
 */
static bool sim_may_run(const struct task *t)
{
	if (t->done)
		return false;
	if (t->ready)
		return t->ready(t->what);
	return !t->relaxed || total_writes - t->writes > t->stale;
}

/* The tasks that may run, the current one first. */
static unsigned int list_tasks(u8 list[SIM_MAX_TASKS])
{
	unsigned int nr = 0;
	unsigned int i;

	if (sim_task && sim_may_run(&tasks[sim_task - 1]))
		list[nr++] = sim_task;
	for (i = 1; i <= nr_tasks; i++) {
		if (i != sim_task && sim_may_run(&tasks[i - 1]))
			list[nr++] = i;
	}
	return nr;
}

__noreturn
static void stuck(void)
{
	bool spins = false;
	unsigned int i;

	for (i = 0; i < nr_tasks; i++)
		spins |= !tasks[i].done && tasks[i].relaxed;
	if (spins)
		host_fail("livelock", "all tasks wait, and one spins");
	host_fail("deadlock", "all tasks wait for each other");
}

/* Let somebody run: the current task can't, or leaves it to others. */
static void schedule(void)
{
	u8 list[SIM_MAX_TASKS];
	unsigned int nr;

	step();
	nr = list_tasks(list);
	if (!nr)
		stuck();
	switch_to_task(list[decide(nr, false)]);
}

static struct footprint *find_footprint(unsigned long addr)
{
	unsigned int i = (addr * 0x9e3779b97f4a7c15ULL) >> 48;

	for (;; i = (i + 1) % FOOTPRINTS) {
		struct footprint *f = &footprints[i];

		if (f->addr == addr)
			return f;
		if (f->addr)
			continue;
		if (nr_footprints == ARRAY_SIZE(used_footprints))
			host_fail("explorer", "too many addresses accessed");
		used_footprints[nr_footprints++] = i;
		f->addr = addr;
		return f;
	}
}

static void forget_footprints(void)
{
	while (nr_footprints)
		footprints[used_footprints[--nr_footprints]] =
			(struct footprint){ .addr = 0 };
	mem_forget_freers();
}

/* Note an access; whether it can meet another task. */
static bool note_access(unsigned long addr, enum sim_kind kind)
{
	struct footprint *f = find_footprint(addr);
	u8 readers = f->readers;
	u8 writers = f->writers | mem_freers(addr);
	u8 all;

	if (kind == SIM_READ)
		readers |= 1 << sim_task;
	else
		writers |= 1 << sim_task;
	all = readers | writers;
	if (readers != f->readers || writers != f->writers) {
		f->readers = readers;
		f->writers = writers;
		if (writers && (all & (all - 1)))
			learned = true;
	}
	if (kind == SIM_READ)
		all = writers;
	return kind == SIM_FREE || (all & ~(1 << sim_task));
}

void sim_point_task(const volatile void *addr, enum sim_kind kind)
{
	struct task *t = &tasks[sim_task - 1];
	u8 list[SIM_MAX_TASKS];
	bool meets, fresh;

	meets = note_access((unsigned long)addr, kind);
	/* An RCU callback: belongs to the step that made it run. */
	if (sim_context == SIM_CALLBACK)
		return;
	step();
	total_points++;
	/* A task that has met nobody yet need not have been switched to. */
	fresh = t->fresh;
	t->fresh = fresh && !meets;
	if (mode == REPLAY ||
	    (meets && !fresh && preemptions < max_preemptions))
		switch_to_task(list[decide(list_tasks(list), true)]);
	/* Only now will the write happen. */
	if (kind != SIM_READ) {
		t->writes++;
		total_writes++;
	}
}

void sim_progress(void)
{
	total_writes++;
	if (sim_task && sim_context != SIM_CALLBACK)
		tasks[sim_task - 1].writes++;
}

void sim_wait(bool (*ready)(const void *what), const void *what)
{
	struct task *t;

	if (ready(what))
		return;
	if (sim_context == SIM_OUTSIDE || sim_context == SIM_CALLBACK)
		host_fail("deadlock", "nobody is there to wait for");
	t = &tasks[sim_task - 1];
	t->ready = ready;
	t->what = what;
	schedule();
}

bool sim_waited_for(const void *what)
{
	unsigned int i;

	for (i = 0; i < nr_tasks && sim_in_task; i++) {
		if (tasks[i].ready && tasks[i].what == what)
			return true;
	}
	return false;
}

void cpu_relax(void)
{
	u8 list[SIM_MAX_TASKS];
	unsigned int nr, first;
	struct task *t;

	if (!sim_in_task || sim_context == SIM_CALLBACK)
		return;
	t = &tasks[sim_task - 1];
	t->relaxed = true;
	t->stale = t->news;
	t->news = total_writes - t->writes;
	step();
	nr = list_tasks(list);
	if (!nr)
		stuck();
	/* Others come first, or else the first schedule might never end. */
	first = nr > 1 && list[0] == sim_task;
	switch_to_task(list[(decide(nr, false) + first) % nr]);
}

void sim_give_way(void)
{
	u8 list[SIM_MAX_TASKS];
	unsigned int nr, first;

	if (!sim_in_task || sim_context == SIM_CALLBACK)
		return;
	step();
	nr = list_tasks(list);
	if (!nr)
		stuck();
	first = nr > 1 && list[0] == sim_task;
	switch_to_task(list[first + decide(nr - first, false)]);
}

void sim_yield(void)
{
	if (sim_in_task && sim_context != SIM_CALLBACK)
		schedule();
}

bool sim_resched(void)
{
	step();
	return decide(2, true);
}

unsigned int sim_choose(unsigned int n)
{
	if (!sim_in_task || sim_context == SIM_CALLBACK)
		return 0;
	step();
	return decide(n, false);
}

/*
 * Runs.
 */

static void task_end(void)
{
	unsigned int i;

	if (sim_locks_held[sim_task])
		host_fail("lockdep", "task %u ended with a lock held", sim_task);
	if (sim_rcu_depth[sim_task])
		host_fail("lockdep", "task %u ended in an RCU section",
			  sim_task);
	tasks[sim_task - 1].done = true;
	sim_progress();
	for (i = 0; i < nr_tasks; i++) {
		if (!tasks[i].done) {
			schedule();
			return;
		}
	}
	task_enter(SIM_OUTSIDE);
	fiber_switch(&outside);
}

static void check_leaks(void)
{
	if (sim_rcu_pending())
		host_fail("leak", "%u RCU callbacks have not run",
			  sim_rcu_pending());
	if (mem_tables_in_use() || mem_objects_in_use())
		host_fail("leak", "%llu tables and %llu objects are left",
			  (unsigned long long)mem_tables_in_use(),
			  (unsigned long long)mem_objects_in_use());
}

static void run(const struct sim_case *c, struct sim_stats *st)
{
	unsigned int i;
	u64 points = total_points;

	mem_reset();
	if (c->setup)
		c->setup(c->ctx);
	the_case = c;
	nr_tasks = c->nr_tasks;
	for (i = 0; i < nr_tasks; i++) {
		struct fiber fiber = tasks[i].fiber;

		if (!fiber.sp)
			fiber_init(&fiber);
		tasks[i] = (struct task){ .fiber = fiber, .fresh = true };
	}
	steps = 0;
	preemptions = 0;
	depth = 0;
	replayed = 0;
	opportunities = 0;
	total_writes = 0;
	if (mode != REPLAY)
		nr_events = 0;

	schedule();

	/* For messages this is still the same run. */
	if (c->check)
		c->check(c->ctx);
	if (c->teardown) {
		c->teardown(c->ctx);
		check_leaks();
	}
	last_opportunities = opportunities;
	nr_tasks = 0;
	points = total_points - points;
	st->runs++;
	st->points += points;
	st->max_points = max_t(u64, st->max_points, points);
	host_count_schedules(1);
}

static void begin(const struct sim_case *c, struct sim_stats *st)
{
	if (!c->nr_tasks || c->nr_tasks > SIM_MAX_TASKS)
		host_fail("explorer", "%s has %u tasks", c->name, c->nr_tasks);
	if (mode != IDLE || sim_context != SIM_OUTSIDE)
		host_fail("explorer", "explorations do not nest");
	if (mem_tables_in_use() || mem_objects_in_use())
		host_fail("explorer", "memory is in use before %s", c->name);
	exploration++;
	*st = (struct sim_stats){ .complete = false };
}

static void end(void)
{
	mode = IDLE;
	mem_reset();
}

static void replay(const struct sim_case *c, const char *schedule,
		   struct sim_stats *st)
{
	u32 at = 0;

	nr_events = 0;
	while (*schedule) {
		char *letter;

		at += strtoul(schedule, &letter, 10);
		steps = at;
		record(*letter - 'a');
		schedule = letter + 1;
	}
	mode = REPLAY;
	forget_footprints();
	run(c, st);
	if (replayed != nr_events)
		host_fail("schedule", "the schedule does not fit: %u of %u decisions were left",
			  nr_events - replayed, nr_events);
	end();
	host_note("%s: the schedule passed", c->name);
}

void sim_replay(const struct sim_case *c, const char *schedule)
{
	struct sim_stats st;

	begin(c, &st);
	replay(c, schedule, &st);
}

/* With --schedule: replay it if it is of this exploration, else do nothing. */
static bool replay_wanted(const struct sim_case *c, struct sim_stats *st)
{
	char *rest;

	if (!host_run.schedule)
		return false;
	st->complete = true;
	if (strtoul(host_run.schedule, &rest, 10) == exploration)
		replay(c, rest + 1, st);
	return true;
}

/* On to the next schedule; false if there is none. */
static bool next_schedule(void)
{
	while (nr_nodes) {
		struct node *n = &nodes[nr_nodes - 1];

		if (++n->choice < n->nr)
			return true;
		nr_nodes--;
	}
	return false;
}

/* Set up how to draw the next schedule. */
static void random_schedule(u64 seed, u64 nr)
{
	static const unsigned int every[] = { 2, 4, 16, 64 };
	unsigned int i;

	random_state = seed + nr * 0xd1342543de82ef95ULL;
	draw();
	random_every = draw() % 2 ? every[draw() % ARRAY_SIZE(every)] : 0;
	for (i = 0; i < ARRAY_SIZE(random_at); i++)
		random_at[i] = ~0U;
	/* Any number of places, but not more than there are of them. */
	for (i = draw() % ARRAY_SIZE(random_at) + 1; i && !random_every; i--)
		random_at[i - 1] = draw() % (last_opportunities + 1);
}

/*
 * How many schedules there will be in all, from those so far and from where the
 * first decision is that was not the first choice: the last ones vary first.  If it
 * is in the last tenth of the decisions, then all that is left to do is to try the
 * same in the other nine, with up to @bound decisions in each place.
 */
static u64 estimate(unsigned int bound, u64 schedules, unsigned int decisions)
{
	double share, all = schedules;
	unsigned int first = 0;

	while (first < nr_nodes && !nodes[first].choice)
		first++;
	if (first >= decisions)
		return ~0ULL;
	share = (double)(decisions - first) / decisions;
	while (bound--)
		all /= share;
	return all < 1e18 ? all : 1e18;
}

/* Runs before an exhaustive exploration, to know most shared addresses. */
#define LEARNING_RUNS	32
/* An estimate after a part of what is too much; it may be wrong by the factor. */
#define ESTIMATE_PART	8
#define ESTIMATE_SLACK	8

/* What @c accesses is known from schedules with fewer preemptions, or is learned. */
static void explore(const struct sim_case *c, unsigned int bound,
		    u64 max_schedules, struct sim_stats *st)
{
	unsigned int learning = nr_footprints ? 0 : LEARNING_RUNS;
	unsigned int decisions = 0;
	u64 i;

	max_preemptions = bound;
	last_opportunities = 0;
	mode = RANDOM;
	for (i = 0; i < learning; i++) {
		random_schedule(0, i);
		run(c, st);
	}

	mode = ALL;
	nr_nodes = 0;
	learned = false;
	do {
		run(c, st);
		if (!st->schedules++)
			decisions = nr_nodes;
		if (learned) {
			learned = false;
			nr_nodes = 0;
			st->schedules = 0;
		} else if (!next_schedule()) {
			st->complete = true;
			break;
		} else if (max_schedules &&
			   st->schedules == max_schedules / ESTIMATE_PART &&
			   estimate(bound, st->schedules, decisions) >
			   ESTIMATE_SLACK * max_schedules) {
			break;
		}
	} while (!max_schedules || st->runs < max_schedules);
	end();
}

void sim_explore_all(const struct sim_case *c, unsigned int bound,
		     u64 max_schedules, struct sim_stats *st)
{
	struct sim_stats unused;

	st = st ?: &unused;
	begin(c, st);
	if (replay_wanted(c, st))
		return;
	forget_footprints();
	explore(c, bound, max_schedules, st);
}

unsigned int sim_explore_most(const struct sim_case *c,
			      unsigned int max_preemptions, u64 max_schedules,
			      struct sim_stats *st)
{
	struct sim_stats more;
	unsigned int bound;

	sim_explore_all(c, 1, 0, st);
	for (bound = 2; bound <= max_preemptions && !host_run.schedule; bound++) {
		/* Its number does not depend on how often this was tried. */
		exploration--;
		begin(c, &more);
		explore(c, bound, max_schedules * host_run.effort, &more);
		if (!more.complete)
			break;
		*st = more;
	}
	return bound - 1;
}

void sim_explore_random(const struct sim_case *c, u64 seed, u64 nr,
			struct sim_stats *st)
{
	struct sim_stats unused;
	u64 i;

	st = st ?: &unused;
	begin(c, st);
	if (replay_wanted(c, st))
		return;
	forget_footprints();
	max_preemptions = ~0U;
	last_opportunities = 0;
	mode = RANDOM;
	for (i = 0; i < nr; i++) {
		random_schedule(seed, i);
		run(c, st);
		st->schedules++;
	}
	end();
}

/*
 * Schedules as text: the number of the exploration, a colon, and for each
 * decision how many steps after the one before it was, and a letter for the
 * choice.  Steps are counted whether or not an address is known to be shared,
 * so that a replay need not know.
 */

bool sim_describe(char *buf, size_t size, const char **case_name)
{
	unsigned int i, n;
	u32 last = 0;

	if (mode == IDLE)
		return false;
	*case_name = the_case ? the_case->name : NULL;
	n = snprintf(buf, size, "%u:", exploration);
	for (i = 0; i < nr_events && n < size; i++) {
		n += snprintf(buf + n, size - n, "%u%c", events[i].step - last,
			      'a' + events[i].choice);
		last = events[i].step;
	}
	return true;
}

bool sim_schedule_valid(const char *schedule)
{
	size_t n = strspn(schedule, "0123456789");

	if (!n || n > 9 || schedule[n] != ':')
		return false;
	for (schedule += n + 1; *schedule; schedule += n + 1) {
		n = strspn(schedule, "0123456789");
		if (!n || n > 9 || schedule[n] < 'b' || schedule[n] > 'z')
			return false;
	}
	return true;
}
