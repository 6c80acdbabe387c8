"""Vector indexes with a list of answers, one small adapter each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from data import Vector, Workload
from peer import THRESHOLD, Local, cores

RECALL = 0.99  # of paraphrases, for which an HNSW is tuned
LINKS, BUILD_EFFORT = 16, 128  # HNSW: links a node, candidates at insertion


class _Index(Local):
    """A vector index and a list of answers."""

    kind = "index"

    def _fill(self, w: Workload) -> None:
        self.answers = [w.response(i) for i in range(w.n)]
        self._index(w)

    def _index(self, w: Workload) -> None:
        """Make the index and add every row."""
        raise NotImplementedError

    def _nearest(self, query: Vector) -> tuple[int, float]:
        """The row found, and its cosine."""
        raise NotImplementedError

    def _add(self, i: int, vector: Vector) -> None:
        raise NotImplementedError

    def semantic(self, query: Vector) -> str | None:
        row, cosine = self._nearest(query)
        return self.answers[row] if cosine >= THRESHOLD else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self._add(i, vector)
        self.answers.append(response)

    def _tune(self, w: Workload, set_effort: Callable[[int], object]) -> None:
        """The least search effort (a power of two) that answers RECALL of the paraphrases."""
        for effort in (2**k for k in range(4, 13)):
            set_effort(effort)
            found = sum(self._nearest(q)[0] == r for q, r in zip(w.hits, w.rows, strict=True))
            if found >= RECALL * len(w.hits):
                return


class USearchF32(_Index):
    name = "usearch-hnsw-f32"
    needs = ("usearch.index",)
    dtype = "f32"
    brute = False

    def _index(self, w: Workload) -> None:
        from usearch.index import Index

        self.index: Any = Index(
            ndim=w.d,
            metric="cos",
            dtype=self.dtype,
            connectivity=LINKS,
            expansion_add=1 if self.brute else BUILD_EFFORT,
        )
        self.index.add(np.arange(w.n), w.vectors, threads=cores())
        if not self.brute:
            self._tune(w, self._set_effort)

    def _set_effort(self, effort: int) -> None:
        self.index.expansion_search = effort

    def _nearest(self, query: Vector) -> tuple[int, float]:
        found = self.index.search(query, 1, exact=self.brute, threads=1)
        return int(found.keys[0]), 1 - float(found.distances[0])

    def _add(self, i: int, vector: Vector) -> None:
        self.index.add(i, vector, threads=1)


class USearchI8(USearchF32):
    name = "usearch-hnsw-i8"
    dtype = "i8"


class USearchExact(USearchF32):
    """Every row compared.

    The index still links what is added, as little as it can; asking it is faster than
    `usearch.index.search` over a bare matrix (2.6 ms to 3.7 at 10,000 rows).
    """

    name = "usearch-exact"
    brute = True


class FaissFlat(_Index):
    name = "faiss-flat"
    needs = ("faiss",)

    def _make(self, d: int) -> Any:
        import faiss

        return faiss.IndexFlatIP(d)

    def _index(self, w: Workload) -> None:
        import faiss

        self.index = self._make(w.d)
        faiss.omp_set_num_threads(cores())
        self.index.add(w.vectors)
        faiss.omp_set_num_threads(1)

    def _nearest(self, query: Vector) -> tuple[int, float]:
        cosines, rows = self.index.search(query[None], 1)
        return int(rows[0, 0]), float(cosines[0, 0])

    def _add(self, i: int, vector: Vector) -> None:
        self.index.add(vector[None])


class FaissHNSW(FaissFlat):
    name = "faiss-hnsw"

    def _make(self, d: int) -> Any:
        import faiss

        index = faiss.IndexHNSWFlat(d, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
        return index

    def _index(self, w: Workload) -> None:
        super()._index(w)
        self._tune(w, self._set_effort)

    def _set_effort(self, effort: int) -> None:
        self.index.hnsw.efSearch = effort


class HNSWLib(_Index):
    name = "hnswlib"
    needs = ("hnswlib",)

    def _index(self, w: Workload) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=w.d)
        self.index.init_index(w.capacity, M=LINKS, ef_construction=BUILD_EFFORT)
        self.index.add_items(w.vectors, np.arange(w.n), num_threads=cores())
        self._tune(w, self.index.set_ef)

    def _nearest(self, query: Vector) -> tuple[int, float]:
        rows, distances = self.index.knn_query(query, k=1, num_threads=1)
        return int(rows[0, 0]), 1 - float(distances[0, 0])

    def _add(self, i: int, vector: Vector) -> None:
        self.index.add_items(vector, i, num_threads=1)
