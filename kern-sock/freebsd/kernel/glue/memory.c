/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What compilers call to copy and to fill, for both modules. compiler_builtins has these too, with string instructions
 * for every length: starting three of them takes longer than to copy a packet's headers, or to clear its key.
 */
#include <sys/types.h>

typedef uint16_t __attribute__((aligned(1), may_alias)) any16;
typedef uint32_t __attribute__((aligned(1), may_alias)) any32;
typedef uint64_t __attribute__((aligned(1), may_alias)) any64;

/* From here on a string instruction pays off. */
#define	LONG	1024

void	*memcpy(void *restrict, const void *restrict, size_t);
void	*memset(void *, int, size_t);

void *
memcpy(void *restrict to, const void *restrict from, size_t n)
{
	char *d = to;
	const char *s = from, *end = s + n;
	size_t words;

	/* Short ones in two parts, which may overlap. */
	if (n < 8) {
		if (n >= 4) {
			*(any32 *)(d + n - 4) = *(const any32 *)(s + n - 4);
			*(any32 *)d = *(const any32 *)s;
		} else if (n >= 2) {
			*(any16 *)(d + n - 2) = *(const any16 *)(s + n - 2);
			*(any16 *)d = *(const any16 *)s;
		} else if (n == 1) {
			*d = *s;
		}
		return (to);
	}
	*(any64 *)(d + n - 8) = *(const any64 *)(s + n - 8);
	if (n >= LONG) {
		words = n / 8;
		__asm__ __volatile__("rep movsq" : "+D" (d), "+S" (s), "+c" (words) : : "memory");
		return (to);
	}
	for (; end - s >= 32; s += 32, d += 32) {
		uint64_t a = ((const any64 *)s)[0], b = ((const any64 *)s)[1];
		uint64_t c = ((const any64 *)s)[2], e = ((const any64 *)s)[3];

		((any64 *)d)[0] = a;
		((any64 *)d)[1] = b;
		((any64 *)d)[2] = c;
		((any64 *)d)[3] = e;
	}
	for (; end - s >= 8; s += 8, d += 8)
		*(any64 *)d = *(const any64 *)s;
	return (to);
}

void *
memset(void *to, int byte, size_t n)
{
	uint64_t word = 0x0101010101010101ULL * (unsigned char)byte;
	char *d = to, *end = d + n;
	size_t words;

	if (n < 8) {
		if (n >= 4) {
			*(any32 *)(d + n - 4) = (uint32_t)word;
			*(any32 *)d = (uint32_t)word;
		} else if (n >= 2) {
			*(any16 *)(d + n - 2) = (uint16_t)word;
			*(any16 *)d = (uint16_t)word;
		} else if (n == 1) {
			*d = (char)byte;
		}
		return (to);
	}
	*(any64 *)(d + n - 8) = word;
	if (n >= LONG) {
		words = n / 8;
		__asm__ __volatile__("rep stosq" : "+D" (d), "+c" (words) : "a" (word) : "memory");
		return (to);
	}
	for (; end - d >= 32; d += 32) {
		((any64 *)d)[0] = word;
		((any64 *)d)[1] = word;
		((any64 *)d)[2] = word;
		((any64 *)d)[3] = word;
	}
	for (; end - d >= 8; d += 8)
		*(any64 *)d = word;
	return (to);
}
