"""Another embedder for a filled cache: every stored text embedded anew, into a file that takes its place.

What an entry keeps: value, text, tags, age, expiry, saving, hits; and its place in the order of hits. What
it cannot keep is a vector whose text is unknown: not stored (`store_text=False`), empty (which looks the
same), or bytes that came with a vector of the caller's. Such entries are found by exactly their text only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import numpy as np

from semcore import _args, _engine, carry
from semcore.dump import VECTOR, Moved, Progress, Shape, fill, frames, header, records, remaking, silent
from semcore.embed import Embedder, EmbedFunction, Vector, resolve
from semcore.errors import ConfigError, EmbeddingError, SemcoreError

if TYPE_CHECKING:
    from semcore.embed.static import Static

KIND, TEXT = 4, 5  # places in a record
STR = 0  # the kind of a text
BATCH, BATCH_BYTES = 256, 16 << 20  # embedded at once: entries, bytes of theirs held meanwhile


class Reembedded(NamedTuple):
    """What became of the entries, and of their texts.

    vectors: texts that were embedded. without: texts for which the embedder gave None. failed: texts on
    which it failed. dropped: vectors that could not be made anew, for want of the text.
    """

    moved: Moved
    vectors: int
    without: int
    failed: int
    dropped: int


def reembed(
    path: Path,
    embed: str | EmbedFunction,
    keep_going: bool = False,
    drop_unknown: bool = False,
    progress: Progress = silent,
) -> Reembedded:
    """Gives the entries of a cache file another embedder's vectors, in a new file that takes its place.

    After an error everything is as it was. Nobody else may have the file open; who opens it meanwhile
    waits, and gets the new one. Owner, mode and geometry stay, but for `dim`, and for `max_bytes`, which
    grows by what longer vectors take.

    Args:
        path: the file.
        embed: as for `Cache`.
        keep_going: a text on which the embedder fails becomes exact-only; else the first one ends it all.
        drop_unknown: an entry with a vector whose text is not stored, or bytes, becomes exact-only.

    Raises:
        SemcoreError: other processes have it open, or texts are unknown and `drop_unknown` is not given.
        EmbeddingError: the embedder failed; with `keep_going`, on every text.
        OSError: its owner cannot be kept, or there is no room.
    """
    embedder = resolve(embed)
    if embedder is None:
        raise ConfigError("embed: expected an embedder, got None")
    dim = _args.resolve_dim(None, embedder)
    with remaking(path) as (engine, temporary):
        if not drop_unknown:
            refuse_unknown(engine, path)
        work = Work(embedder, keep_going, progress)
        moved = fill(temporary, work.through(frames(engine)), as_roomy(engine, dim))
        without = work.texts - work.vectors - work.failed
        return Reembedded(moved, work.vectors, without, work.failed, work.dropped)


def as_roomy(engine: _engine.Engine, dim: int) -> Shape:
    """As many entries and as much room for their values as before, with vectors of another length."""
    made, blocks = _engine.describe(engine), engine._stats()["blocks"]
    wanted = _engine.bytes_for(dim, made["storage"], made["max_entries"], blocks, made["prefix"][0])
    return Shape(made["max_entries"], max(made["max_bytes"], wanted), made["storage"])


def refuse_unknown(engine: _engine.Engine, path: Path) -> None:
    """Raises when an entry has a vector and no text to embed instead."""
    unstored = raw = 0
    for record in records(engine, *_engine.by_recency(engine)):
        if record is not None and record[VECTOR] is not None and text_of(record) is None:
            raw += record[KIND] != STR
            unstored += record[KIND] == STR
    if unstored or raw:
        raise SemcoreError(
            f"{path}: {unstored + raw:,} vectors cannot be made anew (the text of {unstored:,} is not "
            f"stored, of {raw:,} bytes); --drop-unknown keeps such entries, found by exactly their text only"
        )


def text_of(record: Sequence[Any]) -> str | None:
    """The text of an entry; None when it is not stored, empty, or bytes."""
    return str(record[TEXT], "utf-8", "surrogatepass") if record[KIND] == STR and record[TEXT] else None


class Work:
    """Frames of a cache in, frames with another embedder's vectors out; it counts what it did."""

    def __init__(self, embedder: Embedder | Static, keep_going: bool, progress: Progress) -> None:
        self._embedder, self._keep_going, self._progress = embedder, keep_going, progress
        self.texts = self.vectors = self.failed = self.dropped = 0

    def through(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Vectors are in them as the embedder gave them, whatever the storage: f32."""
        head, done = header(next(stream)), 0
        space = {"dim": self._embedder.dim, "fingerprint": self._embedder.fingerprint, "storage": "f32"}
        yield msgpack.packb(head | space)
        for batch in batches(stream):
            yield from self._renewed([msgpack.unpackb(frame) for frame in batch if not carry.is_run(frame)])
            yield from filter(carry.is_run, batch)  # behind all entries
            done += len(batch)
            self._progress(done, head["entries"] + head["runs"])
        if self.failed and self.failed == self.texts:
            raise EmbeddingError(f"embed: failed on every text ({self.failed:,})")

    def _renewed(self, batch: list[list[Any]]) -> Iterator[bytes]:
        texts = [text_of(record) for record in batch]
        found = iter(self._embedded([text for text in texts if text is not None]))
        for record, text in zip(batch, texts, strict=True):
            vector = None if text is None else next(found)
            self.dropped += text is None and record[VECTOR] is not None
            self.texts += text is not None
            self.vectors += vector is not None
            record[VECTOR] = None if vector is None else np.asarray(vector, np.float32).tobytes()
            yield msgpack.packb(record)

    def _embedded(self, texts: list[str]) -> list[Vector | None]:
        try:
            return self._embedder.many(texts)
        except EmbeddingError:
            if not self._keep_going:
                raise
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Vector | None:
        try:
            return self._embedder(text)
        except EmbeddingError:
            self.failed += 1
            return None


def batches(frames: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lists of frames, short and small enough to be held."""
    batch: list[bytes] = []
    held = 0
    for frame in frames:
        batch.append(frame)
        held += len(frame)
        if len(batch) == BATCH or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
