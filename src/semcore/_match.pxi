# What the prefix index answers.

@cython.final
cdef class Match(Prompt):
    """What a prefix index knows of a prompt."""

    cdef readonly uint32_t units
    cdef readonly object value
    cdef readonly Py_ssize_t matched, value_at, unit
    cdef uint32_t *scores
    cdef uint32_t nscores
    cdef uint32_t few[64]

    def __init__(self):
        raise TypeError("a Match comes from PrefixIndex.match")

    def __dealloc__(self):
        if self.scores != self.few:
            free(self.scores)

    @property
    def counted(self):
        """What `matched`, `total` and `value_at` count: "tokens", "bytes" (of text) or "units" (of a chat)."""
        return COUNTED[self.kind]

    @property
    def replicas(self):
        """How much of the prompt each replica holds, in what `matched` counts; who holds nothing is left out."""
        return {i: self.scores[i] * self.unit for i in range(self.nscores) if self.scores[i]}

    @property
    def divergence(self):
        """The first unit that is not known, as "block 12", "tools 0", "system" or "message 3"; None: all are."""
        if self.units == self.p.blocks:
            return None
        return f"block {self.units}" if self.kind != KIND_CHAT else chat_units(self.seq)[self.units][0]

    def __repr__(self):
        return f"Match(matched={self.matched} of {self.total}, {COUNTED[self.kind]}, value_at={self.value_at}, replicas={self.replicas})"


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
