/* libFuzzer harness of the opener: a sound small cache file, patched where the input says, must open or be
 * refused, and then bear every call; running over the mapping's ends hits its guard pages.
 *
 * Input: flags, base, script (a byte each), then patches of 8 bytes: part (1), how (1), place (2), value (4).
 * Patches that no checksum covers are rare, so the flags sign anew what was forged: the fuzzer knows the
 * secret, as whoever can read the file does. Mutations of a fixed-size patch stay patches. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/region/region.c" /* its sums are static */

#include "core/eviction/policy.h"
#include "core/prefix/prefix.h"

#define BASES 5
#define ENTRIES 40
#define BYTES 98304
#define LEARNT_BYTES (3 * BYTES) /* with models: .ci/fuzz makes caches of so few entries learn */
#define ROOM (4 * BYTES)         /* of the file: a forged geometry may be larger than the base's */
#define HEAD 3           /* bytes of the input before the patches */
#define NOW 1700000000000000ll

enum { SIGN_ENTRIES = 1, SIGN_HEADER = 2, SIGN_DERIVED = 4, AT_HOME = 8, FIT = 16, READ_ONLY = 32, OTHER_SCRIPT = 64 };

typedef struct base { uint32_t dim, storage, bytes; uint8_t *image; } base;

#include "prompts.h"

static base bases[BASES] = {{16, SC_F16, BYTES, NULL}, {24, SC_I8, BYTES, NULL}, {9, SC_F32, BYTES, NULL}, {0, SC_F16, BYTES, NULL},
                             {64, SC_F16, LEARNT_BYTES, NULL}};
static uint8_t *image; /* the one at work */
static int file;
static char path[64];

/* ---- the base ---- */

static void key_of(uint32_t i, char text[8]) { snprintf(text, 8, "%u", i); }

static void vector_of(uint32_t i, float *v) {
    for (uint32_t d = 0; d < 64; d++) v[d] = (float)((i * 37 + d * (i + 11)) % 101) - 50.5f;
}

static sc_part part_of(const sc_cache *c, uint32_t i) { return sc_partition(c, i % 3 ? "a" : "b", 1, "", 0); }

static uint64_t tag_of(const sc_cache *c, uint32_t i, uint32_t t) {
    char name[2] = {(char)('0' + (i + t) % 4), 0};
    return sc_tag(c, part_of(c, i), name, 1);
}

static int put(sc_cache *c, uint32_t i, uint32_t size, int64_t now) {
    static uint8_t value[BYTES];
    char text[8];
    float v[64];
    uint64_t tags[8], id;
    uint32_t ntags = i % 4 == 3 ? 6 : i % 4;
    key_of(i, text);
    vector_of(i, v);
    for (uint32_t t = 0; t < ntags; t++) tags[t] = tag_of(c, i, t);
    sc_put p = {.part = part_of(c, i), .text = text, .text_len = strlen(text), .value = value, .value_len = size,
                .vector = c->r.dim && i % 5 ? v : NULL, .tags = tags, .ntags = ntags, .keep_text = i % 7 != 0,
                .expires = i % 2 ? now + 1000000ll * (1ll << i % 24) : SC_FOREVER, .saving = {i, 0.1f, 10}};
    if (i % 6 == 1) p.sliding_ms = 1000u << i % 20, p.expires = now + 1000ll * p.sliding_ms;
    return sc_put_entry(c, &p, now, &id);
}

/* Some model: any is safe. Twice, and half of the rows recoded: rows of two models, and of none. */
static void learn(sc_cache *c) {
    static float numbers[SC_LEADING * 16], ranges[SC_CLASSES][2];
    static uint16_t rotation[SC_LEADING * 64];
    int left;
    for (int i = 0; i < SC_LEADING * 16; i++) numbers[i] = (float)(i * 37 % 101 - 50) / 500;
    for (int i = 0; i < SC_LEADING * 64; i++) rotation[i] = (uint16_t)(i * 41 % 7 << 7 | 0x2000); /* around 0.01 */
    for (int i = 0; i < SC_CLASSES; i++) ranges[i][0] = -2, ranges[i][1] = 2;
    static uint8_t centres[3][SC_LEADING / 2];
    static const uint32_t first[2] = {0, 2}, probes[SC_FLOORS * SC_SHARES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (int i = 0; i < SC_LEADING / 2; i++) centres[0][i] = (uint8_t)(i * 7), centres[1][i] = (uint8_t)(i * 11), centres[2][i] = 0x87;
    sc_learnt l = {.rotation = rotation, .centroids = numbers, .means = numbers, .steps = numbers, .rests = ranges[0],
                   .strays = ranges[0], .margins = ranges[0], .margin_least = -1, .margin_step = 0.01f, .loss = 0.5f,
                   .entries = ENTRIES, .cells = 2, .groups = 1, .first = first, .bases = numbers, .spreads = numbers,
                   .centres = centres[0], .shells = numbers, .probes = probes};
    for (int i = 0; i < 2; i++)
        if (sc_learn(c, &l, sc_generation(c)) != SC_OK || sc_recode(c, i ? 1 : 9, &left) != SC_OK) abort();
}

static void make(base *b) {
    char why[256];
    sc_cache *c;
    sc_options o = {.path = path, .dim = b->dim, .max_entries = ENTRIES, .max_bytes = b->bytes, .storage = b->storage, PREFIXES};
    if (ftruncate(file, 0) != 0 || sc_open(&o, &c, why, sizeof why) != SC_OK) abort();
    for (uint32_t i = 0; i < 60; i++) {
        put(c, i, i % 9 * 40, NOW + i);
        char text[8];
        key_of(i / 2, text);
        if (i % 4 == 0) sc_delete_text(c, part_of(c, i / 2), text, strlen(text), SC_TEXT_STR, NOW);
    }
    if (b->dim == 64) learn(c);
    for (uint32_t i = 0; i < 9; i++) insert(c, i, NOW);
    for (uint32_t i = 0; i < 2; i++) {
        int32_t tokens[UNITS * 16];
        sc_hash128 hashes[UNITS * 16];
        sc_prompt p;
        uint32_t pinned;
        prompt_of(c, 8 - i, tokens, hashes, &p);
        if (sc_prefix_pin(c, &p, true, &pinned) != SC_OK || pinned == 0) abort();
    }
    if (c->r.h->prefix.marks == 0 || c->r.h->prefix.runs < 5 || c->r.h->prefix.notes < 4) abort();
    if (sc_validate(c)) abort();
    sc_close(c);
    b->image = calloc(1, ROOM);
    if (!b->image || ftruncate(file, ROOM) != 0 || !sc_os_read(file, b->image, ROOM)) abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    if (sc_isa_select(getenv("SEMCORE_ISA")) != SC_OK) abort(); /* the best one unless told */
    file = memfd_create("fuzz", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    image = aligned_alloc(4096, ROOM);
    for (int i = 0; i < BASES; i++) make(&bases[i]);
    return 0;
}

/* ---- patches ---- */

typedef struct span { void *at; size_t bytes; } span;

static span part_at(const sc_region *r, uint8_t part) {
    const sc_header *h = r->h;
    const sc_prefix *x = &r->prefix;
    const span parts[] = {
        {r->h, offsetof(sc_header, header_sum)}, {&r->h->header_sum, offsetof(sc_header, lock) - offsetof(sc_header, header_sum)},
        {(void *)&h->state, sizeof h->state}, {(void *)h->ledger, sizeof h->ledger}, {r->h, 4096},
        {r->hot, 8 * ENTRIES}, {r->entries, sizeof(sc_entry) * ENTRIES}, {r->entries, sizeof(sc_entry) * ENTRIES},
        {r->entries, sizeof(sc_entry) * 4}, {r->exact.cells, 8 * r->exact.cap}, {r->partitions.cells, 8 * r->partitions.cap},
        {r->links, sizeof(sc_links) * ENTRIES}, {r->lanes, r->lane_bytes * SC_LANES * r->ncoded}, {r->sketch, 64 * r->sketch_lines},
        {r->wheel, 4 * 64 * SC_LEVELS}, {r->tagheads, 4 * r->ntagheads}, {r->vectors, r->vector_bytes * ENTRIES},
        {r->scales, r->dim ? 8 * ENTRIES : 0}, {r->high, r->plane * ENTRIES}, {r->low, r->plane * ENTRIES},
        {r->coded, sizeof(sc_coded) * r->ncoded}, {r->place, r->dim ? 4 * ENTRIES : 0},
        {r->owner, 4 * SC_LANES * r->ncoded}, {r->lists, sizeof(sc_list) * sc_lists_of(r)}, {r->moved, 4 * (r->moved_mask + 1)}, {r->leading, r->learns ? 64 * ENTRIES : 0},
        {r->centres, 2 * sizeof(sc_centre) * (r->ncells + r->ngroups)}, {r->models, r->learns ? 2 * sc_model_bytes(r->dim) : 0}, {r->models, r->learns ? sizeof(sc_model) : 0}, {r->chain, 4 * r->nblocks}, {r->chain, 4 * r->nblocks},
        {r->blocks, (size_t)SC_BLOCK * r->nblocks},
        {(void *)&h->prefix, sizeof h->prefix}, {x->lines, sizeof(sc_line) * x->nlines}, {(void *)x->over, x->nlines},
        {x->runs, sizeof(sc_run) * x->nruns}, {x->runs, sizeof(sc_run) * (x->nruns < 8 ? x->nruns : 8)},
        {x->heap, (size_t)4 * x->nruns}, {x->heap, x->nruns < 8 ? 0 : 32}, {x->notes, sizeof(sc_note) * x->nnotes},
        {x->notes, x->nnotes < 24 ? 0 : sizeof(sc_note) * 24}, {x->marks, sizeof(sc_mark) * x->nmarks},
        {x->marks, x->nmarks < 6 ? 0 : sizeof(sc_mark) * 6}};
    span s = parts[part % (sizeof parts / sizeof *parts)];
    return s.bytes < 8 ? parts[4] : s;
}

/* how: width (2 bits), what to do with the value (3 bits), byte in the word (2 bits). */
static void patch(const sc_region *r, const uint8_t *p) {
    span s = part_at(r, p[0]);
    uint16_t place;
    uint32_t value;
    memcpy(&place, p + 2, 2);
    memcpy(&value, p + 4, 4);
    size_t at = ((size_t)place * 4 + (p[1] >> 5 & 3)) % (s.bytes - 7);
    uint64_t word;
    memcpy(&word, (uint8_t *)s.at + at, 8);
    switch (p[1] >> 2 & 7) {
    case 0: word = value; break;
    case 1: word += value; break;
    case 2: word -= value; break;
    case 3: word ^= 1ull << value % 64; break;
    case 4: word = value % (ENTRIES + 2); break;      /* a slot, or just not */
    case 5: word = value % (r->nblocks + 2); break;   /* a block, or just not */
    case 6: word = -(uint64_t)(value & 15); break;    /* SC_NIL, SC_FOREVER + 1, ... */
    case 7: word = (uint64_t)value << 32 | value; break;
    }
    memcpy((uint8_t *)s.at + at, &word, (size_t)1 << (p[1] & 3));
}

/* ---- signing what was forged ---- */

static void sign_entry(const sc_region *r, uint32_t slot) {
    static uint8_t copy[ROOM];
    sc_entry *e = &r->entries[slot];
    uint64_t bytes = sc_payload_bytes(e), tags[SC_MAX_TAGS];
    if (e->ntags <= SC_MAX_TAGS && bytes <= sizeof copy && sc_chain_read(r, e->block, 0, copy, bytes)) {
        memcpy(tags, copy + e->value_len + e->text_len, 8u * e->ntags);
        e->value_sum = sc_checksum(r, copy, e->value_len);
        e->text_sum = sc_text_sum(r, copy + e->value_len, e->text_len, tags, e->ntags);
    }
    if (e->has_vector) e->vector_sum = sc_vector_sum(r, slot);
    e->sum = sc_entry_sum(r, e);
}

static void sign_mark(const sc_region *r, uint32_t mark) {
    static uint8_t copy[ROOM];
    sc_mark *m = &r->prefix.marks[mark];
    if (m->run == SC_NIL) return;
    if (m->len <= sizeof copy && sc_chain_read(r, m->block, 0, copy, m->len)) m->value_sum = sc_checksum(r, copy, m->len);
    m->sum = sc_mark_sum(r, m);
}

/* The totals that a forged geometry implies, if the file is large enough for it. */
static void fit(sc_region *r) {
    sc_header *h = r->h;
    char why[256];
    if (h->dim > 64) h->dim %= 65;
    if (h->storage > SC_I8) h->storage %= SC_I8 + 1;
    if (h->max_entries > 512) h->max_entries %= 512;
    if (h->max_bytes > ROOM) h->max_bytes %= ROOM;
    if (h->prefix_blocks > 64) h->prefix_blocks %= 65;
    sc_options o = {.dim = h->dim, .storage = h->storage, .max_entries = h->max_entries, .max_bytes = h->max_bytes,
                    .prefix_blocks = h->prefix_blocks, .prefix_block = h->prefix_block, .prefix_group = h->prefix_group};
    sc_region forged = *r;
    if (sc_layout_fit(&o, &forged, why, sizeof why) != SC_OK) return;
    *r = forged;
    h->total = r->total;
    h->blocks = r->nblocks;
    sc_layout_bind(r, image);
}

static void sign(sc_region *r, uint8_t flags) {
    uint64_t magic;
    memcpy(&magic, r->h->magic, 8);
    if (flags & FIT) fit(r);
    if (flags & SIGN_ENTRIES)
        for (uint32_t slot = 0; slot < r->max_entries; slot++)
            if (sc_entry_live(r, slot)) sign_entry(r, slot);
    if (flags & SIGN_ENTRIES)
        for (uint32_t mark = 0; mark < r->prefix.nmarks && mark < r->h->prefix.mark_high; mark++) sign_mark(r, mark);
    if (flags & SIGN_HEADER) r->h->header_sum = header_sum(r->h, magic);
    if (flags & SIGN_DERIVED) {
        SC_STORE(&r->h->clean, 1);
        r->h->derived_sum = derived_sum(r);
    }
    if (flags & AT_HOME) {
        sc_os_home(file, &r->h->home);
        SC_STORE(&r->h->writing, 0);
    }
}

/* ---- everything that can be asked of a cache ---- */

static void read_all_of(sc_cache *c, const sc_ref *ref, int64_t now) {
    static uint8_t to[ROOM];
    float v[SC_MAX_DIM];
    sc_record record;
    sc_ref again;
    if (ref->value_len <= sizeof to) sc_read_value(c, ref, to);
    if (ref->text_len <= sizeof to) sc_read_text(c, ref, to);
    sc_read_vector(c, ref, v);
    sc_read_record(c, ref, &record);
    sc_at(c, sc_id(ref), now, &again);
    sc_at(c, sc_id(ref) ^ 1, now, &again);
}

static void look(sc_cache *c, int64_t now) {
    sc_ref refs[SC_MAX_TOP];
    sc_stats stats;
    for (uint32_t i = 0; i < 64; i++) {
        char text[8];
        key_of(i, text);
        if (sc_find(c, part_of(c, i), text, strlen(text), SC_TEXT_STR, now, refs) != SC_OK) continue;
        read_all_of(c, refs, now);
        sc_hit(c, refs, SC_LAYER_EXACT, now);
    }
    for (uint32_t i = 0; i < 12 && c->r.dim; i++) {
        float v[SC_MAX_DIM] = {0};
        uint32_t n = 0;
        vector_of(i, v);
        sc_search(c, part_of(c, i), v, i % 2 ? -1.0f : 0.8f, i % 4 ? 1 : SC_MAX_TOP, now, refs, &n);
        for (uint32_t k = 0; k < n; k++) read_all_of(c, &refs[k], now);
        if (n) sc_hit(c, refs, SC_LAYER_SEMANTIC, now);
        sc_work(c, part_of(c, i));
    }
    if (c->r.dim) {
        static float many[4 * SC_MAX_DIM], rows[ENTRIES * SC_MAX_DIM];
        uint8_t found[4];
        for (uint32_t i = 0; i < 4; i++) {
            float v[SC_MAX_DIM] = {0};
            vector_of(i * 5, v);
            memcpy(many + (size_t)i * c->r.dim, v, sizeof(float) * c->r.dim);
        }
        sc_search_many(c, part_of(c, 0), many, 4, 0.7f, now, refs, found);
        sc_sample(c, ENTRIES, 0, 1, rows);
    }
    for (uint32_t s = 0; (s = sc_next_live(c, s, now, refs)) != SC_NIL; s++) read_all_of(c, refs, now);
    sc_miss(c);
    sc_stats_get(c, &stats);
}

static void change(sc_cache *c, int64_t now, uint8_t script) {
    char text[8];
    sc_ref ref;
    uint64_t removed;
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t k = (script + i * 7) % 64;
        key_of(k, text);
        switch ((script >> 4) + i & 7) {
        case 0: sc_delete_text(c, part_of(c, k), text, strlen(text), SC_TEXT_STR, now); break;
        case 1: sc_invalidate(c, tag_of(c, k, 0), &removed); break;
        case 2: sc_expire(c, now + ((int64_t)script << 20), &removed); break;
        case 3: if (sc_next_live(c, k % ENTRIES, now, &ref) != SC_NIL) sc_delete(c, sc_id(&ref), now); break;
        default: put(c, k, i * i, now); break;
        }
    }
}

/* What recovered, or was changed since, agrees with itself; what was accepted as it was need not. */
static void use(sc_cache *c, uint8_t flags, uint8_t script) {
    int64_t now = NOW + (script & 3) * 40000000ll;
    if (flags & OTHER_SCRIPT) change(c, now, script);
    sc_validate(c);
    look(c, now);
    prompts(c, script, now);
    change(c, now, (uint8_t)(script * 3));
    prompts(c, (uint8_t)(script * 5), now + 500000);
    look(c, now + 1000000);
    sc_validate(c);
    int left;
    if (sc_learning(c) == SC_STALE) sc_recode(c, 2, &left);
    sc_flush(c);
}

static int open_it(uint8_t flags, uint8_t script, sc_cache **c) {
    char why[512] = "", fingerprint[SC_FINGERPRINT];
    int recovering;
    sc_options o = {.path = path};
    int rc = sc_peek(path, &o, fingerprint, &recovering, why, sizeof why);
    if (rc != SC_OK) return rc;
    o.path = path, o.fingerprint = fingerprint, o.read_only = flags & READ_ONLY, o.policy = script % 3;
    o.recall = script & 4 ? 0.95f : 0;
    return sc_open(&o, c, why, sizeof why);
}

static uint64_t recoveries(const sc_header *h) {
    uint64_t n = 0;
    for (int i = 0; i < SC_SHARDS; i++) n += SC_LOAD(&h->ledger[i].counts[SC_RECOVERIES]);
    return n;
}

/* A recovery leaves a region in which everything agrees, whatever was there before. */
static void check_recovered(sc_cache *c) {
    if (recoveries(c->r.h) == recoveries((sc_header *)image)) return;
    const char *broken = sc_validate(c);
    if (!broken) return;
    fprintf(stderr, "after recovery: %s\n", broken);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    sc_cache *c;
    char why[256];
    if (n < HEAD || n > HEAD + 8 * 64) return 0;
    const base *b = &bases[data[1] % BASES];
    sc_options o = {.dim = b->dim, .max_entries = ENTRIES, .max_bytes = b->bytes, .storage = b->storage, PREFIXES};
    sc_region r = {.fd = -1};
    memcpy(image, b->image, ROOM);
    if (sc_layout_fit(&o, &r, why, sizeof why) != SC_OK) abort();
    sc_layout_bind(&r, image);
    for (size_t at = HEAD; at + 8 <= n; at += 8) patch(&r, data + at);
    sign(&r, data[0]);
    if (pwrite(file, image, ROOM, 0) != ROOM) abort();
    if (open_it(data[0], data[2], &c) != SC_OK) return 0;
    check_recovered(c);
    use(c, data[0], data[2]);
    sc_close(c);
    if (data[0] & READ_ONLY || open_it(0, data[2], &c) != SC_OK) return 0;
    look(c, NOW);
    prompts(c, data[2], NOW);
    sc_prefix_clear(c);
    sc_part part = part_of(c, 0);
    uint64_t removed;
    sc_clear(c, &part, &removed);
    sc_clear(c, NULL, &removed);
    sc_close(c);
    return 0;
}
