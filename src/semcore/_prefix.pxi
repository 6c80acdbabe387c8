# The prefix index of an engine's region: semcore.prefix.PrefixIndex is this with a face.

from collections.abc import Sequence
from numbers import Real

cdef class Prefixes(Hashing):
    """The prefix index of an engine."""

    cdef readonly uint32_t replicas

    def __init__(self, Engine engine, uint32_t replicas):
        Hashing.__init__(self, engine)
        self.replicas = replicas

    # ---- lookups ----

    cdef int look(self, Match m, bint touch, const uint32_t n) except -1:
        cdef char small[4096]
        cdef char *at = small
        cdef size_t room = sizeof(small)
        cdef sc_match found
        cdef int rc
        cdef int64_t now = self.engine.now()
        cdef bint wait = <uint64_t>m.p.blocks * self.block * 4 > RELEASE_ABOVE and m.p.data != NULL
        m.nscores, m.scores = n, m.few
        if n > 64:
            m.scores = <uint32_t *>malloc(4 * <size_t>n)
            if m.scores == NULL:
                raise MemoryError()
        try:
            while True:
                if not wait:
                    rc = sc_prefix_match(self.engine.c, &m.p, touch, False, now, at, room, m.scores, n, &found)
                    wait = rc == SC_EBUSY
                if wait:
                    with nogil:
                        rc = sc_prefix_match(self.engine.c, &m.p, touch, True, now, at, room, m.scores, n, &found)
                if rc != SC_OK:
                    raise_prefix(rc, m)
                if found.value_at == 0 or found.value_len <= room:
                    break
                if at != small:
                    free(at)
                at, room = <char *>malloc(found.value_len), found.value_len
                if at == NULL:
                    at = small
                    raise MemoryError(f"cannot allocate {room} bytes for a value")
            if found.value_at:
                m.value = unpack(at, found.value_len, found.value_kind)
        finally:
            if at != small:
                free(at)
        m.unit = self.unit(m)
        m.units, m.matched, m.value_at = found.blocks, found.blocks * m.unit, found.value_at * m.unit
        return 0

    def match(self, seq, *, namespace=(), bint touch=True):
        """The longest known prefix of a prompt, and what is attached to it.

        Args:
            seq: token ids (an int32, uint32 or int64 buffer, or a list), str or bytes (as UTF-8), or a chat: a list of messages, or
                a dict with "messages" and perhaps "tools" and "system". Ids of an int32 buffer that lie behind the first block
                that is not known need not be looked at, so a negative one there is no error; in an insert it is.
            namespace: a name (str or bytes) or several, such as tenant, model and adapter. Nothing crosses it.
            touch: it counts as used. A read-only handle stamps nothing, and matches nothing while a writer recovers the file.

        Raises:
            TypeError, ValueError: the argument, and what was expected.
        """
        cdef Match m = Match.__new__(Match)
        self.engine.enter()
        try:
            self.prepare(m, seq, namespace)
            self.look(m, touch, self.replicas)
            return m
        finally:
            m.let_go()
            self.engine.leave(1)

    def lookup(self, seq, *, namespace=()):
        """The value of the longest prefix that has a live one, or None. Arguments and errors as for `match`."""
        cdef Match m = Match.__new__(Match)
        self.engine.enter()
        try:
            self.prepare(m, seq, namespace)
            self.look(m, True, 0)
            return m.value
        finally:
            m.let_go()
            self.engine.leave(1)

    def route(self, seq, loads, alpha=0.25, *, namespace=()):
        """The replica with the least `uncached + alpha * load`; of equals the one with less load, then the first.

        Args:
            seq, namespace: as for `match`.
            loads: what each replica has to do, replica 0 first, in what the prompt is counted in (tokens, bytes, units of a chat).
            alpha: the weight of load. 0.25 was within .03 of the best hit share on all traces, and balanced.

        Raises:
            TypeError, ValueError: the argument, and what was expected.
        """
        cdef Match m = Match.__new__(Match)
        cdef Py_ssize_t i, best = -1, n
        cdef double weight, cost, least = 0, load, least_load = 0
        if isinstance(loads, (str, bytes)) or not isinstance(loads, (Sequence, np.ndarray)):
            raise TypeError(f"loads: expected a list of numbers, got {type(loads).__name__}")
        if not isinstance(alpha, Real) or not 0 <= alpha < 1e9:
            raise ValueError(f"alpha: expected a number from 0 to 1e9, got {alpha!r}")
        n, weight = len(loads), alpha
        if not 0 < n <= self.replicas:
            raise ValueError(f"loads: expected those of 1 to {self.replicas} replicas, got {n}")
        self.engine.enter()
        try:
            self.prepare(m, seq, namespace)
            self.look(m, False, <uint32_t>n)
            for i in range(n):
                one = loads[i]
                if not isinstance(one, Real) or not -1e300 < one < 1e300:
                    raise ValueError(f"loads: expected finite numbers, got {one!r} at {i}")
                load = one
                cost = m.total - m.scores[i] * m.unit + weight * load
                if best < 0 or cost < least or (cost == least and load < least_load):
                    best, least, least_load = i, cost, load
            return Route(best, m.scores[best] * m.unit, least)
        finally:
            m.let_go()
            self.engine.leave(1)

    # ---- writers ----

    def insert(self, seq, value=None, *, ttl=None, replica=None, namespace=()):
        """Makes a prompt known, and leaves a value at its end. What is least needed goes when there is no room.

        Args:
            seq: as for `match`; or a `Match`, whose hashes are used again (its namespace too). A buffer must not have changed.
            value: `str` and `bytes` are kept as they are, anything else as msgpack. None: no value. Attached behind the last whole
                block; a part of a block behind that does not count.
            ttl: seconds that the value lives; None: as long as its prompt is known. Only with a value.
            replica: the number of the engine that holds this prompt now, 0 to `replicas` - 1.
            namespace: as for `match`.

        Raises:
            CapacityError: the value can never fit. TypeError, ValueError: the argument, and what was expected.
            Nothing is changed then.
        """
        cdef sc_attach what
        cdef sc_inserted done
        cdef Prompt m = None
        cdef uint8_t kind = 0
        cdef bytes packed
        cdef int64_t now
        cdef double seconds = 0
        cdef int rc
        self.engine.enter_writer()
        try:
            what.replica, what.value, what.value_len, what.expires = SC_NIL, NULL, 0, SC_FOREVER
            if replica is not None:
                what.replica = self.replica(replica)
            if ttl is not None:
                seconds = check_seconds(ttl)
                if value is None:
                    raise ValueError("ttl: expected a value with it")
            m = self.prompt(seq, namespace)
            now = self.engine.now()
            if value is not None:
                packed = pack_value(value, &kind)
                what.value, what.value_len, what.value_kind = PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed), kind
                if m.p.blocks == 0:
                    raise ValueError(f"seq: shorter than a block ({self.unit(m)} {COUNTED[m.kind]}), so no value can be attached")
            if seconds > 0:
                what.expires = now + <int64_t>(seconds * 1e6)
            with nogil:
                rc = sc_prefix_insert(self.engine.c, &m.p, &what, now, &done)
            if rc == SC_ETOOBIG:
                raise CapacityError(f"value: {what.value_len} bytes can never fit into this cache")
            if rc != SC_OK:
                raise_prefix(rc, m)
            return Inserted(done.known, done.blocks, m.p.blocks, done.stored)
        finally:
            if m is not None:
                m.let_go()
            self.engine.leave(1)

    cdef uint32_t replica(self, object replica) except? 0:
        if isinstance(replica, bool) or not isinstance(replica, int) or not 0 <= replica < self.replicas:
            raise ValueError(f"replica: expected a number from 0 to {self.replicas - 1}, got {replica!r}")
        return replica

    def pin(self, seq, *, namespace=()):
        """Keeps the known prefix of a prompt from being evicted. Returns how much that is; 0: nothing was pinned.

        Pins count: as many `unpin` let go. seq, namespace: as for `insert`.
        """
        return self.pinned(seq, namespace, True)

    def unpin(self, seq, *, namespace=()):
        """Takes back the deepest pin on the prompt. Returns how much it kept; 0: there is none."""
        return self.pinned(seq, namespace, False)

    cdef object pinned(self, object seq, object namespace, bint pin):
        cdef Prompt m = None
        cdef uint32_t blocks = 0
        cdef int rc
        self.engine.enter_writer()
        try:
            m = self.prompt(seq, namespace)
            with nogil:
                rc = sc_prefix_pin(self.engine.c, &m.p, pin, &blocks)
            if rc == SC_ETOOBIG:
                raise CapacityError("pin: there is no room for more pins")
            if rc != SC_OK:
                raise_prefix(rc, m)
            return blocks * self.unit(m)
        finally:
            if m is not None:
                m.let_go()
            self.engine.leave(1)

    def forget(self, replica):
        """A replica holds nothing any more; blocks that nobody else holds go. Returns how many runs it had a part of."""
        cdef uint32_t number = self.replica(replica)
        cdef uint64_t runs = 0
        cdef int rc
        self.engine.enter_writer()
        try:
            with nogil:
                rc = sc_prefix_forget(self.engine.c, number, &runs)
            if rc != SC_OK:
                raise_prefix(rc)
            return runs
        finally:
            self.engine.leave(1)

    def clear(self):
        """Forgets everything: prompts, values, pins and replicas."""
        cdef int rc
        self.engine.enter_writer()
        try:
            with nogil:
                rc = sc_prefix_clear(self.engine.c)
            if rc != SC_OK:
                raise_prefix(rc)
        finally:
            self.engine.leave(1)

    # ---- what engines publish: semcore.prefix.events ----

    cdef int keys(self, object hashes, object namespace, sc_hash128 *out) except -1:
        cdef sc_hash128 root = self.root(namespace, KIND_TOKENS)
        cdef Py_ssize_t i = 0
        cdef uint64_t hash
        for one in hashes:
            hash = one
            out[i] = sc_prefix_key(self.engine.c, root, hash)
            i += 1
        return 0

    def _events_of(self, bint stored, after, list hashes, replica, namespace):
        """Blocks came (behind one, or at the front) or went. False: the one that they are behind is not there."""
        cdef uint32_t n = <uint32_t>len(hashes), number = self.replica(replica)
        cdef sc_hash128 before
        cdef sc_hash128 *out = NULL
        cdef const sc_hash128 *behind = NULL
        cdef int rc
        self.engine.enter_writer()
        try:
            out = <sc_hash128 *>malloc(sizeof(sc_hash128) * (n + 1))
            if out == NULL:
                raise MemoryError()
            self.keys(hashes, namespace, out)
            if after is not None:
                self.keys((after,), namespace, &before)
                behind = &before
            with nogil:
                rc = (sc_prefix_stored(self.engine.c, behind, out, n, number) if stored
                      else sc_prefix_removed(self.engine.c, out, n, number))
            if rc != SC_OK and rc != SC_ENOTFOUND:
                raise_prefix(rc)
            return rc == SC_OK
        finally:
            free(out)
            self.engine.leave(1)

    # ---- inspection ----

    def __len__(self):
        return self.stats()["blocks"]

    def stats(self):
        """Blocks, runs, values, pins and notes in use and at most; blocks evicted; notes lost for want of room; bytes."""
        cdef sc_prefix_stats s
        self.engine.enter()
        try:
            sc_prefix_stats_get(self.engine.c, &s)
        finally:
            self.engine.leave(1)
        return {"blocks": s.blocks, "max_blocks": s.max_blocks, "runs": s.runs, "max_runs": s.max_runs, "values": s.values,
                "value_blocks": s.value_blocks, "pins": s.pins, "notes": s.notes, "max_notes": s.max_notes, "lost": s.lost,
                "evicted": s.evicted, "bytes": s.bytes}

    def check(self):
        """None, or the first invariant that does not hold. Slow: for tests and after a suspicion.

        A read-only handle proves what it saw while no writer was at work; "writers are at work: try again" if there was no such
        moment, or one died and the file waits for a writer that recovers it.
        """
        cdef const char *why
        self.engine.enter()
        try:
            with nogil:
                why = sc_prefix_validate(self.engine.c)
            return None if why == NULL else (<bytes>why).decode()
        finally:
            self.engine.leave(1)


cdef double check_seconds(object ttl) except? -1:
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl < 1e10:
        raise ValueError(f"ttl: expected seconds above 0 and below 1e10, or None, got {ttl!r}")
    return ttl
