"""A chat as units of a prompt: tools, then system, then messages, as providers read them.

A unit is a tool, a part of the system prompt, or a content block of a message; its head says what it is,
its text is what it says. A message whose content is a str is one whose only block is that text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Unit = tuple[str, str, str]  # label, head, text
IGNORED = ("cache_control",)  # without effect on the answer
_dumps = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
ROLES = ("system", "developer", "user", "assistant", "tool", "model")


def canonical(value: object, what: str) -> str:
    """JSON with sorted keys and no spaces. Raises TypeError."""
    try:
        return _dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"seq: {what}: {error}") from error


def chat_units(seq: Any) -> list[Unit]:
    """The units of a list of messages, or of a dict with "messages", "tools" and "system".

    Raises:
        TypeError, ValueError: which message, and what was expected.
    """
    units: list[Unit] = []
    messages = seq
    if isinstance(seq, Mapping):
        if "messages" not in seq:
            raise ValueError(f"seq: expected a dict with 'messages', got one with {sorted(map(str, seq))}")
        messages = seq["messages"]
        _add_tools(units, seq.get("tools") or ())
        if seq.get("system") is not None:
            _add_blocks(units, "system", "system", seq["system"], {})
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
        raise TypeError(f"seq: messages: expected a list, got {type(messages).__name__}")
    for k, message in enumerate(messages):
        _add_message(units, k, message)
    return units


def plain_heads() -> dict[str, bytes]:
    """The heads of messages that are a role and a text, by role."""
    return {role: _head(role, 0, "text", {}, {}, role).encode() for role in ROLES}


def _head(role: str, place: int, kind: str, block: object, rest: object, what: str) -> str:
    return canonical([role, min(place, 1), kind, block, rest], what)


def _add_tools(units: list[Unit], tools: Sequence[Any]) -> None:
    for k, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise TypeError(f"seq: tools {k}: expected a dict, got {type(tool).__name__}")
        # keys inside a schema stay in order: it steers what the model writes
        kept = {key: tool[key] for key in tool if key not in IGNORED}
        try:
            text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise TypeError(f"seq: tools {k}: {error}") from error
        units.append((f"tools {k}", "tool", text))


def _add_message(units: list[Unit], k: int, message: Any) -> None:
    if not isinstance(message, Mapping):
        raise TypeError(f"seq: message {k}: expected a dict, got {type(message).__name__}")
    role = message.get("role")
    if not isinstance(role, str):
        raise TypeError(f"seq: message {k}: expected a role, got {role!r}")
    rest = {
        key: value
        for key, value in message.items()
        if key not in ("role", "content", *IGNORED) and value is not None
    }
    _add_blocks(units, f"message {k}", role, message.get("content"), rest)


def _add_blocks(units: list[Unit], label: str, role: str, content: Any, rest: Mapping[str, Any]) -> None:
    if content is None or isinstance(content, str):
        units.append((label, _head(role, 0, "text", {}, rest, label), content or ""))
        return
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise TypeError(
            f"seq: {label}: expected content as str or a list of blocks, got {type(content).__name__}"
        )
    if not content:
        units.append((label, _head(role, 0, "none", {}, rest, label), ""))
    for place, block in enumerate(content):
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        if not isinstance(block, Mapping):
            raise TypeError(f"seq: {label}: expected a content block as a dict, got {type(block).__name__}")
        kept = {key: value for key, value in block.items() if key not in ("type", "text", *IGNORED)}
        text = block.get("text", "")
        if not isinstance(text, str):
            raise TypeError(f"seq: {label}: expected a block's text as str, got {type(text).__name__}")
        head = _head(role, place, str(block.get("type", "")), kept, {} if place else rest, label)
        units.append((label, head, text))
