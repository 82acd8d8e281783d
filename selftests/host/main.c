// SPDX-License-Identifier: GPL-2.0
/*
 * The test program: its options, and running each test in a process of its own.
 *
 * Results are in KTAP, see Documentation/dev-tools/ktap.rst in the kernel.
 */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/rcupdate.h>
#include "sim/explore.h"
#include "sim/mem.h"
#include "test.h"

/* A test that takes longer hangs; some more for one that can't even fail. */
#define TEST_SECONDS	120
#define KILL_SECONDS	10
#define MAX_TESTS	1024
#define MAX_JOBS	64

/* A running test: where its output goes and when it has to be killed. */
struct job {
	struct host_test *test;
	pid_t pid;
	int output;
	time_t deadline;
};

static struct host_test *selected[MAX_TESTS];
static unsigned int nr_selected;
static struct job jobs[MAX_JOBS];
static unsigned int max_jobs;
static bool nofork;
static bool list;

static unsigned int nr_ended, nr_passed, nr_failed, nr_skipped;

/* Defaults of the sanitizers; their own variables in the environment win. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_stack_use_after_return=0";
}

#ifdef HOST_ASAN
/* The abort is what fail.c sees of it. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:abort_on_error=1";
}
#endif

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "halt_on_error=1:exitcode=1:report_thread_leaks=0";
}

__noreturn __printf(1, 2)
static void usage_error(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "altmmu-host: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(HOST_EXIT_USAGE);
}

static void usage(void)
{
	printf("usage: %s [OPTION]...\n"
	       "  --list          list the tests and exit\n"
	       "  --test NAME     run this test, group, or glob; may be repeated\n"
	       "  --seed N        of everything drawn at random\n"
	       "  --schedule STR  replay a schedule that a failure has printed\n"
	       "  --seconds N     for tests that can take any time\n"
	       "  --effort N      times as many schedules are not too many\n"
	       "  --jobs N        tests to run at the same time\n"
	       "  --nofork        run the one test in this process\n"
	       "  --verbose       say more\n", host_run.program);
}

static u64 parse_number(const char *option, const char *arg, u64 min, u64 max)
{
	char *end;
	u64 n;

	errno = 0;
	n = strtoull(arg, &end, 0);
	if (errno || *end || *arg < '0' || *arg > '9' || n < min || n > max)
		usage_error("%s: '%s' is not a number from %llu to %llu",
			    option, arg, (unsigned long long)min,
			    (unsigned long long)max);
	return n;
}

/* Whether @pattern means @name: the name, its group, or a glob. */
static bool name_matches(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (!strncmp(pattern, name, len) && name[len] == '.')
		return true;
	return !fnmatch(pattern, name, 0);
}

static void select_test(struct host_test *test)
{
	unsigned int i;

	for (i = 0; i < nr_selected; i++) {
		if (selected[i] == test)
			return;
	}
	if (nr_selected == MAX_TESTS)
		usage_error("more than %d tests", MAX_TESTS);
	selected[nr_selected++] = test;
}

static void select_tests(const char *pattern)
{
	struct host_test *test;
	bool found = false;

	for (test = host_tests; test; test = test->next) {
		if (!name_matches(pattern, test->name))
			continue;
		found = true;
		select_test(test);
	}
	if (!found)
		usage_error("no test is called '%s'", pattern);
}

static void parse_options(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		const char *option = argv[i];
		const char *arg = argv[i + 1];

		if (!strcmp(option, "--list")) {
			list = true;
			continue;
		} else if (!strcmp(option, "--nofork")) {
			nofork = true;
			continue;
		} else if (!strcmp(option, "--verbose")) {
			host_run.verbose = true;
			continue;
		} else if (!strcmp(option, "--help")) {
			usage();
			exit(HOST_EXIT_PASS);
		}

		if (strcmp(option, "--test") && strcmp(option, "--seed") &&
		    strcmp(option, "--schedule") &&
		    strcmp(option, "--seconds") &&
		    strcmp(option, "--effort") && strcmp(option, "--jobs"))
			usage_error("unknown option '%s' (try --help)", option);
		if (!arg)
			usage_error("%s needs an argument", option);
		i++;
		if (!strcmp(option, "--test"))
			select_tests(arg);
		else if (!strcmp(option, "--seed"))
			host_run.seed = parse_number(option, arg, 0, ~0ULL);
		else if (!strcmp(option, "--seconds"))
			host_run.seconds = parse_number(option, arg, 1, 86400);
		else if (!strcmp(option, "--effort"))
			host_run.effort = parse_number(option, arg, 1, 1000);
		else if (!strcmp(option, "--jobs"))
			max_jobs = parse_number(option, arg, 1, MAX_JOBS);
		else
			host_run.schedule = arg;
	}

	if (host_run.schedule) {
#ifdef HOST_SIM
		if (!sim_schedule_valid(host_run.schedule))
			usage_error("--schedule: '%s' is not a schedule",
				    host_run.schedule);
#else
		usage_error("--schedule: not in this build");
#endif
		if (nr_selected != 1)
			usage_error("--schedule needs one --test");
	}
	if (nofork && nr_selected != 1)
		usage_error("--nofork needs one --test");
}

#ifdef HOST_ASAN
int __lsan_do_recoverable_leak_check(void);

/* A child does not exit in the way that makes the sanitizer look by itself. */
static void check_heap(void)
{
	if (__lsan_do_recoverable_leak_check())
		host_fail("leak", "the leak sanitizer has found memory that nothing points to");
}
#else
static void check_heap(void)
{
}
#endif

static void run_test(struct host_test *test)
{
	host_run.test = test->name;
	mem_reset();
	test->run();
	rcu_barrier();
	if (mem_tables_in_use() || mem_objects_in_use())
		host_fail("leak", "%llu tables and %llu objects are left",
			  (unsigned long long)mem_tables_in_use(),
			  (unsigned long long)mem_objects_in_use());
	check_heap();
}

static unsigned int time_limit(void)
{
	return TEST_SECONDS * host_run.effort + host_run.seconds;
}

static void start(struct job *job, struct host_test *test)
{
	job->test = test;
	job->deadline = time(NULL) + time_limit() + KILL_SECONDS;
	job->output = memfd_create("output", 0);
	if (job->output < 0) {
		perror("altmmu-host: memfd_create");
		exit(HOST_EXIT_FAIL);
	}
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0) {
		perror("altmmu-host: fork");
		exit(HOST_EXIT_FAIL);
	}
	if (!job->pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(job->output, STDOUT_FILENO);
		dup2(job->output, STDERR_FILENO);
		host_catch_crashes();
		alarm(time_limit());
		run_test(test);
		host_exit(HOST_EXIT_PASS);
	}
}

/* Print what a test has written; all of it as diagnostics. */
static void print_output(int fd, char *skip, size_t skip_size)
{
	static const char mark[] = "# SKIP ";
	FILE *f = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	rewind(f);
	while ((len = getline(&line, &size, f)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = 0;
		if (!strncmp(line, mark, strlen(mark)))
			snprintf(skip, skip_size, "%s", line + strlen(mark));
		else
			printf("%s%s\n", *line == '#' ? "" : "# ", line);
	}
	free(line);
	fclose(f);
}

static void ended(struct job *job, int status)
{
	const char *name = job->test->name;
	char skip[256] = "";
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	print_output(job->output, skip, sizeof(skip));
	nr_ended++;
	if (code == HOST_EXIT_PASS) {
		nr_passed++;
		printf("ok %u %s\n", nr_ended, name);
	} else if (code == HOST_EXIT_SKIP) {
		nr_skipped++;
		printf("ok %u %s # SKIP %s\n", nr_ended, name, skip);
	} else {
		nr_failed++;
		if (WIFSIGNALED(status))
			printf("# FAILED %s\n# check: signal\n# ended by signal %d\n",
			       name, WTERMSIG(status));
		printf("not ok %u %s\n", nr_ended, name);
	}
	fflush(stdout);
	job->pid = 0;
}

/* Wait until a test has ended, or for a second. */
static void wait_for_tests(void)
{
	struct timespec second = { .tv_sec = 1 };
	sigset_t set;
	unsigned int i;
	int status;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigtimedwait(&set, NULL, &second);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < max_jobs; i++) {
			if (jobs[i].pid == pid)
				ended(&jobs[i], status);
		}
	}
	for (i = 0; i < max_jobs; i++) {
		if (jobs[i].pid && time(NULL) > jobs[i].deadline)
			kill(jobs[i].pid, SIGKILL);
	}
}

static void run_tests(void)
{
	unsigned int started = 0;
	sigset_t set;
	unsigned int i;

	/* Blocked, so that none is lost before it is waited for. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);

	while (nr_ended < nr_selected) {
		for (i = 0; i < max_jobs && started < nr_selected; i++) {
			if (!jobs[i].pid)
				start(&jobs[i], selected[started++]);
		}
		wait_for_tests();
	}
}

int main(int argc, char **argv)
{
	struct host_test *test;

	host_run.program = argv[0];
	parse_options(argc, argv);
	if (!nr_selected) {
		for (test = host_tests; test; test = test->next)
			select_test(test);
	}
	if (list) {
		unsigned int i;

		for (i = 0; i < nr_selected; i++)
			printf("%s\n", selected[i]->name);
		return HOST_EXIT_PASS;
	}
	if (!max_jobs) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		max_jobs = cpus < 1 ? 1 : cpus > MAX_JOBS ? MAX_JOBS : cpus;
	}

	host_run.shared = mmap(NULL, sizeof(*host_run.shared),
			       PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (host_run.shared == MAP_FAILED) {
		perror("altmmu-host: mmap");
		return HOST_EXIT_FAIL;
	}
	mem_init();

	printf("KTAP version 1\n1..%u\n", nr_selected);
	if (nofork) {
		run_test(selected[0]);
		printf("ok 1 %s\n", selected[0]->name);
		nr_passed++;
	} else {
		run_tests();
	}
	if (host_run.shared->schedules)
		printf("# %llu schedules explored\n",
		       (unsigned long long)host_run.shared->schedules);
	printf("%u passed, %u failed, %u skipped\n", nr_passed, nr_failed,
	       nr_skipped);
	return nr_failed ? HOST_EXIT_FAIL : HOST_EXIT_PASS;
}
