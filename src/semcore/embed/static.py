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
from semcore.embed import Vector

DEFAULT = Path(__file__).parent / "data" / "default.sctable"
# Beyond, unrelated texts of one domain reach the default threshold: docs/design/embedding.md.
MOST_TOKENS = 64


class Static(Table):
    """Text to vector by a table of word pieces (BERT's, uncased), natively: `Static()(text)`.

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
        super().__init__(DEFAULT if table is None else table, max_tokens=max_tokens)

    @property
    def fingerprint(self) -> str:
        """The table's name and checksum, and the limit."""
        return f"{super().fingerprint}:{self.max_tokens}"

    def many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, without the GIL; None for one that has none."""
        return [row if row.any() else None for row in self.embed_many(texts)]


@cache
def default() -> Static:
    """The default embedder, opened once a process."""
    return Static()
