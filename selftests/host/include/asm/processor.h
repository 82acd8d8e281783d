/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: see linux/processor.h. */
#ifndef HOST_ASM_PROCESSOR_H
#define HOST_ASM_PROCESSOR_H

#include <linux/processor.h>

#endif /* HOST_ASM_PROCESSOR_H */
