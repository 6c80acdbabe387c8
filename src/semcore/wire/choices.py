"""What chat completions and completions have in common: answers with `choices`, and their streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from semcore.wire import sse
from semcore.wire.encode import dumps, loads
from semcore.wire.openai import objects
from semcore.wire.question import Json, Unreadable

PADDING = "obfuscation"  # of a chunk: random, against who measures lengths


def choices_of(answer: Json) -> list[Json]:
    """Raises Unreadable."""
    choices = objects(answer, "choices") if isinstance(answer, dict) else []
    if not choices:
        raise Unreadable("choices: expected a list of objects")
    return choices


def rest_of(value: Json, known: tuple[str, ...]) -> Json:
    """The fields that are neither known nor null."""
    return {key: one for key, one in value.items() if key not in known and one is not None}


def usage_and_end(head: Json, answer: Json, usage: bool) -> Iterator[bytes]:
    """The last frames of a stream."""
    if usage and answer.get("usage") is not None:
        yield sse.write(dumps({**head, "choices": [], "usage": answer["usage"]}))
    yield sse.write(b"[DONE]")


class Choices:
    """An answer out of its chunks.

    It is whole when every choice has a `finish_reason` and `[DONE]` or the usage came: a stream that ends
    before may lack a choice of which nothing came yet.
    """

    object: str

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._head: Json = {}
        self._choices: dict[int, Json] = {}
        self._over = False

    def feed(self, event: str, data: bytes) -> bool:
        if data == b"[DONE]":
            self._over = True
        if data == b"[DONE]" or not data:
            return False
        got = loads(data)
        if not isinstance(got, dict) or "error" in got or not isinstance(got.get("choices"), list):
            raise Unreadable("stream: expected chunks with choices")
        self._head.update(rest_of(got, ("choices", PADDING)))
        for choice in objects(got, "choices"):
            index = choice.get("index", 0)
            if not isinstance(index, int):
                raise Unreadable("stream: expected choices with an index")
            mine = self._choices.setdefault(index, self.blank(index))
            self.merge(mine, choice)
            if isinstance(probs := choice.get("logprobs"), dict):
                merge_logprobs(mine, probs)
            if choice.get("finish_reason") is not None:
                mine["finish_reason"] = choice["finish_reason"]
        usage = not got["choices"] and got.get("usage") is not None
        self._over = self._over or usage
        return usage

    def blank(self, index: int) -> Json:
        """A choice of which nothing came yet."""
        raise NotImplementedError

    def merge(self, mine: Json, choice: Json) -> None:
        """Adds what a chunk says of a choice. Raises Unreadable."""
        raise NotImplementedError

    def answer(self) -> Json | None:
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not self._over or not choices or any(choice["finish_reason"] is None for choice in choices):
            return None
        return {**self._head, "object": self.object, "choices": choices}


def merge_logprobs(choice: Json, piece: Json) -> None:
    mine = choice["logprobs"] = choice["logprobs"] or {}
    for key, value in piece.items():
        before = mine.get(key)
        mine[key] = (
            before + value if isinstance(value, list) and isinstance(before, list) else before or value
        )


def kept(mine: Json, key: str, value: Any) -> None:
    """A field that is not known to come in pieces, so it comes once. Raises Unreadable."""
    if mine.setdefault(key, value) is None:
        mine[key] = value
    if mine[key] != value:
        raise Unreadable("stream: expected a field that is not known here to come once")
