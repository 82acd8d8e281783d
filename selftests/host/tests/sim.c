// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the simulation: that the explorer runs every schedule and finds what
 * it should, and that locks, RCU and memory are what they stand for.
 */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <stdlib.h>

#include "sim/explore.h"
#include "sim/mem.h"
#include "test.h"

/* What the cases work on, made anew for each schedule. */
static struct {
	u64 value;
	u64 other;
	u64 seen;
	atomic_t count;
	spinlock_t lock;
	spinlock_t second;
	rwlock_t rw;
	struct list_head list;
} world;

struct item {
	u64 value;
	struct list_head link;
	struct rcu_head rcu;
};

static struct item *item;
static bool freed;

static void world_init(void *ctx)
{
	memset(&world, 0, sizeof(world));
	spin_lock_init(&world.lock);
	spin_lock_init(&world.second);
	rwlock_init(&world.rw);
	INIT_LIST_HEAD(&world.list);
	freed = false;
}

/* Explore all of a case, which must be possible. */
static u64 explore(const struct sim_case *c, unsigned int preemptions)
{
	struct sim_stats st;

	sim_explore_all(c, preemptions, 0, &st);
	HOST_CHECK(st.complete);
	if (host_run.schedule)
		return 0;
	HOST_CHECK(st.schedules);
	host_note("%s, %u preemptions: %llu schedules, %llu points at most %u",
		  c->name, preemptions, (unsigned long long)st.schedules,
		  (unsigned long long)st.points, st.max_points);
	return st.schedules;
}

struct hunt {
	const struct sim_case *c;
	unsigned int preemptions;
};

static void explore_hunt(void *arg)
{
	const struct hunt *hunt = arg;

	sim_explore_all(hunt->c, hunt->preemptions, 0, NULL);
}

static void must_find(const struct sim_case *c, unsigned int preemptions,
		      const char *check)
{
	struct hunt hunt = { c, preemptions };

	host_must_fail(check, explore_hunt, &hunt);
}

/* How many schedules, unless only one of another exploration is replayed. */
#define EXPECT_SCHEDULES(nr, c, preemptions) do {			\
	u64 __nr = explore(c, preemptions);				\
									\
	if (!host_run.schedule)						\
		HOST_EQ(__nr, nr);					\
} while (0)

/*
 * Counting without care.
 */

static void increment(void *ctx)
{
	u64 old = READ_ONCE(world.value);

	WRITE_ONCE(world.value, old + 1);
}

static void check_two(void *ctx)
{
	HOST_EQ(world.value, 2);
}

static const struct sim_case racy_increment = {
	.name = "racy increment",
	.nr_tasks = 2,
	.setup = world_init,
	.task = { increment, increment },
	.check = check_two,
};

HOST_TEST(sim, lost_update)
{
	must_find(&racy_increment, 1, "assert");
}

HOST_TEST(sim, no_preemption_no_race)
{
	EXPECT_SCHEDULES(2, &racy_increment, 0);
}

static void find_lost_update_at_random(void *arg)
{
	sim_explore_random(&racy_increment, host_seed(), 1000, NULL);
}

HOST_TEST(sim, lost_update_at_random)
{
	host_must_fail("assert", find_lost_update_at_random, NULL);
}

/* A before its write, B wholly, the rest of A: step 3 is A's second access. */
static void replay_lost_update(void *arg)
{
	sim_replay(&racy_increment, arg);
}

HOST_TEST(sim, replay)
{
	if (host_run.schedule)
		return;
	sim_replay(&racy_increment, "");
	sim_replay(&racy_increment, "1b");
	host_must_fail("assert", replay_lost_update, "3b");
	host_must_fail("schedule", replay_lost_update, "3c");
	host_must_fail("schedule", replay_lost_update, "99b");
}

/*
 * Counts worked out by hand.
 */

static void two_writes(void *ctx)
{
	WRITE_ONCE(world.value, 1);
	WRITE_ONCE(world.value, 2);
}

static void three_writes(void *ctx)
{
	two_writes(ctx);
	WRITE_ONCE(world.value, 3);
}

/*
 * With no bound that matters: all orders of 2 and 2, of 3 and 3, and of 2, 2
 * and 2 accesses, (2n)!/n!^2 and 6!/2!^3.  With one preemption, of 2 tasks of n
 * accesses: either first, and preempted nowhere or before one of the n - 1
 * accesses that are not its first.
 */
HOST_TEST(sim, number_of_schedules)
{
	struct sim_case c = {
		.name = "two and two",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { two_writes, two_writes, two_writes },
	};

	EXPECT_SCHEDULES(2, &c, 0);
	EXPECT_SCHEDULES(2 * 2, &c, 1);
	EXPECT_SCHEDULES(6, &c, 9);

	c.name = "three and three";
	c.task[0] = three_writes;
	c.task[1] = three_writes;
	EXPECT_SCHEDULES(2 * 3, &c, 1);
	EXPECT_SCHEDULES(20, &c, 9);

	c.name = "two and two and two";
	c.nr_tasks = 3;
	c.task[0] = two_writes;
	c.task[1] = two_writes;
	EXPECT_SCHEDULES(6, &c, 0);
	EXPECT_SCHEDULES(90, &c, 9);
}

static void read_all(void *ctx)
{
	READ_ONCE(world.value);
	READ_ONCE(world.other);
	READ_ONCE(world.value);
}

static void write_seen(void *ctx)
{
	WRITE_ONCE(world.seen, 1);
	WRITE_ONCE(world.seen, 2);
	READ_ONCE(world.value);
}

/* Only which task starts is left to choose. */
HOST_TEST(sim, what_is_not_shared_costs_nothing)
{
	static const struct sim_case c = {
		.name = "nothing shared",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { read_all, write_seen },
	};

	EXPECT_SCHEDULES(2, &c, 9);
}

/* Shared only in schedules that one preemption leads to. */
static void write_both(void *ctx)
{
	WRITE_ONCE(world.value, 1);
	WRITE_ONCE(world.value, 0);
}

static void read_if_set(void *ctx)
{
	if (READ_ONCE(world.value))
		world.seen += READ_ONCE(world.other);
}

static void add_other(void *ctx)
{
	u64 old = READ_ONCE(world.other);

	WRITE_ONCE(world.other, old + 1);
	WRITE_ONCE(world.other, 0);
}

static void check_not_seen(void *ctx)
{
	HOST_EQ(world.seen, 0);
}

HOST_TEST(sim, sharing_is_learned)
{
	static const struct sim_case c = {
		.name = "shared rarely",
		.nr_tasks = 3,
		.setup = world_init,
		.task = { write_both, read_if_set, add_other },
		.check = check_not_seen,
	};

	must_find(&c, 2, "assert");
	explore(&c, 1);
}

static void choose_twice(void *ctx)
{
	world.value = sim_choose(3) * 2 + sim_choose(2);
	world.seen |= 1 << world.value;
}

static u64 values_chosen;

static void check_chosen(void *ctx)
{
	values_chosen |= 1 << world.value;
}

HOST_TEST(sim, choices)
{
	static const struct sim_case c = {
		.name = "choices",
		.nr_tasks = 1,
		.setup = world_init,
		.task = { choose_twice },
		.check = check_chosen,
	};

	values_chosen = 0;
	EXPECT_SCHEDULES(6, &c, 0);
	if (!host_run.schedule)
		HOST_EQ(values_chosen, 0x3f);
	HOST_EQ(sim_choose(5), 0);
}

static void ask_resched(void *ctx)
{
	world.value = need_resched();
	world.other = need_resched();
}

/* Neither; and one of them, or, with more preemptions, both. */
HOST_TEST(sim, need_resched)
{
	static const struct sim_case c = {
		.name = "need_resched",
		.nr_tasks = 1,
		.setup = world_init,
		.task = { ask_resched },
	};

	EXPECT_SCHEDULES(1, &c, 0);
	EXPECT_SCHEDULES(3, &c, 1);
	EXPECT_SCHEDULES(4, &c, 2);
	HOST_CHECK(!need_resched());
	sim_need_resched = true;
	HOST_CHECK(need_resched());
	sim_need_resched = false;
}

/*
 * Atomics and locks.
 */

static void atomic_increment(void *ctx)
{
	u64 old = READ_ONCE(world.value);

	while (!try_cmpxchg64(&world.value, &old, old + 1))
		;
	atomic_inc(&world.count);
}

HOST_TEST(sim, atomic_increment)
{
	static const struct sim_case c = {
		.name = "atomic increment",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { atomic_increment, atomic_increment },
		.check = check_two,
	};

	explore(&c, 4);
}

static void locked_increment(void *ctx)
{
	spin_lock(&world.lock);
	lockdep_assert_held(&world.lock);
	increment(ctx);
	spin_unlock(&world.lock);
	lockdep_assert_not_held(&world.lock);
}

HOST_TEST(sim, locked_increment)
{
	static const struct sim_case c = {
		.name = "locked increment",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { locked_increment, locked_increment },
		.check = check_two,
	};

	explore(&c, 4);
	must_find(&(struct sim_case){
		.name = "one does not lock",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { locked_increment, increment },
		.check = check_two,
	}, 1, "assert");
}

static void first_then_second(void *ctx)
{
	spin_lock(&world.lock);
	spin_lock(&world.second);
	spin_unlock(&world.second);
	spin_unlock(&world.lock);
}

static void second_then_first(void *ctx)
{
	spin_lock(&world.second);
	spin_lock(&world.lock);
	spin_unlock(&world.lock);
	spin_unlock(&world.second);
}

HOST_TEST(sim, deadlock)
{
	static const struct sim_case good = {
		.name = "locks in one order",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { first_then_second, first_then_second },
	};
	static const struct sim_case bad = {
		.name = "locks in two orders",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { first_then_second, second_then_first },
	};

	explore(&good, 3);
	explore(&bad, 0);
	must_find(&bad, 1, "deadlock");
}

static void lock_twice(void *ctx)
{
	spin_lock(&world.lock);
	spin_lock(&world.lock);
}

static void keep_lock(void *ctx)
{
	spin_lock(&world.lock);
}

static void unlock_only(void *ctx)
{
	read_unlock(&world.rw);
}

static void assert_write(void *ctx)
{
	read_lock(&world.rw);
	lockdep_assert_held_read(&world.rw);
	lockdep_assert_held_write(&world.rw);
}

/* Runs outside of tasks: a failure there is one too. */
static void call_lock_twice(void *arg)
{
	world_init(NULL);
	lock_twice(NULL);
}

HOST_TEST(sim, misuse_of_locks)
{
	struct sim_case c = {
		.name = "misuse",
		.nr_tasks = 1,
		.setup = world_init,
	};

	c.task[0] = lock_twice;
	must_find(&c, 0, "deadlock");
	c.task[0] = keep_lock;
	must_find(&c, 0, "lockdep");
	c.task[0] = unlock_only;
	must_find(&c, 0, "lockdep");
	c.task[0] = assert_write;
	must_find(&c, 0, "lockdep");
	host_must_fail("deadlock", call_lock_twice, NULL);
}

static unsigned int max_readers;

static void read_section(void *ctx)
{
	read_lock(&world.rw);
	atomic_inc(&world.count);
	max_readers = max_t(u64, max_readers, atomic_read(&world.count));
	HOST_EQ(READ_ONCE(world.value), READ_ONCE(world.other));
	atomic_dec(&world.count);
	read_unlock(&world.rw);
}

static void write_section(void *ctx)
{
	write_lock(&world.rw);
	HOST_EQ(atomic_read(&world.count), 0);
	WRITE_ONCE(world.value, READ_ONCE(world.value) + 1);
	WRITE_ONCE(world.other, READ_ONCE(world.other) + 1);
	write_unlock(&world.rw);
}

HOST_TEST(sim, rwlock)
{
	static const struct sim_case c = {
		.name = "rwlock",
		.nr_tasks = 4,
		.setup = world_init,
		.task = { read_section, write_section, read_section,
			  write_section },
		.check = check_two,
	};

	explore(&c, 2);
	if (!host_run.schedule)
		HOST_EQ(max_readers, 2);
}

static bool did_break;

static void long_read(void *ctx)
{
	read_lock(&world.rw);
	did_break |= cond_resched_rwlock_read(&world.rw);
	world.seen = READ_ONCE(world.value);
	read_unlock(&world.rw);
}

HOST_TEST(sim, needbreak)
{
	static const struct sim_case c = {
		.name = "needbreak",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { long_read, write_section },
	};

	explore(&c, 2);
	HOST_CHECK(did_break || host_run.schedule);
}

/*
 * Spinning.
 */

static void wait_for_value(void *ctx)
{
	while (!READ_ONCE(world.value))
		cpu_relax();
	world.seen = READ_ONCE(world.other);
}

static void publish(void *ctx)
{
	WRITE_ONCE(world.other, 7);
	WRITE_ONCE(world.value, 1);
}

static void check_seven(void *ctx)
{
	HOST_EQ(world.seen, 7);
}

static void wait_and_set(void *ctx)
{
	while (!READ_ONCE(world.value))
		cpu_relax();
	WRITE_ONCE(world.value, 1);
}

/* Each locks and unlocks forever: writes, but no progress. */
static void poll_locked(void *ctx)
{
	u64 value;

	do {
		spin_lock(&world.lock);
		value = READ_ONCE(world.value);
		spin_unlock(&world.lock);
		cpu_relax();
	} while (!value);
}

HOST_TEST(sim, spinning)
{
	struct sim_case c = {
		.name = "spin until published",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { wait_for_value, publish },
		.check = check_seven,
	};

	explore(&c, 3);
	c.task[0] = poll_locked;
	c.check = NULL;
	explore(&c, 2);

	c.name = "spin for each other";
	c.task[0] = wait_and_set;
	c.task[1] = wait_and_set;
	must_find(&c, 0, "livelock");
	c.task[0] = poll_locked;
	c.task[1] = poll_locked;
	must_find(&c, 0, "livelock");
}

/*
 * RCU.
 */

static void free_item(struct rcu_head *head)
{
	HOST_EQ(sim_context, SIM_CALLBACK);
	kfree(container_of(head, struct item, rcu));
	freed = true;
}

static void rcu_setup(void *ctx)
{
	world_init(ctx);
	item = kzalloc_obj(*item);
	item->value = 5;
	list_add_tail_rcu(&item->link, &world.list);
}

static void rcu_reader(void *ctx)
{
	struct item *pos;

	rcu_read_lock();
	list_for_each_entry_rcu(pos, &world.list, link) {
		rcu_read_lock();
		HOST_EQ(READ_ONCE(pos->value), 5);
		rcu_read_unlock();
		HOST_EQ(READ_ONCE(pos->value), 5);
	}
	rcu_read_unlock();
}

/* The same without a section around it. */
static void careless_reader(void *ctx)
{
	struct item *pos = list_first_or_null_rcu(&world.list, struct item,
						  link);

	if (pos)
		HOST_EQ(READ_ONCE(pos->value), 5);
}

static void rcu_remove(void *ctx)
{
	list_del_rcu(&item->link);
	call_rcu(&item->rcu, free_item);
}

static void rcu_remove_wait(void *ctx)
{
	list_del_rcu(&item->link);
	synchronize_rcu();
	kfree(item);
	freed = true;
}

static void rcu_remove_barrier(void *ctx)
{
	rcu_remove(ctx);
	rcu_barrier();
	HOST_CHECK(freed);
}

static void remove_too_early(void *ctx)
{
	list_del_rcu(&item->link);
	kfree(item);
	freed = true;
}

static void rcu_kfree(void *ctx)
{
	list_del_rcu(&item->link);
	kfree_rcu(item, rcu);
	freed = true;
}

static void check_freed(void *ctx)
{
	HOST_CHECK(freed);
	HOST_EQ(mem_objects_in_use(), 0);
}

static void nothing(void *ctx)
{
}

HOST_TEST(sim, rcu)
{
	struct sim_case c = {
		.name = "call_rcu",
		.nr_tasks = 3,
		.setup = rcu_setup,
		.task = { rcu_reader, rcu_remove, rcu_reader },
		.check = check_freed,
		.teardown = nothing,
	};

	explore(&c, 2);
	c.name = "synchronize_rcu";
	c.task[1] = rcu_remove_wait;
	explore(&c, 2);
	c.name = "rcu_barrier";
	c.task[1] = rcu_remove_barrier;
	explore(&c, 2);
	c.name = "kfree_rcu";
	c.task[1] = rcu_kfree;
	explore(&c, 2);

	c.name = "no section";
	c.task[0] = careless_reader;
	c.task[1] = rcu_remove;
	must_find(&c, 1, "use-after-free");
	c.name = "no grace period";
	c.task[0] = rcu_reader;
	c.task[1] = remove_too_early;
	must_find(&c, 1, "use-after-free");
}

static void wait_in_section(void *arg)
{
	rcu_setup(arg);
	rcu_read_lock();
	rcu_remove_wait(arg);
}

HOST_TEST(sim, rcu_outside)
{
	rcu_setup(NULL);
	rcu_remove(NULL);
	HOST_CHECK(freed);

	rcu_setup(NULL);
	rcu_read_lock();
	rcu_read_lock();
	rcu_remove(NULL);
	rcu_read_unlock();
	HOST_CHECK(!freed);
	HOST_EQ(sim_rcu_pending(), 1);
	HOST_CHECK(rcu_read_lock_held());
	rcu_read_unlock();
	HOST_CHECK(freed);
	HOST_CHECK(!rcu_read_lock_held());
	HOST_EQ(sim_rcu_pending(), 0);
	host_must_fail("deadlock", wait_in_section, NULL);
}

/* A lock holder reads without a section of its own. */
static void locked_reader(void *ctx)
{
	read_lock(&world.rw);
	careless_reader(ctx);
	read_unlock(&world.rw);
}

HOST_TEST(sim, rcu_and_locks)
{
	static const struct sim_case c = {
		.name = "lock as section",
		.nr_tasks = 2,
		.setup = rcu_setup,
		.task = { locked_reader, rcu_remove },
		.check = check_freed,
	};

	must_find(&c, 1, "use-after-free");
	sim_lock_is_rcu = true;
	explore(&c, 3);
}

/*
 * Memory.
 */

static void free_twice(void *arg)
{
	struct ptdesc *pt = pagetable_alloc(GFP_KERNEL, 0);

	__pagetable_free(pt);
	__pagetable_free(pt);
}

static void free_object_twice(void *arg)
{
	u64 *p = kzalloc(24, GFP_KERNEL);

	kfree(p);
	kfree(p);
}

static void read_freed(void *arg)
{
	struct ptdesc *pt = pagetable_alloc(GFP_KERNEL, 0);
	u64 *table = ptdesc_address(pt);

	__pagetable_free(pt);
	READ_ONCE(table[3]);
}

static void follow_nowhere(void *arg)
{
	READ_ONCE(*(u64 *)__va(MEM_POISON & 0xffffffffff000ULL));
}

HOST_TEST(sim, memory)
{
	struct ptdesc *pt = pagetable_alloc(GFP_KERNEL_ACCOUNT | __GFP_ZERO, 0);
	u64 *table = ptdesc_address(pt);
	u64 *object = kzalloc(sizeof(u64), GFP_KERNEL);
	u64 pfn = __pa(table) >> PAGE_SHIFT;

	HOST_CHECK(virt_to_ptdesc(table + 5) == pt);
	HOST_CHECK(__va(__pa(table)) == table);
	HOST_CHECK(__pa(table));
	HOST_CHECK(mem_is_table(pfn));
	HOST_EQ(table[511], 0);
	HOST_EQ(*object, 0);
	HOST_EQ(mem_tables_in_use(), 1);
	HOST_EQ(mem_objects_in_use(), 1);
	HOST_EQ(mem_generation(pfn), 0);
	__pagetable_free(pt);
	kfree(object);
	kfree(NULL);
	HOST_CHECK(!mem_is_table(pfn));
	HOST_EQ(mem_generation(pfn), 1);
	HOST_EQ(mem_tables_in_use(), 0);
	HOST_EQ(mem_objects_in_use(), 0);
	HOST_EQ(mem_alloc_count(), 2);

	host_must_fail("double-free", free_twice, NULL);
	host_must_fail("double-free", free_object_twice, NULL);
	host_must_fail("use-after-free", read_freed, NULL);
	host_must_fail("bad-pa", follow_nowhere, NULL);
}

HOST_TEST(sim, memory_lasts)
{
	void *first = NULL;
	u64 *object;
	u64 i;

	/* More than there is, so that freed memory comes again: the oldest. */
	for (i = 0; i < MEM_FRAMES; i++) {
		struct ptdesc *pt = pagetable_alloc(GFP_KERNEL, 0);
		u64 *table = ptdesc_address(pt);

		if (!i)
			first = table;
		HOST_CHECK(i != 1 || table != first);
		__pagetable_free(pt);
	}
	for (i = 0; i < MEM_BLOCKS; i++) {
		object = kzalloc(sizeof(*object), GFP_KERNEL);
		HOST_EQ(*object, 0);
		*object = 1;
		kfree(object);
	}
}

HOST_TEST(sim, allocation_failure)
{
	struct ptdesc *pt;
	void *p;

	mem_fail_at(2);
	p = kzalloc(8, GFP_KERNEL);
	HOST_CHECK(p);
	HOST_CHECK(!pagetable_alloc(GFP_KERNEL, 0));
	pt = pagetable_alloc(GFP_KERNEL, 0);
	HOST_CHECK(pt);
	__pagetable_free(pt);
	kfree(p);
	mem_fail_at(1);
	mem_fail_at(-1);
	p = kzalloc(8, GFP_KERNEL);
	HOST_CHECK(p);
	kfree(p);
}

HOST_TEST(sim, data_pages)
{
	u64 pfn = DATA_PFN_BASE + 1000;

	HOST_CHECK(!data_is_frame(DATA_PFN_BASE - 1));
	HOST_CHECK(!data_is_frame(DATA_PFN_BASE + DATA_FRAMES));
	data_set_dirty(pfn);
	HOST_CHECK(data_is_dirty(pfn));
	data_hand_back(pfn - 1, 600);
	HOST_CHECK(!data_is_dirty(pfn));
	HOST_EQ(data_generation(pfn + 598), 1);
	HOST_EQ(data_generation(pfn + 599), 0);
	data_set_dirty(pfn);
	HOST_EQ(data_generation(pfn), 1);
	data_reset();
	HOST_EQ(data_generation(pfn), 0);
	HOST_CHECK(!data_is_dirty(pfn));
}

static void drop_too_often(void *arg)
{
	refcount_t refs;

	refcount_set(&refs, 1);
	HOST_CHECK(refcount_dec_and_test(&refs));
	HOST_CHECK(!refcount_inc_not_zero(&refs));
	refcount_inc(&refs);
}

HOST_TEST(sim, refcount)
{
	host_must_fail("warn", drop_too_often, NULL);
}

/*
 * Speed, as a note: schedules of a case that does next to nothing.
 */
HOST_TEST(sim, random_series)
{
	static const struct sim_case c = {
		.name = "random",
		.nr_tasks = 2,
		.setup = world_init,
		.task = { locked_increment, locked_increment },
		.check = check_two,
	};
	struct sim_stats first, again;

	sim_explore_random(&c, 1, 20000, &first);
	sim_explore_random(&c, 1, 20000, &again);
	HOST_EQ(first.points, again.points);
}

#ifdef HOST_ASAN
int __lsan_do_recoverable_leak_check(void);

static void lose_memory(void *arg)
{
	void *volatile lost = malloc(77);

	lost = NULL;
	if (__lsan_do_recoverable_leak_check())
		host_fail("leak", "%p is lost, and that is known", lost);
}

/* The sanitizer that main.c asks at the end of each test is awake. */
HOST_TEST(sim, lost_memory)
{
	host_must_fail("leak", lose_memory, NULL);
}
#endif
