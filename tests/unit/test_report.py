"""`semcore embed report`: every number against a plain loop; files, plots, errors; banking77."""

import gzip
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import DATA
from hypothesis import given
from hypothesis import strategies as st

from semcore.cli import main
from semcore.cli.labelled import read
from semcore.embed import Embedder, quality
from semcore.embed.quality import Best, Curve, auc, nearest_earlier, of_pairs, of_texts
from semcore.embed.static import DEFAULT

UNIT = {"a": (1, 0), "b": (0.8, 0.6), "c": (0, 1), "d": (-0.6, 0.8)}  # cosines .8, 0, -.6, .6, 0, .8


def embed(text):
    """By the first letter; none for x."""
    if text.startswith("x"):
        return None
    vector = np.zeros(8)
    vector[:2] = UNIT.get(text[:1], (0.6, 0.8))
    return vector * (1 + len(text))  # of any length


embed.dim, embed.fingerprint = 8, "letters:1"
nothing = None
TEXTS = [("a1", "A"), ("a2", "A"), ("c1", "C"), ("b1", "A"), ("x1", "A"), ("d1", "C"), ("b2", "C")]


class Letters:
    """The same as a class, to be made an object."""

    dim, fingerprint = 8, "letters:2"

    def __call__(self, text):
        return embed(text)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("split\tlabel\ttext\n" + "".join(f"train\t{label}\t{text}\n" for text, label in TEXTS))
    return path


def report(capsys, path, *args, embedder=f"{__name__}:embed"):
    status = main(["embed", "report", "--data", str(path), "--embedder", embedder, *map(str, args)])
    out, err = capsys.readouterr()
    return status, out, err


# ---- against plain loops ----


def test_a_stream_by_hand():
    """a2 finds a1; c1 is nearest to neither; b1 finds a1; x1 nothing; d1 finds c1; b2 finds b1, wrongly."""
    found = of_texts(Embedder(embed), *zip(*TEXTS, strict=True))
    assert (found.count, found.labels, found.without_vector) == (7, 2, 1)
    assert found.accuracy == pytest.approx(3 / 6)
    assert found.oracle == pytest.approx(5 / 6)
    assert found.curve.thresholds == pytest.approx([1, 0.8, 0])
    assert (list(found.curve.served), list(found.curve.wrong)) == ([2, 4, 5], [1, 1, 2])
    assert found.best[0] == Best(0.01, "served", 0.0, None)
    assert found.curve.best(0.25, "served")[2:] == (pytest.approx(4 / 7), pytest.approx(0.8))
    assert found.curve.best(0.2, "all")[2:] == (pytest.approx(4 / 7), pytest.approx(0.8))
    assert found.speed.p50_us > 0


def test_pairs_by_hand():
    pairs = [("a", "a"), ("a", "b"), ("a", "c"), ("c", "d"), ("x", "a")]
    found = of_pairs(Embedder(embed), pairs, [True, True, False, False, False])
    assert (found.count, found.same, found.without_vector) == (5, 0.4, 1)
    assert found.curve.thresholds == pytest.approx([1, 0.8, 0], abs=1e-6)
    assert found.auc == pytest.approx((3 + 2.5) / 6)  # (a, b) and (c, d) are equally similar
    assert found.best[0].served == 0.2


numbers = st.integers(-4, 4).map(lambda n: n / 4)  # products are exact, in whatever order they are summed


@given(
    vectors=st.lists(st.none() | st.tuples(numbers, numbers, numbers), max_size=40),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_the_nearest_earlier_is_what_a_loop_finds(vectors, tile, monkeypatch):
    monkeypatch.setattr(quality, "ROWS", tile[0])
    monkeypatch.setattr(quality, "COLUMNS", tile[1])
    has = np.array([v is not None for v in vectors], dtype=bool)
    rows = np.array([v or (0, 0, 0) for v in vectors], dtype=np.float32).reshape(-1, 3)
    similarity, nearest = nearest_earlier(rows, has)
    for i, vector in enumerate(vectors):
        best, at = -np.inf, -1
        for j in range(i if vector else 0):
            if vectors[j] and (dot := sum(x * y for x, y in zip(vector, vectors[j], strict=True))) > best:
                best, at = dot, j
        assert nearest[i] == at
        assert similarity[i] == (max(-1, min(1, best)) if at >= 0 else -np.inf)


requests = st.lists(st.tuples(numbers | st.just(-np.inf), st.booleans()), min_size=1, max_size=30)


@given(requests, st.sampled_from([0.0, 0.01, 0.2, 0.25, 0.5, 1.0]))
def test_a_curve_is_what_counting_gives(found, limit):
    curve = Curve(np.array([s for s, _ in found]), np.array([r for _, r in found]))
    counted = {}
    for t in {s for s, _ in found if s > -np.inf} | {-1.0, -0.3, 0.3, 1.0}:
        served = [right for s, right in found if s >= t]
        counted[t] = (len(served), served.count(False))
        point = curve.at(t)
        assert point.served == len(served) / len(found)
        assert point.wrong_of_all == served.count(False) / len(found)
        assert point.wrong_of_served == (served.count(False) / len(served) if served else None)
    for of in ("served", "all"):
        within = [
            n for n, wrong in counted.values() if n and wrong / (n if of == "served" else len(found)) <= limit
        ]
        best = curve.best(limit, of)
        assert best.served == max(within, default=0) / len(found)
        assert best.threshold is None or counted[best.threshold][0] == max(within)
    points = curve.points()
    assert [p.threshold for p in points] == sorted((p.threshold for p in points), reverse=True)
    assert not points or points[-1].served == sum(s > -np.inf for s, _ in found) / len(found)


@given(requests)
def test_auc_is_the_share_of_pairs_in_order(found):
    yes = [s for s, same in found if same]
    no = [s for s, same in found if not same]
    area = auc(np.array([s for s, _ in found]), np.array([same for _, same in found]))
    if not yes or not no:
        assert area is None
    else:
        won = sum((y > n) + (y == n) / 2 for y in yes for n in no)
        assert area == pytest.approx(won / (len(yes) * len(no)))


def test_singles_end_in_time(monkeypatch):
    monkeypatch.setattr(quality, "SECONDS", 0)
    assert len(quality.single(Embedder(embed), ["a"] * 10)) == 1


# ---- the command ----


def test_report_as_json(capsys, texts, tmp_path):
    status, out, err = report(capsys, texts, "--json", "--plot", tmp_path / "p.png")
    found = json.loads(out)
    assert status == 0
    assert (found["kind"], found["count"], found["embedder"], found["dim"]) == ("texts", 7, "letters:1", 8)
    assert [best["limit"] for best in found["best"]] == [0.01, 0.02, 0.05] * 2
    assert found["curve"][0]["threshold"] == 1.0
    assert found["without_vector"] == 1
    assert "auc" not in found
    assert "plot written" in err
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(report(capsys, texts, "--json", "--limit", "3")[1])["count"] == 3
    orders = {json.loads(report(capsys, texts, "--json", "--seed", s)[1])["accuracy"] for s in range(9)}
    assert len(orders) > 1


@pytest.mark.parametrize("rich", [True, False])
def test_report_for_people(capsys, texts, monkeypatch, rich):
    monkeypatch.setattr("semcore.cli.console.have_rich", lambda: rich)
    status, out, _ = report(capsys, texts, embedder=f"{__name__}:Letters")
    assert status == 0
    for words in (
        "7 texts of 2 labels",
        "nearest is right",
        "wrong of served",
        "letters:2, 8 dimensions",
        "1 texts without",
    ):
        assert words in " ".join(out.split())


def test_pairs_and_formats(capsys, tmp_path):
    lines = ["label\ta\tb", "1\ta\ta1", '0\ta\t"c"', "1\ta\tb"]
    (tmp_path / "p.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    status, out, _ = report(capsys, tmp_path / "p.tsv.gz")
    assert status == 0
    assert "3 pairs, 66.7% of which mean the same" in " ".join(out.split())
    assert "ROC AUC             1.000" in out
    records = [{"label": 1, "a": "a", "b": "b"}, {"label": True, "a": "a", "b": "b"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert json.loads(report(capsys, tmp_path / "p.jsonl", "--json")[1])["same"] == 1.0
    assert "one kind of pair" in report(capsys, tmp_path / "p.jsonl")[1]
    (tmp_path / "t.jsonl").write_text('{"text": "a", "label": 7}\n\n{"prompt": "c", "label": "7"}\n')
    assert read(tmp_path / "t.jsonl") == ([("a", "7"), ("c", "7")], [])
    (tmp_path / "t.csv").write_text('label,text\nx,"a, b\nc"\ny,d\n')
    assert [text.text for text in read(tmp_path / "t.csv")[0]] == ["a, b\nc", "d"]


GOOD = '{"text": "a", "label": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("f.jsonl", GOOD + "{", "record 2: Expecting"),
        (
            "f.jsonl",
            GOOD + "\n[]",
            "record 2: expected the fields label and text, or label, a.* got list",
        ),
        ("f.jsonl", GOOD + '{"label": "x"}', "record 2: label: expected 1 .* or 0, got 'x'; or expected the"),
        ("f.jsonl", GOOD + "{}", "record 2: expected the fields .* got no label"),
        (
            "f.jsonl",
            GOOD + '{"text": 5, "label": "x"}',
            "record 2: expected a string in .* or text",
        ),
        (
            "f.jsonl",
            GOOD + '{"a": "b", "b": "c", "label": 1}',
            "holds 1 texts and 1 pairs, expected one",
        ),
        ("f.jsonl", '{"a": "b", "b": "c", "label": 2}', "record 1: label: expected 1 .* or 0, got '2'"),
        ("f.jsonl", '{"a": "b", "label": 1}', "record 1: expected a string in the field b"),
        ("f.jsonl", "[" * 100_000, "record 1: "),
        ("f.jsonl", GOOD, "expected 1 pair or 2 texts at least, got 1"),
        ("f.tsv", "", "expected 1 pair or 2 texts at least, got 0"),
        ("f.tsv", "label\ttext\nx\ta\nx\tb\tc\n", "record 2: more fields than the header names"),
        ("f.tsv", "label\ttext\nx\ta\nx\n", "record 2: expected a string in the field"),
        ("f.tsv", "label\ttext\nx\ta\n\tb\n", "record 2: expected the fields .* got no label"),
        ("f.tsv", "name\ttext\nx\ta\n", "record 1: expected the fields .* got no label"),
        ("f.tsv", "label\ta\tb\nyes\ta\tb\n", "record 1: label: expected 1 .* got 'yes'"),
    ],
)
def test_bad_files(capsys, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_text(content)
    status, _, err = report(capsys, path)
    assert status == 2
    assert re.search(f"semcore embed: {re.escape(str(path))}[,:] {words}", err)


def test_bad_arguments(capsys, texts, tmp_path):
    assert report(capsys, tmp_path / "absent.tsv")[0] == 2
    for embedder, words in (
        ("none", "expected 'default', 'static', 'wordllama', 'minilm', a callable or None, got 'none'"),
        ("nosuch.module:f", "--embedder: 'nosuch.module:f'"),
        (f"{__name__}:nothing", f"--embedder: '{__name__}:nothing' is None, expected an embedder"),
        (":f", "--embedder: ':f'"),
        ("absent.sctable", "absent.sctable"),
        (str(texts), str(texts)),
    ):
        status, _, err = report(capsys, texts, embedder=embedder)
        assert status == 2
        assert words in err
    status, _, err = report(capsys, texts, "--limit", "1")
    assert status == 2
    assert "expected 1 pair or 2 texts at least, got 1" in err
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(b"label\ttext\n" + b"x\ta\n" * 9999)[:-20])
    assert re.search(r"cut.tsv.gz, record \d+: ", report(capsys, tmp_path / "cut.tsv.gz")[2])


def test_embedders_by_name(capsys, texts, tmp_path, monkeypatch):
    """The default one by its names and by its table's path; one whose module is there or not."""
    table = tmp_path / "own.sctable"
    table.write_bytes(DEFAULT.read_bytes())
    monkeypatch.chdir(tmp_path)
    found = [
        json.loads(report(capsys, texts, "--json", embedder=name)[1])["embedder"]
        for name in ("default", "static", str(table), "own.sctable")
    ]
    assert len(set(found)) == 1
    monkeypatch.setitem(sys.modules, "semcore.embed.minilm", SimpleNamespace(MiniLM=Letters))
    assert json.loads(report(capsys, texts, "--json", embedder="minilm")[1])["embedder"] == "letters:2"
    monkeypatch.delitem(sys.modules, "semcore.embed.minilm")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # its import fails
    status, _, err = report(capsys, texts, embedder="minilm")
    assert status == 2
    assert "pip install 'semcore[minilm]'" in err


@pytest.fixture
def banking77():
    path = DATA / "prompts" / "banking77.tsv.gz"
    if not path.exists():
        pytest.skip("needs the shared data set banking77")
    return path


def test_the_default_on_banking77(capsys, banking77):
    status, out, _ = report(capsys, banking77, "--json", embedder="default")
    assert status == 0
    assert json.loads(out)["accuracy"] >= 0.85


def test_wordllama_on_banking77(capsys, banking77):
    pytest.importorskip("wordllama")
    status, out, _ = report(capsys, banking77, "--json", embedder="wordllama")
    found = json.loads(out)
    assert status == 0
    assert (found["count"], found["labels"]) == (13_083, 77)
    assert found["accuracy"] == pytest.approx(0.843, abs=0.002)  # as measured before there was this command
    assert found["oracle"] == pytest.approx(0.994, abs=0.001)
    best = {(b["of"], b["limit"]): b["served"] for b in found["best"]}
    assert best["served", 0.05] == pytest.approx(0.447, abs=0.02)
    assert best["all", 0.01] == pytest.approx(0.297, abs=0.02)
