"""What is tried again and when, what is given up, and the key that is never shown."""

import gzip
import json
import logging
import threading
from email.utils import formatdate

import pytest
from conftest import in_children
from server import KEY, data_of, same

import semcore
from semcore.embed.http.wire import Backoff

pytest.importorskip("httpx2", reason="needs the extra http")


def test_a_forked_child_has_its_own_connections(stub, make):
    embed = make()
    embed("before")
    in_children([lambda i=i: same([embed(f"child {i}")], [f"child {i}"]) for i in range(3)])
    same([embed("after"), embed("before")], ["after", "before"])
    assert len(stub.asked) == 5


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


def test_what_is_secret_in_the_url_is_not_shown(stub, make):
    token = "hidden-0123456789"
    embed = make(url=stub.url.replace("//", "//me:pass@") + f"?v=1&token={token}", api_key="", retries=0)
    stub.script = [(500, {}, f"no {token} at /v1/embeddings?v=1&token={token} for pass".encode())]
    with pytest.raises(semcore.EmbeddingError, match=r"500: no \*\*\* at .*\?\*\*\* for \*\*\*$") as caught:
        embed("a")
    assert not [word for word in ("me:", "pass", "hidden") if word in f"{caught.value} {embed.fingerprint}"]
