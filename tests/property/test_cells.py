"""Cells: a search passes over lists of rows out of reach, and finds what brute force finds."""

import threading

import numpy as np
import pytest
from conftest import FEW, unit
from hypothesis import given
from hypothesis import strategies as st
from learnt_rows import (
    KINDS,
    ROOM,
    ROWS,
    checked,
    filled,
    queries,
    recoded,
    turned,
    unit_rows,
    vectors,
    with_cells,
)

import semcore
from semcore import _engine, learner, learnt


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [65, 96])
def test_cells(kind, dim, isa, rng):
    data = vectors(kind, ROWS, dim, rng)
    with filled(data, room=ROOM) as cache:
        learner.learn(cache, count=30)
        checked(cache, queries(data, rng, 9))
        assert cache.validate() is None


@FEW
@given(st.integers(0, 2**32), st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(2, 40))
def test_no_cell_is_passed_over_that_holds_a_row_within_reach(seed, kind, other, cells):
    """Rows of one kind in cells learnt from another, asked for with each one's own similarity."""
    rng = np.random.default_rng(seed)
    dim = int(rng.choice([64, 77, 128]))
    with filled(vectors(other, ROWS, dim, rng), room=ROOM) as cache:
        assert _engine.learn(
            cache, with_cells(cache, vectors(other, ROWS, dim, rng), min(cells, 35)), 0, ROWS
        )
        recoded(cache)
        rows = vectors(kind, 300, dim, rng)
        for i, row in enumerate(rows):
            cache.put(f"row {i}", i, vector=row)
        for query in queries(rows, rng, 6):
            for c in cache._nearest(query, "", None, -1.0, 64):
                assert c.id in {f.id for f in cache._nearest(query, "", None, c.similarity, 64)}
        assert cache.validate() is None


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 199)), min_size=5, max_size=25), st.integers(0, 99)
)
def test_cells_under_turnover(steps, seed):
    """Puts, overwrites, deletions, invalidations, models that come and rows that are recoded, a recovery."""
    rng = np.random.default_rng(seed)
    data = vectors("clustered", ROWS, 64, rng)
    with filled(data, room=ROOM) as cache:
        learner.learn(cache, count=20)
        for kind, i in steps:
            if kind == 0:
                for k in range(1, ROWS, 2 + i):
                    cache.delete(f"{k}")
            elif kind == 1:
                for k in range(i):
                    cache.put(f"{i + k}", i, vector=data[(i * k) % ROWS])
            elif kind == 2 and i < 100:
                _engine.learn(cache, with_cells(cache, data, 2 + i % 30), _engine.generation(cache), ROWS)
            elif kind == 3:
                _engine.recode(cache, i)
            elif kind == 4 and i < 20:
                cache.repair()
            else:
                checked(cache, [data[i]], (0.5, 0.9))
            assert cache.validate() is None
        checked(cache, queries(data, rng, 3))


def test_cells_under_eviction(rng):
    """Rows come and go ten times over; of the first ones none is left."""
    data = vectors("clustered", 4 * ROWS, 64, rng)
    with filled(data[:ROWS], room=3800) as cache:
        learner.learn(cache, count=15)
        for turn in range(10):
            for i in range(4000):
                cache.put(f"{turn} {i}", i, vector=data[(turn * 4000 + i * 7) % len(data)])
            checked(cache, queries(data, rng, 3), (0.5, 0.9))
            if turn in (3, 7):
                _engine.learn(cache, with_cells(cache, data, 15 - turn), _engine.generation(cache), ROWS)
                _engine.recode(cache, 30)
        assert cache.validate() is None


def test_a_file_with_cells(tmp_path, rng):
    data = vectors("clustered", ROWS, 64, rng)
    asked = list(queries(data, rng, 4))
    path = tmp_path / "cache"
    with filled(data, path=path, room=ROOM) as cache:
        learner.learn(cache, count=30)
    with semcore.Cache(path, embed=None, dim=64, threshold=-1.0) as cache:
        checked(cache, asked)
        with semcore.Cache(path, embed=None, dim=64, threshold=-1.0, read_only=True) as reader:
            checked(reader, asked)
        cache.repair()
        assert _engine.learning(cache) == learner.STALE
        checked(cache, asked)
        learner.learn(cache)
        assert _engine.generation(cache) == 1, "the model and its cells have survived"
        checked(cache, asked)
        assert cache.validate() is None


def test_a_search_may_miss_what_it_says_and_no_more(tmp_path, rng):
    """Rows that mean nearly the same as a query, of a cache of which less than a third is read."""
    centres = unit(rng, 400, 64)
    data = unit_rows(centres[rng.integers(400, size=8000)] + 0.9 * unit(rng, 8000, 64))
    path = tmp_path / "cache"
    with filled(data, threshold=0.8, path=path, room=22_000) as cache:
        learner.learn(cache, count=70)
        model = learner._with_cells(cache, learnt.learn(data), 70, 8192)
        assert model.cells.probes[1, 2] < len(model.cells.codes) / 3
        for recall, most in ((0.99, 0.01), (0.9, 0.1)):
            with semcore.Cache(path, embed=None, dim=64, threshold=0.8, recall=recall) as some:
                missed = asked = 0
                for i in rng.integers(len(data), size=2000):
                    to = data[i - 1 - rng.integers(len(data) - 1)]
                    query = turned(data[i], to, rng.uniform(0.86, 0.95))
                    all_found = cache.get("?", vector=query, threshold=0.85)
                    found = some.get("?", vector=query, threshold=0.85)
                    asked += all_found is not None
                    missed += all_found is not None and found is None
                    assert found is None or found.similarity <= all_found.similarity
                assert missed <= most * asked
                many = some.get_many(["?"] * 100, vectors=data[:100])
                assert [h and h.similarity for h in many] == [h and h.similarity for h in (
                    some.get("?", vector=row) for row in data[:100])]  # fmt: skip


def test_only_so_many_cells_are_read(tmp_path, rng):
    """A model that says that one cell holds all is believed, but in exact searches and of small tenants."""
    data = vectors("clustered", ROWS, 64, rng)
    path = tmp_path / "cache"
    with filled(data, threshold=0.8, path=path, room=ROOM) as cache:
        for i, row in enumerate(data[:200]):
            cache.put(f"{i}", i, vector=row, namespace="tenant")
        model = with_cells(cache, data)
        anywhere = rng.integers(0, 256, model.cells.codes.shape, dtype=np.uint8)
        few = np.ones_like(model.cells.probes)
        one = model._replace(cells=model.cells._replace(codes=anywhere, probes=few))
        assert _engine.learn(cache, one, 0, ROWS)
        recoded(cache)
    asked = [turned(data[i], data[i - 1], 0.84) for i in range(200)]
    found = {}
    for recall in (1.0, 0.9985):
        with semcore.Cache(path, embed=None, dim=64, threshold=0.8, recall=recall) as cache:
            for ns in ("", "tenant"):
                found[recall, ns] = sum(cache.get("?", vector=q, namespace=ns) is not None for q in asked)
                many = cache.get_many(["?"] * 200, vectors=asked, namespace=ns)
                assert sum(hit is not None for hit in many) == found[recall, ns]
    assert found[1.0, ""] == found[1.0, "tenant"] == 200
    assert found[0.9985, ""] < 195, "rows of cells that lie farther than the nearest eight"
    assert found[0.9985, "tenant"] == 200, "all that may be missed could be the tenant's"


def test_a_row_that_moves_is_found(rng):
    """Searches beside a thread that recodes all rows again and again find every row each time."""
    rows = np.repeat(unit(rng, 16, 64), 64, axis=0) + 0.005 * unit(rng, 1024, 64)
    with filled(unit_rows(rows), room=ROOM) as cache:
        model, stop = with_cells(cache, unit_rows(rows)), threading.Event()

        def recode():
            while not stop.is_set():
                assert _engine.learn(cache, model, _engine.generation(cache), len(rows))
                while _engine.recode(cache, 1000) and not stop.is_set():
                    pass

        other = threading.Thread(target=recode)
        other.start()
        try:
            for i in range(3000):
                assert len(cache._nearest(rows[64 * (i % 16)], "", None, 0.9, 64)) == 64
        finally:
            stop.set()
            other.join()
        assert cache.validate() is None


def test_many_at_once_with_cells(rng):
    data = vectors("clustered", ROWS, 96, rng)
    with filled(data, threshold=0.8, room=ROOM) as cache:
        asked = list(queries(data, rng, 150))
        learner.learn(cache, count=30)
        for half in (False, True):
            if half:
                assert _engine.learn(cache, with_cells(cache, data), 1, ROWS)
                _engine.recode(cache, 20)
            many = cache.get_many(["?"] * len(asked), vectors=asked)
            single = [cache.get("?", vector=v) for v in asked]
            assert [h and (h.id, h.similarity) for h in many] == [h and (h.id, h.similarity) for h in single]


def test_samples_of_next_to_nothing(rng):
    data = vectors("clustered", ROWS, 64, rng)
    model = learnt.learn(data)
    assert learnt.with_cells(model, [data[:1], data[:0]], 9, 9) is model
    assert len(learnt.with_cells(model, [data[:1], data], 9, 9).cells.codes) > 2


def test_a_model_of_too_many_cells(rng):
    data = vectors("clustered", ROWS, 64, rng)
    with filled(data) as cache, pytest.raises(ValueError, match="cells"):
        _engine.learn(cache, with_cells(cache, data, 200), 0, ROWS)
