"""How alike are long texts that have nothing to do with each other? The measurement behind `max_tokens`.

    python bench/long_texts.py --data FOLDER [--out bench/results/long_texts.md]

Texts are chains of questions drawn at random, of one domain (banking77) or of any topic (qqp_dev),
until they have so many tokens; 300 of each length, and all their pairs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
from pathlib import Path

import numpy as np
import report

from semcore.embed.static import Static

TABLE = Static(max_tokens=10_000)
LENGTHS, TEXTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096), 300


def column(path: Path, name: str) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [row[name] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def chain(questions: list[str], tokens: int, dice: random.Random) -> str:
    parts, n = [], 0
    while n < tokens:
        parts.append(dice.choice(questions))
        n += len(TABLE.tokens(parts[-1]))
    return " ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    dice, rows = random.Random(0), []
    sources = {
        "one domain": column(args.data / "banking77.tsv.gz", "text"),
        "any topic": column(args.data / "qqp_dev.tsv.gz", "a"),
    }
    for name, questions in sources.items():
        for n in LENGTHS:
            vectors = TABLE.embed_many([chain(questions, n, dice) for _ in range(TEXTS)])
            cosines = (vectors @ vectors.T)[np.triu_indices(TEXTS, 1)]
            shares = [f"{np.percentile(cosines, p):.3f}" for p in (50, 99, 99.9)]
            rows.append([f"{name}, {n:,} tokens", *shares])
    head = ["unrelated texts", "median cosine", "99 %", "99.9 %"]
    report.write([report.table(head, rows)], args.out)


if __name__ == "__main__":
    main()
