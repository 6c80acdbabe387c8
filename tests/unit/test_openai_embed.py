"""Vectors by HTTP: batches, order, retries, refusals, the kept vectors, and the key that is never shown.

The server is a stub on loopback; waits are recorded instead of slept.
"""

import asyncio
import builtins
import gc
import gzip
import json
import logging
import os
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import in_children

import semcore
from semcore.embed import OpenAICompatible
from semcore.embed.http.wire import Backoff

pytest.importorskip("httpx2", reason="needs the extra http")

DIM = 8
KEY = "sk-secret-0123456789"


def vector(text, dim=DIM):
    v = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(dim).astype(np.float32)
    return v / np.linalg.norm(v)


def data_of(texts, dim=DIM):
    return [{"index": i, "embedding": vector(text, dim).tolist()} for i, text in enumerate(texts)]


class Stub(ThreadingHTTPServer):
    """An embeddings server. `script` holds what the next requests get; then all are answered well.

    An item is (status, headers, body), or a function of the asked texts that returns one. A body of pieces
    is announced as longer than it is.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked, self.seen = [], [], []
        self.refuses = lambda texts: False
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, address):
        pass  # a client that timed out is not there any more

    def answer(self, texts):
        if self.script:
            item = self.script.pop(0)
            return item(texts) if callable(item) else item
        if self.refuses(texts):
            return 400, {}, {"error": {"message": "a text is too long"}}
        return 200, {}, {"data": data_of(texts)[::-1]}  # in another order than asked


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, dict(self.headers), sent))
        self.server.asked.append(sent["input"])
        status, headers, body = self.server.answer(sent["input"])
        pieces = body if isinstance(body, Iterator) else None
        body = body if isinstance(body, bytes) or pieces else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(1_000_000 if pieces else len(body)))
        self.end_headers()
        for piece in pieces or [body]:
            self.wfile.write(piece)

    def log_message(self, *args):
        pass


@pytest.fixture
def stub(monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    server = Stub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def make(stub, waits):
    """An embedder of the stub, whose waits are recorded."""
    made = []

    async def asleep(seconds):
        waits.append(seconds)

    def build(**options):
        retries = Backoff(
            options.pop("retries", 4),
            sleep=waits.append,
            asleep=asleep,
            clock=lambda: 1e9,
            chance=lambda: 0.0,
        )
        options = {"url": stub.url, "model": "m", "dim": DIM, "api_key": KEY, "retries": retries} | options
        made.append(OpenAICompatible(**options))
        return made[-1]

    yield build
    for embed in made:
        embed.close()


def run(embed, main):
    """`main()` in an event loop, whose connections are closed."""

    async def whole():
        try:
            return await main()
        finally:
            await embed.aclose()

    return asyncio.run(whole())


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """(embedder, texts) -> vectors, by both drivers."""
    if request.param == "sync":
        return lambda embed, texts: embed.embed_many(texts)
    return lambda embed, texts: run(embed, lambda: embed.aembed_many(texts))


def same(vectors, texts):
    assert len(vectors) == len(texts)
    for got, text in zip(vectors, texts, strict=True):
        assert got.dtype == np.float32
        assert np.allclose(got, vector(text), atol=1e-6)


# ---- batches and order ----


def test_answers_are_ordered_by_their_index(stub, make, ask):
    texts = ["c", "a", "b", "a"]
    same(ask(make(), texts), texts)
    assert stub.asked == [["c", "a", "b"]]  # the second "a" costs nothing


def test_many_texts_are_sent_in_batches(stub, make, ask):
    texts = [f"text {i}" for i in range(150)]
    same(ask(make(batch=64), texts), texts)
    assert sorted(map(len, stub.asked)) == [22, 64, 64]


def test_what_is_sent(stub, make):
    make(shorten=True)("h\u00e9llo \ud800")
    make(url=stub.url + "/embeddings?api-version=1", key_header="api-key", max_cached=0)("x")
    make(api_key="")("y")
    (path, headers, sent), (azure, azure_headers, _), (_, keyless, plain) = stub.seen
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert sent == {"model": "m", "dimensions": DIM, "input": ["h\u00e9llo ?"]}
    assert azure == "/v1/embeddings?api-version=1"
    assert azure_headers["api-key"] == KEY
    assert "Authorization" not in azure_headers
    assert not {"Authorization", "api-key"} & set(keyless)
    assert set(plain) == {"model", "input"}


def test_blank_texts_have_no_vector_and_are_not_sent(stub, make, ask):
    vectors = ask(make(), ["", "a", " \n\t"])
    assert [v is None for v in vectors] == [True, False, True]
    assert stub.asked == [["a"]]
    assert ask(make(), []) == []


def test_callers_of_one_loop_travel_together(stub, make):
    embed = make(batch=64)
    texts = [f"text {i % 100}" for i in range(200)]

    async def main():
        vectors = await asyncio.gather(*(embed.aembed(text) for text in texts))
        same(vectors, texts)

    run(embed, main)
    assert sorted(map(len, stub.asked)) == [36, 64]


def test_a_text_under_way_is_not_asked_again(stub, make):
    embed = make()
    arrived, go = threading.Event(), threading.Event()

    def held(texts):
        arrived.set()
        go.wait(20)
        return 200, {}, {"data": data_of(texts)}

    stub.script = [held]

    async def main():
        first = asyncio.create_task(embed.aembed("same"))
        await asyncio.to_thread(arrived.wait, 20)
        second = asyncio.create_task(embed.aembed("same"))
        await asyncio.sleep(0.05)
        go.set()
        same([await first, await second], ["same", "same"])

    run(embed, main)
    assert stub.asked == [["same"]]


def test_a_caller_who_leaves_takes_nobody_along(stub, make):
    embed = make()

    async def main():
        tasks = [asyncio.create_task(embed.aembed(text)) for text in ("a", "b", "a")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        same(results[1:], ["b", "a"])

    run(embed, main)
    assert stub.asked == [["a", "b"]]


def test_if_all_leave_an_error_is_not_a_complaint(stub, make, caplog):
    embed = make()
    stub.script = [(404, {}, {})]

    async def main():
        task = asyncio.create_task(embed.aembed("a"))
        await asyncio.sleep(0)
        task.cancel()
        while embed._lanes[asyncio.get_running_loop()][0]._asked:
            await asyncio.sleep(0.01)

    run(embed, main)
    gc.collect()
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]


def test_a_trip_that_is_cancelled_leaves_nobody_waiting(stub, make):
    embed = make()

    async def main():
        waiting = asyncio.create_task(embed.aembed("a"))
        await asyncio.sleep(0)
        lane = embed._lanes[asyncio.get_running_loop()][0]
        lane._depart()
        for trip in list(lane._trips):
            trip.cancel()  # before it began
        with pytest.raises(asyncio.CancelledError):
            await waiting
        same([await embed.aembed("a")], ["a"])

    run(embed, main)


def test_one_loop_after_another_and_threads(stub, make):
    embed = make(max_cached=0)
    for text in ("a", "b", "c"):
        same([run(embed, lambda text=text: embed.aembed(text))], [text])
    assert not embed._lanes
    texts = [f"text {i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        same(list(pool.map(embed, texts)), texts)


def test_a_forked_child_has_its_own_connections(stub, make):
    embed = make()
    embed("before")
    in_children([lambda i=i: same([embed(f"child {i}")], [f"child {i}"]) for i in range(3)])
    same([embed("after"), embed("before")], ["after", "before"])
    assert len(stub.asked) == 5


# ---- failures ----


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_what_passes_is_tried_again(stub, make, ask, waits, status):
    stub.script = [(status, {}, b"busy")] * 3
    same(ask(make(), ["a"]), ["a"])
    assert waits == [0.25, 0.5, 1.0]
    assert len(stub.asked) == 4


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("0", 0.25),
        (formatdate(1e9 + 9, usegmt=True), 9.0),
        ("soon", 0.25),
        ("nan", 0.25),
        ("-3", 0.25),
    ],
)
def test_retry_after_is_honoured(stub, make, ask, waits, header, wait):
    stub.script = [(429, {"Retry-After": header}, b"")]
    same(ask(make(), ["a"]), ["a"])
    assert waits == [wait]


@pytest.mark.parametrize("header", ["3600", "inf"])
def test_a_server_that_asks_for_an_hour_is_given_up(stub, make, ask, waits, header):
    stub.script = [(429, {"Retry-After": header}, b"later")]
    with pytest.raises(semcore.EmbeddingError, match="429: later"):
        ask(make(), ["a"])
    assert waits == []


def test_waits_grow_with_chance_in_them():
    chances = iter([0.0, 1.0, 0.5, 0.0])
    backoff = Backoff(4, first=1.0, longest=3.0, chance=lambda: next(chances))
    assert [backoff.wait(tried) for tried in (1, 2, 3, 4, 5)] == [0.5, 2.0, 2.25, 1.5, None]
    assert Backoff(0).wait(1) is None
    with pytest.raises(ValueError, match="retries"):
        Backoff(-1)
    for first, longest in ((-1.0, 60.0), (2.0, 1.0), (1.0, float("inf"))):
        with pytest.raises(ValueError, match="first"):
            Backoff(first=first, longest=longest)


def test_it_gives_up_and_says_what_was_said(stub, make, ask, waits):
    stub.script = [(503, {}, b"out of\n  order " * 99)] * 9
    with pytest.raises(
        semcore.EmbeddingError,
        match=r"/v1/embeddings for 2 texts of up to 5 characters, 3 tries: 503: out of order",
    ) as caught:
        ask(make(retries=2), ["a", "bbbbb"])
    assert len(str(caught.value)) < 400
    assert len(waits) == 2
    assert len(stub.asked) == 3


def test_a_time_out_is_tried_again(stub, make, ask, waits):
    go = threading.Event()

    def late(texts):
        go.wait(20)
        return 200, {}, {"data": data_of(texts)}

    stub.script = [late]
    same(ask(make(timeout=0.3), ["a"]), ["a"])
    go.set()
    assert waits == [0.25]


def test_an_answer_that_does_not_end_is_given_up(stub, make, ask, waits):
    go = threading.Event()

    def pieces():
        while not go.wait(0.05):  # each within the time-out
            yield b" "

    stub.script = [(200, {}, pieces()), (200, {}, pieces())]
    with pytest.raises(semcore.EmbeddingError, match="2 tries: no answer: "):
        ask(make(timeout=0.4, retries=1), ["a"])
    go.set()
    assert waits == [0.25]


def test_an_answer_that_is_endless_is_given_up(stub, make, ask, waits):
    bomb = gzip.compress(b" " * (1 << 26))
    stub.script = [(status, {"Content-Encoding": "gzip"}, bomb) for status in (200, 500)]
    with pytest.raises(
        semcore.EmbeddingError, match="2 tries: no answer: the answer did not end within 524,288 bytes"
    ):
        ask(make(retries=1), ["a"])
    assert len(waits) == 1
    same(ask(make(), ["a"]), ["a"])


def test_an_answer_as_long_as_can_be(stub, make, ask):
    def widely(texts):
        data = [{"index": i, "embedding": [-0.1234567890123456789] * 4096} for i in range(len(texts))]
        return 200, {}, json.dumps({"data": data}, indent=8).encode()

    stub.script = [widely]
    assert [v.size for v in ask(make(dim=4096), ["a", "b", "c"])] == [4096] * 3


def test_a_lost_server(make, ask, waits):
    embed = make(url="http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(semcore.EmbeddingError, match=r"127.0.0.1:9/v1/embeddings .*no answer: ConnectError"):
        ask(embed, ["a"])
    assert len(waits) == 1


@pytest.mark.parametrize("status", [301, 401, 403, 404, 418])
def test_what_will_not_pass_is_not_tried_again(stub, make, ask, waits, status):
    stub.script = [(status, {"Location": "/elsewhere"}, b"no")]
    with pytest.raises(semcore.EmbeddingError, match=f": {status}"):
        ask(make(), ["a", "b"])
    assert waits == []
    assert len(stub.asked) == 1


def test_a_text_that_is_refused_fails_alone(stub, make):
    embed = make()
    stub.refuses = lambda texts: "bad" in texts
    texts = ["a", "b", "bad", "c", "d", "e", "f"]

    async def main():
        return await asyncio.gather(*(embed.aembed(text) for text in texts), return_exceptions=True)

    results = run(embed, main)
    refused = results.pop(2)
    same(results, [text for text in texts if text != "bad"])
    assert isinstance(refused, semcore.EmbeddingError)
    assert "for 3 characters: 400" in str(refused)
    with pytest.raises(semcore.EmbeddingError, match=r"for 3 characters: 400.*too long"):
        make().embed_many(texts)


def test_a_batch_that_is_refused_as_too_large_is_halved(stub, make, ask):
    stub.refuses = lambda texts: len(texts) > 3
    texts = [f"text {i}" for i in range(20)]
    same(ask(make(), texts), texts)


def nth(i, **changes):
    """An answer for which one item is changed."""

    def item(texts):
        data = data_of(texts)
        data[i] |= changes
        return 200, {}, {"data": data}

    return item


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, b"<html>"), "expected JSON like"),
        ((200, {}, b"\xff\xfe"), "expected JSON like"),
        ((200, {}, b"[" * 200_000), "expected JSON like"),
        ((200, {}, []), "expected JSON like"),
        ((200, {}, {"error": "x"}), "expected JSON like"),
        ((200, {}, {"data": "ab"}), "expected JSON like"),
        ((200, {}, {"data": [1, 2]}), "expected JSON like"),
        (nth(1, index="1"), "expected JSON like"),
        ((200, {}, {"data": []}), "returned 0 vectors for 2 texts"),
        (lambda texts: (200, {}, {"data": data_of(["x", *texts])}), "returned 3 vectors for 2 texts"),
        (nth(1, index=0), "expected each index from 0 to 1 once"),
        (nth(1, index=2), "expected each index from 0 to 1 once"),
        (nth(1, embedding=[0.5] * 7), "returned a vector of 7 numbers, expected 8"),
        (nth(0, embedding=[0.0] * 8), "zero or not finite"),
        (nth(0, embedding=[float("nan")] * 8), "zero or not finite"),
        (nth(0, embedding=[1e300] * 8), "zero or not finite"),
        (nth(0, embedding=[None] * 8), "list of numbers"),
        (nth(0, embedding=["1"] * 8), "list of numbers"),
        (nth(0, embedding=[[1.0]] * 8), "list of numbers"),
        (nth(0, embedding=[1.0, [1.0]]), "list of numbers"),
        (nth(0, embedding="AACAPw=="), "list of numbers"),
        (nth(0, embedding=[]), "list of numbers"),
    ],
)
def test_a_wrong_answer_says_what_was_expected(stub, make, ask, waits, answer, words):
    embed = make()
    stub.script = [answer]
    with pytest.raises(semcore.EmbeddingError, match=words) as caught:
        ask(embed, ["a", "b"])
    assert str(caught.value).startswith(f"embed: {stub.url}/embeddings: ")
    assert waits == []
    same(ask(embed, ["a", "b"]), ["a", "b"])  # and nothing of it was kept


def test_without_a_stated_dim_all_must_have_one_length(stub, make, ask):
    stub.script = [nth(1, embedding=[0.5] * 7)]
    with pytest.raises(semcore.EmbeddingError, match="7 numbers, expected 8"):
        ask(make(dim=None), ["a", "b"])


# ---- dimension and fingerprint ----


def test_the_dimension_is_asked_once_if_not_stated(stub, make):
    embed = make(dim=None)
    assert stub.asked == []
    assert (embed.dim, embed.dim) == (DIM, DIM)
    assert stub.asked == [["semcore"]]
    other = make(dim=None)
    other("a")
    assert other.dim == DIM
    assert len(stub.asked) == 2


def test_fingerprints(stub, make):
    host = stub.url.split("/")[2]
    assert make().fingerprint == make(dim=None).fingerprint == f"openai:m:{DIM}@{host}"
    assert make(model="n").fingerprint != make().fingerprint
    long, longer = make(model="x" * 200).fingerprint, make(model="x" * 201).fingerprint
    assert max(len(long), len(longer)) < 120
    assert long != longer


# ---- kept vectors ----


def test_what_was_answered_costs_no_second_request(stub, make, ask):
    embed = make()
    same(ask(embed, ["a", "b"]), ["a", "b"])
    same(ask(embed, ["b", "c", "a"]), ["b", "c", "a"])
    assert stub.asked == [["a", "b"], ["c"]]
    assert not embed("a").flags.writeable
    assert np.array_equal(embed("a"), make(max_cached=0)("a"))


def test_in_a_file_for_all_processes_and_models(stub, make, tmp_path):
    path = tmp_path / "vectors"
    make(cache_path=path, max_cached=100).embed_many(["a", "b"])
    again = make(cache_path=path, max_cached=50)
    same(again.embed_many(["a", "b"]), ["a", "b"])
    in_children([lambda: same([make(cache_path=path)("a")], ["a"])])
    assert len(stub.asked) == 1
    make(cache_path=path, model="other")("a")
    assert len(stub.asked) == 2
    assert KEY.encode() not in path.read_bytes()


def test_without_a_server_what_is_kept_is_enough(stub, make, tmp_path):
    path = tmp_path / "vectors"
    first = make(dim=None, cache_path=path)
    fingerprint = first.fingerprint
    first("a")
    asked = len(stub.asked)
    again = make(dim=None, cache_path=path)
    assert again.fingerprint == fingerprint
    same([again("a")], ["a"])
    assert len(stub.asked) == asked


def test_texts_are_not_kept(stub, make, tmp_path):
    path = tmp_path / "vectors"
    make(cache_path=path)("a very private text")
    assert b"very private" not in path.read_bytes()


def test_bounded(stub, make):
    embed = make(max_cached=10)
    embed.embed_many([f"text {i}" for i in range(50)])
    assert len(embed._kept._cache) == 10
    none = make(max_cached=0)
    none("a")
    none("a")
    assert stub.asked[-2:] == [["a"], ["a"]]


def test_vectors_that_cannot_be_kept_are_returned(stub, make, monkeypatch):
    embed = make()

    def full(*args, **kwargs):
        raise semcore.CapacityError("too large")

    monkeypatch.setattr(embed._kept._cache, "put", full, raising=False)
    with pytest.warns(RuntimeWarning, match="not kept: too large"):
        same([embed("a")], ["a"])


def test_kept_vectors_that_cannot_be_read_are_asked_for(stub, make, ask, tmp_path):
    path = tmp_path / "vectors"
    embed = make(cache_path=path, max_cached=100)
    embed("a")
    os.truncate(path, 4096)
    with pytest.warns(RuntimeWarning, match="cannot be read: .*truncated"):
        same(ask(embed, ["a"]), ["a"])
    assert stub.asked == [["a"], ["a"]]


def test_a_file_that_is_no_cache(make, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(semcore.RegionError):
        make(cache_path=path)


# ---- the key ----


def test_the_environments_key(stub, make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    make(api_key=None)("a")
    make(api_key="")("b")
    assert [headers.get("Authorization") for _, headers, _ in stub.seen] == [f"Bearer {KEY}", None]


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_the_key_is_never_shown(stub, make, ask, caplog, header):
    caplog.set_level(logging.DEBUG)
    embed = make(key_header=header, retries=0)
    said = [repr(embed), embed.fingerprint]
    stub.script = [(status, {}, f"{'x' * 190} your key {KEY} is bad") for status in (400, 401, 403, 404, 500)]
    stub.script += [(500, {}, f"your key {KEY} is bad")]
    for _ in range(len(stub.script)):
        with pytest.raises(semcore.EmbeddingError) as caught:
            ask(embed, ["a"])
        error = caught.value
        while error is not None:
            said.append(str(error))
            error = error.__cause__ or error.__context__
    said += [record.getMessage() for record in caplog.records]
    assert "your key *** is bad" in said[-1 - len(caplog.records)]
    assert not [line for line in said if "sk-" in line or "secret" in line]


@pytest.mark.parametrize("key", ["a\nb", "a b", "schl\u00fcssel", "\x7f", 5])
def test_a_key_that_no_header_holds(make, key):
    with pytest.raises(semcore.ConfigError, match="api_key: expected printable ASCII") as caught:
        make(api_key=key)
    assert str(key) not in str(caught.value)


# ---- settings ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "api.openai.com/v1"}, "url: expected http"),
        ({"url": "ftp://x/y"}, "url: expected http"),
        ({"url": "http://[::1"}, "url: not a URL"),
        ({"url": None}, "url: not a URL"),
        ({"key_header": "X-Key"}, "key_header: expected one of"),
        ({"dim": 0}, "dim: expected a whole number from 8 to 4096"),
        ({"dim": 8.0}, "dim: expected"),
        ({"dim": None, "shorten": True}, "shorten: needs a dim"),
        ({"batch": 0}, "batch: expected"),
        ({"timeout": 0}, "timeout: expected"),
        ({"max_cached": -1}, "max_cached: expected"),
    ],
)
def test_bad_settings(make, options, words):
    with pytest.raises(ValueError, match=words):  # which a ConfigError is, too
        make(**options)


def test_what_is_secret_in_the_url_is_not_shown(stub, make):
    token = "hidden-0123456789"
    embed = make(url=stub.url.replace("//", "//me:pass@") + f"?v=1&token={token}", api_key="", retries=0)
    stub.script = [(500, {}, f"no {token} at /v1/embeddings?v=1&token={token} for pass".encode())]
    with pytest.raises(semcore.EmbeddingError, match=r"500: no \*\*\* at .*\?\*\*\* for \*\*\*$") as caught:
        embed("a")
    assert not [word for word in ("me:", "pass", "hidden") if word in f"{caught.value} {embed.fingerprint}"]


def test_without_its_extra(monkeypatch):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name == "httpx2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(semcore.ConfigError, match=r"pip install 'semcore\[http\]'"):
        OpenAICompatible("http://127.0.0.1:9/v1", "m")


# ---- in a cache ----


def test_in_a_cache(stub, make):
    embed = make()
    with semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB") as cache:
        assert cache.embedder.fingerprint == embed.fingerprint
        cache.put_many([("a", 1), ("b", 2)])
        assert cache.get("a").layer == "exact"
        assert cache.get_many(["c", "d"]) == [None, None]
        assert stub.asked == [["a", "b"], ["c", "d"]]
        stub.script = [(404, {}, b"no such model")]
        with pytest.raises(semcore.EmbeddingError, match=r"^embed: http.*404: no such model"):
            cache.get("e")


def test_in_a_cache_in_asyncio(stub, make):
    embed = make()
    with semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB") as cache:

        async def compute(text):
            return text.upper()

        async def main():
            texts = [f"text {i % 20}" for i in range(60)]
            answers = await asyncio.gather(*(cache.aget_or_compute(text, compute) for text in texts))
            assert answers == [text.upper() for text in texts]

        run(embed, main)
        assert list(map(len, stub.asked)) == [20]
