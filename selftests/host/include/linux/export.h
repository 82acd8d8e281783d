/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: being a module means nothing here. */
#ifndef HOST_LINUX_EXPORT_H
#define HOST_LINUX_EXPORT_H

#define EXPORT_SYMBOL(sym)
#define EXPORT_SYMBOL_GPL(sym)

#endif /* HOST_LINUX_EXPORT_H */
