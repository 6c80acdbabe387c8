/* semcore: the embeddable C API of the cache engine.
 *
 * A cache is one region of memory or one file. Calls return SC_OK or a negative SC_E... code and
 * leave the cache as it was when they fail. Readers (find, search, read) take no lock; writers
 * (put, delete, invalidate, clear, expire) serialise on the region's own lock. All of them may be
 * called from any thread. Times are microseconds since the Unix epoch and always passed in.
 */
#ifndef SEMCORE_H
#define SEMCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_NIL UINT32_MAX     /* no slot, no block, no node */
#define SC_FOREVER INT64_MAX  /* an expiry that never comes */
#define SC_MAX_DIM 4096
#define SC_MAX_ENTRIES (1u << 30)
#define SC_MAX_TAGS 64
#define SC_SHELLS 2           /* lists of a cell */
#define SC_FLOORS 4           /* for which a model knows how many cells a search has to read: 0.8, 0.85, 0.9 and 0.95, */
#define SC_SHARES 6           /* and for which shares of hits missed: 0.1, 0.03, 0.01, 0.003, 0.001 and 0.0003 */
#define SC_MAX_THREADS 8
#define SC_MAX_TOP 64         /* most candidates that one search returns */
#define SC_FINGERPRINT 120    /* bytes kept of the embedder's fingerprint, NUL included */
#define SC_SECRET 192         /* bytes of hash secret in the header */
#define SC_MAX_PREFIX_BLOCKS (1u << 26)
#define SC_MAX_PREFIX_BLOCK 256 /* tokens of a block */
#define SC_MAX_PREFIX_GROUP 64  /* blocks of a group */
#define SC_MAX_REPLICAS 1024

enum sc_error {
    SC_OK = 0,
    SC_ENOTFOUND = -1,  /* no such entry */
    SC_EMOVED = -2,     /* the entry changed since it was found: look again */
    SC_EDAMAGED = -3,   /* a checksum does not match */
    SC_ETOOBIG = -4,    /* the value can never fit */
    SC_EARG = -5,       /* an argument is out of range */
    SC_ENOMEM = -6,
    SC_EREGION = -7,    /* not a semcore file, another geometry or embedder, corrupt */
    SC_EIO = -8,        /* the operating system said no; errno tells why */
    SC_EUNSUPPORTED = -9, /* not available on this platform */
    SC_EREADONLY = -10, /* opened for reading */
    SC_EBUSY = -13,     /* somebody else has the lock */
    SC_EINTR = -12,     /* a signal came while waiting for others: call again */
    SC_ELOST = -11      /* the file was truncated, or its disk failed, while it was mapped */
};

enum sc_storage { SC_F16 = 0, SC_F32 = 1, SC_I8 = 2 };
enum sc_policy { SC_POLICY_VALUE = 0, SC_POLICY_LRU = 1, SC_POLICY_LFU = 2 };
enum sc_text_kind { SC_TEXT_STR = 0, SC_TEXT_BYTES = 1 };
enum sc_prefix_hash {
    SC_HASH_KEYED = 0,   /* XXH3-128 with the region's secret, in groups */
    SC_HASH_ROLLING = 1, /* XXH3-64 of each block, rolled: as some routers and engines publish */
    SC_HASH_GIVEN = 2,   /* from here on the caller computes 64-bit hashes; the number tells it how */
    SC_HASHES = 5
};
enum sc_layer { SC_LAYER_EXACT = 0, SC_LAYER_SEMANTIC = 1 };


enum sc_counter { /* the ledger; the last three are what hits deflected */
    SC_HITS_EXACT, SC_HITS_SEMANTIC, SC_HITS_PREFIX, SC_MISSES, SC_PUTS, SC_EVICTIONS, SC_EXPIRATIONS, SC_DELETIONS,
    SC_DAMAGED, SC_RECOVERIES, SC_TOKENS, SC_COST_NANO, SC_LATENCY_US, SC_COUNTERS
};

typedef struct sc_cache sc_cache;

typedef struct sc_options {
    const char *path;         /* NULL: private memory */
    uint32_t dim;             /* 0: exact lookups only */
    uint32_t max_entries;     /* 0: as many as leave half of the bytes to values */
    uint64_t max_bytes;       /* size of the whole region; 0: a file's own, a new one's 1 GiB */
    uint32_t storage;         /* enum sc_storage */
    uint32_t policy;          /* enum sc_policy; a property of the handle, not of the file */
    float recall;             /* least share of hits that a search has to find; 0: all of them in a cache of up to 300,000
                               * entries, else 0.999. Of the handle, too */
    uint32_t threads;         /* that a large search may use, at most SC_MAX_THREADS; 0: one. Of the handle, too */
    const char *fingerprint;  /* of the embedder */
    bool read_only;           /* an existing file, of which nothing is changed */
    const uint8_t *secret;    /* SC_SECRET bytes for a new region; NULL: random ones */
    uint32_t prefix_blocks;   /* of the prefix index; 0: none, or whatever the file has */
    uint32_t prefix_block;    /* tokens of a block */
    uint32_t prefix_group;    /* blocks that are hashed as one at first */
    uint32_t prefix_hash;     /* enum sc_prefix_hash */
    uint64_t prefix_seed;     /* of SC_HASH_ROLLING */
} sc_options;

typedef struct sc_hash128 { uint64_t low, high; } sc_hash128;

/* (namespace, context) as one keyed hash: the first half is the namespace's alone. */
typedef struct sc_part { uint64_t ns, all; } sc_part;

/* What a hit spares. */
typedef struct sc_saving { uint32_t tokens; float cost, latency_ms; } sc_saving;

/* An entry as a lookup found it; valid for reading while the entry does not change. */
typedef struct sc_ref {
    uint32_t slot, seq;
    uint32_t text_len, value_len;
    uint8_t text_kind, value_kind;
    float similarity;
    int64_t created, expires;
    sc_saving saving;
    uint32_t block, value_sum; /* where the value lies */
} sc_ref;

typedef struct sc_put {
    sc_part part;
    const void *text; size_t text_len; uint8_t text_kind;
    const void *value; size_t value_len; uint8_t value_kind; /* the caller's own codes */
    const float *vector;        /* dim floats, or NULL: an exact-only entry */
    const uint64_t *tags; uint32_t ntags;  /* from sc_tag */
    int64_t expires;            /* or SC_FOREVER */
    uint32_t sliding_ms;        /* > 0: every hit moves the expiry to now + this */
    bool keep_text;             /* false: only the text's hash is stored */
    sc_saving saving;
    const struct sc_record *as; /* or NULL: an entry of another region with the same secret, kept as it was */
} sc_put;

/* An entry's record, for moving it to another region. */
typedef struct sc_record {
    uint64_t key[2];
    sc_part part;
    int64_t created, expires;
    uint32_t sliding_ms;
    uint16_t count;             /* the decayed hits that the policies know */
    uint32_t tick;              /* of the last hit: orders entries by recency */
    bool has_vector;
    uint8_t ntags;
    uint64_t tags[SC_MAX_TAGS];
} sc_record;

typedef struct sc_stats {
    uint64_t entries, max_entries, bytes, blocks, free_blocks, block_bytes;
    uint64_t bytes_per_entry, bytes_per_vector; /* all arrays together; those of the vector and its codes */
    uint64_t counts[SC_COUNTERS];
    uint32_t dim, storage, tick;
} sc_stats;

/* ---- life ---- */
int sc_open(const sc_options *o, sc_cache **out, char *why, size_t why_len);
void sc_close(sc_cache *c);
void sc_forked(sc_cache *c);  /* in a forked child, before anything else: private memory's lock may be held by nobody */
int sc_flush(sc_cache *c);  /* to disk; SC_OK for private memory */
/* What a file states of itself, and how far (of 1000) a recovery that is under way has come, else -1. */
int sc_peek(const char *path, sc_options *o, char *fingerprint, int *recovering, char *why, size_t why_len);
/* Its geometry and fingerprint, as `sc_peek`. */
void sc_describe(const sc_cache *c, sc_options *o, char *fingerprint);
bool sc_lost(const sc_cache *c);      /* every call fails with SC_ELOST or finds nothing: close it */
bool sc_exclusive(sc_cache *c, const char *path); /* nobody else has the file open, and others wait until it is closed */
void sc_secret(const sc_cache *c, uint8_t out[SC_SECRET]);
int64_t sc_now(void);
uint64_t sc_bytes_for(const sc_options *o, uint64_t blocks); /* max_bytes of a region with so many value blocks */

/* ---- keys ---- */
sc_part sc_partition(const sc_cache *c, const void *ns, size_t ns_len, const void *ctx, size_t ctx_len);
uint64_t sc_tag(const sc_cache *c, sc_part part, const void *name, size_t len);

/* ---- lookups: lock-free ---- */
int sc_find(sc_cache *c, sc_part part, const void *text, size_t len, uint8_t kind, int64_t now, sc_ref *out);
int sc_search(sc_cache *c, sc_part part, const float *query, float floor, uint32_t top, int64_t now,
              sc_ref *out, uint32_t *n);
/* The best entry for each of several queries, dim floats each; found[i]: whether there is one. */
int sc_search_many(sc_cache *c, sc_part part, const float *queries, uint32_t nqueries, float floor, int64_t now,
                   sc_ref *out, uint8_t *found);
int sc_at(sc_cache *c, uint64_t id, int64_t now, sc_ref *out);
int sc_with_key(sc_cache *c, const uint64_t key[2], int64_t now, sc_ref *out);
int sc_read_value(sc_cache *c, const sc_ref *ref, void *to);  /* value_len bytes */
int sc_read_text(sc_cache *c, const sc_ref *ref, void *to);   /* text_len bytes */
int sc_read_vector(sc_cache *c, const sc_ref *ref, float *to); /* dim floats */
int sc_read_record(sc_cache *c, const sc_ref *ref, sc_record *out);
void sc_hit(sc_cache *c, const sc_ref *ref, int layer, int64_t now);
void sc_hit_prefix(sc_cache *c);
void sc_miss(sc_cache *c);
uint64_t sc_work(const sc_cache *c, sc_part part); /* most bytes that a search of this partition reads */
uint64_t sc_id(const sc_ref *ref);
bool sc_is_ascii(const void *p, size_t n);
bool sc_vector_valid(const float *v, size_t n); /* finite and not zero */
uint32_t sc_next_live(sc_cache *c, uint32_t from, int64_t now, sc_ref *out); /* SC_NIL at the end */
/* Ids and vectors, as stored, of up to `most` live entries of a partition from slot `*from` on; returns how many, and
 * in `*from` where to go on: SC_NIL at the end. Entries without a vector are passed over. */
uint32_t sc_rows(sc_cache *c, sc_part part, int64_t now, uint32_t *from, uint32_t most, uint64_t *ids, float *out);

/* ---- writers ---- */
int sc_put_entry(sc_cache *c, const sc_put *p, int64_t now, uint64_t *id);
int sc_delete(sc_cache *c, uint64_t id, int64_t now);
int sc_delete_text(sc_cache *c, sc_part part, const void *text, size_t len, uint8_t kind, int64_t now);
/* n: how many entries they removed */
int sc_invalidate(sc_cache *c, uint64_t tag, uint64_t *n);
int sc_clear(sc_cache *c, const sc_part *ns, uint64_t *n);     /* NULL: everything */
int sc_expire(sc_cache *c, int64_t now, uint64_t *n);

/* ---- learning ---- */

/* What a caller learns from a sample of the vectors: see core/semantic/model.h. */
typedef struct sc_learnt {
    const uint16_t *rotation;  /* [120][dim] halves, of spectral norm at most 1 */
    const float *centroids;    /* [120][16]: a direction's component of the centroids of its group of three */
    const float *means, *steps; /* 120 each: of the 4-bit codes */
    const float *rests;        /* 16, ascending */
    const float *strays, *margins; /* [16][2]: least and most in each class */
    float margin_least, margin_step;
    float loss;                /* mean square of what the product codes leave out */
    uint32_t entries;          /* that the cache held when the sample was taken */
    uint32_t cells, groups;    /* at most what sc_most_cells says */
    const uint32_t *first;     /* groups + 1: where each group's cells begin, and the last ones' end */
    const float *bases, *spreads;  /* 120: a centre is base + spread (code - 7.5) */
    const uint8_t *centres;    /* [cells + groups][60]: 4-bit codes, directions b and 60 + b in byte b */
    const float *shells;       /* SC_SHELLS - 1 cosines, falling */
    const uint32_t *probes;    /* [SC_FLOORS][SC_SHARES]: how many of the nearest cells to read */
} sc_learnt;

enum { SC_LEARNT = 0, SC_STALE = 1, SC_UNLEARNT = 2 };
/* Is there something to learn, or are there only rows left to recode? Costs a look at each block's word. */
int sc_learning(const sc_cache *c);
/* The vectors of up to `most` live entries, evenly spread over the cache, dim floats each; returns how many. Other ones in
 * each of the parts from 0 on. */
uint32_t sc_sample(const sc_cache *c, uint32_t most, uint32_t part, uint32_t parts, float *out);
uint32_t sc_generation(const sc_cache *c);
/* How many cells suit what the cache holds; 1: too few entries. */
uint32_t sc_cells(const sc_cache *c);
/* Most cells and groups that a model may have. */
uint32_t sc_most_cells(const sc_cache *c, uint32_t *groups);
/* Takes a model, unless another came since `generation` (SC_EMOVED) or rows are left to recode (SC_EARG). */
int sc_learn(sc_cache *c, const sc_learnt *learnt, uint32_t generation);
/* Recodes up to `most` blocks of 32 rows; `left`: whether there are more. Lookups go on, and writers between blocks. */
int sc_recode(sc_cache *c, uint32_t most, int *left);

/* ---- prefixes: core/prefix/prefix.h ---- */

/* A sequence of blocks, hashed as far as it was needed. */
typedef struct sc_prompt {
    const void *data;         /* the whole blocks; NULL: all hashes are there */
    sc_hash128 *hashes;       /* of the first groups; room for blocks / group */
    uint32_t blocks, group;
    uint32_t hashed;          /* groups whose hashes are there */
    bool is_signed;           /* the data are int32, and none may be negative */
    sc_hash128 root;
} sc_prompt;

typedef struct sc_match {
    uint32_t blocks;          /* that are known from the front on */
    uint32_t value_at;        /* blocks in front of the deepest live value on them; 0: there is none */
    uint32_t value_len;
    uint8_t value_kind;
} sc_match;

typedef struct sc_attach {    /* what an insert leaves at the end of the prompt */
    uint32_t replica;         /* that holds all of it, or SC_NIL */
    const void *value;        /* or NULL */
    size_t value_len;
    uint8_t value_kind;
    int64_t expires;          /* of the value */
} sc_attach;

typedef struct sc_inserted { uint32_t known, blocks; bool stored; } sc_inserted;

typedef struct sc_prefix_stats {
    uint64_t blocks, max_blocks, runs, max_runs, values, value_blocks, pins, notes, max_notes, lost, evicted, bytes;
} sc_prefix_stats;

sc_hash128 sc_prefix_root(const sc_cache *c, const void *ns, size_t len);
/* The hash of one more unit of any size: what it is, and its text. */
sc_hash128 sc_prefix_unit(const sc_cache *c, sc_hash128 before, const void *head, size_t head_len, const void *text, size_t len);
/* The key of a block that engines know by this 64-bit hash. */
sc_hash128 sc_prefix_key(const sc_cache *c, sc_hash128 root, uint64_t hash);
/* Of SC_HASH_ROLLING: the hashes of so many blocks from data on. */
void sc_prefix_roll(const sc_cache *c, const void *data, uint32_t blocks, uint64_t *out);

/* The longest prefix that is there. touch: it counts as used. The value is copied if it fits into `room` bytes at `to`. scores: how many
 * blocks each of so many replicas holds. wait false: SC_EBUSY rather than waiting for the lock. */
int sc_prefix_match(sc_cache *c, sc_prompt *p, bool touch, bool wait, int64_t now, void *to, size_t room,
                    uint32_t *scores, uint32_t replicas, sc_match *out);
int sc_prefix_insert(sc_cache *c, sc_prompt *p, const sc_attach *what, int64_t now, sc_inserted *out);
/* Pins what matches, or takes back the deepest pin on it; blocks: 0 if there is none. */
int sc_prefix_pin(sc_cache *c, sc_prompt *p, bool pin, uint32_t *blocks);
int sc_prefix_forget(sc_cache *c, uint32_t replica, uint64_t *runs);
/* What engines publish, by keys: n blocks behind `after` (NULL: at the front). SC_ENOTFOUND: `after` is not there. */
int sc_prefix_stored(sc_cache *c, const sc_hash128 *after, const sc_hash128 *keys, uint32_t n, uint32_t replica);
int sc_prefix_removed(sc_cache *c, const sc_hash128 *keys, uint32_t n, uint32_t replica);
int sc_prefix_clear(sc_cache *c);
void sc_prefix_stats_get(sc_cache *c, sc_prefix_stats *out);
const char *sc_prefix_validate(sc_cache *c); /* as sc_validate, of the prefixes alone */

/* ---- runs of prefixes, to another region with the same secret and prefix_blocks: core/carry.c ---- */

typedef struct sc_carried_note { uint32_t depth; uint64_t what; } sc_carried_note; /* of a step its stamp, of a pin its count */
typedef struct sc_carried_notes { sc_carried_note *at; uint32_t n; } sc_carried_notes;
typedef struct sc_carried_value { uint32_t depth, len; int64_t expires; uint8_t kind; } sc_carried_value;

typedef struct sc_carried {
    sc_hash128 after;         /* the block in front of it, if start > 0 */
    uint32_t start, length;
    uint64_t stamp;           /* of its last block; of others the steps */
    sc_hash128 *keys;
    sc_carried_notes steps, pins;
    sc_carried_value *values;
    uint32_t nvalues;
    uint8_t *bytes;           /* of all values, one behind the other */
    size_t nbytes, bytes_room;
} sc_carried;

/* Tick, age and blocks evicted. */
void sc_carry_clock(const sc_cache *c, uint64_t out[3]);
int sc_carry_wind(sc_cache *c, const uint64_t clock[3]);
/* Runs have numbers below it; blocks before one, or SC_NIL if there is none of that number. */
uint32_t sc_carry_runs(const sc_cache *c);
uint32_t sc_carry_start(const sc_cache *c, uint32_t run);
/* SC_ENOTFOUND: it is gone, damaged, or writers are at work without a pause. */
int sc_carry_take(const sc_cache *c, uint32_t run, int64_t now, sc_carried *out);
void sc_carried_free(sc_carried *run);
/* A run behind a block (NULL: at the front), and then what is on its blocks, by their keys and depths. SC_ENOTFOUND: that block is not there,
 * SC_EARG: one of the run's is; SC_ETOOBIG: there is no room. */
int sc_carry_put(sc_cache *c, const sc_hash128 *after, uint32_t start, const sc_hash128 *keys, uint32_t n, uint64_t stamp);
int sc_carry_step(sc_cache *c, sc_hash128 key, uint32_t depth, uint64_t stamp);
int sc_carry_pin(sc_cache *c, sc_hash128 key, uint32_t depth, uint32_t count);
int sc_carry_value(sc_cache *c, sc_hash128 key, uint32_t depth, const sc_attach *what, int64_t now);

/* ---- inspection ---- */
void sc_stats_get(sc_cache *c, sc_stats *out);
void sc_counts_add(sc_cache *c, const uint64_t counts[SC_COUNTERS]); /* of the region that this one replaces */
int sc_repair(sc_cache *c);             /* recovers, needed or not */
#define SC_AT_WORK "writers are at work: try again"
/* NULL, or the first broken invariant. By a read-only handle: or SC_AT_WORK, when writers were all the time, or one died. */
const char *sc_validate(sc_cache *c);

/* ---- for tests ---- */
void sc_xxh3_128(const void *p, size_t n, const uint8_t *secret, uint64_t seed, uint64_t out[2]);
const char *sc_isa_name(void);
int sc_isa_select(const char *name); /* NULL: the best one */
const char *sc_isa_list(void);       /* space separated, best first */
#endif
