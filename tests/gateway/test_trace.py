"""Spans, by OpenTelemetry's SDK in memory."""

import pytest
from chats import chat
from clients import ask, fetch, until
from upstream import Answer, Model, gateway

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from semcore.gateway.trace import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch):
    """What was exported; a provider is there for the test only."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter.get_finished_spans


@pytest.fixture
def model():
    return Model(chat)


def test_nobody_to_trace_for():
    assert tracing() is None


def test_a_miss_and_a_paraphrase(spans, model):
    with gateway(model) as running:
        ask(running, "What is my order status?")
        ask(running, "what's the status of my order?", stream=True)
        until(lambda: len(spans()) == 2)
    miss, hit = spans()
    assert miss.name == hit.name == "chat stub-1"
    assert miss.kind is hit.kind is trace.SpanKind.SERVER
    assert dict(miss.attributes) == {
        "http.response.status_code": 200,
        "semcore.cache.status": "miss",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "stub",
        "gen_ai.request.model": "stub-1",
        "gen_ai.request.stream": False,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
    }
    told = dict(hit.attributes)
    assert 0.75 < told["semcore.cache.similarity"] < 1
    assert told["semcore.cache.age"] >= 0
    assert (told["semcore.cache.status"], told["semcore.cache.tier"]) == ("hit_semantic", "semantic")
    assert told["semcore.cache.saved_input_tokens"] == told["gen_ai.usage.input_tokens"] == 11
    assert told["semcore.cache.saved_output_tokens"] == 7
    assert told["gen_ai.request.stream"] is True


def test_a_trace_goes_on_to_the_model(spans, model):
    with gateway(model) as running:
        ask(running, extra_headers={"traceparent": PARENT, "tracestate": "vendor=1"})
        until(spans)
    (span,) = spans()
    _, trace_id, parent_id, _ = PARENT.split("-")
    assert f"{span.context.trace_id:032x}" == trace_id
    assert f"{span.parent.span_id:016x}" == parent_id
    assert model.asked[0].headers["traceparent"] == f"00-{trace_id}-{span.context.span_id:016x}-01"
    assert model.asked[0].headers["tracestate"] == "vendor=1"


def test_what_passes_through_and_fails(spans):
    with gateway(Model(lambda asked: Answer(b"{}", status=404))) as running:
        assert fetch(running, "/v1/models")[0] == 404
        until(spans)
    (span,) = spans()
    assert span.name == "GET"
    assert dict(span.attributes) == {
        "http.response.status_code": 404,
        "error.type": "404",
        "semcore.cache.status": "passed",
    }
