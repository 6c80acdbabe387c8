"""A request as the providers' own JSON, turned into the blocks whose prefixes they cache, in rendered order.

All of them render tools, then the system prompt, then the messages, and reuse only what is equal from the
very first byte on. So a request is a list of units: a tool, a block of the system prompt, a content block of
a message.

- A unit's ``data`` is what is counted as tokens: text as it is, everything else as compact JSON in the order
  of keys that was sent (providers keep it). Frames around messages take a few tokens each and are not
  counted.
- A unit's ``salt`` is what must be equal too but takes no tokens: roles, ids of tool calls, settings.
- Media (base64 of a kilobyte or more) are stood in for by their hash: equal media are equal, but what they
  take in tokens is not counted.
- Where a block ends decides everything at providers with breakpoints, so nothing is ever joined or split
  here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from semcore.wire import content as raw
from semcore.wire.canonical import MARKS, blocks, digest, encode

TEXTS = ("text", "input_text", "output_text")
Salt = tuple[tuple[str, str], ...]


class Unit(NamedTuple):
    """One block of a prompt.

    Args:
        part: "tools", "response_format", "system" or "message 3"; messages are counted from 1 as they stand
            in the request's own list.
        block: its number in the part from 1, or 0 when it is the part's only one.
        data: what is compared and counted, UTF-8.
        mark: a breakpoint after it: its time to live as the request names it, "" for the default, None: no
            mark.
        salt: (name, value) of what else must be equal for the unit to be the same.
        label: a tool's name.
    """

    part: str
    block: int
    data: bytes
    mark: str | None = None
    salt: Salt = ()
    label: str = ""

    @property
    def name(self) -> str:
        """Such as "system", "tools, tool 2 (search)", "message 3, block 1"."""
        if self.part == "tools":
            return f"tools, tool {max(1, self.block)}" + (f" ({self.label})" if self.label else "")
        return f"{self.part}, block {self.block}" if self.block else self.part


class Rendered(NamedTuple):
    """A request in rendered order.

    Args:
        api: whose words it uses: "openai-chat", "openai-responses", "anthropic", "gemini", "bedrock" or
            "units" (understood by all).
        units: its blocks.
        automatic: a breakpoint on the last block is asked for: its time to live, "" for the default; None: it
            is not.
        ttl: of all its breakpoints that name none, None: the default.
        retention: time to live asked for on a grid, None: the default.
        explicit: only marked breakpoints count, also where the provider would place one by itself.
    """

    api: str
    units: tuple[Unit, ...]
    automatic: str | None = None
    ttl: str | None = None
    retention: str | None = None
    explicit: bool = False

    def speaks(self, provider: str) -> bool:
        """Does the provider understand its breakpoints? Bedrock's InvokeModel takes Anthropic's bodies."""
        api = self.api.split("-")[0]
        return api in ("units", provider) or (api, provider) == ("anthropic", "bedrock")


Block = tuple[bytes, str | None, Salt, str]  # data, mark, salt, label


def render(request: Any) -> Rendered:
    """Turns a request into its units.

    Args:
        request: a mapping: the JSON body of OpenAI chat.completions or responses, Anthropic messages, Gemini
            generateContent or Bedrock Converse; recognised by its fields. Or a sequence of `Unit`.

    Returns:
        The request in rendered order. A request without any text has no units.

    Raises:
        TypeError: it is no mapping.
        ValueError: it is none of these; or a part of the prompt is not in it (previous_response_id,
            cachedContent).
    """
    if isinstance(request, Rendered):
        return request
    if isinstance(request, Sequence) and not isinstance(request, (str, bytes)):
        if not all(isinstance(unit, Unit) for unit in request):
            raise TypeError("request: expected a mapping, or a sequence of Unit")
        return Rendered("units", tuple(request))
    if not isinstance(request, Mapping):
        raise TypeError(f"request: expected a mapping (a provider's JSON body), got {type(request).__name__}")
    from semcore.providers.apis import anthropic, bedrock, gemini, openai

    api = recognised(request)
    renderers = {
        "openai-chat": openai.chat,
        "openai-responses": openai.responses,
        "anthropic": anthropic.messages,
        "anthropic-chat": openai.chat_for_anthropic,
        "gemini": gemini.contents,
        "bedrock": bedrock.converse,
    }
    return renderers[api](request)


def named(request: Any) -> list[tuple[str, bytes]]:
    """The parts of a request by name: [("tools", ...), ("system", ...), ("message 1", ...), ...].

    Args:
        request: as for `render`.

    Returns:
        Name and UTF-8 bytes of each part that is not empty, in rendered order. Raises as `render` does.
    """
    parts: dict[str, bytes] = {}
    for unit in render(request).units:
        parts[unit.part] = parts.get(unit.part, b"") + unit.data
    return list(parts.items())


def recognised(request: Mapping[str, Any]) -> str:
    """The API whose body this is. Raises ValueError when it is none."""
    if "contents" in request:
        return "gemini"
    if "messages" not in request:
        if "input" in request:
            return "openai-responses"
        raise ValueError("request: expected a field messages, input or contents")
    if {"toolConfig", "inferenceConfig", "modelId"} & request.keys() or untyped(request["messages"]):
        return "bedrock"
    schemas = any("input_schema" in tool for tool in mappings(request.get("tools")))
    if {"system", "anthropic_version"} & request.keys() or schemas:
        return "anthropic"
    model = str(request.get("model") or "").rsplit("/", 1)[-1]
    if not (model.startswith("claude") or "cache_control" in request or marked(request["messages"])):
        return "openai-chat"
    return "anthropic-chat" if chatting(request) else "anthropic"


def chatting(request: Mapping[str, Any]) -> bool:
    """Is it OpenAI's JSON by its roles and calls, as gateways take it for Claude?"""
    messages = mappings(request["messages"])
    roles = any(m.get("role") in ("system", "developer", "tool") or m.get("tool_calls") for m in messages)
    return roles or any("function" in tool for tool in mappings(request.get("tools")))


def untyped(messages: Any) -> bool:
    """Are there content blocks, and none says its type (as Bedrock's)?"""
    blocks = [b for m in mappings(messages) for b in mappings(m.get("content"))]
    return bool(blocks) and not any("type" in b for b in blocks)


def marked(messages: Any) -> bool:
    return any("cache_control" in b for m in mappings(messages) for b in (m, *mappings(m.get("content"))))


def mappings(items: Any) -> list[Mapping[str, Any]]:
    """Those of a list that are mappings; of anything else, none."""
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, (list, tuple)) else []


# ---- what the renderers have in common ----


def part(name: str, blocks: Iterable[Block], salt: Salt = ()) -> list[Unit]:
    """The units of a part; `salt` belongs to its first."""
    kept = [block for block in blocks if block[0]]
    alone = len(kept) == 1
    return [
        Unit(name, 0 if alone else i + 1, data, mark, (salt if i == 0 else ()) + own, label)
        for i, (data, mark, own, label) in enumerate(kept)
    ]


def content(value: Any, where: str) -> list[Block]:
    """The blocks of a message's or a system prompt's content. Raises ValueError: it is none."""
    return [block_of(item) for item in raw.content(value, where)]


def block_of(item: Mapping[str, Any]) -> Block:
    text = item.get("text")
    others = [k for k, v in item.items() if v and k not in ("type", "text", *MARKS)]
    if isinstance(text, str) and not others and item.get("type", "text") in TEXTS:
        return encode(text), mark_of(item), (), ""
    return compact(item), mark_of(item), (), ""


def mark_of(item: Mapping[str, Any]) -> str | None:
    """The time to live of a block's breakpoint."""
    for name in MARKS:
        if (mark := item.get(name)) is not None:
            if not isinstance(mark, Mapping):
                raise ValueError(f"{name}: expected an object, got {mark!r}")
            return str(mark.get("ttl") or "")
    return None


def compact(value: Any) -> bytes:
    """As JSON without breakpoints, media by their hash."""
    bare = blocks(value, lambda medium: "sha256:" + digest(medium).hex())
    return encode(json.dumps(bare, ensure_ascii=False, separators=(",", ":"), default=str))


def salted(**values: Any) -> Salt:
    """The given that are not None, as a salt."""
    return tuple((k, v if isinstance(v, str) else encode_json(v)) for k, v in values.items() if v is not None)


def encode_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
