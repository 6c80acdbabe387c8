"""Readers of WordNet 3.0's database files (Debian: wordnet-base), under its own permissive licence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

POS = ("noun", "verb", "adj", "adv")
_QUOTED = re.compile(r'"([^"]+)"')


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if not line.startswith("  "):
                yield line


def words(folder: Path, pos: str, *, tagged: bool = True) -> list[str]:
    """Lemmas of a part of speech, of those alone that WordNet saw in running text where `tagged`."""
    out = []
    for line in _lines(folder / f"index.{pos}"):
        fields = line.split()
        seen = int(fields[5 + int(fields[3])])
        if (seen or not tagged) and fields[0].replace("_", "").isalpha():
            out.append(fields[0].replace("_", " "))
    return out


def _synsets(folder: Path) -> Iterator[tuple[list[str], str]]:
    """The lemmas of every synset, and its gloss."""
    for pos in POS:
        for line in _lines(folder / f"data.{pos}"):
            head, _, gloss = line.partition("|")
            fields = head.split()
            count = int(fields[3], 16)
            lemmas = [fields[4 + 2 * number].split("(")[0].replace("_", " ") for number in range(count)]
            yield lemmas, gloss.strip()


def definitions(folder: Path) -> Iterator[tuple[list[str], str]]:
    """Each synset's lemmas and the first clause of its definition."""
    for lemmas, gloss in _synsets(folder):
        text = gloss.split('"')[0].strip(" ;")
        if text:
            yield lemmas, text.split(";")[0]


def examples(folder: Path) -> Iterator[str]:
    """Every quoted sentence or phrase."""
    for _, gloss in _synsets(folder):
        for quoted in _QUOTED.findall(gloss):
            yield quoted.strip()
