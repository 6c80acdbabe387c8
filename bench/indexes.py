"""Who answers in vectors.py: semcore, and the vector indexes it is measured against.

An index is filled by `build` and searched by `ask`, which is all that is timed; `answer` reads the row
and its similarity out of what `ask` returned. `settings` are what a search may be tuned by. What a build
depends on is fixed: graphs have 16 links and a breadth of 128, lists are half and twice `lists(n)`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import hnswlib
import numpy as np
from numpy.typing import NDArray
from usearch.index import Index as UsearchIndex

from semcore import Cache, _engine
from semcore.learner import LEARNT

LINKS, BREADTH = 16, 128  # of a graph, while building
WIDTHS = (8, 16, 32, 64, 128, 256, 512)  # of a graph's search
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)  # lists searched
KEPT = (8, 32)  # rows that are compared again by their own vectors

Vectors = NDArray[np.float32]
Answer = tuple[int, float] | None  # row and similarity


class Index:
    name: str
    settings: Sequence[Any] = (None,)
    tau = 0.0

    def build(self, rows: Vectors) -> None: ...

    def set(self, setting: Any) -> None: ...

    def ask(self, query: Vectors) -> Any: ...

    def answer(self, found: Any) -> Answer: ...


class Semcore(Index):
    """Answers are the rows' numbers. `puts`: seconds of each put; `filling`: of all, with what was learnt."""

    def __init__(self, name: str = "semcore", recall: float = 1.0) -> None:
        self.name, self.recall = name, recall
        self.places: dict[int, int] = {}  # of the rows, where they are not their numbers

    def build(self, rows: Vectors) -> None:
        n, d = rows.shape
        size = _engine.bytes_for(d, "f16", n, 2 * n)
        self.cache = Cache(
            embed=None, dim=d, max_entries=n, max_bytes=size, threshold=0.5, recall=self.recall
        )
        self.fill(rows, 0)

    def fill(self, rows: Vectors, first: int) -> None:
        """Put all rows, numbered from `first`, and wait until everything is learnt."""
        put, clock = self.cache.put, time.perf_counter
        self.puts = np.empty(len(rows))
        began = clock()
        for i, row in enumerate(rows):
            text, start = str(first + i), clock()
            put(text, text, vector=row)
            self.puts[i] = clock() - start
        self._settle()
        self.filling = clock() - began

    def _settle(self, looks: int = 10) -> None:
        learner = self.cache._learner
        for _ in range(looks):
            if learner._thread is not None:
                learner._thread.join()
            if _engine.learning(self.cache) == LEARNT:
                return
            learner.look()
        raise RuntimeError(f"nothing more is learnt after {looks} looks")

    def ask(self, query: Vectors) -> Any:
        return self.cache.get("a text that nobody stored", vector=query, threshold=self.tau)

    def answer(self, found: Any) -> Answer:
        if found is None:
            return None
        number = int(found.value)
        return self.places.get(number, number), found.similarity


class Reading(Index):
    """The machine's limit: reads as many bytes as semcore's scan, and finds nothing."""

    name = "reading the codes"

    def __init__(self, bytes_a_row: int) -> None:
        self.bytes_a_row = bytes_a_row

    def build(self, rows: Vectors) -> None:
        numbers = np.ones(len(rows) * self.bytes_a_row // 4, dtype=np.float32)
        half = len(numbers) // 2
        self.bytes = 8 * half
        self.halves = numbers[:half], numbers[half : 2 * half]

    def ask(self, query: Vectors) -> Any:
        return self.halves[0] @ self.halves[1]  # faster here than max, sum and bytes.find

    def answer(self, found: Any) -> Answer:
        return None


class Usearch(Index):
    def __init__(self, dtype: str, exact: bool) -> None:
        self.name = f"usearch {'exact' if exact else 'HNSW'} {dtype}"
        self.dtype, self.exact = dtype, exact
        self.settings = (None,) if exact else WIDTHS

    def build(self, rows: Vectors) -> None:
        links, breadth = (2, 1) if self.exact else (LINKS, BREADTH)  # an exact search follows no links
        self.index = UsearchIndex(
            ndim=rows.shape[1], metric="cos", dtype=self.dtype, connectivity=links, expansion_add=breadth
        )
        for start in range(0, len(rows), 8192):
            part = rows[start : start + 8192]
            self.index.add(np.arange(start, start + len(part)), part, threads=1)

    def set(self, setting: Any) -> None:
        if setting is not None:
            self.index.expansion_search = setting

    def ask(self, query: Vectors) -> Any:
        return self.index.search(query, 1, exact=self.exact, threads=1)

    def answer(self, found: Any) -> Answer:
        return (int(found.keys[0]), 1 - float(found.distances[0])) if len(found.keys) else None


class Hnswlib(Index):
    name, settings = "hnswlib HNSW", WIDTHS

    def build(self, rows: Vectors) -> None:
        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.init_index(len(rows), M=LINKS, ef_construction=BREADTH)
        self.index.set_num_threads(1)
        self.index.add_items(rows)

    def set(self, setting: Any) -> None:
        self.index.set_ef(setting)

    def ask(self, query: Vectors) -> Any:
        return self.index.knn_query(query, 1, num_threads=1)

    def answer(self, found: Any) -> Answer:
        return int(found[0][0, 0]), 1 - float(found[1][0, 0])


class Faiss(Index):
    """Whatever has faiss's `search`; `make` gets the number of rows and their length."""

    def __init__(self, name: str, make: Callable[[int, int], Any], settings: Sequence[Any] = (None,)) -> None:
        self.name, self.make, self.settings = name, make, settings

    def build(self, rows: Vectors) -> None:
        faiss.omp_set_num_threads(1)
        self.index = self.make(*rows.shape)
        self.index.train(rows)
        self.index.add(rows)

    def set(self, setting: Any) -> None:
        if isinstance(self.index, faiss.IndexHNSW):
            self.index.hnsw.efSearch = setting
        elif setting is not None:
            self.index.nprobe = setting

    def ask(self, query: Vectors) -> Any:
        return self.index.search(query[None], 1)

    def answer(self, found: Any) -> Answer:
        row = int(found[1][0, 0])
        return (row, float(found[0][0, 0])) if row >= 0 else None


class RaBitQ(Faiss):
    """Lists of one-bit codes; the best few are compared again by their vectors, shared with `flat`."""

    def __init__(self, flat: Faiss, factor: float) -> None:
        settings = [(probes, kept) for probes in PROBES for kept in KEPT]
        super().__init__(
            f"faiss IVF RaBitQ, refined, {factor:g}x lists", _ivf(faiss.IndexIVFRaBitQ, factor), settings
        )
        self.flat = flat

    def build(self, rows: Vectors) -> None:
        super().build(rows)
        self.lists = self.index
        self.index = faiss.IndexRefine(self.lists, self.flat.index)

    def set(self, setting: Any) -> None:
        self.lists.nprobe, self.index.k_factor = setting


def lists(n: int, factor: float) -> int:
    """How many lists for n rows: 256 at 10,000, 1,024 at 100,000 and 4,096 at a million, times the factor."""
    return int(factor * 2 ** round(math.log2(3.5 * math.sqrt(n))))


def _graph(n: int, d: int) -> Any:
    index = faiss.IndexHNSWFlat(d, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BREADTH
    return index


def _ivf(kind: type, factor: float) -> Callable[[int, int], Any]:
    ip = faiss.METRIC_INNER_PRODUCT
    return lambda n, d: kind(faiss.IndexFlatIP(d), d, lists(n, factor), ip)


def peers() -> list[Index]:
    """All of them, in the order in which they are to be built."""
    flat = Faiss("faiss flat", lambda n, d: faiss.IndexFlatIP(d))
    ivf = [Faiss(f"faiss IVF flat, {f:g}x lists", _ivf(faiss.IndexIVFFlat, f), PROBES) for f in (0.5, 2)]
    exact = [Usearch("f16", exact=True), Usearch("i8", exact=True)]
    graphs = [Usearch("i8", exact=False), Faiss("faiss HNSW", _graph, WIDTHS), Hnswlib()]
    return [flat, *ivf, *(RaBitQ(flat, f) for f in (0.5, 2)), *exact, *graphs]
