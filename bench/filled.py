"""semcore caches filled with the workload, for the reports on files (shared.py, reopen.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import data

import semcore

SPARE = data.FRESH  # entries of room beside the stored ones, which writers fill and replace
THRESHOLD = 0.85
UNSEEN = "a text nobody stored"


def settings(n: int, dim: int) -> dict[str, Any]:
    """Room for n entries with prompts and 800-byte answers, and for twice SPARE: nothing is evicted."""
    most = n + 2 * SPARE
    room = most * (1536 + 4 * dim) + (16 << 20)
    return {"embed": None, "dim": dim, "max_entries": most, "max_bytes": room, "threshold": THRESHOLD}


def make(path: Path | None, n: int, dim: int) -> semcore.Cache:
    """A new, empty cache for n entries, with vectors if `dim` is not 0."""
    return semcore.Cache(path, **settings(n, dim))


def reopen(path: Path, dim: int) -> semcore.Cache:
    return semcore.Cache(path, embed=None, dim=dim, threshold=THRESHOLD)


def fill(cache: semcore.Cache, w: data.Workload, start: int = 0) -> None:
    """Put all rows of `w`, numbered from `start`."""
    for i, vector in enumerate(w.vectors, start):
        cache.put(data.prompt(i), w.response(i), vector=vector if cache.dim else None)
    if len(cache) != start + w.n:
        raise RuntimeError(f"{len(cache)} of {start + w.n} entries are kept: give them more room")


def build(path: Path | None, w: data.Workload, dim: int) -> semcore.Cache:
    cache = make(path, w.n, dim)
    fill(cache, w)
    return cache


def put_spare(cache: semcore.Cache, w: data.Workload, first: int, turn: int) -> None:
    """The turn-th put of a writer: a row from `first` on, and after SPARE of them the same again."""
    k = turn % SPARE
    cache.put(data.prompt(first + k), w.response(first + k), vector=w.fresh[k] if cache.dim else None)
