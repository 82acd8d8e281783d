/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: how the TDX module describes an entry of a secure EPT. */
#ifndef HOST_VMX_TDX_ARCH_H
#define HOST_VMX_TDX_ARCH_H

#include <linux/types.h>

enum tdx_sept_entry_state {
	TDX_SEPT_FREE,
	TDX_SEPT_BLOCKED,
	TDX_SEPT_PENDING,
	TDX_SEPT_PENDING_BLOCKED,
	TDX_SEPT_PRESENT,
};

#define TDX_SEPT_STATE_SHIFT	8

static inline u8 tdx_get_sept_level(u64 info)
{
	return info & 7;
}

static inline u8 tdx_get_sept_state(u64 info)
{
	return info >> TDX_SEPT_STATE_SHIFT & 0xff;
}

#endif /* HOST_VMX_TDX_ARCH_H */
