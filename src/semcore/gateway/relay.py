"""What is not answered from the cache: passed through, byte for byte, as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from semcore.gateway import status
from semcore.gateway.breaker import Buckets
from semcore.gateway.control import DEFAULT
from semcore.gateway.message import (
    Gone,
    Headers,
    Receive,
    Request,
    Send,
    chunks_of,
    passed_on,
    reply,
    until_gone,
)  # fmt: skip
from semcore.gateway.replay import JSON
from semcore.gateway.seen import Watch
from semcore.gateway.upstream import Pool, Route, Unreachable
from semcore.wire.encode import dumps

DIGITS = 19  # of a length that Python reads at no cost


class Upload:
    """A request's body on its way upstream.

    too_large, gone: why it ended before its end.
    """

    def __init__(self, pieces: list[bytes], receive: Receive, most: int) -> None:
        self.too_large = self.gone = False
        self._pieces, self._receive, self._left = pieces, receive, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield self._counted(piece)
        try:
            async for piece in chunks_of(self._receive):
                yield self._counted(piece)
        except Gone:
            self.gone = True
            raise

    def _counted(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            self.too_large = True
            raise ValueError("the body is too large")
        return piece


class Relay:
    """Passes requests through.

    Args:
        pool: connections.
        buckets: a rate limit for each tenant.
        most: bytes of a request's body.
    """

    def __init__(self, pool: Pool, buckets: Buckets, most: int) -> None:
        self._pool, self._buckets, self._most = pool, buckets, most

    async def relay(
        self, route: Route, request: Request, tenant: bytes, pieces: list[bytes], whole: bool,
        receive: Receive, watch: Watch,
    ) -> None:  # fmt: skip
        """pieces: of the body, read already; whole: it is all of it."""
        if wait := self._buckets.take(tenant):
            await refuse(watch.send, 429, "the gateway's rate limit for this credential", retry_after(wait))
        elif not (length := request.header(b"content-length") or b"0").isdigit():
            await refuse(watch.send, 400, "content-length: expected a number")
        elif len(length) > DIGITS or max(int(length), sum(map(len, pieces))) > self._most:
            await refuse(watch.send, 413, f"the body is larger than {self._most} bytes")
        else:
            upload = Upload(pieces, receive, self._most)
            body = b"".join(pieces) if whole else upload
            await self._exchange(route, request, body, upload, receive, watch)

    async def _exchange(
        self, route: Route, request: Request, body: bytes | Upload, upload: Upload, receive: Receive,
        watch: Watch,
    ) -> None:  # fmt: skip
        sent = body if carries(request) else None
        try:
            async with self._pool.open(route, request, sent, plain=False) as response:
                watch.outcome = "passed"
                await until_gone(receive, copy(response, watch.send))
        except Unreachable as error:
            if upload.gone:
                raise Gone from None
            if upload.too_large:
                await refuse(watch.send, 413, f"the body is larger than {self._most} bytes")
            else:
                await refuse(watch.send, error.status, str(error))


def carries(request: Request) -> bool:
    """Has it a body (RFC 9112, section 6)?"""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers)


async def copy(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [*passed_on(response.raw_headers), *status.forwarded("bypass", response.status, DEFAULT)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for data in response.content.iter_any():
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, code: int, message: str, headers: Headers | None = None) -> None:
    body = dumps({"error": {"message": message, "type": "semcore_error"}})
    await reply(send, code, [JSON, *(headers or [])], body)


def retry_after(seconds: float) -> Headers:
    return [(b"retry-after", b"%d" % -int(-seconds // 1))]
