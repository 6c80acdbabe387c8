"""No prompt, answer or credential in anything that a run writes, the cache itself aside."""

import io
import json
import logging

import openai
import pytest
from chats import chat
from clients import ask, fetch, until
from upstream import Answer, Model, gateway

from semcore import Cache
from semcore.gateway.log import LOGGERS, log_json
from semcore.gateway.workers import counting_together

TOKEN = "admin-token-0123456789"
CREDENTIAL = "sk-whose-is-this-0123456789"
PROMPT = "What is my order status, dear aubergine?"
PARAPHRASE = "what's the status of my order, dear aubergine?"
OTHER = "Please tell me a joke about an aubergine"
SECRETS = ("aubergine", "you said", "sk-whose", TOKEN)


@pytest.fixture
def lines():
    """What loggers write as JSON; they are put back afterwards."""
    loggers = [logging.getLogger(name) for name in (*LOGGERS, "uvicorn.error")]
    kept = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    stream = io.StringIO()
    log_json(stream)
    yield stream
    for logger, handlers, propagate, level in kept:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def exported(monkeypatch):
    """The spans as JSON."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter, provider = export.InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(sdk.export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    return lambda: [span.to_json() for span in exporter.get_finished_spans()]


def failing(asked):
    raise RuntimeError(asked.body.decode())


def traffic(running, model):
    """Of every outcome."""
    for text in (PROMPT, PROMPT, PARAPHRASE, OTHER):
        ask(running, text, key=CREDENTIAL)
    ask(running, PROMPT, key=CREDENTIAL, stream=True)
    ask(running, PROMPT, key=CREDENTIAL, extra_headers={"cache-control": "no-store"})
    model.answers = [lambda asked: Answer(b'data: {"aubergine":', kind="text/event-stream", cut=True)]
    ask(running, OTHER + "!", key=CREDENTIAL, stream=True)
    model.answers = [failing]
    for headers in ({}, {"x-semcore-ttl": "aubergine"}):
        with pytest.raises(openai.APIStatusError):
            ask(running, "aubergines?", key=CREDENTIAL, extra_headers=headers)
    fetch(running, "/v1/aubergine", {"authorization": f"Bearer {CREDENTIAL}"}, {"say": "aubergine"})
    fetch(running, "/_semcore/purge", {"x-semcore-admin": TOKEN}, {"tag": "aubergine"})
    fetch(running, "/_semcore/purge", {"x-semcore-admin": CREDENTIAL}, {"id": 1})


def test_nothing_private_is_written(tmp_path, lines, exported, capfd):
    model, path = Model(chat), tmp_path / "answers.semcore"
    with counting_together(path) as directory:
        settings = {"threshold": 0.75, "admin_token": TOKEN, "log_format": "json", "together": str(directory)}
        with gateway(model, cache=Cache(path, threshold=0.75), **settings) as running:
            traffic(running, model)
            running.gateway.store.resting.failed(RuntimeError(PROMPT))
            until(lambda: lines.getvalue().count('"message":"request"') == 10)
            headers = {"x-semcore-admin": TOKEN}
            told = [json.dumps(fetch(running, own, headers)) for own in ("/metrics", "/_semcore/stats")]
        files = [file for file in tmp_path.rglob("*") if file.is_file() and file != path]
        written = [file.read_bytes().decode() for file in files]
    assert len(files) == 2  # of the worker, and a lock
    assert "aubergine" in str([asked.body for asked in model.asked])
    for text in (lines.getvalue(), *told, *written, *exported(), *capfd.readouterr()):
        for secret in SECRETS:
            assert secret not in text


def test_a_line_for_each_request(lines):
    with gateway(Model(chat), log_format="json") as running:
        ask(running)
        ask(running)
        until(lambda: lines.getvalue().count("\n") >= 2)
    first, second = (json.loads(line) for line in lines.getvalue().splitlines()[:2])
    assert (first["logger"], first["level"]) == ("semcore.gateway.requests", "info")
    assert (first["outcome"], first["status"], first["model"]) == ("miss", 200, "stub-1")
    assert (second["outcome"], second["saved_input"]) == ("hit_exact", 11)
    assert "similarity" not in first


def test_an_exception_is_logged_without_what_it_says(lines):
    try:
        failing(type("Asked", (), {"body": PROMPT.encode()}))
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert line["error"] == "RuntimeError"
    assert line["at"][-1].endswith(" failing")
    assert "aubergine" not in lines.getvalue()
