/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What families take from it.
 */
#ifndef PFNL_KERNEL_LINUX_KERNEL_H
#define PFNL_KERNEL_LINUX_KERNEL_H

#include <linux/types.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include_next <linux/kernel.h>

#define printk(...) printf(__VA_ARGS__)
#ifndef pr_fmt
#define pr_fmt(format) format
#endif
#define pr_err(format, ...) printf(pr_fmt(format), ##__VA_ARGS__)
#define pr_warn(format, ...) printf(pr_fmt(format), ##__VA_ARGS__)
#define pr_info(format, ...) printf(pr_fmt(format), ##__VA_ARGS__)
#define pr_debug(...) do { } while (0)
#define KERN_ERR
#define KERN_WARNING
#define KERN_INFO
#define KERN_DEBUG

#define ARRAY_SIZE(array) nitems(array)
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define likely(x) __predict_true(x)
#define unlikely(x) __predict_false(x)
#define WARN_ON(x) __predict_false(x)
#ifndef READ_ONCE
#define READ_ONCE(x) (*(volatile __typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof(x) *)&(x) = (value))
#endif
#ifndef U8_MAX
#define U8_MAX UINT8_MAX
#define U16_MAX UINT16_MAX
#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX
#define S32_MAX INT32_MAX
#endif
#define __ro_after_init

#endif
