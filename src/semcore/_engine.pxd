# The engine's C API, for other Cython modules that embed it.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "core/semcore.h" nogil:
    enum:
        SC_NIL
        SC_MAX_DIM
        SC_MAX_TAGS
        SC_MAX_TOP
        SC_FINGERPRINT
        SC_SECRET
        SC_OK
        SC_ENOTFOUND
        SC_EMOVED
        SC_EDAMAGED
        SC_ETOOBIG
        SC_EARG
        SC_ENOMEM
        SC_EREGION
        SC_EIO
        SC_EUNSUPPORTED
        SC_EREADONLY
        SC_ELOST
        SC_EINTR
        SC_EBUSY
        SC_MAX_PREFIX_BLOCKS
        SC_MAX_PREFIX_BLOCK
        SC_MAX_PREFIX_GROUP
        SC_MAX_REPLICAS
        SC_HASH_KEYED
        SC_HASH_ROLLING
        SC_HASH_GIVEN
        SC_TEXT_STR
        SC_TEXT_BYTES
        SC_LAYER_EXACT
        SC_LAYER_SEMANTIC
        SC_COUNTERS
        SC_SHELLS
        SC_FLOORS
        SC_SHARES
    const int64_t SC_FOREVER

    ctypedef struct sc_cache:
        pass

    ctypedef struct sc_options:
        const char *path
        uint32_t dim
        uint32_t max_entries
        uint64_t max_bytes
        uint32_t storage
        uint32_t policy
        float recall
        uint32_t threads
        const char *fingerprint
        bint read_only
        const uint8_t *secret
        uint32_t prefix_blocks
        uint32_t prefix_block
        uint32_t prefix_group
        uint32_t prefix_hash
        uint64_t prefix_seed

    ctypedef struct sc_hash128:
        uint64_t low
        uint64_t high

    ctypedef struct sc_prompt:
        const void *data
        sc_hash128 *hashes
        uint32_t blocks
        uint32_t group
        uint32_t hashed
        bint is_signed
        sc_hash128 root

    ctypedef struct sc_match:
        uint32_t blocks
        uint32_t value_at
        uint32_t value_len
        uint8_t value_kind

    ctypedef struct sc_attach:
        uint32_t replica
        const void *value
        size_t value_len
        uint8_t value_kind
        int64_t expires

    ctypedef struct sc_inserted:
        uint32_t known
        uint32_t blocks
        bint stored

    ctypedef struct sc_prefix_stats:
        uint64_t blocks
        uint64_t max_blocks
        uint64_t runs
        uint64_t max_runs
        uint64_t values
        uint64_t value_blocks
        uint64_t pins
        uint64_t notes
        uint64_t max_notes
        uint64_t lost
        uint64_t evicted
        uint64_t bytes

    ctypedef struct sc_carried_note:
        uint32_t depth
        uint64_t what

    ctypedef struct sc_carried_notes:
        sc_carried_note *at
        uint32_t n

    ctypedef struct sc_carried_value:
        uint32_t depth
        uint32_t len
        int64_t expires
        uint8_t kind

    ctypedef struct sc_carried:
        sc_hash128 after
        uint32_t start
        uint32_t length
        uint64_t stamp
        sc_hash128 *keys
        sc_carried_notes steps
        sc_carried_notes pins
        sc_carried_value *values
        uint32_t nvalues
        uint8_t *bytes

    ctypedef struct sc_part:
        uint64_t ns
        uint64_t all

    ctypedef struct sc_saving:
        uint32_t tokens
        float cost
        float latency_ms

    ctypedef struct sc_ref:
        uint32_t slot
        uint32_t seq
        uint32_t text_len
        uint32_t value_len
        uint8_t text_kind
        uint8_t value_kind
        float similarity
        int64_t created
        int64_t expires
        sc_saving saving
        uint32_t block
        uint32_t value_sum

    ctypedef struct sc_record:
        uint64_t key[2]
        sc_part part
        int64_t created
        int64_t expires
        uint32_t sliding_ms
        uint16_t count
        uint32_t tick
        bint has_vector
        uint8_t ntags
        uint64_t tags[64]

    ctypedef struct sc_put:
        sc_part part
        const void *text
        size_t text_len
        uint8_t text_kind
        const void *value
        size_t value_len
        uint8_t value_kind
        const float *vector
        const uint64_t *tags
        uint32_t ntags
        int64_t expires
        uint32_t sliding_ms
        bint keep_text
        sc_saving saving
        const sc_record *as_ "as"

    ctypedef struct sc_stats:
        uint64_t entries
        uint64_t max_entries
        uint64_t bytes
        uint64_t blocks
        uint64_t free_blocks
        uint64_t block_bytes
        uint64_t bytes_per_entry
        uint64_t bytes_per_vector
        uint64_t counts[12]
        uint32_t dim
        uint32_t storage
        uint32_t tick

    int sc_open(const sc_options *o, sc_cache **out, char *why, size_t why_len) noexcept
    void sc_close(sc_cache *c) noexcept
    int sc_flush(sc_cache *c) noexcept
    int sc_peek(const char *path, sc_options *o, char *fingerprint, int *recovering, char *why,
                size_t why_len) noexcept
    void sc_forked(sc_cache *c) noexcept
    void sc_describe(const sc_cache *c, sc_options *o, char *fingerprint) noexcept
    bint sc_lost(const sc_cache *c) noexcept
    bint sc_exclusive(sc_cache *c, const char *path) noexcept
    void sc_secret(const sc_cache *c, uint8_t *out) noexcept
    int64_t sc_now() noexcept
    uint64_t sc_bytes_for(const sc_options *o, uint64_t blocks) noexcept
    sc_part sc_partition(const sc_cache *c, const void *ns, size_t ns_len, const void *ctx, size_t ctx_len) noexcept
    uint64_t sc_tag(const sc_cache *c, sc_part part, const void *name, size_t length) noexcept
    int sc_find(sc_cache *c, sc_part part, const void *text, size_t length, uint8_t kind, int64_t now,
                sc_ref *out) noexcept
    int sc_search(sc_cache *c, sc_part part, const float *query, float floor, uint32_t top, int64_t now,
                  sc_ref *out, uint32_t *n) noexcept
    int sc_search_many(sc_cache *c, sc_part part, const float *queries, uint32_t nqueries, float floor, int64_t now,
                       sc_ref *out, uint8_t *found) noexcept
    int sc_with_key(sc_cache *c, const uint64_t *key, int64_t now, sc_ref *out) noexcept
    int sc_at(sc_cache *c, uint64_t id, int64_t now, sc_ref *out) noexcept
    int sc_read_value(sc_cache *c, const sc_ref *ref, void *to) noexcept
    int sc_read_text(sc_cache *c, const sc_ref *ref, void *to) noexcept
    int sc_read_vector(sc_cache *c, const sc_ref *ref, float *to) noexcept
    int sc_read_record(sc_cache *c, const sc_ref *ref, sc_record *out) noexcept
    void sc_hit(sc_cache *c, const sc_ref *ref, int layer, int64_t now) noexcept
    void sc_hit_prefix(sc_cache *c) noexcept
    void sc_miss(sc_cache *c) noexcept
    uint64_t sc_work(const sc_cache *c, sc_part part) noexcept
    uint64_t sc_id(const sc_ref *ref) noexcept
    bint sc_is_ascii(const void *p, size_t n) noexcept
    bint sc_vector_valid(const float *v, size_t n) noexcept
    uint32_t sc_next_live(sc_cache *c, uint32_t start, int64_t now, sc_ref *out) noexcept
    uint32_t sc_rows(sc_cache *c, sc_part part, int64_t now, uint32_t *start, uint32_t most, uint64_t *ids,
                     float *out) noexcept
    int sc_put_entry(sc_cache *c, const sc_put *p, int64_t now, uint64_t *id) noexcept
    int sc_delete(sc_cache *c, uint64_t id, int64_t now) noexcept
    int sc_delete_text(sc_cache *c, sc_part part, const void *text, size_t length, uint8_t kind,
                       int64_t now) noexcept
    int sc_invalidate(sc_cache *c, uint64_t tag, uint64_t *n) noexcept
    int sc_clear(sc_cache *c, const sc_part *ns, uint64_t *n) noexcept
    int sc_expire(sc_cache *c, int64_t now, uint64_t *n) noexcept
    ctypedef struct sc_learnt:
        const uint16_t *rotation
        const float *centroids
        const float *means
        const float *steps
        const float *rests
        const float *strays
        const float *margins
        float margin_least
        float margin_step
        float loss
        uint32_t entries
        uint32_t cells
        uint32_t groups
        const uint32_t *first
        const float *bases
        const float *spreads
        const uint8_t *centres
        const float *shells
        const uint32_t *probes

    int sc_learning(const sc_cache *c) noexcept
    uint32_t sc_sample(const sc_cache *c, uint32_t most, uint32_t part, uint32_t parts, float *out) noexcept
    uint32_t sc_cells(const sc_cache *c) noexcept
    uint32_t sc_most_cells(const sc_cache *c, uint32_t *groups) noexcept
    uint32_t sc_generation(const sc_cache *c) noexcept
    int sc_learn(sc_cache *c, const sc_learnt *learnt, uint32_t generation) noexcept
    int sc_recode(sc_cache *c, uint32_t most, int *left) noexcept
    sc_hash128 sc_prefix_root(const sc_cache *c, const void *ns, size_t length) noexcept
    sc_hash128 sc_prefix_unit(const sc_cache *c, sc_hash128 before, const void *head, size_t head_len,
                              const void *text, size_t length) noexcept
    sc_hash128 sc_prefix_key(const sc_cache *c, sc_hash128 root, uint64_t hash) noexcept
    void sc_prefix_roll(const sc_cache *c, const void *data, uint32_t blocks, uint64_t *out) noexcept
    int sc_prefix_match(sc_cache *c, sc_prompt *p, bint touch, bint wait, int64_t now, void *to, size_t room,
                        uint32_t *scores, uint32_t replicas, sc_match *out) noexcept
    int sc_prefix_insert(sc_cache *c, sc_prompt *p, const sc_attach *what, int64_t now, sc_inserted *out) noexcept
    int sc_prefix_pin(sc_cache *c, sc_prompt *p, bint pin, uint32_t *blocks) noexcept
    int sc_prefix_forget(sc_cache *c, uint32_t replica, uint64_t *runs) noexcept
    int sc_prefix_stored(sc_cache *c, const sc_hash128 *after, const sc_hash128 *keys, uint32_t n,
                         uint32_t replica) noexcept
    int sc_prefix_removed(sc_cache *c, const sc_hash128 *keys, uint32_t n, uint32_t replica) noexcept
    int sc_prefix_clear(sc_cache *c) noexcept
    void sc_prefix_stats_get(sc_cache *c, sc_prefix_stats *out) noexcept
    const char *sc_prefix_validate(sc_cache *c) noexcept
    void sc_carry_clock(const sc_cache *c, uint64_t *out) noexcept
    int sc_carry_wind(sc_cache *c, const uint64_t *clock) noexcept
    uint32_t sc_carry_runs(const sc_cache *c) noexcept
    uint32_t sc_carry_start(const sc_cache *c, uint32_t run) noexcept
    int sc_carry_take(const sc_cache *c, uint32_t run, int64_t now, sc_carried *out) noexcept
    void sc_carried_free(sc_carried *run) noexcept
    int sc_carry_put(sc_cache *c, const sc_hash128 *after, uint32_t start, const sc_hash128 *keys, uint32_t n,
                     uint64_t stamp) noexcept
    int sc_carry_step(sc_cache *c, sc_hash128 key, uint32_t depth, uint64_t stamp) noexcept
    int sc_carry_pin(sc_cache *c, sc_hash128 key, uint32_t depth, uint32_t count) noexcept
    int sc_carry_value(sc_cache *c, sc_hash128 key, uint32_t depth, const sc_attach *what, int64_t now) noexcept
    void sc_stats_get(sc_cache *c, sc_stats *out) noexcept
    void sc_counts_add(sc_cache *c, const uint64_t *counts) noexcept
    int sc_repair(sc_cache *c) noexcept
    const char *SC_AT_WORK
    const char *sc_validate(sc_cache *c) noexcept
    void sc_xxh3_128(const void *p, size_t n, const uint8_t *secret, uint64_t seed, uint64_t *out) noexcept
    const char *sc_isa_name() noexcept
    int sc_isa_select(const char *name) noexcept
    const char *sc_isa_list() noexcept
