"""Recorded prompts: JSON Lines, csv or tsv, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

PROMPT_FIELDS = ("prompt", "text", "question")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt of the traffic. `label`: prompts with the same one want the same answer."""

    prompt: str
    response: str | None
    namespace: str
    context: Any
    label: str | None
    tokens: int
    cost: float
    latency_ms: float


def read(path: Path, limit: int | None = None) -> list[Request]:
    """The requests of a file, in its order.

    Raises:
        ValueError: a line is not a record, or has no prompt; it is named by its number.
        OSError: the file cannot be read.
    """
    requests = parsed(path, request, limit)
    if not requests:
        raise ValueError(f"{path}: holds no prompts")
    return requests


def parsed(path: Path, parse: Callable[[Any], T], limit: int | None = None) -> list[T]:
    """What `parse` makes of a file's records. Raises as `read` does."""
    found: list[T] = []
    try:
        for record in islice(records(path), limit):
            found.append(parse(record))
    except (TypeError, ValueError, RecursionError, EOFError, zlib.error, csv.Error) as error:
        raise ValueError(f"{path}, record {len(found) + 1}: {error}") from error
    return found


def records(path: Path) -> Iterator[Mapping[str, Any]]:
    name = path.name.lower().removesuffix(".gz")
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from rows(file, Path(name).suffix)


def rows(file: IO[str], suffix: str) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(1 << 30)
    if suffix == ".csv":
        yield from csv.DictReader(file)
    elif suffix == ".tsv":
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        for line in file:
            if line.strip():
                yield json.loads(line)


def request(record: Mapping[str, Any]) -> Request:
    if not isinstance(record, Mapping):
        raise ValueError(f"expected an object with a prompt, got {type(record).__name__}")
    response = record.get("response")
    return Request(
        string(record, PROMPT_FIELDS),
        response if response is None or isinstance(response, str) else json.dumps(response),
        str(record.get("namespace") or ""),
        record.get("context") or None,
        label(record),
        int(number(record, "tokens", 1 << 32)),
        number(record, "cost", 1e9),
        number(record, "latency_ms", 1e12),
    )


def string(record: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the fields that is there."""
    text = next((record[name] for name in names if record.get(name) is not None), None)
    if not isinstance(text, str):
        raise ValueError(f"expected a string in the field {' or '.join(names)}")
    return text


def label(record: Mapping[str, Any]) -> str | None:
    given = record.get("label")
    return None if given in (None, "") else str(given)


def number(record: Mapping[str, Any], name: str, most: float) -> float:
    value = float(record.get(name) or 0)
    if not 0 <= value < most:
        raise ValueError(f"{name}: expected a number from 0 to {most:g}, got {value}")
    return value
