"""HTTP messages as ASGI has them: a request's head, its body, and the headers that go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import quote

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip

OURS = (b"x-semcore-", b"cf-aig-", b"fastly-key")  # what clients tell us, and nobody else
HERE = frozenset((b"host", b"expect"))  # between a client and us
PLAIN = "/:@!$&'()*+,;="  # what a path may have unescaped (RFC 3986, section 3.3)


class Gone(Exception):
    """The client went away."""


class Request(NamedTuple):
    """A request's head.

    headers: as they came, names in lower case. fields: by name; several of one name are joined by commas.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    fields: dict[bytes, bytes]

    @classmethod
    def of(cls, scope: Scope) -> Request:
        raw, headers = scope.get("raw_path") or quote(scope["path"], PLAIN).encode(), scope["headers"]
        path = raw.partition(b"?")[0].decode("latin-1")
        if root := scope.get("root_path"):
            path = below(quote(root, PLAIN), path)
        return cls(scope["method"], path, scope["query_string"], headers, fields_of(headers))

    def header(self, name: bytes) -> bytes:
        """Its value; b"" if there is none."""
        return self.fields.get(name, b"")

    def joined(self, names: Iterable[bytes]) -> bytes:
        """The values of several headers, with a zero between them."""
        get = self.fields.get
        return b"\0".join([get(name, b"") for name in names])


def below(root: str, path: str) -> str:
    """A path as an application mounted at `root` sees it."""
    rest = path.removeprefix(root)
    return rest if rest.startswith("/") else path


def fields_of(headers: Headers) -> dict[bytes, bytes]:
    fields = dict(headers)
    if len(fields) < len(headers):  # RFC 9110, section 5.3
        for name in fields:
            fields[name] = b", ".join(value for key, value in headers if key == name)
    return fields


def passed_on(headers: Iterable[tuple[bytes, bytes]], without: frozenset[bytes] = frozenset()) -> Headers:
    """End-to-end headers: without those of one hop (RFC 9110, section 7.6.1), and without some."""
    headers = list(headers)
    named = {
        name.strip().lower()
        for key, value in headers
        if key.lower() == b"connection"
        for name in value.split(b",")
    }
    drop = HOP | named | without
    return [(key, value) for key, value in headers if key.lower() not in drop]


def sent(headers: Headers, plain: bool, length: bool) -> Headers:
    """A request's headers as the upstream gets them. plain: ask for no compression. length: the client adds
    the body's own."""
    without = HERE | ({b"accept-encoding"} if plain else set()) | ({b"content-length"} if length else set())
    going = [(key, value) for key, value in passed_on(headers, without) if not key.startswith(OURS)]
    return [*going, (b"accept-encoding", b"identity")] if plain else going


async def chunks_of(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body as it comes. Raises Gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def reply(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """A whole response."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def until_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Does the work, unless the client goes away first. Raises Gone."""
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        await task
    finally:
        for each in (task, watch):
            each.cancel()


async def gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
