"""Kept vectors: in memory or in a file, of no text, and never in the way of an answer."""

import os

import numpy as np
import pytest
from conftest import in_children
from server import KEY, same

import semcore

pytest.importorskip("httpx2", reason="needs the extra http")


def test_what_was_answered_costs_no_second_request(stub, make, ask):
    embed = make()
    same(ask(embed, ["a", "b"]), ["a", "b"])
    same(ask(embed, ["b", "c", "a"]), ["b", "c", "a"])
    assert stub.asked == [["a", "b"], ["c"]]
    assert not embed("a").flags.writeable
    assert np.array_equal(embed("a"), make(max_cached=0)("a"))


def test_in_a_file_for_all_processes_and_models(stub, make, tmp_path):
    path = tmp_path / "vectors"
    make(cache_path=path, max_cached=100).embed_many(["a", "b"])
    again = make(cache_path=path, max_cached=50)
    same(again.embed_many(["a", "b"]), ["a", "b"])
    in_children([lambda: same([make(cache_path=path)("a")], ["a"])])
    assert len(stub.asked) == 1
    make(cache_path=path, model="other")("a")
    assert len(stub.asked) == 2
    assert KEY.encode() not in path.read_bytes()


def test_without_a_server_what_is_kept_is_enough(stub, make, tmp_path):
    path = tmp_path / "vectors"
    first = make(dim=None, cache_path=path)
    fingerprint = first.fingerprint
    first("a")
    asked = len(stub.asked)
    again = make(dim=None, cache_path=path)
    assert again.fingerprint == fingerprint
    same([again("a")], ["a"])
    assert len(stub.asked) == asked


def test_texts_are_not_kept(stub, make, tmp_path):
    path = tmp_path / "vectors"
    make(cache_path=path)("a very private text")
    assert b"very private" not in path.read_bytes()


def test_bounded(stub, make):
    embed = make(max_cached=10)
    embed.embed_many([f"text {i}" for i in range(50)])
    assert len(embed._kept._cache) == 10
    none = make(max_cached=0)
    none("a")
    none("a")
    assert stub.asked[-2:] == [["a"], ["a"]]


def test_vectors_that_cannot_be_kept_are_returned(stub, make, monkeypatch):
    embed = make()

    def full(*args, **kwargs):
        raise semcore.CapacityError("too large")

    monkeypatch.setattr(embed._kept._cache, "put", full, raising=False)
    with pytest.warns(RuntimeWarning, match="not kept: too large"):
        same([embed("a")], ["a"])


def test_kept_vectors_that_cannot_be_read_are_asked_for(stub, make, ask, tmp_path):
    path = tmp_path / "vectors"
    embed = make(cache_path=path, max_cached=100)
    embed("a")
    os.truncate(path, 4096)
    with pytest.warns(RuntimeWarning, match="cannot be read: .*truncated"):
        same(ask(embed, ["a"]), ["a"])
    assert stub.asked == [["a"], ["a"]]


def test_a_file_that_is_no_cache(make, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(semcore.RegionError):
        make(cache_path=path)
