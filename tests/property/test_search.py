"""The search finds exactly what brute force finds, on every ISA, storage and dimension."""

import numpy as np
import pytest
from conftest import agrees, brute_force, unit
from hypothesis import given
from hypothesis import strategies as st

import semcore
from semcore import _engine

DIMS = [8, 9, 15, 16, 31, 33, 63, 64, 65, 100, 127, 128, 129, 256, 384, 500, 1000, 1536, 4096]


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
@pytest.mark.parametrize("dim", DIMS)
def test_equals_brute_force(isa, dim, storage, rng):
    rows = 150
    with semcore.Cache(
        embed=None, dim=dim, max_entries=rows, max_bytes="16 MiB", storage=storage, threshold=0.5
    ) as cache:
        centres = unit(rng, 5, dim)
        data = unit(rng, rows, dim) * 0.7 + centres[np.arange(rows) % 5]
        for i in range(rows):
            cache.put(f"{i}", i, vector=data[i] * 10.0 ** (i % 7 - 3))
        for _ in range(10):
            query = centres[rng.integers(5)] + 0.5 * unit(rng, dim)
            expected = brute_force(cache, query)
            for floor in (-1.0, 0.3, 0.7, 0.9):
                agrees(cache._nearest(query, "", None, floor, 12), expected, floor)
        assert cache.validate() is None


def test_a_threshold_equal_to_a_similarity_is_a_hit(isa, rng):
    with semcore.Cache(embed=None, dim=24, max_entries=100, max_bytes="1 MiB", threshold=-1.0) as cache:
        for i in range(100):
            cache.put(f"{i}", i, vector=unit(rng, 24))
        for _ in range(200):
            query = unit(rng, 24)
            best = cache.lookup("?", vector=query).candidates[0]
            assert cache.get("?", vector=query, threshold=best.similarity).id == best.id
            above = np.nextafter(best.similarity, 2)
            if above <= 1:
                assert cache.get("?", vector=query, threshold=above) is None


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30, 5e-324, 0.1]), min_size=8, max_size=8),
        min_size=1,
    ),
    st.sampled_from(_engine.isas()),
)
def test_extreme_numbers(rows, isa):
    _engine.set_isa(isa)
    usable = [r for r in (np.array(row, dtype=np.float32) for row in rows) if r.any()]
    with semcore.Cache(embed=None, dim=8, max_entries=50, max_bytes="1 MiB", threshold=0.5) as cache:
        for i, row in enumerate(usable[:50]):
            cache.put(f"{i}", i, vector=row)
        for row in usable[:50]:
            expected = brute_force(cache, row)
            agrees(cache._nearest(row, "", None, -1.0, 12), expected, -1.0)
    _engine.set_isa(None)


@pytest.mark.parametrize("storage", ["f16", "f32"])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 2e-4, 5e-4, 1e-2])
def test_vectors_that_are_nearly_signs(isa, spread, storage):
    """Components of one size: near copies of each other, where rounding decides."""
    rng = np.random.default_rng(3)
    for _ in range(30):
        row = (rng.choice([-1.0, 1.0], 8) * (1 + spread * rng.standard_normal(8))).astype(np.float32)
        with semcore.Cache(
            embed=None, dim=8, max_entries=40, max_bytes="1 MiB", storage=storage, threshold=0
        ) as cache:
            for i in range(40):
                cache.put(f"{i}", i, vector=row)
            stored = cache._vector_at(next(iter(cache)))
            for _ in range(20):
                query = stored + rng.choice([1e-4, 1e-3, 1e-2]) * rng.standard_normal(8).astype(np.float32)
                best = cache.lookup("?", vector=query).candidates[0].similarity
                assert len(cache._nearest(query, "", None, best, 64)) == 40


def test_usearch_agrees(rng):
    from usearch.index import search as exact_search

    data = unit(rng, 3000, 96)
    with semcore.Cache(
        embed=None, dim=96, max_entries=3000, max_bytes="16 MiB", storage="f32", threshold=0
    ) as cache:
        ids = [cache.put(f"{i}", i, vector=row) for i, row in enumerate(data)]
        for query in unit(rng, 20, 96):
            oracle = exact_search(data, query, 12, metric="cos", exact=True)
            found = cache._nearest(query, "", None, -1.0, 12)
            assert [c.similarity for c in found] == pytest.approx(1 - oracle.distances, abs=1e-5)
            assert {c.id for c in found[:6]} <= {ids[k] for k in oracle.keys}


def test_nothing_hides_the_live_ones(cache, clock, rng):
    """Many dead, expired and foreign neighbours nearer than the one that may be served."""
    near = unit(rng, 16)
    for i in range(50):
        cache.put(f"expired {i}", i, vector=near, ttl=1)
        cache.put(f"foreign {i}", i, vector=near, namespace="other")
        cache.delete(id=cache.put(f"deleted {i}", i, vector=near))
    wanted = cache.put("live", "answer", vector=near + 0.05 * unit(rng, 16))
    clock.step(2)
    assert cache.get("?", vector=near).id == wanted
