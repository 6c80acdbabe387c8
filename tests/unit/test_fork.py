"""A cache opened before a fork: parent and child go on with the same file. Spawned ones open the path."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading

import pytest
from conftest import in_children

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
OPTIONS = {"embed": None, "dim": 16, "max_entries": 100, "max_bytes": 200_000}


def in_child(act) -> None:
    in_children([act])


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


def test_a_child_does_not_wait_for_the_parents_flights():
    """Nobody in the child will ever land a flight that another thread of the parent leads."""
    started, done = threading.Event(), threading.Event()

    def slow(text):
        started.set()
        done.wait(30)
        return "parent"

    with semcore.Cache(**OPTIONS) as cache:
        thread = threading.Thread(target=cache.get_or_compute, args=("q", slow))
        thread.start()
        started.wait()

        def child():
            signal.alarm(20)  # a deadline: a child that waits for ever is killed
            assert cache.get_or_compute("q", lambda _: "child") == "child"

        in_child(child)
        done.set()
        thread.join()
        assert cache.get("q").value == "parent"


def test_a_fork_inside_a_computation_lands_in_both():
    with semcore.Cache(**OPTIONS) as cache:

        def compute(text):
            in_child(lambda: None)
            return "computed"

        assert cache.get_or_compute("q", compute) == "computed"
        assert cache.get("q").value == "computed"


def opened_in_a_spawned_process(path: str, answers) -> None:
    with semcore.Cache(path, **OPTIONS) as cache:
        answers.put((cache.get("parent").value, cache.put("child", "from the child")))


def test_a_spawned_process_opens_the_path(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    with semcore.Cache(tmp_path / "cache", **OPTIONS) as cache:
        cache.put("parent", "from the parent")
        process = spawn.Process(target=opened_in_a_spawned_process, args=(str(tmp_path / "cache"), answers))
        process.start()
        assert answers.get(timeout=60)[0] == "from the parent"
        process.join(60)
        assert cache.get("child").value == "from the child"


def test_a_cache_itself_cannot_be_sent_to_another_process():
    with semcore.Cache(**OPTIONS) as cache, pytest.raises(TypeError, match="give other processes its path"):
        pickle.dumps(cache)


def test_many_processes_may_make_one_file_at_once(tmp_path):
    """Also without saying its size: whoever comes second adopts what the first made."""
    for round in range(5):
        path = tmp_path / f"{round}"

        def child(path=path):
            with semcore.Cache(path, embed=None, max_entries=100) as cache:
                cache.put(f"{os.getpid()}", 1)

        in_children([child] * 6)
        with semcore.Cache(path, embed=None) as cache:
            assert len(cache) == 6
