"""A cache of a usearch index: its vectors, with values from elsewhere; what does not fit is refused."""

import os

import numpy as np
import pytest
from conftest import unit
from usearch_indexes import DIM, OPTIONS, batches_of_two_sizes, fill, index_of, linux  # noqa: F401  (a fixture)

import semcore

usearch = pytest.importorskip("usearch.index")


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
