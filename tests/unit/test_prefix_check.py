"""check() and validate() by a handle that cannot lock: beside writers, and where one died."""

import sys
import threading

import pytest

import semcore
from semcore.prefix import PrefixIndex

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
BUSY = "writers are at work: try again"
WRITING = 396  # offset of sc_header.writing


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "cache"
    semcore.Cache(made, embed=None, max_entries=300, max_bytes="2 MiB", prefix_blocks=300).close()
    return made


def write(cache, over):
    """Runs, values, pins and entries come, and push others out."""
    n = 0
    while not over.is_set():
        n += 1
        prompt = [n % 7] * 32 + [n] * 16 * (1 + n % 4)
        cache.prefix.insert(prompt, bytes([n % 256]) * (n % 900), replica=n % 4)
        if n % 5 == 0:
            cache.prefix.pin(prompt)
            cache.prefix.unpin(prompt)
        cache.put(f"question {n}", "x" * (n % 700), tags=[f"tag {n % 9}"])


def test_beside_a_writer_no_alarm_is_false(path):
    over, found = threading.Event(), set()
    with semcore.Cache(path, embed=None) as cache, semcore.Cache(path, embed=None, read_only=True) as reader:
        writer = threading.Thread(target=write, args=(cache, over))
        writer.start()
        try:
            while writer.is_alive() and cache.prefix.stats()["evicted"] < 2000:
                found |= {reader.prefix.check(), reader.validate()}
        finally:
            over.set()
            writer.join()
        assert found <= {None, BUSY}
        assert cache.prefix.stats()["evicted"] >= 2000
        assert reader.prefix.check() is None
        assert reader.validate() is None


def test_where_a_writer_died_nothing_is_proved_until_it_is_recovered(path):
    with semcore.Cache(path, embed=None, read_only=True) as reader, semcore.Cache(path, embed=None) as cache:
        cache.prefix.insert([1] * 32)
        with open(path, "r+b") as file:
            file.seek(WRITING)
            count = int.from_bytes(file.read(4), "little")
            file.seek(WRITING)
            file.write((count + 1).to_bytes(4, "little"))
        assert reader.prefix.check() == reader.validate() == BUSY
        assert cache.prefix.check() is None
        assert reader.prefix.check() is reader.validate() is None


def test_a_reader_sees_what_is_damaged(tmp_path):
    """What it says of a file at rest is what a writer would say before it repairs it."""
    path = tmp_path / "index"
    with PrefixIndex(path, blocks=300) as index:
        index.insert([1] * 160, b"value" * 50)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"value" * 20)
    with PrefixIndex(path, read_only=True) as reader:
        assert reader.check() is None
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"V")
        assert reader.check() == "a value's checksum does not match"
