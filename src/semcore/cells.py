"""Cells: centres in the leading directions, by which rows are filed so that a search may pass over many.

core/semantic/cells.h says what they are for. Any centres give right answers: they decide how much is read.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHELLS = 2  # lists of a cell, by the angle to its centre
FLOORS = (0.8, 0.85, 0.9, 0.95)  # as core/semcore.h says
SHARES = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)  # of hits missed
TRIED = 3  # groups, as core/semantic/cells.c says
ROWS = 20  # of the sample for each cell that is learnt, a part of them for trials
LEAST_ROWS = 4
ITERATIONS = 8
GROUP_ROWS = 32  # of the sample for each group's centre
OTHERS = 4  # rows towards which each trial is turned
TRIALS = 16384  # queries by which it is measured how many cells have to be read
CHUNK = 512  # rows at a time: some of numpy's steps keep the interpreter from all other threads

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Cells(NamedTuple):
    """As a part of `learnt.Learnt`. The cells of a group lie together."""

    codes: NDArray[np.uint8]  # (cells + groups, 60): directions b and 60 + b in byte b
    first: NDArray[np.uint32]  # (groups + 1,): a group's first cell
    bases: Floats  # (120,): a centre is base + spread (code - 7.5)
    spreads: Floats  # (120,)
    shells: Floats  # (SHELLS - 1,): falling cosines to the centre
    probes: NDArray[np.uint32]  # (FLOORS, SHARES): how many of the nearest cells to read


class Rows(NamedTuple):
    """What cells are learnt from."""

    y: Floats  # (n, directions), in the leading directions
    others: Numbers  # (n, k): some other rows for each
    cosines: Floats  # (n, k): to them, of the vectors as they are
    dim: int  # of those


def none(directions: int) -> Cells:
    """One cell, of which nothing is known: all rows are searched."""
    zeros = np.zeros(directions, dtype=np.float32)
    return Cells(
        np.zeros((1, directions // 2), np.uint8),
        np.zeros(1, np.uint32),
        zeros,
        zeros,
        np.zeros(SHELLS - 1, np.float32),
        np.ones((len(FLOORS), len(SHARES)), np.uint32),
    )


def learn(rows: Rows, count: int, groups: int, rng: np.random.Generator) -> Cells:
    """About `count` cells, at most; in at most so many groups."""
    order = rng.permutation(np.flatnonzero(np.linalg.norm(rows.y, axis=1) > 1e-3))
    trials, order = np.split(order, [min(TRIALS, len(order) // 4)])  # unseen rows lie further from centres
    y = unit(rows.y[order])
    count = min(count, len(y) // LEAST_ROWS)
    if count < 2:
        return none(rows.y.shape[1])
    centres, first, tops = two_levels(y, count, max(1, min(groups, round(np.sqrt(count)))), rng)
    both = np.concatenate([centres, tops])
    least, most = both.min(axis=0), both.max(axis=0)
    bases, spreads = (least + most) / 2, np.maximum(most - least, 1e-6) / 15
    codes = np.clip(np.rint((both - bases) / spreads + 7.5), 0, 15).astype(np.uint8)
    both = unit(bases + spreads * (codes - np.float32(7.5)))  # what the codes say
    centres, tops = both[: len(centres)], both[len(centres) :]
    cosines = (y * centres[nearest_of(y, centres)]).sum(axis=1)
    shells = np.quantile(cosines, 1 - np.arange(1, SHELLS) / SHELLS).astype(np.float32)
    half = codes.shape[1] // 2
    probes = calibrated(rows, trials, centres, first, tops, rng)
    return Cells(codes[:, :half] | codes[:, half:] << 4, first, bases, spreads, shells, probes)


def calibrated(
    rows: Rows,
    trials: Numbers,
    centres: Floats,
    first: NDArray[np.uint32],
    tops: Floats,
    rng: np.random.Generator,
) -> NDArray[np.uint32]:
    """How many of the nearest cells hold what a query is similar to, for each floor but for each share.

    A query is a row turned until its similarity is the floor: half towards another row, half anywhere.
    Counts so few misses that as many more by chance are not to be expected.
    """
    ranks: list[list[Numbers]] = [[] for _ in FLOORS]
    for at in range(0, len(trials), CHUNK):
        some = trials[at : at + CHUNK]
        y = rows.y[some]
        own, along = filed(unit(y), centres, first, tops), y @ centres.T
        for aside in asides(rows, some, rng):
            across = aside @ centres.T
            for f, floor in enumerate(FLOORS):
                turned = np.float32(floor) * along + np.float32(np.sqrt(1 - floor**2)) * across
                ranks[f].append((turned > np.take_along_axis(turned, own[:, None], axis=1)).sum(axis=1))
    out = np.stack([enough(np.concatenate(each), len(centres)) for each in ranks])
    return np.minimum.accumulate(out, axis=0)  # a higher floor needs no more


def enough(ranks: Numbers, cells: int) -> NDArray[np.uint32]:
    """For each share how many cells to read, if the one that is asked for has these ranks."""
    ranks, out = np.sort(ranks)[::-1], np.full(len(SHARES), cells, dtype=np.uint32)
    for k, share in enumerate(SHARES):
        expected = share * len(ranks)
        if expected >= 1:
            out[k] = ranks[max(0, int(expected - 2 * np.sqrt(OTHERS * expected)))] + 1  # a row's are alike
    return out


def asides(rows: Rows, some: Numbers, rng: np.random.Generator) -> Iterator[Floats]:
    """Unit vectors at right angles to some rows, half towards their others, in the leading directions."""
    for k in range(rows.others.shape[1]):
        c = rows.cosines[some, k, None]
        towards = (rows.y[rows.others[some, k]] - c * rows.y[some]) / np.sqrt(np.maximum(1 - c**2, 1e-2))
        anywhere = rng.standard_normal(towards.shape, dtype=np.float32) / np.float32(np.sqrt(rows.dim))
        yield (towards + anywhere) / np.float32(np.sqrt(2))


def filed(y: Floats, centres: Floats, first: NDArray[np.uint32], tops: Floats) -> Numbers:
    """The cell that a row is filed in: of the nearest groups the nearest."""
    group = np.searchsorted(first, np.arange(len(centres)), side="right") - 1
    tried = min(TRIED, len(tops))
    out = []
    for at in range(0, len(y), CHUNK):
        near = y[at : at + CHUNK] @ tops.T
        least = np.partition(near, len(tops) - tried, axis=1)[:, len(tops) - tried, None]
        cosines = y[at : at + CHUNK] @ centres.T
        out.append(np.argmax(np.where((near >= least)[:, group], cosines, -2), axis=1))
    return np.concatenate(out)


def two_levels(
    y: Floats, count: int, groups: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint32], Floats]:
    """Centres, the first one of each group, and the groups' own: k-means in two levels, which is quick."""
    tops = spherical(y[rng.permutation(len(y))[: GROUP_ROWS * groups]], groups, rng)
    group = nearest_of(y, tops)
    sizes = np.bincount(group, minlength=groups)
    shares = np.minimum((sizes * count) // len(y) + 1, np.maximum(sizes // LEAST_ROWS, 1))
    while shares.sum() > count:
        shares[np.argmax(shares)] -= 1
    centres = [
        spherical(y[group == g], int(n), rng) if sizes[g] else tops[g : g + 1] for g, n in enumerate(shares)
    ]
    first = np.concatenate([[0], np.cumsum([len(c) for c in centres])]).astype(np.uint32)
    return np.concatenate(centres), first, tops


def spherical(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Centres of unit vectors by angle, by Lloyd's iteration; at least one, at most one for each point."""
    count = max(1, min(count, len(points)))
    centres = points[rng.permutation(len(points))[:count]].copy()
    for _ in range(ITERATIONS):
        nearest = nearest_of(points, centres)
        order = np.argsort(nearest, kind="stable")
        there, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(points[order], starts, axis=0)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres[there] = np.where(length > 1e-6, sums / np.maximum(length, 1e-6), centres[there])
    return centres


def nearest_of(points: Floats, centres: Floats) -> Numbers:
    """The centre of the least angle to each point."""
    parts = [np.argmax(points[at : at + CHUNK] @ centres.T, axis=1) for at in range(0, len(points), CHUNK)]
    return np.concatenate(parts)


def unit(x: Floats) -> Floats:
    rows: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return rows
