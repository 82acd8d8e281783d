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
 * @start: how much of it @limit wants to see, in bytes
 * @limit: called once, with as much as there is: how large the file may be.  Need
 *	not return if it is not what it is to be
 * @data: for @limit
 * @size: set to its size in bytes
 *
 * What is not right may also be large, or have no end.
 *
 * Return: the contents, which are never freed.
 */
u8 *read_file(const char *path, const char *what, size_t start,
	      u64 (*limit)(const char *path, const struct image *file,
			   const void *data), const void *data, size_t *size)
{
	struct image file = {};
	u64 most = start;
	size_t room = 0;
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die_errno("%s %s", what, path);
	do {
		if (file.size == room) {
			room = room ? room * 2 : 4 * MIB;
			file.data = realloc(file.data, room);
			if (!file.data)
				die("%s %s: too large", what, path);
		}
		got = read(fd, file.data + file.size, room - file.size);
		if (got < 0)
			die_errno("%s %s", what, path);
		file.size += got;
		if (limit && (!got || file.size >= start)) {
			most = limit(path, &file, data);
			limit = NULL;
		}
		if (!limit && file.size > most)
			die("%s %s: more than %llu bytes", what, path, most);
	} while (got);
	close(fd);
	*size = file.size;
	return file.data;
}
