"""What `gateway.py` measured, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from report import table

HITS = {
    "floor": "no HTTP: a socket that answers",
    "echo": "ASGI echo of the same size",
    "hit": "exact hit",
    "new bytes": "exact hit, its body never seen in these bytes",
    "semantic": "semantic hit, embedding included",
    "coalesced": "streamed hit, coalesced",
    "faithful": "streamed hit, faithful (102 chunks)",
    "litellm": "LiteLLM's proxy, hit",
    "portkey": "Portkey's gateway, passing through",
}
CLIENTS = {"openai, echo": "echo", "openai, gateway": "exact hit"}
CALLS = {
    "direct": "direct",
    "passed": "passed through",
    "miss": "miss, stored",
    "failing": "miss, the cache failing",
    "stuck": "miss, the embedder stuck",
}
STREAMS = {
    "direct, first byte": "direct",
    "passed, first byte": "passed through",
    "miss, first byte": "miss",
}


def sections(result: Mapping[str, Any], followers: int, embed_timeout: float) -> list[str]:
    """Markdown, a part each. result: what `gateway.measure` returned."""
    us = result["us"]
    one, streams = result["calls"]
    return [
        "## A hit, one connection",
        ratios(us, HITS, {"echo": "to the echo", "hit": "to an exact hit"}),
        "By the official Python client:\n\n" + ratios(us, CLIENTS, {"openai, echo": "to the echo"}),
        "## A call to the model, which answers at once",
        added(us, CALLS, "direct", "whole answer, us"),
        "Up to the first byte of a stream:\n\n" + added(us, STREAMS, "direct, first byte", "first byte, us"),
        f"{followers} identical misses at once: {one} call upstream; as streams: {streams}.",
        "## The cache failing, misses in a row for four seconds",
        failures(result["waits"], embed_timeout),
    ]


def ratios(us: Mapping[str, float], names: Mapping[str, str], to: Mapping[str, str]) -> str:
    rows = [
        [label, f"{us[name]:,.0f}", *(f"{us[name] / us[base]:.2f}" for base in to)]
        for name, label in names.items()
        if name in us
    ]
    return table(["", "p50, us", *to.values()], rows)


def added(us: Mapping[str, float], names: Mapping[str, str], base: str, head: str) -> str:
    rows = [[label, f"{us[name]:,.0f}", f"{us[name] - us[base]:+,.0f}"] for name, label in names.items()]
    return table(["", head, "over direct, us"], rows)


def failures(waits: Mapping[str, Sequence[float]], embed_timeout: float) -> str:
    """How long misses took, and how many of them waited for the embedder."""
    rows = []
    for name, times in waits.items():
        waited = sum(ms >= embed_timeout * 1e3 for ms in times)
        p99 = statistics.quantiles(times, n=100)[-1]
        rows.append([name, f"{len(times):,}", f"{statistics.median(times):.2f}", f"{p99:.2f}", str(waited)])
    waited_head = f"{embed_timeout * 1e3:.0f} ms or more"
    return table(["the cache", "misses", "p50, ms", "p99, ms", waited_head], rows)
