# A prompt as the prefix index takes it: what was given, as blocks that are hashed when they are needed.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Size
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject

cdef extern from "_unbox.h":
    Py_ssize_t unbox_list(object o, uint32_t *out)

cdef enum:
    KIND_TOKENS = 0
    KIND_TEXT = 1
    KIND_CHAT = 2

cdef tuple COUNTED = ("tokens", "bytes", "units")


cdef class Prompt:
    """A prompt and the hashes of it that are known. Base of `Match`."""

    cdef sc_prompt p
    cdef uint32_t *tokens      # converted ones, or NULL
    cdef void *room            # of hashes
    cdef Py_buffer view
    cdef bint viewed
    cdef readonly object seq
    cdef readonly object namespace
    cdef Engine made_by        # whose secret the hashes are made with
    cdef uint8_t kind
    cdef readonly Py_ssize_t total  # tokens, bytes or units

    def __dealloc__(self):
        free(self.tokens)
        free(self.room)

    cdef void let_go(self) noexcept:
        if self.viewed:
            self.viewed = False
            PyBuffer_Release(&self.view)

    cdef int hashes(self, size_t n) except -1:
        self.room = malloc((n + 1) * sizeof(sc_hash128))
        if self.room == NULL:
            raise MemoryError(f"cannot allocate {n} hashes")
        self.p.hashes = <sc_hash128 *>self.room
        return 0

    cdef int copy_room(self, Py_ssize_t n) except -1:
        self.tokens = <uint32_t *>malloc((n + 1) * 4)
        if self.tokens == NULL:
            raise MemoryError(f"cannot allocate {n} tokens")
        self.p.data = self.tokens
        return 0

    cdef int from_list(self, list seq) except -1:
        cdef Py_ssize_t n = PyList_GET_SIZE(seq), done
        self.copy_room(n)
        done = unbox_list(seq, self.tokens)
        self.total = n
        if done < n:
            bad = seq[done]
            raise (ValueError if isinstance(bad, int) and not isinstance(bad, bool) else TypeError)(
                f"seq: expected token ids from 0 to 2^32 - 1, got {bad!r} at {done}")
        return 0

    # int32 and uint32 as they lie; 64 bits are narrowed.
    cdef int from_buffer(self, object seq) except -1:
        cdef char code
        cdef Py_ssize_t i, n
        cdef const uint64_t *wide
        cdef uint64_t any_high = 0
        try:
            PyObject_GetBuffer(seq, &self.view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except BufferError as error:
            raise ValueError(f"seq: expected a contiguous buffer ({error})") from error
        self.viewed = True
        code = self.view.format[0] if self.view.format != NULL else c"B"
        if code == c"<" or code == c"=" or code == c"@":
            code = self.view.format[1]
        n = self.view.len // self.view.itemsize if self.view.itemsize else 0
        self.total = n
        if self.view.ndim != 1 or (self.view.itemsize != 4 and self.view.itemsize != 8) or code not in b"iIlLqQ":
            raise TypeError("seq: expected a one-dimensional buffer of int32, uint32, int64 or uint64, got "
                            f"{self.view.ndim} dimensions of {(<bytes>self.view.format).decode()!r}"
                            if self.view.format != NULL else "seq: expected a buffer of integers, got bytes; give `bytes`")
        if self.view.itemsize == 4:
            self.p.data = self.view.buf
            self.p.is_signed = code == c"i" or code == c"l"
            return 0
        self.copy_room(n)
        wide = <const uint64_t *>self.view.buf
        for i in range(n):
            any_high |= wide[i]
            self.tokens[i] = <uint32_t>wide[i]
        if any_high >> 32:
            for i in range(n):
                if wide[i] >> 32:
                    got = <object><int64_t>wide[i] if code in b"lq" else <object>wide[i]
                    raise ValueError(f"seq: expected token ids from 0 to 2^32 - 1, got {got} at {i}")
        return 0

    cdef int from_text(self, object seq) except -1:
        cdef Bytes t
        self.seq = view_text(seq, &t, "seq")
        self.p.data = t.at
        self.total = t.size
        self.kind = KIND_TEXT
        return 0
