"""From the teacher's vectors to a table of rows.

    python train.py --corpus corpus/*.jsonl --teacher teacher --out table_f32.npy

1. The teacher's space is cut to its 256 principal directions over the corpus.
2. Start: every piece's own teacher vector, through the ridge regression that best maps the weighted sum of a
   text's pieces to the text's vector; weights a / (a + p) by the pieces' frequency p. Pieces that the corpus
   never shows keep this row, which is why it is fitted and not taken as it is.
3. Adam, on the rows a batch touches: cosine to the teacher's vector, the squared difference of the batch's
   pairwise cosines, and the cross-entropy between the two softmaxes over the batch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from table import Table, bags, unit
from teacher import load, tokenizer

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """Everything that a result depends on, the corpus aside."""

    seed: int = 20
    dims: int = 256
    mean: float = 0.0  # share of the teacher's mean that is taken off
    smooth: float = 1e-2  # a of the weights a / (a + p)
    ridge: float = 1.0
    epochs: int = 6
    batch: int = 1024
    rate: float = 3e-3
    cosine: float = 0.3
    pairs: float = 120.0
    soft: float = 0.5
    heat: float = 20.0  # of both softmaxes
    hold: float = 0.0  # pull towards the start
    near: float = 0.0  # share of the batches that are neighbourhoods
    heldout: float = 0.04


def principal(vectors: Floats, recipe: Recipe) -> tuple[Floats, Floats]:
    """The directions and the offset that map teacher vectors to targets."""
    offset = recipe.mean * vectors.mean(0)
    moved = vectors - offset
    _, directions = np.linalg.eigh(moved.T @ moved)
    return np.asarray(directions[:, ::-1][:, : recipe.dims], np.float32), offset


def start(vocabulary: Floats, counts: sparse.csr_matrix, targets: Floats, recipe: Recipe) -> Floats:
    """The row of every piece before training."""
    seen = np.asarray(counts.sum(0)).ravel() + 0.5
    weight = (recipe.smooth / (recipe.smooth + seen / seen.sum())).astype(np.float32)
    pieces = (vocabulary - vocabulary.mean(0)) * weight[:, None]
    sums = unit(counts @ pieces)
    gram = sums.T @ sums + recipe.ridge * np.eye(sums.shape[1], dtype=np.float32)
    rows = pieces @ np.linalg.solve(gram, sums.T @ targets)
    return np.asarray(rows / np.linalg.norm(rows, axis=1).mean(), np.float32)


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def slope(student: Floats, teacher: Floats, recipe: Recipe) -> Floats:
    """The losses' gradient by the student's unit vectors."""
    size = len(student)
    out = teacher * (-recipe.cosine / size)
    mine, theirs = student @ student.T, teacher @ teacher.T
    if recipe.pairs:
        out = out + ((mine - theirs) @ student) * (recipe.pairs / size**2)
    if recipe.soft:
        np.fill_diagonal(mine, -1.0)
        np.fill_diagonal(theirs, -1.0)
        wrong = softmax(mine * recipe.heat) - softmax(theirs * recipe.heat)
        out = out + ((wrong + wrong.T) @ student) * (recipe.soft / size)
    return np.asarray(out, np.float32)


class Adam:
    """Steps on the rows that a batch touches; the others' moments wait."""

    def __init__(self, rows: Floats, rate: float) -> None:
        self.rows, self.rate = rows, rate
        self.first, self.second = np.zeros_like(rows), np.zeros_like(rows)
        self.steps = 0

    def step(self, touched: NDArray[np.int64], gradient: Floats, rate: float) -> None:
        self.steps += 1
        first = self.first[touched] * 0.9 + gradient * 0.1
        second = self.second[touched] * 0.99 + gradient * gradient * 0.01
        self.first[touched], self.second[touched] = first, second
        first /= 1 - 0.9**self.steps
        second /= 1 - 0.99**self.steps
        self.rows[touched] -= rate * self.rate * first / (np.sqrt(second) + 1e-8)


def neighbourhoods(targets: Floats, random: np.random.Generator, size: int = 128) -> NDArray[np.int64]:
    """The texts in an order in which neighbours in meaning stand together."""
    centres = targets[random.choice(len(targets), max(1, len(targets) // size), replace=False)]
    parts = (targets[at : at + 4096] for at in range(0, len(targets), 4096))
    home = np.concatenate([(part @ centres.T).argmax(1) for part in parts])
    shuffled = random.permutation(len(targets))
    rank = random.permutation(len(centres))
    return np.asarray(shuffled[np.argsort(rank[home[shuffled]], kind="stable")], np.int64)


def batches(targets: Floats, recipe: Recipe, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """One epoch's batches."""
    order = random.permutation(len(targets)).astype(np.int64)
    if recipe.near:
        close = neighbourhoods(targets, random)
    for at in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = close if recipe.near and random.random() < recipe.near else order
        yield chosen[at : at + recipe.batch]


def fit(rows: Floats, counts: sparse.csr_matrix, targets: Floats, recipe: Recipe) -> Floats:
    """Train the rows; the rate falls to nothing over the epochs."""
    random = np.random.default_rng(recipe.seed)
    adam, begin = Adam(rows.copy(), recipe.rate), rows
    total, done = recipe.epochs * (len(targets) // recipe.batch), 0
    for _ in range(recipe.epochs):
        for lines in batches(targets, recipe, random):
            bag = counts[lines]
            touched, columns = np.unique(bag.indices, return_inverse=True)
            small = sparse.csr_matrix((bag.data, columns, bag.indptr), (len(lines), len(touched)))
            sums = small @ adam.rows[touched]
            length = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
            student = sums / length
            down = slope(student, targets[lines], recipe)
            down = (down - (down * student).sum(1, keepdims=True) * student) / length
            gradient = small.T @ down
            if recipe.hold:
                gradient += (recipe.hold / len(lines)) * (adam.rows[touched] - begin[touched])
            adam.step(touched, gradient, 1 - done / total)
            done += 1
    return adam.rows


@dataclass(frozen=True)
class Lesson:
    """The corpus as training sees it; a held-out part for choosing."""

    counts: sparse.csr_matrix
    vectors: Floats
    vocabulary: Floats

    @staticmethod
    def read(paths: Sequence[Path], teacher: Path) -> Lesson:
        texts, vectors = load(paths, teacher)
        counts = bags(tokenizer(), texts)
        return Lesson(counts, vectors.astype(np.float32), np.load(teacher / "vocabulary.npy"))

    def train(self, recipe: Recipe) -> tuple[Floats, dict[str, float]]:
        """Rows, and how close the held-out texts come to the teacher."""
        order = np.random.default_rng(recipe.seed).permutation(len(self.vectors))
        held, used = np.split(order, [int(recipe.heldout * len(order))])
        directions, offset = principal(self.vectors[used], recipe)
        targets = unit((self.vectors - offset) @ directions)
        rows = start(self.vocabulary, self.counts[used], targets[used], recipe)
        rows = fit(rows, self.counts[used], targets[used], recipe)
        return rows, closeness(unit(self.counts[held] @ rows), targets[held], unit(self.vectors[held]))


def closeness(student: Floats, targets: Floats, teacher: Floats) -> dict[str, float]:
    """Mean cosine to the target; how well the pairwise cosines of near pairs agree with the teacher's."""
    theirs, mine = teacher @ teacher.T, student @ student.T
    np.fill_diagonal(theirs, -1)
    np.fill_diagonal(mine, -1)
    found = mine.argmax(1)
    best = theirs.max(1)
    regret = float((best - theirs[np.arange(len(found)), found]).mean())
    return {"cosine": float((student * targets).sum(1).mean()), "regret": regret}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, nargs="+", required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = Recipe()
    lesson = Lesson.read(options.corpus, options.teacher)
    rows, quality = lesson.train(recipe)
    np.save(options.out, rows)
    print(len(lesson.vectors), "texts", asdict(recipe), quality)
    assert np.isfinite(Table(rows, tokenizer(), {}).rows).all()


if __name__ == "__main__":
    main()
