"""Recorded requests to providers: JSON Lines, plain or gzipped, of bodies alone or with time and usage."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from semcore.dump import Progress
from semcore.providers.canonical import Rendered, render
from semcore.providers.usage import Reported, reported

TIMES = ("t", "time", "timestamp", "created", "created_at", "ts")
BODIES = ("request", "body", "kwargs", "params")
SESSIONS = ("session", "session_id", "conversation_id", "thread_id", "s")
STEP = 1.0  # seconds between requests that have no time


class Record(NamedTuple):
    """One recorded request. `time`: seconds, None: not recorded. `reported`: None: not recorded."""

    line: int
    time: float | None
    session: str | None
    model: str
    request: Rendered
    reported: Reported | None


class Unusable(NamedTuple):
    """A line that holds no request, and why."""

    line: int
    reason: str


def read(path: Path, limit: int | None, progress: Progress) -> Iterator[Record | Unusable]:
    """The requests of a file, one after the other, in its order.

    progress: is told how many bytes of how many were read.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    size, count = path.stat().st_size, 0
    if not path.is_file():
        raise ValueError(f"{path}: expected a regular file, as it is read several times")
    with open(path, "rb") as raw, gzip.open(raw) if path.suffix.lower() == ".gz" else raw as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                found = parsed(number, line)
                yield found
                count += isinstance(found, Record)
                if count == limit:
                    break
                if number % 64 == 0:
                    progress(raw.tell(), size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: {error}") from error


def parsed(number: int, line: bytes) -> Record | Unusable:
    try:
        return record(number, json.loads(line.decode("utf-8-sig")))
    except (ValueError, TypeError, RecursionError) as error:
        return Unusable(number, str(error))


def record(number: int, found: Any) -> Record:
    """A line's object. Raises ValueError, TypeError: it holds no request."""
    if not isinstance(found, Mapping):
        raise ValueError("expected an object")
    body = next((found[name] for name in BODIES if found.get(name)), found)
    body = json.loads(body) if isinstance(body, str) else body
    request = render(body)
    if not request.units:
        raise ValueError("the prompt is empty")
    named = (holder.get(name) for holder in (body, found) for name in ("model", "modelId"))
    model = str(next(filter(None, named), ""))
    return Record(number, time_of(found), session_of(found), model, request, usage_of(found))


def time_of(found: Mapping[str, Any]) -> float | None:
    """Seconds; numbers beyond the year 5000 are milli-, micro- or nanoseconds."""
    for name in TIMES:
        value = found.get(name)
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(f"{name}: expected seconds or an ISO time, got {value!r}") from None
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not abs(value) < 1e20:
                raise ValueError(f"{name}: expected seconds or an ISO time, got {value!r}")
            while abs(value) >= 1e11:
                value /= 1e3
            return float(value)
    return None


def session_of(found: Mapping[str, Any]) -> str | None:
    value = next((found[name] for name in SESSIONS if found.get(name) is not None), None)
    return None if value is None else str(value)


def usage_of(found: Mapping[str, Any]) -> Reported | None:
    """What the provider reported, where it was recorded and is readable."""
    response = found.get("response")
    inner = response.get("body") if isinstance(response, Mapping) else None
    for holder in (found, response, inner):
        if not isinstance(holder, Mapping):
            continue
        if any(
            isinstance(holder.get(name), Mapping) for name in ("usage", "usageMetadata", "usage_metadata")
        ):
            try:
                return reported(holder)
            except ValueError:  # a bad usage is no reason to lose the request
                return None
    return None
