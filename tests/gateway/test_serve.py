"""`semcore serve` as it is run: workers on one file, ready, drained, killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx2
import pytest
from chats import chat, completion, stream
from process import command, serving, wait_until
from upstream import Answer, Model, served

from semcore.cli.serve import ready
from semcore.gateway.config import Settings, Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")


def ask(address, text="hello", **more):
    body = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **more}
    return httpx2.post(address + "/v1/chat/completions", json=body, timeout=60)


def flags(port, tmp_path, *more):
    return ("--upstream", f"http://127.0.0.1:{port}", "--cache", tmp_path / "cache",
            "--max-bytes", "16 MiB", *more)  # fmt: skip


def test_workers_share_one_file(tmp_path):
    model = Model(chat)
    with served(model) as port, serving(tmp_path, *flags(port, tmp_path, "--workers", "2")) as gateway:
        first = ask(gateway.address)
        assert first.headers["cache-status"] == "semcore; fwd=miss; fwd-status=200; stored"
        assert len(first.headers.get_list("date")) == 1  # the model's
        wait_until(lambda: len(gateway.workers()) == 2)
        for worker in gateway.workers():  # the other one answers alone
            os.kill(worker, signal.SIGSTOP)
            try:
                assert ask(gateway.address).headers["cache-status"] == "semcore; hit; detail=exact"
            finally:
                os.kill(worker, signal.SIGCONT)
        wait_until(lambda: counted(gateway.address) == 3)  # whoever of them is asked
        assert gateway.stop() == 0
    assert model.calls == 1


def counted(address):
    """All requests, as the metrics tell."""
    lines = httpx2.get(address + "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("semcore_requests_total{"))


def test_logs_of_every_worker_are_json(tmp_path):
    more = ("--workers", "2", "--log-format", "json")
    with served(Model(chat)) as port, serving(tmp_path, *flags(port, tmp_path, *more)) as gateway:
        ask(gateway.address)
        assert gateway.stop() == 0
        lines = [json.loads(line) for line in gateway.errors.read_text().splitlines()]
    assert [line["outcome"] for line in lines if line["message"] == "request"] == ["miss"]


def test_a_killed_worker_comes_back(tmp_path):
    with served(Model(chat)) as port, serving(tmp_path, *flags(port, tmp_path, "--workers", "2")) as gateway:
        wait_until(lambda: len(gateway.workers()) == 2)
        victim = gateway.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(gateway.workers()) == 2 and victim not in gateway.workers())
        assert ask(gateway.address).status_code == 200
        assert gateway.stop() == 0


def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    with served(Model(chat)) as port, serving(tmp_path, *flags(port, tmp_path, "--workers", "2")) as gateway:
        wait_until(lambda: len(gateway.workers()) == 2)
        workers = gateway.workers()
        gateway.process.kill()
        wait_until(lambda: not any(map(command, workers)))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_is_answered_before_it_ends(workers, tmp_path):
    begun, over = threading.Event(), threading.Event()
    frames = list(stream())
    model = Model(
        lambda asked: Answer([frames[0], begun.set, over.wait, *frames[1:]], kind="text/event-stream")
    )
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with served(model) as port, serving(tmp_path, *flags(port, tmp_path, "--workers", workers)) as gateway:
        url = gateway.address + "/v1/chat/completions"
        with httpx2.stream("POST", url, json=body, timeout=60) as response:
            assert begun.wait(60)
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refused(gateway.address))
            over.set()
            assert b"".join(response.iter_bytes()).endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(60) == 0


def refused(address):
    """Is nobody listening any more?"""
    host, port = address.removeprefix("http://").split(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) != 0


def test_questions_are_not_in_the_file(tmp_path):
    model = Model(lambda asked: Answer(json.dumps(completion("an answer")).encode()))
    with served(model) as port:
        for more, kept in (((), False), (("--store-text",), True)):
            folder = tmp_path / str(kept)
            folder.mkdir()
            with serving(folder, *flags(port, folder, *more)) as gateway:
                assert "stored" in ask(gateway.address, "a most particular question").headers["cache-status"]
                assert gateway.stop() == 0
            raw = (folder / "cache").read_bytes()
            assert (b"a most particular question" in raw) == kept
            assert b"an answer" in raw


def test_a_warning_beyond_this_machine(tmp_path):
    for host, warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        folder = tmp_path / host
        folder.mkdir()
        with serving(folder, "--upstream", "http://127.0.0.1:1", "--host", host) as gateway:
            assert gateway.stop() == 0
        assert ("there is no TLS" in gateway.errors.read_text()) == warned


# ---- what cannot be ----


def failing(*argv, before="pass"):
    """What `semcore` says when it ends with status 2."""
    code = f"import sys; {before}; from semcore.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    return done.stderr


def test_an_address_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
        said = failing("serve", "--upstream", "http://127.0.0.1:1", "--port", port)
    assert said.startswith(
        f"semcore serve: host, port: cannot listen at 127.0.0.1:{port}: Address already in use"
    )
    assert len(said.splitlines()) == 1


def test_a_file_that_is_no_cache(tmp_path):
    (tmp_path / "cache").write_bytes(b"x" * 5000)
    said = failing("serve", "--upstream", "http://127.0.0.1:1", "--cache", str(tmp_path / "cache"))
    assert said.startswith("semcore serve: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "uvloop", "aiohttp"])
@pytest.mark.parametrize(
    "argv", [("serve", "--upstream", "http://127.0.0.1:1"), ("demo",)], ids=["serve", "demo"]
)
def test_without_the_extra(package, argv):
    said = failing(*argv, before=f"sys.modules[{package!r}] = None")
    assert f"semcore {argv[0]}: {argv[0]} needs an extra: pip install 'semcore[gateway]'" in said


def test_the_other_commands_do_without_the_extra():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('uvicorn', 'aiohttp', 'orjson')); import semcore.cli as c"
    )
    done = subprocess.run([sys.executable, "-c", code + "; c.main(['serve', '--help'])"], capture_output=True)
    assert done.returncode == 0
    assert b"SEMCORE_GATEWAY_MAX_BYTES" in done.stdout


# ---- what clients set ----


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("https://h", "/v1"),
        ("https://h/v1/", "/v1"),
        ("https://h/openai/v1", "/v1"),
        ("https://h/v1beta", "/v1beta"),
        ("https://h/openai/deployments/d", ""),
        ("https://h/v1beta/openai", ""),
    ],
)
def test_the_base_url_to_set(url, version):
    settings = Settings({"default": Upstream("default", url)})
    line = f"ready: OPENAI_BASE_URL=http://a{version} ANTHROPIC_BASE_URL=http://a"
    assert ready("http://a", settings) == line


def test_the_base_urls_of_other_upstreams():
    settings = Settings({name: Upstream(name, "https://h") for name in ("a", "b", "c")})
    assert ready("http://g", settings).endswith("; other upstreams: http://g/b/v1 http://g/c/v1")
