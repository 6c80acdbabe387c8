"""What comes from upstream: passed to those who listen, put together, and stored when it is whole."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import aiohttp

from semcore.gateway.attempts import Attempts
from semcore.gateway.config import Settings
from semcore.gateway.flight import Asked, Flight, Flights, Landed
from semcore.gateway.message import Gone, passed_on
from semcore.gateway.reading import (
    EVENTS,
    Form,
    Piece,
    Reading,
    body_for,
    form_of,
    kept,
    object_in,
)  # fmt: skip
from semcore.gateway.seen import told_by
from semcore.gateway.store import Store
from semcore.gateway.upstream import elsewhere
from semcore.providers.prices import answer_price
from semcore.wire.question import Json, Tier

if TYPE_CHECKING:
    from semcore.gateway.answer import Call

log = logging.getLogger("semcore.gateway")

LENGTH = frozenset((b"content-length",))  # of a stream out of which pieces may be left
REFUSED = (400, 422)
NOTHING = Landed(None, False, None)


class Fetcher:
    """Calls upstream, each in a task of its own: whoever listens may leave, and others still hear it."""

    def __init__(self, settings: Settings, store: Store, attempts: Attempts) -> None:
        self.flights = Flights()
        self._settings, self._store, self._attempts = settings, store, attempts
        self._untold: set[str] = set()  # upstreams that refuse to be asked for a stream's usage

    def start(self, call: Call, ask: Asked, *, shared: bool, lonely: bool = False) -> Flight:
        """A call under way; shared: others may find and follow it. lonely: it needs no listener."""
        flight = Flight(call.place, ask, call.question.stream, lonely or self._settings.complete)
        if shared:
            self.flights.add(flight)
        flight.leave = self.flights.remove
        flight.task = asyncio.create_task(self._fly(flight, call))
        return flight

    async def _fly(self, flight: Flight, call: Call) -> None:
        landed: Landed | None = None
        error: BaseException | None = None
        try:
            landed = await self._carry(flight, call)
        except (aiohttp.ClientError, OSError, TimeoutError) as cut:
            error = cut
        except asyncio.CancelledError:
            error = Gone()
        except Exception as ours:  # nobody may take half a response for a whole one
            log.error("a call failed: %s", type(ours).__name__, exc_info=True)
            error = ConnectionError(type(ours).__name__)
        finally:
            flight.took = flight.age if flight.took is None else flight.took
            self.flights.remove(flight)
            flight.landed.set_result(landed)
            flight.end(error)

    async def _carry(self, flight: Flight, call: Call) -> Landed:
        told = self._settings.stream_usage and call.route.upstream.name not in self._untold
        plain = body_for(call.api, call.question, call.body, False)
        body = body_for(call.api, call.question, call.body, True) if told else plain
        if body != plain:
            async with self._attempts.open(call.route, call.request, body) as response:
                if response.status not in REFUSED:
                    return await self._take(flight, call, response)
        async with self._attempts.open(call.route, call.request, plain) as response:
            if body != plain and response.status == 200:  # what was asked for more was too much for it
                self._untold.add(call.route.upstream.name)
            return await self._take(flight, call, response)

    async def _take(self, flight: Flight, call: Call, response: aiohttp.ClientResponse) -> Landed:
        start = time.monotonic() - flight.age
        flight.heard, flight.status = flight.age, response.status
        flight.url = str(response.url.with_query(None))  # a query may hold a credential
        flight.fallback = elsewhere(call.route, call.request, response)
        encoded = "content-encoding" in response.headers
        form = form_of(call.question, response.status, response.content_type, encoded)
        if form is Form.OBJECT:
            return await self._object(flight, call, response, start)
        self._head(flight, response)
        if form is Form.STREAM:
            return await self._stream(flight, call, response, start)
        await pour(flight, response)
        return NOTHING

    def _head(self, flight: Flight, response: aiohttp.ClientResponse) -> None:
        without = LENGTH if response.content_type == EVENTS else frozenset[bytes]()
        flight.head.set_result((response.status, passed_on(response.raw_headers, without)))

    async def _stream(
        self, flight: Flight, call: Call, response: aiohttp.ClientResponse, start: float
    ) -> Landed:
        hides = call.question.tier is not Tier.BYPASS  # else nothing was changed, and nothing is left out
        reading = Reading(call.api, self._settings.largest_answer, hides)
        landed = None
        async for data in response.content.iter_any():
            pieces = reading.feed(data)
            flight.lonely = flight.lonely or reading.over  # clients leave at its end, before the connection's
            for piece in pieces:
                flight.push(piece)
            if landed is None and reading.over:
                landed = await self._keep(flight, call, reading.answer(), reading.cuts, start)
        for piece in reading.end():
            flight.push(piece)
        return landed or await self._keep(flight, call, reading.answer(), reading.cuts, start)

    async def _object(
        self, flight: Flight, call: Call, response: aiohttp.ClientResponse, start: float
    ) -> Landed:
        body = bytearray()
        async for data in response.content.iter_any():
            body += data
            if len(body) > self._settings.largest_answer:
                self._head(flight, response)
                flight.push(Piece(bytes(body)))
                await pour(flight, response)
                return NOTHING
        landed = await self._keep(flight, call, object_in(bytes(body)), [], start)
        self._head(flight, response)
        flight.push(Piece(bytes(body)))
        return landed

    async def _keep(
        self, flight: Flight, call: Call, answer: Json | None, cuts: list[int], start: float
    ) -> Landed:
        """Stores a whole answer that may be stored; a fallback's is only given to those who wait for it."""
        flight.took = flight.age
        if answer is None:
            return NOTHING
        flight.told = told_by(call.api, answer)
        overdue = max(self._settings.stale_while_revalidate, self._settings.stale_if_error)
        keep = kept(call.api, call.question, call.control, answer, cuts, self._settings.ttl, overdue)
        if keep is None:
            return NOTHING
        ms = (time.monotonic() - start) * 1e3
        cost = await asyncio.to_thread(price_of, flight, call, answer)
        flight.told = flight.told._replace(cost=cost)
        if flight.fallback:
            return Landed(keep.record, keep.semantic, None)
        flight.stored = await self._store.keep(
            call.place, keep.record, flight.ask.vector, keep.semantic, keep.live, call.control.tags,
            cost or 0.0, ms,
        )  # fmt: skip
        return Landed(keep.record, keep.semantic, flight.stored)


def price_of(flight: Flight, call: Call, answer: Json) -> float | None:
    """US dollars; None: not known. Not for the event loop: the first one reads the prices."""
    model = answer.get("model")
    named, output = model if isinstance(model, str) else call.question.model, flight.told.output
    return None if output is None else answer_price(flight.url, named, answer, output)


async def pour(flight: Flight, response: aiohttp.ClientResponse) -> None:
    """Passes on what comes, unread."""
    async for data in response.content.iter_any():
        flight.push(Piece(data))
