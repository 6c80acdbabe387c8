"""Logs as JSON: a line an event and a line a request, without prompts, answers and credentials."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from semcore.gateway.seen import Seen
from semcore.wire.encode import dumps

requests = logging.getLogger("semcore.gateway.requests")

LOGGERS = ("semcore", "uvicorn")
LONGEST = 100  # characters of a model's name


def log_json(stream: TextIO = sys.stderr) -> None:
    """Makes our logger and uvicorn's write JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    below = logging.getLogger("uvicorn.error")
    below.handlers, below.propagate = [], True
    below.setLevel(logging.NOTSET)


def log_request(seen: Seen) -> None:
    """An observer that writes a line."""
    requests.info("request", extra={"seen": seen})


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(seen := getattr(record, "seen", None), Seen):
            line |= {name: value for name, value in seen._asdict().items() if value is not None}
            line["model"] = seen.model[:LONGEST]
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "at": places(record.exc_info[1])}
        return dumps(line).decode()


def places(error: BaseException | None) -> list[str]:
    """Where an exception came from. Not what it says: that may quote a request."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
