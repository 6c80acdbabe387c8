"""Nothing found in one partition comes from another, and a small one is cheap to search."""

import numpy as np
import pytest
from conftest import unit
from hypothesis import given
from hypothesis import strategies as st

import semcore


def test_identical_texts_and_vectors_in_thousands_of_partitions(rng):
    vector = unit(rng, 16)
    with semcore.Cache(embed=None, dim=16, max_entries=5000, max_bytes="16 MiB") as cache:
        for i in range(4000):
            cache.put("q", i, namespace=f"tenant {i // 4}", context=i % 4, vector=vector)
        for i in range(4000):
            where = {"namespace": f"tenant {i // 4}", "context": i % 4}
            assert cache.get("q", **where).value == i
            assert cache.get("other words", vector=vector, **where).value == i
            assert len(cache.lookup("other words", vector=vector, **where).candidates) == 1
        assert cache.get("q", namespace="tenant 0", context=4) is None
        assert cache.get("other words", namespace="nobody", vector=vector) is None
        assert cache.validate() is None


def test_lengths_are_part_of_the_key(cache):
    cache.put("q", 1, namespace="ab", context="c")
    assert cache.get("q", namespace="a", context="bc") is None
    assert cache.get("q", namespace="abc") is None
    cache.put("bc", 2, namespace="a")
    assert cache.get("c", namespace="ab") is None


def test_contexts_compare_by_content(cache):
    cache.put("q", 1, context={"model": "m", "tools": [{"b": 1, "a": 2}], "t": 0.5})
    assert cache.get("q", context={"t": 0.5, "tools": [{"a": 2, "b": 1}], "model": "m"}).value == 1
    assert cache.get("q", context={"t": 0.25, "tools": [{"a": 2, "b": 1}], "model": "m"}) is None
    cache.put("q", 2, context="x")
    assert cache.get("q", context=b"x") is None
    assert cache.get("q", context="x").value == 2
    assert cache.get("q", context="") is None
    cache.put("q", 3)
    assert cache.get("q", context="") is None


@given(st.tuples(*[st.text(max_size=6)] * 3), st.tuples(*[st.text(max_size=6)] * 3))
def test_only_equal_triples_meet(a, b):
    with semcore.Cache(embed=None, max_entries=4, max_bytes="1 MiB") as cache:
        cache.put(a[2], "found", namespace=a[0], context=a[1])
        assert (cache.get(b[2], namespace=b[0], context=b[1]) is not None) == (a == b)


def test_clearing_a_namespace_leaves_the_others(cache):
    for ns in ("a", "b"):
        for i in range(5):
            cache.put(f"{i}", ns, namespace=ns, context=i, tags=["t"])
    assert cache.invalidate("t", namespace="nobody") == 0
    assert cache.clear("a") == 5
    assert len(cache) == 5
    assert cache.get("3", namespace="b", context=3).value == "b"
    assert cache.invalidate("t", namespace="b") == 5
    assert len(cache) == 0


def test_a_partition_grows_and_shrinks(rng):
    """Small ones are walked by their links, large ones scanned: both ways find the same."""
    with semcore.Cache(embed=None, dim=16, max_entries=2000, max_bytes="8 MiB", threshold=0.5) as cache:
        for i in range(1500):
            cache.put(f"bulk {i}", i, namespace="bulk", vector=unit(rng, 16))
        ids, rows = [], unit(rng, 120, 16)
        for i, row in enumerate(rows):
            ids.append(cache.put(f"{i}", i, namespace="small", vector=row))
            best = int(np.argmax(rows[: i + 1] @ rows[i // 2]))
            assert cache.get("?", namespace="small", vector=rows[i // 2]).id == ids[best]
        for i in range(119):
            cache.delete(id=ids[i])
            assert cache.get("?", namespace="small", vector=rows[119]).id == ids[119]
        assert cache.validate() is None


def test_many_tenants_cost_a_small_one_nothing(rng):
    """Work is counted in bytes that a search reads, not in time."""
    row = 32  # of a 4-bit plane at dim 16
    with semcore.Cache(embed=None, dim=16, max_entries=20_000, max_bytes="32 MiB") as cache:
        for i in range(20_000):
            cache.put(f"{i}", i, namespace=f"{i % 2000}", vector=unit(rng, 16))
        found = cache.lookup("?", namespace="7", vector=unit(rng, 16), nearest=64)
        assert len(found.candidates) == 10
        assert {cache[c.id].value % 2000 for c in found.candidates} == {7}
        assert cache._work("7", None) == 10 * row
        assert cache._work("nobody", None) == 0
        cache.clear("7")
        for i in range(3):
            cache.put(f"{i}", i, namespace="three", vector=unit(rng, 16))
        assert cache._work("three", None) == 3 * row
        for i in range(2000):
            cache.put(f"{i}", i, namespace="large", vector=unit(rng, 16))
        assert cache._work("large", None) <= 2000 * row + 4 * 20_000  # its rows, and a tag of each row


def test_bytes_namespaces(cache):
    cache.put("q", 1, namespace=b"\xff")
    assert cache.get("q", namespace=b"\xff").value == 1
    with pytest.raises(TypeError, match="namespace"):
        cache.get("q", namespace=3.5)
