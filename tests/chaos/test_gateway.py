"""Clients, models and workers are killed at any moment: what the gateway's cache gives is whole and true.

As many requests in each run as SEMCORE_CHAOS_REQUESTS says (300 unless told).
"""

import asyncio
import collections
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import moody
import pytest
from process import serving, wait_until

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
REQUESTS = int(os.environ.get("SEMCORE_CHAOS_REQUESTS", "300"))
AT_ONCE = 16
WORDINGS = ("How do I reset my password?", "How can I reset my password?", "how to reset my password")
BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Model:
    """A moody model in a process of its own, on a port that stays when it is killed and started again."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]
        self.kills = 0
        self.start()

    def start(self):
        script, seed = Path(moody.__file__), self.kills
        self._process = subprocess.Popen([sys.executable, script, str(self.port), str(seed)])

    def kill(self):
        self._process.kill()
        self._process.wait()
        self.kills += 1


class Got:
    """A response's text, and whether it says that this is all."""

    def __init__(self, response, raw, stream):
        self.status, self.text, self.whole = response.status, "", False
        self.tells = response.headers.get("cache-status", "")
        if response.status == 200:
            with_text = self._frames if stream else self._object
            with_text(raw)

    def _object(self, raw):
        try:
            choice = json.loads(raw)["choices"][0]
        except ValueError:
            return
        self.text, self.whole = choice["message"]["content"], choice["finish_reason"] == "stop"

    def _frames(self, raw):
        for frame in raw.decode().split("\n\n"):
            if frame.startswith("data: {"):
                for choice in json.loads(frame[6:]).get("choices", ()):
                    self.text += choice["delta"].get("content") or ""
                    self.whole = self.whole or choice["finish_reason"] == "stop"

    @property
    def kind(self):
        """What it counts as."""
        if self.status != 200:
            return f"status {self.status}"
        if "; hit" in self.tells:
            return "hit"
        return "collapsed" if "collapsed" in self.tells else "model"


class Crowd:
    """Clients that ask about topics, in random words. counts: of what they got; wrong: what must not be."""

    def __init__(self, session, address, seed):
        self.counts, self.wrong = collections.Counter(), []
        self._session, self._url = session, address + "/v1/chat/completions"
        self._dice = random.Random(seed)

    def _open(self, topic, stream, **headers):
        system = {"role": "system", "content": f"You know about topic {topic}"}
        user = {"role": "user", "content": self._dice.choice(WORDINGS)}
        body = {"model": "stub-1", "messages": [system, user], "stream": stream}
        return self._session.post(self._url, json=body, headers=headers)

    async def ask(self, topic, stream, **headers):
        async with self._open(topic, stream, **headers) as response:
            got = Got(response, await response.read(), stream)
        self.counts[got.kind] += 1
        stored = got.kind == "hit" or "; stored" in got.tells
        if (got.whole or stored) and not (got.whole and got.text == moody.truth(topic)):
            self.wrong.append((topic, got.tells, got.text))

    async def leave(self, topic, stream):
        """Asks, and goes away at some moment."""
        try:
            async with asyncio.timeout(self._dice.random() * 0.08), self._open(topic, stream) as response:
                await response.read()
        except TimeoutError:
            self.counts["left"] += 1

    async def one(self, topics):
        topic, stream = self._dice.randrange(topics), self._dice.random() < 0.5
        how = self.leave if self._dice.random() < 0.15 else self.ask
        try:
            await how(topic, stream)
        except BROKEN:
            self.counts["broken"] += 1


class Chaos:
    """Kills by the number of requests that were begun."""

    def __init__(self, model, gateway, seed):
        self.worker_kills = self.model_kills = 0
        self._one = asyncio.Lock()
        self._model, self._gateway, self._dice = model, gateway, random.Random(seed)

    async def strike(self, number):
        if number % 300 == 150:
            async with self._one:
                await asyncio.to_thread(self._model.kill)
                await asyncio.sleep(0.2)
                self._model.start()
            self.model_kills += 1
        if number % 200 == 100 and (workers := self._gateway.workers()):
            os.kill(self._dice.choice(workers), signal.SIGKILL)
            self.worker_kills += 1


@asynccontextmanager
async def crowd_to(address, seed):
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Crowd(session, address, seed)


async def storm(crowd, chaos, topics):
    """All requests, some at once, beside the killing."""
    numbers = iter(range(REQUESTS))

    async def client():
        for number in numbers:
            await chaos.strike(number)
            await crowd.one(topics)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def everything(crowd, topics):
    """What is stored, asked for when no model is there."""
    headers = {"cache-control": "only-if-cached"}
    for topic, stream in itertools.product(range(topics), (False, True)):
        await crowd.ask(topic, stream, **headers)


@pytest.mark.parametrize("complete", ["--complete", "--no-complete"])
def test_what_is_given_from_the_cache_is_whole_and_true(complete, tmp_path):
    topics, path, model = max(REQUESTS // 8, 10), tmp_path / "cache", Model()
    flags = ("--cache", path, "--max-bytes", "16 MiB", "--workers", 2, "--breaker-failures", 0, complete)

    async def run(gateway):
        chaos = Chaos(model, gateway, 1)
        async with crowd_to(gateway.address, 2) as crowd:
            await storm(crowd, chaos, topics)
        model.kill()
        wait_until(lambda: len(gateway.workers()) == 2)
        async with crowd_to(gateway.address, 3) as after:
            await everything(after, topics)
        return chaos, crowd, after

    try:
        with serving(tmp_path, "--upstream", f"http://127.0.0.1:{model.port}", *flags) as gateway:
            chaos, crowd, after = asyncio.run(run(gateway))
            assert gateway.stop() == 0
    finally:
        model.kill()
    print(f"\n{REQUESTS} requests {complete}: {dict(crowd.counts)}; killed {chaos.worker_kills} workers,"
          f" {chaos.model_kills} models; stored and asked for again: {dict(after.counts)}")  # fmt: skip
    assert crowd.wrong == after.wrong == []
    assert crowd.counts["hit"] > REQUESTS / 5
    assert crowd.counts["left"] > REQUESTS / 100
    assert after.counts["hit"] > topics
    assert set(after.counts) <= {"hit", "status 504"}
    assert chaos.worker_kills > 0
    with semcore.Cache(path) as cache:
        assert cache.validate() is None
        assert cache.stats().damaged == 0
