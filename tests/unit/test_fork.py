"""A cache opened before a fork: parent and child go on with the same file."""

import os
import sys

import pytest

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
OPTIONS = {"embed": None, "dim": 16, "max_entries": 100, "max_bytes": 200_000}


def in_child(act) -> None:
    """Runs act in a forked child and fails if it raises."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_forked_child_shares_the_file(tmp_path):
    cache = semcore.Cache(tmp_path / "cache", **OPTIONS)
    cache.put("parent", 1)

    def child():
        assert cache.get("parent").value == 1
        for i in range(150):
            cache.put(f"child {i}", i)
        cache.close()

    in_child(child)
    assert cache.get("child 149").value == 149
    cache.put("after", 2)
    assert cache.validate() is None
    cache.close()
    with semcore.Cache(tmp_path / "cache", **OPTIONS) as cache:
        assert cache.get("after").value == 2
        assert cache.validate() is None


def test_a_forked_child_has_private_memory_of_its_own():
    with semcore.Cache(**OPTIONS) as cache:
        cache.put("parent", 1)

        def child():
            assert cache.get("parent").value == 1
            cache.put("child", 2)
            assert cache.validate() is None

        in_child(child)
        assert cache.get("child") is None
        assert cache.validate() is None
