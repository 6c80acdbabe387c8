"""The default embedder: a vector for each piece of a word, their weighted mean, in about a microsecond.

The table is distilled from all-MiniLM-L6-v2 (Apache-2.0) by the recipe in `tools/distil`; it is a file of the
package, mapped, and its pages are shared by every process that uses it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from semcore._engine import Table
from semcore.embed import Embedder, Vector

DEFAULT = Path(__file__).parent / "data" / "default.sctable"
MOST_TOKENS = (
    128  # beyond, unrelated texts of one domain reach the default threshold: docs/design/embedding.md
)


@cache
def default_table() -> Table:
    """The table that comes with the package, opened once a process."""
    return Table(DEFAULT)


class Static(Embedder):
    """Text to vector by a table of word pieces (BERT's, uncased), natively.

    A text of more than `max_tokens` pieces has no vector and is matched exactly only: the mean of many words
    says less and less of what they mean together, and long texts come to resemble each other.

    Args:
        table: a file made by `semcore.embed.table.write`; None: the one that comes with the package.
        max_tokens: most pieces of a text that has a vector.

    Raises:
        OSError, ValueError: it cannot be read, or is no table.
    """

    def __init__(self, table: str | os.PathLike[str] | None = None, *, max_tokens: int = MOST_TOKENS) -> None:
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise ValueError(f"max_tokens: expected a whole number from 1, got {max_tokens!r}")
        self.table = default_table() if table is None else Table(table)
        self.max_tokens = max_tokens
        self.dim = self.table.dim
        self.fingerprint = f"{self.table.fingerprint}:{max_tokens}"
        self._embed = self.table.embed

    def __call__(self, text: str) -> Vector | None:
        """The vector of a text, float32 of shape (dim,) and length 1; None when it has none."""
        return self._embed(text, self.max_tokens)

    def many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, without the GIL."""
        rows = self.table.embed_many(texts, self.max_tokens)
        return [row if row.any() else None for row in rows]

    def tokens(self, text: str) -> list[int]:
        """The ids of the text's pieces, all of them, without [CLS] and [SEP]."""
        return self.table.tokens(text)
