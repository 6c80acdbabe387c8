# Text to vector by a table: the door to core/embed.

cdef extern from "core/embed/table.h" nogil:
    enum: SC_STEP
    ctypedef struct sc_span:
        uint64_t at, size
    ctypedef struct sc_vocabulary:
        uint32_t count, unknown
    ctypedef struct sc_static:
        sc_vocabulary v
        uint32_t dim, bits
        const uint8_t *base
        sc_span name, licence
    ctypedef struct sc_reader:
        pass
    int sc_static_open(sc_static *t, const char *path, char *why, size_t why_len)
    void sc_static_close(sc_static *t)
    const char *sc_static_validate(const sc_static *t)
    bint sc_static_lost(const sc_static *t)
    void sc_static_check(const void *bytes, size_t size, uint64_t *out)
    int sc_static_embed(const sc_static *t, const void *text, size_t size, uint64_t most, float *out)
    void sc_reader_init(sc_reader *r, const sc_vocabulary *v, const void *text, size_t size)
    uint32_t sc_reader_next(sc_reader *r, uint32_t *ids, uint32_t room)

cdef Py_ssize_t TEXT_ABOVE = 4096  # bytes of text, some 20 us; below, releasing the GIL costs more than it gives

cdef struct Words:
    const char *at
    Py_ssize_t size


# The bytes of a text; the object returned keeps them alive. Lone surrogates stay what no UTF-8 has, and the
# reader skips them: as the reference does with U+FFFD.
cdef object view_words(object text, Words *out):
    if not isinstance(text, str):
        raise TypeError(f"text: expected str, got {type(text).__name__}")
    try:
        out.at = PyUnicode_AsUTF8AndSize(text, &out.size)
        return text
    except UnicodeEncodeError:
        raw = (<str>text).encode("utf-8", "surrogatepass")
    out.at = PyBytes_AS_STRING(raw)
    out.size = PyBytes_GET_SIZE(raw)
    return raw


cdef uint64_t limit(object max_tokens) except? 0:
    if max_tokens is None:
        return 0
    cdef int64_t n = max_tokens
    if n < 1:
        raise ValueError(f"max_tokens: expected at least 1, got {max_tokens}")
    return <uint64_t>n


cdef class Table:
    """A vocabulary and its rows, in a file that is mapped and shared by every process that has it open.

    Args:
        path: a file that `semcore.embed.table.write` made.
        max_tokens: a text of more pieces has no vector. None: any number (0 as an attribute).

    Raises:
        OSError: it cannot be read. ValueError: it is not a table, or one of another version.
    """

    cdef sc_static t
    cdef readonly object path
    cdef readonly uint32_t dim
    cdef readonly uint32_t bits
    cdef readonly uint32_t pieces
    cdef readonly uint32_t unknown
    cdef readonly uint64_t max_tokens

    def __init__(self, path, *, max_tokens=None):
        cdef char why[512]
        cdef bytes raw = os.fsencode(path)
        if b"\0" in raw:
            raise ValueError("path: holds a NUL byte")
        if self.t.base != NULL:
            raise ValueError("the table is open already")
        why[0] = 0
        cdef int rc = sc_static_open(&self.t, raw, why, sizeof(why))
        if rc == SC_EIO:
            raise OSError(errno, os.strerror(errno), path)
        if rc != SC_OK:
            raise ValueError((<bytes>why).decode("utf-8", "replace"))
        self.path = path
        self.max_tokens = limit(max_tokens)
        self.dim, self.bits = self.t.dim, self.t.bits
        self.pieces, self.unknown = self.t.v.count, self.t.v.unknown

    def __dealloc__(self):
        sc_static_close(&self.t)

    def __reduce__(self):
        raise TypeError("a table cannot be pickled: give other processes its path, and let them open it")

    cdef int check(self) except -1:
        if self.t.base == NULL:
            raise ValueError("the table is not open")
        if sc_static_lost(&self.t):
            raise OSError(f"{self.path} was truncated, or its disk failed, while it was open")
        return 0

    cdef str string(self, sc_span s):
        self.check()
        return (<bytes>(<const char *>self.t.base + s.at)[:s.size]).decode("utf-8", "replace")

    @property
    def name(self):
        """What the table is called: part of a cache's fingerprint."""
        return self.string(self.t.name)

    @property
    def fingerprint(self):
        """The name and the checksum that the file states: two tables with the same one give the same vectors."""
        self.check()
        return f"{self.name}:{(<const char *>self.t.base)[16:24].hex()}"

    @property
    def licence(self):
        """Whose work the rows are, and what they may be used for."""
        return self.string(self.t.licence)

    def __call__(self, text):
        """The text's vector, float32[dim] of length 1, or None when it has none (no words, too many, a sum of zero).

        Args:
            text: any `str`; lone surrogates are skipped.

        Raises:
            OSError: the file was truncated while it was open. TypeError: not a `str`.
        """
        cdef Words s
        cdef cnp.npy_intp shape = self.dim
        cdef int rc
        self.check()
        keep = view_words(text, &s)
        out = cnp.PyArray_EMPTY(1, &shape, cnp.NPY_FLOAT32, 0)
        cdef float *to = <float *>cnp.PyArray_DATA(out)
        if s.size > TEXT_ABOVE:
            with nogil:
                rc = sc_static_embed(&self.t, s.at, s.size, self.max_tokens, to)
        else:
            rc = sc_static_embed(&self.t, s.at, s.size, self.max_tokens, to)
        self.check()
        return out if rc == SC_OK else None

    def embed_many(self, texts):
        """The vectors of several texts, float32[len(texts), dim]; zeros where a text has none. Without the GIL."""
        cdef tuple held = tuple(texts)
        cdef cnp.npy_intp n = len(held), i
        cdef cnp.npy_intp[2] shape = [n, self.dim]
        self.check()
        out = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        cdef float *to = <float *>cnp.PyArray_DATA(out)
        cdef Words *s = <Words *>malloc(max(n, 1) * sizeof(Words))
        if s == NULL:
            raise MemoryError(f"cannot allocate for {n} texts")
        try:
            keep = [view_words(text, s + i) for i, text in enumerate(held)]
            with nogil:
                for i in range(n):
                    sc_static_embed(&self.t, s[i].at, s[i].size, self.max_tokens, to + i * self.dim)
        finally:
            free(s)
        self.check()
        return out

    def tokens(self, text, max_tokens=None):
        """The ids of the text's pieces, as `embed` pools them: without [CLS] and [SEP]."""
        cdef Words s
        cdef sc_reader r
        cdef uint32_t[1024] ids
        cdef uint32_t n, i
        cdef uint64_t most = limit(max_tokens)
        cdef list out = []
        self.check()
        keep = view_words(text, &s)
        sc_reader_init(&r, &self.t.v, s.at, s.size)
        while most == 0 or <uint64_t>len(out) < most:
            n = sc_reader_next(&r, ids, 1024)
            if n == 0:
                break
            for i in range(n):
                out.append(ids[i])
        self.check()
        return out[:most] if most else out

    def validate(self):
        """None, or what is wrong with the file. Reads all of it."""
        self.check()
        why = sc_static_validate(&self.t)
        return None if why == NULL else (<bytes>why).decode()


def checksum(bytes file):
    """The 16 bytes that a table file has to hold at offset 16."""
    cdef uint64_t[2] out
    if len(file) < 32:
        raise ValueError("file: too short for a table")
    sc_static_check(PyBytes_AS_STRING(file), PyBytes_GET_SIZE(file), out)
    return (<const char *>out)[:16]
