"""Several texts at once: their vectors in one batch, and their lookups in one pass over a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semcore import _engine

if TYPE_CHECKING:
    from semcore.embed import Embedder, Vector
    from semcore.embed.static import Static

BATCH = 64  # lookups for which the engine reads a partition once


def check_vectors(texts: Sequence[str | bytes], vectors: Sequence[Any] | None) -> None:
    if vectors is not None and len(vectors) != len(texts):
        raise ValueError(f"vectors: expected {len(texts)}, got {len(vectors)}")


def vectors_of(
    embed: Embedder | Static | None, texts: Sequence[str | bytes], given: Sequence[Any] | None
) -> Sequence[Any]:
    """The texts' own vectors, else the embedder's; None for what has none."""
    if given is not None:
        return given
    out: list[Vector | None] = [None] * len(texts)
    if embed is not None:
        at = [i for i, text in enumerate(texts) if isinstance(text, str)]
        for i, vector in zip(at, embed.many([str(texts[i]) for i in at]), strict=True):
            out[i] = vector
    return out


def search(
    engine: _engine.Engine, namespace: str | bytes, context: object, vectors: Sequence[Any], floor: float
) -> list[_engine.Hit | None]:
    """The best entry at or above the floor for each vector, or None, which counts a miss."""
    hits: list[_engine.Hit | None] = [None] * len(vectors)
    at = [i for i, vector in enumerate(vectors) if vector is not None]
    for _ in range(len(vectors) - len(at)):
        engine._miss()
    for start in range(0, len(at), BATCH):
        some = at[start : start + BATCH]
        found = engine._get_semantic_many([vectors[i] for i in some], namespace, context, floor)
        for i, hit in zip(some, found, strict=True):
            hits[i] = hit
    return hits
