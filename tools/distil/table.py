"""The table: rows of pieces, their sum a text's vector; in floats, int8 or int4, and as a file.

As the engine has them, integers are symmetric, up to 127 or 7, with one float32 scale a row (its largest
magnitude over that): a piece's weight is in its row, so pooling is one multiply-add a dimension.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from tokenizers import Tokenizer

Floats = NDArray[np.float32]


def unit(vectors: Floats) -> Floats:
    """Rows of length one (a zero row stays zero)."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


def bags(tokens: Tokenizer, texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each piece occurs in each text, [CLS] and [SEP] left out."""
    ids = [item.ids for item in tokens.encode_batch(list(texts), add_special_tokens=False)]
    ends = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
    flat = np.concatenate([np.asarray(row, np.int32) for row in ids])
    counts = np.ones(len(flat), np.float32)
    matrix = sparse.csr_matrix((counts, flat, ends), (len(texts), tokens.get_vocab_size()))
    matrix.sum_duplicates()
    return matrix


def quantise(rows: Floats, bits: int) -> tuple[NDArray[np.int8], Floats]:
    """Symmetric integers and the scale of each row."""
    scale = np.abs(rows).max(1) / (2 ** (bits - 1) - 1)
    whole = np.rint(rows / np.maximum(scale, 1e-12)[:, None])
    return whole.astype(np.int8), scale.astype(np.float32)


@dataclass(frozen=True)
class Table:
    """Rows in floats, as the engine sees them after its scale, and the tokeniser that names them."""

    rows: Floats
    tokens: Tokenizer
    metadata: Mapping[str, Any]

    def embed(self, texts: Sequence[str]) -> Floats:
        return unit(bags(self.tokens, texts) @ self.rows)

    def requantised(self, bits: int) -> Table:
        """The same rows after a round trip through integers of that width."""
        whole, scale = quantise(self.rows, bits)
        return replace(self, rows=(whole * scale[:, None]).astype(np.float32))

    def cut(self, dims: int) -> Table:
        """The first dimensions, which are the teacher's principal ones."""
        return replace(self, rows=self.rows[:, :dims]).requantised(8)

    def save(self, path: Path, bits: int) -> None:
        """The integers with their scales, vocabulary in order and metadata."""
        whole, scale = quantise(self.rows, bits)
        names = [self.tokens.id_to_token(piece) for piece in range(len(self.rows))]
        np.savez_compressed(path, rows=whole, scale=scale, bits=bits, vocab=np.asarray(names),
                            metadata=json.dumps(dict(self.metadata)))  # fmt: skip

    @staticmethod
    def load(path: Path) -> Table:
        from teacher import tokenizer

        with np.load(path) as data:
            rows = data["rows"] * data["scale"][:, None]
            return Table(rows.astype(np.float32), tokenizer(), json.loads(str(data["metadata"])))
