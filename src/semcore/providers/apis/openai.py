"""OpenAI: chat.completions and responses. Breakpoints (from GPT-5.6 on): `prompt_cache_breakpoint`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from semcore.providers.canonical import Block, Rendered, Unit, compact, content, mark_of, part, salted
from semcore.wire.content import each, listed

LEADING = ("system", "developer")


def chat(request: Mapping[str, Any]) -> Rendered:
    """A chat.completions body. Leading messages of the roles system and developer are the part "system"."""
    units = head(request, request.get("response_format"))
    system: list[Unit] = []
    leading = True
    for k, message in each(listed(request, "messages"), "message"):
        role = str(message.get("role") or "")
        leading = leading and role in LEADING
        blocks = message_blocks(message, f"message {k}")
        salt = salted(role=role, tool_call_id=message.get("tool_call_id"), name=message.get("name"))
        if leading:
            system += part("system", blocks, salt)
        else:
            units += renumbered(system) + part(f"message {k}", blocks, salt)
            system = []
    return rendered("openai-chat", request, units + renumbered(system))


def chat_for_anthropic(request: Mapping[str, Any]) -> Rendered:
    """A chat.completions body whose breakpoints are Anthropic's, as gateways take it for Claude."""
    return chat(request)._replace(api="anthropic", automatic=mark_of(request))


def responses(request: Mapping[str, Any]) -> Rendered:
    """A responses body. Its conversation must be in it: what the server keeps is not known here."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if request.get(name):
            raise ValueError(
                f"{name}: expected the whole prompt in the request, a part of it is at the server"
            )
    text = request.get("text")
    units = head(request, text.get("format") if isinstance(text, Mapping) else None)
    system = part("system", content(request.get("instructions"), "instructions"), salted(role="system"))
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else listed(request, "input")
    rest: list[Unit] = []
    for k, item in each(items, "input"):
        if item.get("type") == "item_reference":
            raise ValueError(f"input {k}: expected an item, its text is at the server (item_reference)")
        role = str(item.get("role") or item.get("type") or "")
        plain = "role" in item
        blocks = content(item.get("content"), f"input {k}") if plain else [whole(item)]
        if role in LEADING and not rest:
            system += part("system", blocks, salted(role=role))
        else:
            rest += part(f"message {k}", blocks, salted(role=role))
    return rendered("openai-responses", request, units + renumbered(system) + rest)


def rendered(api: str, request: Mapping[str, Any], units: list[Unit]) -> Rendered:
    options = request.get("prompt_cache_options")
    options = options if isinstance(options, Mapping) else {}
    ttl, retention = options.get("ttl"), request.get("prompt_cache_retention")  # they do not interact
    key = request.get("prompt_cache_key")
    if units and key is not None:
        units[0] = units[0]._replace(salt=salted(prompt_cache_key=str(key)) + units[0].salt)
    return Rendered(
        api,
        tuple(units),
        ttl=str(ttl) if ttl else None,
        retention=str(retention).replace("-", "_") if retention else None,
        explicit=options.get("mode") == "explicit",
    )


def head(request: Mapping[str, Any], schema: Any) -> list[Unit]:
    """Tools, and the schema of a structured answer."""
    given = listed(request, "tools") + listed(request, "functions")
    tools = [tool_block(tool) for _, tool in each(given, "tools")]
    structured = isinstance(schema, Mapping) and schema.get("type") == "json_schema"
    return part("tools", tools) + part("response_format", [whole(schema)] if structured else [])


def tool_block(tool: Mapping[str, Any]) -> Block:
    inner = tool.get("function")
    name = (inner if isinstance(inner, Mapping) else tool).get("name") or tool.get("type") or ""
    return compact(tool), mark_of(tool), (), str(name)


def whole(item: Mapping[str, Any]) -> Block:
    return compact(item), None, (), ""


def message_blocks(message: Mapping[str, Any], where: str) -> list[Block]:
    """Content, then what an assistant's message has besides: calls of tools, a refusal."""
    blocks = content(message.get("content"), where)
    calls = chain(listed(message, "tool_calls"), filter(None, [message.get("function_call")]))
    blocks += [whole(call) for call in calls]
    blocks += content(message.get("refusal"), where)
    if blocks and (mark := mark_of(message)) is not None:  # LiteLLM marks whole messages too
        blocks[-1] = (blocks[-1][0], mark, *blocks[-1][2:])
    return blocks


def renumbered(units: list[Unit]) -> list[Unit]:
    """Blocks of several leading messages as one part."""
    if len(units) < 2:
        return units
    return [unit._replace(block=i) for i, unit in enumerate(units, 1)]
