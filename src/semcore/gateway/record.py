"""An answer as the cache keeps it: its JSON, and where the ids are that are new in every reply."""

from __future__ import annotations

import os
import random
from typing import Any, NamedTuple

from semcore.wire.encode import dumps
from semcore.wire.ends import ends_of
from semcore.wire.question import Api, Json

VERSION = 1
SHORTEST = 8  # bytes of an id
_ids = random.Random(os.urandom(16))


class Record(NamedTuple):
    """What is stored.

    fresh: seconds after which it is stale, 0 for never. spots: for each id, its length and its places in
    `body`. cuts: lengths of the pieces in which a stream gave the text. input, output: tokens, -1 unknown.
    ends: why the model ended, in its words.
    """

    version: int
    body: bytes
    fresh: float
    spots: list[list[int]]
    cuts: list[int]
    input: int
    output: int
    ends: list[str]

    @classmethod
    def of(cls, api: Api, answer: Json, fresh: float, cuts: list[int]) -> Record:
        """Raises Unreadable."""
        kept = {key: value for key, value in answer.items() if key not in api.echo}
        body = dumps([kept])[1:-1]  # an event of a stream nests it once more
        usage = api.usage(answer)
        spots = [places(body, id.encode()) for id in dict.fromkeys(api.ids(answer))]
        input, output = (-1 if count is None else count for count in usage)
        spots = [spot for spot in spots if spot[0] > 0]
        return cls(VERSION, body, fresh, spots, cuts, input, output, ends_of(answer))

    @classmethod
    def read(cls, value: Any) -> Record | None:
        """Of what the cache returned; None if something else is stored there."""
        if isinstance(value, list) and len(value) == len(cls._fields) and value[0] == VERSION:
            return cls(*value)
        return None

    def renewed(self) -> bytes:
        """The body with new ids of the same length."""
        if not self.spots:
            return self.body
        body = bytearray(self.body)
        for length, *starts in self.spots:
            new = mint(bytes(body[starts[0] : starts[0] + length]))
            for start in starts:
                body[start : start + length] = new
        return bytes(body)


def places(body: bytes, id: bytes) -> list[int]:
    """The length of an id, and where the body has it as a value; no places: it is too short for one that is
    new in every reply, and may well be a word."""
    found, at, quoted = [len(id)], -1, b'"' + id + b'"'
    while len(id) >= SHORTEST and (at := body.find(quoted, at + 1)) >= 0:
        if not body.startswith(b":", at + len(quoted)):  # else a key
            found.append(at + 1)
    return found if len(found) > 1 else [0]


def mint(id: bytes) -> bytes:
    """A new id of the same length and with the same beginning (`chatcmpl-`, `msg_`, `call_`)."""
    head = 0
    for mark in (b"_", b"-"):
        before, _, rest = id.partition(mark)
        if before.isalpha() and len(rest) >= 8:
            head = len(before) + 1
    length = len(id) - head
    return id[:head] + b"%0*x" % (length, _ids.getrandbits(4 * length)) if length else id
