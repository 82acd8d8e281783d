// SPDX-License-Identifier: GPL-2.0
/* How a test fails, and what it can say; all without allocating memory. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/explore.h"
#include "test.h"

static struct host_shared local_shared;

struct host_run host_run = {
	.seed = HOST_DEFAULT_SEED,
	.effort = 1,
	.shared = &local_shared,
};

struct host_test *host_tests;

/* In the order of the files, and of the tests in a file. */
void host_register(struct host_test *test)
{
	struct host_test **last = &host_tests;

	while (*last)
		last = &(*last)->next;
	*last = test;
}

u64 host_seed(void)
{
	return host_run.seed;
}

unsigned int host_seconds(unsigned int dflt)
{
	return host_run.seconds ?: dflt;
}

bool host_verbose(void)
{
	return host_run.verbose;
}

void host_count_schedules(u64 nr)
{
	__atomic_fetch_add(&host_run.shared->schedules, nr, __ATOMIC_RELAXED);
}

#ifdef HOST_COV
int __llvm_profile_write_file(void);
#endif

void host_exit(int status)
{
	fflush(NULL);
#ifdef HOST_COV
	__llvm_profile_write_file();
#endif
	_exit(status);
}

static void put(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= n;
	}
}

/* A failure may come from any depth and any stack, so the buffer is static. */
__printf(1, 2)
static void say(const char *fmt, ...)
{
	static char buf[65536];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);
	put(buf, n < (int)sizeof(buf) ? n : (int)sizeof(buf) - 1);
}

void host_note(const char *fmt, ...)
{
	char buf[1024];
	va_list args;

	if (host_run.quiet)
		return;
	va_start(args, fmt);
	vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);
	say("# %s\n", buf);
}

void host_skip(const char *fmt, ...)
{
	char buf[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);
	say("# SKIP %s\n", buf);
	host_exit(HOST_EXIT_SKIP);
}

/* What failed and how to see it again. */
static void report(const char *check, const char *message)
{
	const char *case_name = NULL;
	static char schedule[32768];
	static bool reported;
	bool explored = false;

	/* A sanitizer reports, and then aborts. */
	if (reported)
		return;
	reported = true;
	snprintf(host_run.shared->check, sizeof(host_run.shared->check), "%s",
		 check);
	if (host_run.quiet)
		return;
#ifdef HOST_SIM
	explored = sim_describe(schedule, sizeof(schedule), &case_name);
#endif
	say("# FAILED %s%s%s\n", host_run.test ?: "outside of tests",
	    case_name ? ", case " : "", case_name ?: "");
	say("# check: %s\n# %s\n", check, message);
	if (!host_run.test)
		return;
	say("# repeat: %s --test %s --seed %llu%s%s\n", host_run.program,
	    host_run.test, (unsigned long long)host_run.seed,
	    explored ? " --schedule " : "", explored ? schedule : "");
}

void host_fail(const char *check, const char *fmt, ...)
{
	static char message[4096];
	static int failing;
	va_list args;

	/* Only the first failure counts: of threads, or while it is reported. */
	if (__atomic_exchange_n(&failing, 1, __ATOMIC_ACQ_REL)) {
#ifndef HOST_THREADS
		_exit(HOST_EXIT_FAIL);
#endif
		for (;;)
			pause();
	}
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	fflush(NULL);
	report(check, message);
#ifdef HOST_FUZZ
	/* So that the fuzzer keeps the input. */
	abort();
#else
	host_exit(HOST_EXIT_FAIL);
#endif
}

void host_warn(const char *file, int line, const char *cond)
{
	host_fail("warn", "%s:%d: %s", file, line, cond);
}

static void crashed(int sig)
{
	host_fail(sig == SIGALRM ? "timeout" : "crash", "%s", strsignal(sig));
}

#if defined(HOST_ASAN) || defined(HOST_THREADS)
void __sanitizer_set_death_callback(void (*callback)(void));

static void sanitizer_died(void)
{
	report("sanitizer", "see above");
}
#endif

#ifdef HOST_ASAN
static void aborted(int sig)
{
	sanitizer_died();
	_exit(HOST_EXIT_FAIL);
}
#endif

void host_catch_crashes(void)
{
	/* The stack may be what is broken. */
	static char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction act = {
		.sa_handler = crashed,
		.sa_flags = SA_ONSTACK | SA_NODEFER,
	};

	sigaction(SIGALRM, &act, NULL);
#if defined(HOST_ASAN) || defined(HOST_THREADS)
	__sanitizer_set_death_callback(sanitizer_died);
#endif
#ifdef HOST_ASAN
	act.sa_handler = aborted;
	sigaction(SIGABRT, &act, NULL);
#endif
#if !defined(HOST_ASAN) && !defined(HOST_THREADS)
	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGILL, &act, NULL);
	sigaction(SIGFPE, &act, NULL);
	sigaction(SIGABRT, &act, NULL);
#else
	(void)alt;
#endif
}

void host_must_fail(const char *check, void (*fn)(void *arg), void *arg)
{
	struct host_shared *shared = mmap(NULL, sizeof(*shared),
					  PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (shared == MAP_FAILED)
		host_fail("host", "no shared memory");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		host_fail("host", "can't fork");
	if (!pid) {
		host_run.shared = shared;
		host_run.quiet = true;
		host_run.schedule = NULL;
		fn(arg);
		host_exit(HOST_EXIT_PASS);
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	host_count_schedules(shared->schedules);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != HOST_EXIT_FAIL)
		host_fail("must-fail", "what must fail did not (status %#x)",
			  status);
	if (check && strcmp(check, shared->check))
		host_fail("must-fail", "failed by check %s, not %s",
			  shared->check, check);
	munmap(shared, sizeof(*shared));
}
