"""Gemini's generateContent. Caching is implicit; a prompt that begins with a named cache is not all here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semcore.providers.canonical import Rendered, compact, content, part, salted
from semcore.wire.content import each, listed


def contents(request: Mapping[str, Any]) -> Rendered:
    """A generateContent body, in camelCase or snake_case; the SDK's `config` counts as a part of it."""
    config = request.get("config")
    request = {**(config if isinstance(config, Mapping) else {}), **request}
    if request.get("cachedContent") or request.get("cached_content"):
        raise ValueError(
            "cachedContent: expected the whole prompt in contents, a part of it is at the server"
        )
    tools = [(compact(tool), None, (), "") for _, tool in each(listed(request, "tools"), "tools")]
    system = request.get("systemInstruction") or request.get("system_instruction")
    units = part("tools", tools) + part("system", content(parts(system), "systemInstruction"))
    given = request["contents"]
    turns = [{"parts": [{"text": given}]}] if isinstance(given, str) else listed(request, "contents")
    for k, turn in each(turns, "contents"):
        salt = salted(role=str(turn.get("role") or "user"))
        units += part(f"message {k}", content(parts(turn), f"contents {k}"), salt)
    return Rendered("gemini", tuple(units))


def parts(value: Any) -> Any:
    """Of {"parts": [...]}; a string or a list as it is."""
    found = value.get("parts") if isinstance(value, Mapping) else value
    return [found] if isinstance(found, Mapping) else found
