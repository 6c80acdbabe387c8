"""pytest-benchmark: semcore's own operations, and those of every peer that is installed.

    python -m pytest bench --benchmark-only

A peer that answers wrongly is not timed. Short operations loop inside the benched function, and the
reported time is divided: `extra_info["us"]` holds the microseconds of one operation.
"""

import itertools
import time

import data
import numpy as np
import peers as side
import pytest
from check import check

import semcore

SIZES = [1_000, 10_000, 100_000]
PEERS = side.available()


def bench(benchmark, operations, rounds=15):
    """Times a list of no-argument calls as one; the median of an operation goes to extra_info."""

    def run():
        for operation in operations:
            operation()

    benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=1)
    benchmark.extra_info["us"] = benchmark.stats.stats.median / len(operations) * 1e6


@pytest.fixture(scope="module", params=[1_000, 10_000])
def workload(request):
    return data.make(request.param)


@pytest.fixture(scope="module", params=sorted(PEERS))
def peer(request, workload):
    built = PEERS[request.param]()
    built.build(workload)
    wrong = check(built, workload)
    if wrong:
        built.close()
        pytest.skip(f"{request.param} answers wrongly: {wrong}")
    yield built
    built.close()


@pytest.mark.parametrize("kind", ["hits", "misses"])
def test_semantic(benchmark, peer, workload, kind):
    benchmark.group = f"semantic {kind}, {workload.n:,} entries"
    queries = getattr(workload, kind)[:50]
    bench(benchmark, [lambda q=q: peer.semantic(q) for q in queries], rounds=5)


def test_exact_hit(benchmark, peer, workload):
    if not peer.exact:
        pytest.skip(f"{peer.name} has no exact layer")
    benchmark.group = f"exact hit, {workload.n:,} entries"
    bench(benchmark, [lambda i=i: peer.exact_hit(i) for i in range(500)])


# ---- semcore alone ----


def turned_over(n: int, turns: int) -> semcore.Cache:
    """A full cache of n entries, every slot of which was replaced `turns` times by eviction."""
    cache = semcore.Cache(embed=None, dim=384, max_entries=n, max_bytes=n * 4096 + (1 << 20), threshold=0.85)
    for turn, start in itertools.product(range(turns + 1), range(0, n, 10_000)):
        w = data.make(min(10_000, n - start), queries=1, seed=1000 * turn + start)
        for i, vector in enumerate(w.vectors):
            cache.put(f"{turn} {start + i}", w.response(i), vector=vector)
    return cache


@pytest.mark.parametrize("turns", [0, 3])
@pytest.mark.parametrize("n", SIZES)
def test_semcore_hit(benchmark, n, turns):
    benchmark.group = f"semcore: semantic hit, {n:,} entries, fresh and turned over three times"
    rng = np.random.default_rng(0)
    with turned_over(n, turns) as cache:
        assert len(cache) == n
        ids = rng.permutation(list(cache))[:50].tolist()
        rows = [cache._vector_at(id) for id in ids]
        queries = [row + 0.0166 * rng.standard_normal(384).astype(np.float32) for row in rows]
        assert [cache.get("?", vector=q).id for q in queries] == ids
        bench(benchmark, [lambda q=q: cache.get("?", vector=q) for q in queries])


@pytest.mark.parametrize("what", ["hit", "miss"])
@pytest.mark.parametrize("kind", [str, bytes])
def test_semcore_exact(benchmark, what, kind):
    benchmark.group = "semcore: exact, 10,000 entries, 800-byte answers"
    with semcore.Cache(embed=None, max_entries=10_000, max_bytes="64 MiB") as cache:
        for i in range(10_000):
            cache.put(f"question {i}", "x" * 800 if kind is str else b"x" * 800)
        keys = [f"question {i}" if what == "hit" else f"other {i}" for i in range(1000)]
        get = cache.get

        def run():
            for key in keys:
                get(key)

        benchmark.pedantic(run, rounds=50, warmup_rounds=2)
        benchmark.extra_info["us"] = benchmark.stats.stats.median / len(keys) * 1e6


@pytest.mark.parametrize("policy", ["value", "lru", "lfu"])
def test_semcore_put_with_eviction(benchmark, policy):
    benchmark.group = "semcore: put into a full cache, d = 384, 800-byte answers"
    w = data.make(2_000)
    numbers = itertools.count()
    with semcore.Cache(embed=None, dim=384, max_entries=1_000, max_bytes="8 MiB", policy=policy) as cache:
        texts, answer = [w.text(i) for i in range(w.n)], w.response(0)

        def run():
            for _ in range(1_000):
                i = next(numbers) % w.n
                cache.put(texts[i], answer, vector=w.vectors[i])

        benchmark.pedantic(run, rounds=15, warmup_rounds=2)
        assert cache.stats().evictions > 1_000
        benchmark.extra_info["us"] = benchmark.stats.stats.median / 1_000 * 1e6


@pytest.mark.parametrize("entries", [3, 1_000])
def test_semcore_small_partition_among_many(benchmark, entries):
    """What a partition of so many entries costs when others hold the rest of 100,000."""
    benchmark.group = "semcore: a partition among 100,000 entries of others"
    w = data.make(1_000)
    with semcore.Cache(
        embed=None, dim=384, max_entries=100_000, max_bytes="512 MiB", threshold=0.85
    ) as cache:
        for i in range(100_000 - entries):
            cache.put(f"{i}", "x", namespace=f"{i % 500}", vector=w.vectors[i % w.n])
        for i in range(entries):
            cache.put(f"{i}", "x", namespace="ours", vector=w.vectors[i])
        bench(benchmark, [lambda q=q: cache.get("?", namespace="ours", vector=q) for q in w.misses[:50]])


class PythonGet(semcore.Cache):
    """`get` with a Python frame around the same native lookup: what it would cost."""

    def get(self, text, *, namespace="", context=None, vector=None, threshold=None):
        floor = self.threshold if threshold is None else self._floor(threshold)
        hit = self._get_exact(text, namespace, context, floor, True)
        return hit if hit is not None else self._by_meaning(text, namespace, context, vector, floor)


def test_semcore_native_get(benchmark):
    """Interleaved: extra_info has both medians in microseconds and their ratio."""
    benchmark.group = "semcore: exact hit, native and with a Python method in between"
    keys = [f"question {i}" for i in range(1000)]
    kinds = {"native": semcore.Cache, "python": PythonGet}
    caches = {name: make(embed=None, max_entries=1000, max_bytes="8 MiB") for name, make in kinds.items()}
    for cache, key in itertools.product(caches.values(), keys):
        cache.put(key, "x" * 800)
    times = {name: [] for name in caches}

    def run():
        for name, cache in caches.items():
            get = cache.get
            start = time.perf_counter_ns()
            for key in keys:
                get(key)
            times[name].append((time.perf_counter_ns() - start) / len(keys) / 1e3)

    benchmark.pedantic(run, rounds=60, warmup_rounds=3)
    medians = {name: float(np.median(t)) for name, t in times.items()}
    benchmark.extra_info.update(us=medians["native"], python_us=medians["python"])
    benchmark.extra_info["ratio"] = medians["python"] / medians["native"]
