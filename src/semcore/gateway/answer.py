"""A request that the cache may answer: looked up, else asked upstream, once for all who ask the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp

from semcore.gateway import status
from semcore.gateway.breaker import Buckets
from semcore.gateway.config import Settings
from semcore.gateway.control import Control
from semcore.gateway.fetch import Fetcher
from semcore.gateway.flight import Asked, Flight
from semcore.gateway.message import Headers, Receive, Request, Send, reply, until_gone
from semcore.gateway.record import Record
from semcore.gateway.relay import retry_after
from semcore.gateway.replay import JSON, replay
from semcore.gateway.seen import Missed, Watch
from semcore.gateway.store import NOTHING, Found, Look, Place, Store
from semcore.gateway.upstream import Route, Unreachable
from semcore.wire.encode import dumps
from semcore.wire.question import Api, Question, Tier

BROKEN = (Unreachable, aiohttp.ClientError, OSError, TimeoutError)


class Call(NamedTuple):
    """A request that was understood. body: its bytes as they came."""

    request: Request
    route: Route
    api: Api
    question: Question
    control: Control
    place: Place
    body: bytes
    threshold: float
    watch: Watch


class Answers:
    """Answers calls."""

    def __init__(self, settings: Settings, store: Store, fetcher: Fetcher, buckets: Buckets) -> None:
        self._settings, self._store, self._fetcher, self._buckets = settings, store, fetcher, buckets

    async def answer(self, call: Call, receive: Receive, send: Send) -> None:
        """Sends the response. Raises Gone: the client went away; BROKEN: the response was cut."""
        look = NOTHING
        if call.control.look and call.question.tier is not Tier.BYPASS:
            look = await self._store.find(call.place, call.threshold)
        found = look.found
        if found is not None and call.control.allows(found.age, found.record.fresh):
            await self._hit(call, found, send)
        elif call.control.only_if_cached:
            await self._error(call, send, 504, "only-if-cached: there is no stored answer")
        elif found is not None and self._within(call, found, self._settings.stale_while_revalidate):
            self._refresh(call, look)
            await self._hit(call, found, send)
        else:
            await until_gone(receive, self._ask(call, look, send))

    def _within(self, call: Call, found: Found, window: float) -> bool:
        return call.control.bears(found.age, found.record.fresh, window)

    async def _hit(self, call: Call, found: Found, send: Send) -> None:
        call.watch.hit(found)
        await self._replay(call, found.record, status.hit(found, call.control), send)

    async def _replay(self, call: Call, record: Record, headers: Headers, send: Send) -> None:
        mode = call.control.mode or self._settings.mode
        await replay(send, record, call.api, call.question, headers, mode, self._settings.pace)

    def _refresh(self, call: Call, look: Look) -> None:
        """Asks upstream behind the client's back, unless somebody does so already."""
        ask = Asked(call.place.text, look.vector, call.threshold)
        if self._fetcher.flights.find(call.place, ask) is None and not self._buckets.take(call.place.tenant):
            call.watch.refreshes(self._fetcher.start(call, ask, shared=True, lonely=True))

    # ---- misses ----

    async def _ask(self, call: Call, look: Look, send: Send) -> None:
        """With others who ask the same, else alone."""
        ask = Asked(call.place.text, look.vector, call.threshold)
        shares = call.question.tier is not Tier.BYPASS and call.control.look and call.control.store
        flight = self._fetcher.flights.find(call.place, ask) if shares else None
        if flight is not None and await self._follow(call, flight, send):
            return
        if shares and flight is None and look.found is None:  # it may have landed since the lookup
            landed = self._store.landed(call.place, call.threshold)
            if landed is not None and call.control.allows(landed.age, landed.record.fresh):
                await self._hit(call, landed, send)
                return
        if wait := self._buckets.take(call.place.tenant):
            await self._error(
                call, send, 429, "the gateway's rate limit for this credential", retry_after(wait)
            )
            return
        flight = self._fetcher.start(call, ask, shared=shares and flight is None)
        looked = call.control.look and call.question.tier is not Tier.BYPASS
        call.watch.flies(flight, "miss" if looked else "bypass")
        if look.found is None and look.vector is not None:
            call.watch.missed = Missed(call.place, look.vector, call.threshold)
        with flight:
            await self._hear(call, flight, look.found, send)

    async def _follow(self, call: Call, flight: Flight, send: Send) -> bool:
        """Answers with what another call gets; False if that does not serve."""
        same = flight.ask.text == call.place.text
        with flight:
            if flight.stream and call.question.stream and (same or not call.question.tools):
                call.watch.flies(flight, "collapsed", own=False)
                await self._hear(call, flight, None, send, collapsed=True)
                return True
            landed = await asyncio.shield(flight.landed)
        if landed is None or landed.record is None or not (same or landed.semantic):
            return False
        call.watch.flies(flight, "collapsed", own=False)
        await self._replay(
            call, landed.record, status.forwarded("miss", 200, call.control, collapsed=True), send
        )
        return True

    async def _hear(
        self, call: Call, flight: Flight, found: Found | None, send: Send, collapsed: bool = False
    ) -> None:
        """Passes on what comes, as it comes. found: what stands for an error, if it is not too stale."""
        failure, headers = "", Headers()
        try:
            code, headers = await asyncio.shield(flight.head)
        except Unreachable as error:
            failure, code = str(error), error.status
        except BROKEN as error:
            failure, code = f"upstream {call.route.upstream.name}: {type(error).__name__}", 502
        if code >= 500 and found is not None and self._within(call, found, self._settings.stale_if_error):
            said = 0 if failure else code
            call.watch.hit(found)
            await self._replay(call, found.record, status.stale(found, call.control, said), send)
        elif failure:
            await self._error(call, send, code, failure)
        else:
            why = self._why(call, found)
            detail = "fallback" if flight.fallback else call.question.why
            own = status.forwarded(
                why, code, call.control, stored=flight.stored, collapsed=collapsed, detail=detail
            )
            await self._pass_on(flight, code, [*headers, *own], call.question.usage, send)

    @staticmethod
    async def _pass_on(flight: Flight, code: int, headers: Headers, usage: bool, send: Send) -> None:
        await send({"type": "http.response.start", "status": code, "headers": headers})
        async for piece in flight.pieces():
            if usage or not piece.usage:
                await send({"type": "http.response.body", "body": piece.raw, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    def _why(call: Call, found: Found | None) -> str:
        return status.why(call.question.tier, call.control, found)

    async def _error(
        self, call: Call, send: Send, code: int, message: str, more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        call.watch.outcome = "error"
        body = dumps(call.api.error(code, "semcore_error", message))
        headers = [JSON, *status.forwarded(self._why(call, None), 0, call.control), *more]
        await reply(send, code, headers, body)
