/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tests that run in user space: how they are written and how they fail.
 *
 * sim/fail.c has the failing; main.c runs the tests.
 */
#ifndef HOST_TEST_H
#define HOST_TEST_H

#include <stdbool.h>

#include <linux/compiler_attributes.h>
#include <linux/types.h>

/* A build in which all is slower: of what there is much of, less is tried. */
#if defined(HOST_ASAN) || defined(HOST_COV)
#define HOST_SLOW
#endif

#define HOST_DEFAULT_SEED	0x616c746d6d75ULL

/**
 * struct host_test - a test, made by HOST_TEST()
 * @name:	"group.name"
 * @run:	returns if the test passed
 * @next:	in the list of all
 */
struct host_test {
	const char *name;
	void (*run)(void);
	struct host_test *next;
};

void host_register(struct host_test *test);

/*
 * HOST_TEST(sim, lost_update) { ... } is the test "sim.lost_update".  It starts
 * with memory reset and must not leave anything allocated.
 */
#define HOST_TEST(group, id)						\
	static void host_run_##group##_##id(void);			\
	static struct host_test host_test_##group##_##id = {		\
		.name = #group "." #id,					\
		.run = host_run_##group##_##id,				\
	};								\
	__attribute__((__constructor__))				\
	static void host_register_##group##_##id(void)			\
	{								\
		host_register(&host_test_##group##_##id);		\
	}								\
	static void host_run_##group##_##id(void)

/* What --seed says, or HOST_DEFAULT_SEED. */
u64 host_seed(void);
/* How long a test that can take any time should take: what --seconds says. */
unsigned int host_seconds(unsigned int dflt);
/* --verbose was given. */
bool host_verbose(void);

/* A line for the reader of the results. */
__printf(1, 2)
void host_note(const char *fmt, ...);

/* End the test: it can't be run here. */
__noreturn __printf(1, 2)
void host_skip(const char *fmt, ...);

/*
 * End the test: failed.  @check is one word for the rule that was broken;
 * prints it with the test's name and the command that repeats the failure.
 */
__noreturn __cold __printf(2, 3)
void host_fail(const char *check, const char *fmt, ...);

/* A broken WARN_ON(), check "warn". */
__noreturn __cold
void host_warn(const char *file, int line, const char *cond);

/*
 * @fn must fail with @check (any, if NULL); it runs in a process of its own,
 * so that what it did to memory is not seen.
 */
void host_must_fail(const char *check, void (*fn)(void *arg), void *arg);

#define HOST_CHECK(cond) do {						\
	if (!(cond))							\
		host_fail("assert", "%s:%d: %s", __FILE__, __LINE__,	\
			  #cond);					\
} while (0)

/* Integers of any kind, shown as signed and in hex. */
#define HOST_EQ(a, b) do {						\
	long long __host_l = (long long)(a);				\
	long long __host_r = (long long)(b);				\
									\
	if (__host_l != __host_r)					\
		host_fail("assert",					\
			  "%s:%d: %s is %lld (%#llx), %s is %lld (%#llx)", \
			  __FILE__, __LINE__, #a, __host_l,		\
			  (unsigned long long)__host_l, #b, __host_r,	\
			  (unsigned long long)__host_r);		\
} while (0)

/*
 * Between main.c, sim/fail.c and the explorer.
 */

struct host_shared {
	u64 schedules;		/* explored by all tests, as of HOST_COUNT() */
	char check[32];		/* of the last failure */
};

/**
 * struct host_run - what the process is at
 * @program:	name to run it by
 * @test:	the running test, or NULL
 * @seed:	in force
 * @schedule:	to be replayed, or NULL
 * @seconds:	0: the test's own
 * @effort:	times as many schedules are not too many to explore
 * @verbose:	say more
 * @quiet:	failures are expected, say nothing
 * @shared:	with the process that started this one
 */
struct host_run {
	const char *program;
	const char *test;
	u64 seed;
	const char *schedule;
	unsigned int seconds;
	unsigned int effort;
	bool verbose;
	bool quiet;
	struct host_shared *shared;
};

extern struct host_run host_run;
extern struct host_test *host_tests;

#define HOST_EXIT_PASS	0
#define HOST_EXIT_FAIL	1
#define HOST_EXIT_USAGE	2
#define HOST_EXIT_SKIP	4

/* Ends a child, without what exit() would do for its parent too. */
__noreturn void host_exit(int status);
/* Make crashes of this process failures that say how to repeat them. */
void host_catch_crashes(void);
/* Add to the number of schedules explored. */
void host_count_schedules(u64 nr);

#endif /* HOST_TEST_H */
