"""Counts of requests, kept cheaply: a list of numbers for each kind, to which a request adds a few.

Rejected: prometheus-client's own counters, which take a lock each; a hit moves eight of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from semcore.gateway.seen import Seen
from semcore.gateway.workers import Noticeboard

MODELS = 100  # distinct ones that are told apart; what more come are "other"
LONGEST = 100  # characters of a model's name that is told
NEAR = 100  # misses that are remembered
SECONDS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
    60.0,
)  # fmt: skip
SIMILARITIES = (*(round(0.5 + 0.02 * i, 2) for i in range(25)), 0.99, 1.0)

# Places in the lists. The sum is the histogram's; after its buckets comes one without a bound.
COUNT, INPUT, OUTPUT, COST, UNPRICED, SPARED, SUM, BUCKETS = range(8)
REQUEST, UPSTREAM, SIMILARITY = "request", "upstream", "similarity"

Key = tuple[str, ...]
Series = dict[Key, list[float]]


class Near(NamedTuple):
    """A miss whose nearest entry was not similar enough. when: seconds since the epoch; age: of the entry."""

    when: float
    api: str
    model: str
    similarity: float
    threshold: float
    age: float
    asked: str | None = None
    nearest: str | None = None


class Tally:
    """An observer that counts.

    Args:
        board: where workers count together.
        later: calls a function in a second, to write what was counted.
    """

    def __init__(self, board: Noticeboard, later: Callable[[Callable[[], None]], object]) -> None:
        self._board, self._later = board, later
        self._waiting = not board  # for a write; of a single worker there is none
        self._series: Series = {}
        self._models: set[str] = set()
        self._near: deque[Near] = deque(maxlen=NEAR)

    def __call__(self, seen: Seen) -> None:
        cell = self._series.get((REQUEST, seen.api, seen.model, seen.outcome))
        if cell is None:
            cell = self._cell((REQUEST, seen.api, self._label(seen), seen.outcome), len(SECONDS))
        seconds = seen.seconds
        cell[COUNT] += 1
        cell[SUM] += seconds
        cell[BUCKETS + bisect_left(SECONDS, seconds)] += 1
        if seen.saved:
            cell[INPUT] += seen.saved_input
            cell[OUTPUT] += seen.saved_output
            cell[SPARED] += seen.saved_seconds
            if seen.saved_cost is None:
                cell[UNPRICED] += 1
            else:
                cell[COST] += seen.saved_cost
            if seen.outcome == "hit_semantic" and seen.similarity is not None:
                self._similar("hit", seen.similarity)
        if seen.upstream_seconds is not None:
            self._upstream(seen, seen.upstream_seconds)
        if not self._waiting:
            self._changed()

    def near(self, near: Near) -> None:
        self._near.append(near)
        self._similar("near_miss", near.similarity)
        if not self._waiting:
            self._changed()

    def _upstream(self, seen: Seen, seconds: float) -> None:
        heard = seen.upstream_first_byte
        status = "none" if heard is None else str(seen.status)
        took = self._cell((UPSTREAM, seen.upstream, "took", status), len(SECONDS))
        add(took, seconds, SECONDS)
        took[INPUT] += seen.input or 0
        took[OUTPUT] += seen.output or 0
        if heard is not None:
            add(self._cell((UPSTREAM, seen.upstream, "heard", status), len(SECONDS)), heard, SECONDS)

    def _similar(self, kind: str, similarity: float) -> None:
        add(self._cell((SIMILARITY, kind), len(SIMILARITIES)), similarity, SIMILARITIES)

    def _label(self, seen: Seen) -> str:
        """Names come from clients: those that a model answered to are told apart, up to so many."""
        if not seen.model or seen.model in self._models:
            return seen.model
        if seen.status != 200 or len(seen.model) > LONGEST or len(self._models) >= MODELS:
            return "other"
        self._models.add(seen.model)
        return seen.model

    def _cell(self, key: Key, bounds: int) -> list[float]:
        cell = self._series.get(key)
        if cell is None:
            cell = self._series[key] = [0.0] * (BUCKETS + bounds + 1)
        return cell

    # ---- telling ----

    def _changed(self) -> None:
        self._waiting = True
        self._later(self.publish)

    def publish(self) -> None:
        """Tells other workers."""
        self._waiting = not self._board
        series = [[list(key), cell] for key, cell in self._series.items()]
        self._board.write({"series": series, "near": [list(near) for near in self._near]})

    def series(self) -> Series:
        """Of all workers."""
        total = {key: list(cell) for key, cell in self._series.items()}
        for counted in self._board.others():
            for key, cell in counted["series"]:
                mine = total.setdefault(tuple(key), [0.0] * len(cell))
                mine[:] = map(sum, zip(mine, cell, strict=True))
        return total

    def nearest(self) -> list[Near]:
        """The last near misses of all workers, the latest first."""
        near = [*self._near]
        for counted in self._board.others():
            near += [Near(*each) for each in counted["near"]]
        return sorted(near, key=lambda each: -each.when)[:NEAR]


def of_kind(series: Series, kind: str) -> Series:
    """Those of a kind, which their keys do not say any more."""
    return {key[1:]: cell for key, cell in series.items() if key[0] == kind}


def by(label: int, series: Series) -> Series:
    """Sums by one part of the key."""
    sums: Series = {}
    for key, cell in series.items():
        mine = sums.setdefault((key[label],), [0.0] * len(cell))
        mine[:] = map(sum, zip(mine, cell, strict=True))
    return sums


def add(cell: list[float], value: float, bounds: tuple[float, ...]) -> None:
    cell[COUNT] += 1
    cell[SUM] += value
    cell[BUCKETS + bisect_left(bounds, value)] += 1
