"""Fixtures: an injected clock, a cache of bare vectors, and every ISA that this machine has."""

import os
import shutil
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from server import ask, make, stub, waits  # noqa: F401  (fixtures)

import semcore
from semcore import _engine

settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
FEW = settings(max_examples=max(5, settings.default.max_examples // 8))  # where one fills a large cache

DATA = Path(os.environ.get("SEMCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    """A small private cache of bare vectors (dim 16), validated when the test ends."""
    with semcore.Cache(embed=None, dim=16, max_entries=200, max_bytes="1 MiB", clock=clock) as c:
        yield c
        assert c.validate() is None


@pytest.fixture
def disk(tmp_path):
    """A folder in memory where there is some: for images that are written, read once and forgotten."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=_engine.isas())
def isa(request):
    """Every instruction set the machine has kernels for."""
    _engine.set_isa(request.param)
    yield request.param
    _engine.set_isa(os.environ.get("SEMCORE_ISA") or None)


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random unit vectors, float32."""
    v = rng.standard_normal(shape)
    return (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def brute_force(cache, query):
    """(similarity, id) of every entry by its stored vector, best first."""
    ids = list(cache)
    q = query.astype(np.float64)
    rows = np.stack([cache._vector_at(i) for i in ids]).astype(np.float64)
    cosines = rows @ q / (np.linalg.norm(rows, axis=1) * np.linalg.norm(q))
    return sorted(zip(cosines, ids, strict=True), key=lambda p: (-p[0], p[1] & 0xFFFFFFFF))


def agrees(found, expected, floor):
    """Same entries, but for those within rounding of the floor; same similarities, best first."""
    sure = [i for s, i in expected if s >= floor + 1e-6]
    possible = {i for s, i in expected if s >= floor - 1e-6}
    ids = [c.id for c in found]
    truth = {i: s for s, i in expected}
    assert set(sure) <= set(ids) or len(ids) == 12
    assert set(ids) <= possible
    assert all(abs(c.similarity - truth[c.id]) < 2e-6 for c in found)
    assert [c.similarity for c in found] == sorted((c.similarity for c in found), reverse=True)


def forked(act) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def in_children(acts) -> None:
    """Runs each in a forked child, all at once, and fails if one raises."""
    pids = [forked(act) for act in acts]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)
