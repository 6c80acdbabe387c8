"""Requests that pass through, and requests of the same bytes that do not mean the same."""

import asyncio
import json

import httpx2
import pytest
from chats import chat
from upstream import KEY, Answer, Model, gateway

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings, Upstream
from semcore.gateway.message import sent

HEADERS = {"authorization": f"Bearer {KEY}"}


class Connections(Model):
    """Notes from which ports it is asked."""

    def __init__(self, *answers):
        super().__init__(*answers)
        self.ports = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.ports.append(scope["client"][1])
        await super().__call__(scope, receive, send)


def test_what_passes_with_a_body_leaves_the_connection_for_the_next():
    model = Connections(lambda asked: Answer(asked.body))
    with gateway(model) as running, httpx2.Client() as client:
        for number in range(3):
            said = {"number": number}
            assert client.post(running.url + "/v1/audits", json=said).json() == said
    assert len(set(model.ports)) == 1


def test_a_body_that_comes_at_once_and_has_no_length_is_measured():
    told, body = [], b"x" * 2000

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        told.append(message)

    async def run(cache):
        settings = Settings({"stub": Upstream("stub", "http://127.0.0.1:1")}, most_body=1000)
        app = Gateway(settings, cache)
        scope = {"type": "http", "method": "POST", "path": "/v1/files", "query_string": b"", "headers": []}
        await app(scope, receive, send)
        await app.close()

    with Cache() as cache:
        asyncio.run(run(cache))
    assert told[0]["status"] == 413


def test_the_same_bytes_at_another_path_are_another_question():
    model = Model(chat)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    paths = [f"/openai/deployments/{name}/chat/completions" for name in ("one", "two")]
    with gateway(model, base="") as running:
        for path in [*paths, *paths]:
            httpx2.post(running.url + path, content=body, headers=HEADERS).raise_for_status()
    assert [asked.path for asked in model.asked] == paths


def asked_with(running, *more):
    """One question, with more in the body as JSON."""
    for each in more:
        body = (
            f'{{"model": "m", "messages": [{{"role": "user", "content": "{each[0]}"}}], {each[1]}}}'.encode()
        )
        path = running.url + "/v1/chat/completions"
        httpx2.post(path, content=body, headers=HEADERS).raise_for_status()


def test_what_is_between_the_client_and_the_gateway_does_not_go_on():
    headers = [(b"host", b"gateway"), (b"expect", b"100-continue"), (b"fastly-key", b"k"), (b"x-own", b"1")]
    assert sent(headers, plain=False, length=True) == [(b"x-own", b"1")]


@pytest.mark.parametrize(
    ("numbers", "calls"),
    [((2**64, 2**64 + 1, 2**64), 3), ((-(2**63) - 1,) * 2, 2), ((2**64 - 1, -(2**63), 2**64 - 1), 2)],
)
def test_whole_numbers_beyond_64_bits_pass(numbers, calls):
    model = Model(chat)
    with gateway(model) as running:
        asked_with(running, *(("hi 12345678901234567890", f'"seed": {number}') for number in numbers))
    assert model.calls == calls
    assert f'"seed": {numbers[0]}'.encode() in model.asked[0].body


@pytest.mark.parametrize("text", ["hi", "an escaped \\u0022 that hides a quote", 'another \\"'])
def test_a_key_that_is_said_twice_goes_on_as_it_was_read(text):
    model = Model(chat)
    with gateway(model) as running:
        asked_with(running, (text, '"seed": 1, "seed": 2'), (text, '"seed": 2'))
    (asked,) = model.asked
    assert asked.body.count(b"seed") == 1
    assert asked.json["seed"] == 2
