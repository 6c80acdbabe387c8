"""Streams on their way: how they end, who may follow them, what is asked for them."""

import asyncio
import threading

import httpx2
from chats import chat, frame, stream
from upstream import KEY, Answer, Model, gateway

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings, Upstream
from semcore.gateway.flight import Asked, Flight, Flights
from semcore.gateway.store import Place
from semcore.wire.question import Tier

HEADERS = {"authorization": f"Bearer {KEY}"}
BODY = {"model": "stub-1", "messages": [{"role": "user", "content": "Where is it?"}], "stream": True}
EVENTS = "text/event-stream"


def post(running, **body):
    return httpx2.post(running.url + "/v1/chat/completions", json={**BODY, **body}, headers=HEADERS)


def test_a_stream_is_kept_when_it_says_that_it_ends():
    """Clients leave then, and the connection may stay open."""
    leave = threading.Event()
    model = Model(lambda asked: Answer([*stream("on its way"), lambda: leave.wait(20)], kind=EVENTS))
    with gateway(model) as running:
        url = running.url + "/v1/chat/completions"
        with httpx2.stream("POST", url, json=BODY, headers=HEADERS) as response:
            for line in response.iter_lines():
                if line == "data: [DONE]":
                    break
        while len(running.cache) == 0:
            pass
        assert post(running).headers["cache-status"].startswith("semcore; hit")
        leave.set()
    assert model.calls == 1


def test_pieces_that_make_no_sense_are_passed_on():
    def piece(function):
        delta = {"tool_calls": [{"index": 0, "function": function}]}
        return frame({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    pieces = [piece("f"), piece({"arguments": "{}"}), *stream("tail")]
    with gateway(Model(lambda asked: Answer(pieces, kind=EVENTS))) as running:
        assert post(running).content == b"".join(pieces)
        assert len(running.cache) == 0


def test_an_upstream_that_refuses_to_tell_usage_is_asked_without():
    def picky(asked):
        if "stream_options" in asked.json:
            return Answer(b'{"error":{"message":"unknown field"}}', status=400)
        return chat(asked)

    model = Model(picky)
    with gateway(model) as running:
        assert post(running).status_code == 200
        assert post(running, model="stub-2").status_code == 200
    assert ["stream_options" in asked.json for asked in model.asked] == [True, False, False]


def test_a_refusal_of_the_request_itself_is_passed_on():
    model = Model(lambda asked: Answer(b'{"error":{"message":"no"}}', status=400))
    with gateway(model) as running:
        assert post(running).status_code == 400
        model.answers = [chat]
        assert post(running).status_code == 200
    assert "stream_options" in model.asked[-1].json


def test_who_has_been_left_is_not_followed():
    async def run():
        flights, place, ask = Flights(), Place(b"n", b"c", "t", Tier.EXACT), Asked("t", None, 1.0)
        flight = Flight(place, ask, True, False)
        flight.leave, flight.task = flights.remove, asyncio.ensure_future(asyncio.sleep(60))
        flights.add(flight)
        assert flights.find(place, ask) is flight
        with flight:
            pass
        assert flights.find(place, ask) is None
        flights.remove(flight)  # once more, as the call does when it has ended

    asyncio.run(run())


def test_realtime_is_refused():
    async def run():
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        with Cache() as cache:
            app = Gateway(Settings({"a": Upstream("a", "http://127.0.0.1:9")}), cache)
            await app({"type": "websocket", "path": "/v1/realtime"}, receive, send)
        assert sent == [{"type": "websocket.close"}]

    asyncio.run(run())
