"""Where a prefix index lies: in a file, shared and recovered; in a cache; beside a writer; on every ISA."""

import random
import subprocess
import sys
import threading

import numpy as np
import pytest

import semcore
from semcore import _engine
from semcore.prefix import PrefixIndex


def test_a_file_is_kept_and_shared(tmp_path):
    path, prompt = tmp_path / "prefixes", list(range(1000))
    with PrefixIndex(path, blocks=5000) as index:
        index.insert(prompt, b"kept", replica=3)
        code = f"import semcore; print(semcore.PrefixIndex({str(path)!r}).match(list(range(1000))).value)"
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "b'kept'\n"
        )
    with PrefixIndex(path) as index:
        match = index.match(prompt)
        assert (match.units, match.value, match.replicas) == (62, b"kept", {3: 992})
        assert index.capacity == 5000
    with pytest.raises(semcore.RegionError, match="prefix_blocks=5000"):
        PrefixIndex(path, blocks=6000)
    with pytest.raises(semcore.RegionError, match="prefix block"):
        PrefixIndex(path, blocks=5000, block=8)


def test_recovery_keeps_what_is_whole(tmp_path, rng):
    path = tmp_path / "prefixes"
    prompts = [rng.integers(0, 3, 200, dtype=np.int32) for _ in range(50)]
    with PrefixIndex(path, block=2, blocks=2000) as index:
        for i, prompt in enumerate(prompts):
            index.insert(prompt, f"{i}")
        before = [(m.units, m.value) for m in map(index.match, prompts)]
        index._engine.repair()
        assert index.check() is None
        assert [(m.units, m.value) for m in map(index.match, prompts)] == before
    image = path.read_bytes()
    path.unlink()
    path.write_bytes(image)  # a copy of a file that was closed
    with PrefixIndex(path) as index:
        assert [(m.units, m.value) for m in map(index.match, prompts)] == before


def test_a_cache_has_one(clock):
    with semcore.Cache(
        embed=None, max_bytes="2 MiB", max_entries=500, prefix_blocks=2000, clock=clock
    ) as cache:
        for i in range(400):
            cache.put(f"{i}", "x" * 3000)
            cache.prefix.insert([i] * 64, b"y" * 3000)
        assert cache.validate() is None
        assert 0 < cache.prefix.stats()["values"] < 400
        assert 0 < len(cache) < 400
        assert cache.prefix is cache.prefix
    with (
        semcore.Cache(embed=None, max_bytes="1 MiB", prefix_blocks=0) as cache,
        pytest.raises(semcore.ConfigError, match="prefix"),
    ):
        _ = cache.prefix


def test_readers_beside_a_writer_see_a_prefix_of_the_truth(rng):
    index = PrefixIndex(blocks=600)
    prompts = [rng.integers(0, 2, 16 * 100, dtype=np.int32) for _ in range(12)]
    wrong, stop = [], threading.Event()

    def read(seed):
        dice = random.Random(seed)
        while not stop.is_set():
            prompt = dice.choice(prompts)
            match = index.match(prompt)
            if match.value is not None and match.value != prompt[: match.value_at].tobytes():
                wrong.append(match)

    readers = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for reader in readers:
        reader.start()
    dice = random.Random(9)
    for _ in range(3000):
        prompt = dice.choice(prompts)[: 16 * dice.randrange(1, 101)]
        index.insert(prompt, prompt.tobytes())
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert index.check() is None


def test_scalar_and_fast_kernels_agree(isa, tmp_path):
    secret = _engine.isa()
    path = tmp_path / "prefixes"
    with PrefixIndex(path, blocks=100) as index:
        index.insert(list(range(512)))
        _engine.set_isa("scalar")
        assert index.match(list(range(512))).units == 32, secret
