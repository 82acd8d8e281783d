/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A reference model of the engine: what each operation must return, leave in the
 * tables, log and flush, worked out from the contract in pgt.h over a plain tree
 * of attributes.
 *
 * Sequences of operations are decoded from bytes, so that a random generator and
 * a fuzzer drive the same code.  Nothing here runs concurrently; see
 * tests/race.c for that.
 */
#ifndef ALTMMU_HOST_MODEL_H
#define ALTMMU_HOST_MODEL_H

#include "vm.h"

/**
 * model_run() - do to the engine and to the model what the bytes say
 * @data:	any bytes
 * @size:	how many
 * @config:	kind of page tables, or NULL: the first byte chooses
 *
 * Resets memory first.  Everything is compared after every step; fails the test
 * where the two differ.
 *
 * Return: the number of operations done.
 */
u64 model_run(const u8 *data, size_t size, const struct vm_config *config);

#endif /* ALTMMU_HOST_MODEL_H */
