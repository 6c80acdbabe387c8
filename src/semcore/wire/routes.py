"""Which API a path belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from semcore.wire.chat import Chat
from semcore.wire.completions import Completions
from semcore.wire.embeddings import Embeddings
from semcore.wire.gemini import GENERATE, STREAM, Gemini
from semcore.wire.messages import Messages
from semcore.wire.question import Api
from semcore.wire.responses import Responses

# By how a path ends, longer ones first: before it comes `/v1`, Azure's `/openai/v1` or
# `/openai/deployments/NAME`, or whatever base a compatible server has.
SUFFIXES: dict[str, Api | Embeddings] = {
    "/chat/completions": Chat(),
    "/completions": Completions(),
    "/responses": Responses(),
    "/embeddings": Embeddings(),
    "/v1/messages": Messages(),
    GENERATE: (gemini := Gemini()),
    STREAM: gemini,
}
SECRET = ("key", "access_token")  # of a query: Google's credentials
FORM = ("alt",)  # and the form of its answers


def api_of(method: str, path: str) -> Api | Embeddings | None:
    """The API whose requests may be answered from a cache; None: all else."""
    if method != "POST":
        return None
    for suffix, api in SUFFIXES.items():
        if path.endswith(suffix):
            return api
    return None


def same_path(path: str, query: bytes) -> str:
    """Path and query as far as they bear upon the answer."""
    if path.endswith(STREAM):
        path = path.removesuffix(STREAM) + GENERATE
    if not query:
        return path
    kept = written(sorted(pair for pair in pairs_of(query) if pair[0] not in SECRET and pair[0] not in FORM))
    return f"{path}?{kept.decode()}" if kept else path


def secret_of(query: bytes) -> bytes:
    """The credentials in a query."""
    if not query:
        return b""
    return "\0".join(value for name, value in pairs_of(query) if name in SECRET).encode("latin-1")


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Names and values, a character for each of their bytes."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")


def written(pairs: Iterable[tuple[str, str]]) -> bytes:
    """A query of them."""
    return urlencode(list(pairs), encoding="latin-1").encode()
