# Runs of the prefix index as records, for moving them to another region: core/carry.c.

cdef object key_bytes(const sc_hash128 *keys, size_t n):
    return PyBytes_FromStringAndSize(<const char *>keys, n * sizeof(sc_hash128))


cdef list carried_notes(const sc_carried_notes *notes):
    cdef uint32_t i
    return [(notes.at[i].depth, notes.at[i].what) for i in range(notes.n)]


def prefix_runs(Engine engine):
    """Numbers of the runs of an engine's prefix index, each behind the one that it goes on from."""
    cdef uint32_t run, start
    engine.enter()
    try:
        starts = []
        for run in range(sc_carry_runs(engine.c)):
            start = sc_carry_start(engine.c, run)
            if start != SC_NIL:
                starts.append((start, run))
        return [number for _, number in sorted(starts)]
    finally:
        engine.leave(1)


def prefix_run(Engine engine, uint32_t run):
    """A run with its pins and live values, as a dict; None if it is gone, damaged, or changes all the time."""
    cdef sc_carried r
    cdef uint32_t i
    cdef size_t at = 0
    cdef int rc
    cdef int64_t now
    engine.enter()
    try:
        if run >= sc_carry_runs(engine.c):
            return None
        now = engine.now()
        with nogil:
            rc = sc_carry_take(engine.c, run, now, &r)
        if rc == SC_ENOMEM:
            raise MemoryError("out of memory for a run of the prefix index")
        if rc != SC_OK:
            return None
        try:
            values = []
            for i in range(r.nvalues):
                raw = PyBytes_FromStringAndSize(<const char *>r.bytes + at, r.values[i].len)
                values.append((r.values[i].depth, r.values[i].kind, r.values[i].expires, raw))
                at += r.values[i].len
            return {"start": r.start, "after": key_bytes(&r.after, 1) if r.start else None, "stamp": r.stamp,
                    "keys": key_bytes(r.keys, r.length), "steps": carried_notes(&r.steps),
                    "pins": carried_notes(&r.pins), "values": values}
        finally:
            sc_carried_free(&r)
    finally:
        engine.leave(1)


cdef const sc_hash128 *keys_of(bytes keys) except NULL:
    if keys is None or PyBytes_GET_SIZE(keys) == 0 or PyBytes_GET_SIZE(keys) % <Py_ssize_t>sizeof(sc_hash128):
        raise ValueError("run: expected keys as they were exported")
    return <const sc_hash128 *>PyBytes_AS_STRING(keys)


def put_prefix_run(Engine engine, dict run):
    """Stores what `prefix_run` gave, in a region with the same secret and as many blocks of prefixes.

    Returns how many blocks it has now: 0 if what it goes on from is not there, it is there already, or there is no room for all
    of it. Values that do not fit are left out. Raises ValueError, TypeError, LookupError, OverflowError for what no `prefix_run` gives.
    """
    cdef bytes raw = run["keys"], behind = run["after"]
    cdef const sc_hash128 *keys = keys_of(raw)
    cdef const sc_hash128 *after = NULL
    cdef uint32_t start = run["start"], n = <uint32_t>(PyBytes_GET_SIZE(raw) // sizeof(sc_hash128))
    cdef uint64_t stamp = run["stamp"]
    cdef int rc
    if behind is not None:
        after = keys_of(behind)
    values = [checked_value(value) for value in run["values"]]
    engine.enter_writer()
    try:
        with nogil:
            rc = sc_carry_put(engine.c, after, start, keys, n, stamp)
        if rc == SC_ENOTFOUND or rc == SC_EARG or rc == SC_ETOOBIG:
            return 0
        if rc != SC_OK:
            raise_prefix(rc)
        for depth, what in run["steps"]:
            placed(sc_carry_step(engine.c, key_at(keys, start, n, depth), depth, what))
        for depth, what in run["pins"]:
            placed(sc_carry_pin(engine.c, key_at(keys, start, n, depth), depth, what))
        for depth, kind, expires, value in values:
            put_value(engine, key_at(keys, start, n, depth), depth, kind, expires, value)
        return n
    finally:
        engine.leave(1)


cdef sc_hash128 key_at(const sc_hash128 *keys, uint32_t start, uint32_t n, uint32_t depth) except *:
    if depth <= start or depth - start > n:
        raise ValueError("run: expected depths inside of it")
    return keys[depth - start - 1]


cdef tuple checked_value(object record):
    depth, kind, expires, value = record
    check_value(value, kind)
    return depth, kind, expires, value


cdef int put_value(Engine engine, sc_hash128 key, uint32_t depth, uint8_t kind, int64_t expires, bytes value) except -1:
    cdef sc_attach what
    cdef int rc
    cdef int64_t now = engine.now()
    what.value, what.value_len, what.value_kind = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), kind
    what.replica, what.expires = SC_NIL, expires
    if expires <= now:
        return 0
    with nogil:
        rc = sc_carry_value(engine.c, key, depth, &what, now)
    return placed(rc)


# What there is no room for is left out.
cdef int placed(int rc) except -1:
    if rc == SC_EARG:
        raise ValueError("run: expected pins as they were exported")
    if rc != SC_OK and rc != SC_ETOOBIG and rc != SC_ENOTFOUND:
        raise_prefix(rc)
    return 0


def prefix_clock(Engine engine):
    """What the stamps of runs are counted by, and how many blocks were ever evicted."""
    cdef uint64_t clock[3]
    engine.enter()
    sc_carry_clock(engine.c, clock)
    engine.leave(1)
    return [clock[0], clock[1], clock[2]]


def wind_prefix_clock(Engine engine, uint64_t tick, uint64_t age, uint64_t evicted):
    """Sets it, before runs are stored."""
    cdef uint64_t[3] clock = [tick, age, evicted]
    cdef int rc
    engine.enter_writer()
    try:
        rc = sc_carry_wind(engine.c, clock)
        if rc != SC_OK:
            raise_prefix(rc)
    finally:
        engine.leave(1)
