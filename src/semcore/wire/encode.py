"""JSON as it goes over the wire: by orjson if it is there, else by the standard library; the same bytes."""

from __future__ import annotations

import json
from typing import Any

from semcore.wire.question import Json, Unreadable

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

ZEROS = bytes.maketrans(b"123456789", b"000000000")
LONG = b"0" * 19  # digits of the shortest whole number beyond 64 bits
DEEP: type[Exception] = RecursionError if orjson is None else orjson.JSONEncodeError


def refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def within(digits: str) -> int:
    """orjson makes floats of the others, so that several are one."""
    value = int(digits)
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError("numbers are of 64 bits")
    return value


def loads(data: bytes) -> Any:
    """The value of a JSON text. Raises Unreadable, also for NaN and lone surrogates."""
    try:
        if orjson is not None:
            return orjson.loads(data)
        value = json.loads(data, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"body: expected JSON, {error}") from error


def object_of(data: bytes) -> Json:
    """The object of a request's JSON text. Raises Unreadable, also for whole numbers beyond 64 bits."""
    value = loads(data)
    if not isinstance(value, dict):
        raise Unreadable("body: expected an object")
    if LONG in data.translate(ZEROS):  # seldom, so that they are read twice for it
        try:
            json.loads(data, parse_int=within)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"body: {error}") from error
    return value


def unrepeated(data: bytes, value: Any) -> bytes:
    """A JSON text that says its value only, to every reader: itself, unless a key is said twice.

    A key that is left out takes its quotes along; only `\\u0022` hides one.
    """
    told = dumps(value)
    return data if data.count(b'"') == told.count(b'"') and b"\\u0022" not in data else told


def dumps(value: Any) -> bytes:
    """The shortest JSON text of a value, in UTF-8. Raises Unreadable: it is nested too deep."""
    try:
        if orjson is not None:
            return orjson.dumps(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except DEEP as error:
        raise Unreadable(f"expected less nesting, {error}") from error
