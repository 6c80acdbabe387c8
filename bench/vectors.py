"""Nearest neighbour above a threshold: semcore beside vector indexes, on real embeddings.

    python bench/vectors.py --vectors FILE.npy [--sizes 10000,100000] [--churn 10000] [--out ...md]

FILE holds unit rows, as bench/embed_texts.py makes them. On one core, every round asks all the same
queries, in an order of its own. An index that can be tuned is searched with the fastest of its settings
that finds at least what semcore finds, else with the one that finds most.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import report
from indexes import Index, Reading, Semcore, peers
from questions import Embeddings, Questions, Vectors
from versus import cell, collector_off, pinned, say, start_again

PACKAGES = "semcore usearch faiss-cpu hnswlib numpy"
SCANNED = 23  # bytes a row that a scan reads at least: sc_region.lane_bytes
PROBED, RECALL = 50_000, 0.999  # from so many rows on a semcore that may miss some takes part
TURN = 20  # queries an index answers in a row
WARMING = 2  # more before them, not timed
SLACK = 0.001  # of a similarity: what is so close to the threshold may be found or not
NOTES = """\
- p50, p99: microseconds of a search from Python, over all queries of all rounds (times semcore's); 2 queries
  before each turn are not timed.
- found: share of the queries with a row at or above tau for which the index returned such a row, the nearest
  (both within 0.001). wrong: answers whose true cosine is below tau (minus 0.001). An index's answer counts
  if its own similarity is at least tau: that of rows of 8 bits is off by some thousandths.
- queries: half stored rows moved to a cosine of 0.86 to 0.99, at random or towards another real row; half
  held-out rows as they are, some of which are true hits.
- build: microseconds a row, all on the same core; semcore's with texts, values and all learning; the others'
  in bulk. RaBitQ refines by the vectors of `faiss flat`. An exact usearch index has 2 links a row, unused."""


@dataclass
class Entrant:
    """An index, how it is searched at this threshold, and what was seen."""

    index: Index
    build: float  # microseconds a row
    setting: Any = None
    found: float = 0.0
    wrong: int = 0
    times: list[float] = field(default_factory=list)  # microseconds

    @classmethod
    def built(cls, index: Index, rows: Vectors) -> Entrant:
        start = time.perf_counter()
        index.build(rows)
        took = (time.perf_counter() - start) / len(rows) * 1e6
        say(f"{index.name} at {len(rows):,}: built, {took:.1f} us a row")
        return cls(index, took)

    def tune(self, tau: float, rows: Vectors, asked: Questions, wanted: float) -> None:
        """Choose the setting for this threshold."""
        self.times, self.index.tau = [], tau
        trials = []
        for setting in self.index.settings:
            self.index.set(setting)
            times, answers = zip(*(self._ask(query) for query in asked.queries), strict=True)
            found, wrong = judge(answers, tau, rows, asked)
            enough = found >= wanted
            trials.append(
                (not enough, 0.0 if enough else -found, float(np.median(times)), setting, found, wrong)
            )
        *_, self.setting, self.found, self.wrong = min(trials, key=lambda trial: trial[:3])
        self.index.set(self.setting)

    def turn(self, queries: Vectors) -> None:
        for query in queries[-WARMING:]:
            self.index.ask(query)
        self.times += [self._ask(query)[0] for query in queries]

    def _ask(self, query: Vectors) -> tuple[float, Any]:
        start = time.perf_counter_ns()
        found = self.index.ask(query)
        took = (time.perf_counter_ns() - start) / 1e3
        return took, self.index.answer(found)

    def cells(self, ours: Entrant) -> list[str]:
        p50, p99 = np.percentile(self.times, (50, 99))
        theirs = np.percentile(ours.times, (50, 99))
        setting = "" if self.setting is None else f", {self.setting}"
        least = f"{self.found:.4f}" + (" (less)" if self.found < ours.found else "")
        return [
            self.index.name + setting, cell(p50, theirs[0]), cell(p99, theirs[1]),
            least, str(self.wrong), f"{self.build:.1f}",
        ]  # fmt: skip


def judge(answers: Any, tau: float, rows: Vectors, asked: Questions) -> tuple[float, int]:
    """The share of true hits that was found, and how many answers are wrong."""
    hits = found = wrong = 0
    for query, best, answer in zip(asked.queries, asked.best, answers, strict=True):
        true = float(query @ rows[answer[0]]) if answer is not None and answer[1] >= tau else None
        wrong += true is not None and true < tau - SLACK
        hits += bool(best >= tau + SLACK)
        found += bool(best >= tau + SLACK) and true is not None and true >= best - SLACK
    return found / max(hits, 1), wrong


def take_turns(entrants: list[Entrant], queries: Vectors, rounds: int) -> None:
    order = random.Random(0)
    with collector_off():
        for turn in range(rounds):
            some = np.take(queries, range(turn * TURN, (turn + 1) * TURN), axis=0, mode="wrap")
            for entrant in order.sample(entrants, len(entrants)):
                entrant.turn(some)


def compared(vectors: Embeddings, n: int, args: argparse.Namespace) -> list[str]:
    """The report on one size."""
    rows = vectors.rows(n)
    asked = vectors.questions(rows, args.queries)
    chosen = [index for index in peers() if any(word in index.name for word in args.peers)]
    with pinned():
        semcore, reading = Semcore(), Reading(SCANNED)
        if n >= PROBED:
            chosen.insert(0, Semcore(f"semcore, recall={RECALL}", RECALL))
        ours, limit, *rest = [Entrant.built(index, rows) for index in (semcore, reading, *chosen)]
        parts = [f"## {n:,} entries", *made(vectors, n), filled("filling", semcore)]
        for tau in args.taus:
            ours.tune(tau, rows, asked, 0.0)
            for entrant in rest:
                entrant.tune(tau, rows, asked, ours.found)
                say(f"{entrant.index.name} at {tau}: {entrant.setting}, found {entrant.found:.4f}")
            limit.times = []
            take_turns([ours, limit, *rest], asked.queries, args.rounds)
            parts += [f"### {n:,} entries, tau {tau}", standing(ours, rest), against(ours, limit)]
    return parts


def made(vectors: Embeddings, n: int) -> list[str]:
    extra = n - len(vectors.real)
    where = "moved to a cosine of 0.5 to 0.9 towards other real rows"
    return [f"{extra:,} of the rows are made: real rows {where}."] if extra > 0 else []


def standing(ours: Entrant, rest: list[Entrant]) -> str:
    ranked = sorted([ours, *rest], key=lambda entrant: float(np.median(entrant.times)))
    head = ["index, setting", "p50, us", "p99, us", "found", "wrong", "build, us"]
    return report.table(head, [entrant.cells(ours) for entrant in ranked])


def against(ours: Entrant, limit: Entrant) -> str:
    """semcore beside what reading its codes takes."""
    bound, p50 = float(np.median(limit.times)), float(np.median(ours.times))
    size = limit.index.bytes
    return (
        f"The machine's limit: a scan reads at least {SCANNED} bytes an entry, {size / 1e6:.2f} MB, which "
        f"takes {bound:.1f} us ({size / bound / 1e3:.1f} GB/s). semcore's p50 is {p50 / bound:.2f} times "
        f"that, its p99 {np.percentile(ours.times, 99) / p50:.2f} times its p50."
    )


def filled(what: str, semcore: Semcore) -> str:
    puts, n = semcore.puts * 1e6, len(semcore.puts)
    stats = semcore.cache._stats()
    return (
        f"semcore, {what}: put p50 {np.median(puts):.1f} us, p99 {np.percentile(puts, 99):.1f} us, longest "
        f"{puts.max() / 1e3:.2f} ms ({(puts > 5000).sum()} above 5 ms); mean {semcore.filling / n * 1e6:.1f} "
        f"us, with all learning meanwhile and after. {stats['bytes_per_entry']} bytes an entry without "
        f"its value, {semcore.cache.stats().bookkeeping_per_entry} of them besides the stored vector."
    )


def churned(vectors: Embeddings, n: int, args: argparse.Namespace) -> list[str]:
    """A cache turned over by eviction beside a fresh one with the same entries."""
    with pinned():
        old = Semcore("semcore, turned over")
        old.build(vectors.rows(n))
        for turn in range(1, args.turnovers + 1):
            old.fill(vectors.rows(n, turn * n), turn * n)
        ids = list(old.cache)
        old.places = {int(old.cache[i].value): place for place, i in enumerate(ids)}
        rows = np.stack([old.cache._vector_at(i) for i in ids])
        fresh = Semcore("semcore, fresh")
        fresh.build(rows)
        asked = vectors.questions(rows, args.queries)
        parts = [f"## {n:,} entries, turned over {args.turnovers} times", filled("last turnover", old)]
        for tau in args.taus:
            both = [Entrant(index, index.filling / n * 1e6) for index in (fresh, old)]
            for entrant in both:
                entrant.tune(tau, rows, asked, 0.0)
            take_turns(both, asked.queries, args.rounds)
            parts += [f"### tau {tau}", standing(both[0], both[1:])]
    return parts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="nearest neighbour above a threshold")
    parser.add_argument("--vectors", type=Path, required=True, help="npy of unit rows, float16 or float32")
    parser.add_argument("--sizes", default="10000,100000", help="entries, comma-separated")
    parser.add_argument("--taus", default="0.85,0.9", help="thresholds, comma-separated")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50, help=f"of {TURN} queries")
    parser.add_argument(
        "--peers", default="", help="only with one of these words in the name; RaBitQ needs flat"
    )
    parser.add_argument("--churn", type=int, help="also turn a cache of so many entries over")
    parser.add_argument("--turnovers", type=int, default=10)
    parser.add_argument("--out", type=Path, help="also write the report to this file")
    args = parser.parse_args()
    args.sizes = [int(size) for size in args.sizes.split(",") if size]
    args.taus = [float(tau) for tau in args.taus.split(",")]
    args.peers = args.peers.split(",")
    return args


def main() -> None:
    args = _arguments()
    start_again()
    before, vectors = report.load(), Embeddings(args.vectors)
    count, d = vectors.real.shape
    parts = [f"{count:,} real embeddings of {d} numbers, {len(vectors.apart):,} more held out."]
    for n in args.sizes:
        parts += compared(vectors, n, args)
    if args.churn:
        parts += churned(vectors, args.churn, args)
    notes = f"{NOTES}\n- {args.rounds} rounds of {TURN} of {args.queries} queries"
    parts += [notes, report.conditions(PACKAGES, before, args.vectors.parent)]
    report.write(parts, args.out)


if __name__ == "__main__":
    main()
