/* A table that turns text into a vector: a vocabulary and a row of numbers a piece, in one mapped file. See table.c. */
#ifndef SC_STATIC_H
#define SC_STATIC_H

#include "../region/platform.h"
#include "wordpiece.h"

#define SC_STATIC_MAGIC "SCTABLE\n"
#define SC_STATIC_VERSION 1
#define SC_STATIC_ALIGN 64 /* every section begins at a multiple */
#define SC_DIM_STEP 64    /* dimensions come in groups of 64 */
#define SC_DIM_MAX 1024
#define SC_NAME_MAX 80 /* with a checksum and a limit of tokens it is a fingerprint */

enum {
    SC_NAME,     /* UTF-8 */
    SC_LICENCE,  /* UTF-8: what the rows may be used for, and whose work they are */
    SC_FIRST,    /* uint32_t[1 << first.bits]: the hashes, see sc_slots */
    SC_NEXT,
    SC_WIDE,
    SC_PIECES,   /* sc_piece[pieces] */
    SC_CONTINUE, /* a bit a piece: it is written with "##" */
    SC_LONGS,    /* sc_long[longs] */
    SC_TEXT,     /* their bytes */
    SC_WEIGHTS,  /* int16_t[pieces], 0 up to 32767 */
    SC_ROWS,     /* [pieces][dim]: int8, or 4 bits, laid out as kernels.h says */
    SC_SECTIONS
};

typedef struct sc_span { uint64_t at, size; } sc_span;

typedef struct sc_slots_header { uint32_t bits, probes, longest; } sc_slots_header;

typedef struct sc_static_header {
    char magic[8];
    uint32_t version;
    uint32_t header;      /* bytes of this */
    uint64_t check[2];    /* XXH3-128, with its published secret, of all that follows */
    uint64_t size;        /* of the file */
    uint32_t dim, bits;   /* bits: 8 or 4 a number */
    uint32_t pieces, longs;
    uint32_t unknown;     /* id of [UNK] */
    sc_slots_header first, next, wide;
    uint32_t zero[2];
    sc_span sections[SC_SECTIONS];
} sc_static_header;

typedef struct sc_static {
    sc_vocabulary v;
    const uint8_t *rows;
    const int16_t *weights;
    uint32_t dim, bits;
    const uint8_t *base;   /* of the file */
    sc_span name, licence, marks;
    uint64_t size;
    sc_mapping *mapping;   /* NULL: the bytes are the caller's, or `owned` */
    void *owned;
    int fd;                /* 0: none */
} sc_static;

/* SC_OK, SC_EIO or SC_EREGION; `why` tells. Reads the header only: rows are touched when they are used. */
int sc_static_open(sc_static *t, const char *path, char *why, size_t why_len);
/* A table in memory, 8-byte aligned, which it refers to. */
int sc_static_from(sc_static *t, const void *bytes, uint64_t size, char *why, size_t why_len);
void sc_static_close(sc_static *t);
/* NULL, or what is wrong. Reads the whole file: for tests and after a suspicion. */
const char *sc_static_validate(const sc_static *t);
/* The file shrank or its disk failed: answers are worth nothing. */
bool sc_static_lost(const sc_static *t);
void sc_static_check(const void *bytes, size_t size, uint64_t out[2]); /* what `check` of this file has to be */

/* Text to a vector of length 1 in out[dim]; SC_ENOTFOUND when it has none (no pieces, more than `most` of them
 * unless that is 0, or a sum of zero), and out is zeros. */
int sc_static_embed(const sc_static *t, const void *text, size_t size, uint64_t most, float *out);

#endif
