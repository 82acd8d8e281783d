// SPDX-License-Identifier: GPL-2.0
/*
 * Reading a file into memory.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm.h"

/**
 * read_file - read all of a file, of whatever kind
 * @path: where it is
 * @what: what it is to be, for the line that says that it can't be read
 * @size: set to its size in bytes
 *
 * Return: the contents, which are never freed.
 */
u8 *read_file(const char *path, const char *what, size_t *size)
{
	size_t room = 0, used = 0;
	ssize_t got;
	u8 *data = NULL;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die_errno("%s %s", what, path);
	do {
		if (used == room) {
			room = room ? room * 2 : 4 * MIB;
			data = realloc(data, room);
			if (!data)
				die("%s %s: too large", what, path);
		}
		got = read(fd, data + used, room - used);
		if (got < 0)
			die_errno("%s %s", what, path);
		used += got;
	} while (got);
	close(fd);
	*size = used;
	return data;
}
