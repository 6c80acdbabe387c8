/* BERT's WordPiece over UTF-8, a chunk of ids at a time. See wordpiece.c. */
#ifndef SC_WORDPIECE_H
#define SC_WORDPIECE_H

#include "../common.h"

#define SC_WORD_CHARS 100      /* a longer word is unknown */
#define SC_STEP (SC_WORD_CHARS + 4) /* most ids that one code point can bring about */
#define SC_PIECE_INLINE 16     /* bytes of a piece that its record holds */
#define SC_PROBES_MAX 64       /* a hash half full needs some 20 */
#define SC_PIECES_MAX 0xFFFFEu /* ids fit 20 bits of a slot */

/* The first 16 bytes of a piece, without its "##", zeros behind its end. */
typedef struct sc_piece { uint64_t low, high; } sc_piece;

/* A piece of more than 16 bytes. */
typedef struct sc_long {
    uint32_t id;
    uint32_t at;    /* in `text` */
    uint32_t size;  /* bytes */
    uint32_t next;  /* 1: it continues a word */
} sc_long;

/* An open hash. A slot is 0 or 12 bits of hash above 20 of number + 1. */
typedef struct sc_slots {
    const uint32_t *at;
    uint32_t bits;    /* 1 << bits slots */
    uint32_t probes;  /* no key is further from its place */
    uint32_t longest; /* bytes of its longest key */
} sc_slots;

/* Everything lies in the table file; nothing in it is trusted (sc_static_open checks sizes, lookups numbers). */
typedef struct sc_vocabulary {
    sc_slots first; /* pieces that begin a word, up to 16 bytes */
    sc_slots next;  /* pieces that continue one */
    sc_slots wide;  /* of both, longer ones: numbers of `longs` */
    const sc_piece *pieces;
    const sc_long *longs;
    const uint8_t *text;
    uint32_t count, nlongs, text_size;
    uint32_t unknown; /* id of [UNK] */
} sc_vocabulary;

/* A text being read. */
typedef struct sc_reader {
    const sc_vocabulary *v;
    const uint8_t *at, *end;
    const uint8_t *begin;
    uint32_t chars;   /* of the word under way; more than SC_WORD_CHARS: it is unknown whatever follows */
    uint32_t bytes;   /* of them, in `word` */
    uint32_t waiting; /* marks that may still change places */
    struct { uint32_t cp, order; } marks[SC_WORD_CHARS];
    uint8_t word[4 * SC_WORD_CHARS + SC_PIECE_INLINE];
    uint8_t small[2 * SC_PIECE_INLINE]; /* a copy of a text that is shorter than one load */
} sc_reader;

/* text: UTF-8; what is not valid in it, lone surrogates included, is skipped. The reader refers to it. */
void sc_reader_init(sc_reader *r, const sc_vocabulary *v, const void *text, size_t size);

/* The next ids, at most `room` (>= SC_STEP); 0 at the end of the text. */
uint32_t sc_reader_next(sc_reader *r, uint32_t *ids, uint32_t room);

#endif
