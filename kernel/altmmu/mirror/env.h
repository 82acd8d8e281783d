/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mirror and the software provider: what they ask of the code that they are
 * linked into.
 */
#ifndef ALTMMU_MIRROR_ENV_H
#define ALTMMU_MIRROR_ENV_H

#include <linux/types.h>

#include "provider.h"

/**
 * mirror_env_kick() - have every vCPU out of the guest
 * @mirror:	whose
 *
 * Does not return before each vCPU has been outside of the guest at some time
 * since the call.
 *
 * Context: exclusive.
 */
void mirror_env_kick(struct mirror *mirror);

/**
 * mirror_env_broken() - the mirror and its provider do not agree
 * @mirror:	whose
 * @call:	what the provider refused
 * @gfn:	of the entry
 * @level:	of the entry
 * @error:	what it returned
 *
 * The VM must not run any more.
 *
 * Context: shared or exclusive.
 */
void mirror_env_broken(struct mirror *mirror, enum mirror_call call, u64 gfn,
		       int level, int error);

/**
 * mirror_env_leak() - never free pages that a provider has not given back
 * @mirror:	whose
 * @pfn:	the first
 * @level:	of the leaf that has them
 *
 * Context: shared, exclusive, or the end of the VM.
 */
void mirror_env_leak(struct mirror *mirror, u64 pfn, int level);

/**
 * softsept_env_clear() - fill pages with zeroes
 * @pfn:	the first
 * @level:	of the leaf that has them
 *
 * Context: preemption is off.
 */
void softsept_env_clear(u64 pfn, int level);

/* Every provider call. */
void mirror_env_trace(struct mirror *mirror, enum mirror_call call, u64 gfn,
		      int level, int ret);

#endif /* ALTMMU_MIRROR_ENV_H */
