"""Anthropic's messages: `POST .../v1/messages`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from semcore.wire import sse
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Cut, Json, Outcome, Question, Terms, Tier, Unreadable, Usage, count
from semcore.wire.split import split

SERVED = ("mcp_servers", "container")  # fields that make the provider act: nothing of theirs is cached
OWN = ("bash_", "text_editor_", "memory_")  # tools of Anthropic's that the client runs, by their type
WHOLE = ("end_turn", "stop_sequence", "tool_use")  # how a complete answer ends
THOUGHT = ("thinking", "redacted_thinking")  # blocks that are given again as they are, signed
ENDS = ("stop_reason", "stop_sequence", "stop_details")  # what a stream tells last
LATE = ("context_management",)  # so too, but beside the others
PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
PIECES = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class Messages:
    """Messages."""

    name = "messages"
    echo: tuple[str, ...] = ()

    def question(self, body: Json, terms: Terms, target: str) -> Question:
        """Raises Unreadable."""
        tier, why = tier_of(body, terms)
        context, text = split("anthropic", body)
        if tier is Tier.SEMANTIC and not text:
            tier, why = Tier.EXACT, "no last user text"
        model, stream, tools = str(body.get("model", "")), body.get("stream") is True, bool(body.get("tools"))
        return Question(model, context, text, tier, why, stream, True, tools)

    def told(self, body: Json) -> Json | None:
        return None  # its streams always tell

    def assembler(self) -> Assembler:
        return Assembler()

    def outcome(self, answer: Json) -> Outcome:
        if answer.get("type") != "message" or usage_of(answer) is None:
            raise Unreadable("expected a message with its usage")
        if answer.get("stop_reason") not in WHOLE:
            return Outcome(False, False, "cut by " + str(answer.get("stop_reason")))
        said = called = False
        for block in blocks_of(answer):
            kind = block.get("type")
            if kind == "text":
                said = said or bool(block.get("text"))
            elif kind == "tool_use":
                called = True
            elif kind not in THOUGHT:
                return Outcome(False, False, str(kind))
        if called:
            return Outcome(True, False, "tool calls")
        return Outcome(said, said, "" if said else "empty")

    def usage(self, answer: Json) -> Usage:
        """Input with what was written to and read from the provider's prompt cache."""
        usage = usage_of(answer)
        if usage is None:
            return Usage(None, None)
        prompt = [n for key in PROMPT if (n := count(usage.get(key))) is not None]
        return Usage(sum(prompt) if prompt else None, count(usage.get("output_tokens")))

    def ids(self, answer: Json) -> list[str]:
        found = [answer.get("id")]
        found += [block.get("id") for block in blocks_of(answer) if block.get("type") == "tool_use"]
        return [id for id in found if isinstance(id, str)]

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        tokens = usage_of(answer) or {}
        late = {key: value for key, value in tokens.items() if key.startswith("output_tokens")}
        message = {key: value for key, value in answer.items() if key not in (*ENDS, *LATE)}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = {key: value for key, value in tokens.items() if key not in late}
        message["usage"]["output_tokens"] = 0
        yield event("message_start", message=message)
        for index, block in enumerate(blocks_of(answer)):
            start, deltas = block_as_told(block, cut)
            yield event("content_block_start", index=index, content_block=start)
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        rest = {key: answer[key] for key in LATE if key in answer}
        yield event("message_delta", delta={k: answer[k] for k in ENDS if k in answer}, usage=late, **rest)
        yield event("message_stop")

    def error(self, status: int, kind: str, message: str) -> Json:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


def tier_of(body: Json, terms: Terms) -> tuple[Tier, str]:
    """How far a lookup may go, and why not further."""
    for field in SERVED:
        if body.get(field) is not None:
            return Tier.BYPASS, field
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and kind != "custom" and not str(kind).startswith(OWN):
            return Tier.BYPASS, "tools"
    if not terms.allow(body.get("temperature")):
        return Tier.BYPASS, "temperature"
    return Tier.SEMANTIC, ""


def blocks_of(answer: Json) -> list[Json]:
    blocks = answer.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Unreadable("content: expected a list of objects")
    return blocks


def usage_of(answer: Json) -> Json | None:
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) and "output_tokens" in usage else None


# ---- streams ----


def event(kind: str, **fields: Any) -> bytes:
    return sse.write(dumps({"type": kind, **fields}), kind)


def block_as_told(block: Json, cut: Cut) -> tuple[Json, list[Json]]:
    """How a stream starts a block, and the pieces that follow."""
    start, deltas = dict(block), []
    if block.get("type") == "tool_use":
        start["input"] = {}
        deltas.append({"type": "input_json_delta", "partial_json": dumps(block.get("input")).decode()})
    if isinstance(block.get("citations"), list):
        start["citations"] = []
        deltas += [{"type": "citations_delta", "citation": each} for each in block["citations"]]
    if block.get("type") in ("text", "thinking"):
        for kind, field in PIECES.items():
            if isinstance(text := block.get(field), str):
                start[field] = ""
                pieces = [text] if field == "signature" else cut(text)
                deltas += [{"type": kind, field: piece} for piece in pieces]
    return start, deltas


class Assembler:
    """A message out of its events."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._message: Json = {}
        self._blocks: list[Json] = []
        self._json: str | None = None  # of the tool's input that is being told
        self._open = self._over = False

    def feed(self, event: str, data: bytes) -> bool:
        if not data:
            return False
        got = loads(data)
        kind = got.get("type") if isinstance(got, dict) else None
        if kind == "ping":
            return False
        if kind == "message_start" and not self._message and isinstance(got.get("message"), dict):
            self._message = got["message"]
            self._message["content"] = self._blocks
        elif not self._message or self._over:
            raise Unreadable("stream: expected message_start first and message_stop last")
        elif kind == "content_block_start":
            self._start(got)
        elif kind == "content_block_delta":
            self._piece(self._block(got), got.get("delta"))
        elif kind == "content_block_stop":
            self._stop(self._block(got))
        elif kind == "message_delta":
            self._end(got)
        elif kind == "message_stop":
            self._over = True
        else:
            raise Unreadable("stream: expected events of a message")
        return False

    def _start(self, got: Json) -> None:
        block = got.get("content_block")
        if self._open or got.get("index") != len(self._blocks) or not isinstance(block, dict):
            raise Unreadable("stream: expected blocks one after the other")
        self._open = True
        self._blocks.append(block)

    def _block(self, got: Json) -> Json:
        """The block that an event is about."""
        if not self._open or got.get("index") != len(self._blocks) - 1:
            raise Unreadable("stream: expected pieces of the block that was started last")
        return self._blocks[-1]

    def _piece(self, block: Json, delta: Any) -> None:
        if not isinstance(delta, dict):
            raise Unreadable("stream: expected a delta in each piece")
        kind = delta.get("type")
        field = PIECES.get(kind) if isinstance(kind, str) else None
        if field is not None and isinstance(piece := delta.get(field), str):
            block[field] = str(block.get(field) or "") + piece
            if piece and field != "signature":
                self.cuts.append(len(piece))
        elif kind == "input_json_delta" and isinstance(piece := delta.get("partial_json"), str):
            self._json = (self._json or "") + piece
        elif kind == "citations_delta" and isinstance(block.get("citations") or [], list):
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        else:
            raise Unreadable("stream: expected a delta of a known type")

    def _stop(self, block: Json) -> None:
        if self._json:
            block["input"] = loads(self._json.encode())
        self._json, self._open = None, False

    def _end(self, got: Json) -> None:
        delta, usage = got.get("delta"), got.get("usage")
        if not isinstance(delta, dict) or not isinstance(usage, dict):
            raise Unreadable("stream: expected a delta and the usage at the end")
        rest = {key: value for key, value in got.items() if key not in ("type", "delta", "usage")}
        self._message.update(delta | rest)
        told = {key: value for key, value in usage.items() if value is not None}
        before = self._message.get("usage")
        self._message["usage"] = (before if isinstance(before, dict) else {}) | told

    def answer(self) -> Json | None:
        return self._message if self._over and not self._open else None
