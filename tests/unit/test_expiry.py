"""Time to live: absolute, sliding, and the wheel against a sorted list."""

import pytest
from conftest import Clock
from hypothesis import given
from hypothesis import strategies as st

import semcore


def test_absolute(cache, clock):
    cache.put("q", 1, ttl=10)
    clock.step(9.9)
    assert cache.get("q").age == pytest.approx(9.9)
    clock.step(0.1)
    assert cache.get("q") is None
    assert "q" not in cache
    assert len(cache) == 0
    assert cache.stats().expirations == 1


def test_the_cache_has_a_ttl_and_a_put_its_own(clock):
    with semcore.Cache(embed=None, max_entries=9, max_bytes="1 MiB", ttl=10, clock=clock) as cache:
        cache.put("default", 1)
        cache.put("longer", 1, ttl=20)
        cache.put("for ever", 1, ttl=None)
        clock.step(15)
        assert [t for t in ("default", "longer", "for ever") if t in cache] == ["longer", "for ever"]
        clock.step(1e9)
        assert "for ever" in cache


def test_sliding(clock):
    with semcore.Cache(
        embed=None, max_entries=9, max_bytes="1 MiB", ttl=10, sliding=True, clock=clock
    ) as cache:
        cache.put("used", 1)
        cache.put("unused", 1)
        for _ in range(5):
            clock.step(9)
            assert cache.get("used") is not None
        assert "unused" not in cache
        clock.step(10)
        assert cache.get("used") is None
        assert cache.expire() >= 1
        assert cache.validate() is None


@pytest.mark.parametrize("ttl", [0.0001, 0.0015, 1.001, 3_999_999])
def test_sliding_of_any_length(clock, ttl):
    with semcore.Cache(
        embed=None, max_entries=9, max_bytes="1 MiB", ttl=ttl, sliding=True, clock=clock
    ) as cache:
        cache.put("q", 1)
        for _ in range(3):
            clock.step(ttl * 0.9)
            assert cache.get("q") is not None
        clock.step(-0.01)
        assert cache.get("q") is not None
        clock.step(ttl + 0.02)
        assert cache.get("q") is None


def test_a_sliding_ttl_that_is_too_long():
    with pytest.raises(ValueError, match="ttl: a sliding one is at most"):
        semcore.Cache(embed=None, ttl=5_000_000, sliding=True)


def test_a_clock_that_was_far_ahead(cache, clock):
    clock.step(10 * 365 * 86400)
    cache.put("q", 1)
    clock.step(-10 * 365 * 86400)
    for i in range(100):
        cache.put(f"{i}", i, ttl=1)
    clock.step(3)
    assert cache.expire() == 100
    assert len(cache) == 1


def test_putting_again_starts_anew(cache, clock):
    cache.put("q", 1, ttl=10)
    clock.step(8)
    cache.put("q", 2, ttl=10)
    clock.step(8)
    assert cache.get("q").value == 2


def test_a_clock_that_goes_back_is_harmless(cache, clock):
    cache.put("q", 1, ttl=10)
    clock.step(-100)
    cache.put("r", 1, ttl=10)
    assert cache.get("q").value == 1
    clock.step(50)
    assert "r" not in cache
    clock.step(60)
    assert len(cache) == 0


# seconds that floats and microseconds hold exactly, so that both sides agree on the last one
steps = st.lists(
    st.tuples(
        st.sampled_from([1 / 64, 0.5, 1.0, 67 / 64, 60, 70, 4000, 5000, 3e5, 1e6, 2e7, 1e9]), st.booleans()
    ),
    min_size=1,
)


@given(steps)
def test_the_wheel_against_a_sorted_list(moves):
    """(seconds, put?): a put lives so long, else so much time passes."""
    clock = Clock()
    with semcore.Cache(embed=None, max_entries=200, max_bytes="1 MiB", clock=clock) as cache:
        deadlines = []
        for number, (seconds, put) in enumerate(moves):
            if put:
                cache.put(f"{number}", number, ttl=seconds)
                deadlines.append(clock.now + seconds)
            else:
                clock.step(seconds)
            due = [d for d in deadlines if d <= clock.now + 5e-7]
            deadlines = [d for d in deadlines if d > clock.now + 5e-7]
            assert cache.validate() is None
            assert cache.expire() <= len(due)
            assert len(cache) == len(deadlines)
