"""How good an embedder is for a cache: does the nearest text want the same answer, and at which threshold?

Labelled texts come as a stream: each is answered by the nearest of all earlier ones, rightly if that has
its label. Labelled pairs: the one is answered by the other, rightly if they are said to mean the same.
All is exact, by brute force in tiles, so memory does not grow with the square of the texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from semcore.dump import Progress, silent
from semcore.embed import Embedder
from semcore.embed.static import Static

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Bars = Callable[[str], AbstractContextManager[Progress]]

LIMITS = (0.01, 0.02, 0.05)  # most that may be wrong
PAIR_LIMITS = (*LIMITS, 0.10, 0.20)  # people disagree about pairs
ROWS, COLUMNS = 1024, 4096  # of a tile of similarities
BATCH = 256
SINGLES, SECONDS = 2000, 5.0  # texts embedded one at a time, at most


class Point(NamedTuple):
    """What a threshold serves: shares of all requests, and of what is served (None when nothing is)."""

    threshold: float
    served: float
    wrong_of_served: float | None
    wrong_of_all: float


class Best(NamedTuple):
    """Most that can be served while at most `limit` of the served (or of all requests) is wrong."""

    limit: float
    of: str
    served: float
    threshold: float | None  # None: nothing can


class Speed(NamedTuple):
    """Microseconds a text, one at a time; texts a second in batches."""

    p50_us: float
    p99_us: float
    texts_per_s: float


class Curve:
    """What every threshold serves, and how much of that is wrong.

    Args:
        similarity: of each request and what would answer it; -inf: nothing would.
        right: whether that answer is right.
    """

    def __init__(self, similarity: Floats, right: Flags) -> None:
        order = np.argsort(-similarity, kind="stable")
        falling = similarity[order]
        last = np.append(falling[1:] != falling[:-1], True) & np.isfinite(falling)  # of those that are equal
        self.thresholds = falling[last]
        self.served = np.flatnonzero(last) + 1
        self.wrong = np.cumsum(~right[order])[last]
        self.requests = len(similarity)

    def at(self, threshold: float) -> Point:
        n = int(np.searchsorted(-self.thresholds, -threshold, side="right"))
        served, wrong = (int(self.served[n - 1]), int(self.wrong[n - 1])) if n else (0, 0)
        share = wrong / served if served else None
        return Point(threshold, served / self.requests, share, wrong / self.requests)

    def points(self, steps: int = 100) -> list[Point]:
        """From 1.0 down in steps of 1/`steps`, to the first threshold that serves all that can be."""
        if not len(self.thresholds):
            return []
        lowest = int(np.floor(self.thresholds[-1] * steps))
        return [self.at(i / steps) for i in range(steps, lowest - 1, -1)]

    def best(self, limit: float, of: str) -> Best:
        """of: "served" or "all"."""
        within = np.flatnonzero(self.wrong / (self.served if of == "served" else self.requests) <= limit)
        if not len(within):
            return Best(limit, of, 0.0, None)
        at = within[-1]
        return Best(limit, of, float(self.served[at] / self.requests), float(self.thresholds[at]))


@dataclass(frozen=True)
class Quality:
    """What was found, of "texts" (with `labels`, `accuracy`, `oracle`) or of "pairs" (with `same`, `auc`).

    accuracy: share of the texts, but the first, whose nearest earlier one has their label; oracle:
    with an earlier one of their label at all. auc: probability that a pair that means the same is more
    similar than one that does not (None: all are of one kind). same: share of such pairs.
    without_vector: texts for which the embedder gave None; nothing answers them, which counts as wrong.
    """

    kind: str
    count: int
    embedder: str
    dim: int
    without_vector: int
    speed: Speed
    curve: Curve
    best: list[Best]
    labels: int | None = None
    accuracy: float | None = None
    oracle: float | None = None
    same: float | None = None
    auc: float | None = None

    def as_dict(self) -> dict[str, Any]:
        out = {name: value for name, value in vars(self).items() if value is not None}
        return out | {
            "speed": self.speed._asdict(),
            "best": [best._asdict() for best in self.best],
            "curve": [point._asdict() for point in self.curve.points()],
        }


def of_texts(
    embedder: Embedder | Static,
    texts: Sequence[str],
    labels: Sequence[str],
    bars: Bars = lambda words: nullcontext(silent),
) -> Quality:
    """The quality of an embedder on a stream of labelled texts, in their order; at least two."""
    speed, rows, has = measured(embedder, texts, bars)
    with bars("comparing") as progress:
        similarity, nearest = nearest_earlier(rows, has, progress)
    names = np.unique(np.asarray(labels, dtype=object), return_inverse=True)[1]
    right = (nearest >= 0) & (names[nearest] == names)
    known = len(texts) - len(set(labels))  # every label's first text has none before it
    return Quality(
        "texts", len(texts), embedder.fingerprint, embedder.dim, int((~has).sum()), speed,
        *judged(similarity, right, LIMITS), labels=len(set(labels)),
        accuracy=float(right.sum() / (len(texts) - 1)), oracle=known / (len(texts) - 1),
    )  # fmt: skip


def of_pairs(
    embedder: Embedder | Static,
    pairs: Sequence[tuple[str, str]],
    same: Sequence[bool],
    bars: Bars = lambda words: nullcontext(silent),
) -> Quality:
    """The quality of an embedder on pairs of texts that mean the same or do not; at least one."""
    speed, rows, has = measured(embedder, [text for pair in pairs for text in pair], bars)
    similarity = np.einsum("ij,ij->i", rows[::2], rows[1::2]).astype(np.float64).clip(-1, 1)
    similarity[~(has[::2] & has[1::2])] = -np.inf
    means = np.asarray(same, dtype=bool)
    return Quality(
        "pairs", len(pairs), embedder.fingerprint, embedder.dim, int((~has).sum()), speed,
        *judged(similarity, means, PAIR_LIMITS), same=float(means.mean()), auc=auc(similarity, means),
    )  # fmt: skip


def judged(similarity: Floats, right: Flags, limits: Sequence[float]) -> tuple[Curve, list[Best]]:
    curve = Curve(similarity, right)
    return curve, [curve.best(limit, of) for of in ("served", "all") for limit in limits]


def auc(similarity: Floats, same: Flags) -> float | None:
    """Area under the ROC curve, ties counted half; None when all are the same or none is."""
    values, at = np.unique(similarity, return_inverse=True)
    yes = np.bincount(at[same], minlength=len(values))
    no = np.bincount(at[~same], minlength=len(values))
    if not yes.any() or not no.any():
        return None
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / (yes.sum() * no.sum()))


def nearest_earlier(
    rows: Rows, has: Flags, progress: Progress = silent
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of each row the most similar earlier one, the first of equals: similarity and number (none: -inf, -1).

    rows: of unit length. has: which rows are vectors at all.
    """
    own = np.flatnonzero(has)
    dense = rows if len(own) == len(rows) else rows[own]
    best = np.full(len(own), -np.inf, np.float32)
    at = np.full(len(own), -1, np.int64)
    for top in range(0, len(own), ROWS):
        block = slice(top, min(top + ROWS, len(own)))
        for left in range(0, block.stop, COLUMNS):
            closest(dense, block, left, best[block], at[block])
        progress(block.stop, len(own))
    similarity, nearest = np.full(len(rows), -np.inf), np.full(len(rows), -1, np.int64)
    similarity[own] = best.astype(np.float64)
    nearest[own[at >= 0]] = own[at[at >= 0]]
    return np.where(nearest >= 0, similarity.clip(-1, 1), -np.inf), nearest


def closest(rows: Rows, block: slice, left: int, best: Rows, at: npt.NDArray[np.int64]) -> None:
    """Takes one tile of similarities into account, in `best` and `at`."""
    right = min(left + COLUMNS, block.stop)
    tile = rows[block] @ rows[left:right].T
    if right > block.start:
        tile[np.arange(left, right) >= np.arange(block.start, block.stop)[:, None]] = -np.inf
    found = tile.argmax(axis=1)
    similarity = tile[np.arange(len(tile)), found]
    closer = similarity > best
    best[closer] = similarity[closer]
    at[closer] = found[closer] + left


# ---- embedding, by the clock ----


def measured(embedder: Embedder | Static, texts: Sequence[str], bars: Bars) -> tuple[Speed, Rows, Flags]:
    """How fast an embedder is, and the texts' vectors, of unit length (zeros, and False, for None)."""
    with bars("embedding") as progress:
        rows, has, seconds = embedded(embedder, texts, progress)
    us = single(embedder, texts)
    p50, p99 = np.percentile(us, [50, 99])
    return Speed(float(p50), float(p99), len(texts) / max(seconds, 1e-9)), rows, has


def embedded(
    embedder: Embedder | Static, texts: Sequence[str], progress: Progress
) -> tuple[Rows, Flags, float]:
    """In batches: unit vectors, which texts have one, and the seconds that the embedder took."""
    rows, has = np.zeros((len(texts), embedder.dim), np.float32), np.zeros(len(texts), np.bool_)
    seconds = 0.0
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        begun = time.perf_counter()
        vectors = embedder.many(batch)
        seconds += time.perf_counter() - begun
        for i, vector in enumerate(vectors, start):
            if vector is not None:
                rows[i], has[i] = vector / np.linalg.norm(vector), True
        progress(start + len(batch), len(texts))
    return rows, has, seconds


def single(embedder: Embedder | Static, texts: Sequence[str]) -> list[float]:
    """Microseconds of single texts, spread over all, until there are enough or it takes too long."""
    us: list[float] = []
    end = time.perf_counter() + SECONDS
    for text in texts[:: max(len(texts) // SINGLES, 1)]:
        begun = time.perf_counter_ns()
        embedder(text)
        us.append((time.perf_counter_ns() - begun) / 1e3)
        if time.perf_counter() > end:
            break
    return us
