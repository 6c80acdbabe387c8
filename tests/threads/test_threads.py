"""Four threads read while two write and evict: every value is whole and belongs to its question.

Seconds by SEMCORE_SECONDS (4 unless told). Under ThreadSanitizer this is the test of the protocol.
"""

import hashlib
import os
import threading
import time

import numpy as np
import pytest
from conftest import unit

import semcore

SECONDS = float(os.environ.get("SEMCORE_SECONDS", "4"))
KEYS = 400


def answer(key: int, version: int) -> bytes:
    body = b"%d|%d|" % (key, version) + bytes([key % 256]) * (version * 37 % 2000)
    return hashlib.blake2b(body, digest_size=16).digest() + body


def key_of(value: bytes) -> int:
    """The question that a value answers; fails if the value is torn."""
    digest, body = value[:16], value[16:]
    assert hashlib.blake2b(body, digest_size=16).digest() == digest, "a torn value was served"
    return int(body.split(b"|")[0])


@pytest.mark.parametrize("where", ["private", "file"])
def test_readers_and_writers(where, tmp_path, rng):
    path = tmp_path / "cache" if where == "file" else None
    # 150 slots for 400 questions, and blocks for fewer: every put evicts
    cache = semcore.Cache(path, embed=None, dim=64, max_entries=150, max_bytes=250_000, threshold=0.9)
    vectors = unit(rng, KEYS, 64)
    failures, served, stop = [], [0] * 4, threading.Event()

    def guarded(work, *args):
        try:
            while not stop.is_set():
                work(*args)
        except BaseException as error:
            failures.append(error)
            stop.set()

    def write(dice):
        key = int(dice.integers(KEYS))
        value = answer(key, int(dice.integers(1000)))
        ttl = 0.5 if key % 5 == 0 else None
        where = {"namespace": f"{key % 2}", "vector": vectors[key]}
        cache.put(f"{key}", value, ttl=ttl, tags=[f"{key % 7}"], **where)
        if dice.random() < 0.05:
            cache.delete(f"{key}", namespace=f"{key % 2}")
        if dice.random() < 0.01:
            cache.invalidate(f"{key % 7}", namespace=f"{key % 2}")

    def read(number, dice):
        key = int(dice.integers(KEYS))
        hit = cache.get(f"{key}", namespace=f"{key % 2}")
        if hit is not None:
            assert key_of(hit.value) == key
        near = cache.get("?", namespace=f"{key % 2}", vector=vectors[key] + 0.01 * vectors[(key + 1) % KEYS])
        if near is not None:
            assert key_of(near.value) == key
            assert near.text in (f"{key}", None)
        served[number] += (hit is not None) + (near is not None)

    threads = [threading.Thread(target=guarded, args=(write, np.random.default_rng(i))) for i in range(2)]
    threads += [
        threading.Thread(target=guarded, args=(read, i, np.random.default_rng(10 + i))) for i in range(4)
    ]
    for t in threads:
        t.start()
    end = time.monotonic() + SECONDS
    s = cache.stats()
    # longer on a slow machine or under a sanitizer: a hundred evictions must have happened
    while not stop.is_set() and time.monotonic() < (end if s.evictions > 100 else end + 120):
        stop.wait(0.1)
        s = cache.stats()
        assert s.entries <= 150
        assert s.bytes_used <= 250_000
    stop.set()
    for t in threads:
        t.join()
    assert not failures, failures[0]
    assert min(served) > 0
    assert cache.stats().evictions > 100
    assert cache.stats().damaged == 0
    assert cache.validate() is None
    cache.close()


def test_scans_without_the_gil_beside_writers(rng):
    """A partition large enough that its scan releases the GIL, while others write and one closes."""
    cache = semcore.Cache(embed=None, dim=256, max_entries=6000, max_bytes="16 MiB", threshold=0.9)
    vectors = unit(rng, 6000, 256)
    for i in range(6000):
        cache.put(f"{i}", i, vector=vectors[i])
    errors, wrong, stop = [], [], threading.Event()

    def read(dice):
        try:
            while not stop.is_set():
                i = int(dice.integers(6000))
                hit = cache.get("?", vector=vectors[i])
                if hit is not None and hit.value % 6000 != i:
                    wrong.append((i, hit.value))
        except semcore.SemcoreError as error:
            errors.append(str(error))

    def write(dice):
        try:
            while not stop.is_set():
                i = int(dice.integers(6000))
                cache.put(f"{i}", i + 6000 * int(dice.integers(5)), vector=vectors[i])
        except semcore.SemcoreError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=read, args=(np.random.default_rng(i),)) for i in range(4)]
    threads += [threading.Thread(target=write, args=(np.random.default_rng(9),))]
    for t in threads:
        t.start()
    time.sleep(min(SECONDS, 3) / 2)
    cache.close()  # while they are inside
    for t in threads:
        t.join()
    assert wrong == []
    assert errors == ["the cache is closed"] * 5
