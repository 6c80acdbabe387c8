"""Response headers: `Cache-Status` (RFC 9211), `Age` (RFC 9111), and what a hit spared."""

from __future__ import annotations

from semcore.gateway.control import Control
from semcore.gateway.message import Headers
from semcore.gateway.store import Found
from semcore.wire.question import Tier


def hit(found: Found, control: Control) -> Headers:
    """Of an answer from the cache; a negative ttl says that it is stale."""
    return [
        (b"cache-status", b"semcore; hit" + ttl(found) + b"; detail=" + found.layer.encode()),
        *about(found, control),
    ]


def stale(found: Found, control: Control, status: int) -> Headers:
    """Of a stale answer that stands for an error. status: of the error, 0 if the upstream said nothing."""
    text = b"semcore; fwd=stale" + (b"; fwd-status=%d" % status if status else b"") + ttl(found)
    return [(b"cache-status", text + b"; detail=stale-if-error"), *about(found, control)]


def ttl(found: Found) -> bytes:
    """Seconds that an answer stays fresh, as a parameter."""
    return b"; ttl=%d" % (found.record.fresh - found.age) if found.record.fresh else b""


def about(found: Found, control: Control) -> Headers:
    headers = [
        (b"age", b"%d" % found.age),
        (b"x-semcore-similarity", b"%.4f" % found.similarity),
        (b"x-semcore-id", b"%d" % found.id),
    ]
    if found.saving.tokens:
        headers.append((b"x-semcore-saved-tokens", b"%d" % found.saving.tokens))
    if control.cloudflare:
        headers.append((b"cf-aig-cache-status", b"HIT"))
    return headers


def why(tier: Tier, control: Control, found: Found | None) -> str:
    """The reason for going upstream, in RFC 9211's words. found: what the cache had, and was not given."""
    if tier is Tier.BYPASS:
        return "bypass"
    if found is not None:
        return "stale"
    return "miss" if control.look else "request"


def forwarded(
    why: str,
    status: int,
    control: Control,
    *,
    stored: int | None = None,
    collapsed: bool = False,
    detail: str = "",
) -> Headers:
    """Of what came from upstream.

    why: RFC 9211's reason: bypass, miss, request or stale. status: 0 if nothing came. stored: the entry's id.
    """
    text = f"semcore; fwd={why}"
    text += f"; fwd-status={status}" if status else ""
    text += "; stored" if stored is not None else ""
    text += "; collapsed" if collapsed else ""
    text += f'; detail="{detail}"' if detail else ""
    headers = [(b"cache-status", text.encode())]
    if stored is not None:
        headers.append((b"x-semcore-id", b"%d" % stored))
    if control.cloudflare:
        headers.append((b"cf-aig-cache-status", b"MISS"))
    return headers
