"""Callers of one event loop who ask within a few milliseconds travel together, in one request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from semcore.embed import Vector
from semcore.errors import EmbeddingError

Futures = dict[str, asyncio.Future[Vector]]
Send = Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]
WINDOW = 0.003  # seconds that the first one waits for others
AT_ONCE = 8  # requests under way at most


class Refused(EmbeddingError):
    """The server takes this request as it is for wrong: one text of several may be to blame."""


class Lane:
    """What is waiting and under way in one event loop.

    A request that is refused is halved and sent again, so that one caller's text does not fail the others'.

    Args:
        send: the vectors of some texts.
        most: texts a request.
    """

    def __init__(self, send: Send, most: int) -> None:
        self._send, self._most = send, most
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: Futures = {}  # waiting or under way
        self._waiting: Futures = {}
        self._trips: set[asyncio.Task[None]] = set()  # a loop itself holds its tasks weakly
        self._departure: asyncio.TimerHandle | None = None

    def ask(self, text: str) -> asyncio.Future[Vector]:
        """The vector to come; who cancels it cancels nobody else's."""
        future = self._asked.get(text)
        if future is None:
            future = self._enter(text)
            if len(self._waiting) >= self._most:
                self._depart()
            elif self._departure is None:
                self._departure = asyncio.get_running_loop().call_later(WINDOW, self._depart)
        return asyncio.shield(future)

    def _enter(self, text: str) -> asyncio.Future[Vector]:
        future: asyncio.Future[Vector] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._landed, text))
        self._asked[text] = self._waiting[text] = future
        return future

    def _landed(self, text: str, future: asyncio.Future[Vector]) -> None:
        del self._asked[text]
        if not future.cancelled():
            future.exception()  # retrieved, whoever left

    def _depart(self) -> None:
        """Sends those who wait."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        passengers, self._waiting = self._waiting, {}
        trip = asyncio.get_running_loop().create_task(self._carry(list(passengers), passengers))
        self._trips.add(trip)
        trip.add_done_callback(partial(self._arrived, passengers))

    def _arrived(self, passengers: Futures, trip: asyncio.Task[None]) -> None:
        """Nobody waits for a trip that was cancelled, perhaps before it began."""
        self._trips.discard(trip)
        for future in passengers.values():
            future.cancel()  # changes nothing for who has a vector or an error

    async def _carry(self, texts: Sequence[str], futures: Futures) -> None:
        try:
            async with self._slots:
                vectors = dict(zip(texts, await self._send(texts), strict=True))
        except Exception as error:
            if isinstance(error, Refused) and len(texts) > 1:
                await asyncio.gather(*(self._carry(half, futures) for half in halves(texts)))
                return
            for text in texts:
                futures[text].set_exception(error)
        else:
            for text, vector in vectors.items():
                futures[text].set_result(vector)


def halves(texts: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    middle = len(texts) // 2
    return texts[:middle], texts[middle:]
