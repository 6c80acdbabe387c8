"""When codes are learnt: in the background as a cache fills and changes, by whoever has it open."""

import threading

import numpy as np
import pytest
from conftest import brute_force, forked, unit

import semcore
from semcore import _engine, learner, learnt

DIM = 64


@pytest.fixture
def centres(rng):
    return unit(rng, 30, DIM)


def some(rng, centres, n):
    rows = centres[rng.integers(len(centres), size=n)] + 0.7 * unit(rng, n, DIM)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def filled(rows, path=None, **options):
    cache = semcore.Cache(
        path, embed=None, dim=DIM, max_entries=6000, max_bytes="16 MiB", threshold=0.8, **options
    )
    for i, row in enumerate(rows):
        cache.put(f"{i}", i, vector=row)
    return cache


def learn_now(cache):
    """Here, and no more in the background."""
    cache._learner.stop(wait=True)
    learner.learn(cache)


def settled(cache):
    """Waits until the background has nothing to do."""
    while (thread := cache._learner._thread) is not None and thread.is_alive():
        thread.join()


def finds(cache, rows, n=20):
    for i in range(0, len(rows), max(1, len(rows) // n)):
        assert cache.get("?", vector=rows[i]).similarity > 0.999


def test_a_cache_that_fills_learns_by_itself(rng, centres):
    rows = some(rng, centres, 3000)
    with filled(rows[:1000]) as cache:
        settled(cache)
        assert _engine.generation(cache) == 0
        for i, row in enumerate(rows[1000:], 1000):
            cache.put(f"{i}", i, vector=row)
        settled(cache)
        cache._learner.look()
        settled(cache)
        assert _engine.generation(cache) == 1
        assert _engine.learning(cache) == learner.LEARNT
        finds(cache, rows)
        assert cache.validate() is None


def test_one_that_has_grown_is_learnt_anew(rng, centres):
    rows = some(rng, centres, 6000)
    with filled(rows[:1200]) as cache:
        cache._learner.stop(wait=True)
        learn_now(cache)
        for i, row in enumerate(rows[1200:], 1200):
            cache.put(f"{i}", i, vector=row)
        learn_now(cache)
        assert _engine.generation(cache) == 2
        finds(cache, rows)


def test_rows_of_another_kind_are_learnt(rng):
    """Another language, another tenant: what the codes leave out grows, and they are learnt anew."""
    first, second = unit(rng, 8, DIM), unit(rng, 8, DIM)
    with filled(some(rng, first, 3000)) as cache:
        learn_now(cache)
        generation = _engine.generation(cache)
        for i, row in enumerate(some(rng, first, 3000)):
            cache.put(f"{i}", i, vector=row)
        learn_now(cache)
        assert _engine.generation(cache) == generation, "more of the same is no reason"
        rows = some(rng, second, 3000)
        for i, row in enumerate(rows):
            cache.put(f"{i}", i, vector=row)
        learn_now(cache)
        assert _engine.generation(cache) > generation
        finds(cache, rows)


@pytest.mark.parametrize(
    "options", [{"max_entries": 900}, {"dim": 63, "max_entries": 3000}, {"dim": 0, "max_entries": 3000}]
)
def test_caches_without_codes(options, rng):
    options = {"dim": DIM, "max_bytes": "16 MiB", **options}
    with semcore.Cache(embed=None, threshold=0.8, **options) as cache:
        row = unit(rng, options["dim"] or 1)
        for i in range(2000):
            cache.put(f"{i}", i, vector=row if options["dim"] else None)
        assert _engine.learning(cache) == learner.LEARNT
        assert not options["dim"] or cache.get("?", vector=row) is not None


def test_too_few_vectors_to_learn_from(rng):
    with filled([None] * 2000 + list(unit(rng, 100, DIM))) as cache:
        learn_now(cache)
        assert _engine.generation(cache) == 0


def test_a_file_keeps_its_codes(tmp_path, rng, centres):
    rows = some(rng, centres, 2000)
    with filled(rows, tmp_path / "cache") as cache:
        learn_now(cache)
        generation = _engine.generation(cache)
    with semcore.Cache(tmp_path / "cache", embed=None, dim=DIM, threshold=0.8) as cache:
        assert _engine.generation(cache) == generation
        assert _engine.learning(cache) == learner.LEARNT
        finds(cache, rows)


def test_a_reader_uses_them_and_learns_nothing(tmp_path, rng, centres):
    rows = some(rng, centres, 2000)
    with filled(rows, tmp_path / "cache") as cache:
        cache._learner.stop(wait=True)
        with semcore.Cache(tmp_path / "cache", embed=None, dim=DIM, read_only=True, threshold=0.8) as reader:
            assert _engine.learning(reader) == learner.LEARNT
            with pytest.raises(semcore.SemcoreError, match="read-only"):
                _engine.recode(reader, 1)
            finds(reader, rows)


def test_recovery_keeps_the_model_and_recodes(tmp_path, rng, centres):
    rows = some(rng, centres, 2000)
    with filled(rows, tmp_path / "cache") as cache:
        learn_now(cache)
        generation = _engine.generation(cache)
        cache._learner.stop()
        cache.repair()
        assert _engine.learning(cache) == learner.STALE
        finds(cache, rows)
        learn_now(cache)
        assert _engine.learning(cache) == learner.LEARNT
        assert _engine.generation(cache) == generation
        finds(cache, rows)


def test_whoever_opens_a_file_finishes_what_a_killed_process_left(tmp_path, rng, centres):
    rows = some(rng, centres, 2000)
    with filled(rows, tmp_path / "cache") as cache:
        cache._learner.stop(wait=True)
        cache.repair()
        assert _engine.learning(cache) != learner.LEARNT
    with semcore.Cache(tmp_path / "cache", embed=None, dim=DIM, threshold=0.8) as cache:
        settled(cache)
        assert _engine.learning(cache) == learner.LEARNT


def test_a_forked_child_learns_on(rng, centres):
    rows = some(rng, centres, 2000)
    with filled(rows[:500]) as cache:

        def child():
            for i, row in enumerate(rows):
                cache.put(f"{i}", i, vector=row)
            cache._learner.look()
            settled(cache)
            assert _engine.generation(cache) == 1

        assert forked(child)


def test_closing_while_it_learns(rng, centres):
    rows = some(rng, centres, 2500)
    for _ in range(5):
        filled(rows).close()
    for thread in threading.enumerate():
        if thread.name == "semcore-learner":
            thread.join(30)
            assert not thread.is_alive()


def test_lookups_and_puts_go_on_while_it_learns(rng, centres):
    rows = some(rng, centres, 4000)
    with filled(rows) as cache:
        cache._learner.stop(wait=True)
        errors = []

        def look_up():
            for i in range(3000):
                hit = cache.get("?", vector=rows[i])
                if hit is None or hit.similarity < 0.999:
                    errors.append(i)

        threads = [threading.Thread(target=look_up) for _ in range(2)]
        for t in threads:
            t.start()
        for generation in range(6):
            assert _engine.generation(cache) >= generation
            _engine.learn(cache, learnt.learn(rows[:1000], generation), _engine.generation(cache), 1000)
            while _engine.recode(cache, 1):
                cache.put("again", 1, vector=rows[0])
        for t in threads:
            t.join()
        assert errors == []


@pytest.mark.parametrize(
    "wrong", [lambda m: m._replace(steps=m.steps[:-1]), lambda m: m._replace(rests=None)]
)
def test_a_model_of_another_shape(wrong, rng, centres):
    rows = some(rng, centres, 1500)
    with filled(rows) as cache:
        cache._learner.stop(wait=True)
        before = _engine.generation(cache)
        with pytest.raises((ValueError, TypeError)):
            _engine.learn(cache, wrong(learnt.learn(rows)), before, 1500)
        assert _engine.generation(cache) == before
        assert brute_force(cache, rows[0])


def test_a_cache_that_may_miss_some_has_cells_sooner(rng, centres):
    rows = some(rng, centres, 20_100)
    learnt_cells = {}
    for recall in (1.0, 0.99):
        with semcore.Cache(
            embed=None, dim=DIM, max_entries=25_000, max_bytes="32 MiB", threshold=0.8, recall=recall
        ) as cache:
            cache._learner.stop()
            for i, row in enumerate(rows):
                cache.put(f"{i}", i, vector=row)
            learn_now(cache)
            learnt_cells[recall] = _engine.cells(cache)
            assert _engine.learning(cache) == learner.LEARNT, "and not again and again"
            finds(cache, rows)
            assert cache.validate() is None
    assert learnt_cells == {1.0: 1, 0.99: 78}
