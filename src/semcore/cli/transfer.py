"""`semcore export`, `import`, `compact` and `reembed`: a cache into another file, geometry or embedding."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from semcore import _args, _engine, dump
from semcore.cli.options import EMBEDDERS, embedder_of
from semcore.cli.progress import bar, opened
from semcore.cli.report import size
from semcore.errors import ConfigError, RegionError
from semcore.reembed import reembed

HOLDINGS = "what replicas hold is left out: tell it again"


def add_parsers(commands: Any) -> None:
    export = commands.add_parser("export", help="write a cache file's entries as a msgpack stream")
    export.add_argument("path", type=Path, metavar="PATH")
    export.add_argument("file", metavar="FILE", help="- for standard output")
    export.set_defaults(run=run_export)
    make = commands.add_parser("import", help="make a cache file of an export")
    make.add_argument("path", type=Path, metavar="PATH", help="must not exist")
    make.add_argument("file", metavar="FILE", help="- for standard input")
    add_shape(make)
    make.set_defaults(run=run_import)
    compact = commands.add_parser(
        "compact", help="make a cache file anew: in another size, or as small as its entries allow"
    )
    compact.add_argument("path", type=Path, metavar="PATH")
    add_shape(compact)
    compact.set_defaults(run=run_compact)
    again = commands.add_parser("reembed", help="give the entries of a cache file another embedder's vectors")
    again.add_argument("path", type=Path, metavar="PATH")
    again.add_argument("--embedder", default="default", help=f"{EMBEDDERS} (default: default)")
    again.add_argument(
        "--keep-going", action="store_true", help="texts that the embedder fails on become exact-only"
    )
    again.add_argument(
        "--drop-unknown", action="store_true", help="entries whose text is not stored become exact-only"
    )
    again.set_defaults(run=run_reembed)


def add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-entries", type=int, metavar="N")
    parser.add_argument("--max-bytes", metavar="SIZE", help='like "64 MiB"')
    parser.add_argument("--storage", choices=tuple(dump.DTYPES), help="of the vectors")


def shape_of(args: argparse.Namespace) -> dump.Shape:
    size = None if args.max_bytes is None else _args.parse_bytes(args.max_bytes)
    return dump.Shape(_args.check_entries(args.max_entries) or None, size, args.storage)


@contextmanager
def sink(name: str) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all, mode 0600; or a pipe or device, or standard output.

    Raises:
        ConfigError: it is a cache file, or a terminal.
    """
    if name == "-":
        if sys.stdout.isatty():
            raise ConfigError("FILE: an export is bytes, which a terminal cannot show; pipe them on")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name).resolve()
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    if path.exists() and dump.is_cache(path):
        raise ConfigError(f"FILE: {path} is a cache; an export replaces none")
    temporary = dump.fresh_beside(path)
    try:
        with dump.naming(path, temporary), open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def run_export(args: argparse.Namespace) -> int:
    with suppress(PermissionError):  # then it must be sound
        opened(args.path).close()  # recovers what needs it, visibly
    with sink(args.file) as file, bar("exporting") as progress:
        n = dump.export(args.path, file, progress)
    print(
        f"{args.path}: {n:,} entries exported; they and the hash secret are in it: keep it safe",
        file=sys.stderr,
    )
    if _engine.peek(args.path)["prefix"][0]:
        print(f"its prefix index is in it, with values and pins; {HOLDINGS}", file=sys.stderr)
    return 0


def run_import(args: argparse.Namespace) -> int:
    with bar("importing") as progress:
        moved = import_from(args, progress)
    say(args.path, moved)
    return 0


def import_from(args: argparse.Namespace, progress: dump.Progress) -> dump.Moved:
    if args.file == "-":
        return dump.import_new(args.path, sys.stdin.buffer, shape_of(args), progress)
    with open(args.file, "rb") as file:
        try:
            return dump.import_new(args.path, file, shape_of(args), progress)
        except RegionError as error:
            raise RegionError(f"{args.file}: {error}") from error


def run_compact(args: argparse.Namespace) -> int:
    before = args.path.stat().st_size
    opened(args.path).close()
    with bar("compacting") as progress:
        moved = dump.compact(args.path, shape_of(args), progress)
    say(args.path, moved)
    say_sizes(before, args.path)
    return 0


def run_reembed(args: argparse.Namespace) -> int:
    before, made = args.path.stat().st_size, _engine.peek(args.path)
    embedder = embedder_of("--embedder", args.embedder)
    if (made["fingerprint"], made["dim"]) == (embedder.fingerprint, embedder.dim):
        print(f"{args.path}: its vectors are {embedder.fingerprint}'s already")
        return 0
    opened(args.path).close()
    with bar("embedding") as progress:
        done = reembed(args.path, embedder, args.keep_going, args.drop_unknown, progress)
    say(args.path, done.moved)
    print(f"{done.vectors:,} texts embedded: {made['fingerprint']} before, {embedder.fingerprint} now")
    if done.without or done.failed or done.dropped:
        print(
            f"exact-only from now on: {done.without:,} for which the embedder has no vector, "
            f"{done.failed:,} on which it failed, {done.dropped:,} whose text is unknown"
        )
    say_sizes(before, args.path)
    return 0


def say_sizes(before: int, path: Path) -> None:
    print(f"{size(before)} before, {size(path.stat().st_size)} now")


def say(path: Path, moved: dump.Moved) -> None:
    print(
        f"{path}: {moved.kept:,} entries kept, {moved.left_out:,} left out for want of room, "
        f"{moved.expired:,} expired"
    )
    if _engine.peek(path)["prefix"][0]:
        print(
            f"{moved.prefix_blocks:,} blocks of prefixes kept, with values and pins; "
            f"{moved.runs_left_out:,} runs left out; {HOLDINGS}"
        )
