"""The examples run as their README says: worker processes of real servers share one cache file."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 30  # the deadline of everything that is waited for

SERVERS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:0 --workers 2 wsgi:app",
    "gunicorn-preload": "gunicorn --bind 127.0.0.1:0 --workers 2 --preload wsgi:app",
    "uvicorn": "uvicorn --host 127.0.0.1 --port 0 --workers 2 asgi:app",
}
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+) ")
STARTED = re.compile(r"(?:Booting worker with pid: |Started server process \[)(\d+)[]\n]")


class Server:
    """A running server of two workers; its log tells the port and the workers' pids."""

    def __init__(self, command: str, folder: Path, cache: Path) -> None:
        environ = os.environ | {
            "SEMCORE_CACHE": str(cache),
            "XDG_RUNTIME_DIR": str(folder),  # gunicorn's control socket
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command.split()], cwd=EXAMPLES / "workers",
                env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def pids(self, count: int) -> list[int]:
        """The workers started so far, once they are `count`."""
        pids = self.logged(lambda log: len(found := STARTED.findall(log)) >= count and found)
        return [int(pid) for pid in pids]

    def logged(self, find: Callable[[str], object]):
        """What is found in the log, as soon as it is there."""

        def probe() -> object:
            assert self.process.poll() is None, self.log.read_text()
            return find(self.log.read_text())

        return until(probe, lambda: self.log.read_text())

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> dict:
        """One connection, one answer; refused only before the first worker listens."""
        port = self.logged(ADDRESS.search)[1]
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        with contextlib.closing(connection):
            until(lambda: connects(connection), lambda: self.log.read_text())
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return {"status": response.status, **json.loads(response.read())}

    def ask(self, text: str) -> dict:
        return self.request("POST", "/ask", text)

    def stats(self) -> dict:
        return self.request("GET", "/stats")


def connects(connection: http.client.HTTPConnection) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        connection.connect()
    return connection.sock is not None


def until(probe: Callable[[], object], why: Callable[[], str]):
    """What the probe returns, as soon as that is true."""
    deadline = time.monotonic() + SECONDS
    while not (found := probe()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.005)
    return found


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stops a worker, so that the other one answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: state(pid) == "T", lambda: f"{pid} goes on")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def kill(pid: int) -> None:
    """Returns when the process is dead."""
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([handle], [], [], SECONDS)[0]
    finally:
        os.close(handle)


@pytest.mark.parametrize("name", SERVERS)
def test_workers_share_one_file(name, tmp_path):
    pytest.importorskip(name.partition("-")[0])
    path = tmp_path / "support.semcore"
    question, answer = "What is my order status?", "(what a model says to 'What is my order status?')"
    with Server(SERVERS[name], tmp_path, path) as server:
        first, second = server.pids(2)

        # What one worker was told by the model, the other knows.
        with paused(second):
            assert server.ask(question) == {"status": 200, "answer": answer, "layer": "model", "pid": first}
        hit = {"status": 200, "answer": answer, "layer": "exact"}
        with paused(first):
            assert server.ask(question) == hit | {"pid": second}
            reply = server.ask("what's the status of my order?")
            assert reply == hit | {"layer": "semantic", "pid": second}
            numbers = server.stats()
        assert numbers == {"status": 200, "hits": 2, "misses": 1, "entries": 1, "pid": second}
        with paused(second):
            assert server.stats() == numbers | {"pid": first}

        # One is killed: the other goes on, and the one that takes its place knows the same.
        kill(second)
        assert server.ask(question)["layer"] == "exact"
        assert server.ask("How do I bake bread?")["layer"] == "model"
        third = server.pids(3)[2]
        assert third not in (first, second)
        with paused(first):
            assert server.ask(question) == hit | {"pid": third}
            assert server.ask("How do I bake bread?")["layer"] == "exact"
            numbers = server.stats()
        assert (numbers["pid"], numbers["entries"]) == (third, 2)
        with paused(third):
            assert server.stats() == numbers | {"pid": first}

    with semcore.Cache(path, embed="default") as cache:
        assert cache.validate() is None
        assert cache.get(question).value == answer


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_what_is_not_a_question(name, tmp_path):
    pytest.importorskip(name)
    json_type = {"Content-Type": "application/json"}
    with Server(SERVERS[name], tmp_path, tmp_path / "support.semcore") as server:
        assert server.request("POST", "/ask", '{"question": "hi"}', **json_type)["answer"].endswith("'hi')")
        for body in ("{", "[]", '{"question": 1}', "{}"):
            assert server.request("POST", "/ask", body, **json_type)["status"] == 400
        assert server.ask("")["status"] == 400
        assert server.request("GET", "/")["status"] == 404
        assert server.stats()["entries"] == 1
