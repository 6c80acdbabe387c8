# From prompts to the hashes of their blocks: kinds, namespaces, and the hashes that engines publish.

NO_SEED = (1 << 64) - 1
HASHES = ("keyed", "xxh3-64", "sha256_cbor", "sha256", "sglang")  # by the number in the file
COMPATIBLE = "hash='xxh3-64', 'sha256_cbor', 'sha256' or 'sglang'"
cdef object digests = None  # semcore.prefix.digests, when it is first needed
cdef object chat_units = None     # of semcore.prefix.chat
cdef dict plain_heads = {}        # of messages that are a role and a text, by role


cdef class Hashing:
    """How an index hashes prompts."""

    cdef Engine engine
    cdef readonly uint32_t block, group, capacity
    cdef uint32_t mode
    cdef uint64_t number  # the seed's
    cdef list last_namespace  # of each kind
    cdef sc_hash128 last_root[3]
    cdef object __weakref__

    def __init__(self, Engine engine):
        cdef sc_options o
        cdef char fingerprint[SC_FINGERPRINT]
        engine.enter()
        sc_describe(engine.c, &o, fingerprint)
        engine.leave(1)
        if o.prefix_blocks == 0:
            raise ConfigError("prefix_blocks: this cache was made without a prefix index")
        self.engine, self.last_namespace = engine, [None, None, None]
        self.block, self.group, self.capacity = o.prefix_block, o.prefix_group, o.prefix_blocks
        self.mode, self.number = o.prefix_hash, o.prefix_seed

    @property
    def seed(self):
        """Of a compatible hash; None: it has none, or vLLM's own text."""
        return None if self.number == NO_SEED else self.number

    @property
    def hash(self):
        """How blocks are hashed: "keyed", "xxh3-64", "sha256_cbor", "sha256" or "sglang"."""
        return HASHES[self.mode]

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
        m.seq, m.namespace, m.made_by = seq, namespace, self.engine
        if type(seq) is str or type(seq) is bytes:
            m.from_text(seq)
        elif type(seq) is list and (PyList_GET_SIZE(seq) == 0 or not isinstance(<object>PyList_GET_ITEM(seq, 0), dict)):
            m.from_list(seq)
        elif type(seq) is list or isinstance(seq, dict):
            return self.prepare_chat(m, seq, namespace)
        elif PyObject_CheckBuffer(seq):
            m.from_buffer(seq)
        elif isinstance(seq, tuple):
            return self.prepare(m, list(seq), namespace)
        else:
            raise TypeError("seq: expected token ids (a list or a buffer of integers), str, bytes, a list of chat messages or a "
                            f"dict with messages, got {type(seq).__name__}")
        m.p.blocks = self.whole_blocks(m)
        check_ids(m, <Py_ssize_t>m.p.blocks * self.block)  # no hash sees those
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
        check_ids(m, 0)
        if self.mode == SC_HASH_ROLLING:
            out = np.empty(m.p.blocks, dtype=np.uint64)
            sc_prefix_roll(self.engine.c, m.p.data, m.p.blocks, <uint64_t *>cnp.PyArray_DATA(<cnp.ndarray>out))
            return out.tolist()
        global digests
        if digests is None:
            from semcore.prefix import digests
        raw = PyBytes_FromStringAndSize(<const char *>m.p.data, <Py_ssize_t>m.p.blocks * self.block * 4)
        return digests.SCHEMES[HASHES[self.mode]](raw, self.block, self.number)

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
        cdef Py_ssize_t i, n = PyList_GET_SIZE(seq)
        cdef PyObject *role
        cdef PyObject *content
        cdef PyObject *head
        cdef sc_hash128 h = m.p.root
        m.hashes(n)
        for i in range(n):
            message = <object>PyList_GET_ITEM(seq, i)
            if type(message) is not dict or PyDict_Size(message) != 2:
                return False
            role, content = PyDict_GetItemWithError(message, "role"), PyDict_GetItemWithError(message, "content")
            if role == NULL or content == NULL or type(<object>role) is not str or type(<object>content) is not str:
                return False
            head = PyDict_GetItemWithError(plain_heads, <object>role)
            if head == NULL or not PyUnicode_IS_ASCII(<object>content):
                return False
            h = sc_prefix_unit(self.engine.c, h, PyBytes_AS_STRING(<object>head), PyBytes_GET_SIZE(<object>head),
                               PyUnicode_DATA(<object>content), PyUnicode_GET_LENGTH(<object>content))
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
        if m.made_by is not self.engine:  # another has its own secret, and perhaps blocks of another size
            raise ValueError("seq: expected a Match of this index")
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

    def hashes(self, seq):
        """The hashes by which engines know a prompt's blocks, as ints. Of an index with a compatible `hash` only.

        Raises:
            ConfigError: this index has keyed hashes, which never leave it.
        """
        cdef Prompt m = Prompt.__new__(Prompt)
        if self.mode == SC_HASH_KEYED:
            raise ConfigError(f"hash: keyed hashes never leave the index; make it with {COMPATIBLE}")
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


cdef object namespace_parts(object namespace):
    if not isinstance(namespace, tuple):
        raise TypeError(f"namespace: expected str, bytes or a tuple of them, got {type(namespace).__name__}")
    return namespace


# Those of a buffer of int32 from `first` on; those in front of it are checked where they are hashed.
cdef int check_ids(Prompt m, Py_ssize_t first) except -1:
    cdef const int32_t *ids = <const int32_t *>m.p.data
    cdef Py_ssize_t i
    if m.p.is_signed:
        for i in range(first, m.total):
            if ids[i] < 0:
                raise ValueError(f"seq: expected token ids from 0 to 2^32 - 1, got {ids[i]} at {i}")
    return 0


cdef int raise_prefix(int rc, Prompt m=None) except -1:
    if rc == SC_EARG:
        check_ids(m, 0)
        raise ValueError("seq: changed while it was read")
    if rc == SC_ELOST:
        raise RegionError("the file was truncated, or its disk failed, while it was open: close it and open the path anew")
    return raise_for(rc, "")
