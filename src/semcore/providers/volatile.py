"""What tends to change between two sendings of the same prompt: times, ids, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[ap]\.?m\b\.?)?(?:\s?(?:utc|gmt|z\b|[+-]\d{2}:?\d{2}))?"
DATE = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
EPOCH = r"1[5-9]\d{8}(?:\d{3})?"
WRITTEN = rf"{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{1,2}}\.? {MONTH}\.?,? \d{{4}}"

# In order: the first kind that covers a place names it.
VOLATILE = {
    "a timestamp": re.compile(
        rf"\b(?:{DAY},? )?(?:(?:{DATE}|{WRITTEN})(?:(?:t|,? (?:at )?){CLOCK})?|{CLOCK}|{EPOCH}\b)",
        re.IGNORECASE,
    ),
    "a UUID": re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    "an id": re.compile(
        r"\b(?:[A-Za-z]{1,12}[-_:])?(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{8,64}\b|\b[A-Za-z]{1,12}[-_]\d{2,}\b"
    ),
    "a number": re.compile(r"\b\d+(?:[.,]\d+)*\b"),
}
REACH = 80  # characters around a place in which a match may begin or end


def kind_at(text: str, position: int) -> str | None:
    """What stands at a place of a text; None: nothing that is known to change."""
    for kind in VOLATILE:
        for start, end in around(kind, text, position):
            if start <= position <= end:
                return kind
    return None


def span_at(kind: str, text: str, position: int) -> tuple[int, int]:
    """Where the passage of a kind at a place begins and ends; an empty one when it is not there."""
    spans = (span for span in around(kind, text, position) if span[0] <= position <= span[1])
    return next(spans, (position, position))


def around(kind: str, text: str, position: int) -> Iterator[tuple[int, int]]:
    low = max(0, position - REACH)
    for match in VOLATILE[kind].finditer(text, low, position + REACH):
        yield match.span()
