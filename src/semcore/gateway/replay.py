"""Answers out of the cache as responses: JSON, or a stream at once, in the model's pieces, or at a pace."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from semcore.gateway.message import Headers, Send, reply
from semcore.gateway.record import Record
from semcore.wire.encode import loads
from semcore.wire.question import Api, Cut, Question

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_WORDS = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+")


def whole(text: str) -> Iterator[str]:
    if text:
        yield text


def words(text: str) -> Iterator[str]:
    """About a token each."""
    return (match[0] for match in _WORDS.finditer(text))


def like(cuts: list[int]) -> Cut:
    """Pieces of the lengths in which the model gave them; the rest in one piece."""
    lengths = iter(cuts)

    def cut(text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            length = next(lengths, len(text) - at)
            yield text[at : at + length]
            at += length

    return cut


def frames_of(record: Record, api: Api, question: Question, mode: str) -> Iterator[bytes]:
    """A stored answer as a stream."""
    cut: Cut = {"coalesced": whole, "paced": words}.get(mode) or like(record.cuts)
    return api.events(loads(record.renewed()), question.usage, cut)


async def replay(
    send: Send, record: Record, api: Api, question: Question, headers: Headers, mode: str, pace: float
) -> None:
    """Sends a stored answer in the form that the question asks for. pace: tokens a second, when paced."""
    if not question.stream:
        await reply(send, 200, [JSON, *headers], record.renewed())
        return
    frames = frames_of(record, api, question, mode)
    if mode != "paced":
        await reply(send, 200, [EVENTS, *headers], b"".join(frames))
        return
    await send({"type": "http.response.start", "status": 200, "headers": [EVENTS, *headers]})
    for frame in frames:
        await send({"type": "http.response.body", "body": frame, "more_body": True})
        await asyncio.sleep(1 / pace)
    await send({"type": "http.response.body", "body": b""})
