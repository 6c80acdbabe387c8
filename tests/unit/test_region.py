"""Files: kept, refused when they are not ours, and of a damaged one only the damage is lost."""

import contextlib
import functools
import os
import random
import stat
import subprocess
import sys

import numpy as np
import pytest
from conftest import unit

import semcore

linux = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
pytestmark = linux
OPTIONS = {"embed": None, "dim": 16, "max_entries": 64, "max_bytes": 200_000}


@functools.cache
def answer(i: int) -> bytes:
    return b"%d:" % i + random.Random(i).randbytes(i * 7 % 500)


@pytest.fixture
def filled(disk, rng):
    """(path, vectors) of a cleanly closed file with 60 entries."""
    path = disk / "cache.semcore"
    vectors = unit(rng, 60, 16)
    with semcore.Cache(path, **OPTIONS) as cache:
        for i in range(60):
            cache.put(
                f"question {i}", answer(i), namespace=f"{i % 3}", vector=vectors[i], tags=[f"tag {i % 5}"]
            )
    return path, vectors


def survivors(cache, vectors) -> int:
    """How many entries are still found; whatever is found must be right."""
    found = 0
    for i in range(60):
        exact = cache.get(f"question {i}", namespace=f"{i % 3}")
        assert exact is None or exact.value == answer(i)
        if exact is not None:
            assert cache[exact.id].value == answer(i)
        near = cache.get("?", namespace=f"{i % 3}", vector=vectors[i], threshold=0.999)
        assert near is None or near.value == answer(i)
        found += exact is not None
    return found


def flip(path, image, at, bit) -> None:
    """One bit of the file, under the eyes of the operating system: as damage at runtime would."""
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([image[at] ^ (1 << bit)]))


def put_back(path, image) -> None:
    """The file as a copy of what it was, which has to prove itself as after another start of the machine."""
    copy = path.with_suffix(".copy")
    copy.write_bytes(image)
    copy.replace(path)


def test_reopening_finds_everything(filled):
    path, vectors = filled
    with semcore.Cache(path, **OPTIONS) as cache:
        assert survivors(cache, vectors) == 60
        assert cache.validate() is None
        assert cache.invalidate("tag 0", namespace="0") == 4
        assert cache.stats().hits_exact == 60
    with semcore.Cache(path, embed=None, dim=16) as cache:  # the file knows its geometry
        assert survivors(cache, vectors) == 56
        assert cache.stats().max_entries == 64


def test_a_file_that_was_never_closed_is_recovered(filled):
    path, vectors = filled
    cache = semcore.Cache(path, **OPTIONS)
    cache.put("late", "x", ttl=1e6)
    image = path.read_bytes()
    cache.close()
    put_back(path, image)
    with semcore.Cache(path, **OPTIONS) as cache:
        assert cache.stats().recoveries == 1
        assert cache.validate() is None
        assert survivors(cache, vectors) == 60
        assert cache.get("late").value == "x"


def test_a_killed_process_loses_nothing_that_was_put(tmp_path):
    path = tmp_path / "cache.semcore"
    code = (
        "import os, sys, semcore\n"
        f"cache = semcore.Cache(sys.argv[1], **{OPTIONS!r})\n"
        "for i in range(40): cache.put(f'{i}', i)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    with semcore.Cache(path, **OPTIONS) as cache:
        assert cache.validate() is None
        assert [cache.get(f"{i}").value for i in range(40)] == list(range(40))


def test_two_handles_on_one_file(filled):
    path, vectors = filled
    with semcore.Cache(path, **OPTIONS) as a, semcore.Cache(path, **OPTIONS) as b:
        a.put("from a", 1)
        assert b.get("from a").value == 1
        b.delete("from a")
        assert a.get("from a") is None
        assert survivors(b, vectors) == 60
    with semcore.Cache(path, **OPTIONS) as cache:
        assert cache.validate() is None
        assert len(cache) == 60


def test_the_file_is_private_and_of_the_size_asked_for(filled):
    path, _ = filled
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size <= 200_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 24}, "made with dim=16, opened with dim=24"),
        ({"dim": None}, "made with dim=16, opened with dim=0"),
        ({"max_entries": 65}, "made with max_entries=64, opened with 65"),
        ({"max_bytes": 300_000}, "made with max_bytes=200000, opened with 300000"),
        ({"storage": "i8"}, "vector storage"),
        (
            {"embed": lambda t: np.ones(16), "dim": None},
            "made with embedder 'vectors', opened with '.*lambda.*:16:.*'",
        ),
    ],
)
def test_another_geometry_or_embedder_is_refused(filled, change, words):
    path, vectors = filled
    before = path.read_bytes()
    with pytest.raises(semcore.RegionError, match=words):
        semcore.Cache(path, **OPTIONS | change)
    assert path.read_bytes() == before
    with semcore.Cache(path, **OPTIONS) as cache:
        assert survivors(cache, vectors) == 60


@pytest.mark.parametrize(
    "content", [b"x", b"not a cache" * 1000, b"\0" * 200_000, b"semcore\x1a", b"semcore\x1a" + b"\0" * 5000]
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    for options in (OPTIONS, {"embed": None}):
        with pytest.raises(semcore.RegionError, match=str(path)):
            semcore.Cache(path, **options)
    assert path.read_bytes() == content


def test_other_versions_and_byte_orders_are_named(filled):
    path, _ = filled
    image = bytearray(path.read_bytes())
    for at, value, words in (
        (8, b"\7", "format version 7"),
        (12, b"\1\2\3\4", "byte order"),
        (40, b"\7", "checksum"),
    ):
        forged = bytearray(image)
        forged[at : at + len(value)] = value
        path.write_bytes(forged)
        with pytest.raises(semcore.RegionError, match=words):
            semcore.Cache(path, **OPTIONS)


def test_truncated(filled):
    path, _ = filled
    image = path.read_bytes()
    for size in (1, 100, 4095, 4096, 50_000, len(image) - 1):
        path.write_bytes(image[:size])
        with pytest.raises(semcore.RegionError, match=r"truncated|not a semcore file"):
            semcore.Cache(path, **OPTIONS)
    path.write_bytes(b"")
    with semcore.Cache(path, **OPTIONS) as cache:  # empty: as if new
        assert len(cache) == 0


def test_a_bit_flipped_anywhere_loses_only_what_it_hit(filled):
    """10,000 places (fewer by SEMCORE_FLIPS): an error that names the file, or at most one entry lost."""
    path, vectors = filled
    image = path.read_bytes()
    dice = random.Random(1)
    used = [i for i in range(len(image)) if image[i]]  # flips where something is, and anywhere
    refused = lost = 0
    for n in range(int(os.environ.get("SEMCORE_FLIPS", "10000"))):
        at = dice.choice(used) if n % 2 else dice.randrange(len(image))
        put_back(path, image)
        flip(path, image, at, dice.randrange(8))
        try:
            cache = semcore.Cache(path, **OPTIONS)
        except semcore.RegionError:
            assert at < 4096, f"byte {at} made the file unreadable"
            refused += 1
        else:
            with cache:
                kept = survivors(cache, vectors)
                assert kept >= 59, f"byte {at}: {60 - kept} entries lost"
                lost += 60 - kept
                if n % 50 == 0:  # damage that no lookup touched is still there, and nothing else is wrong
                    assert cache.validate() in (None, "an entry's checksum does not match")
    assert refused > 0
    assert lost > 0


def test_a_bit_flipped_at_runtime_serves_nothing_wrong(filled):
    """In a file that is taken at its word: entries may hide behind a damaged index, and none is wrong."""
    path, vectors = filled
    image = path.read_bytes()
    dice = random.Random(3)
    used = [i for i in range(4096, len(image)) if image[i]]
    for _ in range(int(os.environ.get("SEMCORE_FLIPS", "3000")) // 3):
        at = dice.choice(used)
        flip(path, image, at, dice.randrange(8))
        with semcore.Cache(path, **OPTIONS) as cache:
            survivors(cache, vectors)
        path.write_bytes(image)


@pytest.mark.parametrize("runtime", [False, True], ids=["at rest", "at runtime"])
def test_writing_after_a_flipped_bit_is_safe(filled, runtime):
    """A cache that goes on being used with damage inside serves nothing wrong."""
    path, vectors = filled
    answers = {answer(i) for i in range(150)}
    image = path.read_bytes()
    dice = random.Random(2)
    used = [i for i in range(4096, len(image)) if image[i]]
    for _ in range(int(os.environ.get("SEMCORE_FLIPS", "1500")) // 5):
        at = dice.choice(used)
        if not runtime:
            put_back(path, image)
        flip(path, image, at, dice.randrange(8))
        with semcore.Cache(path, **OPTIONS) as cache:
            for tag in range(5):
                cache.invalidate(f"tag {tag}", namespace=f"{dice.randrange(3)}")
            for i in range(150):
                where = {"namespace": f"{i % 3}"}
                cache.put(f"new {i}", answer(i), vector=vectors[i % 60], tags=[f"{i % 4}"], **where)
                hit = cache.get(f"new {i}", **where)
                assert hit.value == answer(i) if hit or not runtime else hit is None
            for i in range(60):
                hit = cache.get(f"question {i}", namespace=f"{i % 3}")
                assert hit is None or hit.value == answer(i)
            for id in cache:
                with contextlib.suppress(KeyError):  # damaged: found out now, and gone
                    assert cache[id].value in answers
        path.write_bytes(image)


def test_a_creation_that_was_killed_is_made_anew(tmp_path):
    path = tmp_path / "cache"
    for content in (b"semcore+", b"semcore+" + b"\0" * 100_000):
        path.write_bytes(content)
        with semcore.Cache(path, **OPTIONS) as cache:
            cache.put("q", 1)
        with semcore.Cache(path, **OPTIONS) as cache:
            assert cache.get("q").value == 1


def test_a_damaged_entry_is_not_served_by_its_id(filled):
    path, _ = filled
    with semcore.Cache(path, **OPTIONS) as cache:
        ids = list(cache)
    image = path.read_bytes()
    needle = b"question 7"
    at = image.index(needle) - len(answer(7))
    for offset in (0, 3):
        path.write_bytes(image[: at + offset] + bytes([image[at + offset] ^ 1]) + image[at + offset + 1 :])
        with semcore.Cache(path, **OPTIONS) as cache:
            values = []
            for id in ids:
                try:
                    values.append(cache[id].value)
                except KeyError:
                    continue
            assert sorted(values) == sorted(answer(i) for i in range(60) if i != 7)
            assert cache.stats().damaged == 1
            assert cache.validate() is None


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(semcore.RegionError, match="not a regular file"):
        semcore.Cache("/dev/null", **OPTIONS)
    with pytest.raises(OSError, match="No such file or directory"):
        semcore.Cache(tmp_path / "no" / "folder", **OPTIONS)
    with pytest.raises(OSError, match="Is a directory"):
        semcore.Cache(tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match="NUL"):
        semcore.Cache("a\0b", **OPTIONS)


def test_a_failed_creation_leaves_no_file(tmp_path):
    path = tmp_path / "cache"
    with pytest.raises(semcore.ConfigError, match="max_bytes"):
        semcore.Cache(path, embed=None, dim=4096, max_entries=10_000, max_bytes="1 MiB")
    assert not path.exists()


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
def test_every_storage_survives_recovery(tmp_path, rng, storage):
    path = tmp_path / "cache"
    rows = unit(rng, 20, 40)
    options = {"embed": None, "dim": 40, "max_entries": 20, "max_bytes": "1 MiB", "storage": storage}
    cache = semcore.Cache(path, **options)
    ids = [cache.put(f"{i}", i, vector=row) for i, row in enumerate(rows)]
    before = [cache._nearest(row, "", None, -1, 12) for row in rows]
    image = path.read_bytes()
    cache.close()
    put_back(path, image)
    with semcore.Cache(path, **options) as cache:
        assert cache.stats().recoveries == 1
        assert cache.validate() is None
        assert sorted(cache) == sorted(ids)
        after = [cache._nearest(row, "", None, -1, 12) for row in rows]
    assert [[(c.id, c.similarity) for c in cs] for cs in before] == [
        [(c.id, c.similarity) for c in cs] for cs in after
    ]
