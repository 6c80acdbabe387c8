"""`semcore embed report`: how good an embedder is for a cache, on labelled texts or pairs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from semcore.cli.console import console, table
from semcore.cli.labelled import read
from semcore.cli.options import EMBEDDERS, embedder_of, positive
from semcore.cli.progress import bar
from semcore.cli.report import micro
from semcore.embed.quality import Point, Quality, of_pairs, of_texts

T = TypeVar("T")


def add_parser(commands: Any) -> None:
    embed = commands.add_parser("embed", help="about embedders")
    actions = embed.add_subparsers(dest="action", required=True, metavar="ACTION")
    p = actions.add_parser("report", help="how good and how fast an embedder is, on labelled texts or pairs")
    p.add_argument("--embedder", default="default", help=f"{EMBEDDERS} (default: default)")
    p.add_argument(
        "--data", type=Path, required=True, metavar="FILE",
        help="JSON Lines, csv or tsv (also .gz) of label and text, or label, a and b",
    )  # fmt: skip
    p.add_argument("--limit", type=positive, metavar="N", help="only the first N of the shuffled records")
    p.add_argument("--seed", type=int, default=0, help="of the shuffle")
    p.add_argument("--json", action="store_true", help="print as JSON")
    p.add_argument("--plot", type=Path, metavar="PNG", help="write a plot (needs the extra plot)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    quality = judge(args)
    if args.json:
        print(json.dumps({"file": str(args.data), "seed": args.seed} | quality.as_dict(), indent=2))
    else:
        render(quality, f"{args.data}: {what(quality)} (seed {args.seed})", console())
    if args.plot:
        from semcore.cli.plot import plot_quality

        plot_quality(quality, f"{args.data.name}, {quality.embedder}", args.plot)
        print(f"plot written to {args.plot}", file=sys.stderr)
    return 0


def judge(args: argparse.Namespace) -> Quality:
    texts, pairs = read(args.data)
    texts, pairs = shuffled(texts, args.seed, args.limit), shuffled(pairs, args.seed, args.limit)
    if len(texts) < 2 and not pairs:
        raise ValueError(f"{args.data}: expected 1 pair or 2 texts at least, got {len(texts)}")
    embedder = embedder_of("--embedder", args.embedder)
    if pairs:
        return of_pairs(embedder, [(p.a, p.b) for p in pairs], [p.same for p in pairs], bar)
    return of_texts(embedder, [t.text for t in texts], [t.label for t in texts], bar)


def shuffled(records: Sequence[T], seed: int, limit: int | None) -> list[T]:
    """The first `limit` in an order that the seed decides."""
    return [records[i] for i in np.random.default_rng(seed).permutation(len(records))[:limit]]


def what(quality: Quality) -> str:
    if quality.kind == "pairs":
        return f"{quality.count:,} pairs, {quality.same:.1%} of which mean the same"
    return f"{quality.count:,} texts of {quality.labels:,} labels, each against all earlier ones"


def render(quality: Quality, title: str, out: Any) -> None:
    """Prints the report on a console."""
    out.print(title, highlight=False, markup=False)
    out.print(best_table(quality))
    out.print(curve_table(quality))
    for name, text in facts(quality):
        out.print(f"  {name:<20}{text}", highlight=False, markup=False)


def best_table(quality: Quality) -> Any:
    """Most that can be served for a bound on what is wrong, the threshold picked with hindsight."""
    rows = []
    for limit in sorted({best.limit for best in quality.best}):
        cells = [(f"{b.served:.1%}", number(b.threshold)) for b in quality.best if b.limit == limit]
        rows.append((f"{limit:.0%}", *chain(*cells)))
    return table(("wrong at most", "of the served", "threshold", "of all", "threshold"), rows)


def curve_table(quality: Quality) -> Any:
    rows = []
    for p in steps(quality.curve.points(20)):
        wrong = "" if p.wrong_of_served is None else f"{p.wrong_of_served:.2%}"
        rows.append((f"{p.threshold:.2f}", f"{p.served:.1%}", wrong, f"{p.wrong_of_all:.2%}"))
    return table(("threshold", "served", "wrong of served", "wrong of all"), rows)


def steps(points: list[Point]) -> list[Point]:
    """From the first point that serves something to the first that serves nearly everything that can be."""
    serving = [p for p in points if p.served]
    return [p for p in serving if p.served < 0.99 * serving[-1].served] + serving[-1:]


def number(threshold: float | None) -> str:
    return "" if threshold is None else f"{threshold:.3f}"


def facts(quality: Quality) -> list[tuple[str, str]]:
    speed = quality.speed
    if quality.kind == "texts":
        score = ("nearest is right", f"{quality.accuracy:.1%} (at most {quality.oracle:.1%} can be)")
    else:
        score = ("ROC AUC", "unknown (one kind of pair)" if quality.auc is None else f"{quality.auc:.3f}")
    return [
        score,
        ("one text", f"p50 {micro(speed.p50_us)}, p99 {micro(speed.p99_us)}"),
        ("in batches", f"{speed.texts_per_s:,.0f} texts a second"),
        ("exact-only", f"{quality.without_vector:,} texts without a vector"),
        ("embedder", f"{quality.embedder}, {quality.dim} dimensions"),
    ]
