"""What observers are told of requests that are over."""

import logging
import urllib.error
import urllib.request

import clients
import openai
import pytest
from chats import chat
from clients import ask
from upstream import Answer, Model, gateway

from semcore import Cache


@pytest.fixture
def told():
    return []


@pytest.fixture
def model():
    return Model(chat)


@pytest.fixture
def running(model, told):
    with gateway(model, stale_while_revalidate=60.0, observers=[told.append]) as running:
        yield running


def until(told, count):
    """What was told, once so much was: a request is told of after its response has gone."""
    clients.until(lambda: len(told) >= count)
    assert len(told) == count
    return told


def test_a_miss_and_its_hit(running, told):
    ask(running)
    ask(running)
    miss, hit = until(told, 2)
    assert (miss.api, miss.model, miss.upstream) == ("chat.completions", "stub-1", "stub")
    assert (miss.outcome, miss.status, miss.stream) == ("miss", 200, False)
    assert (miss.input, miss.output, miss.finish) == (11, 7, ["stop"])
    assert (miss.saved_input, miss.saved_output, miss.saved_seconds) == (0, 0, 0.0)
    assert 0 < miss.upstream_first_byte <= miss.upstream_seconds <= miss.seconds
    assert miss.upstream_seconds <= miss.first_byte <= miss.seconds
    assert (hit.outcome, hit.status, hit.similarity) == ("hit_exact", 200, 1.0)
    assert (hit.saved_input, hit.saved_output, hit.finish) == (11, 7, ["stop"])
    assert hit.saved_seconds == pytest.approx(miss.upstream_seconds, abs=0.01)
    assert (hit.saved_cost, hit.stored) == (None, None)  # nobody knows what a stub costs
    assert hit.upstream_seconds is None
    assert miss.stored == next(iter(running.cache))


def test_a_paraphrase(running, told):
    ask(running, "What is my order status?")
    ask(running, "what's the status of my order?", stream=True)
    hit = until(told, 2)[1]
    assert (hit.outcome, hit.stream) == ("hit_semantic", True)
    assert 0.75 < hit.similarity < 1


def test_what_is_not_looked_up(running, told):
    ask(running, extra_headers={"cache-control": "no-store"})
    ask(running, extra_body={"store": True})
    assert [seen.outcome for seen in until(told, 2)] == ["bypass", "bypass"]


def test_what_passes_through(told):
    model = Model(lambda asked: Answer(b"{}"), lambda asked: Answer(b"{}", status=404))
    with gateway(model, observers=[told.append]) as running:
        urllib.request.urlopen(running.url + "/v1/models")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(running.url + "/v1/chat/completions", data=b"not JSON")
        seen, unread = until(told, 2)
    assert (seen.api, seen.model, seen.upstream) == ("", "", "stub")
    assert [(each.outcome, each.status) for each in (seen, unread)] == [("passed", 200), ("passed", 404)]


def test_our_own_errors(running, told):
    for headers in ({"x-semcore-ttl": "soon"}, {"cache-control": "only-if-cached"}):
        with pytest.raises(openai.APIStatusError):
            ask(running, extra_headers=headers)
    assert [(seen.outcome, seen.status) for seen in until(told, 2)] == [("error", 400), ("error", 504)]


def test_an_upstream_that_is_not_there(told, model):
    with gateway(model, observers=[told.append]) as running:
        running.gateway.settings.upstreams["stub"] = running.gateway.settings.upstreams["stub"]._replace(
            url="http://127.0.0.1:9"
        )
        with pytest.raises(openai.InternalServerError):
            ask(running)
        assert [(seen.outcome, seen.status) for seen in until(told, 1)] == [("error", 502)]


def test_a_model_that_fails_is_a_miss_with_its_status(told):
    with gateway(Model(lambda asked: Answer(b"{}", status=429)), observers=[told.append]) as running:
        with pytest.raises(openai.RateLimitError):
            ask(running)
        assert [(seen.outcome, seen.status, seen.stored) for seen in until(told, 1)] == [("miss", 429, None)]


def test_a_stale_answer_and_the_call_behind_it(told, model):
    now = [1000.0]
    cache = Cache(threshold=0.75, clock=lambda: now[0])
    settings = {"ttl": 10.0, "stale_while_revalidate": 60.0, "observers": [told.append]}
    with gateway(model, cache=cache, **settings) as running:
        ask(running)
        now[0] += 20
        ask(running)
        outcomes = {seen.outcome: seen for seen in until(told, 3)}
    assert set(outcomes) == {"miss", "stale", "refresh"}
    assert outcomes["stale"].age == 20
    assert outcomes["stale"].saved_input == 11
    assert outcomes["refresh"].upstream_seconds > 0
    assert (outcomes["refresh"].status, outcomes["refresh"].saved_input) == (200, 0)
    assert outcomes["refresh"].stored is not None


def test_a_broken_observer_is_said_once_and_costs_no_answer(told, model, caplog):
    def broken(seen):
        raise RuntimeError("Where is my order?")

    with caplog.at_level(logging.WARNING), gateway(model, observers=[broken, told.append]) as running:
        ask(running)
        ask(running)
        assert len(until(told, 2)) == 2
        assert running.gateway.observers.failures == 2
    lines = [record.message for record in caplog.records if "observer" in record.message]
    assert len(lines) == 1
    assert "RuntimeError" in lines[0]
    assert "order" not in lines[0]
