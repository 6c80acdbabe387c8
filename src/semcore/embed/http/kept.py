"""Vectors that were paid for once: a semcore cache of exact texts, whose values are raw float32.

An answer is never lost to a failing cache: what cannot be read is asked for, what cannot be kept is not, with
a RuntimeWarning.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from semcore._args import bytes_needed
from semcore.cache import Cache
from semcore.embed import Vector
from semcore.errors import RegionError, SemcoreError

USUAL_DIM = 1536  # sizes the cache when the dimension is not known yet


class Kept:
    """The vectors of one embedding space; those used longest ago leave first. Texts are kept as hashes.

    Args:
        path: a file, which several spaces and processes may share; None for private memory.
        most: how many; 0: none. An existing file has its own size.
        space: its name.
        dim: their length, if known.

    Raises:
        RegionError: the file is not a cache of this kind.
    """

    def __init__(self, path: str | os.PathLike[str] | None, most: int, space: str, dim: int | None) -> None:
        self._space = space
        self._cache: Cache | None = None
        if not most:
            return
        there = path is not None and Path(path).exists()
        self._cache = Cache(
            path,
            embed=None,
            max_entries=None if there else most,
            max_bytes=None if there else bytes_needed(most, 4 * (dim or USUAL_DIM)),
            policy="lru",
            store_text=False,
        )

    def get(self, text: str, dim: int | None) -> Vector | None:
        """The vector of a text, read-only; None when there is none of length `dim` (None: of any)."""
        try:
            hit = None if self._cache is None else self._cache.get(text, namespace=self._space)
        except RegionError as error:
            warnings.warn(f"kept vectors cannot be read: {error}", RuntimeWarning, stacklevel=2)
            return None
        if hit is None or not isinstance(hit.value, bytes) or not hit.value or len(hit.value) % 4:
            return None
        vector: Vector = np.frombuffer(hit.value, dtype="<f4")
        return vector if dim is None or len(vector) == dim else None

    def put(self, text: str, vector: Vector) -> None:
        if self._cache is None:
            return
        try:
            self._cache.put(text, vector.astype("<f4").tobytes(), namespace=self._space)
        except SemcoreError as error:
            warnings.warn(f"a vector was not kept: {error}", RuntimeWarning, stacklevel=2)

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()
