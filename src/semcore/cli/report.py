"""What a replay found: numbers, a table for people, a dict for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from semcore.cli.console import table


@dataclass(frozen=True)
class Layer:
    """How often a layer answered and how long its lookups took, in microseconds."""

    name: str
    count: int
    p50_us: float | None
    p99_us: float | None

    @classmethod
    def of(cls, name: str, ns: Sequence[int]) -> Layer:
        if not ns:
            return cls(name, 0, None, None)
        p50, p99 = np.percentile(ns, [50, 99]) / 1e3
        return cls(name, len(ns), float(p50), float(p99))


class SweepPoint(NamedTuple):
    """At a threshold: hits over requests, and wrong hits over judged hits (None without labels)."""

    threshold: float
    hit_ratio: float
    wrong_ratio: float | None


@dataclass
class Report:
    """One replay. `wrong_hits` of `judged_hits` answered a prompt of another label."""

    file: str
    requests: int
    threshold: float
    embedder: str
    layers: list[Layer]
    embedding: Layer
    judged_hits: int
    wrong_hits: int
    tokens: int
    cost: float
    latency_ms: float
    entries: int
    evictions: int
    bytes: int
    bytes_used: int
    seconds: float
    sweep: list[SweepPoint] = field(default_factory=list)

    @property
    def hits(self) -> int:
        return sum(layer.count for layer in self.layers if layer.name != "miss")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "layers": {layer.name: asdict(layer) for layer in self.layers},
            "embedding": asdict(self.embedding),
            "sweep": [point._asdict() for point in self.sweep],
            "hits": self.hits,
            "hit_ratio": self.hits / self.requests,
        }


def render(report: Report, out: Any) -> None:
    """Prints the report on a console."""
    title = f"{report.file}: {report.requests:,} prompts in {report.seconds:.2f} s"
    out.print(title, highlight=False, markup=False)
    rows = [
        (x.name, f"{x.count:,}", f"{x.count / report.requests:.1%}", micro(x.p50_us), micro(x.p99_us))
        for x in report.layers
    ]
    if report.embedding.count:
        e = report.embedding
        rows.append(("(of which embedding)", f"{e.count:,}", "", micro(e.p50_us), micro(e.p99_us)))
    out.print(table(("layer", "prompts", "share", "p50", "p99"), rows))
    for name, text in facts(report):
        out.print(f"  {name:<16}{text}", highlight=False, markup=False)
    if report.sweep:
        out.print(sweep_table(report))


def facts(report: Report) -> list[tuple[str, str]]:
    lines = [
        ("hits", f"{report.hits:,} of {report.requests:,} ({report.hits / report.requests:.1%})"),
        ("wrong hits", wrong(report)),
        ("deflected", deflected(report)),
        ("entries", f"{report.entries:,}, {report.evictions:,} evicted"),
        ("bytes used", f"{size(report.bytes_used)} of {size(report.bytes)}"),
        ("settings", f"threshold {report.threshold:g}, embedder {report.embedder}"),
    ]
    return lines


def wrong(report: Report) -> str:
    if not report.judged_hits:
        return "unknown (no labels)"
    ratio = report.wrong_hits / report.judged_hits
    return f"{report.wrong_hits:,} of {report.judged_hits:,} judged ({ratio:.1%})"


def deflected(report: Report) -> str:
    return f"{report.tokens:,} tokens, cost {report.cost:,.4f}, {report.latency_ms / 1e3:,.1f} s of waiting"


def sweep_table(report: Report) -> Any:
    rows = [
        (f"{p.threshold:.2f}", f"{p.hit_ratio:.1%}", "" if p.wrong_ratio is None else f"{p.wrong_ratio:.2%}")
        for p in report.sweep
    ]
    return table(("threshold", "hits", "wrong hits"), rows)


def micro(us: float | None) -> str:
    return "" if us is None else f"{us:,.1f} us"


def size(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:,.0f} {unit}" if unit == "B" else f"{n:,.1f} {unit}"
        n /= 1024
    return f"{n:,.2f} GiB"
