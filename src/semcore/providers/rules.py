"""The providers' caching rules: dated data files in `rules/`, chosen by provider, model and day.

They change every few months, so they are data, never code: each entry has the day from which it holds and,
in words, where it is from. Prices are multiples of the model's base input price.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from semcore.errors import ConfigError

PROVIDERS = ("openai", "anthropic", "gemini", "bedrock")
KINDS = ("grid", "breakpoints")


class Life(NamedTuple):
    """How long an entry lives after its last use, in seconds, and the price of writing it (x base price)."""

    seconds: float
    write: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What one provider does for some models from some day on. Change a field with `dataclasses.replace`.

    Args:
        provider: whose.
        name: in a few words.
        effective: the first day on which it holds.
        models: patterns (`*`) of the models it is for.
        source: where it is from, in words.
        kind: "grid": a hit ends at any multiple of `step` tokens inside the common prefix. "breakpoints":
            only where an earlier request had one.
        minimum: tokens below which nothing is cached.
        read: price of a cached token (x base input price).
        lives: by name as requests say it; the first is the default.
        step: tokens, of a grid.
        lookback: blocks from a breakpoint, itself included, in which an entry is looked for; 0: no limit.
        latest: breakpoints of the conversation that are considered; 0: all.
        most: breakpoints that a request may have.
        implicit: the last block is a breakpoint without being asked for.
    """

    provider: str
    name: str
    effective: date
    models: tuple[str, ...]
    source: str
    kind: str
    minimum: int
    read: float
    lives: Mapping[str, Life]
    step: int = 1
    lookback: int = 0
    latest: int = 0
    most: int = 4
    implicit: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.lives:
            raise ConfigError("lives: expected one at least, such as {'5m': Life(300, 1.25)}")
        for name in ("minimum", "step", "lookback", "latest", "most"):
            value, least = getattr(self, name), 1 if name in ("step", "most") else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name}: expected a whole number from {least}, got {value!r}")
        for name, number in [("read", self.read), *((n, x) for n, life in self.lives.items() for x in life)]:
            if math.isnan(number) or number < 0:
                raise ConfigError(f"{name}: expected a number from 0, got {number!r}")

    @property
    def default(self) -> str:
        """Name of the time to live when a request names none."""
        return next(iter(self.lives))

    def life(self, ttl: str | None) -> Life:
        """The time to live of a name; None and "": the default.

        Raises:
            ValueError: there is none of that name.
        """
        found = self.lives.get(ttl or self.default)
        if found is None:
            raise ValueError(f"ttl: expected one of {', '.join(self.lives)}, got {ttl!r}")
        return found


def rules_for(provider: str, model: str, on: date | str | None = None) -> Rules:
    """The rules of a model on a day.

    Args:
        provider: openai, anthropic, gemini or bedrock.
        model: as requests name it; a path before it ("openai/", "models/") is taken off.
        on: a day, or its ISO form; None: the newest rules there are.

    Returns:
        The entry with the longest fitting pattern, and of those the latest that is effective.

    Raises:
        ConfigError: there is no such provider, no rule for the model, or none yet on that day.
        TypeError, ValueError: `model` is no text, `on` no day.
    """
    if provider not in PROVIDERS:
        raise ConfigError(f"provider: expected one of {', '.join(PROVIDERS)}, got {provider!r}")
    if not isinstance(model, str) or not model:
        raise TypeError(f"model: expected a model's name, got {model!r}")
    day = day_of(on)
    name = model.lower().rsplit("/", 1)[-1]
    name = name.replace(".", "-") if provider == "anthropic" else name
    fitting = [(fit(rule, name), rule) for rule in known(provider)]
    fitting = [(length, rule) for length, rule in fitting if length]
    if not fitting:
        patterns = ", ".join(sorted({p for rule in known(provider) for p in rule.models}))
        raise ConfigError(f"model: no rules of {provider} for {model!r}; there are some for {patterns}")
    current = [(length, rule) for length, rule in fitting if day is None or rule.effective <= day]
    if not current:
        first = min(rule.effective for _, rule in fitting)
        raise ConfigError(f"on: the first rules of {provider} for {model!r} are of {first}, got {day}")
    return max(current, key=lambda pair: (pair[0], pair[1].effective))[1]


def day_of(on: date | str | None) -> date | None:
    if on is None or isinstance(on, date):
        return on
    if not isinstance(on, str):
        raise TypeError(f"on: expected a date or its ISO form, got {on!r}")
    try:
        return date.fromisoformat(on)
    except ValueError:
        raise ValueError(f"on: expected a date such as 2026-07-01, got {on!r}") from None


def fit(rule: Rules, model: str) -> int:
    """Length of the rule's longest pattern that fits; 0: none."""
    return max((len(p) for p in rule.models if fnmatchcase(model, p)), default=0)


@cache
def known(provider: str) -> tuple[Rules, ...]:
    """All rules of a provider, as its file has them."""
    text = files("semcore.providers").joinpath(f"rules/{provider}.toml").read_text(encoding="utf-8")
    return tuple(parsed(provider, entry) for entry in tomllib.loads(text)["rules"])


def parsed(provider: str, entry: dict[str, Any]) -> Rules:
    lives = {life["name"]: Life(life["seconds"], life["write"]) for life in entry["lives"]}
    return Rules(provider=provider, **entry | {"models": tuple(entry["models"]), "lives": lives})
