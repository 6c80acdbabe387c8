"""Printing: by the package `rich` where it is installed (extra `cli`), else as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

Row = Sequence[str]


def have_rich() -> bool:
    return find_spec("rich") is not None


class Plain:
    """What we use of rich's console."""

    is_terminal = False

    def print(self, what: object, **style: Any) -> None:
        print(what, flush=True)


def console() -> Any:
    """A console for standard output."""
    if not have_rich():
        return Plain()
    from rich.console import Console

    return Console()


def table(headers: Row, rows: Sequence[Row], title: str = "", left: int = 1) -> Any:
    """A table to print; the first `left` columns are aligned to the left. No headers: empty strings."""
    if not have_rich():
        return plain_table([headers, *rows] if any(headers) else rows, title, left)
    from rich.markup import escape
    from rich.table import Table

    out = Table(title=escape(title) if title else None, show_header=any(headers), title_justify="left")
    for i, header in enumerate(headers):
        out.add_column(header, justify="left" if i < left else "right")
    for row in rows:
        out.add_row(*map(escape, row))
    return out


def plain_table(rows: Sequence[Row], title: str, left: int) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [title] if title else []
    for row in rows:
        cells = [
            c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
