"""What a request asks, and what an answer is worth, in the terms of a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

Json = dict[str, Any]
MOST_TOKENS = 1 << 30  # no model reads or writes as many; sums of a few stay within a cache's 32 bits
Cut = Callable[[str], Iterable[str]]  # a text in the pieces in which a stream gives it


class Unreadable(ValueError):
    """A request or an answer that is not in the form of its API: it is passed on, and nothing else."""


UNREADABLE = (Unreadable, RecursionError)  # also what is nested too deep


class Tier(IntEnum):
    """How far a lookup may go."""

    BYPASS = 0  # not looked up and not stored
    EXACT = 1
    SEMANTIC = 2


class Terms(NamedTuple):
    """What an operator allows. temperature_max: above it nothing is cached; stored: also requests that the
    provider is to keep (`store: true`)."""

    temperature_max: float | None = None
    stored: bool = False

    def allow(self, temperature: object) -> bool:
        """May answers at this temperature be cached? None: at the API's default, which is 1."""
        if self.temperature_max is None:
            return True
        hot = 1.0 if temperature is None else temperature
        return isinstance(hot, (int, float)) and hot <= self.temperature_max


class Question(NamedTuple):
    """A request, as a cache sees it.

    context: everything that must be equal for an answer to be reusable, canonical, without `text`.
    text: of the user's last message; "" where it is part of the context.
    why: why the tier is not SEMANTIC, in one or two words.
    usage: does a stream have to tell the usage?
    tools: may the answer call tools?
    """

    model: str
    context: bytes
    text: str
    tier: Tier
    why: str
    stream: bool
    usage: bool
    tools: bool


class Usage(NamedTuple):
    """Tokens that a model reported; None: it did not."""

    input: int | None
    output: int | None


def count(value: object) -> int | None:
    """A number of tokens, if it is one."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


class Outcome(NamedTuple):
    """May an answer be stored, and may it answer paraphrases? `why` says why not."""

    store: bool
    semantic: bool
    why: str


class Assembler(Protocol):
    """The answer of a stream, put together."""

    cuts: list[int]
    """Lengths of the text's pieces, as they came."""

    def feed(self, event: str, data: bytes) -> bool:
        """Takes an event; True if only a client that asked for usage should see it.

        Raises Unreadable.
        """

    def answer(self) -> Json | None:
        """What a request without a stream would have got; None while the stream is not complete."""


class Api(Protocol):
    """One endpoint of an API. An answer is the object that it gives without streaming."""

    name: str
    echo: tuple[str, ...]
    """Fields of an answer that only say who asked, and are not stored."""

    def __hash__(self) -> int: ...

    def question(self, body: Json, terms: Terms, target: str) -> Question:
        """Reads a request. target: its path, with the query. Raises Unreadable."""

    def told(self, body: Json) -> Json | None:
        """The body that makes a stream tell its usage; None: it does anyhow, or cannot."""

    def assembler(self) -> Assembler: ...

    def outcome(self, answer: Json) -> Outcome:
        """Raises Unreadable."""

    def usage(self, answer: Json) -> Usage: ...

    def ids(self, answer: Json) -> list[str]:
        """Those that are new in every reply."""

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        """The answer as a stream of frames."""

    def error(self, status: int, kind: str, message: str) -> Json:
        """An error in the API's own form."""
