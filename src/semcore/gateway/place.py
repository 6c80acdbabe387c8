"""Where the answer to a request lies: whose it is, and what has to be equal."""

from __future__ import annotations

from operator import itemgetter

from semcore.gateway.control import Control
from semcore.gateway.message import HOP, Headers, Request
from semcore.gateway.store import Place, tenant
from semcore.wire.canonical import packed
from semcore.wire.question import Tier
from semcore.wire.routes import same_path, secret_of

KEYS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"ocp-apim-subscription-key")
CREDENTIALS = (*KEYS, b"cookie", b"proxy-authorization", b"cf-aig-authorization", b"fastly-key")
HARMLESS = HOP | frozenset(CREDENTIALS) | frozenset(  # any other header may choose the answer, and counts
    (b"host", b"content-length", b"content-type", b"accept", b"accept-encoding", b"accept-language",
     b"user-agent", b"expect", b"cache-control", b"pragma", b"date", b"via", b"forwarded", b"x-real-ip",
     b"origin", b"referer", b"dnt", b"priority", b"traceparent", b"tracestate", b"baggage", b"b3",
     b"x-amzn-trace-id", b"x-cloud-trace-context", b"x-request-id", b"x-correlation-id",
     b"x-client-request-id", b"idempotency-key")
)  # fmt: skip
HARMLESS_PREFIXES = (b"x-semcore-", b"cf-aig-", b"x-stainless-", b"x-forwarded-", b"sec-", b"x-b3-")
NAME = itemgetter(0)


def tenant_of(request: Request, shared: bool, salt: bytes) -> bytes:
    """Who asks, by the credential. shared: all are one."""
    credential = request.joined(CREDENTIALS) + b"\0" + secret_of(request.query)
    return tenant(b"" if shared else credential, salt)


def counting(headers: Headers) -> bytes:
    """The headers that may bear upon the answer, in whatever order they came; b"" if there is none."""
    kept = [pair for pair in headers if pair[0] not in HARMLESS and not pair[0].startswith(HARMLESS_PREFIXES)]
    return packed(sorted(kept, key=NAME)) if kept else b""


def place_of(
    tenant: bytes, upstream: str, path: str, request: Request, api: str, context: bytes, control: Control,
    text: str, tier: Tier,
) -> Place:  # fmt: skip
    """upstream: who is asked, by name. path: behind its base. A key of the caller's own stands for context
    and text, not for headers."""
    namespace = tenant + control.namespace
    head = f"{api}\0{upstream}\0{same_path(path, request.query)}\0".encode() + counting(request.headers)
    if control.key:
        return Place(namespace, head + b"key\0" + control.key.encode(), "", Tier.EXACT)
    return Place(namespace, head + b"\0" + context, text, tier)
