/* SPDX-License-Identifier: GPL-2.0 */
/* Stand-in: names of attributes; they mean to the compiler what they say. */
#ifndef HOST_LINUX_COMPILER_ATTRIBUTES_H
#define HOST_LINUX_COMPILER_ATTRIBUTES_H

#undef __always_inline
#undef __noinline
#define __always_inline		inline __attribute__((__always_inline__))
#define noinline		__attribute__((__noinline__))
#define __maybe_unused		__attribute__((__unused__))
#define __always_unused		__attribute__((__unused__))
#define __must_check		__attribute__((__warn_unused_result__))
#define __printf(a, b)		__attribute__((__format__(printf, a, b)))
#ifndef __packed
#define __packed		__attribute__((__packed__))
#endif
#define __aligned(x)		__attribute__((__aligned__(x)))
#define __cold			__attribute__((__cold__))
#undef __noreturn
#define __noreturn		__attribute__((__noreturn__))
#define __init
#define __exit
#define __ro_after_init
#define __read_mostly
#define __cacheline_aligned	__aligned(64)
#define ____cacheline_aligned	__aligned(64)
#if __has_attribute(__fallthrough__)
#define fallthrough		__attribute__((__fallthrough__))
#else
#define fallthrough		do { } while (0)
#endif

#endif /* HOST_LINUX_COMPILER_ATTRIBUTES_H */
