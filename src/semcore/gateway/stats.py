"""The numbers of the page, as JSON."""

from __future__ import annotations

from dataclasses import asdict

from semcore.gateway.config import Settings
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
    UNPRICED,
    UPSTREAM,
    Series,
    Tally,
    by,
    of_kind,
)
from semcore.wire.question import Json

SAVED = (("input_tokens", INPUT), ("output_tokens", OUTPUT), ("cost_usd", COST), ("seconds", SPARED))
WITHOUT = frozenset(("hit_exact", "hit_semantic", "stale", "collapsed"))  # a call to the model


def stats_of(tally: Tally, store: Store, settings: Settings) -> Json:
    """Histograms are counts by bucket; the last one has no bound."""
    series = tally.series()
    requests = of_kind(series, REQUEST)
    outcomes = {key[0]: cell for key, cell in by(2, requests).items()}
    calls = {key: cell for key, cell in of_kind(series, UPSTREAM).items() if key[1] == "took"}
    similar = {key[0]: cell[BUCKETS:] for key, cell in of_kind(series, SIMILARITY).items()}
    return {
        "requests": {name: cell[COUNT] for name, cell in outcomes.items()},
        "answered_without_a_model": sum(c[COUNT] for name, c in outcomes.items() if name in WITHOUT),
        "saved": {name: sum(cell[at] for cell in requests.values()) for name, at in SAVED},
        "unpriced": sum(cell[UNPRICED] for cell in requests.values()),
        "models": table(requests),
        "upstreams": {name: cell[COUNT] for (name,), cell in by(0, calls).items()},
        "latency": {"bounds": SECONDS, "outcomes": {name: c[BUCKETS:] for name, c in outcomes.items()}},
        "similarity": {"bounds": SIMILARITIES, **similar},
        "near_misses": [near._asdict() for near in tally.nearest()],
        "cache": asdict(store.cache.stats()),
        "threshold": store.cache.threshold,
        "purge": bool(settings.admin_token),
        "shared": settings.shared,
    }


def table(requests: Series) -> list[Json]:
    rows: dict[tuple[str, str], Json] = {}
    for (api, model, outcome), cell in requests.items():
        row = rows.setdefault((api, model), {"endpoint": api, "model": model, "outcomes": {}})
        row["outcomes"][outcome] = cell[COUNT]
    return list(rows.values())
