"""Rows and queries from a file of real embeddings, and what brute force answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import data
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

APART = 4000  # rows of the file that are never stored
NEAR = (0.86, 0.99)  # cosines of a near-duplicate and its row
PERTURBED = (0.5, 0.9)  # the same of a made row


@dataclass(frozen=True)
class Questions:
    queries: Vectors
    best: Vectors  # the highest cosine with any stored row, each


class Embeddings:
    """The unit rows of a file, shuffled, and more of their kind when it does not have enough."""

    def __init__(self, path: Path) -> None:
        found = np.load(path)
        order = np.random.default_rng(0).permutation(len(found))
        self.real = data._unit(found[order].astype(np.float32))
        self.apart, self.real = self.real[:APART], self.real[APART:]

    def rows(self, n: int, first: int = 0) -> Vectors:
        """Rows `first` to `first + n`: those of the file, then such, moved towards another of them."""
        has, ids = len(self.real), np.arange(first, first + n)
        out, made = self.real[ids % has], np.flatnonzero(ids >= has)
        for part in np.array_split(made, len(made) // data.CHUNK + 1):
            rng = np.random.default_rng([1, first + int(part[0])] if len(part) else 1)
            others = self.real[rng.integers(0, has, len(part))]
            out[part] = moved(out[part], others, rng.uniform(*PERTURBED, len(part)))
        return out

    def questions(self, rows: Vectors, count: int) -> Questions:
        """Half near-duplicates of rows, moved in turn at random and towards a real row; half held out."""
        rng = np.random.default_rng(2)
        near = rows[rng.integers(0, len(rows), count // 2)]
        others = rng.standard_normal(near.shape, dtype=np.float32)
        others[1::2] = self.real[rng.integers(0, len(self.real), len(others[1::2]))]
        near = moved(near, data._unit(others), rng.uniform(*NEAR, len(near)))
        held = self.apart[rng.choice(len(self.apart), count - len(near), replace=False)]
        queries = rng.permutation(np.concatenate([near, held]))
        best = [(queries @ part.T).max(axis=1) for part in _parts(rows)]
        return Questions(queries, np.max(best, axis=0))


def moved(rows: Vectors, others: Vectors, cosines: NDArray[np.float64]) -> Vectors:
    """Unit vectors at these cosines to `rows`, moved towards `others`."""
    c = cosines[:, None].astype(np.float32)
    side = others - np.sum(rows * others, axis=1, keepdims=True) * rows
    norms = np.linalg.norm(side, axis=1, keepdims=True)
    return data._unit(c * rows + np.sqrt(1 - c * c) * side / np.maximum(norms, 1e-6))


def _parts(rows: Vectors) -> Iterator[Vectors]:
    for start in range(0, len(rows), data.CHUNK):
        yield rows[start : start + data.CHUNK]
