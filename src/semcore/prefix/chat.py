"""A chat as units of a prompt: tools, then system, then messages, as providers read them.

A unit is a tool, a part of the system prompt, or a content block of a message; its head says what it is,
its text is what it says. A message whose content is a str is one whose only block is that text. What counts
is what counts in a request (`semcore.wire.canonical`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from semcore.wire.canonical import blocks, digest, fields, packed, without_marks
from semcore.wire.content import content, each, listed

Unit = tuple[str, bytes, str | bytes]  # label, head, text
ROLES = ("system", "developer", "user", "assistant", "tool", "model")
TOOL = b"tool"  # the head of tools


class ChatError(TypeError):
    """`what`: the part of a chat that is none, and what was expected."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.what = what


def chat_units(seq: Any, name: str = "seq") -> list[Unit]:
    """The units of a list of messages, or of a dict with "messages", "tools" and "system"; `name`: of the
    argument, for errors.

    Raises:
        TypeError, ValueError: which message, and what was expected.
    """
    if not isinstance(seq, Mapping):
        seq = {"messages": seq}
    elif seq.get("messages") is None:
        raise ValueError(f"{name}: expected a dict with 'messages', got one with {sorted(map(str, seq))}")
    try:
        return list(_units(seq))
    except (ValueError, RecursionError) as error:
        raise ChatError(name, str(error)) from error


def plain_heads() -> dict[str, bytes]:
    """The heads of messages that are a role and a text, by role."""
    return {role: _head(role, role, 0, {"type": "text"}, {}) for role in ROLES}


def _units(chat: Mapping[str, Any]) -> Iterator[Unit]:
    for k, tool in each(listed(chat, "tools"), "tools", 0):
        yield f"tools {k}", TOOL, _packed(f"tools {k}", without_marks(tool))
    if chat.get("system") is not None:
        yield from _message("system", {"role": "system", "content": chat["system"]})
    for k, message in each(listed(chat, "messages"), "message", 0):
        yield from _message(f"message {k}", message)


def _message(label: str, message: Mapping[str, Any]) -> Iterator[Unit]:
    role = message.get("role")
    if not isinstance(role, str):
        raise ValueError(f"{label}: expected a role, got {role!r}")
    rest = {key: value for key, value in fields(message).items() if key not in ("role", "content")}
    for place, block in enumerate(content(message.get("content"), label) or [{}]):
        text = block.get("text", "")
        if not isinstance(text, str):
            raise ValueError(f"{label}: expected a block's text as str, got {type(text).__name__}")
        yield label, _head(label, role, place, block, {} if place else rest), text


def _head(label: str, role: str, place: int, block: Mapping[str, Any], rest: Mapping[str, Any]) -> bytes:
    said = {key: value for key, value in block.items() if key != "text"}
    return _packed(label, [role, min(place, 1), *(blocks(part, digest, sorted) for part in (said, rest))])


def _packed(label: str, value: Any) -> bytes:
    try:
        return packed(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{label}: {error}") from error
