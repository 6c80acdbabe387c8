"""The gateway beside its peers: python bench/gateway.py --litellm PROGRAM --portkey JS [--out REPORT.md]

All servers share one core and the client has another. Every answer is verified before anything is timed.
Then all cases take turns: a round runs each of them in a new random order, on a connection of its own. A
number is the median over rounds of the round's median request. On a machine that is shared, run it with
`chrt -r 1` in front.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway_servers as servers
import orjson
import report
from gateway_client import CHAT, Connection, Response, request
from gateway_report import sections
from openai import OpenAI
from versus import collector_off, pinned, say

PARAPHRASES = (
    "where is my order?",
    "Where's my order please",
    "please, where is my order",
    "Where is my order, please??",
    "WHERE IS MY ORDER, PLEASE?",
    "Where is my order now, please?",
)
TEXT = "Where is my order, please?"
SYSTEM = "You are a helpful support bot of a shop. " * 6
PACKAGES = "semcore uvicorn httptools uvloop aiohttp orjson openai"
FROM_CACHE = ("hit", "new bytes", "semantic", "coalesced", "faithful", "litellm")  # cases without a call
PASSED = "/v1/other"  # a path that the gateway does not know
FILL = 1000  # other answers in the partition that is searched
WARM = 5  # requests of a block that are not timed
FOLLOWERS = 64
_fresh = itertools.count()


def chat(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.2, **more}


def unseen() -> str:
    """A text that means nothing like those before it."""
    letters = random.Random(next(_fresh))
    return " ".join("".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(6))


@dataclass
class Case:
    """What is timed.

    asks: the next request's bytes. right: is this the answer meant? count: requests a round. first: up to
    the body's first byte.
    """

    name: str
    port: int
    asks: Callable[[], bytes]
    right: Callable[[Response], bool]
    count: int
    first: bool = False
    rounds: list[float] = field(default_factory=list)  # medians, in microseconds

    def verify(self) -> None:
        """Raises RuntimeError."""
        with Connection(self.port) as connection:
            for _ in range(2 * len(PARAPHRASES)):
                response = connection.ask(self.asks())
                if response.status != 200 or not self.right(response):
                    raise RuntimeError(f"{self.name}: {response}")

    def round(self) -> None:
        with Connection(self.port) as connection:
            for _ in range(WARM):
                connection.ask(self.asks())
            times = []
            for data in [self.asks() for _ in range(self.count)]:
                response = connection.ask(data)
                times.append(response.first if self.first else response.total)
        self.rounds.append(statistics.median(times) * 1e6)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass
class Official:
    """A hit by the official client. Timed like a case."""

    name: str
    client: OpenAI
    count: int = 30
    rounds: list[float] = field(default_factory=list)

    def round(self) -> None:
        times = []
        for _ in range(WARM + self.count):
            start = time.perf_counter()
            answer = self.client.chat.completions.create(**chat(TEXT))
            times.append(time.perf_counter() - start)
            if answer.choices[0].message.content != servers.TEXT:
                raise RuntimeError(f"{self.name}: {answer}")
        self.rounds.append(statistics.median(times[WARM:]) * 1e6)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


# ---- what a right answer is ----


def says(response: Response) -> bool:
    return bool(response.json["choices"][0]["message"]["content"] == servers.TEXT)


def told(response: Response) -> bool:
    """A stream's text."""
    frames = [frame[6:] for frame in response.body.split(b"\n\n") if frame.startswith(b"data: {")]
    choices = [choice for frame in frames for choice in orjson.loads(frame)["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return response.body.endswith(b"[DONE]\n\n") and text == servers.TEXT


def in_pieces(response: Response) -> bool:
    """A stream in as many pieces as the model gave it."""
    return response.body.count(b'"content":"word') == servers.WORDS


def status(part: str) -> Callable[[Response], bool]:
    return lambda response: part in response.headers.get("cache-status", "")


def both(*rights: Callable[[Response], bool]) -> Callable[[Response], bool]:
    return lambda response: all(right(response) for right in rights)


# ---- the cases ----


def always(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def new(path: str = CHAT, **more: Any) -> Callable[[], bytes]:
    return lambda: request(chat(unseen(), **more), path)


def reworded() -> bytes:
    """The same question in other bytes: no answer depends on `user`."""
    return request(chat(TEXT, user=f"user-{next(_fresh)}"))


def cases(ports: dict[str, int]) -> list[Case]:
    """All that may run with these servers."""
    ours, model, hit = ports["gateway"], ports["model"], always(request(chat(TEXT)))
    stream = chat(TEXT, stream=True)
    faithful = always(request(stream, x_semcore_mode="faithful"))
    paraphrases = itertools.cycle([request(chat(text)) for text in PARAPHRASES])
    streamed = new(stream=True)
    miss, passed = both(says, status("fwd=miss")), both(says, status("fwd=bypass"))
    streams: dict[str, Any] = {"count": 30, "first": True}
    hits = both(says, status("hit; detail=exact"))
    found = [
        Case("floor", ports["floor"], hit, says, 200),
        Case("echo", ports["echo"], hit, says, 200),
        Case("hit", ours, hit, hits, 200),
        Case("new bytes", ours, reworded, hits, 200),
        Case("semantic", ours, lambda: next(paraphrases), both(says, status("hit; detail=semantic")), 120),
        Case("coalesced", ours, always(request(stream)), both(told, status("hit")), 100),
        Case("faithful", ours, faithful, both(told, in_pieces, status("hit")), 60),
        Case("direct", model, new(), says, 100),
        Case("passed", ours, new(PASSED), passed, 60),
        Case("miss", ours, new(), miss, 60),
        Case("failing", ports["failing"], new(), miss, 60),
        Case("stuck", ports["stuck"], new(), miss, 60),
        Case("direct, first byte", model, streamed, told, **streams),
        Case("passed, first byte", ours, new(PASSED, stream=True), both(told, status("bypass")), **streams),
        Case("miss, first byte", ours, streamed, both(told, status("fwd=miss")), **streams),
    ]
    if "litellm" in ports:
        right = both(says, lambda response: "x-litellm-cache-key" in response.headers)
        found.append(Case("litellm", ports["litellm"], hit, right, 25))
    if "portkey" in ports:
        where = f"http://127.0.0.1:{model}/v1"
        data = request(chat(TEXT), x_portkey_provider="openai", x_portkey_custom_host=where)
        found.append(Case("portkey", ports["portkey"], always(data), says, 60))
    return found


def fill(port: int) -> None:
    """The answer that is asked for again, and others in its partition."""
    with Connection(port) as connection:
        for text in (TEXT, *(unseen() for _ in range(FILL))):
            response = connection.ask(request(chat(text), cache_control="no-cache"))
            if "stored" not in response.headers["cache-status"]:
                raise RuntimeError(f"fill: {response.headers}")
        # So that the pieces are known in which a faithful replay gives it.
        connection.ask(request(chat(TEXT, stream=True), cache_control="no-cache"))


def prepare(ports: dict[str, int], found: Sequence[Case]) -> None:
    fill(ports["gateway"])
    if "litellm" in ports:
        with Connection(ports["litellm"]) as connection:
            connection.ask(request(chat(TEXT)))
            time.sleep(1)  # it stores behind the answer
    for case in found:
        before = calls(ports["model"])
        case.verify()
        if case.name in FROM_CACHE and calls(ports["model"]) != before:
            raise RuntimeError(f"{case.name}: the model was asked")
        say(f"{case.name}: every answer is right")


# ---- what is counted, not timed ----


def calls(port: int) -> int:
    with Connection(port) as connection:
        return int(connection.ask(request({}, "/v1/calls")).body)


def together(ports: dict[str, int], stream: bool) -> int:
    """Calls upstream for 64 identical misses at once. Raises RuntimeError: not all got the answer."""
    data = request(chat("slowly " + unseen(), stream=stream))
    before, barrier, right = calls(ports["model"]), threading.Barrier(FOLLOWERS), []

    def one() -> None:
        with Connection(ports["gateway"]) as connection:
            barrier.wait()
            response = connection.ask(data)
            right.append(told(response) if stream else says(response))

    threads = [threading.Thread(target=one) for _ in range(FOLLOWERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if right.count(True) != FOLLOWERS:
        raise RuntimeError(f"{right.count(True)} of {FOLLOWERS} got the answer")
    return calls(ports["model"]) - before


def waits(port: int, seconds: float) -> list[float]:
    """Milliseconds of all misses in a while, in a row."""
    end, times = time.monotonic() + seconds, []
    with Connection(port) as connection:
        while time.monotonic() < end:
            times.append(connection.ask(request(chat(unseen()))).total * 1e3)
    return times


# ---- the run ----


@contextlib.contextmanager
def started(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, int]]:
    """All servers' ports."""
    names = ["model", "floor", "echo", "gateway", "failing", "stuck"]
    names += [name for name in ("litellm", "portkey") if getattr(args, name)]
    ports = {name: servers.free_port() for name in names}
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            if name == "litellm":
                command = servers.litellm(args.litellm, port, ports["model"], folder)
            elif name == "portkey":
                command = servers.portkey(args.portkey, port)
            else:
                command = servers.ours(name, port, ports["model"])
            stack.enter_context(servers.running(command, port, folder / f"{name}.log"))
        yield ports


def measure(ports: dict[str, int], rounds: int) -> dict[str, Any]:
    found = cases(ports)
    prepare(ports, found)
    clients = [
        Official(f"openai, {name}", OpenAI(base_url=f"http://127.0.0.1:{ports[name]}/v1", api_key="sk-bench"))
        for name in ("gateway", "echo")
    ]
    turns, order = [*found, *clients], random.Random(1)
    with pinned(), collector_off():
        for _ in range(rounds):
            for case in order.sample(turns, len(turns)):
                case.round()
        healthy, failing, stuck = (waits(ports[name], 4) for name in ("gateway", "failing", "stuck"))
    return {
        "us": {case.name: case.median for case in turns},
        "rounds": {case.name: case.rounds for case in turns},
        "calls": (together(ports, False), together(ports, True)),
        "waits": {"healthy": healthy, "failing": failing, "stuck": stuck},
    }


def version_of(program: str, package: str) -> str:
    """Of LiteLLM, whose environment is its own."""
    python = Path(shutil.which(program) or program).with_name("python")
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="the gateway beside its peers")
    parser.add_argument("--litellm", metavar="PROGRAM", help="LiteLLM's proxy, of any environment")
    parser.add_argument("--portkey", metavar="JS", help="build/start-server.js of @portkey-ai/gateway")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    before = report.load()
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder:
        with started(args, Path(folder)) as ports:
            result = measure(ports, args.rounds)
        peers = peers_of(args)
        here = report.conditions(PACKAGES, before, Path(folder))
    tables = sections(result, FOLLOWERS, servers.EMBED_TIMEOUT)
    report.write([*tables, "\n".join([here, *peers])], args.out)


def peers_of(args: argparse.Namespace) -> list[str]:
    """What else a reader has to know."""
    said = ["- servers on one core, the client on the other"]
    if os.sched_getscheduler(0) == os.SCHED_RR:
        said[0] += ", all at real-time priority (`chrt -r 1`)"
    if args.litellm:
        said.append(f"- LiteLLM {version_of(args.litellm, 'litellm')}, its cache in memory, one worker")
    if args.portkey:
        about = orjson.loads((Path(args.portkey).parents[1] / "package.json").read_bytes())
        said.append(f"- Portkey's gateway {about['version']}; the build on npm has no cache of responses")
    return said


if __name__ == "__main__":
    main()
