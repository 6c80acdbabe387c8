"""Embeddings of real texts, for vectors.py: python bench/embed_texts.py FOLDER OUT.npy

FOLDER holds `*.tsv.gz`; a field with a blank in it is a text. Every text once, by semcore.embed.MiniLM,
in the order of the files; float16 unit rows. Texts without a vector are left out.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np

from semcore.cli.progress import tracked
from semcore.embed import MiniLM

BATCH = 256


def texts(folder: Path) -> list[str]:
    found: dict[str, None] = {}  # ordered
    for path in sorted(folder.glob("*.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            fields = (field.strip() for line in file for field in line.split("\t"))
            found.update((field, None) for field in fields if " " in field)
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="embeddings of the texts in a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most", type=int, help="texts, the first ones")
    args = parser.parse_args()
    found, embed, rows = texts(args.folder)[: args.most], MiniLM(), []
    batches = [found[i : i + BATCH] for i in range(0, len(found), BATCH)]
    for batch in tracked(batches, "embedding", len(batches)):
        rows += [np.float16(vector) for vector in embed.embed_many(batch) if vector is not None]
    np.save(args.out, np.stack(rows))
    print(f"{len(rows):,} of {len(found):,} texts, {rows[0].size} numbers each")


if __name__ == "__main__":
    main()
