"""Caches of rows of the shapes that are hard for some learnt tier, searched beside brute force."""

import numpy as np
from conftest import agrees, brute_force, unit

import semcore
from semcore import _engine, learnt

ROWS = 1100  # more than a cache learns from
KINDS = [
    "clustered",
    "isotropic",
    "anisotropic",
    "duplicates",
    "plane",
    "signs",
    "outliers",
    "strangers",
    "mirrored",
]


def vectors(kind, rows, dim, rng):
    """Rows of one of the shapes that are hard for some tier."""
    noise = unit(rng, rows, dim)
    if kind == "isotropic":
        return noise
    if kind == "anisotropic":
        return unit_rows(noise * np.exp(-np.arange(dim) / 8) + 0.5 / np.sqrt(dim))
    if kind == "duplicates":
        return noise[rng.integers(5, size=rows)]
    if kind == "plane":  # all in three directions: no rest
        return unit_rows(rng.standard_normal((rows, 3)) @ unit(rng, 3, dim))
    if kind == "signs":
        return unit_rows(rng.choice([-1.0, 1.0], (rows, dim)))
    centres = unit(rng, 20, dim)
    near = unit_rows(centres[rng.integers(20, size=rows)] + rng.uniform(0, 1, (rows, 1)) * noise)
    if kind == "outliers":
        near[rng.random(rows) < 0.05] = noise[0]
    if kind == "strangers":  # most in a subspace, and each of the others somewhere else
        near = unit_rows(rng.standard_normal((rows, dim * 2 // 3)) @ unit(rng, dim * 2 // 3, dim))
        strange = rng.random(rows) < 0.04
        near[strange] = noise[strange]
    if kind == "mirrored":
        near = unit_rows(noise[0] + 0.3 * noise)
        near[rng.random(rows) < 0.04] *= -1
    return near


def unit_rows(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def filled(data, storage="f16", threshold=-1.0, path=None, room=100):
    cache = semcore.Cache(
        path,
        embed=None,
        dim=data.shape[1],
        max_entries=len(data) + room,
        max_bytes="64 MiB",
        storage=storage,
        threshold=threshold,
    )
    cache._learner.stop()  # the tests say when
    for i, row in enumerate(data):
        cache.put(f"{i}", i, vector=row)
    return cache


def checked(cache, queries, floors=(-1.0, 0.3, 0.6, 0.85, 0.9, 0.97)):
    for query in queries:
        expected = brute_force(cache, query)
        for floor in floors:
            agrees(cache._nearest(query, "", None, floor, 12), expected, floor)


def queries(data, rng, n=6):
    """Near a stored row, further away, and anywhere."""
    dim = data.shape[1]
    for i in range(n):
        yield unit_rows((data[rng.integers(len(data))] + [0.1, 0.5, 9][i % 3] * unit(rng, dim))[None])[0]


ROOM = 10_200  # for entries: a cache for 11,300 may have 35 cells


def with_cells(cache, data, cells=30):
    return learnt.with_cells(learnt.learn(data), [data], cells, _engine.most_cells(cache)[1])


def recoded(cache):
    while _engine.recode(cache, 64):
        pass


def turned(x, to, cosine):
    """x turned towards another vector until that is their cosine."""
    aside = to - (to @ x) * x
    return (cosine * x + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)).astype(np.float32)
