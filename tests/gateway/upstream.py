"""A model's API on loopback that counts its calls, and a gateway before it; both on uvicorn in threads."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager

import uvicorn

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings, Upstream

KEY = "sk-secret-0123456789"


class Asked:
    """A request as the upstream saw it."""

    def __init__(self, scope, body):
        self.method, self.path, self.query = scope["method"], scope["path"], scope["query_string"]
        self.headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


class Answer:
    """What the upstream says. pieces: bytes of the body, or functions to wait for between them.

    cut: the connection breaks after the last piece.
    """

    def __init__(self, pieces, status=200, headers=(), kind="application/json", cut=False):
        self.pieces = [pieces] if isinstance(pieces, bytes) else pieces
        self.status, self.cut = status, cut
        self.headers = [(b"content-type", kind.encode()), *headers]


class Model:
    """An ASGI application that answers by its functions, in turn; the last one answers all that follow.

    asked: all requests so far.
    """

    def __init__(self, *answers: Callable[[Asked], Answer]):
        self.answers, self.asked = list(answers), []

    @property
    def calls(self):
        return len(self.asked)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body")
        asked = Asked(scope, body)
        self.asked.append(asked)
        answer = (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(asked)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        async for piece in pieces_of(answer):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not answer.cut:
            await send({"type": "http.response.body", "body": b""})


async def pieces_of(answer: Answer) -> AsyncIterator[bytes]:
    for piece in answer.pieces:
        if callable(piece):
            await asyncio.to_thread(piece)
        else:
            yield piece


@contextmanager
def served(app):
    """The port at which an application is served."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="on", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()


class Running:
    """A gateway under way."""

    def __init__(self, gateway, port):
        self.gateway, self.cache = gateway, gateway.store.cache
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def gateway(model, *, cache=None, base="/v1", observers=(), **settings):
    """A gateway in front of a model; settings as for `Settings`."""
    settings = {"threshold": 0.75, "retries": 0, **settings}
    if cache is None:
        cache = Cache(threshold=settings["threshold"])
    with served(model) as port, cache:
        upstreams = {"stub": Upstream("stub", f"http://127.0.0.1:{port}{base}")}
        app = Gateway(Settings(upstreams=upstreams, **settings), cache, observers)
        with served(app) as own:
            yield Running(app, own)
