"""Where the reuse of one prompt ends in another: the first block that differs, and what differs there."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

from semcore.prefix.explain import common
from semcore.providers.canonical import Unit, render
from semcore.providers.prompt import BYTES_A_TOKEN
from semcore.providers.volatile import VOLATILE, kind_at, span_at

OF_MESSAGE = ("role", "tool_call_id", "name")  # another message is said by its text
EXCERPT = 40  # characters
PASSAGE = 200  # bytes up to which a change inside equal text is a short one


class Difference(NamedTuple):
    """The first place where a second request leaves a first one.

    Args:
        name: the block, such as "system" or "message 3, block 2".
        part: "tools", "response_format", "system" or "message 3".
        unit: its number, from 0.
        position: of the first differing character in the block's text; None: the text is equal, a setting is
            not.
        what: what differs: "a timestamp", "a UUID", "an id", "a number", "a short passage", "the order of the
            tools", "a tool was added", "a tool was removed", "the order of keys", "text was appended", "text
            was cut off", "other text", or the name of a setting.
        before, after: what stands there in the first and the second.
        tokens: that both begin with, at four bytes a token.
    """

    name: str
    part: str
    unit: int
    position: int | None
    what: str
    before: str
    after: str
    tokens: int

    def __str__(self) -> str:
        place = "" if self.position is None else f" at character {self.position:,}"
        return (
            f"{self.name} differs{place}: {self.what} ({self.before!r} became {self.after!r});"
            f" {self.tokens:,} tokens before that can be reused"
        )


def explain(a: Any, b: Any) -> Difference | None:
    """Names the first block of a request that breaks the reuse of an earlier one, before it is sent.

    Args:
        a: the earlier request: a provider's JSON body, as for `render`.
        b: the later one.

    Returns:
        The difference; None when one is the beginning of the other, so that nothing breaks.

    Raises:
        TypeError, ValueError: one of them is no request.
    """
    return between(render(a).units, render(b).units)


def between(a: tuple[Unit, ...], b: tuple[Unit, ...]) -> Difference | None:
    """`explain` of rendered requests."""
    size = 0
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x.data != y.data or x.salt != y.salt:
            return named(a, b, i, size)
        size += len(x.data)
    return None


def named(a: tuple[Unit, ...], b: tuple[Unit, ...], i: int, size: int) -> Difference:
    x, y = a[i], b[i]
    where = (y.name, y.part, i)
    setting, before, after = setting_of(x, y)
    if setting and (x.data == y.data or setting not in OF_MESSAGE):
        return Difference(*where, None, setting, before, after, size // BYTES_A_TOKEN)
    at = common(x.data, y.data)
    tokens = (size + at) // BYTES_A_TOKEN
    before_text, position = text_at(x.data, at)
    after_text, _ = text_at(y.data, at)
    changed = tools(a, b, i)
    if changed and y.part != "tools":
        where = (x.name, x.part, i)
    what = changed or kind(x, y, at, before_text, after_text, position)
    if what in VOLATILE:
        shown = [text[slice(*span_at(what, text, position))] for text in (before_text, after_text)]
    elif x.part == "tools" and what.startswith(("the order of the", "a tool")):
        shown = [x.name, y.name]
    else:
        shown = [text[position : position + EXCERPT] for text in (before_text, after_text)]
    return Difference(*where, position, what, shown[0], shown[1], tokens)


def setting_of(x: Unit, y: Unit) -> tuple[str, str, str]:
    """The first setting that differs, and its two values; "" when none does."""
    a, b = dict(x.salt), dict(y.salt)
    name = next((name for name in (*b, *a) if a.get(name) != b.get(name)), "")
    return name, a.get(name, ""), b.get(name, "")


def text_at(data: bytes, at: int) -> tuple[str, int]:
    """The text, and which character the byte at a place belongs to."""
    while at > 0 and at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return data.decode("utf-8", "replace"), len(data[:at].decode("utf-8", "replace"))


def tools(a: tuple[Unit, ...], b: tuple[Unit, ...], i: int) -> str | None:
    """What became of the tools, where it is not one tool's own text that changed."""
    if "tools" not in (a[i].part, b[i].part):
        return None
    x, y = (Counter(u.data for u in units if u.part == "tools") for units in (a, b))
    if x == y:
        return "the order of the tools"
    if x.keys() <= y.keys():
        return "a tool was added"
    if y.keys() <= x.keys():
        return "a tool was removed"
    return None


def kind(x: Unit, y: Unit, at: int, before: str, after: str, position: int) -> str:
    if (found := kind_at(after, position)) and kind_at(before, position) == found:
        return found
    if reordered(x.data, y.data):
        return "the order of keys"
    if at == len(x.data):
        return "text was appended"
    if at == len(y.data):
        return "text was cut off"
    rest = common(x.data[at:][::-1], y.data[at:][::-1])
    middle = max(len(x.data), len(y.data)) - at - rest
    return "a short passage" if rest > middle and middle <= PASSAGE else "other text"


def reordered(a: bytes, b: bytes) -> bool:
    """Are both the same JSON object?"""
    if len(a) != len(b) or not a.startswith(b"{"):
        return False
    try:
        return bool(json.loads(a) == json.loads(b))
    except (ValueError, RecursionError):
        return False
