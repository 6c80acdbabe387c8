"""PrefixIndex: a prefix index of its own, or a cache's."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, NamedTuple

from semcore import _args, _engine
from semcore.errors import ConfigError
from semcore.prefix import events as published

Namespace = str | bytes | tuple[str | bytes, ...]
Hash = Literal["keyed", "xxh3-64", "sha256_cbor", "sha256", "sglang"]
HASHSEED = (_engine.NO_SEED, (1 << 32) - 1)  # of PYTHONHASHSEED
SEEDS = {"xxh3-64": (1337, _engine.NO_SEED - 1), "sha256_cbor": HASHSEED, "sha256": HASHSEED}  # usual, most
MOST_BLOCKS, MOST_BLOCK, MOST_GROUP, MOST_REPLICAS = 1 << 26, 256, 64, 1024


class Difference(NamedTuple):
    """The first unit in which two prompts differ: its number, and what it is ("block 12", "tools 0",
    "system", "message 3"). `at`: the first token, byte or unit that differs; None where one only goes on."""

    unit: int
    where: str
    at: int | None


def check_number(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}: expected a whole number from {least} to {most}, got {value!r}")
    return value


def check_seed(hash: str, seed: int | None) -> int:
    if hash not in SEEDS:
        if seed is not None:
            raise ValueError(f"seed: hash={hash!r} takes none, got {seed!r}")
        return _engine.NO_SEED
    usual, most = SEEDS[hash]
    return usual if seed is None else check_number("seed", seed, 0, most)


def shape(blocks: int, block: int, group: int, hash: str, seed: int | None) -> tuple[int, int, int, int, int]:
    """What the engine is told of an index, checked."""
    _args.check_choice("hash", hash, _engine.HASHES)
    return (
        check_number("blocks", blocks, 1, MOST_BLOCKS),
        check_number("block", block, 1, MOST_BLOCK),
        check_number("group", group, 1, MOST_GROUP),
        _engine.HASHES.index(hash),
        check_seed(hash, seed),
    )


class PrefixIndex(_engine.Prefixes):
    """What of a prompt has been seen before, in microseconds, whatever its length.

    Args:
        path: a file, kept and shared by processes; None for private memory.
        block: tokens of a block (1 to 256), the unit of a match; of text four bytes for each token.
        group: blocks (1 to 64) that are hashed as one at first.
        blocks: how many it can hold (28 bytes each and less). None: 1,000,000, or what the file was made
            with.
        values: bytes kept for values, an int or text like "16 MiB".
        policy: who goes when it is full: "lru", or "lfu" (uses, decayed).
        replicas: how many engines may hold prompts (1 to 1024), numbered from 0.
        hash: "keyed" with a secret of its own; or as engines and routers publish: "xxh3-64" (each block,
            rolled), vLLM's "sha256" (its default) and "sha256_cbor", "sglang" (SGLang's pages). Whoever
            chooses prompts may forge those, so give them no values that must stay apart.
        seed: of "xxh3-64", 1337 by default; of vLLM's its PYTHONHASHSEED, None where that is not set.
        read_only: an existing file, of which nothing is changed: matches stamp nothing, and what would change
            it raises SemcoreError. While a writer recovers the file nothing is found.
        clock: seconds since the Unix epoch, for tests and simulations.

    Raises:
        ConfigError, ValueError: an argument is out of range. RegionError: the file is not ours, damaged,
        or of another shape. OSError: the operating system refused.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        block: int = 16,
        group: int = 8,
        blocks: int | None = None,
        values: int | str = "16 MiB",
        policy: Literal["lru", "lfu"] = "lru",
        replicas: int = 64,
        hash: Hash = "keyed",
        seed: int | None = None,
        read_only: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_number("replicas", replicas, 1, MOST_REPLICAS)
        _args.check_choice("policy", policy, ("lru", "lfu"))
        read_only = _args.check_read_only(read_only, path)
        old = blocks is None and path is not None and os.path.exists(path) and os.path.getsize(path) > 0
        made = shape(1_000_000 if blocks is None else blocks, block, group, hash, seed)
        room = _args.parse_bytes(values, "values") // 128 + 16
        max_bytes = 0 if old else _engine.bytes_for(0, "f16", 16, room, made[0])
        engine = _engine.Engine(
            path, 0, 0 if old else 16, max_bytes, "f16", policy, "prefixes", 1.0,
            _args.check_clock(clock), read_only, prefix=(0, 0, 0, 0, 0) if old else made,
        )  # fmt: skip
        try:
            super().__init__(engine, replicas)
        except ConfigError:
            engine.close()
            raise
        self._engine = engine
        self._events = published.Events(self)

    @classmethod
    def of(cls, engine: _engine.Engine, replicas: int = 64) -> PrefixIndex:
        """The index in a cache's own region. Raises ConfigError: the cache has none."""
        self = cls.__new__(cls)
        _engine.Prefixes.__init__(self, engine, check_number("replicas", replicas, 1, MOST_REPLICAS))
        self._engine = engine
        self._events = published.Events(self)
        return self

    def apply(self, events: Any, *, replica: int, namespace: Namespace = ()) -> int:
        """Follows what an engine publishes of its cache: BlockStored, BlockRemoved and AllBlocksCleared.

        Args:
            events: one event or a batch: msgpack bytes as they come over the wire, what they decode to
                (arrays with a tag, or dicts with "type"), or objects with such attributes. They may come
                twice and out of order.
            replica: the engine's number. A thread for each engine is fine.
            namespace: of its prompts, as for `match`.

        Returns:
            How many events were applied at once. Stored blocks whose parent is not known yet wait for it,
            up to 4,096 events; then the oldest is forgotten.

        Raises:
            ConfigError: this index has keyed hashes, which engines do not know.
            ValueError, TypeError: no event.
        """
        check_number("replica", replica, 0, self.replicas - 1)
        return self._events.apply(
            events, (replica, namespace if isinstance(namespace, tuple) else (namespace,))
        )

    def forget(self, replica: int) -> int:
        """A replica holds nothing any more; blocks that nobody else holds go. Returns how many runs it had a
        part of."""
        return self._events.forget(replica)

    def clear(self) -> None:
        """Forgets everything: prompts, values, pins, replicas, and events that wait."""
        self._events.clear()

    def explain(self, a: Any, b: Any) -> Difference | None:
        """The first unit in which two prompts differ; None if one could be the other's prefix, block for
        block.

        a, b: as for `match`, of the same kind.
        """
        from semcore.prefix.explain import explain

        return explain(a, b, self.block)

    def flush(self) -> None:
        """Returns when everything is on the disk. Private memory: at once."""
        self._engine.flush()

    def close(self) -> None:
        """Closes the index; of a cache's own, the cache. Closing twice is fine."""
        self._engine.close()

    def __enter__(self) -> PrefixIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
