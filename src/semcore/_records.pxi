# Entries as records, for moving them to another region.


def by_recency(Engine engine):
    """The live entries, the least recently hit first: ids of shape (n,) and keys of shape (n, 2), uint64."""
    cdef sc_ref ref
    cdef sc_record r
    cdef uint32_t slot = 0
    cdef Py_ssize_t n = 0
    engine.enter()
    try:
        now = engine.now()
        s = engine._stats()
        most = s["max_entries"]
        ids, keys = np.empty(most, dtype=np.uint64), np.empty((most, 2), dtype=np.uint64)
        ticks = np.empty(most, dtype=np.uint32)
        slot = sc_next_live(engine.c, 0, now, &ref)
        while slot != SC_NIL:
            if sc_read_record(engine.c, &ref, &r) == SC_OK:
                (<uint64_t *>cnp.PyArray_DATA(ids))[n] = sc_id(&ref)
                (<uint64_t *>cnp.PyArray_DATA(keys))[2 * n] = r.key[0]
                (<uint64_t *>cnp.PyArray_DATA(keys))[2 * n + 1] = r.key[1]
                (<uint32_t *>cnp.PyArray_DATA(ticks))[n] = r.tick
                n += 1
            slot = sc_next_live(engine.c, slot + 1, now, &ref)
        ticks -= np.uint32((s["tick"] + 1) % (1 << 32))  # the clock of accesses turns over
        order = np.argsort(ticks[:n], kind="stable")
        return ids[:n][order], keys[:n][order]
    finally:
        engine.leave(1)


def record(Engine engine, uint64_t id, uint64_t key_low, uint64_t key_high):
    """An entry with all that is stored of it, as a tuple of bytes and numbers; None if it is gone or damaged.

    If it is gone, the one that took its key's place.
    """
    cdef uint64_t[2] key = [key_low, key_high]
    cdef int tries
    cdef sc_ref ref
    engine.enter()
    try:
        for tries in range(RETRIES):
            now = engine.now()
            if sc_at(engine.c, id, now, &ref) != SC_OK and sc_with_key(engine.c, key, now, &ref) != SC_OK:
                return None
            found = read_record(engine, &ref)
            if found is not None:
                return found
        return None
    finally:
        engine.leave(1)


cdef object read_record(Engine engine, sc_ref *ref):
    cdef sc_record r
    cdef bytes value, text
    cdef object vector = None
    if sc_read_record(engine.c, ref, &r) != SC_OK:
        return None
    value = PyBytes_FromStringAndSize(NULL, ref.value_len)
    text = PyBytes_FromStringAndSize(NULL, ref.text_len)
    if sc_read_value(engine.c, ref, PyBytes_AS_STRING(value)) != SC_OK:
        return None
    if sc_read_text(engine.c, ref, PyBytes_AS_STRING(text)) != SC_OK:
        return None
    if r.has_vector:
        vector = np.empty(engine.dim, dtype=np.float32)
        if sc_read_vector(engine.c, ref, <float *>cnp.PyArray_DATA(vector)) != SC_OK:
            return None
    return (r.key[0], r.key[1], r.part.ns, r.part.all, ref.text_kind, text, ref.value_kind, value, vector,
            [r.tags[i] for i in range(r.ntags)], r.created, r.expires, r.sliding_ms, r.count,
            ref.saving.tokens, ref.saving.cost, ref.saving.latency_ms)


# Or it would fail at every hit.
cdef int check_value(bytes value, uint8_t kind) except -1:
    if value is None or kind > VALUE_ASCII:
        raise ValueError("record: expected a value as it was exported")
    unpack(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), kind)
    if kind == VALUE_ASCII and not value.isascii():
        raise ValueError("record: expected an ASCII value")
    return 0


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
    if text is None or tags is None:
        raise ValueError("record: expected a text and tags")
    if p.text_kind > SC_TEXT_BYTES or len(tags) > SC_MAX_TAGS:
        raise ValueError("record: expected kinds and tags as they were exported")
    if not (0 <= p.saving.cost < 1e9 and 0 <= p.saving.latency_ms < 1e12):  # NaN fails too
        raise ValueError("record: expected a finite saving")
    check_value(value, p.value_kind)
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
        if rc != SC_OK and rc != SC_ETOOBIG:
            raise_for(rc, "")
        return rc == SC_OK
    finally:
        engine.leave(1)


def rows(Engine engine, namespace, context, uint32_t start, uint32_t most):
    """Vectors, as stored, of up to so many live entries of a partition from a slot on.

    Returns ids (n,) uint64, vectors (n, dim) float32, and the slot to go on from: None at the end.
    """
    cdef uint32_t n
    cdef int64_t now
    cdef sc_part part
    cdef uint64_t *to_ids
    cdef float *to
    ids, out = np.empty(most, dtype=np.uint64), np.empty((most, engine.dim), dtype=np.float32)
    to_ids, to = <uint64_t *>cnp.PyArray_DATA(<cnp.ndarray>ids), <float *>cnp.PyArray_DATA(<cnp.ndarray>out)
    engine.enter()
    try:
        part = engine.part(namespace, context)
        now = engine.now()
        with nogil:
            n = sc_rows(engine.c, part, now, &start, most, to_ids, to)
        return ids[:n], out[:n], None if start == SC_NIL else start
    finally:
        engine.leave(1)


def bytes_for(uint32_t dim, str storage, uint32_t max_entries, uint64_t blocks, uint32_t prefix_blocks=0):
    """The max_bytes with which a region of so many entries and blocks of prefixes has so many value blocks."""
    cdef sc_options o
    memset(&o, 0, sizeof(o))
    o.dim, o.storage, o.max_entries = dim, STORAGES.index(storage), max_entries
    o.prefix_blocks = prefix_blocks
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
    cdef bytes raw = os.fsencode(engine.path)
    engine.enter()
    try:
        return sc_exclusive(engine.c, raw)
    finally:
        engine.leave(1)


def add_counters(Engine engine, counters):
    """Adds the counters of another region's `_stats` to this one's, modulo 2^64."""
    cdef uint64_t counts[SC_COUNTERS]
    cdef int i
    for i, name in enumerate(COUNTERS):
        counts[i] = counters[name] % (1 << 64)
    engine.enter_writer()
    sc_counts_add(engine.c, counts)
    engine.leave(1)


def describe(Engine engine):
    """What `peek` says of a file, of the cache that is open."""
    cdef sc_options o
    cdef char fingerprint[SC_FINGERPRINT]
    engine.enter()
    sc_describe(engine.c, &o, fingerprint)
    engine.leave(1)
    return described(&o, fingerprint)
