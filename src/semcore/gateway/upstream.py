"""The models' side: one connection pool, and where a path leads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from semcore.gateway.config import Upstream
from semcore.gateway.message import Headers, Request, sent
from semcore.gateway.place import CREDENTIALS, KEYS
from semcore.wire.routes import SECRET, pairs_of, secret_of, written


class Route(NamedTuple):
    """Where a request goes: the upstream, and the path behind its base."""

    upstream: Upstream
    path: str


class Unreachable(ConnectionError):
    """The upstream could not be asked. status: what to tell the client."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def route_of(upstreams: dict[str, Upstream], path: str) -> Route:
    """`/NAME/...` leads to the upstream of this name, any other path to the first one."""
    first, _, rest = path.removeprefix("/").partition("/")
    upstream = upstreams.get(first)
    if upstream is not None:
        return Route(upstream, "/" + rest)
    return Route(next(iter(upstreams.values())), path)


def target_of(route: Route, query: bytes) -> str:
    """The URL. What the base ends with and the path begins with, such as a version, is not said twice."""
    base, path = route.upstream.url.rstrip("/"), route.path
    query = keyed_query(query, route.upstream.key_env)
    ends, begins = base.split("/")[3:], path.split("/")[1:]  # behind `scheme://host`
    for count in range(min(len(ends), len(begins)), 0, -1):
        if ends[-count:] == begins[:count]:
            path = "".join("/" + segment for segment in begins[count:])
            break
    return base + path + ("?" + query.decode("latin-1") if query else "")


def elsewhere(route: Route, request: Request, response: aiohttp.ClientResponse) -> bool:
    """Did another one answer than was asked first?"""
    return response.url != URL(target_of(route, request.query), encoded=True)


class Pool:
    """Connections to all upstreams. Opened inside the event loop."""

    def __init__(self, connect_timeout: float = 5.0, read_timeout: float | None = 600.0) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=read_timeout),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    @asynccontextmanager
    async def open(
        self, route: Route, request: Request, body: Any, plain: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, its body yet to be read. plain: ask for no compression. Raises Unreachable."""
        length = isinstance(body, bytes)  # else its own stays, or it goes in chunks
        going = keyed(sent(request.headers, plain, length), route.upstream.key_env)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in going]
        url = URL(target_of(route, request.query), encoded=True)
        try:
            response = await self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            )
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise Unreachable(504, f"upstream {route.upstream.name}: no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(502, f"upstream {route.upstream.name}: {type(error).__name__}") from error
        async with response:
            yield response

    async def close(self) -> None:
        await self._session.close()


def keyed(headers: Headers, variable: str) -> Headers:
    """With the key of an environment variable in place of the client's, in the client's form, and without
    its other credentials."""
    if not variable:
        return headers
    key = os.environ.get(variable, "").encode()
    return [
        (name, with_key(name, value, key))
        for name, value in headers
        if name in KEYS or name not in CREDENTIALS
    ]


def keyed_query(query: bytes, variable: str) -> bytes:
    """So too in a query, where Gemini's clients may put it."""
    if not variable or not secret_of(query):
        return query
    key = os.environ.get(variable, "")
    return written((name, key if name in SECRET else value) for name, value in pairs_of(query))


def with_key(name: bytes, value: bytes, key: bytes) -> bytes:
    if name == b"authorization":
        return b"Bearer " + key
    return key if name in KEYS else value
