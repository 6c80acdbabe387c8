"""What of a request's body counts, as bytes: two bodies with equal bytes ask for the same answer.

- Left out: null fields of the body and of messages, fields without effect on the answer (`NO_EFFECT`), and
  breakpoints (`MARKS`) where an API has them: in the body, tools, messages and content blocks. Everything
  else counts, known or not; a schema's property or a call's argument may well be called "cache_control".
- Keys of the body, of messages and of content blocks are sorted. All others stay in order: the order of a
  schema's properties steers what the model writes, and that of a call's arguments is what it reads.
- Whole numbers at the top are the same as float and int (temperature 0 and 0.0).
- Ids of tool calls count by their order: they are new in every reply.
- Media (data URLs, and base64 of a kilobyte or more) in messages are stood in for by their SHA-256.
- The bytes are msgpack's. As JSON they would depend on the encoder, which print floats differently, and cost
  four times as much by the standard library.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgpack

from semcore.wire.links import linked

NO_EFFECT = frozenset(
    (
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    )
)
MARKS = ("cache_control", "prompt_cache_breakpoint")
TURNS = ("messages", "input", "contents")
SYSTEM = ("system", "systemInstruction", "system_instruction")
NESTED = frozenset(("content", "parts", "output", "source"))  # where messages and blocks hold blocks
MEDIA = 1024  # characters of base64 from which on a string is a medium
BASE64 = re.compile(r"[A-Za-z0-9+/=_\r\n-]*")
WHOLE = 2.0**53  # up to here each whole float is one int
Form = Callable[[str], Any]
Keys = Callable[[Mapping[str, Any]], Iterable[str]]


def canonical_body(body: Any) -> bytes:
    """The bytes of a body.

    Args:
        body: parsed JSON of a chat completion, a response, a completion, a messages or a generateContent
            request; or the context that `last_user_text` made of it.

    Raises:
        ValueError: it is no object, is nested too deep, or has a number beyond 64 bits.
    """
    if not isinstance(body, dict):
        raise ValueError(f"body: expected an object, got {type(body).__name__}")
    try:
        return packed(
            {
                name: _field(name, body[name])
                for name in sorted(body)
                if body[name] is not None and name not in NO_EFFECT and name not in MARKS
            }
        )
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"body: {error}") from error


def packed(value: Any) -> bytes:
    """As msgpack, lone surrogates too. Raises TypeError, ValueError, OverflowError: it cannot."""
    try:
        return msgpack.packb(value)  # type: ignore[no-any-return]
    except UnicodeEncodeError:  # told how to take them, msgpack is half as fast
        return msgpack.packb(value, unicode_errors="surrogatepass")  # type: ignore[no-any-return]


def _field(name: str, value: Any) -> Any:
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) <= WHOLE else value
    if name in TURNS and isinstance(value, list):
        return [_message(turn) for turn in linked(value)]
    if name == "tools" and isinstance(value, list):
        return [without_marks(tool) if isinstance(tool, dict) else tool for tool in value]
    if name in SYSTEM:
        return _message(value) if isinstance(value, dict) else blocks(value, digest, sorted)
    return value


def _message(turn: Any) -> Any:
    if isinstance(turn, dict) and None in turn.values():
        turn = fields(turn)
    return blocks(turn, digest, sorted)


def fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a message that count: neither null nor a mark."""
    return {key: value for key, value in message.items() if value is not None and key not in MARKS}


def without_marks(part: Mapping[str, Any]) -> dict[str, Any]:
    """A tool, message or block without its own marks."""
    return {key: value for key, value in part.items() if key not in MARKS}


def blocks(value: Any, form: Form, keys: Keys = list) -> Any:
    """Messages or content blocks without marks, their own and those of the blocks inside them.

    Args:
        value: one of them or a list; anything else stays as it is.
        form: what stands in for a medium.
        keys: the keys of a message or block, in the order wanted.
    """
    if isinstance(value, (list, tuple)):
        return [blocks(one, form, keys) for one in value]
    if not isinstance(value, (dict, Mapping)):  # a dict is told ten times as fast
        return value
    kept = {}
    for key in keys(value):
        inner = value[key]
        if key in NESTED:
            kept[key] = inner if type(inner) is str else blocks(inner, form, keys)
        elif key not in MARKS:
            kept[key] = media(inner, form)
    return kept


def media(value: Any, form: Form) -> Any:
    """A value with what stands in for the media inside it."""
    if isinstance(value, str):
        return form(value) if len(value) >= MEDIA and is_medium(value) else value
    if isinstance(value, (dict, Mapping)):
        return {key: media(one, form) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [media(one, form) for one in value]
    return value


def is_medium(text: str) -> bool:
    """Base64, or a data URL; a look at the start is enough."""
    return text.startswith("data:") or BASE64.fullmatch(text, 0, MEDIA) is not None


def digest(medium: str) -> bytes:
    """Its SHA-256: bytes, which no JSON has, so that no text is taken for it."""
    return hashlib.sha256(encode(medium)).digest()


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
