"""OpenAI's responses: `POST .../responses`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from semcore.wire import sse
from semcore.wire.encode import dumps, loads
from semcore.wire.openai import OpenAI, listed, objects
from semcore.wire.question import Cut, Json, Outcome, Terms, Tier, Unreadable, Usage, count

CALLS = {"function_call": "arguments", "custom_tool_call": "input"}  # and what they are called with
INPUTS = {
    "function_call": "function_call_arguments",
    "custom_tool_call": "custom_tool_call_input",
}  # in events
PARTS = {
    "message": "output_text",
    "reasoning": "reasoning_text",
}  # items with parts, and of what kind these are
PIECES = (
    "response.output_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
)


class Responses(OpenAI):
    """Responses."""

    name = "responses"
    form = "openai-responses"
    served = ("previous_response_id", "conversation", "background", "prompt")
    stored = True

    def tier(self, body: Json, terms: Terms) -> tuple[Tier, str]:
        tier, why = super().tier(body, terms)
        turns = body.get("input")
        if isinstance(turns, list) and any(refers(turn) for turn in turns):
            return Tier.BYPASS, "item_reference"
        if tier is Tier.SEMANTIC and "message.output_text.logprobs" in listed(body, "include"):
            return Tier.EXACT, "logprobs"
        return tier, why

    def tells_usage(self, body: Json) -> bool:
        return True  # every stream does

    def told(self, body: Json) -> Json | None:
        return None

    def assembler(self) -> Assembler:
        return Assembler()

    def outcome(self, answer: Json) -> Outcome:
        if not isinstance(answer, dict) or answer.get("status") != "completed" or answer.get("error"):
            return Outcome(False, False, "not completed")
        text = calls = False
        for item in objects(answer, "output"):
            kind = item.get("type")
            if not isinstance(kind, str) or (kind not in CALLS and kind not in PARTS):
                return Outcome(False, False, "server-side tools")
            if item.get("status") not in (None, "completed"):
                return Outcome(False, False, "cut")
            if kind in PARTS and any(part.get("type") != PARTS[kind] for part in objects(item, "content")):
                return Outcome(False, False, "refusal")
            texts = texts_of(item)
            calls = calls or kind in CALLS
            text = text or (kind == "message" and any(text.strip() for text in texts))
        if not text and not calls:
            return Outcome(False, False, "empty")
        return Outcome(True, not calls, "tool calls" if calls else "")

    def usage(self, answer: Json) -> Usage:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return Usage(None, None)
        return Usage(count(usage.get("input_tokens")), count(usage.get("output_tokens")))

    def ids(self, answer: Json) -> list[str]:
        """Encrypted reasoning is bound to its id: with a new one the provider refuses it in the next turn."""
        ids = [answer.get("id")]
        for item in objects(answer, "output"):
            if not item.get("encrypted_content"):
                ids += [item.get("id"), item.get("call_id")]
        return [id for id in ids if isinstance(id, str)]

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        for number, event in enumerate(events_of(answer, cut)):
            yield sse.write(dumps({**event, "sequence_number": number}), event["type"])


def refers(turn: Any) -> bool:
    """Does it stand for something that the provider remembers? Its type may be left out."""
    if not isinstance(turn, dict):
        return False
    return turn.get("type") == "item_reference" or (
        turn.keys() <= {"id", "type"} and turn.get("type") is None
    )


def text_of(part: Json, key: str = "text") -> str:
    """Raises Unreadable."""
    text = part.get(key)
    if not isinstance(text, str):
        raise Unreadable(f"output: expected a {key} in each part")
    return text


def texts_of(item: Json) -> list[str]:
    """What an item says, or what a call is called with. Raises Unreadable."""
    if item["type"] in CALLS:
        return [text_of(item, CALLS[item["type"]])]
    parts = [part for field in ("summary", "content") for part in objects(item, field)]
    for part in parts:
        listed(part, "annotations")
    return [text_of(part) for part in parts]


# ---- a stored answer as events ----


def events_of(answer: Json, cut: Cut) -> Iterator[Json]:
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    if "completed_at" in begun:
        begun["completed_at"] = None
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(objects(answer, "output")):
        yield {"type": "response.output_item.added", "output_index": index, "item": emptied(item)}
        for event in inside(item, cut):
            yield {**event, "item_id": item.get("id"), "output_index": index}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": answer}


def emptied(item: Json) -> Json:
    """An item of which nothing came yet."""
    bare = {key: value for key, value in item.items() if key != "encrypted_content"}
    for key in ("content", "summary"):
        if isinstance(item.get(key), list):
            bare[key] = []
    if item["type"] in CALLS:
        bare[CALLS[item["type"]]] = ""
    if "status" in item:
        bare["status"] = "in_progress"
    return bare


def inside(item: Json, cut: Cut) -> Iterator[Json]:
    """What comes between an item's beginning and its end."""
    if item["type"] in CALLS:
        key = CALLS[item["type"]]
        event, given = f"response.{INPUTS[item['type']]}", item[key]
        if given:
            yield {"type": event + ".delta", "delta": given}
        named = {"name": item["name"]} if "name" in item and key == "arguments" else {}
        yield {"type": event + ".done", key: given, **named}
        return
    for at, part in enumerate(objects(item, "summary")):
        yield from part_events(
            part, cut, "reasoning_summary_part", "reasoning_summary_text", "summary_index", at
        )
    for at, part in enumerate(objects(item, "content")):
        yield from part_events(part, cut, "content_part", part["type"], "content_index", at)


def part_events(part: Json, cut: Cut, name: str, text: str, index: str, at: int) -> Iterator[Json]:
    """A part's beginning, its text in pieces, its annotations, its end."""
    bare: Json = {**part, "text": ""}
    bare.update({key: [] for key in ("annotations", "logprobs") if isinstance(part.get(key), list)})
    probs = part.get("logprobs") or []
    yield {"type": f"response.{name}.added", index: at, "part": bare}
    first = probs
    for piece in cut(text_of(part)):
        more = {"logprobs": first} if text == "output_text" else {}
        yield {"type": f"response.{text}.delta", index: at, "delta": piece, **more}
        first = []  # all of them with the first piece
    for number, annotation in enumerate(listed(part, "annotations")):
        said = {"annotation_index": number, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", index: at, **said}
    more = {"logprobs": probs} if text == "output_text" else {}
    yield {"type": f"response.{text}.done", index: at, "text": part["text"], **more}
    yield {"type": f"response.{name}.done", index: at, "part": part}


class Assembler:
    """The response of a stream: its last event has all of it."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._answer: Json | None = None

    def feed(self, event: str, data: bytes) -> bool:
        if not data or data == b"[DONE]":
            return False
        got = loads(data)
        if not isinstance(got, dict) or "error" in got or got.get("type") == "error":
            raise Unreadable("stream: expected events of a response")
        if got.get("type") == "response.completed":
            if not isinstance(got.get("response"), dict):
                raise Unreadable("response.completed: expected a response")
            self._answer = got["response"]
        elif got.get("type") in PIECES and isinstance(got.get("delta"), str) and got["delta"]:
            self.cuts.append(len(got["delta"]))
        return False

    def answer(self) -> Json | None:
        return self._answer
