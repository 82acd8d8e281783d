/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-in: lists that are read under RCU while a lock holder changes them.
 *
 * Every link that a reader follows is a marked access.
 */
#ifndef HOST_LINUX_RCULIST_H
#define HOST_LINUX_RCULIST_H

#include <linux/list.h>
#include <linux/rcupdate.h>

static inline void __host_list_publish(struct list_head *prev,
				       struct list_head *entry,
				       struct list_head *next)
{
	entry->next = next;
	entry->prev = prev;
	rcu_assign_pointer(prev->next, entry);
	next->prev = entry;
}

static inline void list_add_rcu(struct list_head *entry,
				struct list_head *head)
{
	__host_list_publish(head, entry, head->next);
}

static inline void list_add_tail_rcu(struct list_head *entry,
				     struct list_head *head)
{
	__host_list_publish(head->prev, entry, head);
}

/* A reader at @entry still finds its way on. */
static inline void list_del_rcu(struct list_head *entry)
{
	__host_list_unlink(entry);
	entry->prev = LIST_POISON2;
}

#define list_next_rcu(list)	(READ_ONCE((list)->next))
#define list_entry_rcu(ptr, type, member)				\
	container_of(READ_ONCE(ptr), type, member)

#define list_next_or_null_rcu(head, ptr, type, member) ({		\
	struct list_head *__host_head = (head);				\
	struct list_head *__host_ptr = (ptr);				\
	struct list_head *__host_next = list_next_rcu(__host_ptr);	\
									\
	__host_next == __host_head ? NULL :				\
		container_of(__host_next, type, member); })

#define list_first_or_null_rcu(head, type, member)			\
	list_next_or_null_rcu(head, head, type, member)

#define list_for_each_entry_rcu(pos, head, member, ...)			\
	for (pos = list_entry_rcu((head)->next, __typeof__(*pos),	\
				  member);				\
	     !list_entry_is_head(pos, head, member);			\
	     pos = list_entry_rcu(pos->member.next, __typeof__(*pos),	\
				  member))

#endif /* HOST_LINUX_RCULIST_H */
