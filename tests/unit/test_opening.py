"""Opening: many at once, behind somebody who fails, in another container, with a damaged lock."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest
from conftest import in_children

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
OPTIONS = {"embed": None, "max_entries": 100, "max_bytes": 200_000}
CLEAN, WRITING, LOCK = 392, 396, 512  # offsets in the header
HEADER_SIZE = 4096


@pytest.fixture
def path(tmp_path):
    """A file with an entry that was closed cleanly."""
    path = tmp_path / "cache"
    with semcore.Cache(path, **OPTIONS) as cache:
        cache.put("q", "a")
    return path


def poke(path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def word(path, offset: int) -> int:
    return struct.unpack_from("<I", path.read_bytes(), offset)[0]


def as_from_another_start(path) -> None:
    """A copy in its place: it has to prove itself, and its lock means nothing."""
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)
    copy.replace(path)


def behind(path, act, n: int) -> None:
    """n processes that act while somebody holds the file alone, who then lets go of it."""
    with open(path, "rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        release = threading.Timer(0.2, fcntl.flock, (holder, fcntl.LOCK_UN))
        release.start()
        in_children([act] * n)
        release.join()


def test_those_who_wait_together_do_not_each_think_that_another_looks_after_it(path):
    for _ in range(10):
        as_from_another_start(path)
        poke(path, CLEAN, bytes(4))
        poke(path, LOCK, b"\x2a\0\0\0")  # as of an owner that is long gone
        before = recoveries(path)

        def child():
            signal.alarm(30)
            with semcore.Cache(path, **OPTIONS) as cache:
                cache.put(f"{os.getpid()}", 1)
                assert cache.get("q").value == "a"

        behind(path, child, 4)
        assert recoveries(path) == before + 1


def recoveries(path) -> int:
    """As the ledger in the header has them, read without opening."""
    image = path.read_bytes()[:HEADER_SIZE]
    return sum(struct.unpack_from("<Q", image, 960 + 128 * shard + 8 * 9)[0] for shard in range(16))


def test_many_make_a_file_behind_somebody_who_did_not(tmp_path):
    for round in range(10):
        path = tmp_path / f"{round}"
        path.touch()

        def child(path=path):
            signal.alarm(30)
            with semcore.Cache(path, **OPTIONS) as cache:
                cache.put(f"{os.getpid()}", 1)

        behind(path, child, 5)
        with semcore.Cache(path, **OPTIONS) as cache:
            assert len(cache) == 5
            assert cache.validate() is None


def test_a_reader_does_not_close_over_what_a_killed_writer_left(path):
    reader = semcore.Cache(path, **OPTIONS)
    poke(path, WRITING, b"\1\0\0\0")
    reader.close()
    assert word(path, CLEAN) == 0
    as_from_another_start(path)
    with semcore.Cache(path, **OPTIONS) as cache:
        assert cache.stats().recoveries == 1
        assert word(path, WRITING) % 2 == 0


def test_a_lock_that_is_none_is_an_error(path):
    with semcore.Cache(path, **OPTIONS) as cache:
        poke(path, LOCK, b"\0" * 16 + b"\x7f\x7f\x7f\x7f" + b"\0" * 20)  # of no kind that exists
        for act in (
            lambda: cache.put("q", "b"), lambda: cache.delete("q"), lambda: cache.invalidate("tag"),
            cache.clear, cache.expire, cache.repair,
        ):  # fmt: skip
            with pytest.raises(semcore.RegionError):
                act()
        assert cache.validate() == "the lock is damaged"
        assert cache.get("q").value == "a"


def test_a_signal_ends_the_wait(path):
    code = (
        "import signal, sys, semcore\n"
        "def stop(*_):\n"
        "    signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "try:\n"
        "    print('waiting', flush=True)\n"
        "    semcore.Cache(sys.argv[1], embed=None)\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    with open(path, "rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
        ) as waiter:
            assert waiter.stdout.readline() == "waiting\n"
            deadline = time.monotonic() + 30
            while waiter.poll() is None and time.monotonic() < deadline:  # one may come before it waits
                waiter.send_signal(signal.SIGALRM)
                time.sleep(0.05)
            assert "stopped" in waiter.stdout.read()


def test_a_forked_child_has_a_lock_of_its_own(path):
    """Or the parent would believe to be alone with the file that its child uses."""
    cache = semcore.Cache(path, **OPTIONS)
    go, done = os.pipe(), os.pipe()

    def child():
        cache.put("child", 1)
        os.write(done[1], b"x")
        os.read(go[0], 1)

    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    os.read(done[0], 1)
    assert not semcore._engine.exclusive(cache)
    os.write(go[1], b"x")
    os.waitpid(pid, 0)
    assert semcore._engine.exclusive(cache)
    cache.close()


def test_another_pid_namespace_is_refused_by_name(path):
    """A lock's owner is a thread number: in another namespace it may be somebody else's."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("no PID namespaces here")
    code = (
        "import sys, semcore\n"
        "try: print(semcore.Cache(sys.argv[1], embed=None).get('q').value)\n"
        "except semcore.ConfigError as error: print(error)\n"
        "print(semcore.Cache(sys.argv[1], embed=None, read_only=True).get('q').value)\n"
    )
    command = [*unshare, sys.executable, "-c", code, str(path)]
    with semcore.Cache(path, **OPTIONS):
        beside = subprocess.run(command, capture_output=True, text=True)
    assert f"{path}: is open in another container (PID namespace)" in beside.stdout, beside.stderr
    assert beside.stdout.endswith("\na\n")  # for reading only, no lock is needed
    alone = subprocess.run(command, capture_output=True, text=True)
    assert alone.stdout == "a\na\n", alone.stderr
