/* libFuzzer over the embedder. Without FUZZ_TABLE: raw bytes as a text, valid UTF-8 or not, for the table that
 * EMBED_TABLE names. With it: raw bytes as a table file, for some texts. `.ci/fuzz` builds and runs both. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "embed/table.h"

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

/* Ids in chunks of any room are those of the largest room, and all are pieces. */
static void check_ids(const sc_static *t, const uint8_t *text, size_t size) {
    static uint32_t one[4096], chunk[SC_STEP + 7];
    sc_reader a, b;
    uint32_t at = 0, n = 0, room = SC_STEP + (uint32_t)(size % 8);
    sc_reader_init(&a, &t->v, text, size);
    sc_reader_init(&b, &t->v, text, size);
    n = sc_reader_next(&a, one, 4096);
    for (uint32_t i = 0; i < n; i++) REQUIRE(one[i] < t->v.count);
    while (at < n) {
        uint32_t got = sc_reader_next(&b, chunk, room);
        REQUIRE(got > 0 && got <= room);
        for (uint32_t i = 0; i < got && at + i < n; i++) REQUIRE(chunk[i] == one[at + i]);
        at += got;
    }
    if (n <= 4096 - SC_STEP) REQUIRE(at == n && sc_reader_next(&b, chunk, room) == 0);
}

static void check_vector(const sc_static *t, const uint8_t *text, size_t size, uint64_t most) {
    static float v[SC_DIM_MAX];
    double square = 0;
    int rc = sc_static_embed(t, text, size, most, v);
    REQUIRE(rc == SC_OK || rc == SC_ENOTFOUND);
    for (uint32_t d = 0; d < t->dim; d++) square += (double)v[d] * v[d];
    REQUIRE(rc == SC_OK ? fabs(square - 1) < 1e-5 : square == 0);
}

static void check(const sc_static *t, const uint8_t *data, size_t size) {
    uint8_t *text = malloc(size ? size : 1); /* of its own: one byte more is an error */
    memcpy(text, data, size);
    check_ids(t, text, size);
    check_vector(t, text, size, 0);
    check_vector(t, text, size, 3);
    free(text);
}

#ifdef FUZZ_TABLE
static const char *const texts[] = {
    "a", "ab abc b. bb, unaffordable", "\xc3\xa9t\xc3\xa9 \xe4\xba\x8c\xf0\x9f\x91\xa9",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa abababababababababababab aaaaaaaaaaaaaaaaa",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char why[256] = "";
    sc_static t;
    uint8_t *file = malloc(size ? size : 1);
    memcpy(file, data, size);
    if (sc_static_from(&t, file, size, why, sizeof why) == SC_OK) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            check(&t, (const uint8_t *)texts[i], strlen(texts[i]));
        check(&t, data + size - size % 200, size % 200);
        (void)sc_static_validate(&t);
    } else {
        REQUIRE(why[0] != 0);
    }
    free(file);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sc_static t;
    char why[256];
    if (!t.base && sc_static_open(&t, getenv("EMBED_TABLE"), why, sizeof why) != SC_OK) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    check(&t, data, size);
    return 0;
}
#endif
