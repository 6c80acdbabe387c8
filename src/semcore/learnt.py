"""What the compact codes of vectors are learnt from a sample: leading directions, codebooks, classes.

core/semantic/model.h says what it is for; here it is computed. Any values give certified bounds
(the rotation's spectral norm is made at most 1): what is learnt decides only how sharp they are.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semcore import cells

DIRECTIONS = 120
GROUPS = 40  # of three directions
CENTROIDS = 16
CLASSES = 16
TILT = 0.6
OUTLIERS = 5e-5  # of the rows, at each end of each range: searched apart
POWER_ITERATIONS = 2
DIRECTION_ROWS = 4096
LLOYD_ITERATIONS = 10
LLOYD_ROWS = 4096
NEAR_AMONG = 512  # rows, of which one is the nearest
STEP = 0.335  # in standard deviations: the best of 16 even steps for a normal distribution (Max, 1960)

Floats = NDArray[np.float32]


class Learnt(NamedTuple):
    """A model, as `_engine.learn` takes it."""

    rotation: NDArray[np.float16]  # (DIRECTIONS, dim)
    centroids: Floats  # (DIRECTIONS, CENTROIDS)
    means: Floats  # (DIRECTIONS,)
    steps: Floats  # (DIRECTIONS,)
    rests: Floats  # (CLASSES,), ascending
    strays: Floats  # (CLASSES, 2)
    margins: Floats  # (CLASSES, 2)
    margin_least: float
    margin_step: float
    loss: float  # mean square of what the product codes leave out of a vector
    cells: cells.Cells


def learn(sample: Floats, seed: int = 0) -> Learnt:
    """A model of a sample of vectors, (rows, dim) of any lengths but zero; it has one cell."""
    rng = np.random.default_rng(seed)
    x = unit(usable(sample))
    rotation = leading_directions(x, rng)
    y = x @ rotation.astype(np.float32).T
    centroids, coded = product_codes(y, rng)
    length = np.linalg.norm(y, axis=1)
    along = np.einsum("ij,ij->i", y, coded) / np.maximum(length, 1e-9)
    stray = np.sqrt(np.maximum(np.square(coded).sum(axis=1) - along**2, 0))
    rest = np.sqrt(np.maximum(1 - length**2, 0))
    margin = along - TILT * stray
    rests = np.quantile(rest, np.arange(1, CLASSES + 1) / CLASSES)
    rests[-1] = wider(rest)[1]
    kind = np.minimum(np.searchsorted(rests, rest), CLASSES - 1)
    least, most = wider(margin)
    return Learnt(
        rotation,
        centroids,
        y.mean(axis=0).astype(np.float32),
        (STEP * y.std(axis=0)).astype(np.float32),
        rests.astype(np.float32),
        ranges(stray, kind),
        ranges(margin, kind),
        least,
        max((most - least) / 255, 1e-6),
        float(np.mean(rest**2 + np.square(y - coded).sum(axis=1))),
        cells.none(DIRECTIONS),
    )


def with_cells(model: Learnt, samples: Iterable[Floats], count: int, groups: int, seed: int = 0) -> Learnt:
    """The model with cells, learnt from more samples: at most so many, in at most so many groups."""
    rng = np.random.default_rng(seed)
    rotation = model.rotation.astype(np.float32).T
    parts, n = [], 0
    for sample in samples:
        x = unit(usable(sample))
        if len(x) <= cells.OTHERS:
            continue
        y = x @ rotation
        others = near_and_far(y, rng)
        cosines = np.column_stack([np.einsum("ij,ij->i", x, x[other]) for other in others.T])
        parts.append((y, others + n, cosines))
        n += len(x)
    if not parts:
        return model
    y, others, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows = cells.Rows(y, others, cosines, rotation.shape[0])
    return model._replace(cells=cells.learn(rows, count, groups, rng))


def near_and_far(y: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Four other rows for each: two near ones and two that may lie anywhere."""
    some = rng.permutation(len(y))[:NEAR_AMONG]
    cosines = y @ y[some].T
    cosines[np.arange(len(y))[:, None] == some] = -2  # itself
    near = some[np.argpartition(cosines, len(some) - 2, axis=1)[:, -2:]]
    return np.column_stack([near, rng.permutation(len(y)), rng.permutation(len(y))])


def usable(sample: Floats) -> Floats:
    """The rows that have a length: a damaged file's may have none."""
    lengths = np.linalg.norm(sample, axis=1)
    rows: Floats = sample[np.isfinite(lengths) & (lengths > 0)]
    return rows


def unit(x: Floats) -> Floats:
    rows: Floats = x / np.linalg.norm(x, axis=1, keepdims=True)
    return rows


def leading_directions(x: Floats, rng: np.random.Generator) -> NDArray[np.float16]:
    """The directions of most variance, by randomised subspace iteration (Halko, Martinsson, Tropp, 2011)."""
    x = x[rng.permutation(len(x))[:DIRECTION_ROWS]]
    count = min(DIRECTIONS, x.shape[1])
    extra = min(count + 16, x.shape[1], len(x))
    basis = rng.standard_normal((x.shape[1], extra), dtype=np.float32)
    for _ in range(POWER_ITERATIONS):
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    basis = np.linalg.qr(basis.astype(np.float64))[0]
    within = x @ basis
    axes = np.linalg.eigh(within.T @ within)[1][:, ::-1]  # by falling variance
    rotation = np.zeros((DIRECTIONS, x.shape[1]), dtype=np.float64)
    found = (basis @ axes).T[:count]
    rotation[order(len(found))] = found
    return not_longer_than_one(rotation)


def order(count: int) -> NDArray[np.int64]:
    """Places for directions of falling variance: each group of three gets a large, a middle and a small one.

    Groups of like variance together lose alike, which 8 bits hold best (the eigenvalue allocation of
    optimised product quantisation, Ge, He, Ke, Sun, 2013).
    """
    rank = np.arange(DIRECTIONS)
    group = np.where(rank // GROUPS % 2 == 0, rank % GROUPS, GROUPS - 1 - rank % GROUPS)
    return (3 * group + rank // GROUPS)[:count]


def not_longer_than_one(rotation: NDArray[np.float64]) -> NDArray[np.float16]:
    """As halves, of spectral norm at most 1 after rounding."""
    while True:
        halves = rotation.astype(np.float16)
        norm = float(np.linalg.norm(halves.astype(np.float64), 2))
        if not norm > 1:
            return halves
        rotation = rotation / (norm * (1 + 1e-5))


def product_codes(y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Centroids of each group of three directions, and each row's nearest ones together."""
    centroids = np.zeros((DIRECTIONS, CENTROIDS), dtype=np.float32)
    coded = np.zeros_like(y)
    for start in range(0, DIRECTIONS, 3):
        group = slice(start, start + 3)
        books, nearest = lloyd(y[:, group], rng)
        centroids[group] = books.T
        coded[:, group] = books[nearest]
    return centroids, coded


def lloyd(
    points: Floats, rng: np.random.Generator, count: int = CENTROIDS
) -> tuple[Floats, NDArray[np.int64]]:
    """Centroids of the points (k-means by Lloyd's iteration on a part of them), and each point's nearest."""
    some = points[rng.permutation(len(points))[:LLOYD_ROWS]]
    books = some[:count].copy()
    if len(books) < count:
        books = np.resize(books, (count, points.shape[1]))
    for _ in range(LLOYD_ITERATIONS):
        nearest = nearest_of(some, books)
        counts = np.bincount(nearest, minlength=count)
        for i in range(points.shape[1]):
            sums = np.bincount(nearest, weights=some[:, i], minlength=count)
            books[:, i] = np.where(counts > 0, sums / np.maximum(counts, 1), books[:, i])
    return books, nearest_of(points, books)


def nearest_of(points: Floats, books: Floats) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = np.argmin(np.square(books).sum(axis=1) - 2 * points @ books.T, axis=1)
    return nearest


def wider(values: Floats) -> tuple[float, float]:
    """Bounds that hold nearly all values, and a little more."""
    least, most = np.quantile(values, [OUTLIERS, 1 - OUTLIERS])
    more = 2 / np.sqrt(len(values)) * (most - least) + 1e-4  # what a small sample has not seen
    return float(least - more), float(most + more)


def ranges(values: Floats, kind: NDArray[np.int64]) -> Floats:
    """`wider` bounds of each class; of all where there is none."""
    out = np.empty((CLASSES, 2), dtype=np.float32)
    for k in range(CLASSES):
        some = values[kind == k]
        out[k] = wider(some if len(some) else values)
    return out
