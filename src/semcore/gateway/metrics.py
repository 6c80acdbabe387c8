"""Metrics in Prometheus' text format: what was counted, and what the cache says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from semcore import Cache
from semcore.gateway.seen import Observers
from semcore.gateway.store import Store
from semcore.gateway.tally import (
    BUCKETS,
    COST,
    COUNT,
    INPUT,
    OUTPUT,
    REQUEST,
    SECONDS,
    SIMILARITIES,
    SIMILARITY,
    SPARED,
    SUM,
    UNPRICED,
    UPSTREAM,
    Series,
    Tally,
    by,
    of_kind,
)

KIND = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Everything that is told, in a registry of its own.

    Args:
        tally: of requests.
        store: of answers; its cache is told of.
        observers: whose failures are told.
    """

    def __init__(self, tally: Tally, store: Store, observers: Observers) -> None:
        self._tally, self._store, self._observers = tally, store, observers
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing, so that it is not collected when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        series = self._tally.series()
        requests = of_kind(series, REQUEST)
        yield from of_requests(requests)
        yield from of_savings(requests)
        yield from of_upstreams(of_kind(series, UPSTREAM))
        text = "Similarities of paraphrases that were answered, and of the nearest that were not."
        yield histogram("similarity", text, "outcome", of_kind(series, SIMILARITY), SIMILARITIES)
        yield from of_cache(self._store.cache)
        failures = counter("failures", "What failed without a client's notice, in this worker.", "part")
        failures.add_metric(["cache"], self._store.resting.failures)
        failures.add_metric(["embedder"], self._store.embedder_resting.failures)
        failures.add_metric(["observer"], self._observers.failures)
        yield failures


def of_requests(requests: Series) -> Iterator[Metric]:
    total = counter("requests", "Requests.", "endpoint", "model", "outcome")
    for key, cell in requests.items():
        total.add_metric(key, cell[COUNT])
    yield total
    yield histogram("request_duration_seconds", "Whole requests.", "outcome", by(2, requests), SECONDS)


def of_savings(requests: Series) -> Iterator[Metric]:
    tokens = counter("saved_tokens", "Tokens that models were not asked for.", "type")
    tokens.add_metric(["input"], sum(cell[INPUT] for cell in requests.values()))
    tokens.add_metric(["output"], sum(cell[OUTPUT] for cell in requests.values()))
    yield tokens
    cost = counter("saved_cost_usd", "What they would have cost, where prices are known.", "model")
    for (model,), cell in by(1, requests).items():
        if cell[COST]:
            cost.add_metric([model], cell[COST])
    yield cost
    unpriced = counter("saved_unpriced", "Answers that spared nobody knows what.")
    unpriced.add_metric([], sum(cell[UNPRICED] for cell in requests.values()))
    yield unpriced
    spared = counter("saved_seconds", "Seconds for which models were not busy.")
    spared.add_metric([], sum(cell[SPARED] for cell in requests.values()))
    yield spared


def of_upstreams(calls: Series) -> Iterator[Metric]:
    """Keys: the upstream, took or heard, the status."""
    asked = counter("upstream_requests", "Calls to models.", "upstream", "status")
    used = counter("upstream_tokens", "Tokens that models reported.", "upstream", "type")
    took = {key: cell for key, cell in calls.items() if key[1] == "took"}
    for (name, _, status), cell in took.items():
        asked.add_metric([name, status], cell[COUNT])
    for (name,), cell in by(0, took).items():
        used.add_metric([name, "input"], cell[INPUT])
        used.add_metric([name, "output"], cell[OUTPUT])
    yield asked
    yield used
    heard = {key: cell for key, cell in calls.items() if key[1] == "heard"}
    for name, text, cells in (
        ("upstream_duration_seconds", "Calls to models, to their end.", took),
        ("upstream_ttfb_seconds", "Calls to models, to the response's head.", heard),
    ):
        yield histogram(name, text, "upstream", by(0, cells), SECONDS)


def of_cache(cache: Cache) -> Iterator[Metric]:
    """It is in a file, or of a single worker: all say the same."""
    stats = cache.stats()
    for name, text, value in (
        ("entries", "Answers in the cache.", stats.entries),
        ("max_entries", "Most answers that it takes.", stats.max_entries),
        ("bytes", "Size of the cache, indexes included.", stats.bytes),
        ("used_bytes", "What answers take of it.", stats.bytes_used),
    ):
        yield GaugeMetricFamily("semcore_" + name, text, value)
    for name, text, value in (
        ("puts", "Answers stored.", stats.puts),
        ("invalidations", "Answers removed by request.", stats.deletions),
        ("damaged", "Damaged answers, which are never given.", stats.damaged),
    ):
        yield CounterMetricFamily("semcore_" + name, text, value)
    evictions = counter("evictions", "Answers that had to go.", "reason")
    evictions.add_metric(["space"], stats.evictions)
    evictions.add_metric(["age"], stats.expirations)
    yield evictions


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily("semcore_" + name, text, labels=labels)


def histogram(
    name: str, text: str, label: str, series: Series, bounds: Sequence[float]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily("semcore_" + name, text, labels=[label])
    for key, cell in series.items():
        sums = accumulate(cell[BUCKETS:])
        names = [*map(floatToGoString, bounds), "+Inf"]
        family.add_metric(key, list(zip(names, sums, strict=True)), cell[SUM])
    return family
