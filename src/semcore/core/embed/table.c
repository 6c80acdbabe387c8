#define _GNU_SOURCE /* O_CLOEXEC */
/* The table file: opened by mapping it, shared by every process that has it open.
 *
 * Nothing is built on opening: hashes, keys and rows are used where they lie. The header's numbers are checked
 * and copied; numbers further in are checked where they are used (an id of a slot against the count, a long
 * piece's place against its text), so that a hostile file gives wrong vectors, and never a read outside of it.
 * The checksum is against damage, not against forgery; it is read by sc_static_validate only, for it touches all
 * of 8 MB and opening touches a page.
 */
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact/xxh3.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

/* The published default secret of XXH3. */
static const uint8_t secret[SC_SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

/* ---- the header ---- */

static uint64_t row_bytes(const sc_static_header *h) { return (uint64_t)h->dim * h->bits / 8; }

static const char *wrong_numbers(const sc_static_header *h, uint64_t size) {
    if (h->version != SC_STATIC_VERSION) return "is of another version";
    if (h->header != sizeof *h) return "has a header of another size";
    if (h->size != size) return "is not as long as its header says";
    if (h->dim == 0 || h->dim > SC_DIM_MAX || h->dim % SC_DIM_STEP)
        return "has a dim that is not a multiple of 64 up to 1024";
    if (h->bits != 8 && h->bits != 4) return "has rows of neither 8 nor 4 bits";
    if (h->pieces == 0 || h->pieces > SC_PIECES_MAX) return "has no pieces, or too many";
    if (h->longs > h->pieces) return "has more long pieces than pieces";
    if (h->unknown >= h->pieces) return "has no piece for unknown words";
    return NULL;
}

static const char *wrong_slots(const sc_slots_header *s, uint32_t longest) {
    if (s->bits < 1 || s->bits > 21) return "has a hash of a wrong size";
    if (s->probes >= 1u << s->bits || s->probes > SC_PROBES_MAX) return "has a hash that is too full";
    if (s->longest > longest) return "has a piece that is too long";
    return NULL;
}

static uint64_t expected_size(const sc_static_header *h, int section) {
    switch (section) {
    case SC_FIRST: return 4ull << h->first.bits;
    case SC_NEXT: return 4ull << h->next.bits;
    case SC_WIDE: return 4ull << h->wide.bits;
    case SC_PIECES: return sizeof(sc_piece) * (uint64_t)h->pieces;
    case SC_CONTINUE: return (h->pieces + 7ull) / 8;
    case SC_LONGS: return sizeof(sc_long) * (uint64_t)h->longs;
    case SC_WEIGHTS: return 2ull * h->pieces;
    case SC_ROWS: return row_bytes(h) * h->pieces;
    default: return UINT64_MAX; /* any */
    }
}

static const char *wrong_sections(const sc_static_header *h) {
    for (int i = 0; i < SC_SECTIONS; i++) {
        sc_span s = h->sections[i];
        uint64_t want = expected_size(h, i);
        if (s.at % SC_STATIC_ALIGN || s.at < sizeof *h || s.at > h->size || s.size > h->size - s.at)
            return "has a section outside of it";
        if (want != UINT64_MAX && s.size != want) return "has a section of a wrong size";
    }
    if (h->sections[SC_TEXT].size > UINT32_MAX) return "has too much text";
    if (h->sections[SC_NAME].size > SC_NAME_MAX) return "has too long a name";
    return NULL;
}

static const char *wrong_header(const sc_static_header *h, uint64_t size) {
    const char *why = wrong_numbers(h, size);
    if (!why) why = wrong_slots(&h->first, SC_PIECE_INLINE);
    if (!why) why = wrong_slots(&h->next, SC_PIECE_INLINE);
    if (!why) why = wrong_slots(&h->wide, 4 * SC_WORD_CHARS);
    return why ? why : wrong_sections(h);
}

/* ---- opening ---- */

static void clear(sc_static *t) { memset(t, 0, sizeof *t); }

static int fail(int rc, char *why, size_t why_len, const char *what, const char *reason) {
    snprintf(why, why_len, "%s %s", what, reason);
    return rc;
}

static sc_slots slots_at(const uint8_t *base, sc_span s, const sc_slots_header *h) {
    return (sc_slots){(const uint32_t *)(const void *)(base + s.at), h->bits, h->probes, h->longest};
}

static void point(sc_static *t, const sc_static_header *h) {
    const uint8_t *base = t->base;
    const sc_span *s = h->sections;
    t->v.first = slots_at(base, s[SC_FIRST], &h->first);
    t->v.next = slots_at(base, s[SC_NEXT], &h->next);
    t->v.wide = slots_at(base, s[SC_WIDE], &h->wide);
    t->v.pieces = (const sc_piece *)(const void *)(base + s[SC_PIECES].at);
    t->v.longs = (const sc_long *)(const void *)(base + s[SC_LONGS].at);
    t->v.text = base + s[SC_TEXT].at;
    t->v.count = h->pieces;
    t->v.nlongs = h->longs;
    t->v.text_size = (uint32_t)s[SC_TEXT].size;
    t->v.unknown = h->unknown;
    t->weights = (const int16_t *)(const void *)(base + s[SC_WEIGHTS].at);
    t->rows = base + s[SC_ROWS].at;
    t->dim = h->dim;
    t->bits = h->bits;
    t->name = s[SC_NAME];
    t->licence = s[SC_LICENCE];
    t->marks = s[SC_CONTINUE];
    t->size = h->size;
}

static int use(sc_static *t, const char *name, const void *bytes, uint64_t size, char *why, size_t why_len) {
    sc_static_header h; /* a copy: what was checked is what is used, whatever becomes of the file */
    if (size < sizeof h || memcmp(bytes, SC_STATIC_MAGIC, 8) != 0)
        return fail(SC_EREGION, why, why_len, name, "is not a semcore table");
    memcpy(&h, bytes, sizeof h);
    const char *reason = wrong_header(&h, size);
    if (reason) return fail(SC_EREGION, why, why_len, name, reason);
    t->base = bytes;
    point(t, &h);
    return SC_OK;
}

int sc_static_from(sc_static *t, const void *bytes, uint64_t size, char *why, size_t why_len) {
    clear(t);
    return use(t, "the table", bytes, size, why, why_len);
}

#if !defined(_WIN32)
/* Where there is no sc_os_map_file, a copy does. */
static const void *map(sc_static *t, int fd, size_t size) {
    t->mapping = sc_os_map_file(fd, size, true);
    if (t->mapping) return sc_os_mapped(t->mapping);
#if defined(__linux__)
    return NULL;
#else
    t->owned = malloc(size);
    for (size_t at = 0; t->owned && at < size;) {
        ssize_t got = read(fd, (char *)t->owned + at, size - at);
        if (got <= 0) return NULL;
        at += (size_t)got;
    }
    return t->owned;
#endif
}

static int open_file(sc_static *t, int fd, const char *path, char *why, size_t why_len) {
    struct stat st;
    if (fstat(fd, &st) != 0) return fail(SC_EIO, why, why_len, path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(SC_EREGION, why, why_len, path, "is not a regular file");
    uint64_t size = (uint64_t)st.st_size;
    if (size < sizeof(sc_static_header)) return fail(SC_EREGION, why, why_len, path, "is not a semcore table");
    const void *bytes = map(t, fd, size);
    if (!bytes) return fail(SC_EIO, why, why_len, path, strerror(errno));
    return use(t, path, bytes, size, why, why_len);
}

int sc_static_open(sc_static *t, const char *path, char *why, size_t why_len) {
    clear(t);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang */
    if (fd < 0) return fail(SC_EIO, why, why_len, path, strerror(errno));
    t->fd = fd; /* kept: the mapping looks at it when a page is missing */
    int rc = open_file(t, fd, path, why, why_len);
    int error = errno;
    if (rc != SC_OK) sc_static_close(t);
    errno = error;
    return rc;
}
#else
int sc_static_open(sc_static *t, const char *path, char *why, size_t why_len) {
    clear(t);
    return fail(SC_EUNSUPPORTED, why, why_len, path, "cannot be mapped on Windows yet");
}
#endif

void sc_static_close(sc_static *t) {
    if (t->mapping) sc_os_unmap_file(t->mapping);
    if (t->fd > 0) sc_os_close(t->fd);
    free(t->owned);
    clear(t);
}

bool sc_static_lost(const sc_static *t) { return t->mapping && sc_os_lost_from(t->mapping) != SIZE_MAX; }

/* ---- validation ---- */

void sc_static_check(const void *bytes, size_t size, uint64_t out[2]) {
    const size_t from = offsetof(sc_static_header, size);
    sc_xxh3_128((const uint8_t *)bytes + from, size - from, secret, 0, out);
}

static bool checksum_holds(const sc_static *t) {
    uint64_t got[2];
    sc_static_check(t->base, t->size, got);
    return memcmp(t->base + offsetof(sc_static_header, check), got, sizeof got) == 0;
}

static bool continues(const sc_static *t, uint32_t id) { return t->base[t->marks.at + id / 8] >> id % 8 & 1; }

/* Every slot names a piece, of its own hash, and nothing is named twice. */
static uint32_t count_slots(const sc_static *t, const sc_slots *s, uint32_t limit, int next) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < 1u << s->bits; i++) {
        uint32_t slot = s->at[i], id = (slot & 0xFFFFF) - 1;
        if (slot == 0) continue;
        if (id >= limit || (next >= 0 && continues(t, id) != next)) return UINT32_MAX;
        n++;
    }
    return n;
}

const char *sc_static_validate(const sc_static *t) {
    if (!checksum_holds(t)) return "the checksum does not match";
    uint32_t n = count_slots(t, &t->v.first, t->v.count, 0), m = count_slots(t, &t->v.next, t->v.count, 1);
    uint32_t k = count_slots(t, &t->v.wide, t->v.nlongs, -1);
    if (n == UINT32_MAX || m == UINT32_MAX || k == UINT32_MAX) return "a slot names no piece";
    if (k != t->v.nlongs || (uint64_t)n + m + k > t->v.count) return "a hash has too many pieces or too few";
    for (uint32_t i = 0; i < t->v.count; i++)
        if (t->weights[i] < 0) return "a weight is negative";
    return sc_static_lost(t) ? "the file was truncated, or its disk failed" : NULL;
}
