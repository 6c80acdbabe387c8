"""What a transport with a cache decides: as the gateway does, by the same functions, and without waiting."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from semcore import Cache
from semcore._args import check_ttl
from semcore.errors import ConfigError
from semcore.gateway import status
from semcore.gateway.control import Control, Invalid, control_of
from semcore.gateway.message import OURS, Headers, Request, fields_of, sent
from semcore.gateway.place import place_of, tenant_of
from semcore.gateway.reading import (
    Form,
    Kept,
    Piece,
    Reading,
    body_for,
    form_of,
    kept,
    object_in,
)  # fmt: skip
from semcore.gateway.replay import EVENTS, JSON, frames_of
from semcore.gateway.store import Found, Place, Store
from semcore.wire.embeddings import Embeddings
from semcore.wire.encode import dumps, object_of
from semcore.wire.question import UNREADABLE, Api, Json, Question, Terms, Tier
from semcore.wire.routes import api_of

try:
    import httpx2 as httpx2
except ImportError as error:
    raise ConfigError("semcore.clients.transport needs httpx2: pip install 'semcore[clients]'") from error

Inner = TypeVar("Inner")
TERMS = Terms()
LENGTHS = (b"content-length", b"transfer-encoding")


class Call(NamedTuple):
    """A request that was understood. head: as the gateway has it. began: a time of `time.perf_counter`."""

    request: httpx2.Request
    head: Request
    api: Api
    question: Question
    control: Control
    place: Place
    threshold: float
    body: bytes
    began: float

    @property
    def looks(self) -> bool:
        return self.control.look and self.question.tier is not Tier.BYPASS


class Caching(Generic[Inner]):
    """What both transports do without waiting.

    Args:
        cache: where answers are kept; it stays the caller's, who closes it.
        inner: carries what goes on, and is closed with this one; None: a new one of httpx2's.
        ttl: seconds that an answer is fresh, None for ever; requests may say otherwise.
        stale_if_error: seconds afterwards in which it may stand for an error of the model's side.
        shared: one cache for all credentials; else each has its own.
        salt: keys the hashes of credentials, at most 64 bytes.
        stream_usage: make streams tell their usage, and leave it out for callers that did not ask.
        largest_body, largest_answer: in bytes; larger requests pass, larger answers are not stored.
        embed_timeout: seconds after which an `await` does without the text's meaning.
        terms: what else is allowed to be cached.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        cache: Cache,
        inner: Inner | None = None,
        *,
        ttl: float | None = None,
        stale_if_error: float = 0.0,
        shared: bool = False,
        salt: bytes = b"",
        stream_usage: bool = True,
        largest_body: int = 1 << 20,
        largest_answer: int = 4 << 20,
        embed_timeout: float = 1.0,
        terms: Terms = TERMS,
    ) -> None:
        if not stale_if_error >= 0:
            raise ValueError(f"stale_if_error: expected seconds, 0 or more, got {stale_if_error!r}")
        if not isinstance(salt, bytes) or len(salt) > 64:
            raise ValueError("salt: expected at most 64 bytes")
        self._ttl = check_ttl(ttl, False)
        self._stale_if_error, self._shared, self._salt = stale_if_error, shared, salt
        self._stream_usage, self._terms = stream_usage, terms
        self._largest_body, self._largest_answer = largest_body, largest_answer
        self._store = Store(cache, embed_timeout)
        self._inner = self._plain() if inner is None else inner

    @staticmethod
    @abstractmethod
    def _plain() -> Inner:
        """A transport without a cache."""

    def _read(self, request: httpx2.Request) -> Call | httpx2.Response | None:
        """The call; the response to one that says what cannot be; None: it passes."""
        head = head_of(request)
        api, body = api_of(head.method, head.path), content_of(request)
        if api is None or isinstance(api, Embeddings) or body is None or head.header(b"content-encoding"):
            return None
        if len(body) > self._largest_body:
            return None
        try:
            target = f"{head.path}?{head.query.decode('latin-1')}"
            question = api.question(object_of(body), self._terms, target)
            control = control_of(head.headers)
        except UNREADABLE:
            return None
        except Invalid as error:
            return whole(400, [JSON], dumps(api.error(400, "invalid_request_error", str(error))))
        owner, host = tenant_of(head, self._shared, self._salt), request.url.netloc.decode("ascii")
        context, text, tier = question.context, question.text, question.tier
        place = place_of(owner, host, head.path, head, api.name, context, control, text, tier)
        threshold = control.least(self._store.cache.threshold)
        return Call(request, head, api, question, control, place, threshold, body, time.perf_counter())

    def _answer(self, call: Call, found: Found | None) -> httpx2.Response | None:
        """What needs no model; None: it has to be asked."""
        if found is not None and call.control.allows(found.age, found.record.fresh):
            return replayed(call, found, status.hit(found, call.control))
        if call.control.only_if_cached:
            message = "only-if-cached: there is no stored answer"
            headers = [JSON, *status.forwarded(reason(call, None), 0, call.control)]
            return whole(504, headers, dumps(call.api.error(504, "semcore_error", message)))
        return None

    def _instead(self, call: Call, found: Found | None, code: int) -> httpx2.Response | None:
        """What stands for an error. code: its status, 0 if nothing came."""
        if found is None or not call.control.bears(found.age, found.record.fresh, self._stale_if_error):
            return None
        return replayed(call, found, status.stale(found, call.control, code))

    def _onward(self, call: Call) -> httpx2.Request:
        """The request as the model's side gets it."""
        body = body_for(call.api, call.question, call.body, self._stream_usage)
        headers = [(b"host", call.head.header(b"host")), *sent(call.head.headers, plain=True, length=True)]
        request = call.request
        return httpx2.Request(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )

    def _reading(self, call: Call) -> Reading:
        return Reading(call.api, self._largest_answer, hides=not call.question.usage)

    def _kept(self, call: Call, answer: Json | None, cuts: list[int]) -> Kept | None:
        return kept(
            call.api, call.question, call.control, answer, cuts, self._ttl or None, self._stale_if_error
        )

    def _kept_of(self, call: Call, body: bytes) -> Kept | None:
        answer = object_in(body) if len(body) <= self._largest_answer else None
        return self._kept(call, answer, [])


# ---- requests ----


def head_of(request: httpx2.Request) -> Request:
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    path, _, query = request.url.raw_path.partition(b"?")
    return Request(request.method, path.decode("ascii"), query, headers, fields_of(headers))


def content_of(request: httpx2.Request) -> bytes | None:
    """The body; None if it is yet to come."""
    try:
        return request.content
    except httpx2.RequestNotRead:
        return None


def bare(request: httpx2.Request) -> httpx2.Request:
    """A request that passes, without what is for us alone."""
    headers = [pair for pair in request.headers.raw if not pair[0].lower().startswith(OURS)]
    return httpx2.Request(
        request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
    )


# ---- responses ----


def reason(call: Call, found: Found | None) -> str:
    return status.why(call.question.tier, call.control, found)


def own(call: Call, found: Found | None, response: httpx2.Response, stored: int | None) -> Headers:
    """Our headers on what came from the model's side."""
    code, detail = response.status_code, call.question.why
    return status.forwarded(reason(call, found), code, call.control, stored=stored, detail=detail)


def ms(call: Call) -> float:
    """Since the call began."""
    return (time.perf_counter() - call.began) * 1e3


def form_for(call: Call, response: httpx2.Response) -> Form:
    if call.question.tier is Tier.BYPASS:
        return Form.UNREAD
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return form_of(call.question, response.status_code, kind, "content-encoding" in response.headers)


def shown(pieces: Iterable[Piece]) -> bytes:
    """What the caller gets to see."""
    return b"".join(piece.raw for piece in pieces if not piece.usage)


def whole(code: int, headers: Headers, body: bytes) -> httpx2.Response:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    return httpx2.Response(code, headers=headers, stream=httpx2.ByteStream(body))


def replayed(call: Call, found: Found, headers: Headers) -> httpx2.Response:
    """A stored answer, in the form that the request asks for."""
    if not call.question.stream:
        return whole(200, [JSON, *headers], found.record.renewed())
    frames = frames_of(found.record, call.api, call.question, call.control.mode or "coalesced")
    return whole(200, [EVENTS, *headers], b"".join(frames))


def headed(
    response: httpx2.Response, own: Headers, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream
) -> httpx2.Response:
    """A response with more headers, and perhaps another body."""
    same = stream is response.stream
    raw = [pair for pair in response.headers.raw if same or pair[0].lower() not in LENGTHS]
    return httpx2.Response(
        response.status_code, headers=[*raw, *own], stream=stream, extensions=response.extensions
    )


def passed(response: httpx2.Response) -> httpx2.Response:
    """One that was not looked at."""
    headers = status.forwarded("bypass", response.status_code, Control())
    return headed(response, headers, response.stream)
