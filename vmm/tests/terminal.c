// SPDX-License-Identifier: GPL-2.0
/*
 * Run a command on a terminal of its own, do something to it when it has
 * printed a word, and see that the terminal is then as it was.
 *
 *   terminal WORD ACTION COMMAND [ARGUMENT]...
 *
 * ACTION is a signal's number, or what is typed, where ^X is Ctrl-X.  Prints
 * what the command printed; exits with its status, 128 and more if a signal
 * ended it, or 99 if the terminal was not raw meanwhile or is raw afterwards.
 */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define TERMINAL_BAD	99

static char output[1 << 20];
static size_t used;

/* More output, or false when there is none for that many milliseconds. */
static int more(int terminal, int timeout)
{
	struct pollfd input = { .fd = terminal, .events = POLLIN };
	ssize_t count;

	if (used == sizeof(output) - 1 || poll(&input, 1, timeout) <= 0)
		return 0;
	count = read(terminal, output + used, sizeof(output) - 1 - used);
	if (count <= 0)
		return 0;
	fwrite(output + used, 1, count, stdout);
	fflush(stdout);
	used += count;
	return 1;
}

static int is_raw(int terminal)
{
	struct termios mode;

	if (tcgetattr(terminal, &mode)) {
		perror("terminal: tcgetattr");
		exit(TERMINAL_BAD);
	}
	return !(mode.c_lflag & ICANON) && !(mode.c_lflag & ECHO);
}

static void act(int terminal, pid_t child, const char *action)
{
	char typed;

	if (*action >= '0' && *action <= '9') {
		kill(child, atoi(action));
		return;
	}
	for (; *action; action++) {
		typed = *action;
		if (typed == '^' && action[1])
			typed = *++action & 0x1f;
		if (write(terminal, &typed, 1) != 1)
			perror("terminal: write");
	}
}

int main(int argc, char **argv)
{
	int terminal, slave, status, raw;
	pid_t child;

	if (argc < 4 || openpty(&terminal, &slave, NULL, NULL, NULL)) {
		fprintf(stderr, "terminal: no pty, or no command\n");
		return 2;
	}
	child = fork();
	if (!child) {
		login_tty(slave);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	while (!strstr(output, argv[1]))
		if (!more(terminal, 300000))
			break;
	raw = is_raw(slave);
	act(terminal, child, argv[2]);
	/* The slave is open here, so there is no end of it to wait for. */
	while (!waitpid(child, &status, WNOHANG))
		more(terminal, 100);
	while (more(terminal, 100))
		;
	if (!raw || is_raw(slave))
		return TERMINAL_BAD;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}
