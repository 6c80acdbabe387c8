"""What the operating system can do to a file: no room, truncated, deleted, on a network."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_file import OPTIONS, VECTOR, filled

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")


def run(code: str, *args, **options) -> subprocess.CompletedProcess:
    """Python code in a process of its own, with `OPTIONS` and semcore at hand."""
    head = f"import os, sys, semcore\nOPTIONS = {OPTIONS!r}\n"
    command = [sys.executable, "-c", head + code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


# ---- no room ----


def test_a_limit_on_file_sizes_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "cache"
    result = run(
        "try: semcore.Cache(sys.argv[1], **OPTIONS)\nexcept OSError as error: print(error.errno, error)\n",
        path,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL),
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        ),
    )
    assert result.returncode == 0, result.stderr
    assert "File too large" in result.stdout
    assert str(path) in result.stdout
    assert not path.exists()


def small_disk(folder: Path) -> list[str]:
    """A command prefix: with a file system of 1 MiB at a folder. Skips where that is forbidden."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=1m none '{folder}' && exec \"$@\""
    if (
        not shutil.which("unshare")
        or subprocess.run([*prefix, mount, "sh", "true"], capture_output=True).returncode
    ):
        pytest.skip("no user namespaces here: no file system of our own")
    return [*prefix, mount, "sh"]


def test_a_full_disk_is_an_error_when_the_cache_is_made(tmp_path):
    code = (
        f"import semcore, os\nOPTIONS = {OPTIONS!r} | {{'max_bytes': 4_000_000}}\n"
        f"try: semcore.Cache({str(tmp_path / 'cache')!r}, **OPTIONS)\n"
        f"except OSError as error: print(error.errno, error, os.listdir({str(tmp_path)!r}))\n"
    )
    command = [*small_disk(tmp_path), sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "No space left on device" in result.stdout, result.stderr
    assert str(tmp_path / "cache") in result.stdout
    assert result.stdout.strip().endswith("[]")


def test_a_disk_that_is_full_later_changes_nothing(tmp_path):
    """The file's blocks are allocated when it is made: puts never ask for one."""
    code = (
        f"import semcore\nOPTIONS = {OPTIONS!r}\n"
        f"cache = semcore.Cache({str(tmp_path / 'cache')!r}, **OPTIONS)\n"
        f"filler = open({str(tmp_path / 'filler')!r}, 'wb', buffering=0)\n"
        "try:\n"
        "    while True: filler.write(bytes(4096))\n"
        "except OSError as error: print(error)\n"
        "for i in range(500): cache.put(f'{i}', 'x' * 1000)\n"
        "print(cache.validate(), cache.get('499').value == 'x' * 1000)\n"
    )
    command = [*small_disk(tmp_path), sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.stdout.split("\n")[1] == "None True", result.stdout + result.stderr


# ---- gone under a live mapping ----


@pytest.fixture
def cache(tmp_path):
    with filled(tmp_path / "cache") as cache:
        yield cache


def use(cache) -> None:
    for i in range(1000):
        hit = cache.get(f"{i % 60}")
        assert hit is None or hit.value == b"%d" % (i % 60) * 100
        cache.get("?", vector=VECTOR)
        cache.put(f"new {i}", "x" * 2000, vector=VECTOR)


@pytest.mark.parametrize("size", [0, 4096, 50_000, 100_000])
def test_a_file_truncated_under_a_live_mapping(tmp_path, cache, size):
    """Nothing wrong is served, nobody dies, and from the first missing page on every call says so."""
    os.truncate(tmp_path / "cache", size)
    with pytest.raises(semcore.RegionError, match=r"cache was truncated.*open the path anew"):
        use(cache)
    for act in (
        lambda: cache.get("1"),
        lambda: cache.put("a", "b"),
        cache.flush,
        cache.validate,
        lambda: len(cache),
    ):
        with pytest.raises(semcore.RegionError, match="was truncated"):
            act()
    cache.close()
    with (
        pytest.raises(semcore.RegionError, match=r"truncated|not a semcore file")
        if size
        else contextlib.nullcontext()
    ):
        semcore.Cache(tmp_path / "cache", **OPTIONS).close()


def test_an_entry_that_was_cut_off_is_not_served_as_zeros(tmp_path, cache):
    """Only the values are gone: record and index are still there."""
    value = b"last" * 25  # one block
    cache.put("last", value)
    assert cache.get("last").value == value
    at = (tmp_path / "cache").read_bytes().index(value)
    os.truncate(tmp_path / "cache", at - at % 4096)
    with pytest.raises(semcore.RegionError, match="was truncated"):
        cache.get("last")


@pytest.mark.parametrize(
    "act",
    [
        lambda cache: cache.get("7"), lambda cache: cache.get("none"), lambda cache: cache.delete("7"),
        lambda cache: cache.invalidate("tag"), lambda cache: cache.clear(), lambda cache: cache.expire(),
        lambda cache: cache.stats(), lambda cache: "7" in cache, lambda cache: list(cache),
        lambda cache: cache.flush(), lambda cache: cache.validate(), lambda cache: cache.put("a", "b"),
    ],
)  # fmt: skip
def test_the_first_call_already_says_so(tmp_path, cache, act):
    os.truncate(tmp_path / "cache", 0)
    with pytest.raises(semcore.RegionError, match="was truncated"):
        act(cache)


def test_other_processes_are_not_left_waiting(tmp_path, cache):
    """The lock's page is still there: who finds the file cut off lets go of it."""

    def child():
        other = semcore.Cache(tmp_path / "cache", **OPTIONS)
        os.truncate(tmp_path / "cache", 100_000)
        with contextlib.suppress(semcore.RegionError):
            use(other)
        time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    deadline = time.monotonic() + 30
    while (tmp_path / "cache").stat().st_size > 100_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(semcore.RegionError, match="was truncated"):
        use(cache)
    process.kill()
    process.join()


def test_a_handler_installed_after_ours_may_hand_it_on(tmp_path):
    """Python's faulthandler prints, and raises the signal again for the handler before it."""
    result = run(
        "import faulthandler\n"
        "cache = semcore.Cache(sys.argv[1], **OPTIONS)\n"
        "cache.put('q', 'a')\n"
        "faulthandler.enable()\n"
        "os.truncate(sys.argv[1], 0)\n"
        "try: cache.get('q')\n"
        "except semcore.RegionError as error: print(error)\n",
        tmp_path / "cache",
    )
    assert result.returncode == 0, result.stderr
    assert "was truncated" in result.stdout


def test_other_caches_of_the_process_go_on(tmp_path, cache):
    with semcore.Cache(tmp_path / "other", **OPTIONS) as other:
        other.put("q", "a")
        os.truncate(tmp_path / "cache", 0)
        with pytest.raises(semcore.RegionError):
            use(cache)
        use(other)
        assert other.validate() is None


def test_a_writer_that_waits_for_the_lock_of_a_truncated_file_comes_back(tmp_path, cache):
    """The lock's holder is stopped in the middle; its waiter must not sleep for ever."""
    for i in range(2000):
        cache.put(f"{i}", "x")
    started = multiprocessing.Event()

    def hold():
        started.set()
        while True:
            cache.clear()

    process = multiprocessing.get_context("fork").Process(target=hold)
    process.start()
    started.wait(30)
    errors = []

    def wait():
        try:
            while True:
                cache.put("q", "a")
        except semcore.RegionError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    os.kill(process.pid, signal.SIGSTOP)
    os.truncate(tmp_path / "cache", 0)
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1
    process.kill()
    process.join()


@pytest.mark.parametrize("handler", ["", "faulthandler.enable()\n"], ids=["default", "installed before"])
def test_a_bus_error_of_somebody_else_goes_where_it_went_before(tmp_path, handler):
    """Ours is the handler, but not every fault is."""
    result = run(
        "import faulthandler, mmap\n" + handler + "cache = semcore.Cache(sys.argv[1], **OPTIONS)\n"
        "file = open(sys.argv[1] + '.other', 'w+b')\n"
        "file.truncate(8192)\n"
        "view = mmap.mmap(file.fileno(), 8192)\n"
        "file.truncate(0)\n"
        "view[5000]\n",
        tmp_path / "cache",
    )
    assert result.returncode == -signal.SIGBUS
    assert ("Fatal Python error: Bus error" in result.stderr) == bool(handler)


def test_a_deleted_file_lives_on_for_who_has_it_open(tmp_path, cache):
    os.unlink(tmp_path / "cache")
    cache.put("after", "the deletion")
    assert cache.get("after").value == "the deletion"
    assert cache.validate() is None
    with semcore.Cache(tmp_path / "cache", **OPTIONS) as another:  # the path is free: a new cache
        assert another.get("after") is None
        another.put("q", 1)
    assert cache.get("q") is None


# ---- where it lies ----


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no tmpfs at /dev/shm")
def test_a_tmpfs_will_do():
    path = Path(f"/dev/shm/semcore-test-{os.getpid()}")
    try:
        with semcore.Cache(path, **OPTIONS) as cache:
            cache.put("q", 1)
        with semcore.Cache(path, **OPTIONS) as cache:
            assert cache.get("q").value == 1
    finally:
        path.unlink()


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/vfs.h>
int fstatfs(int fd, struct statfs *out) {
    int (*real)(int, struct statfs *) = (int (*)(int, struct statfs *))dlsym(RTLD_NEXT, "fstatfs");
    int rc = real(fd, out);
    out->f_type = 0x6969;
    return rc;
}
"""


def test_a_network_file_system_is_refused_by_name(tmp_path):
    """By a shim that claims that every file lies on NFS."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    path = tmp_path / "cache"
    preload = os.environ.get("LD_PRELOAD", "")  # of a sanitizer, which has to come first
    result = run(
        "try: semcore.Cache(sys.argv[1], **OPTIONS)\nexcept semcore.ConfigError as error: print(error)",
        path,
        env=os.environ | {"LD_PRELOAD": f"{preload}:{tmp_path / 'shim.so'}".strip(":")},
    )
    assert "network file system (NFS)" in result.stdout, result.stderr
    assert not path.exists()
