"""The learnt tiers drop nothing that brute force finds, whatever was learnt and is stored, on every ISA."""

import itertools
import os

import numpy as np
import pytest
from conftest import FEW, agrees, brute_force, unit
from hypothesis import given
from hypothesis import strategies as st
from learnt_rows import KINDS, ROOM, ROWS, checked, filled, queries, unit_rows, vectors, with_cells

import semcore
from semcore import _engine, learner, learnt


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
@pytest.mark.parametrize("dim", [64, 65, 100, 119, 384])
def test_equals_brute_force(isa, dim, storage, rng):
    data = vectors("clustered", ROWS, dim, rng)
    with filled(data, storage) as cache:
        learner.learn(cache)
        assert _engine.generation(cache) == 1
        checked(cache, queries(data, rng))
        assert cache.validate() is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_of_vectors(kind, rng):
    data = vectors(kind, ROWS, 96, rng)
    with filled(data) as cache:
        learner.learn(cache)
        checked(cache, queries(data, rng, 12))


@FEW
@given(
    st.integers(0, 2**32),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.sampled_from(["f16", "f32", "i8"]),
)
def test_the_bounds_hold_for_every_pair(seed, kind, other, storage):
    """With a pair's own similarity as the floor every bound must be at least it."""
    rng = np.random.default_rng(seed)
    dim = int(rng.choice([64, 77, 128]))
    with filled(vectors(other, ROWS, dim, rng), storage) as cache:
        learner.learn(cache)
        rows = vectors(kind, 64, dim, rng)
        ids = [cache.put(f"row {i}", i, vector=row, namespace="pairs") for i, row in enumerate(rows)]
        for query in queries(rows, rng, 6):
            found = cache._nearest(query, "pairs", None, -1.0, 64)
            assert {c.id for c in found} == set(ids)
            for c in found:
                assert c.id in {f.id for f in cache._nearest(query, "pairs", None, c.similarity, 64)}


def test_random_cases_equal_brute_force():
    """Any shape coded by a model of any other, with cells or without, some rows gone; some floors are a row's
    similarity. SEMCORE_CASES: how many (query, floor)."""
    cases = int(os.environ.get("SEMCORE_CASES", "500"))
    for seed in itertools.count():
        rng = np.random.default_rng(seed)
        kind, other, dim = rng.choice(KINDS), rng.choice(KINDS), int(rng.choice([64, 65, 96, 128, 200]))
        data = vectors(kind, ROWS, dim, rng)
        with filled(data, str(rng.choice(["f16", "f32", "i8"])), room=ROOM) as cache:
            model = learnt.learn(vectors(other, ROWS, dim, rng))
            if rng.random() < 0.5:
                model = with_cells(cache, data, int(rng.integers(2, 36)))
            assert _engine.learn(cache, model, 0, ROWS)
            _engine.recode(cache, int(rng.integers(1, 80)))
            for i in rng.integers(ROWS, size=int(rng.integers(0, 400))):
                cache.delete(f"{i}")
            for query in queries(data, rng, 30):
                expected = brute_force(cache, query)
                ties = [s for s, _ in expected[:40:8]]
                for floor in (-1.0, 0.3, 0.6, 0.85, 0.9, 0.97, *ties):
                    agrees(cache._nearest(query, "", None, floor, 12), expected, floor)
                    cases -= 1
        if cases <= 0:
            return


@FEW
@given(st.integers(0, 2**32))
def test_any_model_is_safe(seed):
    """What is learnt decides how fast a search is, never what it finds."""
    rng = np.random.default_rng(seed)
    dim = 64
    data = vectors(str(rng.choice(KINDS)), ROWS, dim, rng)
    with filled(data, room=ROOM) as cache:
        good = with_cells(cache, data)
        codes, first, _, _, shells, probes = good.cells
        wild = good.cells._replace(
            codes=rng.integers(0, 256, codes.shape, dtype=np.uint8),
            first=np.sort(rng.integers(0, 30, len(first))).astype(np.uint32),
            bases=(rng.standard_normal(120) * rng.choice([0, 0.1, 3])).astype(np.float32),
            spreads=(rng.standard_normal(120) * rng.choice([0, 0.02, 1])).astype(np.float32),
            shells=rng.normal(0, 1, len(shells)).astype(np.float32),
            probes=rng.integers(0, 40, probes.shape, dtype=np.uint32),
        )
        mixed_cells = good.cells._replace(**{k: getattr(wild, k) for k in wild._fields if rng.random() < 0.5})
        a, b = np.sort(rng.normal(0.4, 0.3, (2, 16, 2)), axis=2).astype(np.float32)
        model = good._replace(
            rotation=learnt.not_longer_than_one(rng.standard_normal((120, dim)) * rng.choice([0, 1e-3, 1])),
            centroids=(rng.standard_normal((120, 16)) * rng.choice([0, 0.05, 5])).astype(np.float32),
            means=(rng.standard_normal(120) * 0.1).astype(np.float32),
            steps=(rng.standard_normal(120) * 0.1).astype(np.float32),
            rests=np.sort(rng.uniform(0, 1.2, 16)).astype(np.float32),
            strays=a,
            margins=b,
            margin_least=float(rng.normal(0, 0.5)),
            margin_step=float(rng.uniform(1e-6, 0.01)),
            cells=mixed_cells,
        )
        mixed = good._replace(**{k: getattr(model, k) for k in good._fields if rng.random() < 0.5})
        assert _engine.learn(cache, mixed, 0, ROWS)
        while _engine.recode(cache, 64):
            pass
        checked(cache, queries(data, rng, 3), (0.2, 0.7, 0.9))


@pytest.mark.parametrize("kind", ["strangers", "mirrored"])
def test_copies_of_rows_outside_the_learnt_directions(kind, rng):
    """In many dimensions the rest is nearly all of a stranger's vector."""
    data = vectors(kind, ROWS, 768, rng)
    with filled(data) as cache:
        learner.learn(cache)
        late = vectors("isotropic", 20, 768, rng)
        for i, row in enumerate(late):
            cache.put(f"late {i}", i, vector=row)
        for row in [*data[:60], *late, *-data[:10]]:
            expected = brute_force(cache, row)
            for floor in (0.3, 0.9):
                agrees(cache._nearest(row, "", None, floor, 12), expected, floor)


def test_copies_of_strangers_in_many_dimensions(rng):
    """Rows in a subspace, and a few that are nearly all rest: one class of rests reaches beyond 1."""
    data = unit_rows(rng.standard_normal((ROWS, 118)) @ np.linalg.qr(rng.standard_normal((1536, 118)))[0].T)
    strange = np.flatnonzero(rng.random(ROWS) < 0.04)
    data[strange] = unit(rng, len(strange), 1536)
    with filled(data, threshold=0.9) as cache:
        learner.learn(cache)
        for row in data[strange]:
            assert cache.get("?", vector=row).similarity > 0.99


def test_models_fitted_to_the_mirror_image(rng):
    data = vectors("mirrored", ROWS, 64, rng)
    with filled(data) as cache:
        good = learnt.learn(data)
        wide = np.array([[-3, 3]] * 16, dtype=np.float32)
        model = good._replace(strays=wide, margins=wide, margin_least=-3.0, margin_step=6 / 255)
        for candidate in (model, model._replace(centroids=-good.centroids)):
            assert _engine.learn(cache, candidate, _engine.generation(cache), ROWS)
            while _engine.recode(cache, 64):
                pass
            checked(cache, [*data[:30], *-data[:30]], (0.2, 0.9))


@pytest.mark.parametrize("scale", [1e-40, 1e-38, 1e-20, 1e20, 1e37])
def test_queries_of_any_length(scale, rng):
    data = vectors("clustered", ROWS, 64, rng)
    with filled(data, threshold=0.95) as cache:
        learner.learn(cache)
        for row in data[::50]:
            query = (row.astype(np.float64) * scale).astype(np.float32)
            assert cache.get("?", vector=query).similarity > 0.95


def test_while_rows_are_recoded(rng):
    """Some blocks by no model, some by the one before, some by the newest."""
    data = vectors("clustered", ROWS, 64, rng)
    with filled(data) as cache:
        asked = list(queries(data, rng, 3))
        assert _engine.learn(cache, learnt.learn(data[:700]), 0, 700)
        _engine.recode(cache, 5)
        checked(cache, asked)
        assert not _engine.learn(cache, learnt.learn(data), 1, ROWS), "rows are left to recode"
        while _engine.recode(cache, 5):
            checked(cache, asked[:1], (0.6, 0.9))
        assert not _engine.learn(cache, learnt.learn(data), 0, ROWS), "another came since"
        assert _engine.learn(cache, learnt.learn(data), 1, ROWS)
        _engine.recode(cache, 5)
        for i in range(0, ROWS, 3):
            cache.put(f"{i}", -i, vector=data[-i])
        checked(cache, asked)


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 199)), min_size=20, max_size=80), st.integers(0, 99)
)
def test_puts_and_deletions_between_searches(steps, seed):
    rng = np.random.default_rng(seed)
    data = vectors("clustered", ROWS, 64, rng)
    with filled(data) as cache:
        learner.learn(cache)
        for kind, i in steps:
            if kind == 0:
                cache.delete(f"{i}")
            elif kind == 1:
                cache.put(f"{i}", i, vector=unit(rng, 64))
            elif kind == 2:
                cache.put(f"{i}", i, vector=data[(i * 7) % ROWS])
            else:
                checked(cache, [data[i]], (0.5, 0.9))


def test_partitions_share_the_codes(rng):
    data = vectors("clustered", 1500, 64, rng)
    names = ["a", "b", "c"]
    cache = semcore.Cache(embed=None, dim=64, max_entries=2000, max_bytes="16 MiB", threshold=-1.0)
    with cache:
        rows = {name: [] for name in names}
        for i, row in enumerate(data):
            name = names[min(i % 7, 2)]  # c is large, a and b are not
            rows[name].append((row, cache.put(f"{i}", i, vector=row, namespace=name)))
        cache._learner.stop(wait=True)
        learner.learn(cache)
        for name in names:
            stored = unit_rows(np.stack([cache._vector_at(i) for _, i in rows[name]]))
            for query in queries(data, rng, 3):
                best = np.sort(stored @ query)[::-1][:12]
                for floor in (0.0, 0.6, 0.8):
                    got = [c.similarity for c in cache._nearest(query, name, None, floor, 12)]
                    assert got == pytest.approx(best[best >= floor], abs=2e-6)


def test_usearch_agrees(rng):
    from usearch.index import search as exact_search

    data = vectors("clustered", 3000, 96, rng)
    with filled(data, "f32") as cache:
        learner.learn(cache)
        for query in queries(data, rng, 12):
            oracle = exact_search(data, query, 12, metric="cos", exact=True)
            found = cache._nearest(query, "", None, 0.5, 12)
            best = 1 - oracle.distances
            assert [c.similarity for c in found] == pytest.approx(best[best >= 0.5], abs=1e-5)


def test_many_at_once(isa, rng):
    """get_many finds what get finds, one by one: learnt, half recoded, and in a small partition."""
    data = vectors("clustered", ROWS, 96, rng)
    with filled(data, threshold=0.8) as cache:
        asked = list(queries(data, rng, 150))
        for i in range(40):
            cache.put(f"few {i}", i, vector=data[i], namespace="few")
        for step in range(3):
            for name in ("", "few", "none"):
                many = cache.get_many(["?"] * len(asked), vectors=asked, namespace=name)
                single = [cache.get("?", vector=v, namespace=name) for v in asked]
                assert [h and (h.id, h.similarity) for h in many] == [
                    h and (h.id, h.similarity) for h in single
                ]
            if step == 0:
                assert _engine.learn(cache, learnt.learn(data), 0, ROWS)
                _engine.recode(cache, 10)
            else:
                learner.learn(cache)
        before = cache.stats()
        hits = cache.get_many(["?", "few 1", "?"], vectors=[asked[0], None, None])
        after = cache.stats()
        assert hits[1] is None or hits[1].layer == "exact"
        assert after.hits + after.misses == before.hits + before.misses + 3


def test_a_damaged_row_among_many(tmp_path, rng):
    data = vectors("clustered", ROWS, 64, rng)
    path = tmp_path / "cache"
    with filled(data, threshold=0.95, path=path) as cache:
        learner.learn(cache)
        cache.flush()
        raw = path.read_bytes()
        at = raw.index(data[7].astype(np.float16).tobytes()[:32])
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([raw[at] ^ 1]))
        hits = cache.get_many(["?"] * 3, vectors=[data[6], data[7], data[8]])
        assert [h is not None for h in hits] == [True, False, True]
        assert cache.stats().damaged == 1


def test_a_search_in_threads(rng):
    """Shares of one search, rows of another partition between, deleted rows at the seams."""
    data = vectors("clustered", 150_000, 64, rng)
    cache = semcore.Cache(
        embed=None, dim=64, max_entries=160_000, max_bytes="128 MiB", threshold=0.5, threads=2
    )
    with cache:
        cache._learner.stop()
        for i, row in enumerate(data):
            cache.put(f"{i}", i, vector=row, namespace="b" if i % 50 == 0 else "")
        seam = 75_000 // 32 * 32
        for i in range(seam - 40, seam, 3):
            cache.delete(f"{i}")
        gone = set(range(seam - 40, seam, 3)) | set(range(0, 150_000, 50))
        kept = np.array([i for i in range(150_000) if i not in gone])
        for step in range(2):
            for query in [*queries(data, rng, 4), data[seam - 39], data[seam], data[-1], data[1]]:
                best = np.sort(data[kept] @ query)[::-1][:12]
                for floor in (0.6, 0.9):
                    got = [c.similarity for c in cache._nearest(query, "", None, floor, 12)]
                    assert got == pytest.approx(best[best >= floor], abs=1e-3)
            learner.learn(cache)
            assert _engine.generation(cache) == 1, step
