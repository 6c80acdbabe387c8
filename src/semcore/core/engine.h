/* What the engine's own files share: the handle, and removing an entry from everything. */
#ifndef SC_ENGINE_H
#define SC_ENGINE_H

#include "prefix/prefix.h"
#include "region/entry.h"
#include "region/values.h"

struct sc_cache {
    sc_region r;
    int policy;
    uint32_t threads;
    float recall; /* 0: as it suits */
    int prefix_policy;
};

static inline uint32_t sc_key_tag(const uint64_t key[2]) { return (uint32_t)key[0]; }

void sc_key(const sc_region *r, sc_part part, const void *text, size_t len, uint8_t kind, uint64_t key[2]);

/* Takes the lock, and recovers first when its last owner died at work; not held if it fails. */
int sc_engine_lock(sc_cache *c);
/* Recovers when the region became suspect meanwhile, and lets go. */
void sc_engine_unlock(sc_cache *c);
int sc_engine_try_lock(sc_cache *c); /* or SC_EBUSY */
/* Under the lock: so many free value blocks and slots. What expired goes first, then victims. */
int sc_engine_room(sc_cache *c, uint32_t blocks, uint32_t slots, int64_t now);
int sc_engine_settle(sc_cache *c); /* recovers if the region is suspect */

/* The live slot of a key, or SC_NIL; lock-free. */
uint32_t sc_engine_find(const sc_region *r, const uint64_t key[2], sc_entry *out);
/* Under the lock: frees the slot, its blocks and its places in every index. */
void sc_engine_remove(sc_region *r, uint32_t slot);
/* Removes an entry whose checksum failed, if it still does. */
bool sc_engine_drop_damaged(sc_cache *c, uint32_t slot); /* false: it could not lock */
/* Under the lock: a value at the end of a prefix. */
int sc_prefix_attach(sc_cache *c, sc_spot at, const sc_attach *what, int64_t now, uint32_t sum);
/* Puts a committed or about to be committed entry into every index. */
int sc_engine_index(sc_region *r, uint32_t slot, const uint64_t *tags);
/* One pass over the entries: drops what is torn, rebuilds everything else. Under the lock. */
int sc_engine_recover(sc_cache *c);

#endif
