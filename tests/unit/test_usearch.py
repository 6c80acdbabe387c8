"""A partition as a usearch index and back: same vectors, same neighbours, nothing of anybody else."""

import sys
import threading

import numpy as np
import pytest
from conftest import agrees, brute_force, unit
from hypothesis import given
from hypothesis import strategies as st
from usearch_indexes import DIM, OPTIONS, batches_of_two_sizes, fill, linux  # noqa: F401  (a fixture)

import semcore
from semcore import exchange

usearch = pytest.importorskip("usearch.index")


def same_neighbours(cache, index, query, tolerance=1e-5, **where):
    mine = cache.lookup("?", vector=query, nearest=5, **where).candidates
    theirs = index.search(query, 5, exact=True)
    assert [c.similarity for c in mine] == pytest.approx(1 - theirs.distances, abs=tolerance)
    assert cache[int(theirs.keys[0])].similarity == 1.0
    assert {c.id for c in mine[:3]} <= set(theirs.keys.tolist())


# ---- out ----


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
def test_the_index_finds_what_the_cache_finds(batches, storage, rng):
    with semcore.Cache(**OPTIONS, storage=storage) as cache:
        ids = fill(cache, unit(rng, 100, DIM) * 3)
        index = cache.to_usearch()
        assert (index.ndim, len(index), index.metric_kind) == (DIM, 100, usearch.MetricKind.Cos)
        assert set(index.keys[:].tolist()) == set(ids)
        for query in unit(rng, 20, DIM):
            # usearch rounds the query to the index's dtype
            same_neighbours(cache, index, query, 1e-5 if storage == "f32" else 1e-3)
        for id in ids:
            row = index.get(id, dtype="f32")
            assert np.allclose(row / np.linalg.norm(row), cache._vector_at(id), atol=1e-7)


def test_the_graph_finds_them_too(rng):
    """Approximate, and built by several threads: nearly all."""
    with semcore.Cache(**OPTIONS) as cache:
        vectors = unit(rng, 100, DIM)
        ids = fill(cache, vectors)
        index = cache.to_usearch(connectivity=12, expansion_search=100)
        assert index.connectivity == 12
        assert sum(ids[int(index.search(v, 1).keys[0])] == i for i, v in enumerate(vectors)) >= 95


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "f16", "i8"])
@pytest.mark.parametrize("storage", ["f16", "i8"])
def test_every_dtype(dtype, storage, rng):
    with semcore.Cache(**OPTIONS | {"dim": 300, "storage": storage}) as cache:
        ids = fill(cache, unit(rng, 30, 300))
        index = cache.to_usearch(dtype=dtype)
        lost = {"i8": 0 if storage == "i8" else 1e-4, "bf16": 1e-5}.get(dtype, 0)
        for id in ids:
            row = index.get(id, dtype="f32").astype(np.float64)
            assert row @ cache._vector_at(id) / np.linalg.norm(row) > 1 - lost - 1e-6
        query = unit(rng, 300)
        found = dict(index.search(query, 30, exact=True).to_list())
        for similarity, id in brute_force(cache, query):
            assert 1 - found[id] == pytest.approx(similarity, abs=0.02 if dtype == "i8" else 2e-3)


def test_a_partition_is_alone(batches, rng):
    with semcore.Cache(**OPTIONS) as cache:
        vectors = unit(rng, 90, DIM)
        places = [
            {"namespace": "a"},
            {"namespace": "b"},
            {"namespace": "a", "context": {"model": "m"}},
        ]
        for at, where in enumerate(places):
            ids = fill(cache, vectors[at::3], **where)
            index = cache.to_usearch(**where)
            assert set(index.keys[:].tolist()) == set(ids)
            same_neighbours(cache, index, vectors[0], 1e-3, **where)
        assert len(cache.to_usearch()) == 0
        assert len(cache.to_usearch(namespace="a", context="other")) == 0


def test_what_is_gone_or_has_no_vector_is_left_out(batches, cache, clock, rng):
    vectors = unit(rng, 40, DIM)
    ids = fill(cache, vectors[:20])
    for i, v in enumerate(vectors[20:30]):
        cache.put(f"short {i}", i, vector=v, ttl=1)
        cache.put(f"exact {i}", i)
    cache.delete("q3")
    cache.put("q4", "again", vector=vectors[30])
    clock.step(2)
    index = cache.to_usearch()
    assert len(index) == 19
    assert {cache[key].text for key in index.keys[:].tolist()} == {f"q{i}" for i in range(20) if i != 3}
    again = cache.get("q4").id
    assert again not in ids
    assert int(index.search(vectors[30], 1, exact=True).keys[0]) == again


def test_an_empty_partition_and_no_vectors():
    with semcore.Cache(**OPTIONS) as cache:
        assert len(cache.to_usearch()) == 0
        cache.put("q", 1)
        assert len(cache.to_usearch().search(np.ones(DIM, dtype=np.float32), 3)) == 0
    with (
        semcore.Cache(embed=None, max_bytes="1 MiB") as cache,
        pytest.raises(ValueError, match="exact-only"),
    ):
        cache.to_usearch()


@linux
def test_a_saved_index_is_understood_by_a_reopened_file(tmp_path, rng):
    path, vectors = tmp_path / "c.semcore", unit(rng, 50, DIM)
    with semcore.Cache(path, **OPTIONS) as cache:
        fill(cache, vectors)
        cache.to_usearch().save(tmp_path / "c.usearch")
    for view in (False, True):
        index = usearch.Index.restore(tmp_path / "c.usearch", view=view)
        with semcore.Cache(path, embed=None, dim=DIM, read_only=True, threshold=-1.0) as cache:
            for i in range(50):
                hit = cache[int(index.search(vectors[i], 1, exact=True).keys[0])]
                assert (hit.text, hit.value) == (f"q{i}", i)
            assert len(cache.to_usearch()) == 50
        with semcore.Cache.from_usearch(index, values_of(index, path), max_bytes="4 MiB") as copy:
            assert {copy[id].text for id in copy} == {f"q{i}" for i in range(50)}


def values_of(index, path):
    with semcore.Cache(path, embed=None, dim=DIM, read_only=True) as cache:
        return {key: (cache[key].text, cache[key].value) for key in index.keys[:].tolist()}


@linux
def test_damaged_vectors_are_left_out(tmp_path, rng):
    path, vectors = tmp_path / "c.semcore", unit(rng, 20, DIM)
    with semcore.Cache(path, **OPTIONS, storage="f32") as cache:
        fill(cache, vectors)
        stored = cache._vector_at(cache.get("q7").id).tobytes()
        cache.flush()
        with open(path, "r+b") as file:
            at = file.read().find(stored[:24])
            assert at > 0
            file.seek(at)
            file.write(b"\x00\x00\x80\x3f")
        index = cache.to_usearch()
        assert {cache[key].text for key in index.keys[:].tolist()} == {f"q{i}" for i in range(20) if i != 7}
        assert cache.stats().damaged == 1


def test_while_others_write(monkeypatch, rng):
    """What is there all the time is in the index, with its own vector."""
    monkeypatch.setattr(exchange, "BATCH_BYTES", 16 * 4 * DIM)
    vectors = unit(rng, 200, DIM)
    with semcore.Cache(**OPTIONS) as cache:
        ids = fill(cache, vectors[:100])
        stop = threading.Event()

        def write():
            i = 0
            while not stop.is_set():
                cache.put(f"other {i % 50}", i, vector=vectors[100 + i % 100])
                cache.delete(f"other {(i + 25) % 50}")
                i += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(10):
                index = cache.to_usearch(dtype="f32")
                keys = set(index.keys[:].tolist())
                assert set(ids) <= keys
                for id, i in ids.items():
                    assert index.get(id) @ vectors[i] > 0.999
        finally:
            stop.set()
            writer.join()


def test_a_dtype_that_is_none_of_them(cache):
    with pytest.raises(semcore.ConfigError, match="dtype: expected one of f64, f32, bf16, f16, i8, got 'b1'"):
        cache.to_usearch(dtype="b1")


def test_without_the_extra(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch", None)
    for call in (
        cache.to_usearch,
        lambda: cache.put_usearch(None, {}),
        lambda: semcore.Cache.from_usearch(None, {}),
    ):
        with pytest.raises(semcore.ConfigError, match=r"semcore\[usearch\]"):
            call()


# ---- an oracle ----


@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 150),
    dim=st.sampled_from([8, 17, 64, 200]),
    floor=st.floats(-1, 1),
    storage=st.sampled_from(["f16", "f32", "i8"]),
)
def test_usearch_agrees_at_every_threshold(seed, n, dim, floor, storage):
    rng = np.random.default_rng(seed)
    centre = unit(rng, dim) * rng.uniform(0, 2)
    with semcore.Cache(
        embed=None, dim=dim, max_entries=200, max_bytes="4 MiB", storage=storage, threshold=floor
    ) as cache:
        fill(cache, unit(rng, n, dim) + centre)
        index = cache.to_usearch(dtype="f32")
        keys, query = index.keys[:], (unit(rng, dim) + centre).astype(np.float32)
        oracle = usearch.search(np.stack(index.get(keys)), query, n, metric="cos", exact=True)
        expected = [(1 - float(d), int(keys[k])) for k, d in zip(oracle.keys, oracle.distances, strict=True)]
        for top in (1, 12):
            found = cache._nearest(query, "", None, floor, top)
            possible = {id: s for s, id in expected if s >= floor - 1e-5}
            assert {c.id for c in found} <= set(possible)
            assert len(found) >= min(top, sum(s >= floor + 1e-5 for s, _ in expected))
            assert [c.similarity for c in found] == pytest.approx(
                [s for s, _ in expected[: len(found)]], abs=1e-5
            )
        hit = cache.get("?", vector=query)
        assert (hit is None) == (not found)
        if hit is not None:
            assert hit.similarity == pytest.approx(expected[0][0], abs=1e-5)
        agrees(cache._nearest(query, "", None, floor, 12), brute_force(cache, query), floor)
