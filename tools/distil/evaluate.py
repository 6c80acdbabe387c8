"""How good a table is, beside other embedders, by one script.

    python evaluate.py --data prompts --table table_int8.npz [--wordllama] [--minilm]

* banking77, hwu64: the set in one shuffled stream (seed 0); each text's nearest earlier text has its label,
  as a share of the texts. `hits`: the share served from a cache (a text below the threshold is inserted,
  one above it is answered) at the lowest threshold that keeps wrong answers under 1 % of the requests.
* qqp: area under the curve of the cosine over labelled pairs, and the share of pairs accepted while a fifth
  of them are labelled different (the labels' own noise allows no lower bound).

Evaluation sets are read here and, to exclude their texts, in corpus.py; training never sees them.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from table import Table, unit

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]
PAIRS = 8000  # of qqp, from its start


def rows(path: Path) -> list[list[str]]:
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1:]
    return [line.split("\t") for line in lines if line]


def stream(path: Path) -> tuple[list[str], NDArray[np.int32]]:
    """Texts and label numbers in the order of seed 0."""
    data = rows(path)
    order = np.random.default_rng(0).permutation(len(data))
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(data[line][1], len(numbers)) for line in order]
    return [data[line][2] for line in order], np.asarray(labels, np.int32)


def nearest_earlier(vectors: Floats, labels: NDArray[np.int32]) -> float:
    """Share of texts whose nearest earlier text has their label."""
    right = 0
    for start in range(0, len(vectors), 1024):
        end = min(start + 1024, len(vectors))
        cosines = vectors[start:end] @ vectors[:end].T
        cosines[np.arange(end) >= np.arange(start, end)[:, None]] = -2
        best = cosines.argmax(1)
        right += int((labels[best] == labels[start:end])[start == 0 :].sum())
    return right / (len(vectors) - 1)


def served(vectors: Floats, labels: NDArray[np.int32], threshold: float) -> tuple[float, float]:
    """Hits and wrong hits a request, of a cache with that threshold."""
    kept = np.empty_like(vectors)
    owner = np.empty(len(vectors), np.int64)
    size = hits = wrong = 0
    for line, vector in enumerate(vectors):
        cosines = kept[:size] @ vector
        if size and cosines[best := int(cosines.argmax())] >= threshold:
            hits += 1
            wrong += labels[owner[best]] != labels[line]
        else:
            kept[size], owner[size] = vector, line
            size += 1
    return hits / len(vectors), wrong / len(vectors)


def hits_within(vectors: Floats, labels: NDArray[np.int32], error: float = 0.01) -> float:
    """Hits at the lowest threshold, to a hundredth, with wrong hits a request within the error."""
    low, high, best = 50, 100, 0.0
    while high - low > 1:
        middle = (low + high) // 2
        hits, wrong = served(vectors, labels, middle / 100)
        if wrong <= error:
            high, best = middle, hits
        else:
            low = middle
    return best


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    ranks = scores.argsort().argsort() + 1.0
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def accepted(scores: Floats, positive: NDArray[np.bool_], error: float = 0.2) -> float:
    """Share of pairs above the lowest threshold at which `error` of the accepted are negatives."""
    wrong = np.cumsum(~positive[np.argsort(-scores)]) / np.arange(1, len(scores) + 1)
    within = np.flatnonzero(wrong <= error)
    return float((within[-1] + 1) / len(scores)) if len(within) else 0.0


def judge(name: str, embed: Embed, data: Path) -> dict[str, float]:
    """Every measure of one embedder, printed as a line."""
    out: dict[str, float] = {}
    for label in ("banking77", "hwu64"):
        texts, labels = stream(data / f"{label}.tsv.gz")
        vectors = embed(texts)
        out[label] = nearest_earlier(vectors, labels)
        out[f"{label} hits"] = hits_within(vectors, labels)
    found = rows(data / "qqp_dev.tsv.gz")[:PAIRS]
    scores = (embed([row[1] for row in found]) * embed([row[2] for row in found])).sum(1)
    same = np.asarray([row[0] == "1" for row in found])
    out |= {"qqp auc": auc(scores, same), "qqp accepted": accepted(scores, same)}
    print(f"{name:32}", "  ".join(f"{key} {value:.3f}" for key, value in out.items()), flush=True)
    return out


def wordllama() -> Embed:
    """wordllama's 256 dimensions, from its wheel alone."""
    import wordllama as package

    model = package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True, dim=256)
    return lambda texts: unit(np.asarray(model.embed(list(texts), norm=False), np.float32))


def minilm() -> Embed:
    """The teacher itself."""
    from teacher import Teacher, tokenizer

    teacher, tokens = Teacher(), tokenizer()
    return lambda texts: teacher.embed([item.ids for item in tokens.encode_batch(list(texts))])


def variants(table: Table) -> dict[str, Table]:
    """The table, and its smaller forms."""
    return {"int8 x 256": table, "int4 x 256": table.requantised(4), "int8 x 128": table.cut(128),
            "int4 x 128": table.cut(128).requantised(4), "int8 x 64": table.cut(64)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--wordllama", action="store_true")
    parser.add_argument("--minilm", action="store_true")
    options = parser.parse_args()
    if options.table:
        for name, table in variants(Table.load(options.table)).items():
            judge(name, table.embed, options.data)
    if options.wordllama:
        judge("wordllama 256", wordllama(), options.data)
    if options.minilm:
        judge("all-MiniLM-L6-v2 int8", minilm(), options.data)


if __name__ == "__main__":
    main()
