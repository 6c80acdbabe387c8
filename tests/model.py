"""The obviously correct cache: a dict, a list and numpy brute force.

It knows the rules (who is found, who is evicted, who has expired) and none of the structures. Slots
are taken from the ids that the engine returned; they only decide ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

BLOCK = 128
ONE = 2048  # a doubling of a hit count
HALF_LIFE = 16  # capacities


@dataclass
class Entry:
    value: object
    vector: np.ndarray | None  # as stored: unit length, rounded to float16
    size: int  # bytes of value, text and tags
    tags: frozenset
    created: float
    expires: float
    ttl: float  # of a sliding entry, else 0
    id: int
    tick: int
    count: int

    @property
    def slot(self) -> int:
        return self.id & 0xFFFFFFFF

    @property
    def blocks(self) -> int:
        return -(-self.size // BLOCK) + -(-len(self.tags) // 4)


@dataclass
class Model:
    max_entries: int
    blocks: int
    policy: str
    entries: dict = field(default_factory=dict)  # (namespace, context, text) -> Entry
    tick: int = 0

    def live(self, now: float) -> dict:
        return {key: e for key, e in self.entries.items() if e.expires > now}

    # ---- lookups ----

    def exact(self, key, now: float) -> Entry | None:
        entry = self.live(now).get(key)
        if entry is not None:
            self._hit(entry, now)
        return entry

    def nearest(self, query: np.ndarray, namespace, context, floor: float, now: float) -> list:
        """(similarity, entry) of the partition at or above the floor, best first."""
        found = [
            (similarity(query, e.vector), e)
            for (ns, ctx, _), e in self.live(now).items()
            if (ns, ctx) == (namespace, context) and e.vector is not None
        ]
        return sorted(((s, e) for s, e in found if s >= floor), key=lambda p: (-p[0], p[1].slot))

    def hit(self, entry: Entry, now: float) -> None:
        self._hit(entry, now)

    def _hit(self, entry: Entry, now: float) -> None:
        self.tick += 1
        before = self._decayed(entry) / ONE
        entry.count = min(65535, math.floor(math.log2(1 + 2.0**before) * ONE + 0.5))
        entry.tick = self.tick
        if entry.ttl:
            entry.expires = now + entry.ttl

    def _decayed(self, entry: Entry) -> int:
        return entry.count - (self.tick - entry.tick) * ONE // (HALF_LIFE * self.max_entries)

    # ---- writers ----

    def put(self, key, entry: Entry, now: float, present: set[int]) -> None:
        """Adds an entry whose id the engine gave; makes room as the engine must have.

        present: the ids that the engine now holds. Only "value" looks at them: whom it evicts is its
        own choice, and the model checks that somebody had to go.
        """
        self.entries = self.live(now)
        old = self.entries.pop(key, None)
        count = max(0, self._decayed(old)) if old else 0
        while not self._room(entry.blocks):
            del self.entries[self._victim(present)]
        self.tick += 1
        entry.tick, entry.count = self.tick, count
        self.entries[key] = entry

    def _room(self, blocks: int) -> bool:
        used = sum(e.blocks for e in self.entries.values())
        return len(self.entries) < self.max_entries and used + blocks <= self.blocks

    def _victim(self, present: set[int]):
        if self.policy == "value":
            return next(key for key, e in self.entries.items() if e.id not in present)
        score = {"lru": lambda e: e.tick, "lfu": self._decayed}[self.policy]
        return min(self.entries, key=lambda k: (score(self.entries[k]), self.entries[k].slot))

    def delete(self, key, now: float) -> bool:
        self.entries = self.live(now)
        return self.entries.pop(key, None) is not None

    def invalidate(self, namespace, tag, now: float) -> int:
        self.entries = self.live(now)
        gone = [k for k, e in self.entries.items() if k[0] == namespace and tag in e.tags]
        for key in gone:
            del self.entries[key]
        return len(gone)

    def clear(self, namespace) -> None:
        self.entries = {k: e for k, e in self.entries.items() if namespace is not None and k[0] != namespace}


def stored(vector: np.ndarray, storage: str) -> np.ndarray:
    """A vector as "f16" or "f32" storage keeps it."""
    unit = vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))
    return unit.astype(np.float32).astype({"f16": np.float16, "f32": np.float32}[storage])


def similarity(query: np.ndarray, vector: np.ndarray) -> float:
    """Cosine in double, rounded to float32 as the engine reports it."""
    q, x = query.astype(np.float64), vector.astype(np.float64)
    return float(np.float32(np.clip(q @ x / (np.linalg.norm(q) * np.linalg.norm(x)), -1, 1)))
