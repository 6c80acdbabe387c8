"""An embeddings server on loopback, and embedders of it, whose waits are recorded instead of slept."""

import asyncio
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from semcore.embed import OpenAICompatible
from semcore.embed.http.wire import Backoff

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
