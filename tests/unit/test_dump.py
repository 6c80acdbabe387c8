"""Export, import and compact: every entry as it was, in another geometry; nothing half done."""

import io
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time

import msgpack
import numpy as np
import pytest
from conftest import unit
from hypothesis import given
from hypothesis import strategies as st

import semcore
from semcore import dump
from semcore.cli import main
from semcore.dump import Shape

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
OPTIONS = {"embed": None, "dim": 24, "max_entries": 200, "max_bytes": "1 MiB"}
VALUES = ("text", "", "ünïcode \ud800", b"bytes", b"", None, 7, [1, {"a": (2.5, None)}], {"k": "v"})


def fill(path, vectors, **options) -> None:
    """An entry for each vector: every kind of text, value, tag and time to live."""
    with semcore.Cache(path, **OPTIONS | options) as cache:
        for i, vector in enumerate(vectors):
            cache.put(
                question(i), VALUES[i % len(VALUES)], vector=vector if i % 5 else None, namespace=f"n{i % 3}",
                context={"model": i % 2}, tags=[f"t{i % 4}", b"raw"][: i % 3],
                ttl=1e6 if i % 4 == 0 else None,
                tokens=i, cost=i / 7, latency_ms=i * 3.5,
            )  # fmt: skip
        for i in range(0, len(vectors), 2):
            cache.get(question(i), namespace=f"n{i % 3}", context={"model": i % 2})


def question(i: int) -> str | bytes:
    return b"raw %d" % i if i % 11 == 0 else f"question {i} ü"


NOW = time.time()  # one for all: an age says when an entry was made


def contents(path, storage="f16") -> dict:
    """All that a cache knows of each entry that `fill` makes."""
    out = {}
    with semcore.Cache(path, embed=None, dim=24, storage=storage, read_only=True, clock=lambda: NOW) as cache:
        for i in range(200):
            hit = cache.get(question(i), namespace=f"n{i % 3}", context={"model": i % 2})
            if hit is not None:
                vector = cache._vector_at(hit.id)
                vector = None if vector is None else vector.tobytes()
                out[i] = (hit.value, hit.text, hit.saving, cache[hit.id].age, vector)
    return out


def exported(path) -> bytes:
    out = io.BytesIO()
    dump.export(path, out)
    return out.getvalue()


@pytest.fixture
def filled(tmp_path, rng):
    path = tmp_path / "cache"
    fill(path, unit(rng, 60, 24))
    return path


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
def test_an_import_is_the_same_cache(tmp_path, rng, storage):
    path, other = tmp_path / "cache", tmp_path / "other"
    fill(path, unit(rng, 60, 24), storage=storage)
    moved = dump.import_new(other, io.BytesIO(exported(path)), Shape())
    assert moved == (60, 0, 0, 0, 0)
    with semcore.Cache(path, embed=None, dim=24, storage=storage) as a:
        before = a.stats()
    with semcore.Cache(other, embed=None, dim=24, storage=storage) as b:
        assert b.stats() == before
        assert b.validate() is None
    assert len(list(tmp_path.iterdir())) == 2
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    with (
        semcore.Cache(path, embed=None, dim=24, storage=storage) as a,
        semcore.Cache(other, embed=None, dim=24, storage=storage) as b,
    ):
        for i in range(60):
            where = {"namespace": f"n{i % 3}", "context": {"model": i % 2}}
            x, y = a.get(question(i), **where), b.get(question(i), **where)
            assert (x.value, x.text, x.saving) == (y.value, y.text, y.saving)
            assert abs(x.age - y.age) < 0.1
            if i % 5:
                assert (a._vector_at(x.id) == b._vector_at(y.id)).all()
                near = b.get("?", vector=a._vector_at(x.id), threshold=0.999, **where)
                assert near.value == y.value
        assert [b.invalidate(f"t{t}", namespace="n1") for t in range(4)] == [
            a.invalidate(f"t{t}", namespace="n1") for t in range(4)
        ]


def test_a_smaller_cache_keeps_what_was_hit_last(tmp_path):
    path, other = tmp_path / "cache", tmp_path / "other"
    with semcore.Cache(path, **OPTIONS) as cache:
        for i in range(100):
            cache.put(f"{i}", i)
        for i in range(40, 60):
            for _ in range(5):
                cache.get(f"{i}")
    moved = dump.import_new(other, io.BytesIO(exported(path)), Shape(30))
    assert moved == (30, 0, 70, 0, 0)
    with semcore.Cache(other, embed=None, dim=24) as cache:
        assert cache.stats().max_entries == 30
        assert cache.stats().evictions == 0
        assert sum(f"{i}" in cache for i in range(40, 60)) == 20


def test_what_expires_in_between_is_not_imported(tmp_path, monkeypatch):
    path, other = tmp_path / "cache", tmp_path / "other"
    with semcore.Cache(path, **OPTIONS) as cache:
        cache.put("short", 1, ttl=1000)
        cache.put("long", 2)
    image = exported(path)
    real = dump.time.time
    monkeypatch.setattr(dump.time, "time", lambda: real() + 2000)
    assert dump.import_new(other, io.BytesIO(image), Shape()) == (1, 1, 0, 0, 0)


def test_every_prefix_and_every_flip_is_refused(filled, tmp_path):
    image = exported(filled)
    dice = random.Random(1)
    damaged = [image[: dice.randrange(len(image))] for _ in range(100)] + [b""]
    for _ in range(200):
        at = dice.randrange(len(image))
        damaged.append(image[:at] + bytes([image[at] ^ (1 << dice.randrange(8))]) + image[at + 1 :])
    for stream in damaged:
        with pytest.raises(semcore.RegionError):
            dump.import_new(tmp_path / "new", io.BytesIO(stream), Shape())
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def resealed(frames: list[bytes]) -> bytes:
    """A stream of any frames, with an end that proves them."""
    out = io.BytesIO()
    dump.write(iter(frames), out)
    return out.getvalue()


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text()
anything = st.recursive(scalars, lambda x: st.lists(x, max_size=4), max_leaves=6)


@given(changes=st.dictionaries(st.integers(0, 16), anything, max_size=3), header=st.dictionaries(
    st.sampled_from(sorted(dump.HEADER)), anything, max_size=2))  # fmt: skip
def test_a_forged_export_is_refused_or_harmless(tmp_path_factory, changes, header):
    """Any value in any place of a record or the header, properly sealed."""
    folder = tmp_path_factory.mktemp("forged")
    fill(folder / "cache", unit(np.random.default_rng(0), 4, 24))
    first, *entries = list(dump.read(io.BytesIO(exported(folder / "cache"))))
    record = msgpack.unpackb(entries[0])
    for place, value in changes.items():
        record[place] = value
    frames = [msgpack.packb(msgpack.unpackb(first) | header), msgpack.packb(record), *entries[1:]]
    try:
        dump.import_new(folder / "new", io.BytesIO(resealed(frames)), Shape(50, 1 << 18))
    except (semcore.SemcoreError, ValueError):
        assert not (folder / "new").exists()
        return
    made = semcore._engine.peek(folder / "new")
    engine = dump.open_any(folder / "new")
    assert made["max_entries"] == 50
    assert engine.validate() is None
    engine.close()


def test_a_run_that_is_left_out_is_counted(tmp_path, capsys):
    path, new, file = tmp_path / "index", tmp_path / "new", tmp_path / "export"
    with semcore.PrefixIndex(path, blocks=200) as index:
        index.insert([1] * 320)
        index.insert([1] * 160 + [2] * 160)
        index.insert([3] * 160)
    head, _, *rest = dump.read(io.BytesIO(exported(path)))
    with open(file, "wb") as out:
        dump.write(
            iter([head, *rest]), out
        )  # as if the first had gone before it was read, which another goes on from
    assert main(["import", str(new), str(file)]) == 0
    assert "10 blocks of prefixes kept, with values and pins; 2 runs left out" in capsys.readouterr().out


def test_a_cache_whose_clock_is_none_is_closed(filled, tmp_path):
    head, *entries = dump.read(io.BytesIO(exported(filled)))
    head = msgpack.packb(msgpack.unpackb(head) | {"clock": [-1, 0, 0]})
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(semcore.RegionError, match="impossible") as error:
        dump.import_new(tmp_path / "new", io.BytesIO(resealed([head, *entries])), Shape())
    assert len(os.listdir("/proc/self/fd")) == before, error  # which holds on to all frames
    assert not (tmp_path / "new").exists()


def test_a_damaged_vector_is_not_exported(filled):
    """Or the import would give it a checksum that holds."""
    with semcore.Cache(filled, embed=None, dim=24) as cache:
        hit = cache.get(question(1), namespace="n1", context={"model": 1})
        row = cache._vector_at(hit.id)
        norm = np.linalg.norm(row.astype(np.float16).astype(np.float32))
    image = bytearray(filled.read_bytes())
    stored = (row * norm).astype(np.float16).tobytes()
    image[image.index(stored[4:20]) + 3] ^= 0x40
    filled.write_bytes(image)
    frames = list(dump.read(io.BytesIO(exported(filled))))
    assert len(frames) == 60  # the header, and all entries but one


def test_an_export_finds_what_is_put_anew_meanwhile(filled):
    """The entry moves to another slot, and its key was there all the time."""
    with semcore.Cache(filled, embed=None, dim=24) as cache:
        stream = dump.frames(cache)
        next(stream)
        for i in range(60):
            cache.put(question(i), "new", namespace=f"n{i % 3}", context={"model": i % 2})
        assert len(list(stream)) == 60


def test_import_replaces_nothing(filled, tmp_path):
    image = exported(filled)
    before = filled.read_bytes()
    with pytest.raises(semcore.ConfigError, match="exists"):
        dump.import_new(filled, io.BytesIO(image), Shape())
    assert filled.read_bytes() == before


def test_compact_makes_it_as_small_as_its_entries(filled):
    before, size = contents(filled), filled.stat().st_size
    assert dump.compact(filled, Shape()) == (60, 0, 0, 0, 0)
    assert contents(filled) == before
    assert filled.stat().st_size < size / 4
    with semcore.Cache(filled, embed=None, dim=24) as cache:
        assert cache.stats().max_entries == 60
        assert cache.validate() is None


def test_compact_into_another_shape(filled):
    before = contents(filled)
    assert dump.compact(filled, Shape(1000, 4 << 20, "f32")) == (60, 0, 0, 0, 0)
    assert contents(filled, "f32") == before  # every half is a float
    with semcore.Cache(filled, embed=None, dim=24, storage="f32") as cache:
        assert cache.stats().max_entries == 1000
        assert 0 <= (4 << 20) - cache.stats().bytes <= 4096  # a page may not hold a block and its link


def test_compact_keeps_links_mode_and_owner(filled, tmp_path):
    (tmp_path / "link").symlink_to("cache")
    filled.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(filled, 65534, 65534)
    before = filled.stat()
    assert dump.compact(tmp_path / "link", Shape()).kept == 60
    after = filled.stat()
    assert (tmp_path / "link").is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    os.link(filled, tmp_path / "second name")
    with pytest.raises(semcore.SemcoreError, match="2 names"):
        dump.compact(filled, Shape())


def test_compact_refuses_a_file_in_use(filled):
    with semcore.Cache(filled, embed=None, dim=24) as cache:
        with pytest.raises(semcore.SemcoreError, match="open elsewhere"):
            dump.compact(filled, Shape())
        assert cache.validate() is None
    assert [p.name for p in filled.parent.iterdir()] == ["cache"]


def test_who_opens_while_it_is_compacted_gets_the_new_one(filled, monkeypatch):
    waiting = []
    real = dump.fill

    def fill_slowly(path, *args):
        code = (
            "import sys, semcore; print(semcore.Cache(sys.argv[1], embed=None, dim=24).stats().max_entries)"
        )
        waiting.append(subprocess.Popen([sys.executable, "-c", code, str(filled)], stdout=subprocess.PIPE))
        moved = real(path, *args)
        assert waiting[0].poll() is None
        return moved

    monkeypatch.setattr(dump, "fill", fill_slowly)
    dump.compact(filled, Shape(77))
    assert waiting[0].communicate(timeout=60)[0] == b"77\n"


def test_the_commands(filled, tmp_path, capsys):
    file, other = tmp_path / "export", tmp_path / "other"
    before = contents(filled)
    assert main(["export", str(filled), str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["import", str(other), str(file), "--max-entries", "100", "--max-bytes", "512 KiB"]) == 0
    assert "60 entries kept, 0 left out" in capsys.readouterr().out
    assert contents(other) == before
    assert main(["compact", str(other)]) == 0
    assert contents(other) == before
    assert main(["import", str(other), str(file)]) == 2
    assert "exists" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:-10])
    assert main(["import", str(tmp_path / "third"), str(file)]) == 2
    assert "cut short or damaged" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "export", "other"]


def test_export_writes_over_no_cache_and_into_pipes(filled, tmp_path, capsys):
    before = contents(filled)
    assert main(["export", str(filled), str(filled)]) == 2
    assert "is a cache" in capsys.readouterr().err
    assert contents(filled) == before
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert main(["export", str(filled), str(tmp_path / "pipe")]) == 0
    reader.join()
    assert len(list(dump.read(io.BytesIO(got[0])))) == 61
    (tmp_path / "link").symlink_to("target")
    assert main(["export", str(filled), str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").stat().st_size == len(got[0])


def test_a_terminated_command_leaves_nothing(filled, tmp_path, monkeypatch):
    def end(*args):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(dump, "put_entry", end)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    try:
        assert main(["compact", str(filled)]) == 143
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_a_reader_that_has_enough(filled):
    command = [sys.executable, "-m", "semcore.cli", "export", filled, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
        export.stdout.close()
        assert export.wait(60) == 141
        assert export.stderr.read().count(b"Traceback") == 0


def test_from_pipe_to_pipe(filled, tmp_path):
    command = [sys.executable, "-m", "semcore.cli"]
    out = subprocess.run([*command, "export", filled, "-"], capture_output=True, check=True)
    subprocess.run(
        [*command, "import", tmp_path / "other", "-"], input=out.stdout, capture_output=True, check=True
    )
    assert contents(tmp_path / "other") == contents(filled)
    assert os.path.getsize(tmp_path / "other") == filled.stat().st_size
