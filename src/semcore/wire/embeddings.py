"""OpenAI's embeddings: `POST .../embeddings`. A request's items are cached one by one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from semcore.wire import openai
from semcore.wire.canonical import canonical_body
from semcore.wire.encode import dumps
from semcore.wire.question import Json, Unreadable

FORMATS = ("float", "base64")
FLOATS = np.dtype("<f4")


class Batch(NamedTuple):
    """A request.

    context: everything that must be equal for a vector to be reusable, canonical.
    items: what is embedded, texts or lists of tokens, in order. keys: a text for each, equal for equal items.
    format: how the client wants its vectors, "float" or "base64".
    """

    model: str
    context: bytes
    items: list[Any]
    keys: list[str]
    format: str


class Embeddings:
    """The endpoint. Vectors are bytes: float32, little end first."""

    name = "embeddings"

    def batch(self, body: Json) -> Batch:
        """Reads a request. Raises Unreadable."""
        if not isinstance(body, dict):
            raise Unreadable("body: expected an object")
        format = body.get("encoding_format") or "float"
        if format not in FORMATS:
            raise Unreadable("encoding_format: expected float or base64")
        kind, items = items_of(body.get("input"))
        dumps({**body, "input": None})  # can be written, when only some of the items are asked for
        try:
            context = canonical_body({**body, "input": kind, "encoding_format": None})
        except ValueError as error:
            raise Unreadable(str(error)) from error
        keys = items if kind == "texts" else [",".join(map(str, item)) for item in items]
        return Batch(str(body.get("model") or ""), context, items, keys, format)

    def vectors(self, answer: Json, count: int) -> list[bytes]:
        """The vectors of an answer to so many items, in order. Raises Unreadable."""
        data = openai.objects(answer, "data") if isinstance(answer, dict) else []
        order = [one.get("index", at) for at, one in enumerate(data)]
        if not all(type(at) is int for at in order) or sorted(order) != list(range(count)):
            raise Unreadable(f"data: expected {count} embeddings")
        return [vector_of(one) for _, one in sorted(zip(order, data, strict=True), key=lambda pair: pair[0])]

    def error(self, status: int, kind: str, message: str) -> Json:
        return openai.error_of(kind, message)

    def answer(self, model: str, vectors: Sequence[bytes], format: str, usage: Json) -> Json:
        """An answer with these vectors."""
        data = [
            {"object": "embedding", "index": at, "embedding": written(vector, format)}
            for at, vector in enumerate(vectors)
        ]
        return {"object": "list", "data": data, "model": model, "usage": usage}


def items_of(given: Any) -> tuple[str, list[Any]]:
    """What is embedded, and of what kind it is. Raises Unreadable."""
    if isinstance(given, str):
        return "texts", [given]
    if isinstance(given, list) and given:
        if all(isinstance(item, str) for item in given):
            return "texts", given
        if are_tokens(given):
            return "tokens", [given]
        if all(isinstance(item, list) and are_tokens(item) for item in given):
            return "tokens", given
    raise Unreadable("input: expected a text, tokens, or a list of them")


def are_tokens(items: list[Any]) -> bool:
    return all(type(item) is int for item in items)


def vector_of(one: Json) -> bytes:
    """Raises Unreadable."""
    given = one.get("embedding")
    try:
        if isinstance(given, str):
            vector = np.frombuffer(base64.b64decode(given, validate=True), FLOATS)
        elif isinstance(given, list) and all(type(number) in (int, float) for number in given):
            with np.errstate(over="ignore"):
                vector = np.array(given, np.float64).astype(FLOATS)
        else:
            raise Unreadable("embedding: expected numbers or base64")
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Unreadable(f"embedding: {error}") from error
    if not vector.size or not np.isfinite(vector).all():
        raise Unreadable("embedding: expected finite numbers")
    return vector.tobytes()


def written(vector: bytes, format: str) -> Any:
    if format == "base64":
        return base64.b64encode(vector).decode()
    return np.frombuffer(vector, FLOATS).tolist()
