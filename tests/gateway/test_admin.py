"""The gateway's own paths: who may see and purge, and what the numbers are."""

import httpx2
import pytest
from chats import chat
from clients import ask, fetch, until
from upstream import KEY, Model, gateway

TOKEN = "admin-token-0123456789"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def model():
    return Model(chat)


@pytest.fixture
def running(model):
    with gateway(model, admin_token=TOKEN) as running:
        yield running


def purge(running, what, **headers):
    return fetch(running, "/_semcore/purge", {"x-semcore-admin": TOKEN, **headers}, what)


def test_with_a_token_the_numbers_need_it(running):
    assert fetch(running, "/_semcore/stats")[0] == 401
    assert fetch(running, "/_semcore/stats", {"authorization": "Bearer wrong"})[0] == 401
    assert fetch(running, "/_semcore/stats?token=" + TOKEN)[0] == 401
    assert fetch(running, "/_semcore/stats", BEARER)[0] == 200
    assert fetch(running, "/_semcore/stats", {"x-semcore-admin": TOKEN})[0] == 200


def test_without_a_token_only_loopback_sees_and_nobody_purges(model):
    with gateway(model, local=True) as running:
        assert fetch(running, "/_semcore/stats")[0] == 200
        assert fetch(running, "/_semcore/stats", {"host": "evil.example:80"})[0] == 403
        status, told = fetch(running, "/_semcore/purge", {"x-semcore-admin": ""}, {"everything": True})
        assert (status, "admin token" in told["error"]) == (403, True)
    with gateway(model) as running:
        assert fetch(running, "/_semcore/stats")[0] == 403


def test_page_and_health_are_for_all(running):
    status, page = fetch(running, "/_semcore/")
    assert status == 200
    assert page.startswith("<!doctype html>")
    assert fetch(running, "/_semcore/health") == (200, {"status": "ok"})
    running.gateway.store.resting.failed(RuntimeError())
    assert fetch(running, "/_semcore/health") == (200, {"status": "degraded"})


def test_what_is_not_there(running):
    assert fetch(running, "/_semcore/nothing", BEARER)[0] == 404
    assert fetch(running, "/_semcore/stats", BEARER, {})[0] == 405
    assert fetch(running, "/_semcore/purge", BEARER)[0] == 405


def test_purge_by_id(running, model):
    ask(running, "one")
    ask(running, "two")
    id = next(iter(running.cache))
    assert purge(running, {"id": id}) == (200, {"removed": 1})
    assert purge(running, {"id": id}) == (200, {"removed": 0})
    assert len(running.cache) == 1


def test_purge_by_tag_is_of_whoever_asks(running, model):
    for key in (KEY, "sk-other"):
        ask(running, "one", key=key, extra_headers={"x-semcore-tags": "shop, faq"})
    assert purge(running, {"tag": "shop"}) == (200, {"removed": 0})
    assert purge(running, {"tag": "shop"}, authorization=f"Bearer {KEY}") == (200, {"removed": 1})
    assert len(running.cache) == 1
    ask(running, "one")
    assert model.calls == 3


def test_purge_by_a_tag_beyond_ascii(running):
    said = {"authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=running.url, headers={"x-semcore-tags": "größe, shop".encode()}) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "one"}]}
        client.post("/v1/chat/completions", json=body, headers=said).raise_for_status()
    assert purge(running, {"tag": "große"}, **said) == (200, {"removed": 0})
    assert purge(running, {"tag": "größe"}, **said) == (200, {"removed": 1})


def test_purge_of_a_namespace_and_of_everything(running):
    credential = {"authorization": f"Bearer {KEY}"}
    ask(running, "one", extra_headers={"x-semcore-namespace": "blue"})
    ask(running, "one")
    ask(running, "two")
    assert purge(running, {"namespace": "blue"}, **credential) == (200, {"removed": 1})
    assert purge(running, {"everything": True}) == (200, {"removed": 2})
    assert len(running.cache) == 0


@pytest.mark.parametrize(
    "what", [{}, [], {"id": "1"}, {"id": True}, {"everything": False}, {"id": 1, "tag": "a"}, {"tag": 1}]
)
def test_a_purge_that_is_not_understood_removes_nothing(running, what):
    ask(running)
    status, told = purge(running, what)
    assert status == 400
    assert told["error"].startswith("expected")
    assert len(running.cache) == 1


def test_numbers(running):
    ask(running, "What is my order status?")
    ask(running, "What is my order status?")
    ask(running, "what's the status of my order?", stream=True)
    until(lambda: sum(fetch(running, "/_semcore/stats", BEARER)[1]["requests"].values()) == 3)
    told = fetch(running, "/_semcore/stats", BEARER)[1]
    assert told["requests"] == {"miss": 1, "hit_exact": 1, "hit_semantic": 1}
    assert told["answered_without_a_model"] == 2
    assert told["saved"]["input_tokens"] == 22
    assert told["saved"]["output_tokens"] == 14
    assert told["unpriced"] == 2
    assert told["upstreams"] == {"stub": 1}
    assert sum(told["latency"]["outcomes"]["hit_exact"]) == 1
    assert sum(told["similarity"]["hit"]) == 1
    assert told["models"] == [
        {
            "endpoint": "chat.completions",
            "model": "stub-1",
            "outcomes": {"miss": 1, "hit_exact": 1, "hit_semantic": 1},
        }
    ]
    assert told["cache"]["entries"] == 1
    assert told["near_misses"] == []


@pytest.mark.parametrize("texts", [False, True])
def test_near_misses(model, texts):
    first, second = "What is my order status?", "what's the status of my order?"
    with gateway(model, threshold=0.98, admin_token=TOKEN, show_texts=texts) as running:
        ask(running, first)
        ask(running, second)
        stats = lambda: fetch(running, "/_semcore/stats", BEARER)[1]  # noqa: E731
        until(lambda: stats()["near_misses"])
        told = stats()
    (near,) = told["near_misses"]
    assert 0.78 < near["similarity"] < 0.98 == near["threshold"]
    assert (near["api"], near["model"]) == ("chat.completions", "stub-1")
    assert (near["asked"], near["nearest"]) == ((second, first) if texts else (None, None))
    assert sum(told["similarity"]["near_miss"]) == 1
