"""What comes back: hits, lookups with their reasons, explanations and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from semcore._engine import Candidate, Hit, Saving

__all__ = ["Candidate", "Explanation", "Hit", "Lookup", "Saving", "Stats"]


class Lookup(NamedTuple):
    """A lookup with its reasons: the hit or None, the nearest entries best first, and why."""

    hit: Hit | None
    candidates: list[Candidate]
    reason: str


class Explanation(NamedTuple):
    """How two texts compare: their cosine (None without vectors), the threshold, and the verdict."""

    similarity: float | None
    threshold: float
    same_key: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Stats:
    """What a cache holds and what it did. Counters are kept over restarts of a file.

    `bytes` is the whole region, indexes included; `bytes_used` what live entries take of it.
    `hits_prefix` are those of `get(messages=...)`; that one counts its misses like any other.
    `tokens`, `cost` and `latency_ms` are what hits spared: the ledger of deflected work.
    """

    entries: int
    max_entries: int
    bytes: int
    bytes_used: int
    bookkeeping_per_entry: int
    hits_exact: int
    hits_semantic: int
    hits_prefix: int
    misses: int
    puts: int
    refused: int
    evictions: int
    expirations: int
    deletions: int
    damaged: int
    recoveries: int
    tokens: int
    cost: float
    latency_ms: float

    @classmethod
    def of(cls, s: Mapping[str, Any], refused: int) -> Stats:
        """From the engine's raw counters."""
        return cls(
            entries=s["entries"],
            max_entries=s["max_entries"],
            bytes=s["bytes"],
            bytes_used=s["entries"] * s["bytes_per_entry"]
            + (s["blocks"] - s["free_blocks"]) * (s["block_bytes"] + 4),
            bookkeeping_per_entry=s["bytes_per_entry"] - s["bytes_per_vector"],
            hits_exact=s["hits_exact"],
            hits_semantic=s["hits_semantic"],
            hits_prefix=s["hits_prefix"],
            misses=s["misses"],
            puts=s["puts"],
            refused=refused,
            evictions=s["evictions"],
            expirations=s["expirations"],
            deletions=s["deletions"],
            damaged=s["damaged"],
            recoveries=s["recoveries"],
            tokens=s["tokens"],
            cost=s["cost_nano"] / 1e9,
            latency_ms=s["latency_us"] / 1e3,
        )

    @property
    def hits(self) -> int:
        return self.hits_exact + self.hits_semantic + self.hits_prefix

    @property
    def hit_ratio(self) -> float:
        """Hits over lookups; 0.0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


def reason(hit: Hit | None, candidates: Sequence[Candidate], threshold: float) -> str:
    """A lookup's outcome in words."""
    if hit is not None:
        return f"{hit.layer} hit, similarity {hit.similarity:.4f}"
    if not candidates:
        return "the partition holds nothing to compare with"
    best = candidates[0].similarity
    return f"the nearest entry's similarity {best:.4f} is below the threshold {threshold:.4f}"
