/* Creating, opening, checking and closing a region. */
#include "region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact/xxh3.h"
#include "platform.h"

static uint64_t sum64(const sc_header *h, const void *p, size_t n) {
    return sc_xxh3(p, n, h->secret, 0).low;
}

static uint64_t header_sum(const sc_header *h, uint64_t magic) {
    return sum64(h, (const uint8_t *)h + 8, offsetof(sc_header, header_sum) - 8) ^ magic;
}

/* Of the parts that can be rebuilt, as far as they are in use. */
static uint64_t derived_sum(const sc_region *r) {
    const sc_state *s = &r->h->state;
    uint32_t slots = sc_slot_high(r), blocks = SC_LOAD(&s->block_high);
    if (blocks > r->nblocks) blocks = r->nblocks;
    uint64_t sums[] = {
        sum64(r->h, s, sizeof *s),
        sum64(r->h, r->exact.cells, (size_t)8 * r->exact.cap),
        sum64(r->h, r->partitions.cells, (size_t)8 * r->partitions.cap),
        sum64(r->h, r->links, sizeof(sc_links) * slots),
        sum64(r->h, r->ptags, (size_t)4 * slots),
        sum64(r->h, r->wheel, 4 * 64 * SC_LEVELS),
        sum64(r->h, r->tagheads, (size_t)4 * r->ntagheads),
        sum64(r->h, r->chain, (size_t)4 * blocks),
    };
    return sum64(r->h, sums, sizeof sums);
}

bool sc_region_derived_ok(const sc_region *r) {
    return SC_LOAD(&r->h->clean) == 1 && r->h->derived_sum == derived_sum(r);
}

void sc_region_mark(sc_region *r, bool clean) {
    if (clean) r->h->derived_sum = derived_sum(r);
    SC_STORE_REL(&r->h->clean, clean ? 1 : 0);
}

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
    snprintf(h->fingerprint, sizeof h->fingerprint, "%s", o->fingerprint ? o->fingerprint : "");
    uint64_t seed;
    if (!sc_os_random(h->secret, SC_SECRET) || !sc_os_random(&seed, sizeof seed)) return SC_EIO;
    sc_region_reset(r);
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
    if (size < h->total)
        return refuse(why, n, "%s is truncated: %lld bytes, expected %lld", path, (long long)size, (long long)h->total);
    o->dim = h->dim;
    o->storage = h->storage;
    o->max_entries = h->max_entries;
    o->max_bytes = h->max_bytes;
    return SC_OK;
}

/* The caller's wishes against what the file is. */
static int agree(const sc_options *want, const sc_options *have, const sc_header *h, char *why, size_t n) {
    const char *path = want->path;
    if (want->dim != have->dim)
        return refuse(why, n, "%s was made with dim=%lld, opened with dim=%lld", path, have->dim, want->dim);
    if (want->storage != have->storage)
        return refuse(why, n, "%s has vector storage %lld, opened with %lld", path, have->storage, want->storage);
    if (want->max_entries && want->max_entries != have->max_entries)
        return refuse(why, n, "%s was made with max_entries=%lld, opened with %lld", path, have->max_entries, want->max_entries);
    if (want->max_bytes && want->max_bytes != have->max_bytes)
        return refuse(why, n, "%s was made with max_bytes=%lld, opened with %lld", path,
                      (long long)have->max_bytes, (long long)want->max_bytes);
    char theirs[SC_FINGERPRINT];
    snprintf(theirs, sizeof theirs, "%s", want->fingerprint ? want->fingerprint : "");
    if (strncmp(theirs, h->fingerprint, SC_FINGERPRINT) != 0) {
        snprintf(why, n, "%s was made with embedder '%.*s', opened with '%s'", path,
                 SC_FINGERPRINT - 1, h->fingerprint, theirs);
        return SC_EREGION;
    }
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
    return format(o, r);
}

static int create_file(const sc_options *o, sc_region *r, char *why, size_t n) {
    int rc = sc_layout_fit(o, r, why, n);
    if (rc != SC_OK) return rc;
    if (!sc_os_begin(r->fd, SC_UNFINISHED, 8) || !sc_os_reserve(r->fd, r->total)) {
        snprintf(why, n, "%s: cannot reserve %llu bytes: %s", o->path, (unsigned long long)r->total, strerror(errno));
        return SC_EIO;
    }
    void *base = sc_os_map_file(r->fd, r->total);
    if (!base) {
        snprintf(why, n, "%s: cannot map: %s", o->path, strerror(errno));
        return SC_EIO;
    }
    sc_layout_bind(r, base);
    r->created = true;
    return format(o, r);
}

static int adopt_file(const sc_options *o, sc_region *r, uint64_t size, char *why, size_t n) {
    sc_header h;
    sc_options have = *o;
    if (size < sizeof h || !sc_os_read(r->fd, &h, sizeof h))
        return refuse(why, n, "%s is not a semcore file (%lld bytes)", o->path, (long long)size, 0);
    int rc = read_header(o->path, &h, size, &have, why, n);
    if (rc == SC_OK) rc = agree(o, &have, &h, why, n);
    if (rc == SC_OK && sc_layout_fit(&have, r, why, n) != SC_OK) rc = SC_EREGION;
    if (rc != SC_OK) return rc;
    if (r->total != h.total || r->nblocks != h.blocks)
        return refuse(why, n, "%s is corrupt: its geometry implies %lld bytes, it states %lld", o->path,
                      (long long)r->total, (long long)h.total);
    void *base = sc_os_map_file(r->fd, r->total);
    if (!base) {
        snprintf(why, n, "%s: cannot map: %s", o->path, strerror(errno));
        return SC_EIO;
    }
    sc_layout_bind(r, base);
    return SC_OK;
}

/* Left by a process that was killed while it made the file, and nobody else is at it? */
static bool unfinished(int fd) {
    char magic[8];
    return sc_os_read(fd, magic, 8) && memcmp(magic, SC_UNFINISHED, 8) == 0 && sc_os_alone(fd);
}

static int open_file(const sc_options *o, sc_region *r, char *why, size_t n) {
    uint64_t size = 0;
    bool fresh = false;
    int rc = sc_os_open(o->path, &r->fd, &size, &fresh, why, n);
    if (rc != SC_OK) return rc;
    r->file = true;
    bool make = size == 0 || unfinished(r->fd);
    rc = make ? create_file(o, r, why, n) : adopt_file(o, r, size, why, n);
    if (rc != SC_OK && fresh && make) sc_os_unlink(o->path);
    return rc;
}

int sc_region_open(const sc_options *o, sc_region *r, char *why, size_t n) {
    *r = (sc_region){.fd = -1};
    int rc = o->path ? open_file(o, r, why, n) : open_private(o, r, why, n);
    if (rc == SC_OK) rc = sc_lock_init(r);
    if (rc != SC_OK) sc_region_close(r);
    return rc;
}

int sc_region_peek(const char *path, sc_options *o, char *fingerprint, char *why, size_t n) {
    sc_header h;
    uint64_t size = 0;
    int rc = sc_os_peek(path, &h, sizeof h, &size, why, n);
    if (rc == SC_OK) rc = read_header(path, &h, size, o, why, n);
    if (rc == SC_OK) memcpy(fingerprint, h.fingerprint, SC_FINGERPRINT);
    return rc;
}

void sc_region_close(sc_region *r) {
    if (r->base) sc_os_unmap(r->base, r->total);
    if (r->fd >= 0) sc_os_close(r->fd);
    r->base = NULL;
    r->fd = -1;
}

int sc_region_flush(sc_region *r) {
    return !r->file || sc_os_sync(r->base, r->total) ? SC_OK : SC_EIO;
}
