"""Labelled texts, or labelled pairs of texts: in the files that a replay reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from semcore.cli.traffic import PROMPT_FIELDS, label, parsed, string

WANTED = "expected the fields label and text, or label, a and b"
SAME = {"1": True, "true": True, "0": False, "false": False}


class Text(NamedTuple):
    """Texts with the same label want the same answer."""

    text: str
    label: str


class Pair(NamedTuple):
    """Two texts that mean the same or do not."""

    a: str
    b: str
    same: bool


def read(path: Path) -> tuple[list[Text], list[Pair]]:
    """The texts or the pairs of a file; one of the lists is empty.

    Raises:
        ValueError: a record is neither, or not as the others; it is named by its number.
        OSError: the file cannot be read.
    """
    found = parsed(path, text_or_pair)
    texts = [record for record in found if isinstance(record, Text)]
    pairs = [record for record in found if isinstance(record, Pair)]
    if texts and pairs:
        raise ValueError(f"{path}: holds {len(texts):,} texts and {len(pairs):,} pairs, expected one of them")
    return texts, pairs


def text_or_pair(record: Any) -> Text | Pair:
    if not isinstance(record, Mapping):
        raise ValueError(f"{WANTED}, got {type(record).__name__}")
    if None in record:  # as csv.DictReader says it
        raise ValueError("more fields than the header names: a tab in a text?")
    name = label(record)
    if name is None:
        raise ValueError(f"{WANTED}, got no label")
    if any(field in record for field in PROMPT_FIELDS):
        return Text(string(record, PROMPT_FIELDS), name)
    if name.lower() not in SAME:
        raise ValueError(f"label: expected 1 (the pair means the same) or 0, got {name!r}; or {WANTED}")
    return Pair(string(record, ("a",)), string(record, ("b",)), SAME[name.lower()])
