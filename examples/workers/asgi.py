"""Several uvicorn workers, one cache file: uvicorn --workers 2 asgi:app"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from answers import cache, encode, question, reply, stats

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def call_model(text: str) -> str:
    """A stand-in: put the call of YOUR model here."""
    await asyncio.sleep(0.2)
    return f"(what a model says to {text!r})"


async def ask(text: str) -> dict[str, object]:
    called = []

    async def compute(text: str) -> str:
        called.append(text)
        return await call_model(text)

    answer = await cache.aget_or_compute(text, compute)
    return reply(text, answer, bool(called))


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # servers go on without "lifespan"
    status, message = await respond(scope, receive)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encode(message)})


async def respond(scope: dict[str, Any], receive: Receive) -> tuple[int, dict[str, object]]:
    match scope["method"], scope["path"]:
        case "POST", "/ask":
            content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
            try:
                text = question(content_type, await read(receive))
            except ValueError as error:
                return 400, {"error": str(error)}
            return 200, await ask(text)
        case "GET", "/stats":
            return 200, stats()
    return 404, {"error": "POST /ask or GET /stats"}


async def read(receive: Receive) -> bytes:
    """The body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
