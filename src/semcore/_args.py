"""Reading arguments: sizes, times and thresholds, with errors that name them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from semcore import _engine
from semcore.embed import Embedder
from semcore.errors import ConfigError

if TYPE_CHECKING:
    from semcore.embed.static import Static

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", re.IGNORECASE)
MOST_SLIDING = 4_000_000
UNSET: Any = object()  # where None says something else
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_bytes(size: int | str, name: str = "max_bytes") -> int:
    """A size as an int of bytes or as text like "64 MiB" (powers of 1024)."""
    if isinstance(size, int) and not isinstance(size, bool):
        number = size
    elif isinstance(size, str) and (match := _SIZE.fullmatch(size)):
        number = int(float(match[1]) * _UNITS[match[2].lower()])
    else:
        raise ValueError(f"{name}: expected a number of bytes or text like '64 MiB', got {size!r}")
    if not 0 < number < 1 << 48:
        raise ValueError(f"{name}: expected 1 to 2^48 bytes, got {number}")
    return number


def bytes_needed(entries: int, answer_bytes: int, dim: int = 0, storage: str = "f16") -> int:
    """The `max_bytes` of a cache for so many entries.

    answer_bytes: of an answer with its text and 8 bytes a tag, on average. dim, storage: of the vectors, as
    for `Cache`; 0: none.
    """
    blocks = -(-answer_bytes // 128)  # of a value's fixed size
    return _engine.bytes_for(dim, storage, entries, entries * blocks)


def check_ttl(ttl: float | None, sliding: bool) -> float:
    """Seconds to live, as the engine takes them: 0 for ever."""
    if ttl is None:
        return 0.0
    if not isinstance(ttl, Real) or not math.isfinite(ttl) or not 0 < ttl < 1e10:
        raise ValueError(f"ttl: expected seconds above 0 and below 1e10, or None, got {ttl!r}")
    if sliding and ttl > MOST_SLIDING:
        raise ValueError(f"ttl: a sliding one is at most {MOST_SLIDING} seconds, got {ttl!r}")
    return float(ttl)


def check_threshold(threshold: float) -> float:
    if not isinstance(threshold, Real) or not -1 <= threshold <= 1:
        raise ValueError(f"threshold: expected a cosine in [-1, 1], got {threshold!r}")
    return float(threshold)


class PutOptions(NamedTuple):
    """How an answer is stored, checked. `latency_ms` None: what computing it took."""

    ttl: float
    tags: tuple[str | bytes, ...]
    tokens: int
    cost: float
    latency_ms: float | None

    @classmethod
    def checked(
        cls, ttl: float, tags: Iterable[str | bytes], tokens: int, cost: float, latency_ms: float | None
    ) -> PutOptions:
        """ttl: from `check_ttl`. Raises TypeError, ValueError."""
        if isinstance(tags, (str, bytes)):
            raise TypeError("tags: expected a sequence of names, got a single one; write [name]")
        tags = tuple(tags)
        if not all(isinstance(tag, (str, bytes)) for tag in tags):
            raise TypeError("tags: expected str or bytes")
        if not isinstance(tokens, Real) or not 0 <= tokens < 1 << 32 or tokens != int(tokens):
            raise ValueError(f"tokens: expected a whole number from 0 to 2^32 - 1, got {tokens!r}")
        for name, value, most in (("cost", cost, 1e9), ("latency_ms", latency_ms or 0, 1e12)):
            if not isinstance(value, Real) or not 0 <= value < most:
                raise ValueError(f"{name}: expected a number from 0 to {most:g}, got {value!r}")
        return cls(ttl, tags, int(tokens), float(cost), None if latency_ms is None else float(latency_ms))


def check_nearest(nearest: int) -> int:
    if isinstance(nearest, bool) or not isinstance(nearest, int) or not 1 <= nearest <= 64:
        raise ValueError(f"nearest: expected 1 to 64, got {nearest!r}")
    return nearest


def is_id(key: object) -> TypeGuard[int]:
    """Could this be an entry's id?"""
    return isinstance(key, int) and 0 <= key < 1 << 64


def resolve_dim(dim: int | None, embedder: Embedder | Static | None) -> int:
    if embedder is not None:
        if dim is not None and dim != embedder.dim:
            raise ConfigError(f"dim: {dim} was given, but the embedder returns {embedder.dim}")
        dim = embedder.dim
    dim = dim or 0
    if isinstance(dim, bool) or not isinstance(dim, int) or not (dim == 0 or 8 <= dim <= 4096):
        raise ConfigError(f"dim: expected 8 to 4096 (or 0: exact only), got {dim!r}")
    return dim


def resolve_bytes(path: str | os.PathLike[str] | None, max_bytes: int | str | None) -> int:
    """The size asked for; 0, of a file, when nothing was: its own if it exists, else 1 GiB."""
    if max_bytes is not None:
        return parse_bytes(max_bytes)
    return 1 << 30 if path is None else 0


def check_recall(recall: float | None) -> float:
    """As the engine takes it: 0 for what suits the cache."""
    if recall is None:
        return 0.0
    if isinstance(recall, bool) or not isinstance(recall, Real) or not 0.5 <= recall <= 1:
        raise ValueError(f"recall: expected a share from 0.5 to 1, got {recall!r}")
    return float(recall)


def check_threads(threads: int) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 8:
        raise ValueError(f"threads: expected a whole number from 1 to 8, got {threads!r}")
    return threads


def check_prefix(blocks: int | None) -> tuple[int, int, int, int, int]:
    """Blocks, tokens of a block, blocks of a group, hash and seed of a prefix index in a cache's region."""
    if blocks is None:
        return (0, 0, 0, 0, 0)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or not 0 <= blocks <= 1 << 26:
        raise ValueError(f"prefix_blocks: expected 0 to 2^26, got {blocks!r}")
    return (blocks, 16, 8, 0, _engine.NO_SEED) if blocks else (0, 0, 0, 0, 0)


def check_entries(max_entries: int | None) -> int:
    if max_entries is None:
        return 0
    if isinstance(max_entries, bool) or not isinstance(max_entries, int) or not 1 <= max_entries <= 1 << 30:
        raise ValueError(f"max_entries: expected 1 to 2^30, or None, got {max_entries!r}")
    return max_entries


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def check_read_only(read_only: bool, path: str | os.PathLike[str] | None) -> bool:
    if read_only and path is None:
        raise ConfigError("read_only: expected the path of a file; private memory would stay empty")
    return bool(read_only)


def check_clock(clock: Callable[[], float] | None) -> Callable[[], float] | None:
    if clock is not None and not callable(clock):
        raise TypeError(f"clock: expected a callable that returns seconds, got {clock!r}")
    return clock
