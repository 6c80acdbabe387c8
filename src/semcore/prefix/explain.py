"""Where two prompts part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from semcore.prefix.chat import chat_units
from semcore.prefix.index import Difference


def explain(a: Any, b: Any, block: int) -> Difference | None:
    """See `PrefixIndex.explain`."""
    kind = _kind("a", a)
    if _kind("b", b) != kind:
        raise TypeError("b: expected a prompt of the same kind as a: tokens, text or a chat")
    if kind == "chat":
        return _of_chats(chat_units(a, "a"), chat_units(b, "b"))
    if kind == "text":
        return _of_elements(_raw(a), _raw(b), 4 * block)
    return _of_elements(list(a), list(b), block)


def _kind(name: str, seq: Any) -> str:
    if isinstance(seq, (str, bytes)):
        return "text"
    if isinstance(seq, Mapping):
        return "chat"
    if not isinstance(seq, Iterable):
        raise TypeError(f"{name}: expected token ids, text or a chat, got {type(seq).__name__}")
    return "chat" if isinstance(seq, (list, tuple)) and seq and isinstance(seq[0], Mapping) else "tokens"


def _raw(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _of_chats(a: list[Any], b: list[Any]) -> Difference | None:
    for k, (x, y) in enumerate(zip(a, b, strict=False)):
        if x[1:] != y[1:]:
            first = min(x[0], y[0], key=_order)
            return Difference(k, first, k)
    return None


def _order(label: str) -> int:
    return ("tools", "system", "message").index(label.split()[0])


def _of_elements(a: Any, b: Any, unit: int) -> Difference | None:
    at = common(a, b)
    return Difference(at // unit, f"block {at // unit}", at) if at < min(len(a), len(b)) else None


def common(a: Any, b: Any) -> int:
    """Number of equal elements at the beginning of two sequences, found by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
