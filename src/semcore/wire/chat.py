"""OpenAI's chat completions: `POST .../chat/completions`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from semcore.wire import sse
from semcore.wire.choices import Choices, choices_of, kept, rest_of, usage_and_end
from semcore.wire.encode import dumps
from semcore.wire.openai import OpenAI, objects
from semcore.wire.question import Cut, Json, Outcome, Unreadable

TEXTS = ("reasoning_content", "reasoning", "refusal", "content")  # of a delta, told in pieces, in this order
WHOLE = ("stop", "tool_calls", "function_call")  # how a complete answer ends
CHOICE = ("index", "message", "delta", "logprobs", "finish_reason")


class Chat(OpenAI):
    """Chat completions."""

    name = "chat.completions"
    served = ("web_search_options", "search_parameters", "plugins", "data_sources", "dataSources")
    exact = ("prediction",)

    def assembler(self) -> Assembler:
        return Assembler()

    def outcome(self, answer: Json) -> Outcome:
        calls = False
        for choice in choices_of(answer):
            message = message_of(choice)
            if choice.get("finish_reason") not in WHOLE:
                return Outcome(False, False, "cut")
            if message.get("refusal"):
                return Outcome(False, False, "refusal")
            called = bool(message.get("tool_calls") or message.get("function_call"))
            if not called and empty(message.get("content")):
                return Outcome(False, False, "empty")
            calls = calls or called
        return Outcome(True, not calls, "tool calls" if calls else "")

    def ids(self, answer: Json) -> list[str]:
        ids = [answer.get("id")]
        for choice in choices_of(answer):
            ids += [call.get("id") for call in objects(message_of(choice), "tool_calls")]
        return [id for id in ids if isinstance(id, str)]

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        head = {**rest_of(answer, ("choices", "usage")), "object": "chat.completion.chunk"}
        for choice in choices_of(answer):
            index, probs = choice.get("index", 0), choice.get("logprobs")
            for delta in deltas_of(message_of(choice), cut):
                told = probs if delta.get("content") else None  # all of them with the first text
                yield chunk(head, index, delta, None, told)
                probs = None if told else probs
            yield chunk(head, index, {}, choice.get("finish_reason"), probs, rest_of(choice, CHOICE))
        yield from usage_and_end(head, answer, usage)


def message_of(choice: Json) -> Json:
    """Raises Unreadable."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Unreadable("choices: expected each to have a message")
    return message


def empty(content: Any) -> bool:
    return not (content.strip() if isinstance(content, str) else content)


def chunk(head: Json, index: int, delta: Json, finish: Any, logprobs: Any, rest: Json | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish, **(rest or {})}
    return sse.write(dumps({**head, "choices": [choice]}))


def deltas_of(message: Json, cut: Cut) -> Iterator[Json]:
    """A message as a stream tells it: the role, texts in pieces, each call with its `index`, what is left."""
    texts = [key for key in TEXTS if isinstance(message.get(key), str)]
    yield {"role": message.get("role", "assistant"), "content": "" if "content" in texts else None}
    for key in texts:
        for piece in cut(message[key]):
            yield {key: piece}
    for index, call in enumerate(objects(message, "tool_calls")):
        yield {"tool_calls": [{**call, "index": index}]}
    if rest := rest_of(message, ("role", "tool_calls", *texts)):
        yield rest


class Assembler(Choices):
    """A completion out of its chunks."""

    object = "chat.completion"

    def blank(self, index: int) -> Json:
        message = {"role": "assistant", "content": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": None}

    def merge(self, mine: Json, choice: Json) -> None:
        delta, message = choice.get("delta") or {}, mine["message"]
        if not isinstance(delta, dict):
            raise Unreadable("stream: expected a delta in each choice")
        mine.update(rest_of(choice, CHOICE))
        for key, value in delta.items():
            if key in TEXTS and isinstance(value, str):
                add(message, key, value)
                if value:
                    self.cuts.append(len(value))
            elif key == "tool_calls":
                for call in objects(delta, key):
                    merge_call(calls_of(message), call)
            elif key == "function_call" and isinstance(value, dict):
                merge_function(inner(message, key), value)
            elif value not in (None, ""):
                kept(message, key, value)


def add(mine: Json, key: str, text: str) -> None:
    """Raises Unreadable."""
    before = mine.get(key) or ""
    if not isinstance(before, str):
        raise Unreadable(f"stream: expected {key} to be a text in all chunks")
    mine[key] = before + text


def merge_call(calls: list[Json], piece: Json) -> None:
    """A piece of a tool call. Its `index` says which; without one, a new `id` begins a call."""
    index = piece.get("index")
    if index is None:
        new = not calls or piece.get("id") not in (None, "", calls[-1].get("id"))
        index = len(calls) if new else len(calls) - 1
    if not isinstance(index, int) or not 0 <= index <= len(calls):
        raise Unreadable("stream: expected tool calls in the order of their index")
    if index == len(calls):
        calls.append({})
    call = calls[index]
    for key, value in piece.items():
        if key in ("function", "custom") and isinstance(value, dict):
            merge_function(inner(call, key), value)
        elif key != "index" and value not in (None, ""):
            kept(call, key, value)


def calls_of(message: Json) -> list[Json]:
    """Raises Unreadable."""
    calls = message.setdefault("tool_calls", [])
    if not isinstance(calls, list):
        raise Unreadable("stream: expected tool_calls to be a list in all chunks")
    return calls


def inner(mine: Json, key: str) -> Json:
    """An object inside, made when it is not there. Raises Unreadable: it was something else before."""
    found = mine.setdefault(key, {})
    if not isinstance(found, dict):
        raise Unreadable(f"stream: expected {key} to be an object in all chunks")
    return found


def merge_function(function: Json, piece: Json) -> None:
    """Of a call: its name comes once, what it is called with in pieces. Raises Unreadable."""
    for key, value in piece.items():
        if key in ("arguments", "input") and isinstance(value, str):
            add(function, key, value)
        elif value not in (None, ""):
            kept(function, key, value)
