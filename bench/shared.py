"""A semcore file that several processes share: python bench/shared.py [--out bench/results/shared.md]

Three parts: exact hits beside the other stores that processes of one machine can share, lookups a
second of one and of two readers beside a writer, and memory of one and of four processes.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import data
import exact
import filled
import footprint
import report
import scaling
from versus import cell, say, start_again

PARTS = ("exact", "scaling", "memory")
PACKAGES = "semcore diskcache redis hiredis numpy"
EXACT_NOTES = """\
- microseconds a hit (ratio to a semcore file): medians over rounds, shuffled keys that are the same for
  all, one pinned core; the loop and the answer as a `str` are in it. Every answer was compared before.
- semcore is exact-only unless d is given, where every entry has a vector too.
- SQLite: stdlib sqlite3, WAL, synchronous off, everything mapped and 64 MiB of page cache, 16 KiB pages,
  a table without rowids, one prepared statement, autocommit.
- diskcache: `Cache()` as it comes; tuned: no eviction policy, 1 GiB mapped, 64 MiB of page cache.
- Redis: redis-py, one connection without a pool, answers decoded; the server keeps nothing on disk and may
  use the other cores."""
SCALING_NOTES = """\
- lookups a second, medians over rounds in which all settings take turns; 2 : 1 is the median of the
  rounds' ratios. Every reader has a core of its own; the writer has none and shares theirs.
- of the machine's: the ratio of the shared file beside that of private caches, which share nothing: two
  cores may be one core's hyperthreads, and the writer takes its part of both.
- missed: lookups of entries that are there and were not found because of a race."""
MEMORY_NOTES = """\
- proportional set size, MiB, when every process has opened the file, looked up every entry and
  searched 20 times by meaning; f16 vectors.
- forked: from a parent that had imported semcore and opened nothing; its own share of the pages it has in
  common with them is in "workers and parent" only. spawned: interpreters of their own."""


def exact_part(sizes: list[int], rounds: int, folder: Path, only: list[str]) -> str:
    times = [exact.measure(n, rounds, folder, only) for n in sizes]
    rows = [[name, *(cell(t[name], t[exact.OURS]) for t in times)] for name in times[0]]
    table = report.table(["store", *(f"{n:,} entries" for n in sizes)], rows)
    return f"## Exact hit\n\n{table}\n\n{EXACT_NOTES}\n- {rounds} rounds"


def scaling_part(plans: list[scaling.Plan], folder: Path) -> str:
    head = ["lookups", "1 reader", "2 readers", "2 : 1", "of the machine's", "puts a second", "missed"]
    rows = []
    for plan in plans:
        found = scaling.measure(plan, folder)
        ceiling = found[scaling.CEILING].ratio()
        rows += [_scaling_row(plan, name, kept, ceiling) for name, kept in found.items()]
    notes = f"{SCALING_NOTES}\n- {plans[0].rounds} rounds of {plans[0].seconds:g} s"
    notes += f"; the writer is asked for {plans[0].rate:g} puts a second; d = 384"
    notes += f"\n- hardware threads of the readers' cores: {scaling.siblings()}"
    return f"## One reader and two\n\n{report.table(head, rows)}\n\n{notes}"


def _scaling_row(plan: scaling.Plan, name: str, kept: scaling.Samples, ceiling: float) -> list[str]:
    return [
        f"{plan.kind}, {plan.n:,} entries, {name}",
        f"{statistics.median(kept.one):,.0f}",
        f"{statistics.median(kept.two):,.0f}",
        f"{kept.ratio():.2f}",
        f"{kept.ratio() / ceiling:.2f}",
        f"{statistics.median(kept.puts):,.0f}",
        f"{kept.missed:,}",
    ]


def memory_part(n: int, parent: Path) -> str:
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-memory-", dir=parent) as folder:
        path = Path(folder, "shared.semcore")
        w = data.make(n, d=footprint.DIM, queries=4)
        filled.build(path, w, w.d).close()
        del w
        for method, name in {"fork": "forked", "spawn": "spawned"}.items():
            say(f"memory at {n}: {name} workers")
            found = footprint.measure(path, n, method)
            one, all = found["1"], found[str(footprint.COUNT)]
            rows += [
                _memory_row(f"{name}: workers", one.workers, all.workers),
                _memory_row(f"{name}: workers and parent", one.with_parent, all.with_parent),
                _memory_row(f"{name}: the file's mapping alone", one.mapping, all.mapping),
            ]
    table = report.table(["PSS", "1 process", f"{footprint.COUNT} processes", "ratio"], rows)
    return f"## Memory, one file of {n:,} entries, d = {footprint.DIM}\n\n{table}\n\n{MEMORY_NOTES}"


def _memory_row(name: str, one: int, all: int) -> list[str]:
    return [name, f"{one / 2**20:,.1f}", f"{all / 2**20:,.1f}", f"{all / one:.3f}"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a semcore file shared by processes")
    parser.add_argument("--parts", default=",".join(PARTS), help="any of: " + ", ".join(PARTS))
    parser.add_argument("--sizes", default="10000,100000", help="entries of the exact part, comma-separated")
    parser.add_argument("--rounds", type=int, default=41, help="of the exact part")
    parser.add_argument("--only", default="", help="stores of the exact part, semicolons between; all")
    parser.add_argument("--scaling-entries", type=int, default=100_000, help="for exact lookups")
    parser.add_argument("--semantic-entries", type=int, default=10_000, help="for lookups by meaning")
    parser.add_argument("--scaling-rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a round of the scaling part")
    parser.add_argument("--writes-per-second", type=float, default=1000)
    parser.add_argument("--memory-entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=tempfile.gettempdir(), help="where files are made")
    parser.add_argument("--out", type=Path, help="also write the report to this file")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.parts = args.parts.split(",")
    args.only = [name for name in args.only.split(";") if name]
    if unknown := sorted(set(args.parts) - set(PARTS)):
        parser.error(f"unknown parts: {', '.join(unknown)}")
    return args


def main() -> None:
    """Run the parts, print the report."""
    args = _arguments()
    start_again()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server and workers are ended too
    before, parts = report.load(), []
    if "exact" in args.parts:
        parts.append(exact_part(args.sizes, args.rounds, args.folder, args.only))
    if "scaling" in args.parts:
        common = (args.scaling_rounds, args.seconds, args.writes_per_second)
        plans = [
            scaling.Plan("exact", args.scaling_entries, *common),
            scaling.Plan("semantic", args.semantic_entries, *common),
        ]
        parts.append(scaling_part(plans, args.folder))
    if "memory" in args.parts:
        parts.append(memory_part(args.memory_entries, args.folder))
    parts.append(report.conditions(PACKAGES, before, args.folder))
    report.write(parts, args.out)


if __name__ == "__main__":
    main()
