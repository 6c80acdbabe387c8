"""Requests for embeddings: each item is looked up by itself, and only the missing ones are asked for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from semcore import Saving
from semcore.gateway import status
from semcore.gateway.answer import BROKEN
from semcore.gateway.attempts import Attempts
from semcore.gateway.breaker import Buckets
from semcore.gateway.config import Settings
from semcore.gateway.control import Control
from semcore.gateway.flight import Asked, Flight
from semcore.gateway.message import Headers, Receive, Request, Send, passed_on, reply, until_gone
from semcore.gateway.record import VERSION, Record
from semcore.gateway.relay import retry_after
from semcore.gateway.replay import JSON
from semcore.gateway.seen import Told, Watch
from semcore.gateway.store import Found, Place, Store
from semcore.gateway.upstream import Route, Unreachable, elsewhere
from semcore.wire.embeddings import Batch, Embeddings
from semcore.wire.encode import dumps, loads, unrepeated
from semcore.wire.question import UNREADABLE, Json, Unreadable, count

NO_TOKENS = {"prompt_tokens": 0, "total_tokens": 0}
LENGTH = frozenset((b"content-length",))  # the reply counts anew
ENDS = b"\0"  # the model's name, as JSON, in a stored item before the vector


class BatchCall(NamedTuple):
    """A request that was understood. where: its items lie in the cache, but for their texts.
    json, body: what it says, and its bytes as they came."""

    request: Request
    route: Route
    api: Embeddings
    batch: Batch
    control: Control
    where: Place
    json: Json
    body: bytes
    watch: Watch

    def place(self, key: str) -> Place:
        return self.where._replace(text=key)


class Said(NamedTuple):
    """A response of the upstream, whole. fallback: it is not who was asked first."""

    code: int
    headers: Headers
    body: bytes
    fallback: bool


class Part(NamedTuple):
    """What became of the items that were asked for. records: theirs, None if the response was not understood;
    stored: the last one's entry in the cache, if it was stored."""

    said: Said
    records: dict[str, Record] | None
    usage: Json
    stored: int | None


class Items:
    """Answers requests for embeddings. Items that another request is asking for are waited for."""

    def __init__(self, settings: Settings, store: Store, attempts: Attempts, buckets: Buckets) -> None:
        self._settings, self._store, self._attempts, self._buckets = settings, store, attempts, buckets
        self._under_way: dict[Place, asyncio.Future[Record | None]] = {}

    async def answer(self, call: BatchCall, receive: Receive, send: Send) -> None:
        """Sends the response. Raises Gone: the client went away."""
        found: dict[str, Found] = {}
        for key in dict.fromkeys(call.batch.keys) if call.control.look else ():
            hit = (await self._store.find(call.place(key), 1.0)).found
            if hit is not None and call.control.allows(hit.age, hit.record.fresh):
                found[key] = hit
        missing = [key for key in dict.fromkeys(call.batch.keys) if key not in found]
        if not missing:
            records = {key: hit.record for key, hit in found.items()}
            hit = together(list(found.values()))
            call.watch.hit(hit)
            await reply(send, 200, [JSON, *status.hit(hit, call.control)], merged(call, records, NO_TOKENS))
        elif call.control.only_if_cached:
            await self._error(call, send, 504, "only-if-cached: not all items are stored")
        else:
            await until_gone(receive, self._ask(call, found, missing, send))

    async def _ask(self, call: BatchCall, found: dict[str, Found], missing: list[str], send: Send) -> None:
        try:
            await self._complete(call, found, missing, send)
        except Unreachable as error:
            await self._error(call, send, error.status, str(error))
        except BROKEN as error:  # before anything was sent
            await self._error(call, send, 502, f"upstream {call.route.upstream.name}: {type(error).__name__}")

    async def _complete(
        self, call: BatchCall, found: dict[str, Found], missing: list[str], send: Send
    ) -> None:
        """Asks for what is missing, or waits for it, until there is all of it."""
        records, usage, asked = {key: hit.record for key, hit in found.items()}, dict(NO_TOKENS), 0
        while missing:
            waiting = self._waiting(call, missing)
            if mine := [key for key in missing if key not in waiting]:
                if wait := self._buckets.take(call.where.tenant):
                    await self._error(
                        call, send, 429, "the gateway's rate limit for this credential", retry_after(wait)
                    )
                    return
                part = await self._fetch_shared(call, mine)
                if part.records is None or mine == call.batch.keys:
                    await self._pass_on(call, part, mine, send)
                    return
                records |= part.records
                told = {key: n for key, n in part.usage.items() if count(n) is not None}
                usage |= {key: usage.get(key, 0) + n for key, n in told.items()}
                asked += len(mine)
            for key, flight in waiting.items():
                if (record := await asyncio.shield(flight)) is not None:
                    records[key] = record
            missing = [key for key in missing if key not in records]
        if not asked:
            call.watch.outcome = "collapsed"
        detail = f"{len(found)} of {len(records)} items hit"
        own = status.forwarded(why(call), 200, call.control, collapsed=not asked, detail=detail)
        await reply(send, 200, [JSON, *own], merged(call, records, usage))

    def _waiting(self, call: BatchCall, keys: list[str]) -> dict[str, asyncio.Future[Record | None]]:
        """The items for which somebody else asks."""
        places = {key: call.place(key) for key in keys} if shares(call) else {}
        return {key: self._under_way[place] for key, place in places.items() if place in self._under_way}

    async def _fetch_shared(self, call: BatchCall, keys: list[str]) -> Part:
        """Asks for some items; other requests can wait for them."""
        flights = {
            call.place(key): asyncio.get_running_loop().create_future() for key in keys if shares(call)
        }
        self._under_way.update(flights)
        part = None
        try:
            part = await self._fetch(call, keys)
            return part
        finally:
            got = part.records if part is not None and part.records is not None else {}
            for place, flight in flights.items():
                del self._under_way[place]
                flight.set_result(got.get(place.text))

    async def _fetch(self, call: BatchCall, keys: list[str]) -> Part:
        """Asks for some items, and stores them."""
        item_of = dict(zip(call.batch.keys, call.batch.items, strict=True))
        part = {**call.json, "input": [item_of[key] for key in keys]}
        flight = Flight(call.place(keys[0]), Asked(keys[0], None, 1.0), False, True)
        call.watch.flies(flight, "miss")
        said = await self._send(
            call, unrepeated(call.body, call.json) if keys == call.batch.keys else dumps(part)
        )
        flight.status, flight.took = said.code, flight.age
        try:
            records, usage = self._read(call, said, keys)
        except UNREADABLE:
            return Part(said, None, {}, None)
        flight.told = Told(count(usage.get("prompt_tokens")), 0, None, ())
        ms = flight.took * 1e3 / len(keys)
        stored = None
        for key, record in records.items() if call.control.store and not said.fallback else ():
            stored = await self._store.keep(
                call.place(key), record, None, False, record.fresh, call.control.tags, 0.0, ms
            )
        flight.stored = stored
        return Part(said, records, usage, stored)

    async def _send(self, call: BatchCall, body: bytes) -> Said:
        async with self._attempts.open(call.route, call.request, body) as response:
            fallback = elsewhere(call.route, call.request, response)
            return Said(response.status, passed_on(response.raw_headers), await response.read(), fallback)

    def _read(self, call: BatchCall, said: Said, keys: list[str]) -> tuple[dict[str, Record], Json]:
        """The items of a response, and its usage. Raises Unreadable."""
        if said.code != 200:
            raise Unreadable("an error")
        answer = loads(said.body)
        vectors = call.api.vectors(answer, len(keys))
        usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
        tokens = count(usage.get("prompt_tokens"))
        known = -1 if tokens is None or len(keys) > 1 else tokens  # of several, only the sum is known
        model = dumps(str(answer.get("model") or call.batch.model))
        ttl = (self._settings.ttl if call.control.ttl is None else call.control.ttl) or 0.0
        return {
            key: Record(VERSION, model + ENDS + vector, ttl, [], [], known, 0, [])
            for key, vector in zip(keys, vectors, strict=True)
        }, usage

    async def _pass_on(self, call: BatchCall, part: Part, keys: list[str], send: Send) -> None:
        """Passes on what came. If it makes no sense for some of the items, all of them are asked for."""
        said = part.said
        if said.code == 200 and part.records is None and keys != call.batch.keys:
            said = await self._send(call, call.body)
        detail = "fallback" if said.fallback else ""
        own = status.forwarded(why(call), said.code, call.control, stored=part.stored, detail=detail)
        await reply(send, said.code, [*passed_on(said.headers, LENGTH), *own], said.body)

    async def _error(
        self, call: BatchCall, send: Send, code: int, message: str, more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        call.watch.outcome = "error"
        headers = [JSON, *status.forwarded(why(call), 0, call.control), *more]
        await reply(send, code, headers, dumps(call.api.error(code, "semcore_error", message)))


def why(call: BatchCall) -> str:
    return "miss" if call.control.look else "request"


def shares(call: BatchCall) -> bool:
    """May it wait for what others get, and they for what it gets?"""
    return call.control.look and call.control.store


def together(found: list[Found]) -> Found:
    """Several hits as one: the oldest, as fresh as the one that is stale first, sparing what all spare."""
    oldest = max(found, key=lambda one: one.age)
    left = min(one.record.fresh - one.age if one.record.fresh else math.inf for one in found)
    tokens = sum(max(one.record.input, 0) for one in found)
    saving = Saving(
        sum(one.saving.tokens for one in found),
        math.fsum(one.saving.cost for one in found),
        math.fsum(one.saving.latency_ms for one in found),
    )
    fresh = 0.0 if left == math.inf else left + oldest.age
    return oldest._replace(record=oldest.record._replace(fresh=fresh, input=tokens), saving=saving)


def merged(call: BatchCall, records: dict[str, Record], usage: Json) -> bytes:
    """The answer, in the order in which it was asked for."""
    parted = [records[key].body.partition(ENDS) for key in call.batch.keys]
    vectors: Iterable[bytes] = (vector for _, _, vector in parted)
    return dumps(call.api.answer(loads(parted[0][0]), list(vectors), call.batch.format, usage))
