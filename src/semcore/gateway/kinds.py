"""What settings take: values as a file, the environment or a flag says them, read and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from semcore._args import parse_bytes
from semcore.gateway.config import Upstream

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = re.compile(r"v\d.*|metrics")  # what paths begin with that lead to no upstream of this name
SPEC = re.compile(rf"(?:({NAME.pattern})=)?(\S+)")
FIELDS = ("url", "fallback", "key_env")
BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Kind(NamedTuple):
    """A kind of value. metavar: what a flag's help calls it, "" of one that is said or not.

    read: makes it of a text, or of TOML's own kinds. Raises ValueError that says what was expected.
    """

    metavar: str
    read: Callable[[Any], Any]


def number(metavar: str, least: float, most: float, whole: bool = False) -> Kind:
    what = f"{'a whole number' if whole else 'a number'} from {least:g} to {most:g}"

    def read(value: Any) -> float:
        made = math.nan
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with suppress(ValueError):  # it stays nan, which is in no range
                made = int(value) if whole and not isinstance(value, float) else float(value)
        if not least <= made <= most or (whole and made != int(made)):
            raise ValueError(f"expected {what}, got {value!r}")
        return int(made) if whole else made

    return Kind(metavar, read)


def choice(*names: str) -> Kind:
    def read(value: Any) -> Any:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}, got {value!r}")
        return value

    return Kind("|".join(names), read)


def or_none(kind: Kind) -> Kind:
    """Also the text "none"."""

    def read(value: Any) -> Any:
        if value == "none":
            return None
        try:
            return kind.read(value)
        except ValueError as error:
            raise ValueError(f"{error} (or none)") from None

    return Kind(kind.metavar, read)


def size(value: Any) -> int:
    try:
        return parse_bytes(value)
    except ValueError:
        raise ValueError(f"expected bytes, or a size such as '1 MiB', got {value!r}") from None


def boolean(value: Any) -> bool:
    known = value if isinstance(value, bool) else BOOLEANS.get(str(value).lower())
    if known is None:
        raise ValueError(f"expected true or false, got {value!r}")
    return known


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def salt(value: Any) -> bytes:
    """A key for hashes; errors do not show it."""
    made = value.encode() if isinstance(value, str) else b""
    if not 0 < len(made) <= 64:
        raise ValueError("expected a text of 1 to 64 bytes")
    return made


def token(value: Any) -> str:
    """A secret that goes in a header; errors do not show it."""
    if not isinstance(value, str) or len(value) < 16 or not value.isascii() or not value.isprintable():
        raise ValueError("expected a text of 16 or more printable ASCII characters")
    return value


# ---- upstreams ----


def upstreams(value: Any) -> dict[str, Upstream]:
    """Of tables by name, or of texts `[NAME=]URL [fallback=NAME,...] [key_env=VARIABLE]`: a list of them,
    or one text in which semicolons part them."""
    if isinstance(value, dict):
        made = [of_table(name, table) for name, table in value.items()]
    elif isinstance(value, (str, list)):
        parts = value.split(";") if isinstance(value, str) else value
        made = [of_text(part) for part in parts if not isinstance(part, str) or part.strip()]
    else:
        raise ValueError(f"expected a table of upstreams by name, or a list of URLs, got {value!r}")
    named = {upstream.name: upstream for upstream in made}
    if len(named) < len(made):
        raise ValueError("expected each upstream to have a name of its own: NAME=URL")
    for upstream in made:
        for other in upstream.fallback:
            if other not in named or other == upstream.name:
                raise ValueError(
                    f"{upstream.name}: expected another upstream's name as fallback, got {other!r}"
                )
            if not named[other].key_env and host_of(named[other]) != host_of(upstream):
                raise ValueError(
                    f"{other}: expected key_env, since it is the fallback of {upstream.name} on another "
                    "host, which is not to see the clients' credentials"
                )
    return named


def host_of(upstream: Upstream) -> tuple[str, str | None]:
    """Who gets what is sent there, and whether it is seen on the way."""
    parts = urlsplit(upstream.url)
    return parts.scheme, parts.hostname


def of_table(name: str, table: Any) -> Upstream:
    if not isinstance(table, dict) or "url" not in table:
        raise ValueError(f"{name}: expected a table with url")
    if unknown := table.keys() - set(FIELDS):
        raise ValueError(f"{name}: expected {', '.join(FIELDS)}, got {min(unknown)!r}")
    fallback = table.get("fallback", [])
    if not isinstance(fallback, list):
        raise ValueError(f"{name}: expected a list of names as fallback, got {fallback!r}")
    return checked(name, table["url"], fallback, table.get("key_env", ""))


def of_text(spec: Any) -> Upstream:
    head, *rest = str(spec).split()
    found = SPEC.fullmatch(head)
    pairs = dict(word.partition("=")[::2] for word in rest)
    if found is None or pairs.keys() - set(FIELDS[1:]):
        raise ValueError(f"expected [NAME=]URL [fallback=NAME,...] [key_env=VARIABLE], got {spec!r}")
    fallback = [name for name in pairs.get("fallback", "").split(",") if name]
    return checked(found[1] or "default", found[2], fallback, pairs.get("key_env", ""))


def checked(name: str, url: Any, fallback: Sequence[Any], key_env: Any) -> Upstream:
    if not NAME.fullmatch(name) or RESERVED.fullmatch(name):
        raise ValueError(f"expected a name of letters, digits, '.', '_', '-', and no version, got {name!r}")
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{name}: expected a URL http(s)://HOST[:PORT][/PATH], got {url!r}")
    if parts.username is not None:
        raise ValueError(f"{name}: expected a URL without a user; name the variable of a key with key_env")
    if not isinstance(key_env, str):
        raise ValueError(f"{name}: expected the name of an environment variable as key_env, got {key_env!r}")
    return Upstream(name, url, tuple(fallback), key_env)
