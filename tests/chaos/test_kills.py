"""Eight processes on one file, one killed every 50 ms at any instruction: nothing wrong is ever served.

Seconds by SEMCORE_CHAOS_SECONDS (10 unless told).
"""

import hashlib
import itertools
import os
import random
import signal
import sys
import time
import traceback

import numpy as np
import pytest

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
SECONDS = float(os.environ.get("SEMCORE_CHAOS_SECONDS", "10"))
OPTIONS = {"embed": None, "dim": 32, "max_entries": 200, "max_bytes": 300_000, "threshold": 0.9}
KEYS = 500
VECTORS = np.random.default_rng(0).standard_normal((KEYS, 32)).astype(np.float32)


def answer(key: int, namespace: str, version: int) -> bytes:
    body = b"%d|%s|%d|" % (key, namespace.encode(), version) + bytes([key % 256]) * (version % 2500)
    return hashlib.blake2b(body, digest_size=16).digest() + body


def check(value: bytes, key: int, namespace: str) -> None:
    digest, body = value[:16], value[16:]
    assert hashlib.blake2b(body, digest_size=16).digest() == digest, "a torn value was served"
    assert int(body.split(b"|")[0]) == key, "another question's answer was served"
    assert body.split(b"|")[1] == namespace.encode(), "another tenant's answer was served"


def write(cache, dice) -> None:
    """The same questions, with the same vectors, in both namespaces."""
    key, namespace = dice.randrange(KEYS), dice.choice("ab")
    ttl = 0.2 if key % 7 == 0 else None
    value = answer(key, namespace, dice.randrange(10_000))
    cache.put(f"{key}", value, vector=VECTORS[key], ttl=ttl, tags=[f"{key % 11}"], namespace=namespace)
    if dice.random() < 0.1:
        cache.delete(f"{dice.randrange(KEYS)}", namespace=namespace)
    if dice.random() < 0.02:
        cache.invalidate(f"{key % 11}", namespace=namespace)
    if dice.random() < 0.001:
        cache.clear(namespace)


def read(cache, dice) -> None:
    key, namespace = dice.randrange(KEYS), dice.choice("ab")
    for hit in (
        cache.get(f"{key}", namespace=namespace),
        cache.get("?", namespace=namespace, vector=VECTORS[key]),
    ):
        if hit is not None:
            check(hit.value, key, namespace)


def work(path, step, seed, report) -> None:
    """A child's life: until it is killed. What goes wrong is written down first."""
    try:
        with semcore.Cache(path, **OPTIONS) as cache:
            dice = random.Random(seed)
            while True:
                step(cache, dice)
    except BaseException:
        with open(report, "a") as file:
            file.write(traceback.format_exc())
        os._exit(1)


def spawn(*args) -> int:
    pid = os.fork()
    if pid == 0:
        work(*args)
    return pid


def test_kills(tmp_path):
    path, report = tmp_path / "cache", tmp_path / "report"
    semcore.Cache(path, **OPTIONS).close()
    dice = random.Random(1)
    steps = [write] * 4 + [read] * 4
    pids = [spawn(path, step, i, report) for i, step in enumerate(steps)]
    kills, end = 0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < end or kills <= SECONDS * 5:  # a busy machine takes longer
            time.sleep(0.05)
            victim = dice.randrange(8)
            os.kill(pids[victim], signal.SIGKILL)
            os.waitpid(pids[victim], 0)
            kills += 1
            pids[victim] = spawn(path, steps[victim], 100 + kills, report)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert not report.exists(), report.read_text()[-3000:]
    with semcore.Cache(path, **OPTIONS) as cache:
        assert cache.validate() is None
        stats = cache.stats()
        assert stats.damaged == 0
        assert stats.evictions > 100
        for key, namespace in itertools.product(range(KEYS), "ab"):
            hit = cache.get(f"{key}", namespace=namespace)
            if hit is not None:
                check(hit.value, key, namespace)
    print(f"{kills} kills survived, {stats.puts} puts, {stats.evictions} evictions")
    assert kills > SECONDS * 5
