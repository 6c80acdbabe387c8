"""A partition as a usearch index and back: same vectors, same neighbours, nothing of anybody else."""

import os
import sys
import threading

import numpy as np
import pytest
from conftest import agrees, brute_force, unit
from hypothesis import given
from hypothesis import strategies as st

import semcore
from semcore import exchange

usearch = pytest.importorskip("usearch.index")
DIM = 16
OPTIONS = {"embed": None, "dim": DIM, "max_entries": 300, "max_bytes": "4 MiB", "threshold": -1.0}
linux = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")


def fill(cache, vectors, **where) -> dict[int, int]:
    """An entry a vector; which id is which vector's."""
    return {cache.put(f"q{i}", i, vector=v, **where): i for i, v in enumerate(vectors)}


def index_of(vectors, keys=None, **options):
    index = usearch.Index(**{"ndim": vectors.shape[1], "metric": "cos", "dtype": "f32"} | options)
    index.add(np.arange(len(vectors), dtype=np.uint64) if keys is None else np.asarray(keys), vectors)
    return index


def same_neighbours(cache, index, query, tolerance=1e-5, **where):
    mine = cache.lookup("?", vector=query, nearest=5, **where).candidates
    theirs = index.search(query, 5, exact=True)
    assert [c.similarity for c in mine] == pytest.approx(1 - theirs.distances, abs=tolerance)
    assert cache[int(theirs.keys[0])].similarity == 1.0
    assert {c.id for c in mine[:3]} <= set(theirs.keys.tolist())


@pytest.fixture(params=[1 << 30, 7 * 4 * DIM], ids=["one batch", "batches of 7"])
def batches(request, monkeypatch):
    monkeypatch.setattr(exchange, "BATCH_BYTES", request.param)


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


# ---- in ----


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "i8"])
def test_a_cache_of_an_index(batches, dtype, rng):
    vectors = unit(rng, 60, DIM)
    keys = rng.permutation(60).astype(np.uint64) * 1000 + 2**63
    index = index_of(vectors, keys, dtype=dtype)
    values = {int(key): (f"q{i}", {"answer": i}) for i, key in enumerate(keys)}
    with semcore.Cache.from_usearch(
        index,
        values,
        namespace="n",
        context=1,
        max_entries=100,
        max_bytes="4 MiB",
        threshold=0.9,
        storage="f32",
    ) as cache:
        assert (cache.dim, cache.threshold, len(cache), cache.embedder) == (DIM, 0.9, 60, None)
        for i, (key, vector) in enumerate(zip(keys, vectors, strict=True)):
            hit = cache.get("?", vector=vector, namespace="n", context=1)
            assert (hit.value, hit.text) == ({"answer": i}, f"q{i}")
            kept = index.get(int(key), dtype="f32")
            assert np.allclose(cache._vector_at(hit.id), kept / np.linalg.norm(kept), atol=1e-6)
        assert cache.get("q1") is None
        assert cache.validate() is None


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
def test_out_and_in_changes_no_vector(storage, rng):
    with semcore.Cache(**OPTIONS, storage=storage) as cache:
        ids = fill(cache, unit(rng, 50, DIM))
        dtype = "i8" if storage == "i8" else None
        with semcore.Cache.from_usearch(
            cache.to_usearch(dtype=dtype), lambda id: (cache[id].text, cache[id].value),
            storage=storage, max_bytes="4 MiB", threshold=-1.0,
        ) as copy:  # fmt: skip
            for id, i in ids.items():
                other = copy.get(f"q{i}")
                assert other.value == i
                assert np.allclose(copy._vector_at(other.id), cache._vector_at(id), atol=1e-7)


@linux
def test_a_file_appears_whole_or_not_at_all(tmp_path, rng):
    index, path = index_of(unit(rng, 5, DIM)), tmp_path / "c.semcore"
    values = {i: (f"q{i}", i) for i in range(5)}
    with pytest.raises(TypeError, match="value"):
        semcore.Cache.from_usearch(index, values | {4: ("q4", object())}, path, max_bytes="4 MiB")
    with pytest.raises(ValueError, match="threshold"):
        semcore.Cache.from_usearch(index, values, path, threshold=2)
    assert os.listdir(tmp_path) == []
    with semcore.Cache.from_usearch(index, values, path, max_entries=10, max_bytes="4 MiB") as cache:
        assert len(cache) == 5
        cache.put("more", 1)
    assert os.listdir(tmp_path) == ["c.semcore"]
    with semcore.Cache(path, embed=None, dim=DIM) as cache:
        assert (cache.get("q3").value, cache.stats().max_entries) == (3, 10)
    with pytest.raises(semcore.ConfigError, match="exists; put_usearch"):
        semcore.Cache.from_usearch(index, values, path)


def test_lookups_by_text_with_the_embedder(rng):
    table = {f"q{i}": row for i, row in enumerate(unit(rng, 5, DIM))}

    def embed(text):
        return table.get(text, table["q2"])

    index, values = index_of(np.stack(list(table.values()))), {i: (f"q{i}", i) for i in range(5)}
    with semcore.Cache.from_usearch(index, values, embed=embed, max_bytes="4 MiB") as cache:
        assert (cache.get("other words").value, cache.embedder.dim) == (2, DIM)
    with pytest.raises(ValueError, match="index: its vectors have 16 dimensions, the cache's 256"):
        semcore.Cache.from_usearch(index, values, embed="default")


def test_one_index_a_partition(cache, clock, rng):
    vectors = unit(rng, 10, DIM)
    for tenant in ("a", "b"):
        values = {i: (f"q{i}", f"{tenant}{i}") for i in range(10)}
        stored = cache.put_usearch(
            index_of(vectors), values, namespace=tenant, tags=["moved"], ttl=10, tokens=5
        )
        assert stored == 10
    assert cache.get("?", vector=vectors[4], namespace="b").value == "b4"
    assert cache.get("?", vector=vectors[4], namespace="b").saving.tokens == 5
    assert cache.invalidate("moved", namespace="a") == 10
    assert len(cache.to_usearch(namespace="b")) == 10
    clock.step(11)
    assert len(cache.to_usearch(namespace="b")) == 0


def test_a_callable_may_leave_keys_out(batches, cache, rng):
    index = index_of(unit(rng, 20, DIM))
    assert cache.put_usearch(index, lambda key: None if key % 2 else (f"q{key}", key)) == 10
    assert sorted(cache[id].value for id in cache) == list(range(0, 20, 2))
    assert cache.put_usearch(index, lambda key: ("one text", key)) == 20
    assert len(cache) == 11


def test_an_empty_index(cache):
    assert cache.put_usearch(usearch.Index(ndim=DIM), {}) == 0
    assert len(cache) == 0


def test_ip_is_taken_as_cosine(cache, rng):
    vectors = unit(rng, 10, DIM)
    assert cache.put_usearch(index_of(vectors, metric="ip"), lambda key: (f"q{key}", key)) == 10
    assert cache.get("?", vector=vectors[6]).value == 6


def test_removed_keys_stay_out(cache, rng):
    index = index_of(unit(rng, 10, DIM))
    index.remove(3)
    values = {i: (f"q{i}", i) for i in range(10) if i != 3}
    assert cache.put_usearch(index, values) == 9


def test_too_many_for_the_cache(rng):
    index, values = index_of(unit(rng, 20, DIM)), {i: (f"q{i}", i) for i in range(20)}
    with pytest.raises(
        semcore.CapacityError, match="index: holds 20 vectors, the cache at most max_entries=10"
    ):
        semcore.Cache.from_usearch(index, values, max_entries=10, max_bytes="4 MiB")
    with semcore.Cache(**OPTIONS | {"max_entries": 25}) as cache:
        for i in range(10):
            cache.put(f"before {i}", i)
        with pytest.warns(RuntimeWarning, match="5 entries were evicted") as seen:
            assert cache.put_usearch(index, values) == 20
        assert seen[0].filename == __file__


# ---- bad arguments ----


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ndim": DIM + 1}, "index: its vectors have 17 dimensions, the cache's 16"),
        ({"metric": "l2sq"}, "index: expected the metric cos or ip, got MetricKind.L2sq"),
        (
            {"enable_key_lookups": False},
            "index: gives no vector of key .: it was made with enable_key_",
        ),
    ],
)
def test_an_index_that_does_not_fit(cache, rng, options, why):
    dim = options.get("ndim", DIM)
    with pytest.raises(ValueError, match=why):
        cache.put_usearch(index_of(unit(rng, 3, dim), **options), lambda key: ("q", key))
    assert len(cache) == 0


def test_several_vectors_of_a_key(cache, rng):
    index = index_of(unit(rng, 3, DIM), [1, 2, 3], multi=True)
    assert cache.put_usearch(index, lambda key: (f"q{key}", key)) == 3
    index.add(2, unit(rng, DIM))
    with pytest.raises(ValueError, match="index: expected one vector a key"):
        cache.put_usearch(index, lambda key: ("q", key))


@pytest.mark.parametrize("index", [None, [[1.0] * DIM], np.ones((2, DIM)), "c.usearch"])
def test_no_index(cache, index):
    with pytest.raises(TypeError, match=r"index: expected a usearch\.index\.Index, got"):
        cache.put_usearch(index, {})
    with pytest.raises(TypeError, match=r"index: expected a usearch\.index\.Index, got"):
        semcore.Cache.from_usearch(index, {})


def test_keys_without_a_value(cache, rng):
    index = index_of(unit(rng, 10, DIM), range(100, 110))
    values = dict.fromkeys(range(100, 107), ("q", 1))
    first = next(key for key in index.keys[:].tolist() if key not in values)
    with pytest.raises(ValueError, match=f"values: 3 of the index's 10 keys have none, the first is {first}"):
        cache.put_usearch(index, values)
    assert len(cache) == 0


@pytest.mark.parametrize("values", [None, [("q", 1)], "text", 7])
def test_values_that_are_none(cache, rng, values):
    with pytest.raises(TypeError, match="values: expected a mapping or a callable"):
        cache.put_usearch(index_of(unit(rng, 1, DIM)), values)


@pytest.mark.parametrize("pair", ["qa", ("q",), ("q", 1, 2), 5, {"q": 1}])
def test_a_value_that_is_no_pair(cache, rng, pair):
    with pytest.raises(TypeError, match=r"values: expected \(text, value\)") as error:
        cache.put_usearch(index_of(unit(rng, 1, DIM), [77]), {77: pair})
    assert error.value.__notes__ == ["at key 77 of the index"]


def test_an_error_on_the_way_names_the_key(cache, rng):
    index = index_of(unit(rng, 10, DIM))
    with pytest.raises(TypeError, match="text: expected str or bytes") as error:
        cache.put_usearch(index, {i: (f"q{i}" if i != 6 else 6, i) for i in range(10)})
    assert error.value.__notes__ == ["at key 6 of the index"]
    assert len(cache) == index.keys[:].tolist().index(6)

    def broken(key):
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"):
        cache.put_usearch(index, broken)


def test_a_vector_that_is_zero(cache, rng):
    vectors = unit(rng, 3, DIM)
    vectors[1] = 0
    with pytest.raises(ValueError, match="index: the vector of key 1 is zero or not finite"):
        cache.put_usearch(index_of(vectors), lambda key: (f"q{key}", key))
    assert len(cache) == 0


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
