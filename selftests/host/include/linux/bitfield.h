/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: fields of a register, for masks that are constants. */
#ifndef _LINUX_BITFIELD_H
#define _LINUX_BITFIELD_H

#include <linux/types.h>

#define FIELD_PREP(mask, value)						\
	(((u64)(value) << __builtin_ctzll(mask)) & (u64)(mask))
#define FIELD_GET(mask, reg)						\
	(((u64)(reg) & (u64)(mask)) >> __builtin_ctzll(mask))

#endif /* _LINUX_BITFIELD_H */
