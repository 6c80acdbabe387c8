"""Metrics after traffic of which every count is known, of one worker and of several."""

import json
import re
from pathlib import Path

import pytest
from chats import chat
from clients import ask, fetch, until
from prometheus_client.parser import text_string_to_metric_families
from upstream import Model, gateway

from semcore import Cache, ConfigError
from semcore.gateway.metrics import Metrics
from semcore.gateway.seen import Observers, Seen
from semcore.gateway.store import Store
from semcore.gateway.tally import MODELS, Near, Tally
from semcore.gateway.workers import Noticeboard, counting_together

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana.json"


def samples(text):
    """Values by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(values, name, **labels):
    return values.get(("semcore_" + name, *sorted(labels.items())), 0)


def seen(model="m", outcome="hit_exact", **fields):
    plain = Seen(
        "chat.completions", model, "stub", outcome, False, 200, 0.0003, 0.0002, None, None, 1.0, 3.0, 11, 7,
        ["stop"], False, 0, 0, None, 0.0, None,
    )  # fmt: skip
    return plain._replace(**fields)


@pytest.fixture
def tally():
    return Tally(Noticeboard(None), None)


@pytest.fixture
def told(tally):
    """What a scrape gives."""
    with Cache(max_entries=100, max_bytes="4 MiB", embed=None) as cache:
        yield lambda: samples(Metrics(tally, Store(cache), Observers()).text().decode())


def test_after_traffic():
    with gateway(Model(chat)) as running:
        ask(running, "What is my order status?")
        ask(running, "What is my order status?")
        ask(running, "What is my order status?", stream=True)
        ask(running, "what's the status of my order?")
        ask(running, "Tell me a joke", extra_headers={"cache-control": "no-store"})
        until(
            lambda: (
                sum(cell[0] for key, cell in running.gateway.tally.series().items() if "request" in key) == 5
            )
        )
        status, text = fetch(running, "/metrics")
    assert status == 200
    values = samples(text)
    labels = {"endpoint": "chat.completions", "model": "stub-1"}
    assert value(values, "requests_total", outcome="miss", **labels) == 1
    assert value(values, "requests_total", outcome="hit_exact", **labels) == 2
    assert value(values, "requests_total", outcome="hit_semantic", **labels) == 1
    assert value(values, "requests_total", outcome="bypass", **labels) == 1
    assert value(values, "request_duration_seconds_count", outcome="hit_exact") == 2
    assert value(values, "request_duration_seconds_bucket", outcome="hit_exact", le="+Inf") == 2
    assert value(values, "upstream_requests_total", upstream="stub", status="200") == 2
    assert value(values, "upstream_duration_seconds_count", upstream="stub") == 2
    assert value(values, "upstream_ttfb_seconds_count", upstream="stub") == 2
    assert value(values, "upstream_tokens_total", upstream="stub", type="input") == 22
    assert value(values, "saved_tokens_total", type="input") == 33
    assert value(values, "saved_tokens_total", type="output") == 21
    assert value(values, "saved_unpriced_total") == 3
    assert value(values, "saved_seconds_total") > 0
    assert value(values, "similarity_count", outcome="hit") == 1
    assert value(values, "entries") == 1
    assert value(values, "puts_total") == 1


def test_they_can_be_off():
    with gateway(Model(chat), metrics=False) as running:
        assert fetch(running, "/metrics")[0] == 500  # the model's: it expects a chat


def test_prices_where_they_are_known(monkeypatch):
    pytest.importorskip("genai_prices", reason="needs the extra prices")
    monkeypatch.setattr("semcore.gateway.fetch.answer_price", lambda url, model, answer, output: 0.25)
    with gateway(Model(chat)) as running:
        ask(running)
        ask(running)
        ask(running)
        hits = lambda: value(samples(fetch(running, "/metrics")[1]), "saved_cost_usd_total", model="stub-1")  # noqa: E731
        until(lambda: hits() == 0.5)
        assert value(samples(fetch(running, "/metrics")[1]), "saved_unpriced_total") == 0


def test_buckets_are_inclusive_and_add_up(tally, told):
    for seconds in (0.00005, 0.0001, 0.00011, 5.0, 1000.0):
        tally(seen(seconds=seconds))
    values = told()
    bucket = lambda le: value(values, "request_duration_seconds_bucket", outcome="hit_exact", le=le)  # noqa: E731
    assert [bucket(le) for le in ("0.0001", "0.0002", "2.0", "5.0", "60.0", "+Inf")] == [2, 3, 3, 4, 4, 5]
    assert value(values, "request_duration_seconds_sum", outcome="hit_exact") == pytest.approx(1005.00026)


def test_costs_are_summed_and_what_has_none_is_counted(tally, told):
    tally(seen("dear", saved=True, saved_cost=0.5, saved_input=3, saved_seconds=2.0))
    tally(seen("dear", saved=True, saved_cost=0.25))
    tally(seen("strange", saved=True, saved_cost=None))
    values = told()
    assert value(values, "saved_cost_usd_total", model="dear") == 0.75
    assert ("semcore_saved_cost_usd_total", ("model", "strange")) not in values
    assert value(values, "saved_unpriced_total") == 1
    assert value(values, "saved_seconds_total") == 2.0


def test_names_of_models_come_from_clients_and_are_bounded(tally, told):
    tally(seen("invented", status=404))
    tally(seen("x" * 101))
    for i in range(3 * MODELS):
        tally(seen(f"model-{i}"))
    models = {dict(key[1:])["model"] for key in told() if key[0] == "semcore_requests_total"}
    assert len(models) == MODELS + 1
    assert "invented" not in models
    assert "other" in models
    labels = {"endpoint": "chat.completions", "outcome": "hit_exact"}
    assert value(told(), "requests_total", model="other", **labels) == 2 + 2 * MODELS
    assert value(told(), "requests_total", model="model-0", **labels) == 1


def test_workers_are_added_up(tmp_path):
    later = []
    with counting_together(tmp_path / "cache") as directory:
        a, b = (Tally(Noticeboard(directory), later.append) for _ in range(2))
        for tally in (a, a, b):
            tally(seen())
        b.near(Near(5.0, "chat.completions", "m", 0.7, 0.9, 1.0))
        a.near(Near(6.0, "chat.completions", "m", 0.8, 0.9, 1.0))
        assert len(later) == 2  # one write for all that happens in a second
        for publish in later:
            publish()
        b(seen())
        key = ("request", "chat.completions", "m", "hit_exact")
        assert a.series()[key][0] == 3  # b has yet to write its second
        assert b.series()[key][0] == 4
        assert [near.when for near in a.nearest()] == [6.0, 5.0]
        assert a.nearest() == b.nearest()
        later[-1]()
        assert a.series()[key][0] == 4
        with pytest.raises(ConfigError, match="another gateway"), counting_together(tmp_path / "cache"):
            pass
    assert not Path(directory).exists()


def test_what_a_killed_gateway_left_is_not_counted(tmp_path):
    left = tmp_path / "cache.metrics"
    left.mkdir()
    (left / "1-00000000.json").write_text(json.dumps({"series": [["request", "a", "m", "miss"], [1]]}))
    with counting_together(tmp_path / "cache") as directory:
        assert Noticeboard(directory).others() == []


def test_the_dashboard_asks_for_what_there_is(tally, told):
    tally(seen(saved=True, saved_cost=1.0))
    tally(seen(outcome="miss", upstream_seconds=1.0, upstream_first_byte=0.5))
    tally.near(Near(0.0, "a", "m", 0.7, 0.9, 1.0))
    values = told()
    labels = {}
    for name, *pairs in values:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    for query in queries:
        names = re.findall(r"semcore_\w+", query)
        assert names, query
        for name in names:
            assert name in labels, query
        for by in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in by.split(",")} <= labels[names[0]], query
