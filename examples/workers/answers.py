"""What both servers share: the cache, opened once a process, and what goes in and out."""

import atexit
import json
import os

from semcore import Cache

# Opened when the server imports this: by each worker, or once before the workers are forked
# (gunicorn --preload), which then go on with the same object. Either way they share the file.
cache = Cache(
    os.environ.get("SEMCORE_CACHE", "support.semcore"),
    embed=None if os.environ.get("SEMCORE_EMBED") == "none" else "default",
    max_bytes="64 MiB",
    threshold=0.8,
)
atexit.register(cache.close)  # a file closed cleanly need not be checked after a reboot


def question(content_type: str, body: bytes) -> str:
    """The text asked: `{"question": ...}` as JSON, or the body itself. Raises ValueError."""
    text = body.decode()
    if content_type.startswith("application/json"):
        message = json.loads(text)
        text = message.get("question", "") if isinstance(message, dict) else ""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("expected a question")
    return text.strip()


def reply(text: str, answer: str, called: bool) -> dict[str, object]:
    """An answer, where it came from (the model, the same text, or other words), and who gave it."""
    layer = "model" if called else "exact" if text in cache else "semantic"
    return {"answer": answer, "layer": layer, "pid": os.getpid()}


def stats() -> dict[str, object]:
    """What the file holds and what all its processes did."""
    s = cache.stats()
    return {"hits": s.hits, "misses": s.misses, "entries": s.entries, "pid": os.getpid()}


def encode(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
