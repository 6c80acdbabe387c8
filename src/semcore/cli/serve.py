"""`semcore serve`: the gateway. Its settings are semcore.gateway.settings'."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from typing import Any

import semcore
from semcore.cli import Terminated
from semcore.cli.options import embedder_of
from semcore.gateway.config import Serving, Settings, Upstream
from semcore.gateway.settings import add_flags, load

VERSION = "v1"


def add_parser(commands: Any) -> None:
    p = commands.add_parser(
        "serve",
        help="the gateway: answers what was asked before, and passes on the rest",
        description="Settings may also stand in the TOML file of --config (max_bytes = '64 MiB') and in the"
        " environment (SEMCORE_GATEWAY_MAX_BYTES). Flags win over the environment, it wins over the file.",
    )
    add_flags(p)
    p.set_defaults(run=run)


@dataclass(frozen=True)
class Opening:
    """Opens the cache, in any process."""

    serving: Serving
    threshold: float
    store_text: bool

    def __call__(self) -> semcore.Cache:
        s = self.serving
        embed = None if s.embed == "none" else embedder_of("embed", s.embed)
        return semcore.Cache(
            s.cache, embed=embed, max_bytes=s.max_bytes, max_entries=s.max_entries, threshold=self.threshold,
            store_text=self.store_text,
        )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    loaded = load(vars(args), os.environ)
    settings, serving = loaded.settings, loaded.serving
    try:
        from semcore.gateway import serve
    except ImportError as error:
        raise semcore.ConfigError(
            f"serve needs an extra: pip install 'semcore[gateway]' ({error})"
        ) from error
    opening = Opening(serving, settings.threshold, serving.store_text or settings.show_texts)
    opening().close()  # what is wrong with it is said once, here
    if not serve.is_local(serving.host):
        print(f"semcore serve: {serving.host} is more than this machine, and there is no TLS: credentials and"
              " prompts need a proxy with TLS before it", file=sys.stderr)  # fmt: skip
    try:
        served = serve.serve(
            settings, serving, opening, lambda address: print(ready(address, settings), flush=True)
        )
    except Terminated:
        return 0  # all that was under way is answered
    return 0 if served else 1


def ready(address: str, settings: Settings) -> str:
    """What clients set."""
    first, *others = settings.upstreams.values()
    line = f"ready: OPENAI_BASE_URL={address}{version_of(first)} ANTHROPIC_BASE_URL={address}"
    if others:
        line += "; other upstreams: " + " ".join(
            f"{address}/{other.name}{version_of(other)}" for other in others
        )
    return line


def version_of(upstream: Upstream) -> str:
    """What an OpenAI client's base URL ends with: the upstream's version; "" if it has another path."""
    path = upstream.url.rstrip("/").split("/")[3:]
    if not path:
        return "/" + VERSION
    return "/" + path[-1] if path[-1][:1] == "v" and path[-1][1:2].isdigit() else ""
