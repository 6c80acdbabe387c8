"""Lists, messages and content blocks of a request, checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Block = Mapping[str, Any]


def listed(request: Mapping[str, Any], name: str) -> list[Any]:
    """A list of the request; empty when it is absent. Raises ValueError: it is something else."""
    found = request.get(name)
    if found is None:
        return []
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"{name}: expected a list, got {type(found).__name__}")
    return list(found)


def each(items: list[Any], where: str, first: int = 1) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number and item, counted from `first`. Raises ValueError: one is no object; `where` and its number."""
    for k, item in enumerate(items, first):
        if not isinstance(item, (dict, Mapping)):
            raise ValueError(f"{where} {k}: expected an object, got {type(item).__name__}")
        yield k, item


def content(value: Any, where: str) -> list[Block]:
    """The blocks of a message's or a system prompt's content; a string is a block of text.

    Args:
        value: a string, a list of strings and objects, or None: no blocks.
        where: named when it is something else.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [_text(value)]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected a string or a list of blocks, got {type(value).__name__}")
    return [_block(item, where) for item in value]


def _block(item: Any, where: str) -> Block:
    if isinstance(item, str):
        return _text(item)
    if not isinstance(item, (dict, Mapping)):
        raise ValueError(f"{where}: expected a block to be a string or an object, got {type(item).__name__}")
    return item


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
