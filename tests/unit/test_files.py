"""`semcore stats` and `semcore verify`."""

import json
import subprocess
import sys

import pytest

import semcore
from semcore.cli import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
WRITING = 396  # offset of sc_header.writing


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a[b].semcore"
    with semcore.Cache(path, embed=None, dim=16, max_entries=50, max_bytes=200_000) as cache:
        for i in range(30):
            cache.put(f"{i}", "xy" * i, vector=[1.0] * 15 + [float(i)], tokens=7)
        cache.get("3")
        cache.get("nothing")
    return path


def test_stats(path, capsys):
    assert main(["stats", str(path)]) == 0
    out = capsys.readouterr().out
    for text in (
        "30 of 50",
        "1 (1 exact, 0 semantic, 0 prefix)",
        "1 (hit ratio 50.0%)",
        "7 tokens",
        "vectors",
    ):
        assert text in out
    assert main(["stats", str(path), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert (stats["entries"], stats["hits_exact"], stats["embedder"]) == (30, 1, "vectors")


def test_stats_beside_a_user(path, capsys):
    with semcore.Cache(path, embed=None, dim=16) as cache:
        cache.put("new", 1)
        assert main(["stats", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["entries"] == 31
        assert main(["verify", str(path)]) == 0
        assert cache.get("new").value == 1


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_watching_in_a_pipe(path, json_too):
    command = [sys.executable, "-m", "semcore.cli", "stats", str(path), "--watch", *json_too]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        seen = 0
        for line in watcher.stdout:
            seen += '"entries": 30' in line or "30 of 50" in line
            if seen == 2:
                break
        watcher.terminate()
    assert watcher.returncode == 143


def test_verify(path, capsys):
    assert main(["verify", str(path)]) == 0
    assert "sound, 30 entries (0 damaged" in capsys.readouterr().out
    image = bytearray(path.read_bytes())
    at = image.index(b"xy" * 29)  # no row of tags of partitions, as one letter may be
    image[at] ^= 1
    path.write_bytes(image)
    assert main(["verify", str(path)]) == 1
    assert "an entry's checksum does not match; `semcore verify --repair`" in capsys.readouterr().out
    assert main(["verify", "--repair", str(path)]) == 0
    assert "sound, 29 entries (1 damaged" in capsys.readouterr().out


def test_verify_of_a_file_that_writers_are_at(path, capsys, monkeypatch):
    """Without the right to write it cannot lock, and finds no moment at which nobody writes."""

    def refused(path):
        raise PermissionError(f"{path}: cannot open: Permission denied")

    monkeypatch.setattr("semcore.cli.files.opened", refused)
    with semcore.Cache(path, embed=None, dim=16):  # it is not checked when it is opened
        assert main(["verify", str(path)]) == 0
        with open(path, "r+b") as file:
            file.seek(WRITING)
            count = int.from_bytes(file.read(4), "little")
            file.seek(WRITING)
            file.write((count + 1).to_bytes(4, "little"))
        assert main(["verify", str(path)]) == 2
    assert f"{path}: writers are at work: try again" in capsys.readouterr().err


def test_not_a_cache(tmp_path, capsys):
    path = tmp_path / "text"
    path.write_text("hello" * 2000)
    for command in ("stats", "verify"):
        assert main([command, str(path)]) == 2
        assert "not a semcore file" in capsys.readouterr().err
        assert main([command, str(tmp_path / "absent")]) == 2
    assert path.read_text() == "hello" * 2000
