"""`semcore replay`: formats, reports, saved caches, errors."""

import gzip
import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from semcore.cli import main
from semcore.cli.traffic import read

EXAMPLE = Path(__file__).parents[2] / "examples" / "support.jsonl"
RECORDS = [
    {"prompt": "a", "response": "A", "label": "x", "tokens": 10, "cost": 0.5, "latency_ms": 100},
    {"prompt": "a", "response": "A", "label": "x", "tokens": 10, "cost": 0.5, "latency_ms": 100},
    {"prompt": "a ", "response": "A", "label": "y", "tokens": 10},
    {"prompt": "b", "response": "B", "namespace": "n", "context": {"model": "m"}},
]


def embed(text):
    """First letter decides."""
    vector = np.zeros(8)
    vector[ord(text[0]) % 8] = 1
    return vector


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "traffic.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in RECORDS) + "\n\n")
    return path


def replay(capsys, *args):
    status = main(["replay", *map(str, args), "--embed", f"{__name__}:embed"])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def test_report_as_json(capsys, file):
    status, out, _ = replay(capsys, file, "--json")
    report = json.loads(out)
    assert status == 0
    assert {name: layer["count"] for name, layer in report["layers"].items()} == {
        "exact": 1,
        "semantic": 1,
        "miss": 2,
    }
    assert (report["hits"], report["judged_hits"], report["wrong_hits"]) == (2, 2, 1)
    assert (report["tokens"], report["cost"], report["latency_ms"]) == (20, 1.0, 200.0)
    assert (report["entries"], report["requests"]) == (2, 4)


def test_report_for_people(capsys, file):
    status, out, _ = replay(capsys, file)
    assert status == 0
    assert "2 of 4 (50.0%)" in out
    assert "1 of 2 judged (50.0%)" in out
    assert "20 tokens, cost 1.0000, 0.2 s of waiting" in out


def test_sweep_and_plot(capsys, file, tmp_path):
    status, out, _ = replay(capsys, file, "--sweep", "--json", "--plot", tmp_path / "p.png")
    sweep = json.loads(out)["sweep"]
    assert status == 0
    assert [p["threshold"] for p in sweep][:2] == [0.6, 0.62]
    assert all(p["hit_ratio"] == 0.5 and p["wrong_ratio"] == 0.5 for p in sweep)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_cache_is_input_and_output(capsys, file, tmp_path):
    saved = tmp_path / "saved.semcore"
    first = json.loads(replay(capsys, file, "--json", "--cache", saved, "--max-bytes", "1 MiB")[1])
    second = json.loads(replay(capsys, file, "--json", "--cache", saved)[1])
    assert (first["hits"], second["hits"]) == (2, 4)
    assert second["tokens"] == 30  # counted from this replay's start


def test_formats(tmp_path):
    lines = ["split\tlabel\ttext", 'train\tx\tit says "pending"', "test\ty\tb"]
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert [(r.prompt, r.label) for r in read(path)] == [('it says "pending"', "x"), ("b", "y")]
    path = tmp_path / "t.csv"
    path.write_text('prompt,response,tokens\n"a, b",x,3\n')
    assert [(r.prompt, r.response, r.tokens) for r in read(path)] == [("a, b", "x", 3)]
    assert len(read(path, limit=1)) == 1
    path = tmp_path / "EXCEL.CSV"
    path.write_text("\ufeffprompt,response\na,x\n" + "b" * 200_000 + ",y\n")
    assert [r.response for r in read(path)] == ["x", "y"]
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "a"}\n' * 10_000)[:-20])
    with pytest.raises(ValueError, match=r"cut.jsonl.gz, record \d+: "):
        read(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"bad.jsonl, record 1: Expecting"),
        ("[]", "record 1: expected an object"),
        ('{"prompt": 5}', "record 1: expected a string"),
        ('{"response": "x"}', "record 1: expected a string"),
        ('{"prompt": "a", "tokens": -1}', "record 1: tokens: expected a number from 0"),
        ('{"prompt": "a", "cost": "x"}', "record 1: could not convert"),
        ('{"prompt": "a", "tokens": 1e30}', "record 1: tokens: expected a number from 0"),
        ("[" * 100_000, "record 1: "),
        ("", "holds no prompts"),
    ],
)
def test_bad_files(capsys, tmp_path, line, words):
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    status, _, err = replay(capsys, path)
    assert status == 2
    assert re.search(words, err)


def test_bad_arguments(capsys, file, tmp_path):
    assert replay(capsys, tmp_path / "absent.jsonl")[0] == 2
    assert main(["replay", str(file), "--embed", "nosuch.module:f"]) == 2
    assert "--embed: 'nosuch.module:f'" in capsys.readouterr().err
    assert main(["replay", str(file), "--embed", "none", "--sweep"]) == 2
    assert main(["replay", str(file), "--embed", "none", "--threshold", "7"]) == 2
    for wrong in (["nonsense"], ["replay", str(file), "--limit", "0"]):
        with pytest.raises(SystemExit):
            main(wrong)


def test_names_are_not_markup(capsys, file, tmp_path):
    odd = tmp_path / "[red]b.jsonl"
    odd.write_bytes(file.read_bytes())
    status, out, _ = replay(capsys, odd)
    assert status == 0
    assert "[red]b.jsonl" in out.replace("\n", "")


def test_without_an_embedder(capsys, file):
    assert main(["replay", str(file), "--embed", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"] == 1


def test_the_example_of_the_readme(capsys):
    before = logging.getLogger().level
    assert main(["replay", str(EXAMPLE), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["requests"] >= 300
    assert report["layers"]["exact"]["count"] > 100
    assert report["layers"]["semantic"]["count"] > 10
    assert report["wrong_hits"] / report["judged_hits"] < 0.05
    assert logging.getLogger().level == before


def test_banking77(capsys):
    path = DATA / "prompts" / "banking77.tsv.gz"
    if not path.exists():
        pytest.skip("needs the shared data set banking77")
    assert main(["replay", str(path), "--json", "--limit", "3000", "--shuffle", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.05 < report["hits"] / report["requests"] < 0.5
    assert report["wrong_hits"] / report["judged_hits"] < 0.10
