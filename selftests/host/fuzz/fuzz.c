// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer's way into the reference model: bytes are operations, see model.c.
 */
#include "model.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	model_run(data, size, NULL);
	return 0;
}
