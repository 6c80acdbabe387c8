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

    value: the answer, a copy. layer: "exact" or "semantic". similarity: true cosine of the two
    texts' vectors (1.0 for an exact hit). threshold: what it had to reach. age: seconds since the
    put. id: the entry's. text: the entry's text, or None when it is not stored.
    """

    cdef readonly object value
    cdef readonly str layer
    cdef readonly double similarity
    cdef readonly double threshold
    cdef readonly double age
    cdef readonly uint64_t id
    cdef readonly object text
    cdef sc_saving _saving

    @property
    def saving(self):
        """What this hit spares, as the put stated it."""
        # kept as C floats: seven digits are what they know
        cost, latency = float(f"{self._saving.cost:.7g}"), float(f"{self._saving.latency_ms:.7g}")
        return Saving(self._saving.tokens, cost, latency)

    def __repr__(self):
        return f"Hit({self.value!r}, layer={self.layer!r}, similarity={self.similarity:.4f}, age={self.age:.1f})"


class Candidate(NamedTuple):
    """An entry near a query: its id, cosine, text (None if not stored) and age in seconds."""

    id: int
    similarity: float
    text: str | bytes | None
    age: float
