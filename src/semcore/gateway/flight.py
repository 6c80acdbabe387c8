"""Requests under way to a model: of those that ask the same, one goes, and the others hear what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any, NamedTuple, cast

from semcore.flight import Board
from semcore.gateway.reading import Piece
from semcore.gateway.record import Record
from semcore.gateway.seen import SILENT
from semcore.gateway.store import Place


class Landed(NamedTuple):
    """How a flight ended: the answer, if it may be reused, and whether by paraphrases."""

    record: Record | None
    semantic: bool
    stored: int | None


class Asked(NamedTuple):
    """What a flight is found by, as `semcore.flight.Board` reads it."""

    text: str
    vector: Any
    floor: float


class Flight:
    """One upstream call, and who listens to it.

    lonely: it goes on when nobody listens any more. stored: its answer's id in the cache.
    head: status and headers, when they have come. landed: how it ended, None when it failed.
    leave: takes it off the board. url: of who answered, without its query. fallback: it is not who was asked
        first. began: a time of `time.perf_counter`. heard, took: seconds from then to the response's head
        and end.
    """

    def __init__(self, place: Place, ask: Asked, stream: bool, lonely: bool) -> None:
        self.lonely = lonely
        self.stored: int | None = None
        self.began, self.status, self.told = time.perf_counter(), 0, SILENT
        self.url, self.fallback = "", False
        self.heard: float | None = None
        self.took: float | None = None
        self.place, self.ask, self.stream = place, ask, stream
        self.head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = asyncio.Future()
        self.landed: asyncio.Future[Landed | None] = asyncio.Future()
        self._listeners = 0
        self.task: asyncio.Task[None] | None = None
        self.leave: Callable[[Flight], None] = lambda flight: None
        self._pieces: list[Piece] = []
        self._more = asyncio.Event()
        self._error: BaseException | None = None
        self._over = False

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    def push(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """No more pieces come; with an error, the response was cut."""
        self._over, self._error = True, error
        if not self.head.done():
            self.head.set_exception(error or ConnectionError("no response"))
            self.head.exception()  # retrieved, whoever listens
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def pieces(self) -> AsyncIterator[Piece]:
        """All of them from the first on, as they come. Raises what cut the response."""
        at = 0
        while True:
            while at < len(self._pieces):
                yield self._pieces[at]
                at += 1
            if self._over:
                break
            await self._more.wait()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> None:
        """A listener comes."""
        self._listeners += 1

    def __exit__(self, *error: object) -> None:
        """A listener goes; with the last one the call ends."""
        self._listeners -= 1
        if self._listeners == 0 and not self.lonely and self.task is not None:
            self.leave(self)  # nobody may follow it any more
            self.task.cancel()


class Flights:
    """The flights under way, by what has to be equal for their answers to serve."""

    def __init__(self) -> None:
        self._boards: dict[Hashable, Board] = {}

    def find(self, place: Place, ask: Asked) -> Flight | None:
        """One whose answer would be a hit."""
        board = self._boards.get((place.namespace, place.context))
        found = board.find(ask) if board is not None else None  # type: ignore[arg-type]
        return found  # type: ignore[return-value]

    def add(self, flight: Flight) -> None:
        place = flight.place
        self._boards.setdefault((place.namespace, place.context), Board()).add(flight)  # type: ignore[arg-type]

    def remove(self, flight: Flight) -> None:
        """If it is still there."""
        key = (flight.place.namespace, flight.place.context)
        board = self._boards.get(key)
        if board is None or flight not in cast("list[object]", board.flights):
            return
        board.remove(flight)  # type: ignore[arg-type]
        if not board.flights:
            del self._boards[key]
