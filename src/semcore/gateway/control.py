"""What a request says about caching: `Cache-Control` (RFC 9111), `x-semcore-*`, Cloudflare's `cf-aig-*`."""

from __future__ import annotations

import math
from typing import NamedTuple

from semcore.gateway.message import Headers


class Invalid(ValueError):
    """A header says something that is not understood; names it and what was expected."""


class Control(NamedTuple):
    """A request's wishes. Times in seconds; None: not said."""

    look: bool = True  # False: no-cache
    store: bool = True  # False: no-store
    only_if_cached: bool = False
    max_age: float | None = None
    max_stale: float = 0.0
    namespace: bytes = b""
    key: str = ""  # of the caller's own: what is asked with it is the same
    ttl: float | None = None
    threshold: float | None = None
    tags: tuple[bytes, ...] = ()  # as the header has them
    mode: str = ""
    cloudflare: bool = False  # its headers are spoken

    def allows(self, age: float, fresh: float) -> bool:
        """May an answer of this age be given? fresh: seconds after which it is stale, 0 for never."""
        overdue = age - fresh if fresh else 0.0
        return overdue <= self.max_stale and (self.max_age is None or age <= self.max_age + self.max_stale)

    def bears(self, age: float, fresh: float, window: float) -> bool:
        """May one that is at most so many seconds overdue stand in? A client's own max-age is kept."""
        return self.max_age is None and age - fresh <= window

    def least(self, threshold: float) -> float:
        """The similarity that a paraphrase needs, by the cache's threshold: requests may only raise it."""
        return threshold if self.threshold is None else max(threshold, self.threshold)


DEFAULT = Control()
MOST_TAGS = 64  # of an entry
MODES = ("coalesced", "faithful", "paced")


def control_of(headers: Headers) -> Control:
    """Raises Invalid."""
    said: dict[str, object] = {}
    for name, value in headers:
        if name == b"cache-control":
            said.update(cache_control(value.decode("latin-1")))
        elif name.startswith((b"x-semcore-", b"cf-aig-")):
            said.update(own(name.decode("latin-1"), value.decode("latin-1").strip()))
            said["cloudflare"] = said.get("cloudflare", False) or name.startswith(b"cf-aig-")
    return Control(**said) if said else DEFAULT  # type: ignore[arg-type]


def cache_control(text: str) -> dict[str, object]:
    """Of the directives that a request may have. Those that are not known say nothing (RFC 9111, 5.2.3)."""
    said: dict[str, object] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        value = value.strip('" ')
        match name.strip().lower():
            case "no-store":
                said["store"] = said["look"] = False
            case "no-cache":
                said["look"] = False
            case "only-if-cached":
                said["only_if_cached"] = True
            case "max-age" if value.isdecimal():
                said["max_age"] = float(value)
            case "max-stale":
                said["max_stale"] = float(value) if value.isdecimal() else math.inf
    return said


def own(name: str, value: str) -> dict[str, object]:
    """Of our headers and Cloudflare's."""
    match name:
        case "x-semcore-namespace":
            return {"namespace": value.encode("latin-1")}
        case "x-semcore-ttl" | "cf-aig-cache-ttl":
            return {"ttl": number(name, value, 1, 1e9)}
        case "x-semcore-threshold":
            return {"threshold": number(name, value, -1, 1)}
        case "x-semcore-tags":
            tags = tuple(tag.strip().encode("latin-1") for tag in value.split(",") if tag.strip())
            if len(tags) > MOST_TAGS:
                raise Invalid(f"{name}: expected at most {MOST_TAGS} names")
            return {"tags": tags}
        case "x-semcore-mode":
            if value not in MODES:
                raise Invalid(f"{name}: expected one of {', '.join(MODES)}")
            return {"mode": value}
        case "cf-aig-skip-cache":
            return {"look": False, "store": False} if value.lower() == "true" else {}
        case "cf-aig-cache-key" | "x-semcore-key":
            return {"key": value}
    return {}


def number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise Invalid(f"{name}: expected a number from {least:g} to {most:g}")
    return value
