// SPDX-License-Identifier: GPL-2.0
/*
 * The one way to fail: a line on stderr that names what went wrong, exit 1.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm.h"

__printf(1, 0) noreturn
static void fail(const char *format, va_list arguments, int error)
{
	static atomic_flag failing = ATOMIC_FLAG_INIT;
	char line[512];

	/* Two vCPUs may fail for the same reason. */
	while (atomic_flag_test_and_set(&failing))
		pause();
	vsnprintf(line, sizeof(line), format, arguments);
	console_restore();
	if (error)
		fprintf(stderr, "vmm: %s: %s\n", line, strerror(error));
	else
		fprintf(stderr, "vmm: %s\n", line);
	exit(STATUS_ERROR);
}

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail(format, arguments, 0);
}

void die_errno(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	fail(format, arguments, error);
}

int kvm_call(int fd, unsigned long request, const char *name, void *argument)
{
	int result = ioctl(fd, request, argument);

	if (result < 0)
		die_errno("%s", name);
	return result;
}
