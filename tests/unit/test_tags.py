"""Tags: what was put with a name is found by it, and only that."""

from hypothesis import given
from hypothesis import strategies as st

import semcore


def test_invalidate(cache):
    for i in range(20):
        cache.put(f"{i}", i, tags=[f"mod {i % 3}", "all", f"mod {i % 3}"])
    assert cache.invalidate("mod 1") == 7
    assert cache.invalidate("mod 1") == 0
    assert sorted(cache[id].value for id in cache) == [i for i in range(20) if i % 3 != 1]
    assert cache.invalidate("all") == 13


def test_as_many_tags_as_allowed(cache):
    cache.put("q", 1, tags=[f"{i}" for i in range(64)])
    assert cache.validate() is None
    cache.put("q", 2, tags=["other"])
    assert cache.invalidate("63") == 0
    assert cache.invalidate("other") == 1


def test_str_and_bytes_names_are_the_same_bytes(cache):
    cache.put("q", 1, tags=["orders"])
    assert cache.invalidate(b"orders") == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sets(st.sampled_from("xyz"), max_size=3), st.sampled_from("xyz")
        ),
        min_size=1,
    )
)
def test_any_sequence(moves):
    with semcore.Cache(embed=None, max_entries=4, max_bytes="1 MiB", policy="lru") as cache:
        for text, tags, gone in moves:
            cache.put(text, sorted(tags), tags=tags)
            assert cache.validate() is None
            with_tag = [id for id in cache if gone in cache[id].value]
            if len(tags) != 1:
                continue
            assert cache.invalidate(gone) == len(with_tag)
            assert cache.validate() is None
            assert not [id for id in cache if gone in cache[id].value]
