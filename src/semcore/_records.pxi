# Entries as records, for moving them to another region.


def ids_by_recency(Engine engine):
    """The ids of the live entries, the least recently hit first, as a uint64 array."""
    cdef sc_ref ref
    cdef sc_record r
    cdef uint32_t slot = 0
    cdef Py_ssize_t n = 0
    engine.enter()
    try:
        now = engine.now()
        most = engine._stats()["max_entries"]
        ids, ticks = np.empty(most, dtype=np.uint64), np.empty(most, dtype=np.uint32)
        slot = sc_next_live(engine.c, 0, now, &ref)
        while slot != SC_NIL:
            if sc_read_record(engine.c, &ref, &r) == SC_OK:
                (<uint64_t *>cnp.PyArray_DATA(ids))[n] = sc_id(&ref)
                (<uint32_t *>cnp.PyArray_DATA(ticks))[n] = r.tick
                n += 1
            slot = sc_next_live(engine.c, slot + 1, now, &ref)
        ticks -= engine._stats()["tick"] + 1  # the clock of accesses turns over at 2^32
        return ids[:n][np.argsort(ticks[:n], kind="stable")]
    finally:
        engine.leave(1)


def record(Engine engine, uint64_t id):
    """An entry with all that is stored of it, as a tuple of bytes and numbers; None if it is gone or damaged."""
    cdef sc_ref ref
    cdef sc_record r
    cdef bytes value, text
    cdef object vector = None
    engine.enter()
    try:
        if sc_at(engine.c, id, engine.now(), &ref) != SC_OK or sc_read_record(engine.c, &ref, &r) != SC_OK:
            return None
        value = PyBytes_FromStringAndSize(NULL, ref.value_len)
        text = PyBytes_FromStringAndSize(NULL, ref.text_len)
        if sc_read_value(engine.c, &ref, PyBytes_AS_STRING(value)) != SC_OK:
            return None
        if sc_read_text(engine.c, &ref, PyBytes_AS_STRING(text)) != SC_OK:
            return None
        if r.has_vector:
            vector = np.empty(engine.dim, dtype=np.float32)
            if sc_read_vector(engine.c, &ref, <float *>cnp.PyArray_DATA(vector)) != SC_OK:
                return None
        return (r.key[0], r.key[1], r.part.ns, r.part.all, ref.text_kind, text, ref.value_kind, value, vector,
                [r.tags[i] for i in range(r.ntags)], r.created, r.expires, r.sliding_ms, r.count,
                ref.saving.tokens, ref.saving.cost, ref.saving.latency_ms)
    finally:
        engine.leave(1)


def put_record(Engine engine, tuple record):
    """Stores what `record` gave, in a region with the same secret; False if it can never fit.

    Raises ValueError, TypeError, OverflowError for what no `record` gives.
    """
    cdef sc_record r
    cdef sc_put p
    cdef bytes text, value
    cdef uint64_t id = 0
    cdef uint32_t i
    cdef int rc
    (r.key[0], r.key[1], r.part.ns, r.part.all, p.text_kind, text, p.value_kind, value, vector, tags, r.created,
     r.expires, r.sliding_ms, r.count, p.saving.tokens, p.saving.cost, p.saving.latency_ms) = record
    if p.text_kind > SC_TEXT_BYTES or p.value_kind > VALUE_ASCII or len(tags) > SC_MAX_TAGS:
        raise ValueError("record: expected kinds and tags as they were exported")
    if not (0 <= p.saving.cost < 1e9 and 0 <= p.saving.latency_ms < 1e12):  # NaN fails too
        raise ValueError("record: expected a finite saving")
    unpack(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), p.value_kind)  # or it would fail at every hit
    if p.value_kind == VALUE_ASCII and not value.isascii():
        raise ValueError("record: expected an ASCII value")
    if p.text_kind == SC_TEXT_STR:
        text.decode("utf-8", "surrogatepass")
    engine.enter_writer()
    try:
        a = None if vector is None else engine.vector(vector)
        p.vector = NULL
        if a is not None:
            p.vector = <const float *>cnp.PyArray_DATA(a)
        p.ntags = r.ntags = <uint8_t>len(tags)
        for i in range(p.ntags):
            r.tags[i] = tags[i]
        p.part, p.tags, p.expires, p.sliding_ms = r.part, r.tags, r.expires, r.sliding_ms
        p.text, p.text_len, p.keep_text = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), True
        p.value, p.value_len = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        p.as_ = &r
        rc = sc_put_entry(engine.c, &p, engine.now(), &id)
        if rc == SC_ELOST:
            raise_lost(engine.path)
        if rc != SC_OK and rc != SC_ETOOBIG:
            raise_for(rc, "")
        return rc == SC_OK
    finally:
        engine.leave(1)


def bytes_for(uint32_t dim, str storage, uint32_t max_entries, uint64_t blocks):
    """The max_bytes with which a region of so many entries has so many value blocks."""
    cdef sc_options o
    memset(&o, 0, sizeof(o))
    o.dim, o.storage, o.max_entries = dim, STORAGES.index(storage), max_entries
    return sc_bytes_for(&o, blocks)


def secret(Engine engine):
    """The region's hash secret: whoever has it can make keys collide."""
    secret = PyBytes_FromStringAndSize(NULL, SC_SECRET)
    engine.enter()
    sc_secret(engine.c, <uint8_t *>PyBytes_AS_STRING(secret))
    engine.leave(1)
    return secret


def exclusive(Engine engine):
    """True when nobody else has the file open; others then wait until this cache is closed."""
    engine.enter()
    try:
        return sc_exclusive(engine.c)
    finally:
        engine.leave(1)


def add_counters(Engine engine, counters):
    """Adds the counters of another region's `_stats` to this one's."""
    cdef sc_stats s
    memset(&s, 0, sizeof(s))
    s.hits_exact, s.hits_semantic, s.misses = counters["hits_exact"], counters["hits_semantic"], counters["misses"]
    s.puts, s.evictions, s.expirations = counters["puts"], counters["evictions"], counters["expirations"]
    s.deletions, s.damaged, s.recoveries = counters["deletions"], counters["damaged"], counters["recoveries"]
    s.tokens, s.cost_nano, s.latency_us = counters["tokens"], counters["cost_nano"], counters["latency_us"]
    engine.enter_writer()
    sc_stats_add(engine.c, &s)
    engine.leave(1)
