"""What the gateway answers itself: its page, its numbers, its health, purging, and `/metrics`.

The page has no data in it, and the health says one word: they are for all. Numbers are for whoever has the
admin token; where none is set, only a gateway on loopback tells them, and only under a loopback name, so
that neither a web site (by DNS rebinding) nor a proxy in front gives them away. Purging always needs the
token. `/metrics` holds counts and the names of models and upstreams, no more, and is for whoever reaches
the port.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from semcore import Cache
from semcore.gateway.config import Settings
from semcore.gateway.message import Receive, Request, Send, chunks_of, reply
from semcore.gateway.metrics import KIND, Metrics
from semcore.gateway.replay import JSON
from semcore.gateway.stats import stats_of
from semcore.gateway.store import Store
from semcore.gateway.tally import Tally
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Unreadable

PREFIX = "/_semcore"
TOKEN = b"x-semcore-admin"
MOST = 1 << 16  # bytes of a request to purge
LOCAL = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
PAGE = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy",
     b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
     b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)  # fmt: skip
NO_STORE = (b"cache-control", b"no-store")


class Refused(Exception):
    """A request that is not granted. status: of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Admin:
    """Serves the gateway's own paths.

    Args:
        settings: who may see.
        store: whose cache is told of and purged.
        tally, metrics: what was counted.
        tenant: of a request, by its credential.
    """

    def __init__(
        self, settings: Settings, store: Store, tally: Tally, metrics: Metrics,
        tenant: Callable[[Request], bytes],
    ) -> None:  # fmt: skip
        self._settings, self._store, self._tally, self._metrics = settings, store, tally, metrics
        self._tenant = tenant
        self._page = files("semcore.gateway").joinpath("page/index.html").read_bytes()

    def serves(self, path: str) -> bool:
        return path.startswith(PREFIX) or (path == "/metrics" and self._settings.metrics)

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Raises Gone."""
        try:
            await self._serve(request, receive, send)
        except Refused as no:
            await reply(send, no.status, [JSON, NO_STORE], dumps({"error": str(no)}))

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        match request.method, request.path.removeprefix(PREFIX):
            case "GET", "/metrics":
                await reply(send, 200, [(b"content-type", KIND)], self._metrics.text())
            case "GET", "" | "/":
                await reply(send, 200, [*PAGE, NO_STORE], self._page)
            case "GET", "/health":
                await reply(send, 200, [JSON, NO_STORE], dumps({"status": self._health()}))
            case "GET", "/stats":
                self._may_see(request)
                told = stats_of(self._tally, self._store, self._settings)
                await reply(send, 200, [JSON, NO_STORE], dumps(told))
            case "POST", "/purge":
                self._may_purge(request)
                removed = await self._purge(request, await asked(receive))
                await reply(send, 200, [JSON, NO_STORE], dumps({"removed": removed}))
            case _, "" | "/" | "/health" | "/stats" | "/purge" | "/metrics":
                raise Refused(405, f"{request.path}: not with {request.method}")
            case _:
                raise Refused(404, f"{PREFIX} has /, /stats, /health and /purge")

    def _health(self) -> str:
        """degraded: the cache or the embedder failed a moment ago; requests pass through."""
        return "degraded" if self._store.resting or self._store.embedder_resting else "ok"

    # ---- who may ----

    def _may_see(self, request: Request) -> None:
        if self._settings.admin_token:
            self._check(request)
        elif not self._settings.local or host_of(request) not in LOCAL:
            raise Refused(403, "without an admin token the gateway tells this on loopback only")

    def _may_purge(self, request: Request) -> None:
        if not self._settings.admin_token:
            raise Refused(403, "purging needs an admin token, and the gateway was started without one")
        self._check(request)

    def _check(self, request: Request) -> None:
        given = request.header(TOKEN) or request.header(b"authorization").removeprefix(b"Bearer ")
        if not hmac.compare_digest(given, self._settings.admin_token.encode()):
            raise Refused(401, "expected the admin token in x-semcore-admin, or as Bearer")

    # ---- purging ----

    async def _purge(self, request: Request, what: dict[str, Any]) -> int:
        """Tags and namespaces are those of whoever's credential the request has, in the headers as ever."""
        cache = self._store.cache
        match what:
            case {"id": int(id)} if not isinstance(id, bool) and len(what) == 1:
                return int(cache.delete(id=id))
            case {"everything": True} if len(what) == 1:
                return await asyncio.to_thread(cache.clear)
            case {"tag": str(tag)} if what.keys() <= {"tag", "namespace"}:
                return await asyncio.to_thread(self._by_tag, cache, tag, self._namespace(request, what))
            case {"namespace": str()} if len(what) == 1:
                return await asyncio.to_thread(cache.clear, self._namespace(request, what))
        raise Refused(400, 'expected {"id": N}, {"tag": T}, {"namespace": NAME} or {"everything": true}')

    def _namespace(self, request: Request, what: dict[str, Any]) -> bytes:
        name = what.get("namespace", "")
        if not isinstance(name, str):
            raise Refused(400, "namespace: expected a text")
        return self._tenant(request) + name.encode()

    @staticmethod
    def _by_tag(cache: Cache, tag: str, namespace: bytes) -> int:
        return cache.invalidate(tag.encode(), namespace=namespace)


def host_of(request: Request) -> bytes:
    """The name under which it was asked, without the port."""
    host, colon, port = request.header(b"host").rpartition(b":")
    return host if colon and port.isdigit() else request.header(b"host")


async def asked(receive: Receive) -> dict[str, Any]:
    body = b""
    async for piece in chunks_of(receive):
        body += piece
        if len(body) > MOST:
            raise Refused(413, f"expected at most {MOST} bytes")
    try:
        what = loads(body)
    except Unreadable:
        raise Refused(400, "expected JSON") from None
    if not isinstance(what, dict):
        raise Refused(400, "expected a JSON object")
    return what
