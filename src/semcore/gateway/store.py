"""The answers in the cache: found for a question, and kept. No failure of the cache leaves this file."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from semcore import Cache, CapacityError
from semcore._args import PutOptions
from semcore.gateway.record import Record
from semcore.wire.question import Tier

log = logging.getLogger("semcore.gateway")

TENANT = 16  # bytes
PAUSE = 1.0  # seconds without the cache after it failed


class Place(NamedTuple):
    """Where the answers to a question lie: whose they are, and what has to be equal."""

    namespace: bytes
    context: bytes
    text: str
    tier: Tier

    @property
    def tenant(self) -> bytes:
        return self.namespace[:TENANT]


class Found(NamedTuple):
    """An answer of the cache, with its age in seconds and what a hit spares."""

    record: Record
    layer: str
    similarity: float
    age: float
    id: int
    saving: Any


class Look(NamedTuple):
    """What a lookup gave: an answer or None, and the text's vector, if it was made."""

    found: Found | None
    vector: Any


NOTHING = Look(None, None)


def tenant(credential: bytes, salt: bytes) -> bytes:
    """Who asks: 16 bytes from which nobody learns the credential."""
    return hashlib.blake2b(credential, digest_size=TENANT, key=salt, person=b"semcore-tenant").digest()


class Rest:
    """A part that failed is left alone for a moment, so that it cannot slow down every request.

    failures: so far.
    """

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self.failures = 0
        self._name, self._monotonic = name, monotonic
        self._until = float("-inf")

    def __bool__(self) -> bool:
        return self._monotonic() < self._until

    def failed(self, error: Exception) -> None:
        """Says so, without any text."""
        self.failures += 1
        self._until = self._monotonic() + PAUSE
        log.warning("%s failed: %s; requests do without it for a moment", self._name, type(error).__name__)


class Store:
    """A cache for answers.

    Args:
        cache: where they are kept.
        embed_timeout: seconds after which a lookup does without the text's meaning.
        monotonic: seconds, for tests.
    """

    def __init__(
        self, cache: Cache, embed_timeout: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.cache = cache
        self.resting = Rest("the cache", monotonic)
        self.embedder_resting = Rest("the embedder", monotonic)
        self._embed_timeout = embed_timeout

    async def find(self, place: Place, threshold: float) -> Look:
        """Exactly this question, else one that means the same. Counted in the cache's ledger."""
        look = self._same(place, threshold)
        if look is None:
            vector = await self._vector(place.text) if place.tier is Tier.SEMANTIC else None
            look = self._alike(place, vector, threshold)
        return look

    def find_now(self, place: Place, threshold: float) -> Look:
        """The same outside of asyncio. An embedder that waits has to give up by itself."""
        look = self._same(place, threshold)
        if look is None:
            vector = self._vector_now(place.text) if place.tier is Tier.SEMANTIC else None
            look = self._alike(place, vector, threshold)
        return look

    def _same(self, place: Place, threshold: float) -> Look | None:
        """What was asked with this very text; None: look further."""
        if self.resting:
            return NOTHING
        try:
            hit = self.cache._get_exact(place.text, place.namespace, place.context, threshold, True)
            return None if hit is None else Look(read(hit), None)
        except Exception as error:
            self.resting.failed(error)
            return NOTHING

    def _alike(self, place: Place, vector: Any, threshold: float) -> Look:
        """What was asked with a text that means the same. vector: the text's; None: there is none."""
        try:
            if vector is None:
                self.cache._miss()
                return NOTHING
            hit = self.cache._get_semantic(vector, place.namespace, place.context, threshold, True)
            return Look(read(hit) if hit is not None else None, vector)
        except Exception as error:
            self.resting.failed(error)
            return NOTHING

    def landed(self, place: Place, threshold: float) -> Found | None:
        """The answer to exactly this question, if it came since the lookup."""
        if self.resting:
            return None
        try:
            hit = self.cache._get_exact(place.text, place.namespace, place.context, threshold, True)
            return read(hit) if hit is not None else None
        except Exception as error:
            self.resting.failed(error)
            return None

    async def keep(
        self, place: Place, record: Record, vector: Any, semantic: bool, ttl: float,
        tags: tuple[str | bytes, ...], cost: float, ms: float,
    ) -> int | None:  # fmt: skip
        """Stores an answer. vector: the text's, if it was made. semantic: also for paraphrases. ttl: seconds,
        0 for ever. cost, ms: what the model took. Returns the entry's id; None: it was not stored."""
        if semantic and vector is None and not self.resting:
            vector = await self._vector(place.text)
        return self._put(place, record, vector if semantic else None, ttl, tags, cost, ms)

    def keep_now(
        self, place: Place, record: Record, vector: Any, semantic: bool, ttl: float,
        tags: tuple[str | bytes, ...], cost: float, ms: float,
    ) -> int | None:  # fmt: skip
        """The same outside of asyncio."""
        if semantic and vector is None and not self.resting:
            vector = self._vector_now(place.text)
        return self._put(place, record, vector if semantic else None, ttl, tags, cost, ms)

    def _put(
        self, place: Place, record: Record, vector: Any, ttl: float, tags: tuple[str | bytes, ...],
        cost: float, ms: float,
    ) -> int | None:  # fmt: skip
        if self.resting:
            return None
        tokens = max(record.input, 0) + max(record.output, 0)
        try:
            options = PutOptions.checked(ttl, tags, tokens, cost, ms)
            return self.cache._store(
                place.text, tuple(record), vector, place.namespace, place.context, options
            )
        except CapacityError:
            return None  # it is larger than the cache takes
        except Exception as error:
            self.resting.failed(error)
            return None

    async def _vector(self, text: str) -> Any:
        """Of a text, or None while the embedder does not give any."""
        if self.embedder_resting:
            return None
        try:
            async with asyncio.timeout(self._embed_timeout):
                return await self.cache._avector(text, None)
        except Exception as error:
            self.embedder_resting.failed(error)
            return None

    def _vector_now(self, text: str) -> Any:
        if self.embedder_resting:
            return None
        try:
            return self.cache._vector(text, None)
        except Exception as error:
            self.embedder_resting.failed(error)
            return None


def read(hit: Any) -> Found | None:
    """A hit as an answer; None if what is stored is none of ours."""
    record = Record.read(hit.value)
    return record and Found(record, hit.layer, hit.similarity, hit.age, hit.id, hit.saving)
