"""The gateway as an ASGI application: which requests are answered, and which pass through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from semcore import Cache
from semcore.gateway.admin import Admin
from semcore.gateway.answer import BROKEN, Answers, Call
from semcore.gateway.attempts import Attempts
from semcore.gateway.breaker import Buckets
from semcore.gateway.config import Settings
from semcore.gateway.control import Control, Invalid, control_of
from semcore.gateway.fetch import Fetcher
from semcore.gateway.items import BatchCall, Items
from semcore.gateway.log import log_request
from semcore.gateway.message import (
    Gone,
    Receive,
    Request,
    Scope,
    Send,
    reply,
)  # fmt: skip
from semcore.gateway.metrics import Metrics
from semcore.gateway.near import NearMisses
from semcore.gateway.place import place_of, tenant_of
from semcore.gateway.relay import Relay, refuse
from semcore.gateway.replay import JSON
from semcore.gateway.seen import Observer, Observers, Watch
from semcore.gateway.store import Place, Store
from semcore.gateway.tally import Tally
from semcore.gateway.trace import tracing
from semcore.gateway.upstream import Pool, Route, route_of
from semcore.gateway.workers import Noticeboard
from semcore.providers.prices import answer_price
from semcore.wire.embeddings import Embeddings
from semcore.wire.encode import dumps, object_of
from semcore.wire.question import UNREADABLE, Api, Question, Tier
from semcore.wire.routes import api_of

log = logging.getLogger("semcore.gateway")

READ = 256  # requests that are known by their bytes: those that hit mostly come again as they were
SMALL = 8192  # bytes of such a request


class Served(NamedTuple):
    """What exists only inside an event loop."""

    pool: Pool
    attempts: Attempts
    answers: Answers
    items: Items
    relay: Relay


class Gateway:
    """An ASGI 3 application.

    Args:
        settings: how it behaves.
        cache: where answers are kept; it stays the caller's, who closes it.
        observers: told of every request that is over.
    """

    def __init__(self, settings: Settings, cache: Cache, observers: Sequence[Observer] = ()) -> None:
        self.observers = Observers(observers)
        self.settings = settings
        self.store = Store(cache, settings.embed_timeout)
        self.tally = Tally(Noticeboard(settings.together), in_a_second)
        self.observers.add(self.tally)
        if settings.log_format == "json":
            self.observers.add(log_request)
        metrics = Metrics(self.tally, self.store, self.observers)
        self._admin = Admin(settings, self.store, self.tally, metrics, self._tenant)
        self._near = NearMisses(cache, self.tally.near, settings.show_texts)
        self._tracing = tracing()
        self._buckets = Buckets(settings.rate, settings.burst)
        self._question = lru_cache(READ)(self._question_of)
        self._served: Served | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request = Request.of(scope)
            if self._admin.serves(request.path):
                await self._own(request, receive, send)
                return
            watch = Watch(send, self.observers)
            if self._tracing is not None:
                request = self._tracing.begin(request, watch)
            try:
                await self._serve(request, receive, watch)
            except Gone:
                pass  # there is nobody to tell
            except BROKEN as error:
                watch.outcome = "error"
                log.warning("a response was cut: %s", type(error).__name__)
                if not watch.status:  # else the server cuts the connection
                    await refuse(watch.send, 502, f"upstream {watch.upstream}: {type(error).__name__}")
            finally:
                watch.end()
            self._near.after(watch)
        elif scope["type"] == "websocket":  # realtime interfaces are not passed through
            await receive()
            await send({"type": "websocket.close"})

    async def _own(self, request: Request, receive: Receive, send: Send) -> None:
        with suppress(Gone):  # there is nobody to tell
            await self._admin(request, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                self.open()
                await send({"type": "lifespan.startup.complete"})
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    def open(self) -> Served:
        """Opens connections, inside the event loop; done at the latest by the first request."""
        if self._served is None:
            settings = self.settings
            asyncio.get_running_loop().run_in_executor(None, answer_price, "", "", {}, 0)  # reads the prices
            pool = Pool(settings.connect_timeout, settings.read_timeout)
            attempts = Attempts(settings, pool)
            fetcher = Fetcher(settings, self.store, attempts)
            answers = Answers(settings, self.store, fetcher, self._buckets)
            items = Items(settings, self.store, attempts, self._buckets)
            relay = Relay(pool, self._buckets, settings.most_body)
            self._served = Served(pool, attempts, answers, items, relay)
        return self._served

    async def close(self) -> None:
        self.tally.publish()
        if self._served is not None:
            await self._served.pool.close()
            self._served = None

    async def _serve(self, request: Request, receive: Receive, watch: Watch) -> None:
        served = self.open()
        if not request.path.startswith("/"):  # behind a URL it could name another host
            await refuse(watch.send, 400, "path: expected one that begins with /")
            return
        route = route_of(self.settings.upstreams, request.path)
        watch.upstream = route.upstream.name
        api = api_of(request.method, route.path)
        cacheable = api is not None and not request.header(b"content-encoding")
        most = self.settings.largest_body if cacheable else 0
        pieces, whole = await beginning(receive, most)
        call = None
        if api is not None and whole and sum(map(len, pieces)) <= most:
            call = self._read(request, route, api, pieces, watch)
        if isinstance(call, Call):
            await served.answers.answer(call, receive, watch.send)
        elif isinstance(call, BatchCall):
            await served.items.answer(call, receive, watch.send)
        elif call is not None and api is not None:
            await reply(watch.send, 400, [JSON], dumps(api.error(400, "invalid_request_error", str(call))))
        else:
            await served.relay.relay(route, request, self._tenant(request), pieces, whole, receive, watch)

    def _read(
        self, request: Request, route: Route, api: Api | Embeddings, pieces: list[bytes], watch: Watch
    ) -> Call | BatchCall | Invalid | None:
        """The call; None: it is not understood, and passes through."""
        raw = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        try:
            if isinstance(api, Embeddings):
                body = object_of(raw)
                batch = api.batch(body)
                watch.api, watch.model = api.name, batch.model
                control = control_of(request.headers)
                place = self._place(request, route, api.name, batch.context, control)
                return BatchCall(request, route, api, batch, control, place, body, raw, watch)
            ask = self._question if len(raw) <= SMALL else self._question.__wrapped__
            question = ask(api, raw, f"{route.path}?{request.query.decode('latin-1')}")
            watch.api, watch.model, watch.stream = api.name, question.model, question.stream
            control = control_of(request.headers)
        except UNREADABLE:
            return None
        except Invalid as error:
            return error
        place = self._place(request, route, api.name, question.context, control, question.text, question.tier)
        threshold = control.least(self.store.cache.threshold)
        return Call(request, route, api, question, control, place, raw, threshold, watch)

    def _question_of(self, api: Api, raw: bytes, target: str) -> Question:
        """Raises Unreadable."""
        return api.question(object_of(raw), self.settings.terms, target)

    def _place(
        self, request: Request, route: Route, api: str, context: bytes, control: Control, text: str = "",
        tier: Tier = Tier.EXACT,
    ) -> Place:  # fmt: skip
        owner, name = self._tenant(request), route.upstream.name
        return place_of(owner, name, route.path, request, api, context, control, text, tier)

    def _tenant(self, request: Request) -> bytes:
        return tenant_of(request, self.settings.shared, self.settings.salt)


def in_a_second(function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(1.0, function)


async def beginning(receive: Receive, most: int) -> tuple[list[bytes], bool]:
    """A body's pieces until they are more than so many bytes, and whether that is all. Raises Gone."""
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if body := message.get("body"):
            pieces.append(body)
            size += len(body)
        if not message.get("more_body"):
            return pieces, True
        if size > most:
            return pieces, False
