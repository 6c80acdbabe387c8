"""The `http` extra: vectors from OpenAI's embeddings API and from every server that copies it.

A request is made, sent and read alike in threads and in asyncio; only the sending differs. Threads share a
client; each event loop has its own, and a `Lane` that merges its callers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from semcore.embed import MOST_NAME, PROBE, Vector, clean
from semcore.embed.http.kept import Kept
from semcore.embed.http.lanes import Lane, Refused, halves
from semcore.embed.http.wire import Backoff, Reply, Wire, whole
from semcore.errors import EmbeddingError

if TYPE_CHECKING:
    import httpx2

ROOM = 1 << 18  # bytes of an answer's vector: 4096 numbers, 64 each
REFUSED = (400, 413, 422)  # a text is too long, or there are too many


class OpenAICompatible:
    """Text to vector by `POST {url}/embeddings`.

    Called, it makes one request a text; `embed_many` makes one per `batch` texts. In asyncio, `aembed` and
    `aembed_many` merge all that is asked within 3 ms. What was answered is kept and costs no second request.
    Vectors are float32 of shape (dim,), read-only; a blank text has none.

    Args:
        url: the API's root, such as "https://api.openai.com/v1"; a query in it is kept.
        model: as the server calls it.
        api_key: None: the environment's OPENAI_API_KEY, if any; "": none. It is never shown.
        key_header: "Authorization" (sent as a Bearer token), or "api-key" for Azure.
        dim: length of the vectors; another one is an error. None: what the server says, asked when needed.
        shorten: ask the server for vectors of `dim` numbers (`dimensions`, which not every model can).
        batch: most texts a request.
        retries: how often a request is tried again after 408, 429, 5xx, a time-out or a lost connection; or a
            `Backoff`, which says when, too.
        timeout: seconds of one try.
        cache_path: a file that keeps the vectors, shared by processes; None: this object's memory.
        max_cached: most vectors kept; 0: none. Texts themselves are not kept.

    Raises:
        ConfigError: the extra is not installed, or the url or the key cannot be sent.
        ValueError: an argument is out of range. RegionError: the file is not a cache.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        key_header: str = "Authorization",
        dim: int | None = None,
        shorten: bool = False,
        batch: int = 64,
        retries: int | Backoff = 4,
        timeout: float = 30.0,
        cache_path: str | os.PathLike[str] | None = None,
        max_cached: int = 10_000,
    ) -> None:
        self._dim = None if dim is None else whole("dim", dim, 8, 4096)
        if shorten and dim is None:
            raise ValueError("shorten: needs a dim")
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout: expected seconds above 0, got {timeout!r}")
        self._batch = whole("batch", batch, 1, 2048)
        self._model = model
        self._fields: dict[str, Any] = {"model": model} | ({"dimensions": dim} if shorten else {})
        backoff = retries if isinstance(retries, Backoff) else Backoff(retries)
        self._wire = Wire(url, key_of(api_key), key_header, float(timeout), backoff)
        space = named(model, dim, self._wire.host)
        self._kept = Kept(cache_path, whole("max_cached", max_cached, 0, 1 << 24), space, dim)
        self._lanes: dict[asyncio.AbstractEventLoop, tuple[Lane, httpx2.AsyncClient]] = {}

    # ---- what an embedder states ----

    @property
    def dim(self) -> int:
        """Length of the vectors. Asks the server once when neither the caller nor an answer told it."""
        return self._dim if self._dim is not None else self(PROBE).size  # type: ignore[union-attr]

    @property
    def fingerprint(self) -> str:
        """The model, the length of its vectors, and whose it is."""
        return named(self._model, self.dim, self._wire.host)

    # ---- vectors ----

    def __call__(self, text: str) -> Vector | None:
        """The vector of a text, or None. Raises EmbeddingError."""
        return self.embed_many([text])[0]

    def embed_many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, in their order. Raises EmbeddingError."""
        asked = [clean(text) for text in texts]
        found, missing = self._recall(asked)
        for at in range(0, len(missing), self._batch):
            part = missing[at : at + self._batch]
            found.update(zip(part, self._request(part), strict=True))
        return [found[text] for text in asked]

    async def aembed(self, text: str) -> Vector | None:
        """The vector of a text, or None. Raises EmbeddingError."""
        return (await self.aembed_many([text]))[0]

    async def aembed_many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, in their order. Raises EmbeddingError."""
        asked = [clean(text) for text in texts]
        found, missing = self._recall(asked)
        if missing:
            lane = self._lane()
            vectors = await asyncio.gather(*(lane.ask(text) for text in missing))
            found.update(zip(missing, vectors, strict=True))
        return [found[text] for text in asked]

    # ---- the end ----

    def close(self) -> None:
        """Closes the threads' connections and the kept vectors. In asyncio, `aclose` first."""
        self._wire.close()
        self._kept.close()

    async def aclose(self) -> None:
        """Closes the connections of the running event loop; they are made anew when needed."""
        _, client = self._lanes.pop(asyncio.get_running_loop(), (None, None))
        if client is not None:
            await client.aclose()

    # ---- one request ----

    def _request(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of one batch; one that is refused is halved."""
        try:
            return self._accept(texts, *self._wire.send(self._body(texts), room(texts)))
        except Refused:
            if len(texts) == 1:
                raise
        return [vector for half in halves(texts) for vector in self._request(half)]

    async def _arequest(self, client: httpx2.AsyncClient, texts: Sequence[str]) -> list[Vector]:
        """The same for a lane, which does the halving."""
        return self._accept(texts, *await self._wire.asend(client, self._body(texts), room(texts)))

    def _body(self, texts: Sequence[str]) -> bytes:
        return json.dumps({**self._fields, "input": list(texts)}).encode()

    def _accept(self, texts: Sequence[str], reply: Reply, tries: int) -> list[Vector]:
        """The vectors of a reply, kept."""
        if not 200 <= reply.status < 300:
            raise self._failure(texts, reply, tries)
        try:
            vectors = read(reply.body, len(texts), self._dim)
        except EmbeddingError as error:
            raise EmbeddingError(f"embed: {self._wire.shown}: {error}") from None
        self._dim = len(vectors[0])
        for text, vector in zip(texts, vectors, strict=True):
            self._kept.put(text, vector)
        return vectors

    def _failure(self, texts: Sequence[str], reply: Reply, tries: int) -> EmbeddingError:
        said = f"{reply.status}" if reply.status else "no answer"
        if reply.status not in (401, 403):  # whose text may quote a part of the key
            said += f": {self._wire.quote(reply.body)}"
        longest = max(map(len, texts))
        asked = f"{len(texts)} texts of up to {longest} characters"
        if len(texts) == 1:
            asked = f"{longest} characters"
        if tries > 1:
            asked += f", {tries} tries"
        kind = Refused if reply.status in REFUSED else EmbeddingError
        return kind(f"embed: {self._wire.shown} for {asked}: {said}")

    # ---- what is known ----

    def _lane(self) -> Lane:
        """The running event loop's."""
        loop = asyncio.get_running_loop()
        if loop not in self._lanes:
            for old in [old for old in list(self._lanes) if old.is_closed()]:
                self._lanes.pop(old, None)
            client = self._wire.aclient()
            self._lanes[loop] = Lane(partial(self._arequest, client), self._batch), client
        return self._lanes[loop][0]

    def _recall(self, texts: Sequence[str]) -> tuple[dict[str, Vector | None], list[str]]:
        """The vectors that are known, None for texts that have none; and the others' texts, each once."""
        found: dict[str, Vector | None] = {}
        missing = []
        for text in dict.fromkeys(texts):
            if not text.strip():
                found[text] = None
            elif (vector := self._kept.get(text, self._dim)) is not None:
                found[text], self._dim = vector, len(vector)
            else:
                missing.append(text)
        return found, missing


def named(model: str, dim: int | None, host: str) -> str:
    """The name of an embedding space; a long one as its hash."""
    name = f"openai:{model}:{dim or ''}@{host}"
    if len(name.encode()) <= MOST_NAME:
        return name
    return f"openai:{hashlib.sha256(name.encode()).hexdigest()[:32]}:{dim or ''}"


def room(texts: Sequence[str]) -> int:
    """Most bytes that their vectors can take in an answer, written as widely as JSON may be."""
    return ROOM * (len(texts) + 1)


def key_of(given: str | None) -> str:
    """The key given, else the environment's, else none."""
    return os.environ.get("OPENAI_API_KEY", "").strip() if given is None else given


# ---- reading `{"data": [{"index": 0, "embedding": [...]}, ...]}`, in any order ----


def read(body: bytes, count: int, dim: int | None) -> list[Vector]:
    """The vectors of `count` texts, in the texts' order: float32 of shape (dim,), read-only.

    dim: None: any, but all the same.

    Raises:
        EmbeddingError: it is something else, and what was expected.
    """
    rows = rows_of(body)
    if len(rows) != count:
        raise EmbeddingError(f"returned {len(rows)} vectors for {count} texts")
    if {index for index, _ in rows} != set(range(count)):
        raise EmbeddingError(f"expected each index from 0 to {count - 1} once")
    vectors: list[Vector] = []
    for _, numbers in sorted(rows, key=lambda row: row[0]):
        vectors.append(vector_of(numbers, dim))
        dim = len(vectors[0])
    return vectors


def rows_of(body: bytes) -> list[tuple[int, Any]]:
    """Index and numbers of each item."""
    expected = EmbeddingError('expected JSON like {"data": [{"index": 0, "embedding": [...]}]}')
    try:
        rows = [(item["index"], item["embedding"]) for item in json.loads(body)["data"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise expected from None
    if not all(isinstance(index, int) for index, _ in rows):
        raise expected
    return rows


def vector_of(numbers: Any, dim: int | None) -> Vector:
    try:
        array = np.asarray(numbers)
    except ValueError:  # ragged
        array = np.empty(0)
    if array.ndim != 1 or array.dtype.kind not in "if" or not array.size:
        raise EmbeddingError("expected an embedding to be a list of numbers")
    if dim is not None and len(array) != dim:
        raise EmbeddingError(f"returned a vector of {len(array)} numbers, expected {dim}")
    with np.errstate(all="ignore"):
        vector: Vector = array.astype(np.float32)
        norm = np.dot(vector, vector)
    if not np.isfinite(norm) or norm == 0:
        raise EmbeddingError("returned a vector that is zero or not finite")
    vector.setflags(write=False)
    return vector
