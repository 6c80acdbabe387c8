/* Creating, opening, checking and closing a region. */
#include "region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact/xxh3.h"
#include "platform.h"
#include "values.h"

#define DEFAULT_BYTES (1ull << 30)

static uint64_t sum64(const sc_header *h, const void *p, size_t n) {
    return sc_xxh3_low(p, n, h->secret);
}

static uint64_t header_sum(const sc_header *h, uint64_t magic) {
    return sum64(h, (const uint8_t *)h + 8, offsetof(sc_header, header_sum) - 8) ^ magic;
}

/* The tag nodes lie in value blocks, which no other sum covers. */
static uint64_t nodes_sum(const sc_region *r, uint32_t slots) {
    uint64_t both[2] = {0, 0};
    for (uint32_t slot = 0; slot < slots; slot++) {
        const sc_entry *e = &r->entries[slot];
        if ((SC_LOAD(&e->seq) & SC_STATE) != SC_LIVE) continue;
        uint32_t block = e->tag_block;
        for (uint32_t n = sc_tag_blocks(e->ntags); n > 0 && block < r->nblocks; n--) {
            both[1] = sum64(r->h, r->blocks + (size_t)SC_BLOCK * block, SC_BLOCK);
            both[0] = sum64(r->h, both, sizeof both);
            block = SC_LOAD(&r->chain[block]);
        }
    }
    return both[0];
}

/* Of the parts that can be rebuilt, as far as they are in use, and the records that they must agree with. */
static uint64_t derived_sum(const sc_region *r) {
    const sc_state *s = &r->h->state;
    uint32_t slots = sc_slot_high(r), blocks = SC_LOAD(&s->block_high);
    if (blocks > r->nblocks) blocks = r->nblocks;
    uint64_t sums[] = {
        sum64(r->h, s, sizeof *s),
        sum64(r->h, r->entries, sizeof(sc_entry) * slots),
        sum64(r->h, r->exact.cells, (size_t)8 * r->exact.cap),
        sum64(r->h, r->partitions.cells, (size_t)8 * r->partitions.cap),
        sum64(r->h, r->links, sizeof(sc_links) * slots),
         sum64(r->h, r->place, r->dim ? (size_t)4 * slots : 0),
         sum64(r->h, r->lanes, r->lane_bytes * SC_LANES * sc_blocks_of_lanes(r)),
         sum64(r->h, r->owner, (size_t)4 * SC_LANES * sc_blocks_of_lanes(r)),
         sum64(r->h, r->coded, sizeof(sc_coded) * sc_blocks_of_lanes(r)),
         sum64(r->h, r->lists, sizeof(sc_list) * sc_lists_of(r)),
         sum64(r->h, r->leading, r->learns ? (size_t)SC_LEADING_BYTES * slots : 0),
        sum64(r->h, r->models, r->learns ? 2 * sc_model_bytes(r->dim) : 0),
        sum64(r->h, r->centres, 2 * sizeof(sc_centre) * (r->ncells + r->ngroups)),
        sum64(r->h, r->wheel, 4 * 64 * SC_LEVELS),
        sum64(r->h, r->tagheads, (size_t)4 * r->ntagheads),
        sum64(r->h, r->chain, (size_t)4 * blocks),
        sum64(r->h, &r->h->prefix, sizeof r->h->prefix),
        sum64(r->h, r->prefix.lines, sizeof(sc_line) * r->prefix.nlines),
        sum64(r->h, r->prefix.over, r->prefix.nlines),
        sum64(r->h, r->prefix.runs, sizeof(sc_run) * r->prefix.nruns),
        sum64(r->h, r->prefix.heap, (size_t)4 * r->prefix.nruns),
        sum64(r->h, r->prefix.notes, sizeof(sc_note) * r->prefix.nnotes),
        sum64(r->h, r->prefix.marks, sizeof(sc_mark) * r->prefix.nmarks),
        nodes_sum(r, slots),
    };
    return sum64(r->h, sums, sizeof sums);
}

/* Was it opened on this start of the machine, and is it no copy? */
static bool at_home(int fd, const sc_header *h) {
    sc_home here;
    return sc_os_home(fd, &here) && memcmp(&here, &h->home, sizeof here) == 0;
}

bool sc_region_at_home(const sc_region *r) { return !r->file || at_home(r->fd, r->h); }

/* On the same start of the machine a file is what its processes made of it, killed or not; it is at
 * fault only if one of them died at writing. After another start, or as a copy, it has to prove itself. */
bool sc_region_sound(const sc_region *r) {
    if (sc_region_at_work(r)) return false;
    return at_home(r->fd, r->h) || (SC_LOAD(&r->h->clean) == 1 && r->h->derived_sum == derived_sum(r));
}

void sc_region_mark_open(sc_region *r) {
    SC_STORE(&r->h->clean, 0);
    if (!sc_os_home(r->fd, &r->h->home)) memset(&r->h->home, 0, sizeof r->h->home);
    sc_os_kin(&r->h->kin);
}

/* A region at fault stays one: the next to lock or open it recovers. */
void sc_region_mark_clean(sc_region *r) {
    if (sc_region_at_work(r)) return;
    r->h->derived_sum = derived_sum(r);
    SC_STORE_REL(&r->h->clean, 1);
}

bool sc_region_lost(const sc_region *r) { return r->mapping && sc_os_lost_from(r->mapping) != SIZE_MAX; }

bool sc_region_still_there(const sc_region *r, const char *path) { return sc_os_still_there(path, r->fd); }

void sc_region_reset(sc_region *r) {
    sc_state *s = &r->h->state;
    sc_table_wipe(&r->exact);
    sc_table_wipe(&r->partitions);
    for (uint32_t i = 0; i < 64 * SC_LEVELS; i++) SC_STORE(&r->wheel[i], SC_NIL);
    for (uint32_t i = 0; i < r->ntagheads; i++) SC_STORE(&r->tagheads[i], SC_NIL);
    SC_STORE(&s->entries, 0);
    SC_STORE(&s->slot_high, 0);
    SC_STORE(&s->free_slot, SC_NIL);
    SC_STORE(&s->block_high, 0);
    SC_STORE(&s->free_block, SC_NIL);
    SC_STORE(&s->free_blocks, r->nblocks);
    SC_STORE(&s->wheel_time, 0);
    for (size_t i = 0; i < sc_lists_of(r); i++) {
        SC_STORE(&r->lists[i].head, SC_NIL);
        SC_STORE(&r->lists[i].near, SC_NOT_NEAR);
    }
    SC_STORE(&s->coded_free, SC_NIL);
    for (int i = 0; i < 3; i++) SC_STORE(&s->coded_by[i], 0);
    SC_STORE_REL(&s->coded_high, 0);
}

static int format(const sc_options *o, sc_region *r) {
    sc_header *h = r->h;
    h->version = SC_VERSION;
    h->byte_order = SC_BYTE_ORDER;
    h->dim = r->dim;
    h->storage = r->storage;
    h->max_entries = r->max_entries;
    h->blocks = r->nblocks;
    h->max_bytes = r->max_bytes;
    h->total = r->total;
    h->prefix_blocks = r->prefix.blocks;
    h->prefix_block = r->prefix.block;
    h->prefix_group = r->prefix.group;
    h->prefix_hash = r->prefix.hash;
    h->prefix_seed = r->prefix.seed;
    snprintf(h->fingerprint, sizeof h->fingerprint, "%s", o->fingerprint ? o->fingerprint : "");
    uint64_t seed;
    if (!sc_os_random(h->secret, SC_SECRET) || !sc_os_random(&seed, sizeof seed)) return SC_EIO;
    if (o->secret) memcpy(h->secret, o->secret, SC_SECRET);
    sc_region_reset(r);
    h->prefix = SC_NO_PREFIXES;
    SC_STORE(&h->state.random, seed | 1);
    uint64_t magic; /* last, in one store: a process killed before leaves a file that is made anew */
    memcpy(&magic, SC_MAGIC, 8);
    h->header_sum = header_sum(h, magic);
    atomic_thread_fence(memory_order_release);
    memcpy(h->magic, &magic, 8);
    return SC_OK;
}

static int refuse(char *why, size_t n, const char *fmt, const char *path, long long a, long long b) {
    snprintf(why, n, fmt, path, a, b);
    return SC_EREGION;
}

/* Is the first page one that this build can read? Fills o with the geometry it states. */
static int read_header(const char *path, const sc_header *h, uint64_t size, sc_options *o, char *why, size_t n) {
    if (memcmp(h->magic, SC_MAGIC, 8) != 0)
        return refuse(why, n, "%s is not a semcore file (no magic; size %lld)", path, (long long)size, 0);
    if (h->byte_order != SC_BYTE_ORDER)
        return refuse(why, n, "%s has another byte order: %#llx, expected %#llx", path, h->byte_order, SC_BYTE_ORDER);
    if (h->version != SC_VERSION)
        return refuse(why, n, "%s has format version %lld; this build reads version %lld", path, h->version, SC_VERSION);
    uint64_t magic;
    memcpy(&magic, h->magic, 8);
    if (h->header_sum != header_sum(h, magic))
        return refuse(why, n, "%s is corrupt: the header's checksum does not match", path, 0, 0);
    if (h->dim > SC_MAX_DIM || h->storage > SC_I8 || h->max_entries == 0 ||
        h->max_entries > SC_MAX_ENTRIES || !memchr(h->fingerprint, 0, SC_FINGERPRINT) || h->total > h->max_bytes)
        return refuse(why, n, "%s is corrupt: impossible geometry (dim %lld, storage %lld)", path, h->dim, h->storage);
    if (!sc_prefix_possible(h->prefix_blocks, h->prefix_block, h->prefix_group, h->prefix_hash))
        return refuse(why, n, "%s is corrupt: impossible prefix index (%lld blocks of %lld)", path, h->prefix_blocks, h->prefix_block);
    if (size < h->total)
        return refuse(why, n, "%s is truncated: %lld bytes, expected %lld", path, (long long)size, (long long)h->total);
    o->dim = h->dim;
    o->storage = h->storage;
    o->max_entries = h->max_entries;
    o->max_bytes = h->max_bytes;
    o->prefix_blocks = h->prefix_blocks;
    o->prefix_block = h->prefix_block;
    o->prefix_group = h->prefix_group;
    o->prefix_hash = h->prefix_hash;
    o->prefix_seed = h->prefix_seed;
    return SC_OK;
}

static const char *const STORAGES[] = {"f16", "f32", "i8"};

static int differ(char *why, size_t n, const char *path, const char *what, const char *have, const char *want,
                  const char *remedy) {
    snprintf(why, n, "%s was made with %s'%s', opened with '%s'%s", path, what, have, want, remedy);
    return SC_EREGION;
}

/* Who asks for no prefix index takes the file as it is. */
static int agree_prefix(const sc_options *want, const sc_options *have, char *why, size_t n) {
    if (!want->prefix_blocks) return SC_OK;
    if (want->prefix_blocks != have->prefix_blocks)
        return refuse(why, n, "%s was made with prefix_blocks=%lld, opened with %lld", want->path, have->prefix_blocks, want->prefix_blocks);
    if (want->prefix_block != have->prefix_block)
        return refuse(why, n, "%s was made with prefix block=%lld, opened with %lld", want->path, have->prefix_block, want->prefix_block);
    if (want->prefix_group != have->prefix_group)
        return refuse(why, n, "%s was made with prefix group=%lld, opened with %lld", want->path, have->prefix_group, want->prefix_group);
    if (want->prefix_hash != have->prefix_hash)
        return refuse(why, n, "%s was made with prefix hash %lld, opened with %lld", want->path, have->prefix_hash, want->prefix_hash);
    if (want->prefix_seed != have->prefix_seed)
        return refuse(why, n, "%s was made with prefix seed %lld, opened with %lld", want->path,
                      (long long)have->prefix_seed, (long long)want->prefix_seed);
    return SC_OK;
}

/* The caller's wishes against what the file is. */
static int agree(const sc_options *want, const sc_options *have, const sc_header *h, char *why, size_t n) {
    const char *path = want->path;
    char theirs[SC_FINGERPRINT];
    snprintf(theirs, sizeof theirs, "%s", want->fingerprint ? want->fingerprint : "");
    if (strncmp(theirs, h->fingerprint, SC_FINGERPRINT) != 0)
        return differ(why, n, path, "embedder ", h->fingerprint, theirs,
                      "; `semcore reembed` changes the embedder of a file");
    if (want->dim != have->dim)
        return refuse(why, n, "%s was made with dim=%lld, opened with dim=%lld", path, have->dim, want->dim);
    if (want->storage != have->storage)
        return differ(why, n, path, "vector storage ", STORAGES[have->storage], STORAGES[want->storage], "");
    int rc = agree_prefix(want, have, why, n);
    if (rc != SC_OK) return rc;
    if (want->max_entries && want->max_entries != have->max_entries)
        return refuse(why, n, "%s was made with max_entries=%lld, opened with %lld", path, have->max_entries, want->max_entries);
    if (want->max_bytes && want->max_bytes != have->max_bytes)
        return refuse(why, n, "%s was made with max_bytes=%lld, opened with %lld", path,
                      (long long)have->max_bytes, (long long)want->max_bytes);
    return SC_OK;
}

static int open_private(const sc_options *o, sc_region *r, char *why, size_t n) {
    int rc = sc_layout_fit(o, r, why, n);
    if (rc != SC_OK) return rc;
    void *base = sc_os_map_private(r->total);
    if (!base) {
        snprintf(why, n, "cannot map %llu bytes of memory", (unsigned long long)r->total);
        return SC_ENOMEM;
    }
    sc_layout_bind(r, base);
    /* Blocks lie anywhere in their table: the first thousands touch every page, and each costs its address translation. */
    sc_os_large_pages(r->prefix.lines, sizeof(sc_line) * (size_t)r->prefix.nlines);
    return format(o, r);
}

static int map_file(const char *path, sc_region *r, bool read_only, char *why, size_t n) {
    r->mapping = sc_os_map_file(r->fd, r->total, read_only);
    if (!r->mapping) {
        snprintf(why, n, "%s: cannot map: %s", path, strerror(errno));
        return SC_EIO;
    }
    sc_layout_bind(r, sc_os_mapped(r->mapping));
    return SC_OK;
}

static int create_file(const sc_options *wish, sc_region *r, char *why, size_t n) {
    sc_options made = *wish, *o = &made;
    if (o->max_bytes == 0) o->max_bytes = DEFAULT_BYTES;
    int rc = sc_layout_fit(o, r, why, n);
    if (rc != SC_OK) return rc;
    if (!sc_os_begin(r->fd, SC_UNFINISHED, 8) || !sc_os_reserve(r->fd, r->total)) {
        snprintf(why, n, "%s: cannot reserve %llu bytes: %s", o->path, (unsigned long long)r->total, strerror(errno));
        return SC_EIO;
    }
    rc = map_file(o->path, r, false, why, n);
    if (rc != SC_OK) return rc;
    r->created = true;
    rc = format(o, r);
    if (rc == SC_OK && !sc_os_settle(r->fd)) rc = SC_EIO; /* an empty cache survives a power loss as one */
    if (rc != SC_OK) snprintf(why, n, "%s: cannot write: %s", o->path, strerror(errno));
    return rc;
}

static int adopt_file(const sc_options *o, sc_region *r, uint64_t size, char *why, size_t n) {
    sc_header h;
    sc_options have = *o;
    if (size < sizeof h || !sc_os_read(r->fd, &h, sizeof h))
        return refuse(why, n, "%s is not a semcore file (%lld bytes)", o->path, (long long)size, 0);
    int rc = read_header(o->path, &h, size, &have, why, n);
    if (rc == SC_OK) rc = agree(o, &have, &h, why, n);
    if (rc == SC_OK && sc_layout_fit(&have, r, why, n) != SC_OK)
        rc = refuse(why, n, "%s is corrupt: impossible geometry (dim %lld, entries %lld)", o->path, h.dim, h.max_entries);
    if (rc != SC_OK) return rc;
    if (r->total != h.total || r->nblocks != h.blocks)
        return refuse(why, n, "%s is corrupt: its geometry implies %lld bytes, it states %lld", o->path,
                      (long long)r->total, (long long)h.total);
    return map_file(o->path, r, o->read_only, why, n);
}

/* New, or left by a process that was killed while it made the file? */
static bool unmade(int fd) {
    char magic[8];
    return sc_os_size(fd) == 0 || (sc_os_read(fd, magic, 8) && memcmp(magic, SC_UNFINISHED, 8) == 0);
}

/* Is somebody looking after it, or was on this start of the machine? Where that cannot be known, while open. */
static bool adopted(int fd) {
    sc_header h;
    sc_home here;
    if (!sc_os_read(fd, &h, sizeof h) || memcmp(h.magic, SC_MAGIC, 8) != 0) return false;
    return sc_os_home(fd, &here) ? memcmp(&here, &h.home, sizeof here) == 0 : SC_LOAD(&h.clean) == 0;
}

/* Takes a place beside others if the file is in order, else waits until it is alone. */
static int take_place(const sc_options *o, sc_region *r, char *why, size_t n) {
    r->alone = sc_os_try_alone(r->fd);
    if (r->alone) return SC_OK;
    int rc = sc_os_wait(o->path, r->fd, false, why, n);
    if (rc != SC_OK || o->read_only || adopted(r->fd)) return rc;
    rc = sc_os_wait(o->path, r->fd, true, why, n);
    r->alone = rc == SC_OK;
    return rc;
}

static int open_file(const sc_options *o, sc_region *r, char *why, size_t n) {
    bool fresh = false, make = false;
    int rc = sc_os_open(o->path, o->read_only, &r->fd, &fresh, why, n);
    r->file = true;
    r->read_only = o->read_only;
    bool refused = rc != SC_OK;
    if (rc == SC_OK) rc = take_place(o, r, why, n);
    if (rc == SC_OK && !sc_os_still_there(o->path, r->fd)) return SC_EMOVED;
    if (rc == SC_OK) {
        make = r->alone && !o->read_only && unmade(r->fd);
        rc = make ? create_file(o, r, why, n) : adopt_file(o, r, sc_os_size(r->fd), why, n);
    }
    int error = errno; /* of what failed, not of cleaning up */
    if (rc != SC_OK && fresh && (refused || make)) sc_os_unlink(o->path);
    errno = error;
    return rc;
}

int sc_region_open(const sc_options *o, sc_region *r, char *why, size_t n) {
    *r = (sc_region){.fd = -1};
    int rc = o->path ? open_file(o, r, why, n) : open_private(o, r, why, n);
    if (rc == SC_OK && !r->file) rc = sc_lock_init(r);
    if (rc != SC_OK) sc_region_close(r);
    return rc;
}

bool sc_region_kin(const sc_region *r) {
    sc_kin us;
    sc_os_kin(&us);
    return memcmp(&us, &r->h->kin, sizeof us) == 0;
}

int sc_region_peek(const char *path, sc_options *o, char *fingerprint, int *recovering, char *why, size_t n) {
    sc_header h;
    uint64_t size = 0;
    int rc = sc_os_peek(path, &h, sizeof h, &size, why, n);
    if (rc == SC_OK) rc = read_header(path, &h, size, o, why, n);
    if (rc != SC_OK) return rc;
    memcpy(fingerprint, h.fingerprint, SC_FINGERPRINT);
    uint64_t passed = SC_LOAD(&h.passed), all = SC_LOAD(&h.to_pass);
    *recovering = all && passed <= all ? (int)(passed * 1000 / all) : -1;
    return SC_OK;
}

void sc_region_close(sc_region *r) {
    int error = errno;
    if (r->mapping) sc_os_unmap_file(r->mapping);
    else if (r->base) sc_os_unmap(r->base, r->total);
    if (r->fd >= 0) sc_os_close(r->fd);
    r->mapping = NULL;
    r->base = NULL;
    r->fd = -1;
    errno = error;
}

int sc_region_flush(sc_region *r) {
    if (!r->file || r->read_only) return SC_OK;
    if (sc_region_lost(r) || sc_os_size(r->fd) < r->total) return SC_ELOST;
    return sc_os_sync(r->base, r->total) ? SC_OK : SC_EIO;
}
