"""The default embedder: offline, as installed, checked, and silent on what it cannot judge."""

import subprocess
import sys

import numpy as np
import pytest

import semcore
from semcore.embed import resolve, static, table
from semcore.embed.static import Static


def test_the_table_of_the_package_is_whole():
    shipped = static.default()
    assert shipped.validate() is None
    assert (shipped.dim, shipped.bits, shipped.pieces) == (256, 8, 30522)
    assert "Apache-2.0" in shipped.licence


def test_it_is_the_default_and_needs_nothing():
    code = (
        "import socket, sys\n"
        "socket.socket.connect = None\n"
        "import semcore\n"
        "cache = semcore.Cache(max_entries=10, max_bytes='1 MiB', threshold=0.8)\n"
        "cache.put('What is my order status?', 'on its way')\n"
        "print(cache.get('what is the status of my order?').layer, cache.get('how do I bake bread?'))\n"
        "print([m for m in ('tokenizers', 'wordllama', 'rich', 'onnxruntime') if m in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "semantic None\n[]\n", result.stderr


def test_vectors_have_unit_length_and_one_is_as_many():
    embed = Static()
    texts = ["where is my order?", "WHERE IS MY ORDER?", "caf\u00e9 \ud800", "", "   ", "\u2028"]
    many = embed.many(texts)
    for text, vector in zip(texts, many, strict=True):
        alone = embed(text)
        assert (vector is None) == (alone is None)
        if vector is not None:
            assert np.array_equal(vector, alone)
            assert abs(float(np.linalg.norm(vector)) - 1) < 1e-6
    assert np.array_equal(many[0], many[1])
    assert many[3] is None
    assert many[4] is None


def test_a_long_text_is_exact_only():
    embed = Static(max_tokens=10)
    assert embed("one two three four five six seven eight nine ten") is not None
    assert embed("one two three four five six seven eight nine ten eleven") is None
    assert embed("word " * 2_000_000) is None
    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        long = "please tell me " * 20
        cache.put(long, "a")
        assert cache.get(long).layer == "exact"
        assert cache.get(long + "now") is None
    with pytest.raises(ValueError, match="max_tokens"):
        Static(max_tokens=0)


def test_its_limit_is_part_of_its_fingerprint():
    assert Static().fingerprint != Static(max_tokens=10).fingerprint
    assert Static().fingerprint == resolve("default").fingerprint
    assert len(Static().fingerprint) < 120


def test_the_longest_name_of_a_table_fits_a_fingerprint(tmp_path):
    path = tmp_path / "t.sctable"
    table.write(path, ["[UNK]", "a"], np.ones((2, 64), int), np.ones(2), name="n" * 80, licence="l")
    embed = Static(path, max_tokens=2**63 - 1)
    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        assert cache.embedder.fingerprint.startswith("n" * 80)


def test_a_file_that_is_no_table(tmp_path):
    path = tmp_path / "table"
    path.write_bytes(b"SCTABLE\n" + bytes(500))
    with pytest.raises(ValueError, match="another version"):
        Static(path)
    with pytest.raises(FileNotFoundError):
        Static(tmp_path / "absent")
    image = bytearray(static.DEFAULT.read_bytes())
    image[5_000_000] ^= 1
    path.write_bytes(image)
    assert Static(path).validate() == "the checksum does not match"
