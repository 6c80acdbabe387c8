"""Where reuse between recorded requests is lost: each beside the earlier one that it is most like."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from semcore.prefix.explain import common
from semcore.providers.canonical import Unit
from semcore.providers.difference import Difference, between
from semcore.providers.prompt import BYTES_A_TOKEN
from semcore.providers.volatile import VOLATILE, span_at

RECENT = 24  # earlier requests that one is compared with
SESSIONS = 1024  # of which the last request is kept
ANCHORS = 64  # places of a kind of loss that are kept
DEPTH = 4  # changes behind each other that are looked for
GREW = "text was appended"
ORDER = "the order of the tools"
MENDED = (*VOLATILE, "a short passage", "the order of keys")
CONTEXT = 24  # characters beside a place by which it is found again


class Anchor(NamedTuple):
    """A passage that changes, by the text before and after it."""

    before: str
    after: str


class Seen(NamedTuple):
    """An earlier request: its units, their digests, whose it was and which turn."""

    units: tuple[Unit, ...]
    digests: tuple[bytes, ...]
    session: str
    turn: int


@dataclass(slots=True)
class Loss:
    """Tokens that were sent before, behind a block that changed.

    Args:
        part: tools, response_format, system or messages.
        what: changed, as in `Difference`.
        requests, tokens: whose reuse ended there, and what they lost.
        hidden: tokens that would be lost there if the changes before it were mended.
        example: a difference, in words.
        anchors: where the passages stand that changed.
    """

    part: str
    what: str
    requests: int = 0
    tokens: int = 0
    hidden: int = 0
    example: str = ""
    anchors: dict[Anchor, None] = field(default_factory=dict)


class Step(NamedTuple):
    """What was found of one request: the turn of its session, and tokens lost."""

    turn: int
    lost: int


class Tracker:
    """Follows requests in order. Bounded, whatever their number."""

    def __init__(self) -> None:
        self.sessions = 0
        self.grown = 0  # requests in which a block of a message is an earlier one and more
        self.losses: dict[tuple[str, str], Loss] = {}
        self._recent: deque[Seen] = deque(maxlen=RECENT)
        self._last: OrderedDict[str, Seen] = OrderedDict()

    def step(self, units: tuple[Unit, ...], session: str | None, fresh: int) -> Step:
        """Takes the next request.

        Args:
            units: its blocks.
            session: its conversation where it is recorded; None: it is found out.
            fresh: tokens that are no known prefix: no more than these can be lost.
        """
        digests = tuple(hashlib.blake2b(unit.data, digest_size=16).digest() for unit in units)
        near = self._nearest(units, digests, session)
        lost = self._lose(near, units, digests, fresh) if near else 0
        turn = self._turn(near, units, digests, session)
        return Step(turn, lost)

    def _nearest(
        self, units: tuple[Unit, ...], digests: tuple[bytes, ...], session: str | None
    ) -> Seen | None:
        others = list(self._recent)
        if session is not None and session in self._last:
            others.append(self._last[session])
        scored = [(alike(seen, units, digests), i) for i, seen in enumerate(others)]
        score, best = max(scored, default=(0, -1))
        return others[best] if score > 0 else None

    def _turn(
        self, near: Seen | None, units: tuple[Unit, ...], digests: tuple[bytes, ...], session: str | None
    ) -> int:
        """The turn of the session, which begins where no message is shared with an earlier request."""
        if session is None and near is not None and talked(near, units, digests):
            session, turn = near.session, near.turn + 1
        elif session is not None and session in self._last:
            turn = self._last[session].turn + 1
        else:
            self.sessions += 1
            session, turn = session or f"#{self.sessions}", 1
        seen = Seen(units, digests, session, turn)
        self._recent.append(seen)
        self._last[session] = seen
        self._last.move_to_end(session)
        if len(self._last) > SESSIONS:
            self._last.popitem(last=False)
        return turn

    def _lose(self, near: Seen, units: tuple[Unit, ...], digests: tuple[bytes, ...], fresh: int) -> int:
        """Notes the change that breaks the reuse, and those that would if it were mended; tokens lost."""
        total = 0
        a, b, ids = near, units, digests
        for depth in range(DEPTH):
            found = between(a.units, b)
            if found is None:
                break
            self.grown += depth == 0 and found.what == GREW and found.part.startswith("message")
            lost = min(fresh, behind(a, b, ids, found.unit) // BYTES_A_TOKEN)
            if lost <= 0:
                break
            self._note(a, b, found, lost, first=depth == 0)
            total = total or lost
            mended = mend(a, b, ids, found)
            if mended is None:
                break
            a, b, ids = mended
        return total

    def _note(self, near: Seen, units: tuple[Unit, ...], found: Difference, lost: int, first: bool) -> None:
        part = found.part if not found.part.startswith("message") else "messages"
        loss = self.losses.setdefault((part, found.what), Loss(part, found.what))
        if first:
            loss.requests += 1
            loss.tokens += lost
        else:
            loss.hidden += lost
        loss.example = loss.example or str(found)
        if len(loss.anchors) < ANCHORS and (anchor := anchor_of(near.units, units, found)):
            loss.anchors[anchor] = None


def mend(
    near: Seen, units: tuple[Unit, ...], digests: tuple[bytes, ...], found: Difference
) -> tuple[Seen, tuple[Unit, ...], tuple[bytes, ...]] | None:
    """Both requests as if a change were not there; None: it is none that could be mended."""
    if found.what == ORDER:
        keep = [i for i, unit in enumerate(units) if unit.part != "tools"]
        old = [i for i, unit in enumerate(near.units) if unit.part != "tools"]
        seen = near._replace(
            units=tuple(near.units[i] for i in old), digests=tuple(near.digests[i] for i in old)
        )
        return seen, tuple(units[i] for i in keep), tuple(digests[i] for i in keep)
    if found.position is None or found.what in MENDED:
        i = found.unit
        a, d = list(near.units), list(near.digests)
        a[i], d[i] = units[i], digests[i]
        return near._replace(units=tuple(a), digests=tuple(d)), units, digests
    return None


def alike(seen: Seen, units: tuple[Unit, ...], digests: tuple[bytes, ...]) -> int:
    """Bytes that two requests have in common: whole units, and what is equal around the first change."""
    first = next(
        (i for i, pair in enumerate(zip(seen.digests, digests, strict=False)) if pair[0] != pair[1]), None
    )
    known = set(seen.digests)
    score = sum(len(unit.data) for unit, digest in zip(units, digests, strict=True) if digest in known)
    if first is not None:
        a, b = seen.units[first].data, units[first].data
        inside = equal_ends(a, b)
        score += inside if 2 * inside >= max(len(a), len(b)) else 0
    return score


def equal_ends(a: bytes, b: bytes) -> int:
    """Bytes that are equal at the beginning and at the end."""
    at = common(a, b)
    return at + common(a[at:][::-1], b[at:][::-1])


def talked(near: Seen, units: tuple[Unit, ...], digests: tuple[bytes, ...]) -> bool:
    """Do they share a message?"""
    known = {d for u, d in zip(near.units, near.digests, strict=True) if u.part.startswith("message")}
    return any(d in known for u, d in zip(units, digests, strict=True) if u.part.startswith("message"))


def behind(near: Seen, units: tuple[Unit, ...], digests: tuple[bytes, ...], first: int) -> int:
    """Bytes behind the first change that the earlier request had too."""
    a, b = near.units[first].data, units[first].data
    at = common(a, b)
    known = set(near.digests[first:])
    whole = sum(len(u.data) for u, d in zip(units[first:], digests[first:], strict=True) if d in known)
    return whole if digests[first] in known else whole + common(a[at:][::-1], b[at:][::-1])


def anchor_of(a: tuple[Unit, ...], b: tuple[Unit, ...], found: Difference) -> Anchor | None:
    """What stands beside a change that could be moved; None: it is no passage inside equal text."""
    if found.position is None or (found.what not in VOLATILE and found.what != "a short passage"):
        return None
    text = b[found.unit].data.decode("utf-8", "replace")
    if found.what in VOLATILE:
        start, end = span_at(found.what, text, found.position)
    else:
        other = a[found.unit].data
        at = common(other, b[found.unit].data)
        rest = common(other[at:][::-1], b[found.unit].data[at:][::-1])
        tail = b[found.unit].data[len(b[found.unit].data) - rest :].decode("utf-8", "replace")
        start, end = found.position, len(text) - len(tail)
        while start > 0 and not text[start - 1].isspace():
            start -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
    return Anchor(text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT])
