# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
"""The door: the one place where Python meets C. It converts, locks, raises; it decides nothing."""

import os

import msgpack
import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.errno cimport errno
from libc.math cimport ceil
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from typing import NamedTuple
from weakref import WeakSet

from semcore.errors import CapacityError, ConfigError, RegionError, SemcoreError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object o, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object o)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object o)
    Py_ssize_t PyUnicode_GET_LENGTH(object o)

cnp.import_array()

cdef enum:
    VALUE_STR = 0
    VALUE_BYTES = 1
    VALUE_PACKED = 2
    VALUE_ASCII = 3  # a str that needs no decoding

cdef uint64_t RELEASE_ABOVE = 262144  # bytes of scan; below, releasing the GIL costs more than it gives
cdef int RETRIES = 64
cdef object MOVED = object()
cdef tuple STORAGES = ("f16", "f32", "i8")
cdef tuple POLICIES = ("value", "lru", "lfu")
AT_WORK = SC_AT_WORK.decode()  # of `validate`, by a handle that cannot lock
COUNTERS = ("hits_exact", "hits_semantic", "hits_prefix", "misses", "puts", "evictions", "expirations", "deletions",
            "damaged", "recoveries", "tokens", "cost_nano", "latency_us")  # as enum sc_counter


include "_hit.pxi"
include "_convert.pxi"


engines = WeakSet()


def forked():
    for engine in list(engines):
        engine._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked)


cdef class Engine:
    """One open cache, and the exact path of `get`, which a Python method in between would double.

    :class:`semcore.Cache` is this class with meaning on top: its methods without an underscore are the
    public ones, and `_by_meaning` is what it adds to `get`.
    """

    cdef sc_cache *c
    cdef object clock
    cdef int busy       # calls that run without the GIL; whoever ends last closes
    cdef bint closed
    cdef bint file      # its bytes may have been forged
    cdef object path
    cdef readonly bint read_only
    cdef readonly uint32_t dim
    cdef readonly double threshold
    cdef object __weakref__
    cdef object last_namespace  # of the last call without a context, and its partition
    cdef sc_part last_part

    def __cinit__(self, *args, **options):
        self.closed = True  # until opened

    def __init__(self, path, uint32_t dim, uint32_t max_entries, uint64_t max_bytes, str storage, str policy,
                 str fingerprint, double threshold, clock, bint read_only=False, bytes secret=None,
                 uint32_t threads=1, float recall=0, tuple prefix=(0, 0, 0, 0, 0)):
        cdef sc_options o
        cdef char why[512]
        cdef int error = 0
        cdef bytes raw_path = b"" if path is None else os.fsencode(path)
        cdef bytes raw_print = fingerprint.encode()
        if b"\0" in raw_path:
            raise ValueError("path: holds a NUL byte")
        if self.c != NULL:
            raise SemcoreError("the cache is open already")
        o.path = NULL if path is None else <char *>raw_path
        o.dim = dim
        o.max_entries = max_entries
        o.max_bytes = max_bytes
        o.storage = STORAGES.index(storage)
        o.policy = POLICIES.index(policy)
        o.threads = threads
        o.recall = recall
        o.fingerprint = raw_print
        o.read_only = read_only
        o.prefix_blocks, o.prefix_block, o.prefix_group, o.prefix_hash, o.prefix_seed = prefix
        o.secret = NULL
        if secret is not None:
            if len(secret) != SC_SECRET:
                raise ValueError(f"secret: expected {SC_SECRET} bytes, got {len(secret)}")
            o.secret = <const uint8_t *>PyBytes_AS_STRING(secret)
        memset(why, 0, sizeof(why))
        cdef int rc = SC_EINTR
        while rc == SC_EINTR:
            with nogil:
                rc = sc_open(&o, &self.c, why, sizeof(why))
                error = errno
            PyErr_CheckSignals()  # Ctrl-C ends the wait for others
        if rc != SC_OK:
            raise_for(rc, (<bytes>why).decode("utf-8", "replace"), error)
        self.path = path
        self.read_only = read_only
        self.clock = clock
        self.dim = dim
        self.file = path is not None
        self.threshold = threshold
        self.closed = False
        engines.add(self)

    def __dealloc__(self):
        if self.c != NULL:
            sc_close(self.c)

    def _forked(self):
        """In a forked child: the threads that were inside are not here, and may have held private memory's lock."""
        self.busy = 0
        if self.c != NULL:
            sc_forked(self.c)

    def __reduce__(self):
        raise TypeError("a cache cannot be pickled: give other processes its path, and let them open it")

    def close(self):
        """Closes the cache; calls under way in other threads end first. Closing twice is fine."""
        self.closed = True
        self.leave(0)

    cdef int enter(self) except -1:
        if self.closed:
            raise SemcoreError("the cache is closed")
        if self.file and sc_lost(self.c):
            raise_lost(self.path)
        self.busy += 1
        return 0

    cdef int enter_writer(self) except -1:
        if self.read_only:
            raise SemcoreError("the cache is open read-only")
        return self.enter()

    cdef int leave(self, int calls) except -1:
        cdef bint lost = calls and self.file and sc_lost(self.c)
        self.busy -= calls
        if self.closed and self.busy == 0 and self.c != NULL:
            sc_close(self.c)
            self.c = NULL
        if lost:
            raise_lost(self.path)
        return 0

    cdef int64_t now(self) except? -1:
        if self.clock is None:
            return sc_now()
        cdef double seconds = self.clock()
        if not 0 <= seconds < 4e12:
            raise ValueError(f"clock: expected seconds since the epoch, got {seconds}")
        return <int64_t>(seconds * 1e6)

    cdef sc_part part(self, object namespace, object context) except *:
        cdef Bytes ns
        cdef bytes packed
        cdef object keep
        if context is None and namespace is self.last_namespace and namespace is not None:
            return self.last_part
        keep = view_text(namespace, &ns, "namespace")
        if context is None:
            self.last_part = sc_partition(self.c, ns.at, ns.size, b"", 0)
            self.last_namespace = namespace
            return self.last_part
        packed = pack_context(context)
        return sc_partition(self.c, ns.at, ns.size, <const char *>packed, PyBytes_GET_SIZE(packed))

    # ---- vectors ----

    cdef cnp.ndarray vector(self, object v):
        cdef cnp.ndarray a
        if self.dim == 0:
            raise ValueError("vector: this cache is exact-only (made without an embedder or dim)")
        if not isinstance(v, np.ndarray) or (<cnp.ndarray>v).descr.type_num != cnp.NPY_FLOAT32 \
                or not cnp.PyArray_ISCARRAY_RO(v):  # contiguous, aligned, of this machine's byte order
            v = to_float32(v)
        a = v
        if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_SIZE(a) != self.dim:
            raise ValueError(f"vector: expected shape ({self.dim},), got {np.shape(v)}")
        if not sc_vector_valid(<const float *>cnp.PyArray_DATA(a), self.dim):
            raise ValueError("vector: expected finite numbers that are not all zero")
        return a

    # ---- lookups ----

    # The value, or MOVED when the entry changed meanwhile or was damaged: the caller looks again.
    cdef object read(self, sc_ref *ref):
        cdef char small[4096]
        cdef char *at = small
        if ref.value_kind == VALUE_BYTES:
            raw = PyBytes_FromStringAndSize(NULL, ref.value_len)
            return raw if sc_read_value(self.c, ref, PyBytes_AS_STRING(raw)) == SC_OK else MOVED
        if ref.value_kind == VALUE_ASCII and ref.value_len > 0:  # PyUnicode_New(0) is shared
            raw = PyUnicode_New(ref.value_len, 127)
            if sc_read_value(self.c, ref, PyUnicode_DATA(raw)) != SC_OK:
                return MOVED
            return MOVED if self.file and not sc_is_ascii(PyUnicode_DATA(raw), ref.value_len) else raw
        if ref.value_len > sizeof(small):
            at = <char *>malloc(ref.value_len)
            if at == NULL:
                raise MemoryError(f"cannot allocate {ref.value_len} bytes for a value")
        try:
            return unpack(at, ref.value_len, ref.value_kind) if sc_read_value(self.c, ref, at) == SC_OK else MOVED
        finally:
            if at != small:
                free(at)

    cdef void record(self, sc_ref *ref, int layer, int64_t now) noexcept:
        if ref.expires == SC_FOREVER:
            sc_hit(self.c, ref, layer, now)
            return
        with nogil:  # a sliding expiry takes the lock
            sc_hit(self.c, ref, layer, now)

    cdef object text_of(self, sc_ref *ref):
        cdef bytes raw
        if ref.text_len == 0:
            return None
        raw = PyBytes_FromStringAndSize(NULL, ref.text_len)
        if sc_read_text(self.c, ref, PyBytes_AS_STRING(raw)) != SC_OK:
            return None
        return raw if ref.text_kind == SC_TEXT_BYTES else raw.decode("utf-8", "surrogatepass")

    cdef Hit hit(self, sc_ref *ref, object value, int layer, double threshold, int64_t now, object text):
        cdef Hit h = Hit.__new__(Hit)
        h.value = value
        h.layer = "exact" if layer == SC_LAYER_EXACT else "semantic"
        h.similarity = ref.similarity
        h.threshold = threshold
        h.age = (now - ref.created) / 1e6
        h.id = sc_id(ref)
        h.text = text
        h._saving = ref.saving
        return h

    def get(self, text=None, *, messages=None, tools=None, system=None, namespace="", context=None, vector=None,
            threshold=None):
        """The stored answer of this text or of one that means the same; None on a miss.

        With `messages` instead: what was put behind the longest beginning of this chat that has something (a
        conversation's state, a tool's result); the hit's `matched` says how many messages that is.

        Args:
            text: the prompt; `str` is compared exactly and by meaning, `bytes` exactly only.
            messages: a chat as OpenAI or Anthropic take it, a list of dicts; `tools` and `system` are its own.
            namespace: the tenant; nothing crosses it.
            context: what must be equal for an answer to be reusable (model, system prompt, ...):
                None, str, bytes, or anything msgpack can hold.
            vector: the text's vector, when the caller has it; shape (dim,), converted to float32.
            threshold: least similarity for this call; not below the cache's own.

        Raises:
            EmbeddingError: the embedder failed. ValueError, TypeError: a bad argument.
        """
        cdef double floor
        if text is None or messages is not None or tools is not None or system is not None:
            return self._by_prefix(text, messages, tools, system, namespace, context)
        floor = self.threshold if threshold is None else self._floor(threshold)
        hit = self.exact(text, namespace, context, floor, True)
        return self._by_meaning(text, namespace, context, vector, floor) if hit is None else hit

    def _get_exact(self, text, namespace, context, double threshold, bint record):
        """The entry of exactly this text, or None. Counts a hit when `record`, a miss never."""
        return self.exact(text, namespace, context, threshold, record)

    cdef object exact(self, object text, object namespace, object context, double threshold, bint record):
        cdef Bytes t
        cdef sc_ref ref
        cdef sc_part part
        cdef int64_t now
        cdef int tries
        self.enter()
        try:
            keep = view_text(text, &t, "text")
            part = self.part(namespace, context)
            now = self.now()
            for tries in range(RETRIES):
                if sc_find(self.c, part, t.at, t.size, t.kind, now, &ref) != SC_OK:
                    return None
                value = self.read(&ref)
                if value is not MOVED:
                    if record:
                        self.record(&ref, SC_LAYER_EXACT, now)
                    return self.hit(&ref, value, SC_LAYER_EXACT, threshold, now, text)
            return None
        finally:
            self.leave(1)

    cdef int search(self, sc_part part, cnp.ndarray a, float floor, uint32_t top, int64_t now, sc_ref *out,
                    uint32_t *n) except -1:
        cdef const float *q = <const float *>cnp.PyArray_DATA(a)
        if sc_work(self.c, part) < RELEASE_ABOVE:
            return sc_search(self.c, part, q, floor, top, now, out, n)
        with nogil:
            sc_search(self.c, part, q, floor, top, now, out, n)
        return 0

    def _get_semantic(self, vector, namespace, context, double threshold, bint count_miss):
        """The best entry at or above the threshold, or None. Counts the hit, and the miss when asked to."""
        cdef sc_ref ref
        cdef uint32_t n = 0
        cdef int tries
        self.enter()
        try:
            a = self.vector(vector)
            part = self.part(namespace, context)
            now = self.now()
            for tries in range(RETRIES):
                self.search(part, a, floor_of(threshold), 1, now, &ref, &n)
                if n == 0:
                    break
                value = self.read(&ref)
                if value is not MOVED:
                    self.record(&ref, SC_LAYER_SEMANTIC, now)
                    return self.hit(&ref, value, SC_LAYER_SEMANTIC, threshold, now, self.text_of(&ref))
            if count_miss:
                sc_miss(self.c)
            return None
        finally:
            self.leave(1)

    def _get_semantic_many(self, vectors, namespace, context, double threshold):
        """`_get_semantic` for up to SC_MAX_TOP vectors of one partition, whose rows are read once for all of them."""
        cdef sc_ref refs[SC_MAX_TOP]
        cdef uint8_t found[SC_MAX_TOP]
        cdef uint32_t i, n = <uint32_t>len(vectors)
        cdef const float *q
        cdef int rc
        cdef float floor = floor_of(threshold)
        if not 0 < n <= SC_MAX_TOP:
            raise ValueError(f"vectors: expected 1 to {SC_MAX_TOP}, got {n}")
        self.enter()
        try:
            queries = np.stack([self.vector(v) for v in vectors])
            q = <const float *>cnp.PyArray_DATA(<cnp.ndarray>queries)
            part = self.part(namespace, context)
            now = self.now()
            with nogil:
                rc = sc_search_many(self.c, part, q, n, floor, now, refs, found)
            if rc != SC_OK:
                raise_for(rc, "")
            hits = []
            for i in range(n):
                value = self.read(&refs[i]) if found[i] else None
                if not found[i]:
                    sc_miss(self.c)
                    hits.append(None)
                elif value is MOVED:
                    hits.append(self._get_semantic(vectors[i], namespace, context, threshold, True))
                else:
                    self.record(&refs[i], SC_LAYER_SEMANTIC, now)
                    hits.append(self.hit(&refs[i], value, SC_LAYER_SEMANTIC, threshold, now, self.text_of(&refs[i])))
            return hits
        finally:
            self.leave(1)

    def _nearest(self, vector, namespace, context, double floor, uint32_t top):
        """Up to `top` live entries of the partition with similarity >= floor, best first."""
        cdef sc_ref refs[SC_MAX_TOP]
        cdef uint32_t i, n = 0
        self.enter()
        try:
            a = self.vector(vector)
            part = self.part(namespace, context)
            now = self.now()
            self.search(part, a, floor_of(floor), min(top, <uint32_t>SC_MAX_TOP), now, refs, &n)
            return [Candidate(sc_id(&refs[i]), refs[i].similarity, self.text_of(&refs[i]),
                              (now - refs[i].created) / 1e6) for i in range(n)]
        finally:
            self.leave(1)

    def _miss(self):
        """Counts a lookup that found nothing."""
        self.enter()
        sc_miss(self.c)
        self.leave(1)

    def _hit_prefix(self):
        """Counts a lookup by messages that found a value."""
        self.enter()
        sc_hit_prefix(self.c)
        self.leave(1)

    def _at(self, uint64_t id):
        """The live entry of an id as an (unrecorded) hit, or None."""
        cdef sc_ref ref
        self.enter()
        try:
            now = self.now()
            if sc_at(self.c, id, now, &ref) != SC_OK:
                return None
            value = self.read(&ref)
            if value is MOVED:
                return None
            return self.hit(&ref, value, SC_LAYER_EXACT, 1.0, now, self.text_of(&ref))
        finally:
            self.leave(1)

    def _vector_at(self, uint64_t id):
        """The stored vector of an id as float32 of unit length, or None."""
        cdef sc_ref ref
        self.enter()
        try:
            if self.dim == 0 or sc_at(self.c, id, self.now(), &ref) != SC_OK:
                return None
            out = np.empty(self.dim, dtype=np.float32)
            if sc_read_vector(self.c, &ref, <float *>cnp.PyArray_DATA(out)) != SC_OK:
                return None
            return out / np.linalg.norm(out)
        finally:
            self.leave(1)

    def _ids(self):
        """The ids of the live entries."""
        cdef sc_ref ref
        cdef uint32_t slot = 0
        out = []
        self.enter()
        try:
            now = self.now()
            slot = sc_next_live(self.c, 0, now, &ref)
            while slot != SC_NIL:
                out.append(sc_id(&ref))
                slot = sc_next_live(self.c, slot + 1, now, &ref)
            return out
        finally:
            self.leave(1)

    # ---- writers ----

    def _put(self, text, value, namespace, context, vector, double ttl, bint sliding, tags, bint keep_text,
            tokens, cost, latency_ms):
        """Stores an entry and returns its id. ttl: seconds, 0 for none."""
        cdef sc_put p
        cdef Bytes t
        cdef uint64_t hashes[SC_MAX_TAGS]
        cdef uint64_t id = 0
        cdef int64_t now
        cdef uint8_t kind
        cdef bytes packed
        cdef int rc
        self.enter_writer()
        try:
            keep = view_text(text, &t, "text")
            p.part = self.part(namespace, context)
            packed = pack_value(value, &kind)
            a = None if vector is None else self.vector(vector)
            p.text, p.text_len, p.text_kind = t.at, t.size, t.kind
            p.value, p.value_len, p.value_kind = PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed), kind
            p.vector = NULL
            if a is not None:
                p.vector = <const float *>cnp.PyArray_DATA(a)
            p.ntags = self.tags(p.part, tags, hashes)
            p.tags = hashes
            now = self.now()
            p.sliding_ms = <uint32_t>ceil(ttl * 1e3) if sliding else 0
            p.expires = SC_FOREVER if ttl == 0 else now + (<int64_t>p.sliding_ms * 1000 if sliding else <int64_t>(ttl * 1e6))
            p.keep_text, p.as_ = keep_text, NULL
            p.saving.tokens, p.saving.cost, p.saving.latency_ms = tokens, cost, latency_ms
            with nogil:  # other processes may hold the lock for long
                rc = sc_put_entry(self.c, &p, now, &id)
            if rc == SC_ETOOBIG:
                raise_for(rc, f"value: {p.value_len} bytes (text {p.text_len}) can never fit into this cache")
            if rc != SC_OK:
                raise_for(rc, "")
            return id
        finally:
            self.leave(1)

    cdef int tags(self, sc_part part, object names, uint64_t *out) except -1:
        cdef Bytes t
        cdef int n = 0
        for name in dict.fromkeys(names):
            if n == SC_MAX_TAGS:
                raise ValueError(f"tags: expected at most {SC_MAX_TAGS}")
            keep = view_text(name, &t, "tags")
            out[n] = sc_tag(self.c, part, t.at, t.size)
            n += 1
        return n

    def _delete(self, uint64_t id):
        """Removes an entry by id; False when it is not there."""
        cdef int rc
        cdef int64_t now
        self.enter_writer()
        try:
            now = self.now()
            with nogil:
                rc = sc_delete(self.c, id, now)
            return removed(rc)
        finally:
            self.leave(1)

    def _delete_text(self, text, namespace, context):
        """Removes the entry of exactly this text; False when it is not there."""
        cdef Bytes t
        cdef sc_part part
        cdef int64_t now
        cdef int rc
        self.enter_writer()
        try:
            keep = view_text(text, &t, "text")
            part = self.part(namespace, context)
            now = self.now()
            with nogil:
                rc = sc_delete_text(self.c, part, t.at, t.size, t.kind, now)
            return removed(rc)
        finally:
            self.leave(1)

    def _invalidate(self, tag, namespace):
        """Removes every entry of the namespace that carries the tag; returns how many."""
        cdef Bytes t
        cdef uint64_t hashed, n = 0
        cdef int rc
        self.enter_writer()
        try:
            keep = view_text(tag, &t, "tag")
            hashed = sc_tag(self.c, self.part(namespace, None), t.at, t.size)
            with nogil:
                rc = sc_invalidate(self.c, hashed, &n)
            if rc != SC_OK:
                raise_for(rc, "")
            return n
        finally:
            self.leave(1)

    def _clear(self, namespace):
        """Removes everything, or everything of one namespace; returns how many entries."""
        cdef sc_part part
        cdef uint64_t n = 0
        cdef int rc
        self.enter_writer()
        try:
            if namespace is None:
                with nogil:
                    rc = sc_clear(self.c, NULL, &n)
            else:
                part = self.part(namespace, None)
                with nogil:
                    rc = sc_clear(self.c, &part, &n)
            if rc != SC_OK:
                raise_for(rc, "")
            return n
        finally:
            self.leave(1)

    def expire(self):
        """Removes what is past its time; returns how many entries."""
        cdef int64_t now
        cdef uint64_t n = 0
        cdef int rc
        self.enter_writer()
        try:
            now = self.now()
            with nogil:
                rc = sc_expire(self.c, now, &n)
            if rc != SC_OK:
                raise_for(rc, "")
            return n
        finally:
            self.leave(1)

    # ---- inspection ----

    def _partition(self, namespace, context):
        """The partition's hash, as a key for dicts of this process."""
        self.enter()
        try:
            part = self.part(namespace, context)
            return part.ns, part.all
        finally:
            self.leave(1)

    def _work(self, namespace, context):
        """About the bytes that a search of this partition reads."""
        self.enter()
        try:
            return sc_work(self.c, self.part(namespace, context))
        finally:
            self.leave(1)

    def flush(self):
        """Returns when everything that was put before is on the disk (msync). Private memory: at once."""
        cdef int rc, error = 0
        self.enter()
        try:
            with nogil:
                rc = sc_flush(self.c)
                error = errno
            if rc != SC_OK:
                raise_lost(self.path) if rc == SC_ELOST else raise_for(
                    rc, f"{self.path}: cannot flush: {os.strerror(error)}", error)
        finally:
            self.leave(1)

    def _stats(self):
        """The engine's counters and sizes as a dict."""
        cdef sc_stats s
        cdef int i
        self.enter()
        try:
            sc_stats_get(self.c, &s)
        finally:
            self.leave(1)
        out = {"entries": s.entries, "max_entries": s.max_entries, "bytes": s.bytes, "blocks": s.blocks,
               "free_blocks": s.free_blocks, "block_bytes": s.block_bytes, "bytes_per_entry": s.bytes_per_entry,
               "bytes_per_vector": s.bytes_per_vector,
               "dim": s.dim, "storage": s.storage, "tick": s.tick}
        out.update((name, s.counts[i]) for i, name in enumerate(COUNTERS))
        return out

    def repair(self):
        """Recovers, needed or not: drops what is damaged and makes all indexes anew. Writers wait meanwhile."""
        cdef int rc
        self.enter_writer()
        try:
            with nogil:
                rc = sc_repair(self.c)
            if rc != SC_OK:
                raise_for(rc, "")
        finally:
            self.leave(1)

    def validate(self):
        """None, or the first invariant that does not hold. Slow: for tests and after a suspicion. As `Prefixes.check`."""
        cdef const char *why
        self.enter()
        try:
            with nogil:
                why = sc_validate(self.c)
            return None if why == NULL else (<bytes>why).decode()
        finally:
            self.leave(1)


include "_errors.pxi"
include "_prompt.pxi"
include "_match.pxi"
include "_hashing.pxi"
include "_prefix.pxi"
include "_table.pxi"
include "_records.pxi"
include "_carry.pxi"
include "_learn.pxi"
include "_files.pxi"


def xxh3_128(bytes data, bytes secret, uint64_t seed):
    """XXH3-128 with a 192-byte secret, as an int. For tests: the engine's own secret never leaves it."""
    cdef uint64_t out[2]
    if len(secret) != SC_SECRET:
        raise ValueError(f"secret: expected {SC_SECRET} bytes, got {len(secret)}")
    sc_xxh3_128(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), <const uint8_t *>PyBytes_AS_STRING(secret),
                seed, out)
    return (int(out[1]) << 64) | out[0]


def isa():
    """The instruction set whose kernels are in use."""
    return (<bytes>sc_isa_name()).decode()


def isas():
    """The instruction sets this machine has kernels for, best first."""
    return (<bytes>sc_isa_list()).decode().split()


def set_isa(name):
    """Forces the kernels of an instruction set (None: the best). For tests."""
    cdef bytes raw = b"" if name is None else name.encode()
    cdef const char *wanted = NULL
    if name is not None:
        wanted = raw
    if sc_isa_select(wanted) != SC_OK:
        raise ConfigError(f"SEMCORE_ISA: this machine has {isas()}, not {name!r}")


set_isa(os.environ.get("SEMCORE_ISA") or None)
