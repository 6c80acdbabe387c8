"""Templates of sentences, one seeded draw at a time.

    (a|b c|)        one of the alternatives, which may be empty
    [a|b]           the same, or nothing
    {name}          a word of that list
    <name>          another template

Alternatives nest. A draw takes time in the size of its text, not of the language, so a template may describe
millions of sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

_PIECE = re.compile(r"[(\[{<]")
_CLOSES = {"(": ")", "[": "]", "{": "}", "<": ">"}


class Expander:
    """Draws from templates over word lists and named rules.

    Args:
        lists: the words of each {name}.
        rules: the template of each <name>.
    """

    def __init__(self, lists: Mapping[str, Sequence[str]], rules: Mapping[str, str] | None = None) -> None:
        self.lists = lists
        self.rules = rules or {}
        self.missing: set[str] = set()

    def draw(self, template: str, random: Random) -> str:
        """One sentence; runs of blanks are one blank."""
        return " ".join(self._draw(template, random).split())

    def _draw(self, template: str, random: Random) -> str:
        out: list[str] = []
        position = 0
        while found := _PIECE.search(template, position):
            out.append(template[position : found.start()])
            end = closing(template, found.start())
            out.append(self._piece(template[found.start()], template[found.start() + 1 : end], random))
            position = end + 1
        out.append(template[position:])
        return "".join(out)

    def _piece(self, kind: str, body: str, random: Random) -> str:
        if kind == "{":
            return self._word(body, random)
        if kind == "<":
            return self._draw(self.rules[body], random)
        if kind == "[" and random.random() < 0.5:
            return ""
        return self._draw(random.choice(alternatives(body)), random)

    def _word(self, name: str, random: Random) -> str:
        words = self.lists.get(name)
        if not words:
            self.missing.add(name)
            return name.replace("_", " ")
        return random.choice(words)


def closing(template: str, start: int) -> int:
    """Where the bracket opened at start closes."""
    opened, closes = template[start], _CLOSES[template[start]]
    depth = 0
    for position in range(start, len(template)):
        depth += (template[position] == opened) - (template[position] == closes)
        if depth == 0:
            return position
    raise ValueError(f"no {closes} for column {start} of: {template}")


def alternatives(body: str) -> list[str]:
    """The parts between the bars of this level."""
    parts, depth, begun = [], 0, 0
    for position, letter in enumerate(body):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "|" and depth == 0:
            parts.append(body[begun:position])
            begun = position + 1
    parts.append(body[begun:])
    return parts
