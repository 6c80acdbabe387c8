"""Who may do what with a file: permissions that are lost, and openers that only read."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import pytest
from small_file import OPTIONS, VECTOR, filled

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")


@pytest.fixture
def cache(tmp_path):
    with filled(tmp_path / "cache") as cache:
        yield cache


@contextlib.contextmanager
def as_nobody():
    """Within: a user without the right to do as it likes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_permission_lost_matters_to_the_next_opener_only(open_folder):
    path = open_folder / "cache"
    with semcore.Cache(path, **OPTIONS) as cache:
        path.chmod(0)
        cache.put("after", "chmod")
        assert cache.get("after").value == "chmod"
        with as_nobody(), pytest.raises(PermissionError, match=f"{path}: cannot open: Permission denied"):
            semcore.Cache(path, **OPTIONS)
        assert cache.validate() is None


# ---- for reading only ----


def test_read_only_sees_what_others_put_and_leaves_no_trace(tmp_path, cache):
    with semcore.Cache(tmp_path / "cache", embed=None, dim=16, read_only=True) as reader:
        assert reader.get("7").value == b"7" * 100
        assert reader.get("?", vector=VECTOR).layer == "semantic"
        assert reader.get("none") is None
        cache.put("new", "from the writer")
        assert reader.get("new").value == "from the writer"
        assert reader.stats().hits == 0
        assert reader.stats().misses == 0
        assert reader.validate() is None
        assert len(list(reader)) == 61
        for act in (
            lambda: reader.put("a", "b"), lambda: reader.delete("7"), lambda: reader.invalidate("t"),
            reader.clear, reader.expire,
        ):  # fmt: skip
            with pytest.raises(semcore.SemcoreError, match="read-only"):
                act()
    assert cache.stats().hits == 0


def test_read_only_needs_no_right_to_write(open_folder):
    path = open_folder / "cache"
    with semcore.Cache(path, **OPTIONS) as cache:
        cache.put("q", "a")
    path.chmod(0o444)
    before = path.read_bytes()
    with as_nobody():
        with pytest.raises(PermissionError):
            semcore.Cache(path, **OPTIONS)
        with semcore.Cache(path, embed=None, dim=16, read_only=True) as reader:
            assert reader.get("q").value == "a"
            assert len(list(reader)) == 1
    assert path.read_bytes() == before


def test_read_only_does_not_recover(tmp_path, cache):
    path, torn = tmp_path / "cache", tmp_path / "torn"
    torn.write_bytes(path.read_bytes())  # of a cache in use: it has to prove itself
    before = torn.read_bytes()
    with pytest.raises(semcore.RegionError, match=r"torn: has to be recovered.*semcore verify"):
        semcore.Cache(torn, embed=None, dim=16, read_only=True)
    assert torn.read_bytes() == before
    with semcore.Cache(torn, **OPTIONS) as writer:
        assert writer.stats().recoveries == 1
        with semcore.Cache(torn, embed=None, dim=16, read_only=True) as reader:
            assert reader.get("7").value == b"7" * 100


@pytest.mark.parametrize("content", [None, b"", b"semcore+" + bytes(5000)])
def test_read_only_makes_nothing(tmp_path, content):
    path = tmp_path / "none"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((semcore.RegionError, FileNotFoundError)):
        semcore.Cache(path, embed=None, read_only=True)
    assert path.exists() == (content is not None)
    with pytest.raises(semcore.ConfigError, match="read_only"):
        semcore.Cache(embed=None, read_only=True)
