"""A small file of 60 entries, which all mean the same."""

from pathlib import Path

import numpy as np

import semcore

OPTIONS = {"embed": None, "dim": 16, "max_entries": 64, "max_bytes": 200_000}
VECTOR = np.ones(16, dtype=np.float32)


def filled(path: Path) -> semcore.Cache:
    cache = semcore.Cache(path, **OPTIONS)
    for i in range(60):
        cache.put(f"{i}", b"%d" % i * 100, vector=VECTOR)
    return cache
