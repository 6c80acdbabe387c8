"""One call, tried again where that may help: with jitter, after what `retry-after` says, elsewhere."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp

from semcore.gateway.breaker import Breaker
from semcore.gateway.config import Settings, Upstream
from semcore.gateway.message import Request
from semcore.gateway.upstream import Pool, Route, Unreachable

AGAIN = frozenset((408, 429, 500, 502, 503, 504))
SERVER = frozenset((500, 502, 503, 504))  # say something about the upstream, not about the request
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds

Tried = aiohttp.ClientResponse | Unreachable


class Attempts:
    """Opens responses, trying as often as the settings say.

    Args:
        settings: upstreams and their fallbacks, `retries`, `deadline`, the breakers' numbers.
        pool: makes single attempts.
        monotonic, sleep, jitter: seconds, waiting, and a number in [0, 1); for tests.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._pool = settings, pool
        self._monotonic, self._sleep, self._jitter = monotonic, sleep, jitter
        self.breakers: Mapping[str, Breaker] = {
            name: Breaker(settings.breaker_failures, settings.breaker_pause, monotonic)
            for name in settings.upstreams
        }

    @asynccontextmanager
    async def open(
        self, route: Route, request: Request, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The first good response, else the last one. Raises Unreachable."""
        async with AsyncExitStack() as stack:
            tried = await self._first_good(stack, route, request, body)
            if isinstance(tried, Unreachable):
                raise tried
            yield tried

    async def _first_good(self, stack: AsyncExitStack, route: Route, request: Request, body: bytes) -> Tried:
        end = self._monotonic() + self._settings.deadline
        order = self._order(route.upstream)
        tried: Tried = Unreachable(503, f"upstream {route.upstream.name}: resting after failures")
        pause, last = 0.0, None
        for count, upstream in enumerate(order):
            if upstream is last:
                if pause > LONGEST_PAUSE or self._monotonic() + pause > end:
                    continue  # another one may answer sooner
                await self._sleep(pause)
            if self._monotonic() >= end or not self.breakers[upstream.name].admits():
                continue
            await stack.aclose()
            tried, last = await self._try(stack, Route(upstream, route.path), request, body, end), upstream
            if not again(tried):
                break
            pause = max(asked_for(tried), self._backoff(count))
        return tried

    def _order(self, upstream: Upstream) -> list[Upstream]:
        """Who is tried, in turn."""
        others = [self._settings.upstreams[name] for name in upstream.fallback]
        return [upstream] * (self._settings.retries + 1) + others

    def _backoff(self, count: int) -> float:
        """Doubling, with half of it left to chance, so that callers do not come back together."""
        return min(FIRST_PAUSE * 2.0**count, LONGEST_PAUSE) * (0.5 + self._jitter() / 2)

    async def _try(
        self, stack: AsyncExitStack, route: Route, request: Request, body: bytes, end: float
    ) -> Tried:
        breaker = self.breakers[route.upstream.name]
        try:
            async with asyncio.timeout(end - self._monotonic()):
                response = await stack.enter_async_context(self._pool.open(route, request, body, plain=True))
        except Unreachable as error:
            breaker.failed()
            return error
        except TimeoutError:
            breaker.failed()
            return Unreachable(504, f"upstream {route.upstream.name}: no answer before the deadline")
        if response.status in SERVER:
            breaker.failed()
        else:
            breaker.succeeded()
        return response


def again(tried: Tried) -> bool:
    """Is another attempt worth it? Providers may say so themselves."""
    if isinstance(tried, Unreachable):
        return True
    said = tried.headers.get("x-should-retry")
    return said == "true" or (said != "false" and tried.status in AGAIN)


def asked_for(tried: Tried) -> float:
    """Seconds that a response asks to wait (RFC 9110, section 10.2.3; `retry-after-ms` is OpenAI's)."""
    if isinstance(tried, Unreachable):
        return 0.0
    try:
        if (text := tried.headers.get("retry-after-ms")) is not None:
            return max(0.0, float(text) / 1000)
        text = tried.headers.get("retry-after", "0")
        if text.replace(".", "", 1).isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0  # it says nothing that is understood
