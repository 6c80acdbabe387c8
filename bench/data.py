"""The synthetic workload every peer answers: stored rows, paraphrases of some, and strangers.

Any two rows have a cosine around BACKGROUND (a common direction plus noise), as sentence
embeddings of one domain do. A hit is HIT close to the row it paraphrases, a miss is a row nobody
stored. Nothing clusters, which costs a scan nothing and an HNSW graph much: compare caches here,
and indexes on real embeddings too. Texts and answers are made anew at each call, so that a peer
that keeps one pays for it in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0.30  # cosine of two unrelated rows
HIT = 0.95  # cosine of a paraphrase and its row
FARTHEST_MISS = 0.80  # a miss is less than this close to every stored row
FRESH = 1024  # rows kept aside for timing put
ANSWER_BYTES = 800
CHUNK = 8192  # rows made or compared at once

Vectors = NDArray[np.float32]
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Workload:
    """n stored rows, queries against them with known answers, and rows to put later."""

    vectors: Vectors  # (n, d), unit length
    hits: Vectors  # (queries, d)
    rows: NDArray[np.int64]  # the stored row each hit paraphrases
    misses: Vectors  # (queries, d)
    fresh: Vectors  # (FRESH, d): rows n, n + 1, ... of the same distribution, not stored
    filler: str  # the text answers are cut from

    @property
    def n(self) -> int:
        return len(self.vectors)

    @property
    def d(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def capacity(self) -> int:
        """Entries a cache needs room for: the stored rows and all that are put later."""
        return self.n + len(self.fresh)

    def text(self, i: int) -> str:
        return f"question {i}"

    def response(self, i: int) -> str:
        """The 800-byte answer of row i: its number, then words."""
        head = f"answer {i}: "
        start = i * 7919 % (len(self.filler) - ANSWER_BYTES)
        return head + self.filler[start : start + ANSWER_BYTES - len(head)]


def prompt(i: int) -> str:
    """A text of some 60 bytes for row i, made without a Workload."""
    return f"question {i:07d}: what should be done about matter {i:07d}?"


def make(n: int, d: int = 384, queries: int = 200, seed: int = 0) -> Workload:
    """The workload of n rows; the same arguments give the same workload."""
    rng = np.random.default_rng(seed)
    direction = _unit(rng.standard_normal((1, d), dtype=np.float32))
    vectors = _background(rng, direction, n)
    rows = rng.choice(n, size=queries, replace=queries > n)
    hits = _paraphrases(vectors[rows], _background(rng, direction, queries))
    misses = _background(rng, direction, queries)
    fresh = _background(rng, direction, FRESH)
    if nearest(vectors, misses) >= FARTHEST_MISS:
        raise ValueError(f"a miss is within {FARTHEST_MISS} of a stored row: use more dimensions")
    return Workload(vectors, hits, rows, misses, fresh, _words(rng))


def real(vectors: Vectors, n: int, queries: int = 200, seed: int = 0) -> Workload:
    """The same of real embeddings (unit rows): misses are such rows, far from all stored ones."""
    rng = np.random.default_rng(seed)
    if len(vectors) < n + 8 * queries + FRESH:
        raise ValueError(f"vectors: expected at least {n + 8 * queries + FRESH} rows, got {len(vectors)}")
    shuffled = _unit(vectors[rng.permutation(len(vectors))].astype(np.float32))
    stored, fresh, others = np.split(shuffled, [n, n + FRESH])
    rows = rng.choice(n, size=queries, replace=queries > n)
    hits = _paraphrases(stored[rows], others[:queries])
    far = [row for row in others[: 8 * queries] if float((stored @ row).max()) < FARTHEST_MISS]
    if len(far) < queries:
        raise ValueError(f"vectors: only {len(far)} rows are further than {FARTHEST_MISS} from {n} of them")
    return Workload(stored, hits, rows, np.array(far[:queries]), fresh, _words(rng))


def nearest(vectors: Vectors, queries: Vectors) -> float:
    """The highest cosine between any query and any row."""
    chunks = range(0, len(vectors), CHUNK)
    return max(float((vectors[i : i + CHUNK] @ queries.T).max()) for i in chunks)


def _unit(x: Vectors) -> Vectors:
    unit: Vectors = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit


def _background(rng: np.random.Generator, direction: Vectors, count: int) -> Vectors:
    out = np.empty((count, direction.shape[1]), dtype=np.float32)
    for i in range(0, count, CHUNK):
        part = out[i : i + CHUNK]
        noise = _unit(rng.standard_normal(part.shape, dtype=np.float32))
        part[:] = _unit(BACKGROUND**0.5 * direction + (1 - BACKGROUND) ** 0.5 * noise)
    return out


def _paraphrases(stored: Vectors, others: Vectors) -> Vectors:
    """Unit vectors at cosine HIT to `stored`, moved towards `others`."""
    along = np.sum(stored * others, axis=1, keepdims=True)
    side = _unit(others - along * stored)
    return _unit(np.float32(HIT) * stored + np.float32((1 - HIT**2) ** 0.5) * side)


def _words(rng: np.random.Generator, size: int = 1 << 18) -> str:
    """At least `size` bytes of made-up words, the frequent ones drawn more often."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    lexicon = ["".join(rng.choice(letters, size=k)) for k in rng.integers(2, 10, size=4000)]
    ranks = (rng.random(size // 4) ** 3 * len(lexicon)).astype(int)
    return " ".join(lexicon[r] for r in ranks)
