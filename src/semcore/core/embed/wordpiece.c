/* BERT's WordPiece: normalisation, words, greedy longest match, in one pass and without a copy of the text.
 *
 * Nearly all words are at most 16 ASCII letters and digits followed by a blank or punctuation: they are cut out,
 * lower-cased and looked up in two registers. Everything else goes code point by code point through `word`.
 *
 * Keys of the hash are the bytes themselves in two integers, so a lookup is one multiplication, one slot and one
 * comparison, for every length from the longest down. Longer pieces (3 of BERT's 30,522) have a hash of their
 * own that is computed as the bytes go by. A piece is whole characters, hence bytes match only where characters do.
 *
 * tests/unit/test_wordpiece.py compares with the `tokenizers` package.
 */
#include "wordpiece.h"

#include "unicode.h"

#define NONE UINT32_MAX
#define HIGHS 0x8080808080808080ull
#define EACH(c) (0x0101010101010101ull * (c))

typedef struct text16 { uint64_t low, high; } text16;

static inline text16 load16(const uint8_t *p) {
    text16 t;
    memcpy(&t.low, p, 8);
    memcpy(&t.high, p + 8, 8);
    return t;
}

static inline uint64_t keep(uint64_t x, uint32_t bytes) { return bytes >= 8 ? x : x & ((1ull << 8 * bytes) - 1); }

static inline text16 first_bytes(text16 t, uint32_t n) {
    if (n <= 8) return (text16){keep(t.low, n), 0};
    return (text16){t.low, keep(t.high, n - 8)};
}

/* Without its first n bytes, 0 < n < 16. */
static inline text16 drop_bytes(text16 t, uint32_t n) {
    if (n >= 8) return (text16){t.high >> 8 * (n - 8), 0};
    return (text16){t.low >> 8 * n | t.high << (64 - 8 * n), t.high >> 8 * n};
}

/* ---- lookups ---- */

static inline uint64_t slot_number(const sc_slots *s, uint64_t hash, uint32_t i) {
    return ((hash >> (64 - s->bits)) + i) & ((1ull << s->bits) - 1);
}

static inline uint32_t slot_tag(uint64_t hash) { return (uint32_t)(hash >> 31) & 0xFFF; }

/* The id of a piece of at most 16 bytes, or NONE. */
static inline uint32_t find(const sc_vocabulary *v, const sc_slots *s, text16 key) {
    uint64_t hash = key.low * 0x9E3779B97F4A7C15ull ^ key.high * 0xC2B2AE3D27D4EB4Full;
    for (uint32_t i = 0; i <= s->probes; i++) {
        uint32_t slot = s->at[slot_number(s, hash, i)], id = (slot & 0xFFFFF) - 1;
        if (slot == 0) return NONE;
        if (slot >> 20 != slot_tag(hash) || id >= v->count) continue;
        if (v->pieces[id].low == key.low && v->pieces[id].high == key.high) return id;
    }
    return NONE;
}

static inline uint64_t wide_step(uint64_t hash, uint8_t c) {
    hash = (hash ^ c) * 0x9E3779B97F4A7C15ull;
    return hash ^ hash >> 29;
}

static uint32_t find_wide(const sc_vocabulary *v, uint64_t hash, const uint8_t *p, uint32_t n, bool next) {
    hash *= 0xC2B2AE3D27D4EB4Full;
    for (uint32_t i = 0; i <= v->wide.probes; i++) {
        uint32_t slot = v->wide.at[slot_number(&v->wide, hash, i)], number = (slot & 0xFFFFF) - 1;
        if (slot == 0) return NONE;
        if (slot >> 20 != slot_tag(hash) || number >= v->nlongs) continue;
        sc_long k = v->longs[number]; /* a copy: it is checked and used, and the file may change under us */
        if (k.size != n || k.next != next || k.id >= v->count) continue;
        if (k.at > v->text_size || n > v->text_size - k.at) continue;
        if (memcmp(v->text + k.at, p, n) == 0) return k.id;
    }
    return NONE;
}

/* The longest piece of more than 16 bytes that p, of n bytes, begins with. */
static uint32_t longest_wide(const sc_vocabulary *v, const uint8_t *p, uint32_t n, bool next, uint32_t *taken) {
    uint32_t best = NONE;
    uint64_t hash = next;
    if (n > v->wide.longest) n = v->wide.longest;
    for (uint32_t i = 0; i < n; i++) {
        hash = wide_step(hash, p[i]);
        if (i < SC_PIECE_INLINE) continue;
        uint32_t id = find_wide(v, hash, p, i + 1, next);
        if (id == NONE) continue;
        best = id;
        *taken = i + 1;
    }
    return best;
}

/* The longest piece that the first n bytes of t begin with; other bytes of t are anything. */
static inline uint32_t longest(const sc_vocabulary *v, const sc_slots *s, text16 t, uint32_t n, uint32_t *taken) {
    for (uint32_t i = n < s->longest ? n : s->longest; i; i--) {
        uint32_t id = find(v, s, first_bytes(t, i));
        if (id == NONE) continue;
        *taken = i;
        return id;
    }
    return NONE;
}

/* ---- words ---- */

/* The ids of a word of 1 to 16 bytes. */
static inline uint32_t cut_short(const sc_vocabulary *v, text16 t, uint32_t n, uint32_t *ids) {
    uint32_t found = 0, taken = 0;
    for (const sc_slots *s = &v->first;; s = &v->next) {
        uint32_t id = longest(v, s, t, n, &taken);
        if (id == NONE) break;
        ids[found++] = id;
        if (taken == n) return found;
        t = drop_bytes(t, taken);
        n -= taken;
    }
    ids[0] = v->unknown;
    return 1;
}

/* The ids of the word p of n bytes, with 16 more that can be read. */
static uint32_t cut(const sc_vocabulary *v, const uint8_t *p, uint32_t n, uint32_t *ids) {
    if (n <= SC_PIECE_INLINE) return cut_short(v, load16(p), n, ids);
    uint32_t found = 0;
    for (uint32_t at = 0, taken = 0; at < n; at += taken) {
        uint32_t id = NONE, left = n - at;
        if (left > SC_PIECE_INLINE && v->nlongs) id = longest_wide(v, p + at, left, at > 0, &taken);
        if (id == NONE) id = longest(v, at ? &v->next : &v->first, load16(p + at), left, &taken);
        if (id == NONE) {
            ids[0] = v->unknown;
            return 1;
        }
        ids[found++] = id;
    }
    return found;
}

/* ---- code points ---- */

static uint32_t put_utf8(uint8_t *to, uint32_t cp) {
    if (cp < 0x80) {
        to[0] = (uint8_t)cp;
        return 1;
    }
    uint32_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (uint32_t i = n - 1; i; i--, cp >>= 6) to[i] = (uint8_t)(0x80 | (cp & 0x3F));
    to[0] = (uint8_t)((0xF00u >> n & 0xF0) | cp);
    return n;
}

/* Decodes one code point and moves on; on anything that is not one, a byte is skipped. */
static uint32_t take_utf8(const uint8_t **p, const uint8_t *end) {
    const uint8_t *s = *p;
    uint8_t c = s[0];
    *p = s + 1;
    if (c < 0x80) return c;
    uint32_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2, cp = c & (0x7Fu >> n);
    if (c < 0xC2 || c > 0xF4 || (size_t)(end - s) < n) return SC_UNICODE_END;
    for (uint32_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return SC_UNICODE_END;
        cp = cp << 6 | (s[i] & 0x3F);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (cp < least[n] || cp >= SC_UNICODE_END || (cp >= 0xD800 && cp < 0xE000)) return SC_UNICODE_END;
    *p = s + n;
    return cp;
}

static void append(sc_reader *r, uint32_t cp) {
    if (r->chars < SC_WORD_CHARS) r->bytes += put_utf8(r->word + r->bytes, cp);
    r->chars += r->chars <= SC_WORD_CHARS;
}

static void settle_marks(sc_reader *r) {
    for (uint32_t i = 0; i < r->waiting; i++) append(r, r->marks[i].cp);
    r->waiting = 0;
}

/* In order of combining class, and of the text within a class. */
static void add_mark(sc_reader *r, uint32_t cp, uint32_t order) {
    uint32_t i = r->waiting;
    if (i == SC_WORD_CHARS) { /* with the rest of its word more than that */
        r->chars = SC_WORD_CHARS + 1;
        return;
    }
    for (; i && r->marks[i - 1].order > order; i--) r->marks[i] = r->marks[i - 1];
    r->marks[i].cp = cp;
    r->marks[i].order = order;
    r->waiting++;
}

/* The ids of the word under way, if there is one. */
static uint32_t end_word(sc_reader *r, uint32_t *ids) {
    if (r->waiting) settle_marks(r);
    if (r->chars == 0) return 0;
    uint32_t n = 1;
    if (r->chars > SC_WORD_CHARS) {
        ids[0] = r->v->unknown;
    } else {
        memset(r->word + r->bytes, 0, SC_PIECE_INLINE);
        n = cut(r->v, r->word, r->bytes, ids);
    }
    r->chars = r->bytes = 0;
    return n;
}

static uint32_t alone(sc_reader *r, uint32_t cp, uint32_t *ids) {
    uint32_t n = end_word(r, ids);
    append(r, cp);
    return n + end_word(r, ids + n);
}

static void add_hangul(sc_reader *r, uint32_t syllable) {
    uint32_t tail = syllable % 28;
    settle_marks(r);
    append(r, 0x1100 + syllable / 588);
    append(r, 0x1161 + syllable % 588 / 28);
    if (tail) append(r, 0x11A7 + tail);
}

/* A code point that normalisation leaves as it is. */
static uint32_t add_final(sc_reader *r, uint32_t cp, unsigned what, uint32_t *ids) {
    switch (SC_KIND(what)) {
    case SC_SPACE: return end_word(r, ids);
    case SC_ALONE: return alone(r, cp, ids);
    case SC_MARK: add_mark(r, cp, SC_ARGUMENT(what)); return 0;
    case SC_BREAK: settle_marks(r); return 0;
    case SC_WORD:
        settle_marks(r);
        append(r, cp);
        return 0;
    default: return 0;
    }
}

/* Returns how many ids it brought about. */
static uint32_t add(sc_reader *r, uint32_t cp, uint32_t *ids) {
    if (cp >= SC_UNICODE_END) return 0;
    unsigned what = sc_unicode(cp);
    if (SC_KIND(what) == SC_HANGUL) {
        add_hangul(r, cp - 0xAC00);
        return 0;
    }
    if (SC_KIND(what) != SC_MAPPED) return add_final(r, cp, what, ids);
    uint32_t n = 0;
    for (uint32_t i = sc_unicode_starts[SC_ARGUMENT(what)]; i < sc_unicode_starts[SC_ARGUMENT(what) + 1]; i++) {
        cp = sc_unicode_mapped[i];
        n += add_final(r, cp, sc_unicode(cp), ids + n);
    }
    return n;
}

/* ---- the fast path ---- */

/* The number of the lowest byte that is not zero; it is 0x80. */
static inline uint32_t lowest_byte(uint64_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return (uint32_t)__builtin_ctzll(x) / 8;
#else
    x >>= 7;
    return (uint32_t)(((x - 1) & ~x & EACH(1)) * EACH(1) >> 56);
#endif
}

/* How many of the first 8 bytes are ASCII letters and digits, up to the first that is none; *x in lower case. */
static inline uint32_t lower_run(uint64_t *x) {
    uint64_t seven = *x & ~HIGHS, folded = seven | EACH(0x20);
    uint64_t letter = (folded + EACH(0x80 - 'a')) & ~(folded + EACH(0x7F - 'z'));
    uint64_t digit = (seven + EACH(0x80 - '0')) & ~(seven + EACH(0x7F - '9'));
    uint64_t other = ~((letter | digit) & ~*x) & HIGHS;
    *x |= (letter & HIGHS) >> 2;
    return other ? lowest_byte(other) : 8;
}

/* The 16 bytes at p, zeros behind the end. Never reads outside of the text. */
static inline text16 peek(const sc_reader *r, const uint8_t *p) {
    size_t left = (size_t)(r->end - p);
    if (left >= SC_PIECE_INLINE || r->begin == r->small) return load16(p);
    return drop_bytes(load16(r->end - SC_PIECE_INLINE), SC_PIECE_INLINE - (uint32_t)left); /* left > 0 */
}

/* From the beginning of a word, as long as words are short and ASCII. Returns how many ids it found; what it leaves
 * in `word`, or ahead, is for `add`. */
static uint32_t read_ascii(sc_reader *r, uint32_t *ids, uint32_t room) {
    const uint8_t *at = r->at, *end = r->end;
    uint32_t found = 0;
    while (at < end && room - found >= SC_STEP) {
        text16 t = peek(r, at);
        uint32_t n = lower_run(&t.low);
        if (n == 8) n += lower_run(&t.high);
        const uint8_t *stop = at + n;
        unsigned kind = stop == end ? SC_SPACE : *stop < 0x80 ? sc_unicode_ascii(*stop) : SC_WORD;
        if (n == 0) {
            if (kind == SC_WORD) break; /* not ASCII */
            if (kind == SC_ALONE) found += cut_short(r->v, t, 1, ids + found);
            at++;
            continue;
        }
        at = stop;
        if (n == SC_PIECE_INLINE || (kind != SC_SPACE && kind != SC_ALONE)) {
            memcpy(r->word, &t, sizeof t);
            r->chars = r->bytes = n;
            break;
        }
        at += kind == SC_SPACE && stop < end;
        found += cut_short(r->v, t, n, ids + found);
    }
    r->at = at;
    return found;
}

void sc_reader_init(sc_reader *r, const sc_vocabulary *v, const void *text, size_t size) {
    r->v = v;
    r->begin = text;
    r->chars = r->bytes = r->waiting = 0;
    if (size < SC_PIECE_INLINE) {
        memset(r->small, 0, sizeof r->small);
        if (size) memcpy(r->small, text, size);
        r->begin = r->small;
    }
    r->at = r->begin;
    r->end = r->begin + size;
}

uint32_t sc_reader_next(sc_reader *r, uint32_t *ids, uint32_t room) {
    uint32_t n = 0;
    while (r->at < r->end && room - n >= SC_STEP) {
        if (!(r->chars | r->waiting)) n += read_ascii(r, ids + n, room - n);
        if (r->at < r->end && room - n >= SC_STEP) n += add(r, take_utf8(&r->at, r->end), ids + n);
    }
    if (r->at == r->end && room - n >= SC_STEP) n += end_word(r, ids + n);
    return n;
}
