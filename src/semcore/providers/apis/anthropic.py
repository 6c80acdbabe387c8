"""Anthropic's messages: `cache_control` of tools, system and content blocks, or of the whole request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semcore.providers.canonical import Rendered, compact, content, mark_of, part, salted
from semcore.wire.content import each, listed


def messages(request: Mapping[str, Any]) -> Rendered:
    """A messages body. A change of tool_choice or thinking loses the messages, so they are their salts."""
    tools = [
        (compact(tool), mark_of(tool), (), str(tool.get("name") or ""))
        for _, tool in each(listed(request, "tools"), "tools")
    ]
    units = part("tools", tools) + part("system", content(request.get("system"), "system"))
    settings = salted(tool_choice=request.get("tool_choice"), thinking=request.get("thinking"))
    for k, message in each(listed(request, "messages"), "message"):
        salt = salted(role=str(message.get("role") or "")) + (settings if k == 1 else ())
        units += part(f"message {k}", content(message.get("content"), f"message {k}"), salt)
    return Rendered("anthropic", tuple(units), automatic=mark_of(request))
