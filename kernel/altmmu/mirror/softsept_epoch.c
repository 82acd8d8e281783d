// SPDX-License-Identifier: GPL-2.0
/*
 * Software private page tables: epochs, vCPUs that come and go, and what their
 * guest accepts.
 *
 * That a vCPU counts in, with the epoch that it reads, and that the epoch moves
 * on, or the gate is closed, exclude each other by the epoch lock.  So nobody is
 * ever counted into an epoch that is over, and nobody at all while a window is
 * open.
 */
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>

#include "env.h"
#include "softsept_internal.h"

/* The vCPUs that are inside with an epoch: @epoch is this or the one before. */
static atomic_t *softsept_inside(struct softsept *s, u64 epoch)
{
	return &s->inside[epoch & 1];
}

/*
 * Pairs with softsept_open_window() by the epoch lock: whoever closes the gate
 * after we have looked at it finds us counted in, and the kick that follows gets
 * us out, since the vCPU has said that it is in the guest before it called us.
 * And with softsept_track() and all that was blocked before it: with the new
 * epoch a vCPU also sees the entries that were blocked in the old one, after it
 * has flushed.
 */
bool softsept_enter(struct softsept *s, struct softsept_vcpu *v, bool *flush)
{
	bool open;

	raw_spin_lock(&s->epoch_lock);
	open = !atomic_read(&s->gate);
	if (open) {
		*flush = v->epoch != s->epoch;
		v->epoch = s->epoch;
		v->inside = true;
		atomic_inc(softsept_inside(s, v->epoch));
	}
	raw_spin_unlock(&s->epoch_lock);
	return open;
}

void softsept_exit(struct softsept *s, struct softsept_vcpu *v)
{
	v->inside = false;
	/*
	 * What the vCPU did in the guest is done before others see it outside.
	 * Pairs with atomic_read_acquire() in softsept_is_tracked() and
	 * softsept_track().
	 */
	smp_mb__before_atomic();
	atomic_dec(softsept_inside(s, v->epoch));
}

/*
 * Whether no vCPU has anything cached of what was blocked when @entry got its
 * stamp.  Of the stamp only the lower bits are there, so an age of 0 or 1 may be
 * one that has come round.  Such an entry is taken for not tracked, or for tracked
 * only if nobody is inside, until another track makes it older.  Any other age is
 * at least what it seems.
 */
bool softsept_is_tracked(const struct softsept *s, u64 entry)
{
	u64 epoch = READ_ONCE(s->epoch);
	u64 age = (epoch - FIELD_GET(SOFTSEPT_E_STAMP, entry)) &
		  FIELD_GET(SOFTSEPT_E_STAMP, SOFTSEPT_E_STAMP);

	if (age == 1)
		return !atomic_read_acquire(&s->inside[(epoch - 1) & 1]);
	return age;
}

int softsept_track(struct mirror_provider *p)
{
	struct softsept *s = softsept_of(p);
	enum softsept_error error = SOFTSEPT_OK;

	if (softsept_inject_busy(s))
		return softsept_errno(s, SOFTSEPT_BUSY);
	raw_spin_lock(&s->epoch_lock);
	if (atomic_read_acquire(softsept_inside(s, s->epoch - 1)))
		error = SOFTSEPT_EPOCH_BUSY;
	else
		WRITE_ONCE(s->epoch, s->epoch + 1);
	raw_spin_unlock(&s->epoch_lock);
	return softsept_errno(s, error);
}

void softsept_open_window(struct mirror_provider *p)
{
	struct softsept *s = softsept_of(p);

	raw_spin_lock(&s->epoch_lock);
	atomic_inc(&s->gate);
	raw_spin_unlock(&s->epoch_lock);
	/*
	 * Who accepts is outside of the guest already, but has an entry locked:
	 * no call may find it busy in here.  The gate was closed before we look,
	 * and softsept_accept() counts in before it looks at the gate, so one of
	 * us sees the other.  Nobody in there waits for anything.
	 */
	smp_mb();
	while (atomic_read_acquire(&s->accepting))
		cpu_relax();
	mirror_env_kick(p->mirror);
	WARN_ON_ONCE(atomic_read(&s->inside[0]) || atomic_read(&s->inside[1]));
}

void softsept_close_window(struct mirror_provider *p)
{
	struct softsept *s = softsept_of(p);

	raw_spin_lock(&s->epoch_lock);
	WARN_ON_ONCE(atomic_dec_return(&s->gate) < 0);
	raw_spin_unlock(&s->epoch_lock);
}

/*
 * The entry stays locked while the page is cleared, so the host's calls for it
 * are busy and the page stays ours.  Nobody changes an entry that another one
 * has locked, so it is published whatever it holds, by a full barrier: the
 * zeroes come first.
 */
static enum softsept_error softsept_accept_leaf(struct softsept_op *op)
{
	u64 old = op->old;
	u64 pa = softsept_pa(op->s, old, op->level);

	if (!try_cmpxchg64(op->entry, &old, old | SOFTSEPT_E_LOCK))
		return SOFTSEPT_BUSY;
	softsept_env_clear(pa >> PGT_PAGE_SHIFT, op->level);
	xchg(op->entry, softsept_make(op->s, SOFTSEPT_MAPPED, pa, op->level));
	return SOFTSEPT_OK;
}

static enum softsept_error softsept_accept_at(struct softsept *s, u64 gfn,
					      int level)
{
	struct softsept_op op = { .s = s };

	softsept_walk(&op, gfn, level);
	if (op.old & SOFTSEPT_E_LOCK)
		return SOFTSEPT_BUSY;
	switch (softsept_state_of(op.old, op.level)) {
	case SOFTSEPT_MAPPED:
		return SOFTSEPT_ACCEPTED;
	case SOFTSEPT_LINK:
	case SOFTSEPT_LINK_BLOCKED:
		return op.level == level ? SOFTSEPT_SIZE : SOFTSEPT_EXIT;
	case SOFTSEPT_PENDING:
		return op.level == level ? softsept_accept_leaf(&op) :
					   SOFTSEPT_EXIT;
	default:
		return SOFTSEPT_EXIT;
	}
}

enum softsept_error softsept_accept(struct softsept *s, u64 gfn, int level)
{
	enum softsept_error error = SOFTSEPT_BUSY;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "not in an RCU section");
	if (level > 2 || !softsept_has(s, gfn, level))
		return SOFTSEPT_OPERAND;
	/* Who opens a window spins until we are through: not on our CPU. */
	preempt_disable();
	atomic_inc(&s->accepting);
	/* Count in, then look at the gate; pairs with softsept_open_window(). */
	smp_mb__after_atomic();
	if (!atomic_read(&s->gate))
		error = softsept_accept_at(s, gfn, level);
	/* All is done when a window finds us gone. */
	smp_mb__before_atomic();
	atomic_dec(&s->accepting);
	preempt_enable();
	return error;
}
