/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: being a module means nothing here. */
#ifndef HOST_LINUX_MODULE_H
#define HOST_LINUX_MODULE_H

#include <linux/compiler.h>
#include <linux/export.h>

#define MODULE_LICENSE(text)
#define MODULE_DESCRIPTION(text)

#endif /* HOST_LINUX_MODULE_H */
