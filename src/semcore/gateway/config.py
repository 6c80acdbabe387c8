"""The gateway's settings, and how it is served. Where they come from: settings.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from semcore.wire.question import Terms


class Upstream(NamedTuple):
    """A model's API.

    url: its base, with or without `/v1`. fallback: names of others that are asked when it fails.
    key_env: the environment variable that holds its key, if the clients' is not for it.
    """

    name: str
    url: str
    fallback: tuple[str, ...] = ()
    key_env: str = ""


@dataclass(frozen=True)
class Settings:
    """How a gateway behaves. Times in seconds, sizes in bytes.

    upstreams: by name; the first one is asked where a path names none.
    threshold: least similarity of an answer to a paraphrase; requests may raise it.
    ttl: how long an answer is fresh, None for ever. stale_while_revalidate, stale_if_error: how long
        afterwards it may still be given while a new one is fetched, or because there is none.
    shared: one cache for all credentials; else each has its own.
    salt: keys the hashes of credentials.
    mode: how a stream is given from the cache. pace: tokens a second when it is "paced".
    largest_body: of requests that are cached; longer ones pass. most_body: of any; the rest is refused.
    largest_answer: that is stored.
    stream_usage: make streams tell their usage, and leave it out for clients that did not ask.
    retries: how often a call is tried again that may be answered from the cache; others pass through once.
    deadline: of all tries together, until a response begins.
    breaker_failures: in a row after which an upstream is not asked for `breaker_pause` seconds; 0: never.
    rate: calls a second that each credential may send upstream, `burst` at once; 0: any.
    complete: read an answer to its end and store it when the client has gone.
    metrics: tell them at `/metrics`. admin_token: for the numbers at `/_semcore/stats` and for purging.
    local: the gateway listens on loopback only; then its numbers need no token.
    show_texts: of near misses on the page. log_format: "text", or "json" with a line for each request.
    together: a directory in which several workers count together.
    """

    upstreams: dict[str, Upstream]
    threshold: float = 0.90
    ttl: float | None = None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    shared: bool = False
    salt: bytes = b""
    mode: str = "coalesced"
    pace: float = 50.0
    largest_body: int = 1 << 20
    most_body: int = 32 << 20
    largest_answer: int = 4 << 20
    stream_usage: bool = True
    complete: bool = False
    metrics: bool = True
    admin_token: str = ""
    local: bool = False
    show_texts: bool = False
    log_format: str = "text"
    together: str | None = None
    retries: int = 1
    deadline: float = 600.0
    breaker_failures: int = 5
    breaker_pause: float = 10.0
    rate: float = 0.0
    burst: float = 10.0
    embed_timeout: float = 1.0
    connect_timeout: float = 5.0
    read_timeout: float = 600.0
    terms: Terms = field(default=Terms())


@dataclass(frozen=True)
class Serving:
    """How a gateway is served, and with which cache. Times in seconds, sizes in bytes.

    host, port: where it listens; port 0: any that is free.
    workers: processes; several share one cache file. drain: how long requests may go on at the end.
    log_level: what is logged, from this on.
    cache: its file, None for memory of its own. max_bytes, max_entries, embed: as for `semcore.Cache`;
        embed may also name a table's path or MODULE:CALLABLE.
    store_text: keep the questions' texts in the cache, not only what is made of them.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    drain: int = 30
    log_level: str = "warning"
    cache: str | None = None
    max_bytes: int | None = None
    max_entries: int | None = None
    embed: str = "default"
    store_text: bool = False
