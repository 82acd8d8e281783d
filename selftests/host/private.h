/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private memory in the world of the tests: what the mirror and the software
 * provider ask for.
 */
#ifndef ALTMMU_HOST_PRIVATE_H
#define ALTMMU_HOST_PRIVATE_H

#include "mirror/env.h"
#include "sim/mem.h"

/**
 * struct private - what has been asked for since private_reset()
 * @kick:	has every vCPU out of the guest; NULL: none is there
 * @clear:	called before a page is cleared, or NULL
 * @cleared:	called after that, or NULL
 * @leak:	notes pages that are never to be freed, or NULL
 * @refusals_expected: what a provider refuses is not the end of the test
 * @kicks:	calls of mirror_env_kick()
 * @refusals:	calls of mirror_env_broken()
 * @leaks:	calls of mirror_env_leak()
 * @clears:	calls of softsept_env_clear()
 */
struct private {
	void (*kick)(struct mirror *mirror);
	void (*clear)(u64 pfn, int level);
	void (*cleared)(u64 pfn, int level);
	void (*leak)(u64 pfn, int level);
	bool refusals_expected;
	u64 kicks;
	u64 refusals;
	u64 leaks;
	u64 clears;
};

extern struct private private;

void private_reset(void);

/*
 * What is in a data page: a number, 0 if it was cleared.  Contents are not part
 * of what mem_reset() resets.
 */
void private_fill(u64 pfn, u64 nr, u8 content);
u8 private_content(u64 pfn);

#endif /* ALTMMU_HOST_PRIVATE_H */
