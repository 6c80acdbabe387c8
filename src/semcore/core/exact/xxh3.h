/* XXH3-128 with a caller's 192-byte secret. See xxh3.c. */
#ifndef SC_XXH3_H
#define SC_XXH3_H

#include "../common.h"

/* secret: SC_SECRET bytes. A seed other than 0 is for tests against the reference only. */
uint64_t sc_xxh3_low(const void *input, size_t len, const uint8_t *secret); /* the low half, seed 0 */
sc_hash128 sc_xxh3(const void *input, size_t len, const uint8_t *secret, uint64_t seed);

#endif
