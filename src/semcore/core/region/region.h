/* The region: everything of a cache in one mapping, private or a file.
 *
 *   header | hot | entries | exact | partitions | links | sketch | wheel | tagheads | vectors | scales | high | low |
 *   leading | place | lanes | owner | coded | lists | moved | models | centres |
 *   lines | over | runs | heap | notes | marks | chain | blocks
 *
 * Parts are addressed by slot and block numbers, never by pointers. The header's first half, the
 * entries, their vectors and value chains are the truth; of the prefix index the runs' tails and the lines
 * that they lead to, and its marks. Everything else is a function of them, and recovery makes it anew.
 * Offsets are recomputed from the geometry on opening; nothing in a file is trusted as an address.
 */
#ifndef SC_REGION_H
#define SC_REGION_H

#include "../common.h"
#include "../exact/table.h"
#include "learnt.h"
#include "prefixes.h"

#define SC_MAGIC "semcore\x1a"
#define SC_UNFINISHED "semcore+" /* the magic of a file while it is made */
#define SC_VERSION 5
#define SC_BYTE_ORDER 0x01020304u
#define SC_BLOCK 128           /* bytes of a value block */
#define SC_LEVELS 5            /* of the timing wheel, 64 buckets each */
#define SC_LOCK_BYTES 128
#define SC_SHARDS 16           /* of the ledger: processors write lines of their own */

typedef struct sc_shard {      /* relaxed counters, kept over restarts */
    _Alignas(64) sc_a64 counts[SC_COUNTERS];
    sc_a32 accesses;
} sc_shard;

/* Where a file was last open: on the same start of the machine, as the same file and no copy, what lies
 * in the page cache is what its processes wrote. born: nanoseconds, as inode numbers are used again. */
typedef struct sc_home { uint8_t boot[16]; uint64_t device, inode; int64_t born; } sc_home;

/* Who may share the lock: it holds thread numbers, which mean something in one PID namespace only, in
 * the layout of one C library. */
typedef struct sc_kin { uint64_t pid_namespace; uint32_t library, mutex_bytes; } sc_kin;

typedef struct sc_state {      /* derived; changed only under the lock */
    sc_a32 entries;            /* live ones */
    sc_a32 slot_high;          /* slots at and above were never used */
    sc_a32 free_slot;          /* head of the free slots, linked by part_next */
    sc_a32 block_high;         /* blocks at and above were never used */
    sc_a32 free_block;         /* head of the free blocks, linked by the chain array */
    sc_a32 free_blocks;        /* the never used ones included */
    sc_a32 exact_moves, partition_moves;
    sc_a64 wheel_time;         /* the wheel is empty before this */
    sc_a64 random;
    sc_a32 halved;             /* tick at which the sketch was last halved */
    sc_a32 generation;         /* of the newest model */
    sc_a32 coded_high;         /* blocks of lanes at and above were never used */
    sc_a32 coded_free;         /* head of the free ones, linked by next */
    sc_a32 coded_by[3];        /* blocks of rows without codes, and of those of each model */
    sc_a32 moved;              /* rows that ever went from one lane to another */
} sc_state;

typedef struct sc_header {
    char magic[8];
    uint32_t version, byte_order;
    uint32_t dim, storage, max_entries, blocks;
    uint64_t max_bytes, total;
    uint32_t prefix_blocks, prefix_block, prefix_group, prefix_hash;
    uint64_t prefix_seed;
    char fingerprint[SC_FINGERPRINT];
    uint8_t secret[SC_SECRET];
    uint64_t header_sum;       /* of all above */
    sc_a32 clean;              /* 1: closed, and derived_sum holds */
    sc_a32 writing;            /* counts up; odd: a writer is at work, or died at it */
    uint64_t derived_sum;
    sc_home home;
    sc_kin kin;                /* of those who have it open */
    sc_a32 passed, to_pass;    /* slots that a recovery under way has seen, and will have; else 0 */
    _Alignas(64) uint8_t lock[SC_LOCK_BYTES];
    _Alignas(64) sc_state state;
    _Alignas(64) sc_prefix_state prefix;
    _Alignas(64) sc_a32 tick;  /* counts accesses; readers write it */
    _Alignas(64) sc_shard ledger[SC_SHARDS];
} sc_header;

_Static_assert(sizeof(sc_header) <= 4096, "the header is the first page");

typedef struct sc_entry {      /* 104 bytes; `seq` commits it */
    sc_a32 seq;                /* version << 2 | SC_FREE, SC_BUSY or SC_LIVE */
    uint32_t sum;              /* of the fields below (a sliding expiry left out) */
    uint32_t value_sum;        /* of the value's bytes */
    uint32_t text_sum;         /* of the text's and the tags' bytes */
    uint64_t key[2];
    sc_part part;
    int64_t created, expires;
    uint32_t text_len, value_len;
    uint32_t block;            /* head of the chain: value, text, tags */
    uint32_t tag_block;        /* head of the blocks that hold its tag nodes (derived) */
    uint32_t sliding_ms;
    sc_saving saving;
    uint32_t vector_sum;
    uint8_t text_kind, value_kind, has_vector, ntags;
} sc_entry;

enum { SC_FREE = 0, SC_BUSY = 1, SC_LIVE = 2, SC_STATE = 3 };

typedef struct sc_links { sc_a32 part_next, part_prev, wheel_next, wheel_prev; } sc_links;

typedef struct sc_scale { float scale, residual; } sc_scale; /* see semantic/codes.h */

typedef struct sc_region {
    sc_header *h;
    sc_a64 *hot;
    sc_entry *entries;
    sc_table exact, partitions;
    sc_links *links;
    sc_a8 *sketch;             /* 4-bit counters, 64-byte lines */
    sc_a32 *wheel;             /* SC_LEVELS * 64 heads */
    sc_a32 *tagheads;
    sc_a32 *chain;             /* the next block of each block */
    uint8_t *vectors;
    sc_scale *scales;
    uint8_t *high, *low;       /* the 8-bit codes as two planes of 4 bits */
    uint8_t *leading;          /* 4-bit codes of the leading directions: semantic/leading.h */
    sc_a32 *place;             /* a row's lane, or SC_NIL: semantic/lanes.h */
    uint8_t *lanes;            /* partition tags and product codes, in blocks of 32: semantic/product.h */
    sc_a32 *owner;             /* a lane's row, or SC_NIL */
    sc_coded *coded;           /* a block's model and list */
    sc_list *lists;            /* of the rows without codes, and nlists for each of two models */
    sc_a32 *moved;             /* the last rows that changed lanes, moved_mask + 1 of them */
    uint8_t *models;           /* two of them: semantic/model.h */
    sc_centre *centres;        /* ncells + ngroups for each: semantic/cells.h */
    sc_prefix prefix;
    uint8_t *blocks;

    uint32_t dim, storage, max_entries, nblocks, ntagheads, sketch_lines;
    size_t plane;              /* bytes of a row in a plane */
    bool learns;               /* has models, and codes by them */
    uint32_t ncoded, nlists, moved_mask;
    uint32_t ncells, ngroups;  /* most of a model */
    size_t lane_bytes;         /* of a row in a block */
    size_t vector_bytes;       /* of a stored vector; 0 when the codes are the vector */
    size_t total, max_bytes;
    size_t slot_bytes;         /* of all arrays, an entry; */
    size_t slot_vector_bytes;  /* of those for its vector */
    void *base;
    int fd;
    bool file;                 /* also: verify checksums on reading */
    bool created;
    bool alone;                /* opened while nobody else had the file open */
    bool read_only;
    bool suspect;              /* an index was found to disagree with an entry: recover before unlocking */
    uint32_t step;             /* accesses a tick: 1 while the cache is small */
    struct sc_mapping *mapping; /* of a file: platform.h */
} sc_region;

int sc_region_open(const sc_options *o, sc_region *r, char *why, size_t why_len);
int sc_region_peek(const char *path, sc_options *o, char *fingerprint, int *recovering, char *why, size_t why_len);
void sc_region_close(sc_region *r);
int sc_region_flush(sc_region *r);
bool sc_region_sound(const sc_region *r);  /* opened alone: nothing to recover */
bool sc_region_at_home(const sc_region *r); /* private, or a file last open on this start of the machine */
void sc_region_mark_open(sc_region *r);
void sc_region_mark_clean(sc_region *r);
bool sc_region_lost(const sc_region *r);
static inline bool sc_region_at_work(const sc_region *r) { return SC_LOAD_ACQ(&r->h->writing) & 1; }
/* For readers that cannot lock: what was read after the first, before the second, is whole if both say yes. */
static inline bool sc_region_still(const sc_region *r, uint32_t *writing) { return !((*writing = SC_LOAD_ACQ(&r->h->writing)) & 1); }
static inline bool sc_region_was_still(const sc_region *r, uint32_t writing) {
    atomic_thread_fence(memory_order_acquire);
    return SC_LOAD(&r->h->writing) == writing;
}
bool sc_region_kin(const sc_region *r);    /* may we share the lock with those who have it open? */
bool sc_region_still_there(const sc_region *r, const char *path);
void sc_region_reset(sc_region *r);  /* to no entries; sections that a table search reads are wiped */

/* layout.c */
int sc_layout_fit(const sc_options *o, sc_region *r, char *why, size_t why_len);
void sc_layout_bind(sc_region *r, void *base);

/* lock.c */
enum { SC_LOCKED = 0, SC_OWNER_DIED = 1 };
int sc_lock_init(sc_region *r);
int sc_lock(sc_region *r); /* or SC_ELOST, SC_EREGION */
int sc_try_lock(sc_region *r); /* or SC_EBUSY: somebody has it */
void sc_unlock(sc_region *r);

static inline bool sc_slot_ok(const sc_region *r, uint32_t slot) { return slot < r->max_entries; }
static inline uint32_t sc_blocks_of_lanes(const sc_region *r) {
    uint32_t high = SC_LOAD_ACQ(&r->h->state.coded_high);
    return high < r->ncoded ? high : r->ncoded;
}

static inline size_t sc_lists_of(const sc_region *r) { return 1 + 2 * (size_t)r->nlists; }

static inline uint32_t sc_slot_high(const sc_region *r) {
    uint32_t high = SC_LOAD_ACQ(&r->h->state.slot_high);
    return high < r->max_entries ? high : r->max_entries;
}

/* ledger.c */
sc_shard *sc_shard_here(sc_region *r); /* of this processor */
void sc_count(sc_region *r, enum sc_counter what, uint64_t n);
uint64_t sc_counted(const sc_region *r, enum sc_counter what);
uint32_t sc_tick_next(sc_region *r); /* one access more */

#endif
