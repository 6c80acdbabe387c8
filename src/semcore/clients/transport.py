"""HTTP transports for the official clients: what was asked before is answered here, all else goes on.

    client = openai.OpenAI(http_client=openai.DefaultHttpxClient(transport=CacheTransport(cache)))

They decide as the gateway does, by the same functions. What they leave to it: answers that are fetched anew
behind a stale one, retries (the clients have their own), pauses of paced streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import cast

from semcore.clients.caching import Caching, bare, form_for, headed, httpx2, ms, own, passed, shown
from semcore.gateway.reading import Form, Kept, Reading
from semcore.gateway.store import NOTHING


class CacheTransport(Caching[httpx2.BaseTransport], httpx2.BaseTransport):
    """For `httpx2.Client`, and the clients that take one."""

    _plain = staticmethod(httpx2.HTTPTransport)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response, from the cache or from `inner`. Raises what `inner` raises."""
        call = self._read(request)
        if call is None:
            return passed(self._inner.handle_request(bare(request)))
        if isinstance(call, httpx2.Response):
            return call
        look = self._store.find_now(call.place, call.threshold) if call.looks else NOTHING
        if (answer := self._answer(call, look.found)) is not None:
            return answer
        try:
            response = self._inner.handle_request(self._onward(call))
        except httpx2.TransportError:
            if (stale := self._instead(call, look.found, 0)) is None:
                raise
            return stale
        if response.status_code >= 500 and (stale := self._instead(call, look.found, response.status_code)):
            response.close()
            return stale

        def keep(what: Kept | None) -> int | None:
            if what is None:
                return None
            return self._store.keep_now(
                call.place,
                what.record,
                look.vector,
                what.semantic,
                what.live,
                call.control.tags,
                0.0,
                ms(call),
            )

        form, stored, stream = form_for(call, response), None, cast(httpx2.SyncByteStream, response.stream)
        if form is Form.OBJECT:
            try:
                body = b"".join(stream)
            finally:
                response.close()
            stored, stream = keep(self._kept_of(call, body)), httpx2.ByteStream(body)
        elif form is Form.STREAM:
            reading = self._reading(call)
            stream = Heard(stream, reading, lambda: keep(self._kept(call, reading.answer(), reading.cuts)))
        return headed(response, own(call, look.found, response, stored), stream)

    def close(self) -> None:
        """Closes `inner`. The cache stays open."""
        self._inner.close()


class AsyncCacheTransport(Caching[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport):
    """For `httpx2.AsyncClient` in asyncio, and the clients that take one."""

    _plain = staticmethod(httpx2.AsyncHTTPTransport)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response, from the cache or from `inner`. Raises what `inner` raises."""
        call = self._read(request)
        if call is None:
            return passed(await self._inner.handle_async_request(bare(request)))
        if isinstance(call, httpx2.Response):
            return call
        look = await self._store.find(call.place, call.threshold) if call.looks else NOTHING
        if (answer := self._answer(call, look.found)) is not None:
            return answer
        try:
            response = await self._inner.handle_async_request(self._onward(call))
        except httpx2.TransportError:
            if (stale := self._instead(call, look.found, 0)) is None:
                raise
            return stale
        if response.status_code >= 500 and (stale := self._instead(call, look.found, response.status_code)):
            await response.aclose()
            return stale

        async def keep(what: Kept | None) -> int | None:
            if what is None:
                return None
            return await self._store.keep(
                call.place,
                what.record,
                look.vector,
                what.semantic,
                what.live,
                call.control.tags,
                0.0,
                ms(call),
            )

        form, stored, stream = form_for(call, response), None, cast(httpx2.AsyncByteStream, response.stream)
        if form is Form.OBJECT:
            try:
                body = b"".join([piece async for piece in stream])
            finally:
                await response.aclose()
            stored, stream = await keep(self._kept_of(call, body)), httpx2.ByteStream(body)
        elif form is Form.STREAM:
            reading = self._reading(call)
            stream = AsyncHeard(
                stream, reading, lambda: keep(self._kept(call, reading.answer(), reading.cuts))
            )
        return headed(response, own(call, look.found, response, stored), stream)

    async def aclose(self) -> None:
        """Closes `inner`. The cache stays open."""
        await self._inner.aclose()


class Heard(httpx2.SyncByteStream):
    """A stream as the caller reads it, and stored once it is whole.

    Clients may leave at the frame that says that it is over: it is kept before they see that.
    """

    def __init__(
        self, stream: httpx2.SyncByteStream, reading: Reading, keep: Callable[[], int | None]
    ) -> None:
        self._stream, self._reading, self._keep = stream, reading, keep

    def __iter__(self) -> Iterator[bytes]:
        done = False
        for data in self._stream:
            pieces = self._reading.feed(data)
            if self._reading.over and not done:
                self._keep()
                done = True
            yield shown(pieces)
        rest = shown(self._reading.end())
        if not done:
            self._keep()
        yield rest

    def close(self) -> None:
        self._stream.close()


class AsyncHeard(httpx2.AsyncByteStream):
    """The same in asyncio."""

    def __init__(
        self, stream: httpx2.AsyncByteStream, reading: Reading, keep: Callable[[], Awaitable[int | None]]
    ) -> None:
        self._stream, self._reading, self._keep = stream, reading, keep

    async def __aiter__(self) -> AsyncIterator[bytes]:
        done = False
        async for data in self._stream:
            pieces = self._reading.feed(data)
            if self._reading.over and not done:
                await self._keep()
                done = True
            yield shown(pieces)
        rest = shown(self._reading.end())
        if not done:
            await self._keep()
        yield rest

    async def aclose(self) -> None:
        await self._stream.aclose()
