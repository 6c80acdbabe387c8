"""Server-sent events: reading frames that come in pieces, and writing them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINES = re.compile(rb"\r\n|\n|\r")
_END = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")


class Frame(NamedTuple):
    """An event: its bytes as they came, its type ("" when it names none) and its data."""

    raw: bytes
    event: str
    data: bytes


class Frames:
    """Frames out of a stream of bytes, whatever pieces they come in.

    most: the longest frame, in bytes, that is waited for; `overflow` is set when one is longer.
    """

    def __init__(self, most: int = 1 << 24) -> None:
        self._rest = b""
        self._most = most
        self.overflow = False

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that this piece completes."""
        buffer = self._rest + piece
        frames, start = [], 0
        while (end := _END.search(buffer, start)) is not None:
            if end.end() == len(buffer) and buffer.endswith(b"\r"):
                break  # a line feed may follow and belong to it
            frames.append(frame_of(buffer[start : end.end()]))
            start = end.end()
        self._rest = buffer[start:]
        self.overflow = self.overflow or len(self._rest) > self._most
        return frames

    def rest(self) -> bytes:
        """What is left when the stream ends: empty, or a frame that was not completed."""
        rest, self._rest = self._rest, b""
        return rest


def frame_of(raw: bytes) -> Frame:
    """One frame, of its bytes. Several `data` lines are joined by line feeds; comments say nothing."""
    event, data = "", []
    for line in _LINES.split(raw):
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(raw, event, b"\n".join(data))


def write(data: bytes, event: str = "") -> bytes:
    """A frame's bytes. data: one line, as JSON is."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    return head + b"data: " + data + b"\n\n"
