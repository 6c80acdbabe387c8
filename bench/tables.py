"""What tables of 16 and of 128 entries let pass, at as many bytes a row.

    python bench/tables.py --vectors rows.npy [--rows 100000] [--out bench/results/tables.md]

Both code the same 120 directions in 20 bytes: 40 groups of three with 16 centroids (half a byte, `pshufb`
and its like on every ISA), or 20 groups of six with 128 (seven bits of a byte, `vpermi2b` of AVX-512 VBMI
only). "exact" sums floats and takes each row's own numbers in the bound; "8 bits" rounds every term down to
1/254 of what may be lost, as registers do. Questions are held-out rows: misses, which is where a scan's
work is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import report

from semcore import learnt

QUESTIONS = 200
SAMPLE = 8192
TAUS = (0.85, 0.9)
SCHEMES = {"16 entries, 40 groups of 3": (3, 16), "128 entries, 20 groups of 6": (6, 128)}


def passing(
    x: np.ndarray, questions: np.ndarray, width: int, centroids: int
) -> dict[float, tuple[float, float]]:
    """Mean rows that pass, by tau: with the exact bound, and with terms of 8 bits."""
    rng = np.random.default_rng(0)
    rotation = learnt.leading_directions(x[:SAMPLE], rng).astype(np.float32)
    y = x @ rotation.T
    coded, books = np.empty_like(y), []
    for start in range(0, learnt.DIRECTIONS, width):
        group = slice(start, start + width)
        book, _ = learnt.lloyd(y[:SAMPLE, group], rng, centroids)
        nearest = learnt.nearest_of(y[:, group], book)
        coded[:, group] = book[nearest]
        books.append((group, book, nearest))
    length = np.linalg.norm(y, axis=1)
    along = np.einsum("ij,ij->i", y, coded) / length
    stray = np.sqrt(np.maximum(np.square(coded).sum(axis=1) - along**2, 0))
    rest = np.sqrt(np.maximum(1 - length**2, 0))
    found = {}
    for tau in TAUS:
        counts = []
        for q in questions:
            v = rotation @ q
            norm = np.linalg.norm(v)
            k = (tau - rest * np.sqrt(max(0.0, 1 - norm**2))) / (norm * length)
            least = norm * (k * along - np.sqrt(np.maximum(0, 1 - k**2)) * stray)
            least[k > 1] = np.inf
            exact = int((coded @ v >= least).sum())
            losses = [(b @ v[g]).max() - (b @ v[g]) for g, b, _ in books]
            best = sum((b @ v[g]).max() for g, b, _ in books)
            floor = np.quantile(least, 1e-4)
            unit = max(best - floor, 1e-6) / 254
            lost = sum(np.floor(loss / unit)[n] for loss, (_, _, n) in zip(losses, books, strict=True))
            lost = lost + np.floor(np.minimum((least - floor) / unit, 255))
            counts.append((exact, int((lost <= 254).sum())))
        found[tau] = tuple(np.mean(counts, axis=0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=Path, required=True, help="npy of unit rows")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    x = np.load(args.vectors).astype(np.float32)
    rows, questions = x[: args.rows], x[-QUESTIONS:]
    lines = []
    for name, (width, centroids) in SCHEMES.items():
        found = passing(rows, questions, width, centroids)
        lines.append([name, *(f"{n:,.0f}" for tau in TAUS for n in found[tau])])
    head = ["", *(f"{tau}, {kind}" for tau in TAUS for kind in ("exact", "8 bits"))]
    title = f"Rows of {len(rows):,} that pass, mean of {len(questions)} misses"
    report.write([f"## {title}", report.table(head, lines)], args.out)


if __name__ == "__main__":
    main()
