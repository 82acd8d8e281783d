// SPDX-License-Identifier: GPL-2.0
/*
 * The terminal: raw while the guest runs, as it was on every exit; what is
 * typed goes to the serial port.  The main thread waits here for the end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm.h"

#define ESCAPE	1		/* Ctrl-A */

/* Signals that end us in good order, if nobody had them ignored. */
static const int end_signals[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2,
	SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU,
};

/* Signals that leave no time for that. */
static const int fatal_signals[] = {
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGPIPE, SIGSYS, SIGTRAP,
	SIGXFSZ,
};

static struct termios saved;
static atomic_bool raw;
static int signals;		/* signalfd */

static void set_raw(void)
{
	struct termios mode;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved))
		return;
	mode = saved;
	cfmakeraw(&mode);
	atomic_store(&raw, true);
	tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

/* Also called from signal handlers, and more than once. */
void console_restore(void)
{
	if (atomic_exchange(&raw, false))
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void on_fatal_signal(int signal)
{
	console_restore();
	/* SA_RESETHAND: this time it does what it does. */
	raise(signal);
}

/* Leave signals out of a set that are for whichever thread gets them. */
void console_keep_fatal(sigset_t *set)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		sigdelset(set, fatal_signals[i]);
}

void console_start(void)
{
	struct sigaction fatal = {
		.sa_handler = on_fatal_signal,
		.sa_flags = SA_RESETHAND,
	};
	struct sigaction before;
	sigset_t set;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		sigaction(fatal_signals[i], &fatal, NULL);

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	for (i = 0; i < ARRAY_SIZE(end_signals); i++) {
		sigaction(end_signals[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaddset(&set, end_signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		die_errno("signalfd");
	set_raw();
}

/**
 * console_write - a byte from the guest to our output
 * @vm: the VM
 * @byte: the byte
 *
 * Waits until it can be written, or the guest has ended.
 */
void console_write(struct vm *vm, u8 byte)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (!atomic_load(&vm->ended)) {
		if (write(STDOUT_FILENO, &byte, 1) == 1)
			return;
		if (errno == EAGAIN)
			poll(&out, 1, -1);
		else if (errno != EINTR)
			die_errno("writing to stdout");
	}
}

static void take_signal(struct vm *vm)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTSTP) {
		console_restore();
		raise(SIGSTOP);
		set_raw();
	} else if (vm_end(vm, 128 + info.ssi_signo)) {
		vm->ending.signal = info.ssi_signo;
	}
}

/* What is left of what was typed once the escapes are out. */
static unsigned int take_escapes(struct vm *vm, u8 *data, unsigned int count)
{
	static bool escaped;
	unsigned int i, kept = 0;

	for (i = 0; i < count; i++) {
		if (!escaped && data[i] == ESCAPE) {
			escaped = true;
			continue;
		}
		if (escaped && data[i] == 'x')
			vm_end(vm, STATUS_QUIT);
		else if (escaped && data[i] == 'a')
			data[kept++] = ESCAPE;
		else
			data[kept++] = data[i];
		escaped = false;
	}
	return kept;
}

/* Returns false when there will be no more. */
static bool take_input(struct vm *vm, unsigned int room)
{
	u8 data[SERIAL_FIFO];
	ssize_t count;

	count = read(STDIN_FILENO, data, room);
	if (count < 0)
		return errno == EINTR || errno == EAGAIN;
	if (!count)
		return false;
	if (atomic_load(&raw))
		count = take_escapes(vm, data, count);
	serial_receive(vm, data, count);
	return true;
}

/* Until the guest ends: move what is typed, and mind signals. */
void console_run(struct vm *vm)
{
	bool open = true;

	while (!atomic_load(&vm->ended)) {
		unsigned int room = open ? serial_room(&vm->serial) : 0;
		struct pollfd fds[] = {
			{ .fd = vm->event, .events = POLLIN },
			{ .fd = signals, .events = POLLIN },
			{ .fd = room ? STDIN_FILENO : -1, .events = POLLIN },
		};
		u64 events;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			die_errno("poll");
		if (fds[0].revents &&
		    read(vm->event, &events, sizeof(events)) < 0 &&
		    errno != EAGAIN)
			die_errno("eventfd");
		if (fds[1].revents)
			take_signal(vm);
		if (fds[2].revents)
			open = take_input(vm, room);
	}
}
