"""What a prefix index keeps: over a recovery, for readers that may not write, and in an export."""

import io
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semcore
from semcore import _engine, carry, dump
from semcore.cli import main
from semcore.dump import Shape
from semcore.prefix import PrefixIndex

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
WRITING = 396  # offset of sc_header.writing
ROUNDS = 120
STABLE = range(6)


def prompt(i):
    """Some blocks in common with others, and at least one of its own."""
    return [i % 5] * 32 + [i % 3] * 32 + [10 + i] * 16 * (1 + i % 6)


def fill(index, seed=1, rounds=ROUNDS):
    """Values, pins, holdings, and hits inside of runs."""
    dice = random.Random(seed)
    for i in range(rounds):
        index.insert(prompt(i), f"value {i}" if i % 2 else {"n": i}, replica=i % 4, namespace=f"n{i % 2}")
        index.match(
            prompt(dice.randrange(i + 1))[: 16 * dice.randrange(1, 8)], namespace=f"n{dice.randrange(2)}"
        )
        if i % 10 == 0:
            index.pin(prompt(i), namespace="n0")
            index.pin(prompt(i)[:64], namespace="n0")


def known(index, rounds=3 * ROUNDS, replicas=True):
    """What the index knows of each prompt, without a trace."""
    found = (index.match(prompt(i), namespace=f"n{i % 2}", touch=False) for i in range(rounds))
    return [(m.units, m.value, m.replicas if replicas else None) for m in found]


def go_on(index):
    """More prompts than there is room for; what is left says in which order the others went."""
    for i in range(ROUNDS, 2 * ROUNDS):
        index.insert(prompt(i), namespace=f"n{i % 2}")


# ---- recovery ----


@pytest.mark.parametrize("policy", ["lru", "lfu"])
@pytest.mark.parametrize("private", [True, False])
def test_a_recovery_changes_nothing(tmp_path, private, policy):
    paths = [None, None] if private else [tmp_path / "a", tmp_path / "b"]
    with (
        PrefixIndex(paths[0], blocks=250, policy=policy) as a,
        PrefixIndex(paths[1], blocks=250, policy=policy) as b,
    ):
        for index in (a, b):
            fill(index)
        b._engine.repair()
        assert b.check() is None
        assert b.stats() == a.stats()
        assert known(b) == known(a)
        assert a.route(prompt(7), [0] * 4, namespace="n1") == b.route(prompt(7), [0] * 4, namespace="n1")
        for index in (a, b):
            go_on(index)
        assert b.check() is None
        assert known(b) == known(a)
        assert a.stats()["evicted"] > 100
        for i in range(0, ROUNDS, 10):
            pinned = [[index.unpin(prompt(i), namespace="n0") for _ in range(2)] for index in (a, b)]
            assert pinned[0] == pinned[1] == [len(prompt(i)), 64]
        assert b.stats()["pins"] == a.stats()["pins"] == 0


def disturb(path, seed):
    """A writer's life: it changes everything but what the others rely on, until it is killed."""
    dice = random.Random(seed)
    with PrefixIndex(path) as index:
        while True:
            i = dice.randrange(10, 200)
            index.insert(prompt(i), b"%d" % i, replica=4 + i % 4)
            if i < 14 and not index.unpin(prompt(i)):
                index.pin(prompt(i))
            if dice.random() < 0.05:
                index.forget(4 + i % 4)


def test_killed_writers_leave_pins_and_holdings(tmp_path):
    path, dice = tmp_path / "index", random.Random(2)
    with PrefixIndex(path, blocks=300) as index:
        for i in STABLE:
            index.insert(prompt(i), b"%d" % i, replica=i % 4)
            index.pin(prompt(i))
    recovered = 0
    for kill in range(300):
        pid = os.fork()
        if pid == 0:
            try:
                disturb(path, kill)
            finally:
                os._exit(1)
        time.sleep(0.02 + 0.02 * dice.random())
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        with PrefixIndex(path) as index:
            recovered = index._engine._stats()["recoveries"]
            assert index.check() is None
            assert (
                len(STABLE) <= index.stats()["pins"] <= len(STABLE) + 4
            )  # at most one for each that is pinned and not
            for i in STABLE:
                match = index.match(prompt(i), touch=False)
                assert (match.matched, match.value) == (len(prompt(i)), b"%d" % i)
                assert match.replicas[i % 4] == len(prompt(i))
                loads = [0.0 if r == i % 4 else 0.001 for r in range(4)]
                assert index.route(prompt(i), loads).replica == i % 4
        if recovered >= 8:
            break
    assert recovered >= 8, "hardly a writer died at work"
    with PrefixIndex(path) as index:
        assert index.stats()["evicted"] > 100
        assert [index.unpin(prompt(i)) for i in STABLE] == [len(prompt(i)) for i in STABLE]


# ---- for reading only ----


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "index"
    with PrefixIndex(path, blocks=1000) as index:
        fill(index)
    return path


def test_read_only_finds_all_and_leaves_no_trace(filled):
    with PrefixIndex(filled) as writer:
        stats, all_of_it = writer.stats(), known(writer)
        routes = [writer.route(prompt(i), [0, 1, 2], namespace=f"n{i % 2}") for i in range(ROUNDS)]
    before = filled.read_bytes()
    with PrefixIndex(filled, read_only=True) as reader:
        assert reader.stats() == stats
        assert len(reader) == stats["blocks"] > 100
        assert known(reader) == all_of_it
        for i in range(ROUNDS):
            where, value = {"namespace": f"n{i % 2}"}, f"value {i}" if i % 2 else {"n": i}
            assert reader.match(prompt(i), **where).value == reader.lookup(prompt(i), **where) == value
            assert reader.route(prompt(i), [0, 1, 2], **where) == routes[i]
        assert reader.explain(prompt(1), prompt(2)).where == "block 0"
        assert reader.check() is None
        assert filled.read_bytes() == before
        for act in (
            lambda: reader.insert(prompt(1)), lambda: reader.pin(prompt(1)), lambda: reader.unpin(prompt(1)),
            lambda: reader.forget(0), reader.clear,
        ):  # fmt: skip
            with pytest.raises(semcore.SemcoreError, match="read-only"):
                act()
        assert filled.read_bytes() == before
        with PrefixIndex(filled) as writer:
            writer.insert(prompt(900), "new", namespace="n0")
            assert reader.match(prompt(900), namespace="n0").value == "new"


def test_read_only_follows_no_events(tmp_path):
    path = tmp_path / "index"
    PrefixIndex(path, blocks=100, hash="xxh3-64").close()
    with PrefixIndex(path, read_only=True) as reader:
        event = ["BlockStored", reader.hashes(prompt(1)), None, prompt(1), 16, None]
        with pytest.raises(semcore.SemcoreError, match="read-only"):
            reader.apply(event, replica=0)


def test_read_only_needs_a_file(tmp_path):
    with pytest.raises(semcore.ConfigError, match="read_only"):
        PrefixIndex(read_only=True)
    with pytest.raises(FileNotFoundError):
        PrefixIndex(tmp_path / "none", read_only=True)


def test_a_read_only_cache_has_its_index(tmp_path):
    path, chat = tmp_path / "cache", [{"role": "user", "content": "Hello"}]
    with semcore.Cache(path, embed=None, max_entries=10, max_bytes="1 MiB", prefix_blocks=100) as cache:
        cache.put(messages=chat, value={"step": 1})
    with semcore.Cache(path, embed=None, read_only=True) as cache:
        assert cache.get(messages=chat).value == {"step": 1}
        assert cache.get(messages=chat, namespace="other") is None
        assert cache.prefix.stats()["values"] == 1
        assert (cache.stats().hits_prefix, cache.stats().misses) == (0, 0)
        with pytest.raises(semcore.SemcoreError, match="read-only"):
            cache.put(messages=chat, value=2)


def write(path, over):
    """Values of stable prompts are put anew, and others come and go."""
    with PrefixIndex(path) as index:
        for n in itertools.count():
            i = n % len(STABLE)
            index.insert(prompt(i), b"%d|%d|" % (i, n) + bytes([n % 256]) * 30_000, replica=i, namespace="w")
            index.insert(prompt(10 + n % 2000), b"%d" % n, replica=4, namespace="w")
            if over.is_set():
                return


def test_read_only_beside_a_writer_sees_one_state(filled):
    """A prompt that is there has its value and its holder, whole, at every moment: so every match says so."""
    over, found = threading.Event(), 0
    with PrefixIndex(filled) as index:
        for i in STABLE:
            index.insert(prompt(i), b"%d|" % i, replica=i, namespace="w")
            index.pin(prompt(i), namespace="w")
    writer = threading.Thread(target=write, args=(filled, over))
    writer.start()
    try:
        with PrefixIndex(filled, read_only=True) as reader:
            for n in range(20_000):
                i = n % len(STABLE)
                match = reader.match(prompt(i), namespace="w")
                if match.matched == 0:
                    continue  # the writer was at work all the time
                found += 1
                assert match.matched == match.value_at == match.replicas[i] == len(prompt(i))
                whose, *rest = match.value.split(b"|", 2)
                assert int(whose) == i
                assert rest[0] == b"" or rest[1] == bytes([int(rest[0]) % 256]) * 30_000
    finally:
        over.set()
        writer.join()
    assert found > 100


def test_read_only_finds_nothing_where_a_writer_died_until_it_is_recovered(filled):
    with PrefixIndex(filled, read_only=True) as reader, PrefixIndex(filled) as writer:
        assert reader.match(prompt(0), namespace="n0").value == {"n": 0}
        with open(filled, "r+b") as file:
            file.seek(WRITING)
            count = int.from_bytes(file.read(4), "little")
            assert count > 0
            assert count % 2 == 0
            file.seek(WRITING)
            file.write((count + 1).to_bytes(4, "little"))
        match = reader.match(prompt(0), namespace="n0")
        assert (match.matched, match.value, match.replicas) == (0, None, {})
        assert writer.match(prompt(0), namespace="n0").value == {"n": 0}
        assert writer._engine._stats()["recoveries"] == 1
        assert reader.match(prompt(0), namespace="n0").value == {"n": 0}


# ---- in an export, and compacted ----


def exported(path) -> bytes:
    out = io.BytesIO()
    dump.export(path, out)
    return out.getvalue()


@pytest.mark.parametrize("way", ["compact", "import"])
def test_prompts_values_and_pins_move(tmp_path, way):
    path, twin = tmp_path / "index", tmp_path / "twin"
    for one in (path, twin):
        with PrefixIndex(one, blocks=250) as index:
            fill(index)
            index.insert(prompt(9000), "soon over", ttl=1e-6)
            blocks = len(index)
    if way == "compact":
        size = path.stat().st_size
        assert dump.compact(path, Shape()) == (0, 0, 0, blocks, 0)
        assert path.stat().st_size < size / 10
    else:
        new = tmp_path / "new"
        assert dump.import_new(new, io.BytesIO(exported(path)), Shape(max_bytes=4 << 20)) == (
            0,
            0,
            0,
            blocks,
            0,
        )
        path = new
    with PrefixIndex(path) as moved, PrefixIndex(twin) as old:
        assert moved.check() is None
        assert known(moved, replicas=False) == known(old, replicas=False)
        assert not moved.match(prompt(1), namespace="n1").replicas
        same = ("blocks", "max_blocks", "pins", "evicted", "runs")
        assert [moved.stats()[x] for x in same] == [old.stats()[x] for x in same]
        assert moved.stats()["values"] == old.stats()["values"] - 1
        old.match(prompt(1), namespace="n1")
        for index in (moved, old):
            go_on(index)
        assert known(moved, replicas=False) == known(old, replicas=False)
        for i in range(0, ROUNDS, 10):
            assert [moved.unpin(prompt(i), namespace="n0") for _ in range(2)] == [len(prompt(i)), 64]
        assert moved.check() is None


def test_a_cache_moves_with_its_index(tmp_path, capsys):
    path, chat = tmp_path / "cache", [{"role": "user", "content": "Hello"}]
    with semcore.Cache(path, embed=None, max_entries=100, max_bytes="2 MiB", prefix_blocks=100) as cache:
        cache.put("text", "entry")
        cache.put(messages=chat, value={"step": 1}, namespace="acme", context="model")
        cache.prefix.insert(prompt(1), replica=3)
        cache.get(messages=chat, namespace="acme", context="model")
    assert main(["compact", str(path), "--max-entries", "50"]) == 0
    out = capsys.readouterr().out
    assert "1 entries kept" in out
    assert "6 blocks of prefixes kept" in out or "7 blocks of prefixes kept" in out
    assert "what replicas hold is left out" in out
    assert main(["export", str(path), str(tmp_path / "dump")]) == 0
    assert "its prefix index is in it" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "new"), str(tmp_path / "dump")]) == 0
    with semcore.Cache(tmp_path / "new", embed=None, prefix_blocks=100) as cache:
        assert cache.get("text").value == "entry"
        assert cache.get(messages=chat, namespace="acme", context="model").value == {"step": 1}
        assert cache.get(messages=chat, namespace="acme") is None
        assert (cache.stats().hits_prefix, cache.stats().max_entries) == (2, 50)
        assert cache.prefix.match(prompt(1)).matched == len(prompt(1))
        assert cache.validate() is None


def test_values_that_do_not_fit_are_left_out(tmp_path):
    path = tmp_path / "index"
    with PrefixIndex(path, blocks=100) as index:
        for i in range(8):
            index.insert([i] * 32, bytes([i]) * 40_000)
    small = Shape(max_bytes=_engine.bytes_for(0, "f16", 16, 1000, 100))
    assert dump.compact(path, small).prefix_blocks == 16
    with PrefixIndex(path) as index:
        assert index.check() is None
        values = [index.match([i] * 32).value for i in range(8)]
        assert 1 <= sum(value is not None for value in values) <= 3
        assert all(value in (None, bytes([i]) * 40_000) for i, value in enumerate(values))


def test_an_export_beside_a_writer_is_sound(filled, tmp_path):
    """Runs go, and their numbers are used again, while it is made."""
    dice = random.Random(5)
    with PrefixIndex(filled) as index:
        stream = dump.frames(index._engine)
        frames = []
        for frame in stream:
            frames.append(frame)
            for _ in range(5):
                i = dice.randrange(5000)
                index.insert(prompt(i), b"%d" % i, namespace="w")
        assert index.stats()["evicted"] > 100
    out = io.BytesIO()
    dump.write(iter(frames), out)
    new = tmp_path / "new"
    moved = dump.import_new(new, io.BytesIO(out.getvalue()), Shape())
    assert moved.prefix_blocks > 10
    with PrefixIndex(new) as index:
        assert index.check() is None
        for i in range(5000):
            assert index.match(prompt(i), namespace="w").value in (None, b"%d" % i)
        for i in range(ROUNDS):
            value = index.match(prompt(i), namespace=f"n{i % 2}").value
            assert value in (None, f"value {i}" if i % 2 else {"n": i})


numbers = st.integers(-2, 2**64 - 1) | st.sampled_from([2**32 - 1, 2**63])
scalars = st.none() | st.booleans() | numbers | st.binary(max_size=40) | st.text(max_size=4)
anything = st.recursive(scalars, lambda x: st.lists(x, max_size=4), max_leaves=8)
NAMES = ("start", "after", "keys", "stamp", "steps", "pins", "values")


@given(changes=st.dictionaries(st.sampled_from(NAMES), anything, max_size=2), which=st.integers(0, 20))
def test_a_forged_run_is_refused_or_harmless(changes, which):
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # an example leaves no files: many of them would fill the disk
        import_forged(Path(folder), changes, which)


def import_forged(folder, changes, which):
    with PrefixIndex(folder / "index", blocks=200) as index:
        fill(index, rounds=30)
    head, *frames = list(dump.read(io.BytesIO(exported(folder / "index"))))
    assert len(frames) > 20
    assert all(carry.is_run(frame) for frame in frames)
    frames[which] = msgpack.packb(msgpack.unpackb(frames[which]) | changes)
    out = io.BytesIO()
    dump.write(iter([head, *frames]), out)
    try:
        dump.import_new(folder / "new", io.BytesIO(out.getvalue()), Shape())
    except semcore.SemcoreError:
        assert not (folder / "new").exists()
        return
    with PrefixIndex(folder / "new") as index:
        assert index.check() is None
        known(index)
        go_on(index)
        assert index.check() is None


# ---- the ledger ----


def test_prefix_hits_are_counted(tmp_path, capsys):
    path, chat = tmp_path / "cache", [{"role": "user", "content": "Hello"}]
    with semcore.Cache(path, embed=None, max_entries=10, max_bytes="1 MiB", prefix_blocks=100) as cache:
        assert cache.get(messages=chat) is None
        cache.put(messages=chat, value=1)
        assert [cache.get(messages=chat).value for _ in range(3)] == [1, 1, 1]
        s = cache.stats()
        assert (s.hits_prefix, s.misses, s.hits, s.hit_ratio, s.hits_exact) == (3, 1, 3, 0.75, 0)
    with semcore.Cache(path, embed=None) as cache:
        assert cache.stats().hits_prefix == 3
    assert main(["stats", str(path)]) == 0
    assert "3 (0 exact, 0 semantic, 3 prefix)" in capsys.readouterr().out
    with semcore.Cache(embed=None, max_bytes="1 MiB") as cache:  # whose index lies apart
        cache.put(messages=chat, value=1)
        assert cache.get(messages=chat).value == 1
        assert cache.stats().hits_prefix == 1
