"""Vectors equal the sum of rows x scales; every ISA gives the same bits; damaged files are refused."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semcore import _engine
from semcore._engine import Table
from semcore.embed import table

WORDS = ["[UNK]", *(f"w{i}" for i in range(300)), "##x", "."]


@pytest.fixture(
    params=[(8, 64), (8, 256), (8, 1024), (4, 64), (4, 256), (4, 384)], ids=lambda p: f"{p[0]}bit-{p[1]}"
)
def made(request, tmp_path):
    """The path, integer rows and float scales of a random table."""
    bits, dim = request.param
    rng = np.random.default_rng(dim)
    top = 127 if bits == 8 else 7
    rows = rng.integers(-top - (bits == 4), top + 1, (len(WORDS), dim))
    rows[5], rows[6] = top, -top
    scales = rng.random(len(WORDS)) ** 3
    scales[8] = 0  # of "w7"
    path = tmp_path / "t"
    table.write(path, WORDS, rows, scales, name="n\u00e4me", licence="Apache-2.0", bits=bits)
    return path, rows, scales


def expected(ids, rows, scales):
    v = (rows[ids] * scales[ids, None]).sum(0)
    return v / np.linalg.norm(v)


def texts():
    rng = np.random.default_rng(3)
    for n in (1, 2, 3, 4, 7, 8, 100, 343, 344, 345, 448, 449, 1000, 5000):
        yield " ".join(f"w{i}" for i in rng.integers(0, 300, n))
    yield "w5 " * 3000
    yield "w4 w5"


def test_vectors(made):
    path, rows, scales = made
    t = Table(path)
    assert (t.name, t.licence, t.dim, t.validate()) == ("n\u00e4me", "Apache-2.0", rows.shape[1], None)
    assert t.fingerprint == f"n\u00e4me:{path.read_bytes()[16:24].hex()}"
    for text in texts():
        got = t(text)
        assert got.dtype == np.float32
        assert got.shape == (t.dim,)
        assert math.isclose(np.linalg.norm(got), 1, abs_tol=1e-6)
        np.testing.assert_allclose(got, expected(t.tokens(text), rows, scales), atol=2e-4)


def test_many_equals_one(made):
    t = Table(made[0])
    batch = [*texts(), "", "w7"]
    many = t.embed_many(batch)
    for text, row in zip(batch, many, strict=True):
        one = t(text)
        assert np.array_equal(row, np.zeros(t.dim) if one is None else one)
    assert t.embed_many([]).shape == (0, t.dim)
    few = Table(made[0], max_tokens=3)
    for text, row in zip(batch, few.embed_many(batch), strict=True):
        one = t(text) if len(t.tokens(text)) <= 3 else None
        assert np.array_equal(row, np.zeros(t.dim) if one is None else one)
        assert (few(text) is None) == (one is None)


def test_no_vector(made):
    t = Table(made[0])
    for text in ("", " \n\u2028", "\0\u200b", "\ud800", "w7", "w7 w7"):
        assert t(text) is None
        assert not t.embed_many([text]).any()


def test_every_isa_gives_the_same_bits(made):
    t = Table(made[0])
    results = []
    for isa in _engine.isas():
        _engine.set_isa(isa)
        results.append(t.embed_many([*texts()]).tobytes())
    _engine.set_isa(None)
    assert len(set(results)) == 1


# ---- hostile files ----


def test_damage_is_found(made):
    raw = made[0].read_bytes()
    rng = np.random.default_rng(1)
    for at in [*range(32), *rng.integers(32, len(raw), 200)]:
        broken = bytearray(raw)
        broken[at] ^= 1 << int(rng.integers(8))
        made[0].write_bytes(broken)
        try:
            t = Table(made[0])
        except ValueError as error:
            assert str(made[0]) in str(error)  # noqa: PT017
            continue
        t.embed_many([*texts()])
        t.tokens("w1 w2x, \u00e9 abc" * 50)
        assert t.validate() is not None


@pytest.mark.parametrize("size", [0, 1, 31, 32, 100, 300, 319, 320, 5000, -1, -64])
def test_truncated(made, size):
    made[0].write_bytes(made[0].read_bytes()[:size])
    with pytest.raises(ValueError, match=r"is not a semcore table|is not as long as its header says"):
        Table(made[0])


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Table(tmp_path / "none")
    with pytest.raises(ValueError, match="is not a regular file"):
        Table(tmp_path)
    with pytest.raises(ValueError, match="holds a NUL byte"):
        Table("a\0b")


def test_a_table_is_opened_once(made):
    t = Table(made[0])
    with pytest.raises(ValueError, match="open already"):
        t.__init__(made[0])
    with pytest.raises(ValueError, match="is not open"):
        Table.__new__(Table)("a")


def test_truncated_while_open(made):
    """In a process of its own: a SIGBUS would end it."""
    code = (
        "import os, sys; from semcore._engine import Table\n"
        "t = Table(sys.argv[1]); os.truncate(sys.argv[1], 0)\n"
        "try: t('w1 w2'); t('w1')\n"
        "except OSError as e: print(e)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, made[0]], capture_output=True, text=True, cwd=root, check=True
    )
    assert "was truncated" in done.stdout


# ---- the writer ----


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"vocabulary": ["[UNK]", "a", "a"]}, "twice"),
        ({"vocabulary": ["[UNK]", "a", ""]}, "empty"),
        ({"vocabulary": ["[UNK]", "a", "\0"]}, "NUL"),
        ({"vocabulary": ["[UNK]", "a"]}, "one of each"),
        ({"vocabulary": ["[UNK]", "a", "b" * 401]}, "longer than a word"),
        ({"rows": np.zeros((3, 65), int)}, "multiple of 64"),
        ({"rows": np.full((3, 64), 128)}, "rows: expected"),
        ({"scales": np.array([0.0, 0, 0])}, "not all zero"),
        ({"scales": np.array([1.0, np.nan, 0])}, "finite"),
        ({"bits": 5}, "4 or 8"),
        ({"name": "x" * 81}, "80 bytes"),
    ],
)
def test_writer_refuses(tmp_path, change, match):
    good = {"vocabulary": ["[UNK]", "a", "##a"], "rows": np.ones((3, 64), int), "scales": np.ones(3)}
    arguments = {"name": "n", "licence": "l", **good, **change}
    with pytest.raises(ValueError, match=match):
        table.write(tmp_path / "t", **arguments)
