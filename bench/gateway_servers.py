"""The servers, each a process of its own: python bench/gateway_servers.py NAME PORT [THE MODEL'S PORT]

The echo and the model run on uvicorn as the gateway does: httptools, uvloop, no access log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import uvicorn
import uvloop

from semcore import Cache, RegionError
from semcore.gateway.config import Serving, Settings
from semcore.gateway.serve import serve
from semcore.gateway.upstream import Upstream

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

WORDS = 100  # of an answer, one a chunk when it is streamed
PAUSE = 0.002  # seconds between a stream's first chunk and the others
EMBED_TIMEOUT = 0.25  # seconds that the gateway waits for the embedder that never answers
TEXT = "".join(f"word{i:03d} " for i in range(WORDS))
ANSWER = {
    "id": "chatcmpl-0123456789abcdefghijklmn",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": WORDS, "total_tokens": 60 + WORDS},
}
BODY = orjson.dumps(ANSWER)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    told = {**ANSWER, "object": "chat.completion.chunk", "choices": [choice]}
    del told["usage"]
    return b"data: " + orjson.dumps(told) + b"\n\n"


WORD = len(TEXT) // WORDS
DELTAS = [{"content": TEXT[at : at + WORD]} for at in range(0, len(TEXT), WORD)]
CHUNKS = [chunk({"role": "assistant", "content": ""}), *map(chunk, DELTAS), chunk({}, "stop")]
CHUNKS.append(b"data: [DONE]\n\n")


async def read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def start(send: Send, kind: bytes, length: int | None = None) -> None:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def whole(send: Send, body: bytes) -> None:
    await start(send, b"application/json", len(body))
    await send({"type": "http.response.body", "body": body})


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Reads a request and answers with as many bytes as a hit has: the least that ASGI costs."""
    await read(receive)
    await whole(send, BODY)


class Model:
    """An API that answers at once, or in 50 ms what says "slowly"; `/v1/calls` tells how many calls came."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = await read(receive)
        if scope["path"] == "/v1/calls":
            await whole(send, b"%d" % self.calls)
            return
        self.calls += 1
        asked = orjson.loads(body)
        if "slowly" in asked["messages"][-1]["content"]:
            await asyncio.sleep(0.05)
        if not asked.get("stream"):
            await whole(send, BODY)
            return
        await start(send, b"text/event-stream")
        for at, piece in enumerate(CHUNKS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if at == 0:
                await asyncio.sleep(PAUSE)
        await send({"type": "http.response.body", "body": b""})


class Failing(Cache):
    """Its file is broken: nothing can be looked up or stored."""

    def _get_exact(self, *arguments: Any) -> Any:
        raise RegionError("broken for the bench")

    def _store(self, *arguments: Any) -> Any:
        raise RegionError("broken for the bench")


class Stuck:
    """An embedder that never answers."""

    dim = 256
    fingerprint = "bench-stuck"

    def __call__(self, text: str) -> list[float]:
        raise AssertionError("asyncio's callers await aembed")

    async def aembed(self, text: str) -> list[float]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


def stuck() -> Cache:
    return Cache(embed=Stuck())


def gateway(kind: str, port: int, model: int) -> None:
    """Serves a gateway before the model; kind: "gateway", or how its cache fails."""
    opens = {"gateway": Cache, "failing": Failing, "stuck": stuck}
    upstreams = {"model": Upstream("model", f"http://127.0.0.1:{model}/v1")}
    timeout = EMBED_TIMEOUT if kind == "stuck" else Settings(upstreams).embed_timeout
    serve(Settings(upstreams, embed_timeout=timeout), Serving(port=port), opens[kind], print)


class Floor(asyncio.Protocol):
    """No HTTP at all: a request that came in one piece is answered with the bytes of a response."""

    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.head + BODY)  # type: ignore[attr-defined]


async def floor(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


def main(name: str, port: int, model: int = 0) -> None:
    if name == "floor":
        uvloop.run(floor(port))
    elif name in ("echo", "model"):
        uvicorn.run(
            echo if name == "echo" else Model(), port=port, http="httptools", loop="uvloop", lifespan="off",
            access_log=False, log_level="warning", timeout_keep_alive=75, server_header=False,
        )  # fmt: skip
    else:
        gateway(name, port, model)


# ---- starting them ----


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path, seconds: float = 90) -> Iterator[None]:
    """A server on the first core that this process may use; ended afterwards."""
    core = str(min(os.sched_getaffinity(0)))
    with log.open("wb") as out:
        process = subprocess.Popen(["taskset", "-c", core, *command], stdout=out, stderr=out)
    try:
        listening(process, port, log, seconds)
        yield
    finally:
        process.terminate()
        process.wait(20)


def listening(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    """Waits for it. Raises RuntimeError: it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{log.stem} does not listen (exit code {process.poll()}): {log.read_text()[-500:]}")


def ours(name: str, port: int, model: int) -> list[str]:
    return [sys.executable, __file__, name, str(port), str(model)]


LITELLM = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{model}/v1", api_key: sk-bench}}
litellm_settings: {{cache: true, cache_params: {{type: local}}}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""


def litellm(program: str, port: int, model: int, folder: Path) -> list[str]:
    """LiteLLM's proxy with its cache in memory, one worker, no keys of its own to check."""
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(model=model))
    local = "LITELLM_LOCAL_MODEL_COST_MAP=True"  # else it asks the network for prices
    return ["env", local, program, "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]


def portkey(program: str, port: int) -> list[str]:
    return ["node", program, f"--port={port}", "--headless"]


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
