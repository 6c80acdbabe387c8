"""Cache: meaning on top of the engine. Thresholds, time to live, embedding and single flight."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from semcore import _args, _engine, exchange, many
from semcore._args import UNSET, PutOptions, check_nearest, check_threshold, check_ttl, is_id
from semcore.embed import Embedder, EmbedFunction, resolve
from semcore.flight import Ask, Flights, cosine, held
from semcore.hit import Explanation, Hit, Lookup, Stats, reason
from semcore.learner import Learner

if TYPE_CHECKING:
    from semcore.embed.static import Static
    from semcore.prefix import PrefixIndex

Text = str | bytes
T = TypeVar("T")


class Cache(_engine.Engine):
    """A semantic cache: answers of language models by what was asked.

    Args:
        path: a file, kept and shared by processes; None for private memory.
        embed: "default" (our own, offline), "wordllama" or "minilm" (extras), a callable text -> vector, or
            None: bring vectors.
        dim: length of the vectors when `embed` is None; None or 0 for exact lookups only.
        max_entries: most entries at any moment. None: 200,000, or as many as leave half of
            `max_bytes` to values; for an existing file, what it was made with.
        max_bytes: size of the whole region, indexes included: an int or text like "64 MiB". None:
            1 GiB, or an existing file's own.
        policy: who is evicted: "value" (decayed hits x saving / bytes), "lru" or "lfu" (decayed).
        threshold: least cosine similarity of a semantic hit, in [-1, 1].
        ttl: seconds that an entry lives after its put; None for ever. `put` may override it.
        sliding: every hit starts the ttl anew.
        storage: how vectors are kept: "f16", "f32" or "i8".
        store_text: keep the prompts' texts (shown in lookups); False keeps only their hashes.
        read_only: open an existing file to look at: lookups work and count nothing, changes raise.
        recall: share of each partition's semantic hits that searches have to find, 0.5 to 1; 1.0 for all.
            None: all in a cache of up to 300,000 entries, else 0.999. What is found is always right.
        threads: how many (1 to 8) a search may use, one for each 65,536 rows of the cache.
        prefix_blocks: room for so many messages, or blocks of 16 tokens, in the prefix index, `prefix`,
            within `max_bytes` (28 bytes each and less). None: what the file has; a cache in private memory
            makes an index of 65,536 with memory of its own when it is first asked for.
        clock: seconds since the Unix epoch, for tests and simulations.

    Raises:
        ConfigError: a setting is impossible on this machine or an extra is missing.
        RegionError: the file is not ours, damaged, or of another geometry or embedder.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        embed: str | EmbedFunction | None = "default",
        dim: int | None = None,
        max_entries: int | None = None,
        max_bytes: int | str | None = None,
        policy: Literal["value", "lru", "lfu"] = "value",
        threshold: float = 0.90,
        ttl: float | None = None,
        sliding: bool = False,
        storage: Literal["f16", "f32", "i8"] = "f16",
        store_text: bool = True,
        read_only: bool = False,
        recall: float | None = None,
        threads: int = 1,
        prefix_blocks: int | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._sliding = bool(sliding)
        self._ttl = check_ttl(ttl, self._sliding)
        self._store_text = bool(store_text)
        self._embed = resolve(embed)
        self._flights = Flights()
        self._refused = 0
        self._learner = Learner(self)
        self._prefix: PrefixIndex | None = None
        self._prefix_apart = prefix_blocks is None and path is None
        self._making = threading.Lock()  # of the prefix index
        self._clock = clock
        super().__init__(
            path,
            _args.resolve_dim(dim, self._embed),
            _args.check_entries(max_entries),
            _args.resolve_bytes(path, max_bytes),
            _args.check_choice("storage", storage, ("f16", "f32", "i8")),
            _args.check_choice("policy", policy, ("value", "lru", "lfu")),
            self._embed.fingerprint if self._embed else "vectors",
            check_threshold(threshold),
            _args.check_clock(clock),
            _args.check_read_only(read_only, path),
            threads=_args.check_threads(threads),
            recall=_args.check_recall(recall),
            prefix=_args.check_prefix(prefix_blocks),
        )
        if path is not None and not read_only:
            self._learner.look()  # whoever had it open before may not have come to an end

    # ---- lookups ----

    def lookup(
        self,
        text: Text,
        *,
        namespace: Text = "",
        context: object = None,
        vector: Any = None,
        threshold: float | None = None,
        nearest: int = 12,
    ) -> Lookup:
        """`get` with reasons: also the `nearest` (1 to 64) entries of the partition, and why not.

        Slower than `get`: without a threshold to prune by, every row is a candidate.
        """
        floor = self.threshold if threshold is None else self._floor(threshold)
        check_nearest(nearest)
        vector = self._vector(text, vector)
        hit = self.get(text, namespace=namespace, context=context, vector=vector, threshold=floor)
        if vector is None:
            return Lookup(hit, [], "exact hit" if hit else "not stored, and no vector to compare by")
        candidates = self._nearest(vector, namespace, context, -1.0, nearest)
        return Lookup(hit, candidates, reason(hit, candidates, floor))

    def get_many(
        self,
        texts: Sequence[Text],
        *,
        vectors: Sequence[Any] | None = None,
        namespace: Text = "",
        context: object = None,
        threshold: float | None = None,
    ) -> list[Hit | None]:
        """`get` for several texts of one partition; those that need it are embedded in one batch.

        vectors: the texts' own, in their order, None for a text that has none.
        """
        floor = self.threshold if threshold is None else self._floor(threshold)
        many.check_vectors(texts, vectors)
        hits = [self._get_exact(text, namespace, context, floor, True) for text in texts]
        missing = [i for i, hit in enumerate(hits) if hit is None]
        given = None if vectors is None else [vectors[i] for i in missing]
        rows = many.vectors_of(self._embed, [texts[i] for i in missing], given)
        found = many.search(self, namespace, context, rows, floor)
        for i, hit in zip(missing, found, strict=True):
            hits[i] = hit
        return hits

    def explain(self, a: str, b: str) -> Explanation:
        """Would the answer to `a` serve `b`, and why?"""
        if a == b:
            return Explanation(1.0, self.threshold, True, "same text: an exact hit")
        x, y = self._vector(a, None), self._vector(b, None)
        if x is None or y is None:
            return Explanation(None, self.threshold, False, "other texts, and no vectors to compare: a miss")
        similarity = cosine(x, y)
        verdict = "at or above it: a semantic hit" if similarity >= self.threshold else "below it: a miss"
        verdict = f"similarity {similarity:.4f}, threshold {self.threshold:.4f}, {verdict}"
        return Explanation(similarity, self.threshold, False, verdict)

    # ---- writers ----

    def put(
        self,
        text: Text | None = None,
        value: Any = None,
        *,
        messages: Any = None,
        tools: Any = None,
        system: Any = None,
        namespace: Text = "",
        context: object = None,
        vector: Any = None,
        ttl: float | None = UNSET,
        tags: Iterable[Text] = (),
        tokens: int = 0,
        cost: float = 0.0,
        latency_ms: float = 0.0,
    ) -> int:
        """Stores an answer and returns the entry's id. The same text again replaces it.

        With `messages` instead of a text: keeps the value at the end of this chat, for `get(messages=...)`
        of every chat that begins like it, and returns how many messages that is. Only ttl, namespace and
        context go with it.

        Args:
            text, namespace, context, vector: as for `get`.
            value: `str` and `bytes` are kept as they are, anything else as msgpack.
            ttl: seconds to live, None for ever; the cache's own when not given.
            tags: names by which `invalidate` finds the entry; at most 64.
            tokens, cost, latency_ms: what a hit will spare; they feed the ledger and the "value" policy.

        Raises:
            CapacityError: the value can never fit. EmbeddingError: the embedder failed.
            ValueError, TypeError: a bad argument. Nothing is changed then.
        """
        if text is None or messages is not None or tools is not None or system is not None:
            from semcore.prefix import attached

            bare = vector is None and not tags and not tokens and not cost and not latency_ms
            return attached.attach(
                self, text, value, (messages, tools, system), namespace, context, ttl, bare
            )
        options = PutOptions.checked(self._seconds(ttl), tags, tokens, cost, latency_ms)
        return self._store(text, value, self._vector(text, vector), namespace, context, options)

    def put_many(
        self,
        items: Iterable[tuple[Text, Any]],
        *,
        vectors: Sequence[Any] | None = None,
        namespace: Text = "",
        context: object = None,
        ttl: float | None = UNSET,
        tags: Iterable[Text] = (),
        tokens: int = 0,
        cost: float = 0.0,
        latency_ms: float = 0.0,
    ) -> list[int]:
        """`put` for several (text, value) pairs with the same options; texts are embedded in one batch.

        vectors: the texts' own, in their order. If an item fails, those before it stay stored.
        """
        pairs = list(items)
        options = PutOptions.checked(self._seconds(ttl), tags, tokens, cost, latency_ms)
        many.check_vectors([text for text, _ in pairs], vectors)
        rows = many.vectors_of(self._embed, [text for text, _ in pairs], vectors)
        return [
            self._store(text, value, vector, namespace, context, options)
            for (text, value), vector in zip(pairs, rows, strict=True)
        ]

    def get_or_compute(
        self,
        text: Text,
        compute: Callable[[Any], T],
        *,
        namespace: Text = "",
        context: object = None,
        vector: Any = None,
        threshold: float | None = None,
        ttl: float | None = UNSET,
        tags: Iterable[Text] = (),
        tokens: int = 0,
        cost: float = 0.0,
        latency_ms: float | None = None,
    ) -> T:
        """The stored answer, or `compute(text)`, stored.

        Of callers whose texts mean the same, one computes and the others wait for its answer. If it
        raises, they see the same error; an error is never cached. The latency that `compute` took
        is what later hits spare, unless `latency_ms` is given. An answer that cannot be stored is
        returned all the same and counted in `stats().refused`, with a RuntimeWarning unless it is
        only too large. A `compute` that asks the same again computes again instead of waiting for itself.
        """
        options = PutOptions.checked(self._seconds(ttl), tags, tokens, cost, latency_ms)
        floor = self.threshold if threshold is None else self._floor(threshold)
        hit = self._get_exact(text, namespace, context, floor, True)
        if hit is not None:
            return hit.value  # type: ignore[no-any-return]
        vector = self._vector(text, held(vector))
        ask = Ask.of(self, text, vector, floor, namespace, context, options)
        return self._flights.run(self, ask, compute)

    async def aget_or_compute(
        self,
        text: Text,
        compute: Callable[[Any], Awaitable[T]],
        *,
        namespace: Text = "",
        context: object = None,
        vector: Any = None,
        threshold: float | None = None,
        ttl: float | None = UNSET,
        tags: Iterable[Text] = (),
        tokens: int = 0,
        cost: float = 0.0,
        latency_ms: float | None = None,
    ) -> T:
        """The async twin of `get_or_compute`: `compute(text)` is awaited; both share their flights.

        An embedder that has `aembed` is awaited, too; any other one runs on the event loop.
        """
        options = PutOptions.checked(self._seconds(ttl), tags, tokens, cost, latency_ms)
        floor = self.threshold if threshold is None else self._floor(threshold)
        hit = self._get_exact(text, namespace, context, floor, True)
        if hit is not None:
            return hit.value  # type: ignore[no-any-return]
        vector = await self._avector(text, held(vector))
        ask = Ask.of(self, text, vector, floor, namespace, context, options)
        return await self._flights.arun(self, ask, compute)

    # ---- removal ----

    def delete(
        self, text: Text | None = None, *, id: int | None = None, namespace: Text = "", context: object = None
    ) -> bool:
        """Removes the entry of exactly this text, or of an id; False when there is none.

        Not what `put(messages=...)` left: that ends by its ttl, or by `clear()`.
        """
        if (text is None) == (id is None):
            raise ValueError("delete: expected either a text or id=")
        if id is not None:
            return is_id(id) and self._delete(id)
        return self._delete_text(text, namespace, context)

    def invalidate(self, tag: Text, *, namespace: Text = "") -> int:
        """Removes every entry of the namespace that was put with this tag; returns how many.

        Costs what it removes. What `put(messages=...)` left has no tags: it ends by its ttl, or by `clear()`.
        """
        return self._invalidate(tag, namespace)

    def clear(self, namespace: Text | None = None) -> int:
        """Removes everything, the prefix index's too, or one namespace's entries; returns how many entries.

        The prefix index keeps namespaces only as hashes, together with contexts, so that it cannot tell which
        of its prompts are one namespace's: their values end by their ttl, or by `clear()`.
        """
        entries = self._clear(namespace)
        if namespace is None:
            from semcore.prefix import attached

            attached.clear(self)
        return entries

    # ---- exchange ----

    to_usearch = exchange.to_usearch
    put_usearch = exchange.put_usearch
    from_usearch = classmethod(exchange.from_usearch)

    # ---- inspection ----

    def stats(self) -> Stats:
        """Sizes, counters, and the ledger of what hits spared."""
        return Stats.of(self._stats(), self._refused)

    @property
    def embedder(self) -> Embedder | Static | None:
        """The embedder in use, with its `dim` and `fingerprint`; None with bare vectors."""
        return self._embed

    @property
    def prefix(self) -> PrefixIndex:
        """The cache's prefix index. Raises ConfigError: the file was made without one."""
        if self._prefix is None:
            from semcore.prefix import attached

            return attached.index(self)
        return self._prefix

    def __len__(self) -> int:
        if self.read_only:
            return len(self._ids())  # what has expired cannot be removed
        self.expire()
        return int(self._stats()["entries"])

    def __contains__(self, key: object) -> bool:
        """Is there an entry of this id, or of exactly this text (default namespace, no context)?"""
        if isinstance(key, (str, bytes)):
            return self._get_exact(key, "", None, 1.0, False) is not None
        return is_id(key) and self._at(key) is not None

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids())

    def __getitem__(self, id: int) -> Hit:
        """The entry of an id, without counting a hit. Raises KeyError."""
        hit = self._at(id) if is_id(id) else None
        if hit is None:
            raise KeyError(id)
        return hit

    def __delitem__(self, id: int) -> None:
        if not is_id(id) or not self._delete(id):
            raise KeyError(id)

    def close(self) -> None:
        """Closes the cache and its prefix index; calls under way end first. Closing twice is fine."""
        self._learner.stop()
        super().close()
        with self._making:
            if self._prefix_apart and self._prefix is not None:
                self._prefix.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- within ----

    def _forked(self) -> None:
        super()._forked()
        self._flights.forked()
        self._learner.forked()
        self._making = threading.Lock()

    def _floor(self, threshold: float) -> float:
        """The threshold of a call, which may be raised only."""
        if check_threshold(threshold) < self.threshold:
            raise ValueError(
                f"threshold: {threshold} is below the cache's own {self.threshold}; a call may only raise it"
            )
        return float(threshold)

    def _seconds(self, ttl: float | None) -> float:
        return self._ttl if ttl is UNSET else check_ttl(ttl, self._sliding)

    def _by_prefix(self, *asked: Any) -> Hit | None:
        """What `get` does with messages."""
        from semcore.prefix import attached

        return attached.find(self, *asked)

    def _by_meaning(
        self, text: Text, namespace: Text, context: object, vector: Any, floor: float
    ) -> Hit | None:
        """What `get` does after the exact lookup found nothing."""
        return self._search(namespace, context, self._vector(text, vector), floor)

    def _search(self, namespace: Text, context: object, vector: Any, floor: float) -> Hit | None:
        if vector is None:
            self._miss()
            return None
        return self._get_semantic(vector, namespace, context, floor, True)

    def _store(
        self, text: Text, value: Any, vector: Any, namespace: Text, context: object, options: PutOptions
    ) -> int:
        ttl, tags, tokens, cost, latency_ms = options
        self._learner.put()
        return self._put(
            text, value, namespace, context, vector, ttl, self._sliding, tags,
            self._store_text, tokens, cost, latency_ms or 0.0,
        )  # fmt: skip

    # ---- vectors ----

    def _vector(self, text: Text, vector: Any) -> Any:
        """The caller's vector, else the embedder's for a str; None: exact only."""
        if vector is not None or self._embed is None or not isinstance(text, str):
            return vector
        return self._embed(text)

    async def _avector(self, text: Text, vector: Any) -> Any:
        """The same without blocking the event loop, where the embedder can."""
        if vector is None and isinstance(self._embed, Embedder) and isinstance(text, str):
            return await self._embed.aembed(text)
        return self._vector(text, vector)
