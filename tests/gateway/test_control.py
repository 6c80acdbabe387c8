"""What requests say about caching, and what responses say: RFC 9111, RFC 9211, ours and Cloudflare's."""

import json

import httpx2
import pytest
from chats import chat, completion
from upstream import KEY, Answer, Model, gateway

from semcore import Cache

TEXT = "Where is my order?"


def ask(running, text=TEXT, headers=None, **body):
    body = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **body}
    headers = {"authorization": f"Bearer {KEY}", **(headers or {})}
    return httpx2.post(running.url + "/v1/chat/completions", json=body, headers=headers)


def status(response):
    return response.headers["cache-status"].removeprefix("semcore; ")


def failing(asked):
    return Answer(b'{"error":{"message":"overloaded"}}', status=503)


def at(clock):
    return Cache(threshold=0.75, clock=clock)


@pytest.fixture
def model():
    return Model(chat)


def test_no_store_neither_looks_nor_stores(model):
    with gateway(model) as running:
        assert status(ask(running, headers={"cache-control": "no-store"})) == "fwd=request; fwd-status=200"
        assert status(ask(running)) == "fwd=miss; fwd-status=200; stored"
        ask(running, headers={"Cache-Control": "No-Store"})
    assert model.calls == 3


def test_no_cache_asks_again_and_stores(model):
    model.answers = [lambda asked: Answer(json.dumps(completion("old")).encode()), chat]
    with gateway(model) as running:
        ask(running)
        assert (
            status(ask(running, headers={"cache-control": "no-cache"}))
            == "fwd=request; fwd-status=200; stored"
        )
        again = ask(running)
    assert status(again) == "hit; detail=exact"
    assert again.json()["choices"][0]["message"]["content"] == f"you said: {TEXT}"


def test_only_if_cached(model):
    with gateway(model) as running:
        response = ask(running, headers={"cache-control": "only-if-cached"})
        assert response.status_code == 504
        assert model.calls == 0
        ask(running)
        assert ask(running, headers={"cache-control": "only-if-cached"}).status_code == 200


def test_ages(model, clock):
    with gateway(model, cache=at(clock), ttl=60, stale_while_revalidate=600) as running:
        ask(running)
        clock.step(40)
        hit = ask(running)
        assert status(hit) == "hit; ttl=20; detail=exact"
        assert hit.headers["age"] == "40"
        assert status(ask(running, headers={"cache-control": "max-age=30"})).startswith("fwd=stale")
        clock.step(70)
        assert status(ask(running, headers={"cache-control": "max-stale=20"})) == "hit; ttl=-10; detail=exact"
    assert model.calls == 2


def test_stale_while_revalidate(model, clock):
    with gateway(model, cache=at(clock), ttl=60, stale_while_revalidate=30) as running:
        ask(running)
        clock.step(70)
        assert status(ask(running)) == "hit; ttl=-10; detail=exact"
        while model.calls < 2 or status(ask(running)) != "hit; ttl=60; detail=exact":
            pass  # the new answer comes behind our back
        clock.step(95)
        assert status(ask(running)) == "fwd=miss; fwd-status=200; stored"


@pytest.mark.parametrize("dead", [False, True])
def test_stale_if_error(model, clock, dead):
    model.answers = [chat, failing]
    with gateway(model, cache=at(clock), ttl=60, stale_if_error=3600) as running:
        ask(running)
        clock.step(100)
        if dead:
            upstreams = running.gateway.settings.upstreams
            upstreams["stub"] = upstreams["stub"]._replace(url="http://127.0.0.1:9")
        stale = ask(running)
        assert stale.status_code == 200
        said = "" if dead else "fwd-status=503; "
        assert status(stale) == f"fwd=stale; {said}ttl=-40; detail=stale-if-error"
        assert stale.json()["choices"][0]["message"]["content"] == f"you said: {TEXT}"
        clock.step(3700)
        assert ask(running).status_code == (502 if dead else 503)


def test_a_threshold_is_raised_only(model):
    paraphrase = "what's the status of my order?"
    with gateway(model) as running:
        ask(running, "What is my order status?")
        assert status(ask(running, paraphrase, {"x-semcore-threshold": "0.99"})).startswith("fwd=miss")
        ask(running, "Do you ship to Canada?")
        assert status(ask(running, "Can you bake bread?", {"x-semcore-threshold": "-1"})).startswith(
            "fwd=miss"
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-semcore-ttl", "soon"),
        ("x-semcore-ttl", "0"),
        ("x-semcore-tags", "a," * 65 + "a"),
        ("x-semcore-ttl", "-1"),
        ("x-semcore-threshold", "nan"),
        ("x-semcore-mode", "fast"),
    ],
)
def test_a_header_that_is_not_understood(model, name, value):
    with gateway(model) as running:
        response = ask(running, headers={name: value})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(name + ": expected")
    assert model.calls == 0


def test_namespaces_and_tags(model):
    with gateway(model) as running:
        ask(running, headers={"x-semcore-namespace": "a", "x-semcore-tags": "orders, faq"})
        assert status(ask(running, headers={"x-semcore-namespace": "b"})).startswith("fwd=miss")
        assert status(ask(running, headers={"x-semcore-namespace": "a"})).startswith("hit")


def test_cloudflares_headers(model, clock):
    with gateway(model, cache=at(clock)) as running:
        miss = ask(running, headers={"cf-aig-cache-ttl": "60"})
        assert miss.headers["cf-aig-cache-status"] == "MISS"
        hit = ask(running, headers={"cf-aig-cache-ttl": "60"})
        assert hit.headers["cf-aig-cache-status"] == "HIT"
        assert status(hit) == "hit; ttl=60; detail=exact"
        assert status(ask(running, headers={"cf-aig-skip-cache": "true"})).startswith("fwd=request")
        keyed = {"cf-aig-cache-key": "k", "fastly-key": "secret"}
        ask(running, "one", keyed)
        assert status(ask(running, "quite another", keyed)) == "hit; detail=exact"
    assert all(
        not name.startswith(("cf-aig", "x-semcore", "fastly"))
        for asked in model.asked
        for name in asked.headers
    )


@pytest.mark.parametrize("mode", ["coalesced", "faithful", "paced"])
def test_modes(model, mode):
    with gateway(model, pace=10_000) as running:
        first = ask(running, stream=True)
        again = ask(running, headers={"x-semcore-mode": mode}, stream=True)
    pieces = {"coalesced": 1, "faithful": 6, "paced": 6}  # of "you said: Where is my order?"
    assert again.text.count('"content":"') == pieces[mode] + 1  # the first one gives the role
    assert text_of(first) == text_of(again) == f"you said: {TEXT}"


def text_of(response):
    chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
