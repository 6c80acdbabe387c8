"""Bedrock's Converse: a `cachePoint` is an item of its own and marks the block before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from semcore.providers.canonical import Block, Rendered, Unit, compact, content, part, salted
from semcore.wire.content import each, listed


def converse(request: Mapping[str, Any]) -> Rendered:
    """A Converse body."""
    config = request.get("toolConfig")
    tools = listed(config, "tools") if isinstance(config, Mapping) else []
    units = pointed("tools", tools, ())
    system = request.get("system")
    units += pointed(
        "system", [{"text": system}] if isinstance(system, str) else listed(request, "system"), ()
    )
    choice = config.get("toolChoice") if isinstance(config, Mapping) else None
    for k, message in each(listed(request, "messages"), "message"):
        salt = salted(role=str(message.get("role") or ""), tool_choice=choice if k == 1 else None)
        given = message.get("content")
        blocks = [{"text": given}] if isinstance(given, str) else listed(message, "content")
        units += pointed(f"message {k}", blocks, salt)
    return Rendered("bedrock", tuple(units))


def pointed(name: str, items: Iterable[Any], salt: tuple[tuple[str, str], ...]) -> list[Unit]:
    """The units of a part whose list has cache points among its blocks."""
    blocks: list[Block] = []
    for item in items:
        point = item.get("cachePoint") if isinstance(item, Mapping) else None
        if point is None:
            blocks.append(tool(item) if name == "tools" else content([item], name)[0])
        elif blocks:
            ttl = str(point.get("ttl") or "") if isinstance(point, Mapping) else ""
            blocks[-1] = (blocks[-1][0], ttl, *blocks[-1][2:])
    return part(name, blocks, salt)


def tool(item: Any) -> Block:
    spec = item.get("toolSpec") if isinstance(item, Mapping) else None
    label = str(spec.get("name") or "") if isinstance(spec, Mapping) else ""
    return compact(item), None, (), label
