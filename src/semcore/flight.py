"""Single flight across paraphrases: one caller computes, those whose text its answer would serve wait."""

from __future__ import annotations

import copy
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from semcore.errors import CapacityError, SemcoreError

if TYPE_CHECKING:
    from semcore._args import PutOptions
    from semcore.cache import Cache
    from semcore.embed import Vector
    from semcore.hit import Hit

T = TypeVar("T")
Partition = tuple[int, int]


@dataclass(frozen=True)
class Ask:
    """A question put to `get_or_compute`, and how its answer is to be stored."""

    text: str | bytes
    vector: Any
    floor: float
    partition: Partition
    namespace: str | bytes
    context: object
    options: PutOptions

    @classmethod
    def of(
        cls, cache: Cache, text: str | bytes, vector: Any, floor: float, namespace: str | bytes,
        context: object, options: PutOptions,
    ) -> Ask:  # fmt: skip
        """vector: the text's, which nobody changes while others wait."""
        return cls(text, vector, floor, cache._partition(namespace, context), namespace, context, options)

    def find(self, cache: Cache) -> Hit | None:
        """A hit, counted, or None, uncounted."""
        hit = self._exact(cache)
        if hit is not None or self.vector is None:
            return hit
        return cache._get_semantic(self.vector, self.namespace, self.context, self.floor, False)

    def landed(self, cache: Cache) -> Hit | None:
        """The entry of exactly this text, that came while we looked; counted, hit or miss."""
        hit = self._exact(cache)
        if hit is None:
            cache._miss()
        return hit

    def keep(self, cache: Cache, answer: Any, took_ms: float) -> None:
        """Stores the answer of a computation."""
        options = self.options
        if options.latency_ms is None:
            options = options._replace(latency_ms=took_ms)
        cache._store(self.text, answer, self.vector, self.namespace, self.context, options)

    def _exact(self, cache: Cache) -> Hit | None:
        return cache._get_exact(self.text, self.namespace, self.context, self.floor, True)


@dataclass(eq=False)
class Flight:
    """One computation under way, who leads it, and the answer that its followers wait for."""

    ask: Ask
    thread: int
    task: object
    answer: Future[Any] = field(default_factory=Future)

    def waits_for_us(self, task: object) -> bool:
        """Would waiting here never end? The leader is this very task, or can only go on in this thread."""
        if self.thread != threading.get_ident():
            return False
        return task is None or self.task is None or self.task is task


class Flights:
    """The computations under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: dict[Partition, Board] = {}

    def run(self, cache: Cache, ask: Ask, compute: Callable[[Any], T]) -> T:
        """The stored answer, another caller's, or `compute(text)`."""
        while (hit := ask.find(cache)) is None:
            flight, leads = self._join(ask, None)
            if leads:
                with Leading(self, cache, flight) as leading:
                    if (late := ask.landed(cache)) is not None:  # between the look and the join
                        return leading.share(late.value)  # type: ignore[no-any-return]
                    return leading.keep(compute(ask.text))
            if flight.waits_for_us(None):
                return compute(ask.text)
            try:
                return self._served(cache, ask, flight.answer.result())  # type: ignore[no-any-return]
            except CancelledError:
                continue  # its leader was interrupted: look again, or lead
        return hit.value  # type: ignore[no-any-return]

    async def arun(self, cache: Cache, ask: Ask, compute: Callable[[Any], Awaitable[T]]) -> T:
        """The same for a coroutine function."""
        import asyncio  # a third of the package's import time, and here it is there already

        task = asyncio.current_task()
        while (hit := ask.find(cache)) is None:
            flight, leads = self._join(ask, task)
            if leads:
                with Leading(self, cache, flight) as leading:
                    if (late := ask.landed(cache)) is not None:
                        return leading.share(late.value)  # type: ignore[no-any-return]
                    return leading.keep(await compute(ask.text))
            if flight.waits_for_us(task):
                return await compute(ask.text)
            try:
                return self._served(cache, ask, await follow(flight.answer))  # type: ignore[no-any-return]
            except CancelledError:
                continue
        return hit.value  # type: ignore[no-any-return]

    @staticmethod
    def _served(cache: Cache, ask: Ask, answer: Any) -> Any:
        """A follower's answer: from the cache, so that the ledger counts it, or as the leader gave it."""
        hit = ask.find(cache)
        return private(answer) if hit is None else hit.value

    def _join(self, ask: Ask, task: object) -> tuple[Flight, bool]:
        """The flight to wait for, and whether the caller leads it."""
        with self._lock:
            board = self._boards.setdefault(ask.partition, Board())
            flight = board.find(ask)
            if flight is not None:
                return flight, False
            flight = Flight(ask, threading.get_ident(), task)
            board.add(flight)
            return flight, True

    def forked(self) -> None:
        """In a forked child: only the flights of this very thread will ever land here."""
        self._lock = threading.Lock()
        flights = [flight for board in self._boards.values() for flight in board.flights]
        self._boards = {}
        for flight in flights:
            if flight.thread == threading.get_ident():
                flight.answer = Future()  # the old one's followers are not here, and may hold its lock
                self._boards.setdefault(flight.ask.partition, Board()).add(flight)

    def land(self, flight: Flight) -> None:
        """Takes a flight off its board."""
        with self._lock:
            board = self._boards[flight.ask.partition]
            board.remove(flight)
            if not board.flights:
                del self._boards[flight.ask.partition]


class Board:
    """The flights of one partition, with their unit vectors as the rows of one matrix."""

    def __init__(self) -> None:
        self.flights: list[Flight] = []
        self._texts: dict[str | bytes, Flight] = {}
        self._rows = np.empty((0, 0), dtype=np.float32)

    def find(self, ask: Ask) -> Flight | None:
        """The flight whose answer would be a hit for this question."""
        same = self._texts.get(ask.text)
        if same is not None or ask.vector is None or not self._rows.size:
            return same
        cosines = self._rows[: len(self.flights)] @ unit(ask.vector)
        best = int(np.argmax(cosines))
        return self.flights[best] if cosines[best] >= ask.floor else None

    def add(self, flight: Flight) -> None:
        self._texts[flight.ask.text] = flight
        self.flights.append(flight)
        if flight.ask.vector is None:
            if self._rows.size:
                self._row(len(self.flights) - 1)[:] = 0
            return
        vector = unit(flight.ask.vector)
        if not self._rows.size:
            self._rows = np.zeros((max(8, len(self.flights)), len(vector)), dtype=np.float32)
        self._row(len(self.flights) - 1)[:] = vector

    def remove(self, flight: Flight) -> None:
        """The last one takes its place."""
        at = self.flights.index(flight)
        last = self.flights.pop()
        del self._texts[flight.ask.text]
        if last is not flight:
            self.flights[at] = last
            if self._rows.size:
                self._rows[at] = self._rows[len(self.flights)]

    def _row(self, i: int) -> Any:
        if i >= len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        return self._rows[i]


class Leading:
    """What a leader owes its followers: an answer, its error, or, interrupted, a cancellation."""

    def __init__(self, flights: Flights, cache: Cache, flight: Flight) -> None:
        self._flights, self._cache, self._flight = flights, cache, flight
        self._start = time.perf_counter()

    def __enter__(self) -> Leading:
        return self

    def keep(self, answer: T) -> T:
        """Stores the answer that was computed, and shares it; an answer is never lost to a failing cache."""
        try:
            self._flight.ask.keep(self._cache, answer, (time.perf_counter() - self._start) * 1e3)
        except CapacityError:
            self._cache._refused += 1
        except (SemcoreError, TypeError) as error:
            self._cache._refused += 1
            warnings.warn(f"an answer was not stored: {error}", RuntimeWarning, stacklevel=4)
        return self.share(answer)

    def share(self, answer: T) -> T:
        """Gives the followers the answer."""
        self._flight.answer.set_result(private(answer))
        return answer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StopIteration):  # which no future can carry
            wrapped = RuntimeError("compute raised StopIteration")
            wrapped.__cause__ = error
            self._flight.answer.set_exception(wrapped)
        elif isinstance(error, Exception) and not self._flight.answer.done():
            self._flight.answer.set_exception(error)
        else:
            self._flight.answer.cancel()  # changes nothing when the answer is set
        self._flights.land(self._flight)


async def follow(answer: Future[T]) -> T:
    """Waits for another caller's answer; cancelling the waiter does not cancel the answer."""
    import asyncio

    waiter = asyncio.wrap_future(answer)
    waiter.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieved, whoever left
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if answer.cancelled():
            raise CancelledError from None
        raise


def held(vector: Any) -> Any:
    """A copy of a caller's vector, who may use its buffer again while others wait; None stays None."""
    return None if vector is None else np.array(vector)


def private(value: T) -> T:
    """A copy that its receiver may change."""
    if isinstance(value, (str, bytes)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied cannot be stored either, and its leader was warned
        return value


def unit(vector: Any) -> Vector:
    """The vector at length 1, float32."""
    v = np.asarray(vector, dtype=np.float64)
    return (v / np.sqrt(v @ v)).astype(np.float32)


def cosine(a: Any, b: Any) -> float:
    """Cosine similarity in [-1, 1], computed in double."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
