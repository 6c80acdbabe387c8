"""What comes from upstream, read: how, which pieces of a stream go on, and what of an answer is kept."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from semcore.gateway.control import Control
from semcore.gateway.record import Record
from semcore.wire.encode import dumps, loads, unrepeated
from semcore.wire.question import UNREADABLE, Api, Json, Question, Tier, Unreadable
from semcore.wire.sse import Frame, Frames

EVENTS = "text/event-stream"
DONE = b"[DONE]"  # after it nothing comes that counts; so says an event of
LAST = ("message_stop", "response.completed")


class Form(Enum):
    """How a response is read."""

    UNREAD = 0
    OBJECT = 1
    STREAM = 2


def form_of(question: Question, status: int, kind: str, encoded: bool) -> Form:
    """kind: the media type. encoded: the body is compressed."""
    if status != 200 or encoded or question.stream != (kind == EVENTS):
        return Form.UNREAD
    return Form.STREAM if question.stream else Form.OBJECT


def body_for(api: Api, question: Question, body: bytes, stream_usage: bool) -> bytes:
    """The request's body as it goes upstream: as it came, unless it might be read otherwise than its key was.
    stream_usage: a stream is to tell its usage."""
    if question.tier is Tier.BYPASS:
        return body
    said = loads(body)
    told = api.told(said) if stream_usage and question.stream and not question.usage else None
    try:
        return unrepeated(body, said) if told is None else dumps(told)
    except Unreadable:
        return body  # nested too deep to be written again


def object_in(body: bytes) -> Json | None:
    """An answer without a stream; None if it is none."""
    try:
        answer = loads(body)
    except Unreadable:
        return None
    return answer if isinstance(answer, dict) else None


class Piece(NamedTuple):
    """Some bytes of a response; `usage`: only for a client that asked for it."""

    raw: bytes
    usage: bool = False


class Reading:
    """A stream as it comes.

    Args:
        api: whose it is.
        most: the longest frame in bytes; behind a longer one nothing is read, only passed on.
        hides: usage is only for those who asked for it.

    over: it said that it was at its end; nothing that counts follows.
    """

    def __init__(self, api: Api, most: int, hides: bool) -> None:
        self.over = False
        self._hides = hides
        self._frames, self._assembler = Frames(most), api.assembler()
        self._readable = True

    @property
    def cuts(self) -> list[int]:
        """Lengths of the text's pieces, as they came."""
        return self._assembler.cuts

    def feed(self, data: bytes) -> Iterable[Piece]:
        """Takes bytes, and gives the pieces that go on."""
        pieces = [Piece(frame.raw, self._read(frame)) for frame in self._frames.feed(data)]
        if self._frames.overflow:
            self._readable = False
            pieces.append(Piece(self._frames.rest()))
        return pieces

    def end(self) -> Iterable[Piece]:
        """No more bytes come."""
        rest = self._frames.rest()
        if not rest:
            return ()
        self._readable = False  # cut inside a frame
        return (Piece(rest),)

    def answer(self) -> Json | None:
        """What the stream said; None if it is not whole, or was not understood."""
        return self._assembler.answer() if self._readable else None

    def _read(self, frame: Frame) -> bool:
        """Is this for those alone who asked for the usage?"""
        self.over = self.over or frame.data == DONE or frame.event in LAST
        if not self._readable:
            return False
        try:
            return self._assembler.feed(frame.event, frame.data) and self._hides
        except UNREADABLE:
            self._readable = False
            return False


class Kept(NamedTuple):
    """What is stored of an answer. semantic: also for paraphrases. live: seconds, 0 for ever."""

    record: Record
    semantic: bool
    live: float


def kept(
    api: Api, question: Question, control: Control, answer: Json | None, cuts: list[int],
    ttl: float | None, overdue: float,
) -> Kept | None:  # fmt: skip
    """None: nothing is. ttl: seconds that answers are fresh unless the request says so; overdue: how long
    they may be given afterwards."""
    if answer is None or question.tier is Tier.BYPASS or not control.store:
        return None
    fresh = (ttl if control.ttl is None else control.ttl) or 0.0
    try:
        outcome = api.outcome(answer)
        if not outcome.store:
            return None
        record = Record.of(api, answer, fresh, cuts)
    except UNREADABLE:
        return None
    semantic = outcome.semantic and question.tier is Tier.SEMANTIC
    return Kept(record, semantic, fresh + overdue if fresh else 0.0)
