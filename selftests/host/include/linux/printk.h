/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: messages, which the tests have no use for. */
#ifndef HOST_LINUX_PRINTK_H
#define HOST_LINUX_PRINTK_H

/* Checked by the compiler, never printed. */
#define printk(...)							\
	do { if (0) __builtin_printf(__VA_ARGS__); } while (0)
#define pr_err(...)		printk(__VA_ARGS__)
#define pr_err_ratelimited(...)	printk(__VA_ARGS__)
#define pr_warn(...)		printk(__VA_ARGS__)
#define pr_info(...)		printk(__VA_ARGS__)
#define pr_debug(...)		printk(__VA_ARGS__)

#endif /* HOST_LINUX_PRINTK_H */
