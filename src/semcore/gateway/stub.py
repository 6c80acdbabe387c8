"""A small model for trying things offline: chat completions that are a function of the question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from semcore.gateway.message import Receive, Scope, Send, chunks_of, reply
from semcore.gateway.replay import EVENTS, JSON, words
from semcore.wire.chat import Chat
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Json

MODEL = "stub-1"


class StubModel:
    """An ASGI application with `POST .../chat/completions`.

    Args:
        answer: what it says to the last message's text.
        first, word: seconds until the first word, and for each.

    calls: so far.
    """

    def __init__(self, answer: Callable[[str], str], first: float = 0.15, word: float = 0.02) -> None:
        self.calls = 0
        self._answer, self._first, self._word = answer, first, word

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']}: this model speaks HTTP only")
        body = loads(b"".join([chunk async for chunk in chunks_of(receive)]))
        self.calls += 1
        text = str(body["messages"][-1]["content"])
        answer = completion(self.calls, text, self._answer(text))
        if body.get("stream"):
            options = body.get("stream_options") or {}
            await self._stream(send, Chat().events(answer, bool(options.get("include_usage")), words))
        else:
            await asyncio.sleep(self._first + self._word * answer["usage"]["completion_tokens"])
            await reply(send, 200, [JSON], dumps(answer))

    async def _stream(self, send: Send, frames: Iterator[bytes]) -> None:
        await asyncio.sleep(self._first)
        await send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
        for frame in frames:
            await asyncio.sleep(self._word)
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def completion(number: int, text: str, answer: str) -> Json:
    """As OpenAI's API has it; a word counts as a token."""
    asked, said = (len(list(words(each))) for each in (text, answer))
    message = {"role": "assistant", "content": answer}
    return {
        "id": f"chatcmpl-{number:024x}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }
