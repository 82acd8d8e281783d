/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The private page tables of a TD, its secure EPT: a provider (mirror/provider.h)
 * whose calls are SEAMCALLs of the TDX module.
 *
 * Nothing in here is of KVM's: vmx/tdx.c has the TD and embeds this.
 */
#ifndef ALTMMU_TDX_SEPT_H
#define ALTMMU_TDX_SEPT_H

#include <asm/tdx.h>

#include "../mirror/provider.h"

/**
 * struct tdx_sept - the private page tables of one TD
 * @provider:	what the mirror sees
 * @td:		the TD
 * @hkid:	the key that its memory is encrypted with
 * @source:	where the page stands that add() copies; its owner sees to it that
 *		it changes only while no add() runs
 * @hold:	have every vCPU outside of the guest, and keep it there until
 * @release:	was called.  Both with the MMU lock held for writing
 */
struct tdx_sept {
	struct mirror_provider provider;
	struct tdx_td *td;
	u16 hkid;
	struct page *const *source;
	void (*hold)(struct tdx_sept *sept);
	void (*release)(struct tdx_sept *sept);
};

/**
 * tdx_sept_init() - make a provider of a TD that TDH.MNG.INIT has initialised
 * @sept:	zeroed; @td, @hkid, @source, @hold and @release are set
 */
void tdx_sept_init(struct tdx_sept *sept);

/**
 * tdx_sept_finalize() - the TD may run: from now on pages are added empty
 * @sept:	whose TDH.MR.FINALIZE has succeeded
 *
 * Context: exclusive, in one hold of the lock with TDH.MR.FINALIZE.
 */
void tdx_sept_finalize(struct tdx_sept *sept);

#endif /* ALTMMU_TDX_SEPT_H */
