"""A POST of JSON, sync or async, tried again when that may help. The key is sent and never shown.

An error of the HTTP library holds the request, which holds the key: its words are kept, it is never chained.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from semcore.errors import ConfigError

if TYPE_CHECKING:
    import httpx2

KEY_HEADERS = ("Authorization", "api-key")
AGAIN = (0, 408, 429)  # and all from 500
QUOTED = 200  # characters of a server's words in an error
LONG = 16  # characters of a query's value that may be a key


class Reply(NamedTuple):
    """What came of a request."""

    status: int  # 0: no answer, and `body` says why
    body: bytes
    retry_after: str | None = None

    @property
    def may_pass(self) -> bool:
        """Could the same request succeed later?"""
        return self.status in AGAIN or self.status >= 500


@dataclass(frozen=True)
class Backoff:
    """When a request that failed is tried again.

    Waits are exponential with chance in them, and never shorter than the server asks.

    Attributes:
        retries: how often a request is tried again.
        first: seconds of the first wait, each further one twice as many; half to all of it, by chance.
        longest: most seconds of one wait. A server that asks for more is not asked again.
        sleep, asleep: wait so many seconds. clock: seconds since the Unix epoch. chance: a number in [0, 1).

    Raises:
        ValueError: a number is out of range.
    """

    retries: int = 4
    first: float = 0.5
    longest: float = 60.0
    sleep: Callable[[float], object] = time.sleep
    asleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        whole("retries", self.retries, 0, 100)
        if not 0 <= self.first <= self.longest < math.inf:
            raise ValueError(f"first: expected 0 up to longest={self.longest!r}, got {self.first!r}")

    def wait(self, tried: int, retry_after: str | None = None) -> float | None:
        """Seconds to wait after `tried` failures (from 1); None: give up.

        retry_after: the header of that name, seconds or a date; what is neither is ignored.
        """
        asked = self._asked(retry_after)
        if tried > self.retries or asked > self.longest:
            return None
        own = min(self.longest, self.first * 2.0 ** (tried - 1))
        return max(asked, own * (1 + self.chance()) / 2)

    def _asked(self, retry_after: str | None) -> float:
        """Seconds; 0 when nothing usable was asked."""
        if not retry_after:
            return 0.0
        try:
            seconds = float(retry_after)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(retry_after).timestamp() - self.clock()
            except (ValueError, OverflowError):
                return 0.0
        return 0.0 if math.isnan(seconds) else max(0.0, seconds)


class Wire:
    """Where requests go, with which key, and how often.

    Args:
        url: the API's root; a query in it is kept, what it may hold of a user or a key is not shown.
        key: "" for none. key_header: what carries it.
        timeout: seconds of a try.

    Raises:
        ConfigError: the extra is not installed, or the url or the key cannot be sent.
    """

    def __init__(self, url: str, key: str, key_header: str, timeout: float, backoff: Backoff) -> None:
        self._http = library()
        self._headers = {"Content-Type": "application/json"} | headed(key_header, key)
        self._timeout, self._backoff = timeout, backoff
        self._url = self._target(url)
        self._secrets = secrets(self._url, key)
        self.host = self._url.netloc.decode()
        self.shown = f"{self._url.scheme}://{self.host}{self._url.path}"
        self._clients: dict[int, httpx2.Client] = {}  # by process: a forked child leaves its parent's alone

    def send(self, body: bytes, room: int) -> tuple[Reply, int]:
        """The last reply, of at most `room` bytes, and of how many tries.

        Waits; threads share the connections.
        """
        tried = 0
        while True:
            reply, tried = self._post(body, room), tried + 1
            wait = self._wait(reply, tried)
            if wait is None:
                return reply, tried
            self._backoff.sleep(wait)

    async def asend(self, client: httpx2.AsyncClient, body: bytes, room: int) -> tuple[Reply, int]:
        """The same in an event loop, by its own client."""
        tried = 0
        while True:
            reply, tried = await self._apost(client, body, room), tried + 1
            wait = self._wait(reply, tried)
            if wait is None:
                return reply, tried
            await self._backoff.asleep(wait)

    def aclient(self) -> httpx2.AsyncClient:
        """A client for one event loop."""
        client: httpx2.AsyncClient = self._http.AsyncClient(headers=self._headers, timeout=self._timeout)
        return client

    def quote(self, body: bytes) -> str:
        """The beginning of what a server said, without what is secret."""
        words = " ".join(body.decode("utf-8", "replace").split())
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return words if len(words) <= QUOTED else words[:QUOTED] + "..."

    def close(self) -> None:
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _wait(self, reply: Reply, tried: int) -> float | None:
        return self._backoff.wait(tried, reply.retry_after) if reply.may_pass else None

    def _post(self, body: bytes, room: int) -> Reply:
        ends, answer = time.monotonic() + self._timeout, bytearray()
        try:
            with self._shared().stream("POST", self._url, content=body) as response:
                for part in response.iter_bytes():
                    answer += part
                    if time.monotonic() > ends:  # the client's time-out is between two parts only
                        return Reply(0, b"the answer did not end in time")
                    if len(answer) > room:
                        return endless(room)
        except self._http.RequestError as error:
            return lost(error)
        return Reply(response.status_code, bytes(answer), response.headers.get("retry-after"))

    async def _apost(self, client: httpx2.AsyncClient, body: bytes, room: int) -> Reply:
        answer = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream("POST", self._url, content=body) as response,
            ):
                async for part in response.aiter_bytes():
                    answer += part
                    if len(answer) > room:
                        return endless(room)
        except (self._http.RequestError, TimeoutError) as error:
            return lost(error)
        return Reply(response.status_code, bytes(answer), response.headers.get("retry-after"))

    def _shared(self) -> httpx2.Client:
        """The threads' client. Two that make it at once keep one: a lock would not survive a fork."""
        pid = os.getpid()
        if pid not in self._clients:
            made = self._http.Client(headers=self._headers, timeout=self._timeout)
            if self._clients.setdefault(pid, made) is not made:
                made.close()
        return self._clients[pid]

    def _target(self, url: str) -> httpx2.URL:
        try:
            root: httpx2.URL = self._http.URL(url)
        except (self._http.InvalidURL, TypeError):
            raise ConfigError("url: not a URL") from None  # it may hold a key
        if root.scheme not in ("http", "https") or not root.host:
            raise ConfigError("url: expected http:// or https:// and a host")
        return root.copy_with(path=root.path.rstrip("/").removesuffix("/embeddings") + "/embeddings")


def lost(error: Exception) -> Reply:
    return Reply(0, f"{type(error).__name__} {error}".strip().encode())


def endless(room: int) -> Reply:
    return Reply(0, f"the answer did not end within {room:,} bytes".encode())


def library() -> ModuleType:
    """httpx2. Raises ConfigError: the extra is not installed."""
    try:
        import httpx2
    except ImportError as error:
        raise ConfigError("embed: OpenAICompatible needs an extra: pip install 'semcore[http]'") from error
    return httpx2


def headed(key_header: str, key: str) -> dict[str, str]:
    """The header with the key, if there is one. One that a header cannot hold, the client would show."""
    if not isinstance(key, str) or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("api_key: expected printable ASCII characters without spaces")
    if key_header not in KEY_HEADERS:
        raise ConfigError(f"key_header: expected one of {', '.join(KEY_HEADERS)}, got {key_header!r}")
    if not key:
        return {}
    return {key_header: f"Bearer {key}" if key_header == "Authorization" else key}


def secrets(url: httpx2.URL, key: str) -> list[str]:
    """What no message may show, longest first."""
    values = [value for value in url.params.values() if len(value) >= LONG]
    found = {key, url.password, url.query.decode(), *values} - {""}
    return sorted(found, key=len, reverse=True)


def whole(name: str, number: int, least: int, most: int) -> int:
    """The number, if it is a whole one of this range."""
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{name}: expected a whole number from {least} to {most}, got {number!r}")
    return number
