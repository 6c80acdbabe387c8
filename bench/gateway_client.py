"""A client that costs next to nothing, so that what is timed is the server: one socket, requests as bytes."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

CHAT = "/v1/chat/completions"
HEADERS = {
    "host": "127.0.0.1",
    "authorization": "Bearer sk-bench",
    "content-type": "application/json",
    "accept": "application/json",
    "user-agent": "bench",
}


@dataclass(frozen=True)
class Response:
    """headers: in lower case. body: without chunks' framing. first, total: seconds from the request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first: float  # until the body's first byte
    total: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def request(body: Any, path: str = CHAT, **headers: str) -> bytes:
    """A POST's bytes. headers: more of them, `_` for `-`."""
    data = orjson.dumps(body)
    fields = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*head, f"content-length: {len(data)}", "", ""]).encode() + data


class Connection:
    """To a server on loopback, kept alive."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def ask(self, data: bytes) -> Response:
        """The response to a request's bytes. Raises ConnectionError: it was cut."""
        start = time.perf_counter()
        self._socket.sendall(data)
        got = self._more(b"")
        while (end := got.find(b"\r\n\r\n")) < 0:
            got = self._more(got)
        head, body = got[:end], got[end + 4 :]
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", -1))
        first = 0.0
        while True:
            if body and not first:
                first = time.perf_counter() - start
            if len(body) == length or (length < 0 and body.endswith(b"0\r\n\r\n")):
                break
            body = self._more(body)
        total = time.perf_counter() - start
        body = body if length >= 0 else unchunked(body)
        return Response(int(lines[0].split()[1]), headers, body, first or total, total)

    def _more(self, got: bytes) -> bytes:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server closed the connection")
        return got + piece


def unchunked(body: bytes) -> bytes:
    """What chunks hold (RFC 9112, section 7.1)."""
    pieces, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
