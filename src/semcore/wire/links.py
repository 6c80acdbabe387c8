"""Ids of tool calls and of replies. They tie a result to its call, and say nothing else.

A cached answer is given with new ids, and the client sends them back with its next turn. Numbered in the
order of their first appearance, they leave that request the same each time, so it hits too.
"""

from __future__ import annotations

from typing import Any

NAMED = (  # types of blocks and items whose `id` is only a name
    "tool_use",
    "function",
    "custom",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "message",
    "reasoning",
)
REFERENCES = ("tool_use_id", "tool_call_id", "call_id")
HOLDERS = ("tool_calls", "content", "parts")  # fields of a turn that hold calls and results
GEMINI = ("functionCall", "functionResponse", "function_call", "function_response")
LINKS = frozenset(("id", *REFERENCES, *GEMINI))
Names = dict[str, bytes]


def linked(turns: list[Any]) -> list[Any]:
    """Turns with a number for each id: bytes, which no JSON has. The turns given are not changed."""
    names: Names = {}
    return [_turn(turn, names) if isinstance(turn, dict) else turn for turn in turns]


def _turn(turn: dict[str, Any], names: Names) -> dict[str, Any]:
    new = turn if LINKS.isdisjoint(turn) else _part(turn, names)
    for field in HOLDERS:
        if field in turn and isinstance(parts := turn[field], list):
            new = new | {field: [_part(part, names) for part in parts]}
    return new


def _part(part: Any, names: Names) -> Any:
    """A turn, a block or a part of Gemini's, its own ids numbered."""
    if not isinstance(part, dict) or LINKS.isdisjoint(part):
        return part
    keys = (*REFERENCES, "id") if part.get("type") in NAMED else REFERENCES
    new: dict[str, Any] = {key: _number(part[key], names) for key in keys if isinstance(part.get(key), str)}
    for field in GEMINI:
        inner = part.get(field)
        if isinstance(inner, dict) and isinstance(inner.get("id"), str):
            new[field] = inner | {"id": _number(inner["id"], names)}
    return part | new


def _number(id: str, names: Names) -> bytes:
    return names.setdefault(id, b"%d" % len(names))
