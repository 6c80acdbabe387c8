"""What is opened again after a clean close: filled files, and the first lookup in each.

    python bench/reopen_peers.py build NAME ENTRIES FOLDER
    python bench/reopen_peers.py first NAME ENTRIES FOLDER QUERY
    python bench/reopen_peers.py put NAME ENTRIES FOLDER

Each is run in a process of its own (by reopen.py): build makes the files if they are not there;
first opens them, asks, and prints what it took as JSON; put writes until it is killed.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import data
import filled
import numpy as np
import peer
import peer_caches
from versus import pinned

DIM = 384
CHUNK = 10_000  # rows made at once
QUERY_CHUNKS, QUERIES = 16, 4  # chunks that queries are taken from, and how many from each
QUERY_FILE = "queries.npz"
SMALL = 200_000  # entries up to which usearch is built with its usual effort


@dataclass(frozen=True)
class Query:
    """A stored row to be found by its text or by a paraphrase."""

    row: int
    text: str
    answer: str
    vector: data.Vector


class Kept:
    """Something kept in files. `file` is where in the folder, `exact` whether it is asked by text."""

    name: ClassVar[str]
    file: ClassVar[str]
    exact: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def build(self, n: int, path: Path) -> None:
        raise NotImplementedError

    def open(self, n: int, path: Path) -> None:
        raise NotImplementedError

    def ask(self, query: Query) -> bool:
        """Was the right row found?"""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to end."""


class Semcore(Kept):
    name = "semcore"
    file = "cache.semcore"
    exact = True
    needs = ("semcore",)

    def build(self, n: int, path: Path) -> None:
        with filled.make(path, n, DIM) as cache:
            for start, w in chunks(n):
                filled.fill(cache, w, start)

    def open(self, n: int, path: Path) -> None:
        self.cache = filled.reopen(path, DIM)

    def ask(self, query: Query) -> bool:
        hit = self.cache.get(query.text)
        return hit is not None and hit.value == query.answer

    def close(self) -> None:
        self.cache.close()


class SemcoreSemantic(Semcore):
    name = "semcore, by meaning"
    exact = False

    def ask(self, query: Query) -> bool:
        hit = self.cache.get(filled.UNSEEN, vector=query.vector)
        return hit is not None and hit.value == query.answer


class USearchLoad(Kept):
    """An HNSW index alone, without texts and answers.

    f16 with the library's own 16 links; above SMALL entries i8 with 8 links and little effort, since
    it takes long to build: the file is smaller for it, and more paraphrases are missed.
    """

    name = "usearch, load (index only)"
    file = "index.usearch"
    needs = ("usearch.index",)
    view = False

    def _new(self, n: int) -> Any:
        usual = {"dtype": "f16", "connectivity": 16, "expansion_add": 64, "expansion_search": 64}
        little = {"dtype": "i8", "connectivity": 8, "expansion_add": 16, "expansion_search": 64}
        options = usual if n <= SMALL else little
        return importlib.import_module("usearch.index").Index(ndim=DIM, metric="cos", **options)

    def build(self, n: int, path: Path) -> None:
        index = self._new(n)
        for start, w in chunks(n):
            index.add(np.arange(start, start + w.n), w.vectors, threads=peer.cores())
        index.save(str(path))

    def open(self, n: int, path: Path) -> None:
        self.index = self._new(n)
        (self.index.view if self.view else self.index.load)(str(path))

    def ask(self, query: Query) -> bool:
        found = self.index.search(query.vector, 1, threads=1)
        return len(found.keys) > 0 and int(found.keys[0]) == query.row


class USearchView(USearchLoad):
    name = "usearch, view (index only)"
    view = True


class Mneme(Kept):
    """Its SQLite store, from which the index is read into memory at opening."""

    name = "mneme"
    file = "mneme.db"
    exact = True
    needs = ("mneme",)
    settings: ClassVar[dict[str, Any]] = {
        "embedder": SimpleNamespace(dim=DIM, fingerprint="bench", embed=None),
        "similarity_threshold": filled.THRESHOLD,
    }

    def build(self, n: int, path: Path) -> None:
        self.open(n, path)
        for start, w in chunks(n):
            for i, vector in enumerate(w.vectors, start):
                self.cache.put(data.prompt(i), w.response(i), embedding=vector)
        self.close()

    def open(self, n: int, path: Path) -> None:
        self.cache = importlib.import_module("mneme").SemanticCache(str(path), **self.settings)

    def ask(self, query: Query) -> bool:
        hit = self.cache.get(query.text, embedding=query.vector)
        return bool(hit and hit.layer == "exact" and hit.response == query.answer)

    def close(self) -> None:
        self.cache.close()


class MnemeArchive(Mneme):
    """Its checkpoint, a tar.gz, unpacked to a new store."""

    name = "mneme, checkpoint"
    file = "mneme.tar.gz"

    def build(self, n: int, path: Path) -> None:
        ready(Mneme(), n, path.parent)
        super().open(n, path.parent / Mneme.file)
        self.cache.dumps(str(path))
        self.close()

    def open(self, n: int, path: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-mneme-", dir=path.parent))
        loads = importlib.import_module("mneme").SemanticCache.loads
        self.cache = loads(str(path), str(self.folder / "mneme.db"), **self.settings)

    def close(self) -> None:
        super().close()
        with contextlib.suppress(AttributeError):  # of build()
            shutil.rmtree(self.folder)


class GPTCache(Kept):
    """SQLite and a flat faiss index, which it writes when it is closed."""

    name = "gptcache"
    file = "gptcache"
    needs = peer_caches.GPTCache.needs

    def build(self, n: int, path: Path) -> None:
        self.open(n, path)
        for start, w in chunks(n):
            for part in peer.chunks(w.n, 1000):
                texts = [data.prompt(start + i) for i in part]
                answers = [w.response(start + i) for i in part]
                vectors = list(w.vectors[part.start : part.stop])
                self.peer.manager.import_data(texts, answers, vectors, [None] * len(part))
        self.peer.manager.close()

    def open(self, n: int, path: Path) -> None:
        self.peer = peer_caches.GPTCache()
        self.peer.manager = importlib.import_module("gptcache.manager").manager_factory(
            "sqlite,faiss",
            data_dir=str(path),
            vector_params={"dimension": DIM, "top_k": 1},
            eviction_params={"max_size": n},
        )
        self.peer.cache = self.peer._cache()

    def ask(self, query: Query) -> bool:
        return self.peer.semantic(query.vector) == query.answer


KEPT: dict[str, type[Kept]] = {
    kept.name: kept
    for kept in (Semcore, SemcoreSemantic, USearchLoad, USearchView, Mneme, MnemeArchive, GPTCache)
}


def chunks(n: int) -> Iterator[tuple[int, data.Workload]]:
    """The rows in order, with the number of the first; each chunk a workload of its own."""
    for start in range(0, n, CHUNK):
        yield start, _chunk(start, n)


def _chunk(start: int, n: int) -> data.Workload:
    return data.make(min(CHUNK, n - start), DIM, QUERIES, seed=start)


def ready(kept: Kept, n: int, folder: Path) -> None:
    """Build the files in `folder` unless they are there; they get their name when they are whole."""
    path = folder / kept.file
    if not (folder / QUERY_FILE).exists():
        _keep_queries(n, folder)
    if not path.exists():
        part = path.with_name("part-" + path.name)
        _remove(part)
        kept.build(n, part)
        part.rename(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _keep_queries(n: int, folder: Path) -> None:
    """Rows from all over, what is stored for them, and their paraphrases."""
    starts = range(0, n, CHUNK)
    rows, answers, vectors = [], [], []
    for start in starts[:: -(-len(starts) // QUERY_CHUNKS)]:
        w = _chunk(start, n)
        rows += [start + int(row) for row in w.rows]
        answers += [w.response(start + int(row)) for row in w.rows]
        vectors.append(w.hits)
    np.savez(folder / QUERY_FILE, rows=rows, answers=answers, vectors=np.concatenate(vectors))


def query(folder: Path, k: int) -> Query:
    with np.load(folder / QUERY_FILE) as kept:
        k %= len(kept["rows"])
        row = int(kept["rows"][k])
        return Query(row, data.prompt(row), str(kept["answers"][k]), kept["vectors"][k])


def first(kept: type[Kept], n: int, folder: Path, k: int) -> dict[str, Any]:
    """Seconds to open and to ask once; everything is imported and has run in the small before."""
    asked = query(folder, k)
    with tempfile.TemporaryDirectory(prefix="bench-warm-", dir=folder) as small:
        ready(kept(), 64, Path(small))
        _timed(kept(), 64, Path(small), query(Path(small), 0))
    with pinned():
        return _timed(kept(), n, folder, asked)


def _timed(kept: Kept, n: int, folder: Path, asked: Query) -> dict[str, Any]:
    start = time.perf_counter()
    kept.open(n, folder / kept.file)
    opened = time.perf_counter()
    right = kept.ask(asked)
    done = time.perf_counter()
    kept.close()
    return {"open": opened - start, "ask": done - opened, "right": right}


def put(n: int, folder: Path) -> None:
    """Write to semcore's file, saying so after a while, until killed."""
    w = data.make(64, DIM, QUERIES)
    cache = filled.reopen(folder / Semcore.file, DIM)
    for turn in itertools.count():
        filled.put_spare(cache, w, n, turn)
        if turn == filled.SPARE:
            print("going", flush=True)


def main() -> None:
    logging.disable(logging.WARNING)
    command, name, n, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    for module in KEPT[name].needs:
        importlib.import_module(module)
    if command == "build":
        ready(KEPT[name](), n, folder)
    elif command == "first":
        print(json.dumps(first(KEPT[name], n, folder, int(sys.argv[5]))))
    else:
        put(n, folder)
    sys.stdout.flush()
    os._exit(0)  # GPTCache would write its index again


if __name__ == "__main__":
    main()
