/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: being a module means nothing here. */
#ifndef HOST_LINUX_MODULEPARAM_H
#define HOST_LINUX_MODULEPARAM_H

#include <linux/compiler.h>

#endif /* HOST_LINUX_MODULEPARAM_H */
