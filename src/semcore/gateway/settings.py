"""The gateway's settings from a TOML file, the environment and flags: one table says what there is.

Flags win over the environment, the environment over the file. To add a setting, add its field in config.py
and its line here.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

from semcore import ConfigError
from semcore.cli.options import EMBEDDERS
from semcore.gateway import kinds
from semcore.gateway.config import Serving, Settings
from semcore.gateway.kinds import Kind, choice, number, or_none
from semcore.wire.question import Terms

PREFIX = "SEMCORE_GATEWAY_"  # of variables

SECONDS = number("SECONDS", 0, 1e9)
SOME_SECONDS = number("SECONDS", 0.001, 1e9)
SIZE = Kind("SIZE", kinds.size)
YES = Kind("", kinds.boolean)
LEVELS = choice("debug", "info", "warning", "error", "critical")
UPSTREAM = "[NAME=]URL [fallback=NAME,...] [key_env=VARIABLE]"


class Option(NamedTuple):
    """A setting: in a file by its name, in the environment and as a flag by what is made of it.

    of: whose field it is. field: its name there, if another. flags: it is a list, and its flag,
    which has this name, is repeated.
    """

    name: str
    kind: Kind
    help: str
    of: type = Settings
    field: str = ""
    flags: str = ""

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        return self.flags or "--" + self.name.replace("_", "-")

    @property
    def target(self) -> tuple[type, str]:
        return self.of, self.field or self.name

    @property
    def default(self) -> str:
        """As text; "" where there is none."""
        holder, name = self.target
        if holder is Terms:
            value = Terms._field_defaults[name]
        else:
            value = next(each.default for each in fields(holder) if each.name == name)
        return "" if value in (MISSING, b"", "") else shown(value, self.kind)


def shown(value: Any, kind: Kind) -> str:
    if kind is SIZE and value is not None:
        return f"{value >> 20} MiB"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


OPTIONS = (
    Option("upstreams", Kind(UPSTREAM, kinds.upstreams),
           "the models' APIs; the first is asked where a path names none", flags="--upstream"),
    Option("host", Kind("ADDRESS", kinds.text), "where it listens", Serving),
    Option("port", number("PORT", 0, 65535, whole=True), "0: any that is free", Serving),
    Option("workers", number("N", 1, 256, whole=True), "processes; several need `cache`", Serving),
    Option("drain", number("SECONDS", 0, 86400, whole=True), "how long requests may go on at the end",
           Serving),
    Option("log_level", LEVELS, "what is logged, from this on, as text", Serving),
    Option("cache", or_none(Kind("PATH", kinds.text)), "the cache's file; none: memory of its own", Serving),
    Option("max_bytes", or_none(SIZE), "the cache's size; none: 1 GiB, or the file's own", Serving),
    Option("max_entries", or_none(number("N", 1, 1e9, whole=True)),
           "the most answers it takes; none: as fits max_bytes, or the file's own", Serving),
    Option("embed", Kind("EMBEDDER", kinds.text), f"none: exact hits only; {EMBEDDERS}", Serving),
    Option("store_text", YES, "keep questions' texts in the cache", Serving),
    Option("threshold", number("SIMILARITY", -1, 1), "least similarity of an answer to a paraphrase"),
    Option("ttl", or_none(SOME_SECONDS), "how long an answer is fresh; none: for ever"),
    Option("stale_while_revalidate", SECONDS, "how long a stale answer is given while a new one is fetched"),
    Option("stale_if_error", SECONDS, "how long a stale answer is given because there is none from upstream"),
    Option("temperature_max", or_none(number("T", 0, 2)), "above it nothing is cached; none: all is", Terms),
    Option("allow_stored", YES, "cache what the provider is to keep (`store: true`), too", Terms, "stored"),
    Option("shared", YES, "one cache for all credentials; else each has its own"),
    Option("salt", Kind("TEXT", kinds.salt), "keys the hashes of credentials; not as a flag"),
    Option("mode", choice("coalesced", "faithful", "paced"), "how a stream is given from the cache"),
    Option("pace", number("TOKENS", 0.1, 1e6), "a second, of a paced stream"),
    Option("largest_body", SIZE, "of a request that is cached; longer ones pass"),
    Option("most_body", SIZE, "of any request; longer ones are refused"),
    Option("largest_answer", SIZE, "that is stored"),
    Option("stream_usage", YES, "ask streams for their usage, and hide it from clients that did not ask"),
    Option("complete", YES, "read an answer to its end and store it when the client has gone"),
    Option("metrics", YES, "tell them at `/metrics`"),
    Option("admin_token", Kind("TEXT", kinds.token), "for the page's numbers and for purging; not as a flag"),
    Option("show_texts", YES, "on the page, of misses that nearly were hits; implies `store_text`"),
    Option("log_format", choice("text", "json"), "json: also a line for each request, without texts"),
    Option("retries", number("N", 0, 10, whole=True), "of a call that may be cached; others pass once"),
    Option("deadline", SOME_SECONDS, "of all tries together, until a response begins"),
    Option("breaker_failures", number("N", 0, 1e6, whole=True), "in a row that rest an upstream; 0: never"),
    Option("breaker_pause", SECONDS, "how long it rests"),
    Option("rate", number("N", 0, 1e6), "calls a second that a credential may send upstream; 0: any"),
    Option("burst", number("N", 1, 1e6), "calls that it may send at once"),
    Option("embed_timeout", SOME_SECONDS, "after which a lookup does without the text's meaning"),
    Option("connect_timeout", SOME_SECONDS, "of a connection to an upstream"),
    Option("read_timeout", SOME_SECONDS, "between two pieces of an upstream's response"),
)  # fmt: skip
BY_NAME = {option.name: option for option in OPTIONS}


@dataclass(frozen=True)
class Loaded:
    """What the three sources say together."""

    settings: Settings
    serving: Serving


def add_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each setting, and `--config`. What is not said is None."""
    parser.add_argument("--config", metavar="FILE", help=f"TOML with the same settings (or ${PREFIX}CONFIG)")
    for option in OPTIONS:
        how: dict[str, Any] = {"metavar": option.kind.metavar}
        if not option.kind.metavar:
            how = {"action": argparse.BooleanOptionalAction}
        elif option.flags:
            how["action"] = "append"
        default = f" (default: {option.default})" if option.default else ""
        text = (option.help + default).replace("%", "%%")
        parser.add_argument(option.flag, dest=option.name, help=text, default=None, **how)


def load(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Loaded:
    """The settings.

    Args:
        flags: by the settings' names, as `add_flags` leaves them; others are passed over.
        environ: variables `SEMCORE_GATEWAY_<NAME>`; others are passed over.

    Raises:
        ConfigError: names the setting, where it was said, and what was expected.
    """
    file = flags.get("config") or environ.get(PREFIX + "CONFIG")
    said: dict[str, Any] = {}
    for source in (of_file(file) if file else (), of_environ(environ), of_flags(flags)):
        for option, where, raw in source:
            try:
                said[option.name] = option.kind.read(raw)
            except ValueError as error:
                raise ConfigError(f"{where}: {error}") from None
    if not said.get("upstreams"):
        variable = BY_NAME["upstreams"].variable
        raise ConfigError(f"expected an upstream: --upstream URL, {variable} or [upstreams.NAME] in a file")
    check_keys(said["upstreams"], environ)
    return made(said)


Said = Iterator[tuple[Option, str, Any]]  # a setting, where it was said, and what


def of_file(path: str) -> Said:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    for name, raw in document.items():
        if name not in BY_NAME:
            close = get_close_matches(name, BY_NAME, 1)
            raise ConfigError(f"{path}: unknown setting {name}" + (f"; is it {close[0]}?" if close else ""))
        yield BY_NAME[name], f"{path}: {name}", raw


def of_environ(environ: Mapping[str, str]) -> Said:
    for option in OPTIONS:
        if (raw := environ.get(option.variable)) is not None:
            yield option, option.variable, raw


def of_flags(flags: Mapping[str, Any]) -> Said:
    for option in OPTIONS:
        if (raw := flags.get(option.name)) is not None:
            yield option, option.flag, raw


def check_keys(upstreams: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    for upstream in upstreams.values():
        if upstream.key_env and not environ.get(upstream.key_env):
            raise ConfigError(
                f"upstream {upstream.name}: key_env: the variable {upstream.key_env} is not set"
            )


def made(said: Mapping[str, Any]) -> Loaded:
    of: dict[type, dict[str, Any]] = {Settings: {}, Serving: {}, Terms: {}}
    for name, value in said.items():
        holder, field = BY_NAME[name].target
        of[holder][field] = value
    serving = Serving(**of[Serving])
    if serving.workers > 1 and serving.cache is None:
        raise ConfigError(f"workers: {serving.workers} of them need a cache file to share: --cache PATH")
    return Loaded(Settings(**of[Settings], terms=Terms(**of[Terms])), serving)
