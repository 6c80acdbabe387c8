/* What BERT's normalisation makes of a code point: its kind, and an argument.
 *
 * Removing controls, spacing CJK, decomposing (NFD), stripping accents and lower-casing are one step here, since
 * each looks at one code point only. The exception is NFD's reordering of combining marks: nearly all of them
 * are stripped, and the reader (wordpiece.c) puts the few that stay in order. */
#ifndef SC_UNICODE_H
#define SC_UNICODE_H

#include "../common.h"

enum {
    SC_WORD,   /* part of a word, as it is */
    SC_DROP,   /* nothing */
    SC_BREAK,  /* nothing, but marks before it do not move behind it */
    SC_SPACE,  /* ends a word */
    SC_ALONE,  /* a word of its own: punctuation, CJK */
    SC_MARK,   /* part of a word, of the combining class that the argument tells */
    SC_MAPPED, /* becomes sequence number `argument`, of code points of the kinds above */
    SC_HANGUL  /* a syllable: becomes two or three jamo, by arithmetic */
};

#define SC_UNICODE_END 0x110000u
#define SC_KIND(x) ((x) >> 13)
#define SC_ARGUMENT(x) ((x) & 0x1FFF)

extern const uint16_t sc_unicode_index[], sc_unicode_blocks[]; /* of 64 code points */
extern const uint16_t sc_unicode_starts[];                     /* of sequence i in the next: i up to i + 1 */
extern const uint32_t sc_unicode_mapped[];

/* cp < SC_UNICODE_END */
static inline unsigned sc_unicode(uint32_t cp) {
    return sc_unicode_blocks[64u * sc_unicode_index[cp / 64] + cp % 64];
}

/* The table begins with ASCII's own two blocks (tools/unicode/make.py asserts it). */
static inline unsigned sc_unicode_ascii(uint8_t c) { return SC_KIND(sc_unicode_blocks[c]); }

#endif
