"""The Python API, one behaviour a test."""

import numpy as np
import pytest
from conftest import unit

import semcore


@pytest.mark.parametrize(
    "text", ["", "a", b"", b"a", "ä" * 100, "\ud800\udfff", "\0", b"\xff\x00", "x" * 100_000, "🦜", "\u2028"]
)
def test_keys_of_any_content(cache, text):
    cache.put(text, "answer")
    assert cache.get(text).value == "answer"
    assert cache.get(text).layer == "exact"
    assert text in cache


def test_str_and_bytes_are_different_keys(cache):
    cache.put("a", "str")
    cache.put(b"a", "bytes")
    assert (cache.get("a").value, cache.get(b"a").value) == ("str", "bytes")


@pytest.mark.parametrize(
    "value",
    [
        "",
        b"",
        "text",
        b"\0raw",
        "ä\ud800",
        None,
        True,
        7,
        -(2**40),
        1.5,
        [1, [2]],
        {"a": {"b": None}},
        {1: "x"},
    ],
)
def test_values_come_back(cache, value):
    cache.put("q", value)
    got = cache.get("q").value
    assert got == value
    assert type(got) is type(value)


def test_what_comes_out_is_a_copy(cache):
    answer = {"steps": [1]}
    cache.put("q", answer)
    answer["steps"].append(2)
    cache.get("q").value["steps"].append(3)
    assert cache.get("q").value == {"steps": [1]}


def test_a_hit_reports_itself(cache, clock, rng):
    vector = unit(rng, 16)
    id = cache.put("the question", "answer", vector=vector, tokens=120, cost=0.25, latency_ms=900.5)
    clock.step(3)
    hit = cache.get("other words", vector=vector + 0.02 * unit(rng, 16))
    assert (hit.layer, hit.id, hit.text, hit.value) == ("semantic", id, "the question", "answer")
    assert 0.9 <= hit.similarity < 1
    assert hit.threshold == 0.9
    assert hit.age == pytest.approx(3)
    assert hit.saving == (120, 0.25, 900.5)
    exact = cache.get("the question")
    assert (exact.layer, exact.similarity, exact.id) == ("exact", 1.0, id)
    assert "semantic" in repr(hit)


def test_a_miss_says_why(cache, rng):
    vector = unit(rng, 16)
    assert "nothing to compare" in cache.lookup("q", vector=vector).reason
    id = cache.put("stored", 1, vector=vector)
    far = vector + 1.5 * unit(rng, 16)
    found = cache.lookup("q", vector=far)
    assert found.hit is None
    assert (found.candidates[0].id, found.candidates[0].text) == (id, "stored")
    assert found.reason.startswith(
        f"the nearest entry's similarity {found.candidates[0].similarity:.4f} is below"
    )
    assert cache.lookup("q").reason == "not stored, and no vector to compare by"
    assert cache.lookup("stored").reason == "exact hit"


def test_candidates_are_best_first_and_twelve(cache, rng):
    vector = unit(rng, 16)
    for i in range(30):
        cache.put(f"{i}", i, vector=vector + i * 0.02 * unit(rng, 16))
    found = cache.lookup("q", vector=vector)
    assert len(found.candidates) == 12
    assert found.hit.id == found.candidates[0].id
    similarities = [c.similarity for c in found.candidates]
    assert similarities == sorted(similarities, reverse=True)


def test_putting_again_replaces(cache):
    first = cache.put("q", 1)
    second = cache.put("q", 2)
    assert first != second
    assert (cache.get("q").value, len(cache)) == (2, 1)


def test_a_call_may_raise_the_threshold_never_lower_it(cache, rng):
    vector = unit(rng, 16)
    cache.put("q", 1, vector=vector)
    near = vector + 0.1 * unit(rng, 16)
    assert cache.get("r", vector=near) is not None
    assert cache.get("r", vector=near, threshold=0.9999) is None
    with pytest.raises(ValueError, match=r"threshold: 0.5 is below the cache's own 0.9"):
        cache.get("r", vector=near, threshold=0.5)


def test_many_at_a_time():
    def embed(text):
        calls.append([text])
        return vectors[text]

    def many(texts):
        calls.append(list(texts))
        return [vectors[t] for t in texts]

    calls = []
    vectors = {t: np.eye(8, dtype=np.float32)[i] for i, t in enumerate("abcd")} | {"A": np.eye(8)[0] + 0.01}
    embed.embed_many, embed.dim, embed.fingerprint = many, 8, "test"
    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        ids = cache.put_many([("a", 1), ("b", 2)], tags=["t"])
        assert [cache[i].value for i in ids] == [1, 2]
        hits = cache.get_many(["a", "A", "d", b"raw"])
        assert [h and (h.value, h.layer) for h in hits] == [(1, "exact"), (1, "semantic"), None, None]
        assert calls == [["a", "b"], ["A", "d"]]
        assert cache.stats().misses == 2
        own = [np.eye(8)[5], None]
        cache.put_many([("e", 5), ("f", 6)], vectors=own, tags=(t for t in ["g"]))
        assert [h and h.value for h in cache.get_many(["E", "F"], vectors=own)] == [5, None]
        assert cache.invalidate("g") == 2
        with pytest.raises(ValueError, match="vectors: expected 2, got 1"):
            cache.put_many([("e", 5), ("f", 6)], vectors=own[:1])


def test_a_mapping_where_it_fits(cache):
    ids = {cache.put(f"{i}", i) for i in range(5)}
    assert (set(cache), len(cache)) == (ids, 5)
    assert all(id in cache for id in cache)
    gone = ids.pop()
    del cache[gone]
    assert gone not in set(cache)
    with pytest.raises(KeyError):
        cache[gone]
    with pytest.raises(KeyError):
        del cache[gone]
    assert 7 not in cache


def test_delete(cache):
    id = cache.put("q", 1)
    cache.put("r", 2, namespace="n", context="c")
    assert cache.delete("q")
    assert not cache.delete("q")
    assert not cache.delete(id=id)
    assert not cache.delete("r")
    assert cache.delete("r", namespace="n", context="c")
    with pytest.raises(ValueError, match="either a text or id="):
        cache.delete()


def test_an_id_is_never_used_again(cache):
    seen = set()
    for _ in range(300):
        id = cache.put("q", 1)
        assert id not in seen
        seen.add(id)
    assert cache[id].value == 1


def test_the_ledger(cache, rng):
    cache.put("q", "x", vector=unit(rng, 16), tokens=10, cost=0.5, latency_ms=20)
    for _ in range(3):
        cache.get("q")
    cache.get("nothing")
    s = cache.stats()
    assert (s.hits_exact, s.hits_semantic, s.misses, s.puts, s.hits) == (3, 0, 1, 1, 3)
    assert (s.tokens, s.latency_ms) == (30, 60.0)
    assert s.cost == pytest.approx(1.5)
    assert s.hit_ratio == 0.75
    assert "q" in cache
    assert cache.stats().hits_exact == 3


def test_texts_need_not_be_stored(rng):
    with semcore.Cache(embed=None, dim=16, max_entries=10, max_bytes="1 MiB", store_text=False) as cache:
        vector = unit(rng, 16)
        cache.put("secret question", 1, vector=vector)
        assert cache.get("secret question").value == 1
        assert cache.get("?", vector=vector).text is None


def test_explain():
    table = {"a": np.eye(8)[0], "b": np.eye(8)[0] + 0.1, "c": np.eye(8)[1]}
    with semcore.Cache(
        embed=lambda t: table.get(t, np.eye(8)[7]), max_entries=10, max_bytes="1 MiB"
    ) as cache:
        assert cache.explain("a", "a").same_key
        assert cache.explain("a", "b").verdict.endswith("a semantic hit")
        assert cache.explain("a", "c").verdict.endswith("a miss")
        assert cache.explain("a", "c").similarity == 0


def test_exact_only_without_an_embedder():
    with semcore.Cache(embed=None, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put("q", 1)
        assert cache.get("q").value == 1
        assert cache.get("r") is None
        with pytest.raises(ValueError, match="exact-only"):
            cache.get("r", vector=[1.0] * 8)


def test_a_closed_cache_says_so(cache):
    with semcore.Cache(embed=None, max_entries=10, max_bytes="1 MiB") as closed:
        closed.put("q", 1)
    closed.close()
    calls = [
        lambda: closed.get("q"),
        lambda: closed.put("q", 1),
        lambda: len(closed),
        closed.stats,
        closed.clear,
        lambda: closed.invalidate("t"),
        lambda: closed.lookup("q"),
        closed.flush,
        lambda: closed.get_or_compute("q", str),
    ]
    for call in calls:
        with pytest.raises(semcore.SemcoreError, match="the cache is closed"):
            call()


def test_bounds_hold_at_every_moment(rng):
    with semcore.Cache(embed=None, dim=16, max_entries=50, max_bytes=100_000, policy="value") as cache:
        for i in range(2000):
            cache.put(
                f"{i % 97}", b"x" * int(rng.integers(0, 3000)), vector=unit(rng, 16), tags=["a", "b"][: i % 3]
            )
            s = cache.stats()
            assert s.entries <= 50
            assert s.bytes_used <= s.bytes <= 100_000
            if i % 100 == 0:
                assert cache.validate() is None
        assert s.evictions > 1000


def test_bookkeeping_is_small():
    with semcore.Cache(embed=None, dim=384, max_entries=10_000, max_bytes="64 MiB") as cache:
        assert cache.stats().bookkeeping_per_entry <= 160
