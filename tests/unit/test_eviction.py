"""Who goes when there is no room."""

import numpy as np
import pytest

import semcore


def small(policy, entries=10, **options):
    return semcore.Cache(embed=None, max_entries=entries, max_bytes="1 MiB", policy=policy, **options)


def test_lru_drops_the_longest_unused():
    with small("lru") as cache:
        for i in range(10):
            cache.put(f"{i}", i)
        for i in (0, 1, 2):
            cache.get(f"{i}")
        for i in range(10, 17):
            cache.put(f"{i}", i)
        assert {cache[id].value for id in cache} == {0, 1, 2, *range(10, 17)}


def test_lfu_keeps_what_is_asked_often_and_forgets_in_time():
    with small("lfu") as cache:
        cache.put("often", 1)
        for _ in range(20):
            cache.get("often")
        for i in range(30):
            cache.put(f"{i}", i)
        assert "often" in cache
        cache.put("later", 2)
        for _ in range(3000):  # half-life is 16 capacities: 160 accesses
            cache.get("later")
        for i in range(30):
            cache.put(f"new {i}", i)
        assert "often" not in cache


def test_value_keeps_what_saves_most_per_byte():
    with small("value") as cache:
        cache.put("dear", b"x" * 100, tokens=5000)
        cache.put("cheap and large", b"x" * 20_000, tokens=10)
        for i in range(9):
            cache.put(f"{i}", b"x" * 100, tokens=200)
        assert "dear" in cache
        assert "cheap and large" not in cache


@pytest.mark.parametrize(("policy", "least", "most"), [("value", 25, 30), ("lfu", 0, 5)])
def test_value_remembers_what_went(policy, least, most):
    """Keys that were asked for often and then went come back with their hits; lfu has no such history."""
    with small(policy, entries=1000) as cache:
        popular = [f"popular {i}" for i in range(30)]
        for key in popular:
            cache.put(key, 1)
            for _ in range(15):
                cache.get(key)
            cache.delete(key)
        for key in popular:
            cache.put(key, 1)
        for i in range(5000):
            cache.put(f"once {i}", 1)
        assert least <= sum(key in cache for key in popular) <= most


def test_a_large_value_pushes_out_as_many_as_it_needs():
    with semcore.Cache(embed=None, max_entries=100, max_bytes=100_000, policy="lru") as cache:
        for i in range(100):
            cache.put(f"{i}", b"x" * 400)
        full = cache.stats()
        cache.put("large", b"y" * 30_000)
        assert cache.get("large").value == b"y" * 30_000
        assert cache.stats().entries < full.entries
        assert cache.get("99") is not None
        assert cache.validate() is None


@pytest.mark.parametrize("policy", ["lru", "lfu", "value"])
def test_a_scan_of_new_keys_leaves_the_working_set(policy):
    """Sampled victims on 500 slots: hot keys stay under a stream of one-off keys."""
    rng = np.random.default_rng(0)
    with small(policy, entries=500) as cache:
        hits = 0
        for i in range(20_000):
            key = f"hot {rng.integers(200)}" if i % 2 else f"once {i}"
            if cache.get(key):
                hits += 1
            else:
                cache.put(key, 1)
        assert hits > {"lru": 7000, "lfu": 9000, "value": 9000}[policy]


def test_eviction_of_one_answer_only_by_need():
    with small("lru", entries=1) as cache:
        cache.put("a", 1)
        cache.put("a", 2)
        assert cache.stats().evictions == 0
        cache.put("b", 3)
        assert (cache.stats().evictions, "a" in cache, cache.get("b").value) == (1, False, 3)
