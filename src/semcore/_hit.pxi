# What comes back.

class Saving(NamedTuple):
    """What a hit spares: tokens of the model, money in the caller's currency, milliseconds."""

    tokens: int
    cost: float
    latency_ms: float


@cython.final
@cython.freelist(64)
cdef class Hit:
    """A stored answer that was served.

    value: the answer, a copy. layer: "exact", "semantic" or "prefix". similarity: true cosine of the two
    texts' vectors (1.0 for other hits). threshold: what it had to reach. age: seconds since the
    put. id: the entry's. text: the entry's text, or None when it is not stored. matched: of a prefix hit, how
    many of the messages the value stands behind; else None. A prefix hit has no age (nan), id (0) or text.
    """

    cdef readonly object value
    cdef readonly str layer
    cdef readonly double similarity
    cdef readonly double threshold
    cdef readonly double age
    cdef readonly uint64_t id
    cdef readonly object text
    cdef readonly object matched
    cdef sc_saving _saving

    @property
    def saving(self):
        """What this hit spares, as the put stated it."""
        # kept as C floats: seven digits are what they know
        cost, latency = float(f"{self._saving.cost:.7g}"), float(f"{self._saving.latency_ms:.7g}")
        return Saving(self._saving.tokens, cost, latency)

    def __repr__(self):
        if self.matched is not None:
            return f"Hit({self.value!r}, layer={self.layer!r}, matched={self.matched})"
        return f"Hit({self.value!r}, layer={self.layer!r}, similarity={self.similarity:.4f}, age={self.age:.1f})"


def prefix_hit(value, matched):
    """What is served of a prefix: the value, and how many of the messages it stands behind."""
    cdef Hit h = Hit.__new__(Hit)
    h.value, h.layer, h.similarity, h.threshold, h.age, h.matched = value, "prefix", 1.0, 1.0, float("nan"), matched
    return h


class Candidate(NamedTuple):
    """An entry near a query: its id, cosine, text (None if not stored) and age in seconds."""

    id: int
    similarity: float
    text: str | bytes | None
    age: float
