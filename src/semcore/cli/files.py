"""`semcore stats PATH` and `semcore verify PATH`: what a cache file holds, and whether it is sound.

Both work beside those that use the file. `stats` only reads; `verify`, alone, recovers what needs it first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semcore import _engine
from semcore.cli.console import console, table
from semcore.cli.progress import opened
from semcore.cli.report import size
from semcore.dump import open_any
from semcore.errors import SemcoreError
from semcore.hit import Stats


def add_parsers(commands: Any) -> None:
    stats = commands.add_parser("stats", help="what a cache file holds and what it spared")
    stats.add_argument("path", type=Path, metavar="PATH")
    stats.add_argument("--json", action="store_true", help="print as JSON")
    stats.add_argument("--watch", action="store_true", help="again every second, until interrupted")
    stats.set_defaults(run=run_stats)
    verify = commands.add_parser("verify", help="check every entry and every index of a cache file")
    verify.add_argument("path", type=Path, metavar="PATH")
    verify.add_argument("--repair", action="store_true", help="drop what is damaged, make the indexes anew")
    verify.set_defaults(run=run_verify)


def run_stats(args: argparse.Namespace) -> int:
    engine = open_any(args.path, read_only=True)
    fingerprint = _engine.describe(engine)["fingerprint"]
    try:
        with screen(args, fingerprint) as show:
            show(Stats.of(engine._stats(), 0))
            while args.watch:
                time.sleep(1)
                show(Stats.of(engine._stats(), 0))
    finally:
        engine.close()
    return 0


@contextmanager
def screen(args: argparse.Namespace, fingerprint: str) -> Iterator[Callable[[Stats], None]]:
    """How stats are shown: as a line of JSON, as a table in place, or as one table after the other."""
    out = console()
    if args.json:
        indent = None if args.watch else 2
        yield lambda s: print(json.dumps(asdict(s) | {"embedder": fingerprint}, indent=indent), flush=True)
    elif args.watch and out.is_terminal:
        from rich.live import Live

        with Live(console=out) as live:
            yield lambda s: live.update(shown(args.path, s, fingerprint))
    else:
        yield lambda s: out.print(shown(args.path, s, fingerprint))


def run_verify(args: argparse.Namespace) -> int:
    """Exit status 1 when something is wrong.

    Raises:
        SemcoreError: the file cannot be written, so not locked, and writers were at work all the time.
    """
    try:
        engine = opened(args.path)
    except PermissionError:
        if args.repair:
            raise
        engine = open_any(args.path, read_only=True)
    try:
        if args.repair:
            engine.repair()
        why = engine.validate()
        entries, damaged = engine._stats()["entries"], engine._stats()["damaged"]
    finally:
        engine.close()
    if why == _engine.AT_WORK:
        raise SemcoreError(f"{args.path}: {why}")
    if why is not None:
        print(
            f"{args.path}: {why}; `semcore verify --repair` drops what is damaged and makes the indexes anew"
        )
        return 1
    print(f"{args.path}: sound, {entries:,} entries ({damaged:,} damaged ones dropped since it was made)")
    return 0


def shown(path: Path, s: Stats, fingerprint: str) -> Any:
    return table(("", ""), rows(s, fingerprint), title=str(path), left=2)


def rows(s: Stats, fingerprint: str) -> list[tuple[str, str]]:
    layers = f"{s.hits_exact:,} exact, {s.hits_semantic:,} semantic, {s.hits_prefix:,} prefix"
    return [
        ("entries", f"{s.entries:,} of {s.max_entries:,}"),
        ("bytes used", f"{size(s.bytes_used)} of {size(s.bytes)}"),
        ("embedder", fingerprint),
        ("hits", f"{s.hits:,} ({layers})"),
        ("misses", f"{s.misses:,} (hit ratio {s.hit_ratio:.1%})"),
        ("puts", f"{s.puts:,}"),
        ("gone", f"{s.evictions:,} evicted, {s.expirations:,} expired, {s.deletions:,} deleted"),
        ("damaged", f"{s.damaged:,} entries dropped, {s.recoveries:,} recoveries"),
        ("deflected", f"{s.tokens:,} tokens, cost {s.cost:,.4f}, {s.latency_ms / 1e3:,.1f} s of waiting"),
    ]
