"""Exchange with a vector index: a partition as a usearch index, and an index with its answers as a cache.

The functions are methods of `Cache`, which takes them over as they are. Vectors go through in batches, so
that a million entries need no second copy of themselves; the index, and the cache, are the only large things.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from semcore import _engine, dump
from semcore._args import UNSET, check_choice
from semcore.embed import EmbedFunction, resolve
from semcore.errors import CapacityError, ConfigError

if TYPE_CHECKING:
    from usearch.index import Index

    from semcore.cache import Cache

BATCH_BYTES = 8 << 20  # of float32 vectors on their way
DTYPES = ("f64", "f32", "bf16", "f16", "i8")

Text = str | bytes
Pair = tuple[Text, Any]
Values = Mapping[int, Pair] | Callable[[int], Pair | None]
Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.float32]


def library() -> Any:
    """The module `usearch.index`.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        from usearch import index
    except ImportError as error:
        raise ConfigError("usearch: needs an extra: pip install 'semcore[usearch]'") from error
    return index


def batch_rows(dim: int) -> int:
    return max(1, BATCH_BYTES // (4 * dim))


# ---- out ----


def to_usearch(
    self: Cache, *, namespace: Text = "", context: object = None, dtype: str | None = None, **options: Any
) -> Index:
    """The vectors of one partition as a `usearch.index.Index` with the metric cos (extra `usearch`).

    Its keys are the entries' ids: `cache[key]` is the entry of a neighbour, as long as it was not removed or
    put again. Entries without a vector are left out. Others may change the cache meanwhile; what they put or
    remove may be in the index or not.

    Args:
        namespace, context: the partition; nothing of another one is in the index.
        dtype: how the index keeps vectors: "f64", "f32", "bf16", "f16" or "i8". None: "f32" of a cache that
            stores "f32", else "f16", which hold the direction of what is stored to the bit. "i8" does so of a
            cache that stores "i8", but makes usearch round queries, too.
        options: of usearch's `Index`, like `connectivity` and `expansion_add`.

    Raises:
        ConfigError: the extra is missing, or `dtype` is another. ValueError: the cache is exact-only.
    """
    usearch = library()
    if self.dim == 0:
        raise ValueError("to_usearch: this cache is exact-only (made without an embedder or dim)")
    storage = _engine.describe(self)["storage"]
    dtype = check_choice("dtype", ("f32" if storage == "f32" else "f16") if dtype is None else dtype, DTYPES)
    index: Index = usearch.Index(ndim=self.dim, metric="cos", dtype=dtype, **options)
    start: int | None = 0
    while start is not None:
        ids, rows, start = _engine.rows(self, namespace, context, start, batch_rows(self.dim))
        if len(ids):
            index.add(ids, converted(rows, storage, dtype))
    return index


def converted(rows: Rows, storage: str, dtype: str) -> npt.NDArray[Any]:
    """Rows as they are given to an index, so that it rounds no more than it has to."""
    if dtype == "i8":  # usearch would round a unit vector's components, small as they are, to 1/127
        largest = np.abs(rows).max(axis=1, keepdims=True)
        return np.asarray(np.rint(rows * (127 / largest)), dtype=np.int8)
    if storage == "i8":
        rows = rows / np.float32(128)  # a power of two rounds nothing; products stay far from a half's limit
    return np.asarray(rows, dtype=np.float16) if dtype == "f16" else rows


# ---- in ----


def from_usearch(
    cls: type[Cache],
    /,
    index: Index,
    values: Values,
    path: str | os.PathLike[str] | None = None,
    *,
    embed: str | EmbedFunction | None = None,
    namespace: Text = "",
    context: object = None,
    **options: Any,
) -> Cache:
    """A new cache of a usearch index and the answers that belong to its keys (extra `usearch`).

    See `put_usearch` for what is taken over, and for an index into a cache that is there already.

    Args:
        index, values, namespace, context: as for `put_usearch`.
        path: a new file, which appears whole or not at all; None for private memory.
        embed: what made the index's vectors, for lookups by text; None: bring vectors.
        options: the other settings of `Cache`. `max_entries` and `max_bytes` have to have room for the index.

    Raises:
        ConfigError: the extra is missing, `path` exists, or a setting is impossible; else as `put_usearch`.
    """
    embedder = resolve(embed)
    keys_of(index, index_dim(index) if embedder is None else embedder.dim)

    def make(path: Path | None) -> Cache:
        return cls(path, embed=embedder, dim=index.ndim, **options)

    if path is None:
        cache = make(None)
        put_usearch(cache, index, values, namespace=namespace, context=context)
        return cache
    path = Path(path)
    if os.path.lexists(path):
        raise ConfigError(f"path: {path} exists; put_usearch adds to a cache that is there")
    temporary = dump.fresh_beside(path)
    try:
        with dump.naming(path, temporary), make(temporary) as cache:
            put_usearch(cache, index, values, namespace=namespace, context=context)
            cache.flush()
        dump.appear(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return make(path)


def put_usearch(
    self: Cache,
    index: Index,
    values: Values,
    *,
    namespace: Text = "",
    context: object = None,
    ttl: float | None = UNSET,
    tags: Iterable[Text] = (),
    tokens: int = 0,
    cost: float = 0.0,
    latency_ms: float = 0.0,
) -> int:
    """Stores the vectors of a usearch index with the answers of its keys; returns how many (extra `usearch`).

    Entries get ids of their own: the index's keys are not kept. Two keys with the same text are one entry,
    the later one's. What the index rounded stays rounded, which moves similarities by up to 0.02 ("i8", 8-bit
    floats), 0.0005 ("bf16") or 0.0001 ("f16"; random vectors of 256 dimensions). Vectors of the metric ip are
    compared by cosine from then on, which is the same for vectors of one length only.

    Args:
        index: of the cache's dimension, with the metric cos or ip, and one vector a key.
        values: a mapping from every key to its (text, value), or a callable that returns that, or None for a
            key that is to be left out.
        namespace, context, ttl, tags, tokens, cost, latency_ms: of all entries, as for `put`.

    Raises:
        ConfigError: the extra is missing. CapacityError: the index, or a value, can never fit.
        ValueError, TypeError: a bad argument. If it is found on the way, what was stored before stays; a note
            names the key.

    Warns:
        RuntimeWarning: entries were evicted, for want of `max_entries` or `max_bytes`.
    """
    keys = keys_of(index, self.dim)
    value_of = reader(values, keys)
    before = self.stats()
    if len(keys) > before.max_entries:
        raise CapacityError(
            f"index: holds {len(keys)} vectors, the cache at most max_entries={before.max_entries} entries"
        )
    stored = 0
    for some in split(keys, batch_rows(self.dim)):
        for key, row in zip(some.tolist(), vectors_of(index, some), strict=True):
            try:
                pair = checked_pair(value_of(key))
                if pair is None:
                    continue
                self.put(
                    *pair, vector=row, namespace=namespace, context=context, ttl=ttl, tags=tags,
                    tokens=tokens, cost=cost, latency_ms=latency_ms,
                )  # fmt: skip
            except Exception as error:
                error.add_note(f"at key {key} of the index")
                raise
            stored += 1
    evicted = self.stats().evictions - before.evictions
    if evicted:
        warnings.warn(f"{evicted} entries were evicted while the index was stored", RuntimeWarning, 2)
    return stored


def index_dim(index: Any) -> int:
    """Raises TypeError for what is no index."""
    if not isinstance(index, library().Index):
        raise TypeError(f"index: expected a usearch.index.Index, got {type(index).__name__}")
    return int(index.ndim)


def keys_of(index: Any, dim: int) -> Keys:
    """The keys of an index whose vectors a cache of this dimension can hold."""
    kinds = library().MetricKind
    if index_dim(index) != dim:
        raise ValueError(f"index: its vectors have {index.ndim} dimensions, the cache's {dim}")
    if index.metric_kind not in (kinds.Cos, kinds.IP):
        raise ValueError(f"index: expected the metric cos or ip, got {index.metric_kind}")
    keys: Keys = index.keys[:]
    if index.multi and len(np.unique(keys)) < len(keys):
        raise ValueError("index: expected one vector a key, but it is a multi index with several")
    return keys


def reader(values: Any, keys: Keys) -> Callable[[int], Any]:
    """What is called for a key's (text, value). A mapping must have all keys."""
    if not isinstance(values, Mapping):
        if not callable(values):
            raise TypeError(
                f"values: expected a mapping or a callable from key to (text, value), "
                f"got {type(values).__name__}"
            )
        return values  # type: ignore[no-any-return]
    missing = (key for some in split(keys, 4096) for key in some.tolist() if key not in values)
    first = next(missing, None)
    if first is not None:
        n = 1 + sum(1 for _ in missing)
        raise ValueError(f"values: {n} of the index's {len(keys)} keys have none, the first is {first}")
    return values.__getitem__


def checked_pair(pair: Any) -> Pair | None:
    if pair is None:
        return None
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        raise TypeError(f"values: expected (text, value), got {type(pair).__name__}")
    return pair[0], pair[1]


def split(keys: Keys, n: int) -> Iterator[Keys]:
    return (keys[at : at + n] for at in range(0, len(keys), n))


def vectors_of(index: Any, keys: Keys) -> Rows:
    """Their vectors, as float32."""
    found = index.get(keys, dtype="f32")
    gone = [key for key, row in zip(keys, found, strict=True) if row is None]
    if gone:
        raise ValueError(
            f"index: gives no vector of key {gone[0]}: it was made with enable_key_lookups=False, or the key "
            f"was removed meanwhile"
        )
    rows: Rows = np.stack(found).reshape(len(keys), -1)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    bad = ~np.isfinite(squares) | (squares == 0)
    if bad.any():
        raise ValueError(f"index: the vector of key {keys[bad][0]} is zero or not finite")
    return rows
