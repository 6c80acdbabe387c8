"""Single flight across paraphrases: one caller computes, those whose text its answer would serve wait."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from semcore.cache import Cache

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """A question put to `get_or_compute`: its text, vector, least similarity, partition and put options."""

    text: str | bytes
    vector: Any
    floor: float
    namespace: str | bytes
    context: object
    options: dict[str, Any]

    @property
    def partition(self) -> Hashable:
        return type(self.namespace), self.namespace, repr(self.context)


@dataclass(eq=False)
class Flight:
    """One computation under way, and the answer that its followers wait for."""

    ask: Ask
    answer: Future[Any] = field(default_factory=Future)


class Flights:
    """The computations under way, by partition."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, list[Flight]] = {}

    def run(self, cache: Cache, ask: Ask, compute: Callable[[Any], T]) -> T:
        """The stored answer, another caller's, or `compute(text)`."""
        while (hit := cache.find(ask)) is None:
            flight, leads = self._join(ask)
            if leads:  # unless its forerunner landed between the look and the join
                with Leading(self, cache, flight) as leading:
                    if (late := cache.landed(ask)) is not None:
                        return leading.share(late.value)  # type: ignore[no-any-return]
                    return leading.keep(compute(ask.text))
            try:
                return private(flight.answer.result())  # type: ignore[no-any-return]
            except CancelledError:
                continue  # its leader was interrupted: look again, or lead
        return hit.value  # type: ignore[no-any-return]

    async def arun(self, cache: Cache, ask: Ask, compute: Callable[[Any], Awaitable[T]]) -> T:
        """The same for a coroutine function."""
        while (hit := cache.find(ask)) is None:
            flight, leads = self._join(ask)
            if leads:  # unless its forerunner landed between the look and the join
                with Leading(self, cache, flight) as leading:
                    if (late := cache.landed(ask)) is not None:
                        return leading.share(late.value)  # type: ignore[no-any-return]
                    return leading.keep(await compute(ask.text))
            try:
                return private(await follow(flight.answer))  # type: ignore[no-any-return]
            except CancelledError:
                continue
        return hit.value  # type: ignore[no-any-return]

    def _join(self, ask: Ask) -> tuple[Flight, bool]:
        """The flight to wait for, and whether the caller leads it."""
        with self._lock:
            flights = self._flights.setdefault(ask.partition, [])
            for flight in flights:
                if serves(flight.ask, ask):
                    return flight, False
            flights.append(flight := Flight(ask))
            return flight, True

    def land(self, flight: Flight) -> None:
        """Takes a flight off the list."""
        with self._lock:
            flights = self._flights[flight.ask.partition]
            flights.remove(flight)
            if not flights:
                del self._flights[flight.ask.partition]


class Leading:
    """What a leader owes its followers: an answer, its error, or, interrupted, a cancellation."""

    def __init__(self, flights: Flights, cache: Cache, flight: Flight) -> None:
        self._flights, self._cache, self._flight = flights, cache, flight
        self._start = time.perf_counter()

    def __enter__(self) -> Leading:
        return self

    def keep(self, answer: T) -> T:
        """Stores the answer that was computed, and shares it."""
        self._cache.keep(self._flight.ask, answer, (time.perf_counter() - self._start) * 1e3)
        return self.share(answer)

    def share(self, answer: T) -> T:
        """Gives the followers the answer."""
        self._flight.answer.set_result(private(answer))
        return answer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            self._flight.answer.set_exception(error)
        else:
            self._flight.answer.cancel()  # changes nothing when the answer is set
        self._flights.land(self._flight)


async def follow(answer: Future[T]) -> T:
    """Waits for another caller's answer; cancelling the waiter does not cancel the answer."""
    try:
        return await asyncio.shield(asyncio.wrap_future(answer))
    except asyncio.CancelledError:
        if answer.cancelled():
            raise CancelledError from None
        raise


def private(value: T) -> T:
    """A copy that its receiver may change."""
    return value if isinstance(value, (str, bytes)) else copy.deepcopy(value)


def serves(leader: Ask, ask: Ask) -> bool:
    """Would the answer to one question be a hit for the other?"""
    if leader.text == ask.text:
        return True
    if leader.vector is None or ask.vector is None:
        return False
    return cosine(leader.vector, ask.vector) >= ask.floor


def cosine(a: Any, b: Any) -> float:
    """Cosine similarity in [-1, 1], computed in double."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
