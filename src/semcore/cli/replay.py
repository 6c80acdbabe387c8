"""`semcore replay FILE`: recorded prompts through a cache, as a gateway would; what it would have saved."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import semcore
from semcore.cli.console import console
from semcore.cli.options import EMBEDDERS, embedder_of, positive
from semcore.cli.progress import tracked
from semcore.cli.report import Layer, Report, SweepPoint, render
from semcore.cli.traffic import Request, read
from semcore.embed import Embedder
from semcore.embed.static import Static

SWEEP = [round(0.60 + 0.02 * i, 2) for i in range(21)]
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


class Timed:
    """An embedder that adds up the time it takes, and remembers its vectors for a sweep."""

    def __init__(self, embedder: Embedder | Static) -> None:
        self.dim, self.fingerprint = embedder.dim, embedder.fingerprint
        self._embedder = embedder
        self._known: dict[str, Any] = {}
        self.keep = False
        self.ns = 0

    def __call__(self, text: str) -> Any:
        if text in self._known:
            return self._known[text]
        start = time.perf_counter_ns()
        vector = self._embedder(text)
        self.ns += time.perf_counter_ns() - start
        if self.keep:
            self._known[text] = vector
        return vector


class Replay:
    """One pass of the traffic: look up, and on a miss store the recorded answer."""

    def __init__(self, cache: semcore.Cache, embedder: Timed | None) -> None:
        self.cache, self.embedder = cache, embedder
        self.ns: dict[str, list[int]] = {"exact": [], "semantic": [], "miss": []}
        self.embed_ns: list[int] = []
        self.trail: list[str] = []  # the layer of every request, in order
        self.wrong = self.judged = 0
        self._labels: dict[int, str | None] = {}

    def step(self, request: Request) -> None:
        where: dict[str, Any] = {"namespace": request.namespace, "context": request.context}
        embedded = self.embedder.ns if self.embedder else 0
        start = time.perf_counter_ns()
        hit = self.cache.get(request.prompt, **where)
        spent = time.perf_counter_ns() - start
        layer = hit.layer if hit else "miss"
        self.ns[layer].append(spent)
        self.trail.append(layer)
        if self.embedder and layer != "exact":
            self.embed_ns.append(self.embedder.ns - embedded)
        if hit is None:
            self._store(request, where)
        else:
            self._judge(hit, request)

    def _store(self, request: Request, where: dict[str, Any]) -> None:
        answer = request.response if request.response is not None else request.label or ""
        id = self.cache.put(
            request.prompt,
            answer,
            tokens=request.tokens,
            cost=request.cost,
            latency_ms=request.latency_ms,
            **where,
        )
        self._labels[id] = request.label

    def _judge(self, hit: semcore.Hit, request: Request) -> None:
        expected = self._labels.get(hit.id)
        if expected is not None and request.label is not None:
            self.judged += 1
            self.wrong += expected != request.label


def summary(replay: Replay, before: semcore.Stats, name: str, seconds: float) -> Report:
    """What a finished replay says; counters of a saved cache count from `before` on."""
    after = replay.cache.stats()
    embedder = replay.cache.embedder
    return Report(
        file=name,
        requests=len(replay.trail),
        threshold=replay.cache.threshold,
        embedder=embedder.fingerprint if embedder else "none",
        layers=[Layer.of(layer, ns) for layer, ns in replay.ns.items()],
        embedding=Layer.of("embedding", replay.embed_ns),
        judged_hits=replay.judged,
        wrong_hits=replay.wrong,
        tokens=after.tokens - before.tokens,
        cost=after.cost - before.cost,
        latency_ms=after.latency_ms - before.latency_ms,
        entries=after.entries,
        evictions=after.evictions - before.evictions,
        bytes=after.bytes,
        bytes_used=after.bytes_used,
        seconds=seconds,
    )


def sweep(
    requests: Sequence[Request], embedder: Timed, options: dict[str, Any], track: Track
) -> list[SweepPoint]:
    """The same traffic at other thresholds, each on a private cache of its own."""
    points = []
    for threshold in track(SWEEP, "sweep", len(SWEEP)):
        with semcore.Cache(embed=embedder, **options | {"threshold": threshold}) as cache:
            replay = Replay(cache, None)
            for request in requests:
                replay.step(request)
        hits = len(replay.ns["exact"]) + len(replay.ns["semantic"])
        wrong = replay.wrong / replay.judged if replay.judged else None
        points.append(SweepPoint(threshold, hits / len(requests), wrong))
    return points


def add_parser(commands: Any) -> None:
    p = commands.add_parser(
        "replay",
        help="stream recorded prompts through a cache and report what it would have saved",
        description="FILE: JSON Lines (or csv, tsv; also .gz) with a field prompt (or text, question) and"
        " optionally response, namespace, context, label, tokens, cost, latency_ms. Prompts of one label"
        " want the same answer: with labels, wrong hits are counted.",
    )
    p.add_argument("file", type=Path, metavar="FILE")
    p.add_argument("--cache", type=Path, help="a saved cache to start from and to leave behind")
    p.add_argument("--embed", default="default", help=f"none, {EMBEDDERS} (default: default)")
    p.add_argument("--threshold", type=float, default=0.90, help="least cosine similarity (default: 0.90)")
    p.add_argument("--policy", default="value", choices=("value", "lru", "lfu"))
    p.add_argument("--ttl", type=float, help="seconds that an answer lives")
    p.add_argument("--max-entries", type=int)
    p.add_argument("--max-bytes", help="size of the region, such as '64 MiB' (default: 256 MiB)")
    p.add_argument("--limit", type=positive, help="stop after so many prompts")
    p.add_argument("--shuffle", type=int, metavar="SEED", help="in random order instead of the file's")
    p.add_argument("--sweep", action="store_true", help="also at thresholds from 0.60 to 1.00")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.add_argument("--plot", type=Path, metavar="PNG", help="write a plot (needs the extra plot)")
    p.set_defaults(run=run)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The cache's options; sizes that were not given are a saved cache's own."""
    options = {
        "threshold": args.threshold,
        "policy": args.policy,
        "ttl": args.ttl,
        "max_entries": args.max_entries,
    }
    saved = args.cache is not None and args.cache.exists()
    return options | {"max_bytes": args.max_bytes or (None if saved else "256 MiB")}


def run(args: argparse.Namespace) -> int:
    requests = read(args.file, args.limit)
    if args.shuffle is not None:
        order = np.random.default_rng(args.shuffle).permutation(len(requests))
        requests = [requests[i] for i in order]
    embedder = None if args.embed == "none" else embedder_of("--embed", args.embed)
    timed = Timed(embedder) if embedder else None
    if args.sweep and timed is None:
        raise ValueError("--sweep: needs an embedder")
    if timed:
        timed.keep = args.sweep
    options = settings(args)
    with semcore.Cache(args.cache, embed=timed, **options) as cache:
        replay, before, start = Replay(cache, timed), cache.stats(), time.perf_counter()
        for request in tracked(requests, "replay", len(requests)):
            replay.step(request)
        report = summary(replay, before, str(args.file), time.perf_counter() - start)
    if args.sweep and timed:
        report.sweep = sweep(requests, timed, options | {"max_bytes": args.max_bytes or "256 MiB"}, tracked)
    if args.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        render(report, console())
    if args.plot:
        from semcore.cli.plot import plot

        plot(report, replay.trail, args.plot)
        print(f"plot written to {args.plot}", file=sys.stderr)
    return 0
