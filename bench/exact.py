"""Exact lookups of one text: semcore beside the key-value stores a machine's processes can share.

Every store gets the same texts and answers, and its `ask` is its own lookup in its own loop, up to
the answer as a `str`, so that no adapter is timed.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import data
import filled
from versus import collector_off, pinned, say

KEYS = 500  # lookups inside one timing
TIMINGS = 5  # of a store in a round, of which the median counts
BATCH = 1000  # rows a statement when a store is filled
OURS = "semcore, file"

Times = dict[str, float]  # store: microseconds of a lookup


class Store(Protocol):
    """A filled key-value store."""

    def ask(self, keys: Sequence[str]) -> None:
        """Look up every key; this is what is timed."""
        ...

    def answer(self, key: str) -> str | None: ...

    def close(self) -> None: ...


class Semcore:
    """In a file or, without a path, in private memory; dim 0 is exact-only."""

    def __init__(self, w: data.Workload, path: Path | None, dim: int) -> None:
        self.cache = filled.build(path, w, dim)

    def ask(self, keys: Sequence[str]) -> None:
        get: Callable[[str], Any] = self.cache.get
        for key in keys:
            _ = get(key).value

    def answer(self, key: str) -> str | None:
        hit = self.cache.get(key)
        return hit.value if hit else None

    def close(self) -> None:
        self.cache.close()


class DiskCache:
    def __init__(self, w: data.Workload, folder: Path, **options: Any) -> None:
        self.cache: Any = importlib.import_module("diskcache").Cache(str(folder), **options)
        for batch in _batches(w):
            with self.cache.transact():
                for key, value in batch:
                    self.cache.set(key, value)

    def ask(self, keys: Sequence[str]) -> None:
        get = self.cache.get
        for key in keys:
            get(key)

    def answer(self, key: str) -> str | None:
        found: str | None = self.cache.get(key)
        return found

    def close(self) -> None:
        self.cache.close()


class SQLite:
    """One table, mapped wholly, one statement prepared once.

    WITHOUT ROWID and pages of 16 KiB, because they were the fastest of what was tried (4 to 64 KiB,
    with and without); the usual locks, so that other processes may use the file.
    """

    query = "select value from t where key=?"

    def __init__(self, w: data.Workload, path: Path) -> None:
        base = sqlite3.connect(path, isolation_level=None)
        for pragma in ("page_size=16384", "journal_mode=wal", "synchronous=off", "cache_size=-65536"):
            base.execute(f"pragma {pragma}")
        base.execute(f"pragma mmap_size={w.n * 4096 + (64 << 20)}")
        base.execute("create table t (key text primary key, value text) without rowid")
        for batch in _batches(w):
            base.execute("begin")
            base.executemany("insert into t values (?, ?)", batch)
            base.execute("commit")
        base.execute("pragma wal_checkpoint(truncate)")
        self.base, self.cursor = base, base.cursor()

    def ask(self, keys: Sequence[str]) -> None:
        execute, query = self.cursor.execute, self.query
        for key in keys:
            execute(query, (key,)).fetchone()[0]

    def answer(self, key: str) -> str | None:
        found = self.cursor.execute(self.query, (key,)).fetchone()
        return found[0] if found else None

    def close(self) -> None:
        self.base.close()


class Redis:
    """redis-py on one connection of its own; strings are decoded by it (hiredis if installed)."""

    def __init__(self, w: data.Workload, **where: Any) -> None:
        options = {"decode_responses": True, "single_connection_client": True, **where}
        self.client: Any = importlib.import_module("redis").Redis(**options)
        for batch in _batches(w):
            self.client.mset(dict(batch))

    def ask(self, keys: Sequence[str]) -> None:
        get = self.client.get
        for key in keys:
            get(key)

    def answer(self, key: str) -> str | None:
        found: str | None = self.client.get(key)
        return found

    def close(self) -> None:
        self.client.close()


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[int, str]]:
    """A server that keeps nothing: its port on loopback and the path of its unix socket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = str(folder / "redis.sock")
    options = f"--port {port} --bind 127.0.0.1 --appendonly no --unixsocket {path} --dir {folder}".split()
    process = subprocess.Popen(["redis-server", *options, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        _await_server(process, path)
        yield port, path
    finally:
        process.terminate()
        process.wait(10)


def _await_server(process: subprocess.Popen[bytes], path: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"redis-server did not answer (exit code {process.poll()})")


def stores(w: data.Workload, folder: Path, port: int, socket_path: str) -> dict[str, Callable[[], Store]]:
    """How to make and fill every store, by its name in the report."""
    disk = partial(DiskCache, w)
    tuned = {"eviction_policy": "none", "sqlite_mmap_size": 1 << 30, "sqlite_cache_size": 1 << 14}
    return {
        "semcore, private memory": lambda: Semcore(w, None, 0),
        OURS: lambda: Semcore(w, folder / "exact.semcore", 0),
        "semcore, private memory, d = 384": lambda: Semcore(w, None, w.d),
        "semcore, file, d = 384": lambda: Semcore(w, folder / "vectors.semcore", w.d),
        "SQLite": lambda: SQLite(w, folder / "values.db"),
        "diskcache": lambda: disk(folder / "diskcache"),
        "diskcache, tuned": lambda: disk(folder / "diskcache-tuned", **tuned),
        "Redis, unix socket": lambda: Redis(w, unix_socket_path=socket_path),
        "Redis, TCP": lambda: Redis(w, port=port),
    }


def measure(n: int, rounds: int, parent: Path, only: Sequence[str] = ()) -> Times:
    """Fill and check all stores with n rows, then let them take turns."""
    w = data.make(n, queries=4)
    order = random.Random(0).sample(range(n), n)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-exact-", dir=parent)))
        port, socket_path = stack.enter_context(redis_server(folder))
        built: dict[str, Store] = {}
        for name, make in stores(w, folder, port, socket_path).items():
            if only and name not in only:
                continue
            built[name] = make()
            stack.callback(built[name].close)
            _check(name, built[name], w, order)
            say(f"{name} at {n}: every answer is right")
        with pinned(), collector_off():
            return _take_turns(built, order, rounds)


def _take_turns(built: dict[str, Store], order: list[int], rounds: int) -> Times:
    """Medians over rounds; in a round all are asked the same keys, in an order of their own."""
    samples: dict[str, list[float]] = {name: [] for name in built}
    turns = random.Random(1)
    for turn in range(rounds):
        for name in turns.sample(list(built), len(built)):
            first = turn * TIMINGS
            times = [_time(built[name], order, first + k) for k in range(TIMINGS)]
            samples[name].append(statistics.median(times))
    return {name: statistics.median(times) for name, times in samples.items()}


def _time(store: Store, order: list[int], block: int) -> float:
    """Microseconds of a lookup, the loop included; the texts are new objects."""
    n = len(order)
    keys = [data.prompt(order[(block * KEYS + j) % n]) for j in range(KEYS)]
    start = time.perf_counter_ns()
    store.ask(keys)
    return (time.perf_counter_ns() - start) / KEYS / 1e3


def _check(name: str, store: Store, w: data.Workload, order: list[int]) -> None:
    for i in order:
        if store.answer(data.prompt(i)) != w.response(i):
            raise RuntimeError(f"{name}: wrong or no answer to row {i}")


def _batches(w: data.Workload) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, w.n, BATCH):
        yield [(data.prompt(i), w.response(i)) for i in range(start, min(start + BATCH, w.n))]
