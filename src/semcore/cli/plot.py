"""Pictures. Of a replay: hits over time, and with a sweep the hit and error curves. Of an embedder: those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semcore.cli.report import Report
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
