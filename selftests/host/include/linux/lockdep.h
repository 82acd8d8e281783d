/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: assertions about held locks, checked except where the engine is
 * measured.
 */
#ifndef HOST_LINUX_LOCKDEP_H
#define HOST_LINUX_LOCKDEP_H

#include <linux/spinlock.h>

enum host_hold {
	HOST_HELD,
	HOST_HELD_READ,
	HOST_HELD_WRITE,
};

#ifdef HOST_BENCH

#define lockdep_is_held(l)		1
#define lockdep_assert_held(l)		((void)(l))
#define lockdep_assert_held_read(l)	((void)(l))
#define lockdep_assert_held_write(l)	((void)(l))
#define lockdep_assert_not_held(l)	((void)(l))
#define lockdep_assert(cond)		((void)0)

#else

bool host_spin_held(const spinlock_t *lock, enum host_hold how);
bool host_rw_held(const rwlock_t *lock, enum host_hold how);
void host_lockdep(bool ok, const char *file, int line, const char *what);

#define __host_held(l, how)						\
	_Generic((l),							\
		 spinlock_t *: host_spin_held,				\
		 const spinlock_t *: host_spin_held,			\
		 rwlock_t *: host_rw_held,				\
		 const rwlock_t *: host_rw_held)(l, how)

#define lockdep_assert(cond)						\
	host_lockdep(cond, __FILE__, __LINE__, #cond)
#define lockdep_is_held(l)		__host_held(l, HOST_HELD)
#define lockdep_assert_held(l)						\
	host_lockdep(__host_held(l, HOST_HELD), __FILE__, __LINE__,	\
		     #l " is not held")
#define lockdep_assert_held_read(l)					\
	host_lockdep(__host_held(l, HOST_HELD_READ), __FILE__, __LINE__,\
		     #l " is not held for reading")
#define lockdep_assert_held_write(l)					\
	host_lockdep(__host_held(l, HOST_HELD_WRITE), __FILE__,		\
		     __LINE__, #l " is not held for writing")
#define lockdep_assert_not_held(l)					\
	host_lockdep(!__host_held(l, HOST_HELD), __FILE__, __LINE__,	\
		     #l " is held")

#endif

#endif /* HOST_LINUX_LOCKDEP_H */
