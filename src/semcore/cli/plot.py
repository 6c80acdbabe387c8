"""Pictures. Of a replay: hits over time, and with a sweep the hit and error curves. Of an embedder: those.

Of recorded requests: reuse by turn, and what providers would charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semcore.cli.report import Report
from semcore.cli.survey import Survey
from semcore.embed.quality import Quality
from semcore.errors import ConfigError


def plot(report: Report, trail: Sequence[str], path: Path) -> None:
    """Writes a PNG (or what the suffix says).

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure, axes = empty(2 if report.sweep else 1)
    over_time(axes[0], trail)
    if report.sweep:
        over_thresholds(axes[1], report)
    figure.suptitle(
        f"{Path(report.file).name}: {report.hits / report.requests:.1%} of {report.requests:,} prompts"
    )
    figure.savefig(path, dpi=120)


def plot_quality(quality: Quality, title: str, path: Path) -> None:
    """An embedder's curves: over thresholds, and what is wrong for what is served. Raises as `plot` does."""
    figure, (left, right) = empty(2)
    points = quality.curve.points()
    x = [p.threshold for p in points]
    left.plot(x, [p.served for p in points], label="served / all")
    left.plot(x, [p.wrong_of_served or 0 for p in points], label="wrong / served")
    left.plot(x, [p.wrong_of_all for p in points], label="wrong / all")
    left.set(xlabel="threshold (cosine)", ylim=(0, 1))
    left.legend()
    curve = quality.curve
    right.plot(curve.served / curve.requests, curve.wrong / curve.served, label="wrong / served")
    right.plot(curve.served / curve.requests, curve.wrong / curve.requests, label="wrong / all")
    right.set(xlabel="served / all", xlim=(0, 1), ylim=(0, None))
    right.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def empty(columns: int) -> tuple[Any, Any]:
    """A figure, and its axes in one row."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("--plot needs an extra: pip install 'semcore[plot]'") from error
    figure = Figure(figsize=(11 if columns == 2 else 6, 4), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def over_time(axis: Any, trail: Sequence[str]) -> None:
    """Share of prompts answered so far, by layer."""
    n = np.arange(1, len(trail) + 1)
    exact = np.cumsum([layer == "exact" for layer in trail]) / n
    semantic = np.cumsum([layer == "semantic" for layer in trail]) / n
    axis.stackplot(n, exact, semantic, labels=["exact", "semantic"], alpha=0.8)
    axis.set(xlabel="prompts", ylabel="share answered so far", xlim=(1, len(trail)), ylim=(0, 1))
    axis.legend(loc="upper left")


def over_thresholds(axis: Any, report: Report) -> None:
    """Hits and wrong hits against the threshold."""
    x = [p.threshold for p in report.sweep]
    axis.plot(x, [p.hit_ratio for p in report.sweep], label="hits / prompts")
    if any(p.wrong_ratio is not None for p in report.sweep):
        axis.plot(x, [p.wrong_ratio or 0 for p in report.sweep], label="wrong / hits")
    axis.axvline(report.threshold, color="grey", linestyle=":", label="this replay")
    axis.set(xlabel="threshold (cosine)", ylim=(0, 1))
    axis.legend()


def plot_prefix(found: Survey, path: Path) -> None:
    """Reuse by turn, and the price at the providers and with the changes that save. Raises as `plot` does."""
    figure, (left, right) = empty(2)
    buckets = {name: b for name, b in found.turns.items() if b.tokens}
    seen = np.array([b.seen / b.tokens for b in buckets.values()])
    lost = np.array([b.lost / b.tokens for b in buckets.values()])
    left.bar(list(buckets), seen, label="seen before")
    left.bar(list(buckets), lost, bottom=seen, label="lost behind a change")
    left.set(xlabel="turn of session", ylabel="share of tokens", ylim=(0, 1))
    left.legend()
    bars = [(f"{x.provider} {x.model[:18]}\n{x.how}", x.totals) for x in found.scenarios]
    bars += [("with the changes", found.together)] if found.together is not None else []
    names, before = [name for name, _ in bars], np.zeros(len(bars))
    for part in ("cached", "written", "plain"):
        width = np.array([getattr(t, part) / max(1, t.tokens) for _, t in bars])
        right.barh(names, width, left=before, label=part)
        before = before + width
    right.plot([t.ratio for _, t in bars], names, "k|", markersize=14, label="price")
    right.set(xlabel="share of tokens; price relative to no cache", xlim=(0, None))
    right.invert_yaxis()
    right.tick_params(axis="y", labelsize=6)
    right.legend(fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    known = found.seen / max(1, found.tokens)
    figure.suptitle(f"{Path(found.file).name}: {known:.1%} of {found.tokens:,} tokens seen before")
    figure.savefig(path, dpi=120)
