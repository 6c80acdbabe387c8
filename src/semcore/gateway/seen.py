"""What is told of a request when it is over, and those who are told: metrics, traces, logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from semcore.wire.ends import ends_of

if TYPE_CHECKING:
    from semcore.gateway.flight import Flight
    from semcore.gateway.message import Send
    from semcore.gateway.store import Found, Place
    from semcore.wire.question import Api, Json

log = logging.getLogger("semcore.gateway")

GONE = 499  # the status of a request whose client left before there was one
perf_counter = time.perf_counter
Observer = Callable[["Seen"], None]


class Seen(NamedTuple):
    """A request that is over. Times in seconds; None: not known, or there is no such thing.

    There are no texts in it, no answer and no credential; `model` is what the client wrote.

    api: the endpoint, "" of what passed through. upstream: the name of where it led.
    outcome: hit_exact, hit_semantic, stale (an answer of the cache that is overdue), collapsed (what another
        request got), miss, bypass (understood, but not looked up), passed (through, unread), error (our
        own, or a response that was cut), refresh (a call of ours, behind a stale answer).
    status: of HTTP; 499: the client left before there was one.
    seconds, first_byte: from the request's head to the end of the response, and to its first byte.
    upstream_seconds, upstream_first_byte: of the call to the model, if this request made one.
    similarity, age: of the answer that the cache had.
    input, output: the answer's tokens. finish: why the model ended.
    saved: the model was not asked. saved_input, saved_output, saved_cost, saved_seconds: what that spared:
        tokens, US dollars and the model's time; the cost is None where it is not known.
    stored: the id of the entry that the cache made of it.
    """

    api: str
    model: str
    upstream: str
    outcome: str
    stream: bool
    status: int
    seconds: float
    first_byte: float | None
    upstream_seconds: float | None
    upstream_first_byte: float | None
    similarity: float | None
    age: float | None
    input: int | None
    output: int | None
    finish: Sequence[str]
    saved: bool
    saved_input: int
    saved_output: int
    saved_cost: float | None
    saved_seconds: float
    stored: int | None


class Told(NamedTuple):
    """What an answer says of itself: its tokens, what it cost in US dollars, why the model ended."""

    input: int | None
    output: int | None
    cost: float | None
    finish: Sequence[str]


SILENT = Told(None, None, None, ())


def given(found: Found, stored: int | None) -> tuple[Any, ...]:
    """Of an answer that the cache had: the fields from `similarity` on."""
    record, saving = found.record, found.saving
    into, out = record.input, record.output
    return (
        found.similarity, found.age,
        into if into >= 0 else None, out if out >= 0 else None, record.ends,
        True, max(into, 0), max(out, 0), saving.cost or None, saving.latency_ms / 1e3, stored,
    )  # fmt: skip


def told_by(api: Api, answer: Json) -> Told:
    """Of an answer that the model gave."""
    usage = api.usage(answer)
    return Told(usage.input, usage.output, None, ends_of(answer))


class Observers:
    """Those who are told of every request. None of them can fail one.

    failures: how often one raised.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self.failures = 0
        self._observers = list(observers)
        self._said: set[str] = set()

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def tell(self, seen: Seen, also: Observer | None = None) -> None:
        for observer in self._observers if also is None else (*self._observers, also):
            try:
                observer(seen)
            except Exception as error:
                self._failed(observer, error)

    def _failed(self, observer: Observer, error: Exception) -> None:
        """Counted every time, said once an observer."""
        self.failures += 1
        name = getattr(observer, "__qualname__", type(observer).__name__)
        if name not in self._said:
            self._said.add(name)
            log.warning("the observer %s fails: %s", name, type(error).__name__)


class Missed(NamedTuple):
    """A search by meaning that found nothing."""

    place: Place
    vector: Any
    threshold: float


class Watch:
    """A request under way: what will be told of it. Its `send` stands before the server's.

    also: an observer of this request alone. missed: where nothing was near enough, to look for what was.
    """

    api = model = upstream = ""
    outcome, status, stream = "error", 0, False
    also: Observer | None = None
    missed: Missed | None = None
    _first: float | None = None
    _found: Found | None = None
    _flight: Flight | None = None
    _own = False

    def __init__(self, send: Send, observers: Observers) -> None:
        self._began = perf_counter()
        self._send, self._observers = send, observers

    def send(self, message: MutableMapping[str, Any]) -> Awaitable[None]:
        """Notes the status, and when the body's first byte goes."""
        if self._first is None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self._first = perf_counter()
        return self._send(message)

    def hit(self, found: Found) -> None:
        """The cache answers."""
        fresh = found.record.fresh
        self.outcome = "stale" if fresh and found.age > fresh else "hit_" + found.layer
        self._found = found

    def flies(self, flight: Flight, outcome: str, own: bool = True) -> None:
        """The model answers, to a call of this request's own or to another's."""
        self._flight, self._own, self.outcome = flight, own, outcome

    def refreshes(self, flight: Flight) -> None:
        """A call behind this request's stale answer, which is told of when it has landed."""
        behind = Watch(self._send, self._observers)
        behind.api, behind.model, behind.upstream = self.api, self.model, self.upstream
        behind.stream = flight.stream
        behind.flies(flight, "refresh")
        flight.landed.add_done_callback(lambda _: behind.end())

    @property
    def stored(self) -> int | None:
        """The id of the entry that the answer became."""
        return self._flight.stored if self._flight is not None else None

    def end(self) -> None:
        """Tells."""
        now, found, flight = perf_counter(), self._found, self._flight
        first = None if self._first is None else self._first - self._began
        whose = (self.api, self.model, self.upstream, self.outcome, self.stream)
        if found is not None and flight is None:
            times = (self.status or GONE, now - self._began, first, None, None)
            seen = Seen._make((*whose, *times, *given(found, None)))
        else:
            seen = Seen._make((*whose, *self._after_a_call(now, first)))
        self._observers.tell(seen, self.also)

    def _after_a_call(self, now: float, first: float | None) -> tuple[Any, ...]:
        """The fields from the status on."""
        found, flight, own = self._found, self._flight, self._own
        took = heard = None
        told, status = SILENT, self.status
        if flight is not None:
            told, status = flight.told, status or flight.status
            if own:
                took, heard = flight.took or now - flight.began, flight.heard
        times = (status or GONE, now - self._began, first, took, heard)
        stored = self.stored if own else None
        if found is not None:
            return (*times, *given(found, stored))
        if flight is None or own or flight.status != 200:
            return (*times, None, None, told.input, told.output, told.finish, False, 0, 0, None, 0.0, stored)
        spared = (told.input or 0, told.output or 0, told.cost, flight.took or 0.0)
        return (*times, None, None, told.input, told.output, told.finish, True, *spared, stored)
