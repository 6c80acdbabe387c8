"""Upstreams that fail, and clients that ask too much."""

import asyncio
import json
import random

import httpx2
import pytest
from chats import chat, completion
from upstream import KEY, Answer, Model, gateway, served

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.attempts import Attempts
from semcore.gateway.breaker import Breaker, Buckets
from semcore.gateway.config import Settings, Upstream
from semcore.gateway.message import Request
from semcore.gateway.upstream import Pool, Route, Unreachable


class Ticking:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def failing(status=503, **headers):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return lambda asked: Answer(b'{"error":{"message":"no"}}', status=status, headers=pairs)


def good(asked):
    return Answer(json.dumps(completion()).encode())


def tried(model, others=(), **settings):
    """The status of one call through `Attempts`, or the error; and how long it slept."""
    ticking = Ticking()

    async def run(ports):
        names = ["a", *(f"b{i}" for i in range(len(others)))]
        upstreams = {
            name: Upstream(name, f"http://127.0.0.1:{port}", tuple(names[1:]) if name == "a" else ())
            for name, port in zip(names, ports, strict=True)
        }
        pool = Pool()
        attempts = Attempts(
            Settings(upstreams=upstreams, **settings), pool, ticking, ticking.sleep, lambda: 1.0
        )
        request = Request("POST", "/v1/chat/completions", b"", [(b"authorization", b"Bearer x")], {})
        try:
            async with attempts.open(Route(upstreams["a"], request.path), request, b"{}") as response:
                await response.read()
                return response.status
        except Unreachable as error:
            return error
        finally:
            await pool.close()

    with served(model) as port:
        if not others:
            return asyncio.run(run([port])), ticking.slept
        with served(others[0]) as other:
            return asyncio.run(run([port, other])), ticking.slept


def test_it_is_tried_again_with_growing_pauses():
    model = Model(failing(), failing(), good)
    assert tried(model, retries=2) == (200, [0.25, 0.5])
    assert model.calls == 3


@pytest.mark.parametrize(
    ("headers", "slept"),
    [({"retry_after": "3"}, [3.0]), ({"retry_after_ms": "1500"}, [1.5]), ({"retry_after": "60"}, [])],
)
def test_retry_after(headers, slept):
    model = Model(failing(429, **headers), good)
    status, pauses = tried(model, retries=1)
    assert pauses == slept
    assert status == (200 if slept else 429)


def test_a_provider_says_whether_to_try_again():
    assert tried(Model(failing(503, x_should_retry="false"), good), retries=1) == (503, [])
    assert tried(Model(failing(409, x_should_retry="true"), good), retries=1) == (200, [0.25])


def test_an_error_of_the_request_is_not_tried_again():
    model = Model(failing(400))
    assert tried(model, retries=3) == (400, [])
    assert model.calls == 1


def test_another_upstream_is_asked_at_once():
    other = Model(good)
    assert tried(Model(failing()), [other], retries=0) == (200, [])
    assert other.calls == 1
    assert other.asked[0].headers["authorization"] == "Bearer x"


def test_the_deadline_holds():
    model = Model(failing())
    assert tried(model, retries=9, deadline=1.0) == (503, [0.25, 0.5])


def test_a_breaker_opens_and_one_call_tries():
    ticking = Ticking()
    breaker = Breaker(3, 10.0, ticking)
    for _ in range(3):
        assert breaker.admits()
        breaker.failed()
    assert breaker.open
    assert not breaker.admits()
    ticking.now += 10
    assert breaker.admits()
    assert not breaker.admits()  # while that one is under way
    breaker.succeeded()
    assert breaker.admits()
    assert breaker.admits()


def test_buckets_equal_a_recount():
    rng, ticking = random.Random(5), Ticking()
    buckets, taken = Buckets(2.0, 5.0, ticking), {b"a": [], b"b": []}
    for _ in range(2000):
        ticking.now += rng.expovariate(3)
        name = rng.choice([b"a", b"b"])
        if buckets.take(name) == 0.0:
            taken[name].append(ticking.now)
    for times in taken.values():
        for i, first in enumerate(times):
            for count, last in enumerate(times[i:], 1):
                assert count <= 5 + 2 * (last - first) + 1e-6


def test_a_wait_is_enough():
    ticking = Ticking()
    buckets = Buckets(0.5, 1.0, ticking)
    assert buckets.take(b"a") == 0.0
    wait = buckets.take(b"a")
    assert wait == pytest.approx(2.0)
    ticking.now += wait
    assert buckets.take(b"a") == 0.0


def post(running, text="hi", key=KEY, path="/v1/chat/completions"):
    body = {"model": "stub-1", "messages": [{"role": "user", "content": text}]}
    return httpx2.post(running.url + path, json=body, headers={"authorization": f"Bearer {key}"})


def test_a_rate_limit_counts_what_goes_upstream_only():
    model = Model(chat)
    with gateway(model, rate=0.001, burst=2) as running:
        assert post(running, "one").status_code == 200
        assert post(running, "two").status_code == 200
        assert post(running, "one").status_code == 200  # a hit costs nothing
        limited = post(running, "three")
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) > 100
        assert post(running, path="/v1/other").status_code == 429
        assert post(running, "three", key="sk-other").status_code == 200


def test_a_dead_upstream_is_an_error_in_the_apis_form_and_hits_go_on():
    model = Model(chat)
    with gateway(model) as running:
        post(running, "known")
        upstreams = running.gateway.settings.upstreams
        upstreams["stub"] = upstreams["stub"]._replace(url="http://127.0.0.1:9")
        assert post(running, "known").status_code == 200
        dead = post(running, "unknown")
        assert dead.status_code == 502
        assert dead.json()["error"]["type"] == "semcore_error"


@pytest.mark.parametrize("part", ["_get_exact", "_store", "_avector"])
def test_a_failing_cache_costs_no_answer(part, monkeypatch):
    def broken(*args):
        raise RuntimeError("broken")

    model = Model(chat)
    cache = Cache(threshold=0.75)
    monkeypatch.setattr(type(cache), part, broken, raising=False)
    with gateway(model, cache=cache) as running:
        for _ in range(3):
            assert post(running).json()["choices"][0]["message"]["content"] == "you said: hi"
        store = running.gateway.store
        failed = store.embedder_resting if part == "_avector" else store.resting
        assert failed.failures > 0
    assert model.calls == (1 if part == "_avector" else 3)


def test_what_is_too_large_passes_and_what_is_far_too_large_does_not():
    model = Model(chat)
    with gateway(model, largest_body=1000, most_body=100_000) as running:
        for _ in range(2):
            assert post(running, "x" * 2000).headers["cache-status"] == "semcore; fwd=bypass; fwd-status=200"
        assert post(running, "x" * 200_000).status_code == 413
    assert model.calls == 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_what_a_fallback_answers_is_told_and_not_stored(path, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    vectors = {"data": [{"index": 0, "embedding": [0.5, 1.0]}], "model": "m", "usage": {"prompt_tokens": 1}}
    other = Model(good if "chat" in path else lambda asked: Answer(json.dumps(vectors).encode()))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    headers = {"authorization": f"Bearer {KEY}", "cookie": "whose=mine"}
    with served(Model(failing())) as port, served(other) as second, Cache(threshold=0.75) as cache:
        upstreams = {
            "a": Upstream("a", f"http://127.0.0.1:{port}", ("b",)),
            "b": Upstream("b", f"http://127.0.0.1:{second}", key_env="OTHER_KEY"),
        }
        with served(Gateway(Settings(upstreams, retries=0), cache)) as own, httpx2.Client() as client:
            for _ in range(2):
                said = client.post(f"http://127.0.0.1:{own}{path}", json=body, headers=headers)
                assert said.status_code == 200
                assert said.headers["cache-status"] == 'semcore; fwd=miss; fwd-status=200; detail="fallback"'
        assert len(cache) == 0
    assert other.calls == 2
    assert other.asked[0].headers["authorization"] == "Bearer sk-other"
    assert "cookie" not in other.asked[0].headers
