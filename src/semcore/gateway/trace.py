"""OpenTelemetry spans, where its API is installed (extra `otel`) and the process has a tracer provider.

A span a request, with the `gen_ai.*` attributes of its semantic conventions, and `semcore.cache.*` beside
them, as they have none for an answer that a gateway had. Never a text.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

from semcore.gateway.message import Request, fields_of
from semcore.gateway.seen import Seen, Watch

OPERATIONS = {
    "chat.completions": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "generate_content": "generate_content",
}
TIERS = {"hit_exact": "exact", "hit_semantic": "semantic"}
LONGEST = 100  # characters of a model's name


def tracing() -> Tracing | None:
    """None: there is nobody to trace for."""
    if find_spec("opentelemetry") is None:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    return Tracing(provider.get_tracer("semcore.gateway"))


class Tracing:
    """Begins and ends spans."""

    def __init__(self, tracer: Any) -> None:
        from opentelemetry import propagate, trace

        self._tracer, self._propagate, self._trace = tracer, propagate, trace

    def begin(self, request: Request, watch: Watch) -> Request:
        """The request as the model gets it: its trace goes on in a span of ours, which `watch` will end."""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.fields.items()}
        context = self._propagate.extract(fields)
        span = self._tracer.start_span(request.method, context, self._trace.SpanKind.SERVER)
        watch.also = partial(end, span)
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier, self._trace.set_span_in_context(span, context))
        ours = [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]
        replaced = {name for name, _ in ours}
        headers = [header for header in request.headers if header[0] not in replaced] + ours
        return request._replace(headers=headers, fields=fields_of(headers))


def end(span: Any, seen: Seen) -> None:
    if span.is_recording():
        if seen.api:
            span.update_name(f"{OPERATIONS.get(seen.api, seen.api)} {seen.model[:LONGEST]}".rstrip())
        span.set_attributes({name: value for name, value in attributes(seen).items() if value is not None})
    span.end()


def attributes(seen: Seen) -> dict[str, Any]:
    told: dict[str, Any] = {
        "http.response.status_code": seen.status,
        "error.type": str(seen.status) if seen.status >= 400 else None,
        "semcore.cache.status": seen.outcome,
        "semcore.cache.tier": TIERS.get(seen.outcome),
        "semcore.cache.similarity": seen.similarity,
        "semcore.cache.age": seen.age,
    }
    if seen.api:
        told |= {
            "gen_ai.operation.name": OPERATIONS.get(seen.api, seen.api),
            "gen_ai.provider.name": seen.upstream,
            "gen_ai.request.model": seen.model[:LONGEST],
            "gen_ai.request.stream": seen.stream,
            "gen_ai.response.finish_reasons": list(seen.finish) or None,
            "gen_ai.usage.input_tokens": seen.input,
            "gen_ai.usage.output_tokens": seen.output,
        }
    if seen.saved:
        told["semcore.cache.saved_input_tokens"] = seen.saved_input
        told["semcore.cache.saved_output_tokens"] = seen.saved_output
    return told
