"""Requests and answers that are wrong in some way: what the gateway does not understand passes through it.

A server on loopback says what the test tells it to say; the gateway is called as an ASGI application.
SEMCORE_FUZZ_REQUESTS: how many requests a seeded generator makes (1000 unless told), from SEMCORE_SEED.
Hypothesis makes others with the same dice, by its profile, and finds the smallest one that fails.
"""

import asyncio
import json
import os
import random
from collections import Counter

import chats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wrong import CHAT, EMBED, REFUSAL, Answer, Wrong, answer, request

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings, Upstream
from semcore.wire.encode import loads, object_of
from semcore.wire.question import Unreadable
from semcore.wire.sse import Frames

REQUESTS = int(os.environ.get("SEMCORE_FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("SEMCORE_SEED") or random.SystemRandom().randrange(1 << 32))
OWN = ("/_semcore", "/metrics")
TOLD = (b"x-semcore-", b"cf-aig-", b"cache-control", b"content-length")  # what the gateway itself may refuse
TOKEN = "0123456789abcdef"


class Server:
    """A model's server that says `answer`, whatever it is asked. asked: how often since it was told."""

    def __init__(self):
        self.asked, self.answer = 0, None

    async def __call__(self, reader, writer):
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway closed it
        finally:
            writer.close()

    async def _exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        fields = dict(line.partition(b":")[::2] for line in head.split(b"\r\n")[1:])
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            while await reader.readuntil(b"\r\n") != b"0\r\n":
                pass
            await reader.readuntil(b"\r\n")
        await reader.readexactly(int(fields.get(b"content-length", b"0")))
        self.asked += 1
        said = self.answer
        length = len(said.body) + 10 * said.cut
        writer.write(
            b"HTTP/1.1 %d Said\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
            % (said.status, said.kind, length)
        )
        if not head.startswith(b"head "):
            writer.write(said.body)
        await writer.drain()
        return not said.cut


ENDS = (b"data: [DONE]", b"event: message_stop", b"event: response.completed")  # what follows does not count


class Client:
    """Calls the application as a server does."""

    def __init__(self, app):
        self._app = app
        self.status, self.headers, self.body, self.whole = 0, {}, b"", False

    async def ask(self, wanted: Wrong):
        pieces = list(wanted.pieces)

        async def receive():
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            await asyncio.Event().wait()

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "root_path": "", "method": wanted.method, "path": wanted.path,
            "raw_path": wanted.path.encode("latin-1"), "query_string": wanted.query,
            "headers": wanted.headers,
        }  # fmt: skip
        await self._app(scope, receive, self._send)
        return self

    async def _send(self, message):
        assert not self.whole
        if message["type"] == "http.response.start":
            assert not self.status
            self.status, self.headers = message["status"], dict(message["headers"])
            assert all(type(part) is bytes for header in message["headers"] for part in header)
        else:
            assert self.status
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body")


class Bench:
    """A gateway before a server, both in this event loop. seen: how requests ended, and how often."""

    def __init__(self):
        self.seen = Counter()
        self._loop = asyncio.Runner()
        self._loop.run(self._open())

    async def _open(self):
        self.server, self.failed = Server(), []
        listening = await asyncio.start_server(self.server, "127.0.0.1", limit=1 << 24)
        port = listening.sockets[0].getsockname()[1]
        self.cache = Cache(max_entries=100)
        upstreams = {"stub": Upstream("stub", f"http://127.0.0.1:{port}")}
        settings = Settings(upstreams=upstreams, retries=0, breaker_failures=0, admin_token=TOKEN)
        self.app = Gateway(settings, self.cache, [self.failed_or_not])
        self._listening = listening

    def failed_or_not(self, seen):
        self.seen[f"{seen.outcome} {seen.status}"] += 1

    def close(self):
        self._loop.run(self.app.close())
        self._listening.close()
        self._loop.close()
        self.cache.close()

    def check(self, dice):
        """One request, and what has to be true of it."""
        wanted = request(dice)
        self.ask(wanted, answer(dice, wanted))

    def ask(self, wanted, said):
        """What the client got, checked."""
        try:
            return self._loop.run(asyncio.wait_for(self._check(wanted, said), 60))
        except BaseException as error:
            error.add_note(f"{wanted}\n{said}")
            raise

    async def _check(self, wanted, said):
        self.server.answer, self.server.asked = said, 0
        got = await Client(self.app).ask(wanted)
        assert self.app.store.resting.failures == self.app.observers.failures == 0
        if not self.server.asked:
            assert got.whole
            refused(wanted, got)
        elif said.cut:
            assert got.status in (502, said.status)
        else:
            assert got.whole
            passed(wanted, said, got)
        ended = not said.cut or any(mark in said.body for mark in ENDS)
        if not ended or said.status != 200 or not understood(wanted.body):
            assert len(self.cache) == 0
        elif len(self.cache):
            self.seen["stored"] += 1
            for again in (wanted, turned(wanted)):
                await self._replayed(again)
            self.cache.clear()
        return got

    async def _replayed(self, wanted):
        """What was stored is given."""
        self.server.asked = 0
        got = await Client(self.app).ask(wanted)
        assert got.whole
        if got.headers[b"cache-status"].startswith(b"semcore; hit"):
            self.seen["replayed"] += 1
            assert (got.status, self.server.asked) == (200, 0)
            if got.headers[b"content-type"] == b"application/json":
                assert object_of(got.body)
            else:
                assert Frames().feed(got.body)


def turned(wanted):
    """The same, as a stream if it was none, and the reverse."""
    stream = b"false" if object_of(wanted.body).get("stream") is True else b"true"
    return wanted._replace(pieces=[wanted.body.rstrip()[:-1] + b',"stream":' + stream + b"}"])


def refused(wanted, got):
    """Answered by the gateway itself."""
    if wanted.path.startswith(OWN):
        assert got.status in (200, 400, 401, 403, 404, 405)
    elif not wanted.path.startswith("/"):
        assert got.status == 400
    else:
        names = {name for name, _ in wanted.headers}
        assert got.status in (400, 413, 504)
        assert any(name.startswith(TOLD) for name in names)


def passed(wanted, said, got):
    """Answered by the server, byte for byte; but a stream's usage is for those who asked for it, and of
    embeddings each is asked for once."""
    assert got.status == said.status
    if wanted.method == "HEAD":
        assert not got.body
    elif got.body != said.body and repeats(wanted):
        assert len(object_of(got.body)["data"]) == len(object_of(wanted.body)["input"])
    elif got.body != said.body:
        assert b"text/event-stream" in said.kind
        frames, at = Frames(), 0
        for frame in frames.feed(said.body):
            if got.body.startswith(frame.raw, at):
                at += len(frame.raw)
            else:
                assert usage_only(frame.data)
        assert got.body[at:] == frames.rest()


def repeats(wanted):
    """Does it ask for the same embedding twice?"""
    if not wanted.path.endswith("/embeddings") or not understood(wanted.body):
        return False
    items = object_of(wanted.body).get("input")
    return isinstance(items, list) and any(items.count(item) > 1 for item in items)


def usage_only(data):
    try:
        said = loads(data)
    except Unreadable:
        return False
    return isinstance(said, dict) and said.get("choices") == [] and said.get("usage") is not None


def understood(body):
    try:
        return bool(object_of(body))
    except Unreadable:
        return False


@pytest.fixture(scope="module")
def bench():
    bench = Bench()
    yield bench
    bench.close()


@given(dice=st.randoms(use_true_random=False))
def test_whatever_is_asked_and_said(bench, dice):
    bench.check(dice)


def test_many(bench):
    print(f"SEMCORE_SEED={SEED}")
    dice = random.Random(SEED)
    for _ in range(REQUESTS):
        bench.check(dice)
    print(dict(bench.seen.most_common()))
    assert bench.seen["stored"]
    assert bench.seen["replayed"]


# ---- what was found ----


def asking(body, path=CHAT, **headers):
    """A request like a client's."""
    told = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    length = [] if "content_length" in headers else [(b"content-length", b"%d" % len(body))]
    return Wrong("POST", path, b"", [(b"content-type", b"application/json"), *told, *length], [body], {})


def nested(depth):
    return b"[" * depth + b"]" * depth


def completion(**more):
    """A completion with more in it, as JSON."""
    rest = b"".join(b',"%s":%s' % (name.encode(), value) for name, value in more.items())
    return Answer(200, b"application/json", json.dumps(chats.completion()).encode()[:-1] + rest + b"}", False)


ORDER = b'"messages":[{"role":"user","content":"Where is my order?"}]'
DEPTHS = (240, 252, 253, 254, 255, 256, 300, 510, 512, 990, 1020, 1030, 5000)


@pytest.mark.parametrize("path", ["@host/completions", "http://host/completions", "*", ":1/completions"])
def test_a_path_names_no_other_host(bench, path):
    assert bench.ask(asking(b"{%s}" % ORDER, path), completion()).status == 400
    assert not bench.server.asked


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "body", [b'{%s,"stream":true,"x":@}', b'{%s,"model":@}', b'{%s,"messages":{"x":@}}', b'{%s,"metadata":@}']
)
def test_requests_that_are_nested_deep(bench, depth, body):
    asked = asking((body % ORDER).replace(b"@", nested(depth)))
    assert bench.ask(asked, completion()).status == 200


@pytest.mark.parametrize("depth", DEPTHS)
def test_items_beside_what_is_nested_deep(bench, depth):
    twice = asking(b'{"input":["a","b","a"],"x":%s}' % nested(depth), EMBED)
    assert bench.ask(twice, Answer(400, b"application/json", REFUSAL, False)).status == 400


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("field", ["x", "model", "usage"])
def test_answers_that_are_nested_deep(bench, depth, field):
    said = completion(**{field: nested(depth)})
    assert bench.ask(asking(b"{%s}" % ORDER), said).status == 200


@pytest.mark.parametrize("path", [CHAT, EMBED])
def test_an_answer_that_is_cut_before_any_of_it_was_passed_on(bench, path):
    said = completion()._replace(cut=True)
    got = bench.ask(asking(b'{%s,"input":"x"}' % ORDER, path), said)
    assert (got.status, got.whole) == (502, True)


@pytest.mark.parametrize("tokens", [2**30, 2**32, 2**53, 2**64 - 1])
def test_more_tokens_than_there_are(bench, tokens):
    before = bench.seen["stored"]
    said = completion(usage=b'{"prompt_tokens":1,"completion_tokens":%d}' % tokens)
    assert bench.ask(asking(b"{%s}" % ORDER), said).status == 200
    assert bench.seen["stored"] == before + 1


def test_more_tokens_of_items_than_there_are(bench):
    data = [{"index": i, "embedding": [0.5]} for i in range(2)]
    usage = {"prompt_tokens": 2**64 - 1, "total_tokens": 7}
    said = Answer(200, b"application/json", json.dumps({"data": data, "usage": usage}).encode(), False)
    got = bench.ask(asking(b'{"input":["a","b","a"]}', EMBED), said)
    assert json.loads(got.body)["usage"] == {"prompt_tokens": 0, "total_tokens": 7}


@pytest.mark.parametrize(
    ("length", "status"), [(b"5, 5", 400), (b"x", 400), (b"-1", 400), (b"\xb2", 400), (b"9" * 5000, 413)]
)
def test_a_length_that_is_none(bench, length, status):
    asked = asking(b"{}", "/v1/files", content_length=length)
    assert bench.ask(asked, completion()).status == status
    assert not bench.server.asked


@pytest.mark.parametrize("id", ["text", "stop", "choices", "finish_reason"])
def test_an_id_that_is_a_word(bench, id):
    choice = {"index": 0, "text": "on its way", "finish_reason": "stop", "logprobs": None}
    said = json.dumps({"id": id, "object": "text_completion", "model": "m", "choices": [choice]}).encode()
    before = bench.seen["replayed"]
    asked = asking(b'{"prompt":"Where is my order?"}', "/v1/completions")
    assert bench.ask(asked, Answer(200, b"application/json", said, False)).body == said
    assert bench.seen["replayed"] == before + 2
