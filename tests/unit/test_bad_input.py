"""Bad input raises an error that names the argument, and changes nothing."""

import numpy as np
import pytest
from conftest import unit

import semcore

GOOD = np.ones(16, dtype=np.float32)


@pytest.fixture(autouse=True)
def unchanged(cache):
    cache.put("kept", "value", vector=GOOD)
    before = cache.stats()
    yield
    after = cache.stats()
    assert (before.entries, before.bytes_used, before.puts) == (after.entries, after.bytes_used, after.puts)
    assert cache.get("kept").value == "value"


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (np.full(16, np.nan, dtype=np.float32), "finite"),
        (np.array([np.inf] + [0] * 15, dtype=np.float32), "finite"),
        (np.array([1e300] * 16), "finite"),
        (np.zeros(16, dtype=np.float32), "not all zero"),
        (np.ones(15, dtype=np.float32), r"shape \(16,\), got \(15,\)"),
        (np.ones((1, 16), dtype=np.float32), r"shape \(16,\), got \(1, 16\)"),
        (np.ones(16, dtype=complex), "real numbers"),
        (np.array(["a"] * 16), "real numbers"),
        (["x"] * 16, "real numbers"),
        ("text", "real numbers"),
        ([], "real numbers|shape"),
        (object(), "real numbers"),
    ],
)
def test_vectors(cache, vector, words):
    for call in (cache.get, lambda t, vector: cache.put(t, 1, vector=vector), cache.lookup):
        with pytest.raises(ValueError, match=f"vector: expected.*({words})"):
            call("q", vector=vector)


@pytest.mark.parametrize(
    "vector", [[1] * 16, (0.5,) * 16, np.ones(16), np.ones(32)[::2], np.ones(16, dtype=np.int8)]
)
def test_vectors_that_convert(cache, vector):
    assert cache.get("q", vector=vector).value == "value"


@pytest.mark.parametrize("text", [None, 1, ["a"], bytearray(b"a"), object()])
def test_texts(cache, text):
    for call in (cache.get, cache.lookup, lambda t: cache.put(t, 1), lambda t: cache.get_or_compute(t, str)):
        with pytest.raises(TypeError, match="text: expected str or bytes"):
            call(text)


@pytest.mark.parametrize("namespace", [None, 1, ["a"]])
def test_namespaces(cache, namespace):
    with pytest.raises(TypeError, match="namespace: expected str or bytes"):
        cache.get("q", namespace=namespace)
    with pytest.raises(TypeError, match="namespace: expected str or bytes"):
        cache.put("q", 1, namespace=namespace)


def test_vectors_of_another_byte_order_are_converted(cache, rng):
    for _ in range(50):
        vector = unit(rng, 16)
        assert cache.get("q", vector=vector.astype(">f4")) == cache.get("q", vector=vector)
        found = cache.lookup("q", vector=vector.astype(">f4")).candidates
        assert found == cache.lookup("q", vector=vector).candidates
    unaligned = np.frombuffer(b"x" + np.ones(16, dtype=np.float32).tobytes(), dtype=np.uint8)[1:].view(
        np.float32
    )
    assert cache.get("q", vector=unaligned).value == "value"


def test_contexts_and_values_without_end(cache):
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="context: nested more than 100 deep"):
        cache.get("q", context=endless)
    with pytest.raises(TypeError, match="value:"):
        cache.put("q", endless)


def test_a_value_that_could_not_be_read_back(cache):
    with pytest.raises(TypeError, match="value:"):
        cache.put("q", {(1, 2): 3})


@pytest.mark.parametrize("now", [float("nan"), -1, 1e300])
def test_clocks(now):
    with semcore.Cache(embed=None, max_entries=9, max_bytes="1 MiB", clock=lambda: now) as broken:
        with pytest.raises(ValueError, match="clock: expected seconds since the epoch"):
            broken.put("q", 1)
        with pytest.raises(ValueError, match="clock: expected seconds since the epoch"):
            broken.get("q")


def test_contexts_and_values_that_cannot_be_packed(cache):
    with pytest.raises(TypeError, match="context:"):
        cache.get("q", context=object())
    with pytest.raises(TypeError, match="value:"):
        cache.put("q", object())
    with pytest.raises(TypeError, match="value:"):
        cache.put("q", {1, 2})
    with pytest.raises(TypeError, match="value:"):
        cache.put("q", 1 << 70)


@pytest.mark.parametrize("ttl", [0, -1, -0.001, float("nan"), float("inf"), "1", 1e11])
def test_ttls(cache, ttl):
    with pytest.raises(ValueError, match="ttl: expected seconds above 0"):
        cache.put("q", 1, ttl=ttl)
    with pytest.raises(ValueError, match="ttl: expected seconds above 0"):
        semcore.Cache(embed=None, ttl=ttl)


@pytest.mark.parametrize("threshold", [float("nan"), 1.01, -2, "0.9", float("inf"), None])
def test_thresholds(cache, threshold):
    with pytest.raises(ValueError, match="threshold: expected a cosine"):
        semcore.Cache(embed=None, threshold=threshold)
    if threshold is not None:
        with pytest.raises(ValueError, match="threshold: expected a cosine"):
            cache.get("q", threshold=threshold)


@pytest.mark.parametrize(
    "saving",
    [
        {"tokens": -1},
        {"tokens": 1 << 32},
        {"tokens": 1.5},
        {"cost": -1},
        {"cost": float("nan")},
        {"latency_ms": -1},
    ],
)
def test_savings(cache, saving):
    with pytest.raises(ValueError, match=f"{next(iter(saving))}: expected"):
        cache.put("q", 1, **saving)


def test_tags(cache):
    with pytest.raises(TypeError, match="tags: expected a sequence of names"):
        cache.put("q", 1, tags="orders")
    with pytest.raises(TypeError, match="tags: expected str or bytes"):
        cache.put("q", 1, tags=[1])
    with pytest.raises(ValueError, match="tags: expected at most 64"):
        cache.put("q", 1, tags=[f"{i}" for i in range(65)])


def test_a_value_that_can_never_fit(cache, rng):
    with pytest.raises(semcore.CapacityError, match="can never fit"):
        cache.put("q", b"x" * (2 << 20))
    with pytest.raises(semcore.CapacityError, match="can never fit"):
        cache.put("x" * (2 << 20), 1)
    assert cache.get_or_compute("q", lambda t: b"x" * (2 << 20)) == b"x" * (2 << 20)
    assert cache.stats().refused == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dim": 7}, semcore.ConfigError, "dim: expected 8 to 4096"),
        ({"dim": 5000}, semcore.ConfigError, "dim: expected 8 to 4096"),
        ({"dim": "x"}, semcore.ConfigError, "dim: expected"),
        ({"max_entries": 0}, ValueError, "max_entries: expected 1 to"),
        ({"max_entries": 1.5}, ValueError, "max_entries: expected 1 to"),
        ({"max_entries": 1 << 31}, ValueError, "max_entries: expected 1 to"),
        ({"max_bytes": 0}, ValueError, "max_bytes: expected"),
        ({"max_bytes": "lots"}, ValueError, "max_bytes: expected"),
        ({"max_bytes": 5000}, semcore.ConfigError, "max_bytes: 5000 bytes cannot hold"),
        ({"max_entries": 10_000, "max_bytes": "1 MiB"}, semcore.ConfigError, "cannot hold max_entries=10000"),
        ({"policy": "fifo"}, semcore.ConfigError, "policy: expected one of value, lru, lfu"),
        ({"storage": "f64"}, semcore.ConfigError, "storage: expected one of"),
        ({"embed": 5}, semcore.ConfigError, "embed: expected"),
        ({"embed": "nonesuch"}, semcore.ConfigError, "embed: expected"),
        ({"clock": 5}, TypeError, "clock: expected"),
    ],
)
def test_settings(options, error, words):
    with pytest.raises(error, match=words):
        semcore.Cache(**{"embed": None, "dim": 16, **options})


@pytest.mark.parametrize("size", [1 << 20, "1 MiB", "1MB", "1024k", "0.001 GiB", "1048576"])
def test_sizes(size):
    with semcore.Cache(embed=None, max_entries=10, max_bytes=size) as cache:
        assert 0.95e6 < cache.stats().bytes <= 1.08e6


def test_lookup_wants_a_sane_number_of_candidates(cache):
    for nearest in (0, 65):
        with pytest.raises(ValueError, match="nearest: expected 1 to 64"):
            cache.lookup("q", vector=GOOD, nearest=nearest)


def test_an_unknown_isa_is_named():
    from semcore import _engine

    with pytest.raises(semcore.ConfigError, match="SEMCORE_ISA: this machine has"):
        _engine.set_isa("mmx")


def test_unit_helper(rng):
    assert np.linalg.norm(unit(rng, 5)) == pytest.approx(1)
