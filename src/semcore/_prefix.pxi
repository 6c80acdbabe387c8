# The prefix index of an engine's region: semcore.prefix.PrefixIndex is this with a face.

class Inserted(NamedTuple):
    """What an insert found and did, in units (blocks, or a chat's): `known` before, `units` there now of
    `total`, and whether the value is kept."""

    known: int
    units: int
    total: int
    stored: bool


class Route(NamedTuple):
    """Where to send a prompt: the replica, how much of the prompt it holds, and uncached + alpha * load."""

    replica: int
    cached: int
    cost: float


cdef class Prefixes:
    """The prefix index of an engine."""

    cdef Engine engine
    cdef readonly uint32_t block, group, capacity, replicas
    cdef uint32_t mode
    cdef readonly uint64_t seed
    cdef list last_namespace  # of each kind
    cdef sc_hash128 last_root[3]
    cdef object __weakref__

    def __init__(self, Engine engine, uint32_t replicas):
        cdef sc_options o
        cdef char fingerprint[SC_FINGERPRINT]
        engine.enter()
        sc_describe(engine.c, &o, fingerprint)
        engine.leave(1)
        if o.prefix_blocks == 0:
            raise ConfigError("prefix_blocks: this cache was made without a prefix index")
        if engine.read_only:
            raise ConfigError("read_only: a prefix index stamps what it finds; open the cache for writing")
        self.engine, self.replicas, self.last_namespace = engine, replicas, [None, None, None]
        self.block, self.group, self.capacity = o.prefix_block, o.prefix_group, o.prefix_blocks
        self.mode, self.seed = o.prefix_hash, o.prefix_seed

    # ---- prompts ----

    # Length-prefixed and tagged: ("ab", "c") is not ("a", "bc"), nor (b"ab", "c").
    cdef sc_hash128 root(self, object namespace, uint8_t kind) except *:
        cdef Bytes t
        cdef bytes packed
        if namespace is self.last_namespace[kind] and namespace is not None:
            return self.last_root[kind]
        parts = [bytes([kind])]
        for name in (namespace,) if isinstance(namespace, (str, bytes)) else namespace_parts(namespace):
            keep = view_text(name, &t, "namespace")
            parts += [bytes([t.kind]), (<object>t.size).to_bytes(8, "little"), t.at[:t.size]]
        packed = b"".join(parts)
        self.last_root[kind] = sc_prefix_root(self.engine.c, <const char *>packed, PyBytes_GET_SIZE(packed))
        self.last_namespace[kind] = namespace
        return self.last_root[kind]

    cdef int prepare(self, Prompt m, object seq, object namespace) except -1:
        m.seq, m.namespace = seq, namespace
        if type(seq) is str or type(seq) is bytes:
            m.from_text(seq)
        elif type(seq) is list and (PyList_GET_SIZE(seq) == 0 or not isinstance(<object>PyList_GET_ITEM(seq, 0), dict)):
            m.from_list(seq)
        elif type(seq) is list or isinstance(seq, dict):
            return self.prepare_chat(m, seq, namespace)
        elif PyObject_CheckBuffer(seq):
            m.from_buffer(seq)
        elif isinstance(seq, tuple):
            m.from_list(list(seq))
        else:
            raise TypeError("seq: expected token ids (a list or a buffer of integers), str, bytes, a list of chat messages or a "
                            f"dict with messages, got {type(seq).__name__}")
        m.p.blocks = self.whole_blocks(m)
        m.p.root = self.root(namespace, m.kind)
        m.p.group = self.group
        if self.mode == SC_HASH_KEYED:
            m.hashes(m.p.blocks // self.group)
        else:
            self.compatible(m)
        return 0

    cdef uint32_t whole_blocks(self, Prompt m) except? 0:
        cdef Py_ssize_t n = m.total // self.unit(m)
        if n > SC_MAX_PREFIX_BLOCKS:
            raise ValueError(f"seq: {n} blocks are more than an index can hold")
        return <uint32_t>n

    # Of a block, in what `total` counts.
    cdef Py_ssize_t unit(self, Prompt m) noexcept:
        return 1 if m.kind == KIND_CHAT else self.block if m.kind == KIND_TOKENS else 4 * self.block

    # Hashes as engines publish them, of all blocks at once.
    cdef int compatible(self, Prompt m) except -1:
        cdef uint32_t i, n = m.p.blocks
        if m.kind != KIND_TOKENS:
            raise TypeError(f"seq: an index with hash={HASHES[self.mode]!r} takes token ids only, as the engines do")
        values = self.published(m)
        m.hashes(n)
        for i in range(n):
            m.p.hashes[i] = sc_prefix_key(self.engine.c, m.p.root, values[i])
        m.p.hashed, m.p.group, m.p.data = n, 1, NULL
        return 0

    cdef object published(self, Prompt m):
        cdef object out
        cdef Py_ssize_t i
        if m.p.is_signed:
            for i in range(<Py_ssize_t>m.p.blocks * self.block):
                if (<const int32_t *>m.p.data)[i] < 0:
                    raise_prefix(SC_EARG)
        if self.mode == SC_HASH_ROLLING:
            out = np.empty(m.p.blocks, dtype=np.uint64)
            sc_prefix_roll(self.engine.c, m.p.data, m.p.blocks, <uint64_t *>cnp.PyArray_DATA(<cnp.ndarray>out))
            return out.tolist()
        global sha256_hashes
        if sha256_hashes is None:
            from semcore.prefix.cbor import sha256_hashes
        raw = PyBytes_FromStringAndSize(<const char *>m.p.data, <Py_ssize_t>m.p.blocks * self.block * 4)
        return sha256_hashes(np.frombuffer(raw, dtype=np.uint32).tolist(), self.block, self.seed)

    cdef int prepare_chat(self, Prompt m, object seq, object namespace) except -1:
        if self.mode != SC_HASH_KEYED:
            raise TypeError(f"seq: an index with hash={HASHES[self.mode]!r} takes token ids only, as the engines do")
        m.kind = KIND_CHAT
        m.p.root = self.root(namespace, KIND_CHAT)
        m.p.group, m.p.data = 1, NULL
        if type(seq) is not list or not self.plain_chat(m, seq):
            self.any_chat(m, seq)
        m.total = m.p.blocks = m.p.hashed
        return 0

    # Messages that are a role and a text, as most are; False: others are among them.
    cdef bint plain_chat(self, Prompt m, list seq) except -1:
        cdef Py_ssize_t i, size, n = PyList_GET_SIZE(seq)
        cdef PyObject *role
        cdef PyObject *content
        cdef PyObject *head
        cdef const char *at
        cdef sc_hash128 h = m.p.root
        m.hashes(n)
        for i in range(n):
            message = <object>PyList_GET_ITEM(seq, i)
            if type(message) is not dict or PyDict_Size(message) != 2:
                return False
            role, content = PyDict_GetItem(message, "role"), PyDict_GetItem(message, "content")
            if role == NULL or content == NULL or type(<object>role) is not str or type(<object>content) is not str:
                return False
            head = PyDict_GetItem(plain_heads, <object>role)
            if head == NULL or not PyUnicode_IS_ASCII(<object>content):
                return False
            at = PyUnicode_AsUTF8AndSize(<object>content, &size)
            h = sc_prefix_unit(self.engine.c, h, PyBytes_AS_STRING(<object>head), PyBytes_GET_SIZE(<object>head), at, size)
            m.p.hashes[i] = h
        m.p.hashed = <uint32_t>n
        return True

    cdef int any_chat(self, Prompt m, object seq) except -1:
        cdef Bytes head, text
        cdef sc_hash128 h = m.p.root
        cdef uint32_t i
        global chat_units
        if chat_units is None:
            from semcore.prefix.chat import chat_units, plain_heads as heads
            plain_heads.update(heads())
        units = chat_units(seq)
        free(m.room)
        m.room = NULL
        m.hashes(len(units))
        for i, (label, unit_head, unit_text) in enumerate(units):
            keep = view_text(unit_head, &head, "seq")
            keep2 = view_text(unit_text, &text, "seq")
            h = sc_prefix_unit(self.engine.c, h, head.at, head.size, text.at, text.size)
            m.p.hashes[i] = h
        m.p.hashed = <uint32_t>len(units)
        return 0

    # The prompt of a match, or a new one; its buffer is there until `let_go`.
    cdef Prompt prompt(self, object seq, object namespace):
        cdef Prompt m
        if type(seq) is not Match:
            m = Prompt.__new__(Prompt)
            try:
                self.prepare(m, seq, namespace)
            except BaseException:
                m.let_go()
                raise
            return m
        m = <Prompt>seq
        if m.tokens == NULL and m.kind == KIND_TOKENS and m.p.group != 1 and not m.viewed:
            self.again(m)
        return m

    cdef int again(self, Prompt m) except -1:
        cdef Py_ssize_t before = m.total
        try:
            m.from_buffer(m.seq)
        finally:
            if m.total != before:
                m.let_go()
        if m.total != before:
            raise ValueError("seq: the buffer of this match has another length than when it was matched")
        return 0

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
                    raise_prefix(rc)
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
                a dict with "messages" and perhaps "tools" and "system".
            namespace: a name (str or bytes) or several, such as tenant, model and adapter. Nothing crosses it.
            touch: it counts as used.

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
        cdef Py_ssize_t i, best = -1, n = len(loads)
        cdef double weight = alpha, cost, least = 0, load, least_load = 0
        if not 0 < n <= self.replicas:
            raise ValueError(f"loads: expected those of 1 to {self.replicas} replicas, got {n}")
        if not 0 <= weight < 1e9:
            raise ValueError(f"alpha: expected 0 or more, got {alpha!r}")
        self.engine.enter()
        try:
            self.prepare(m, seq, namespace)
            self.look(m, False, <uint32_t>n)
            for i in range(n):
                load = loads[i]
                if not -1e300 < load < 1e300:
                    raise ValueError(f"loads: expected finite numbers, got {loads[i]!r} at {i}")
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
            ttl: seconds that the value lives; None: as long as its prompt is known.
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
                raise_prefix(rc)
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
                raise_prefix(rc)
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
        cdef sc_hash128 *out = <sc_hash128 *>malloc(sizeof(sc_hash128) * (n + 1))
        cdef const sc_hash128 *behind = NULL
        cdef int rc
        self.engine.enter_writer()
        try:
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

    def hashes(self, seq):
        """The hashes by which engines know a prompt's blocks, as ints. Of an index with a compatible `hash` only.

        Raises:
            ConfigError: this index has keyed hashes, which never leave it.
        """
        cdef Prompt m = Prompt.__new__(Prompt)
        if self.mode == SC_HASH_KEYED:
            raise ConfigError("hash: keyed hashes never leave the index; make it with hash='xxh3-64' or 'sha256_cbor'")
        self.engine.enter()
        try:
            if type(seq) is list:
                m.from_list(seq)
            else:
                m.from_buffer(seq)
            m.p.blocks = self.whole_blocks(m)
            return self.published(m)
        finally:
            m.let_go()
            self.engine.leave(1)

    # ---- inspection ----

    @property
    def hash(self):
        """How blocks are hashed: "keyed", "xxh3-64" or "sha256_cbor"."""
        return HASHES[self.mode]

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
        """None, or the first invariant that does not hold. Slow: for tests and after a suspicion."""
        cdef const char *why
        self.engine.enter()
        try:
            with nogil:
                why = sc_prefix_validate(self.engine.c)
            return None if why == NULL else (<bytes>why).decode()
        finally:
            self.engine.leave(1)


cdef tuple HASHES = ("keyed", "xxh3-64", "sha256_cbor")


cdef object namespace_parts(object namespace):
    if not isinstance(namespace, tuple):
        raise TypeError(f"namespace: expected str, bytes or a tuple of them, got {type(namespace).__name__}")
    return namespace


cdef double check_seconds(object ttl) except? -1:
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl < 1e10:
        raise ValueError(f"ttl: expected seconds above 0 and below 1e10, or None, got {ttl!r}")
    return ttl


cdef int raise_prefix(int rc) except -1:
    if rc == SC_EARG:
        raise ValueError("seq: expected token ids from 0 to 2^32 - 1, got a negative one")
    if rc == SC_ELOST:
        raise RegionError("the file was truncated, or its disk failed, while it was open: close it and open the path anew")
    return raise_for(rc, "")
