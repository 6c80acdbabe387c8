"""Export and import: a cache as a stream of msgpack frames, for another geometry, version or machine.

A frame is a msgpack `bin` that holds one msgpack object: first a map with what the cache is, then an array
an entry, then a map a run of the prefix index (carry.py), last a map with the number of frames and a BLAKE2b
of all before. Entries come least recently hit first, so that what is put last into a smaller cache is what
was hit last.

An export holds the region's hash secret (namespaces and contexts are kept as hashes only, and would never
be found again under another) and every answer: keep it as safe as the cache itself.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgpack
import numpy as np

from semcore import _engine, carry
from semcore.errors import ConfigError, RegionError, SemcoreError

FORMAT, VERSION = "semcore export", 2
DTYPES = {"f16": np.float16, "f32": np.float32, "i8": np.int8}  # each holds what is stored, to the bit
VECTOR, EXPIRES = 8, 11  # places in a record
HEADER = {
    "dim": int,
    "max_entries": int,
    "max_bytes": int,
    "storage": str,
    "fingerprint": str,
    "secret": bytes,
    "entries": int,
    "runs": int,
    "counters": dict,
    "prefix": list,
    "clock": list,
}
Progress = Callable[[int, int], None]


class Moved(NamedTuple):
    """What an import did: entries kept, expired meanwhile, and pushed out by others or too large; blocks
    of prefixes that the new cache knows, and runs of them that were damaged, gone before they were read, or
    without room."""

    kept: int
    expired: int
    left_out: int
    prefix_blocks: int
    runs_left_out: int


class Shape(NamedTuple):
    """Geometry asked of the new cache; None: as it was."""

    max_entries: int | None = None
    max_bytes: int | None = None
    storage: str | None = None


def silent(done: int, total: int) -> None:
    """No progress shown."""


def open_any(path: Path, read_only: bool = False) -> _engine.Engine:
    """A cache file opened with the geometry and the embedder it states.

    Raises:
        RegionError, OSError: it is not a cache file, or cannot be opened.
    """
    made = _engine.peek(path)
    return _engine.Engine(
        path, made["dim"], 0, made["max_bytes"], made["storage"], "value", made["fingerprint"], 1.0, None,
        read_only,
    )  # fmt: skip


# ---- out ----


def frames(engine: _engine.Engine, progress: Progress = silent) -> Iterator[bytes]:
    """The frames of a cache without the last. What is removed meanwhile is left out."""
    ids, keys = _engine.by_recency(engine)
    made, runs = _engine.describe(engine), _engine.prefix_runs(engine)
    yield msgpack.packb(
        made
        | {"format": FORMAT, "version": VERSION, "secret": _engine.secret(engine)}
        | {"entries": len(ids), "runs": len(runs), "clock": _engine.prefix_clock(engine)}
        | {"counters": {name: engine._stats()[name] for name in _engine.COUNTERS}}
    )
    dtype = DTYPES[made["storage"]]
    for done, record in enumerate(records(engine, ids, keys), 1):
        if record is not None:
            yield msgpack.packb(
                [x.astype(dtype).tobytes() if isinstance(x, np.ndarray) else x for x in record]
            )
        if done % 1024 == 0 or done == len(ids):
            progress(done, len(ids))
    yield from carry.frames(engine, runs)


def records(engine: _engine.Engine, ids: Any, keys: Any) -> Iterator[Any]:
    """The entries that `by_recency` named, as tuples; None for one that is gone."""
    for id, key in zip(ids, keys, strict=True):
        yield _engine.record(engine, int(id), int(key[0]), int(key[1]))


def write(stream: Iterator[bytes], to: BinaryIO) -> int:
    """Writes frames and the last one, which proves them; returns how many entries."""
    digest, n, runs = hashlib.blake2b(digest_size=32), 0, 0
    for frame in stream:
        digest.update(frame)
        to.write(msgpack.packb(frame))
        runs += n > 0 and carry.is_run(frame)
        n += 1
    to.write(msgpack.packb(msgpack.packb({"frames": n, "blake2b": digest.digest()})))
    return n - 1 - runs


def export(path: Path, to: BinaryIO, progress: Progress = silent) -> int:
    """Writes the live entries of a cache file to a stream; others may go on using it. Returns how many."""
    engine = open_any(path, read_only=True)
    try:
        return write(frames(engine, progress), to)
    finally:
        engine.close()


# ---- in ----


def read(source: BinaryIO) -> Iterator[bytes]:
    """The frames of a stream without the last, which is checked.

    Raises:
        RegionError: it is cut short or damaged. Frames were handed out before that is known.
    """
    digest, n, last = hashlib.blake2b(digest_size=32), 0, b""
    try:
        for frame in msgpack.Unpacker(source, max_buffer_size=0, read_size=1 << 20):
            if not isinstance(frame, bytes):
                raise RegionError(
                    f"not a semcore export: expected a frame of bytes, got {type(frame).__name__}"
                )
            if last:
                digest.update(last)
                n += 1
                yield last
            last = frame
        end = msgpack.unpackb(last) if last else None
    except (ValueError, msgpack.UnpackException) as error:
        raise RegionError(f"not a semcore export, or damaged: {error}") from error
    if end != {"frames": n, "blake2b": digest.digest()}:
        raise RegionError("the export is cut short or damaged: its end does not match what is before it")


def header(frame: bytes) -> dict[str, Any]:
    """The first frame, checked."""
    try:
        head = msgpack.unpackb(frame)
    except (ValueError, msgpack.UnpackException) as error:
        raise RegionError(f"not a semcore export: {error}") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise RegionError("not a semcore export: the first frame does not say so")
    if head.get("version") != VERSION:
        raise RegionError(f"export version {head.get('version')}: this build reads version {VERSION}")
    for name, kind in HEADER.items():
        if not isinstance(head.get(name), kind):
            raise RegionError(f"not a semcore export: {name} is not {kind.__name__}")
    if not all(isinstance(n, int) for n in (*head["counters"].values(), *head["prefix"], *head["clock"])):
        raise RegionError("not a semcore export: a counter is no number")
    if (len(head["prefix"]), len(head["clock"])) != (carry.SHAPE, carry.CLOCK):
        raise RegionError("not a semcore export: its prefix index has no shape")
    if head["storage"] not in DTYPES:
        raise RegionError(f"not a semcore export: storage {head['storage']!r}")
    return head


def fill(path: Path, stream: Iterator[bytes], shape: Shape, progress: Progress = silent) -> Moved:
    """Makes a cache of frames at a path whose file is new and empty."""
    first = next(stream, None)
    if first is None:
        raise RegionError("not a semcore export: it is empty")
    head = header(first)
    dtype, now_us = DTYPES[head["storage"]], time.time() * 1e6
    engine = make(path, head, shape)
    try:
        entries = expired = blocks = runs = 0
        total = head["entries"] + head["runs"]
        for done, frame in enumerate(stream, 1):
            if carry.is_run(frame):
                stored = put_run(engine, frame)
                blocks += stored
                runs += stored > 0
            else:
                entries += 1
                expired += not put_entry(engine, frame, dtype, now_us)
            if done % 1024 == 0 or done == total:
                progress(done, total)
        own = engine._stats()
        expired += own["expirations"]  # while it was filled
        # what did not fit was evicted on the way, which is no history of either cache's
        _engine.add_counters(
            engine, {name: head["counters"].get(name, 0) - own[name] for name in _engine.COUNTERS}
        )
        engine.flush()
        left_out = entries - expired - own["entries"]
        return Moved(own["entries"], expired, left_out, blocks, max(head["runs"] - runs, 0))
    finally:
        engine.close()


def make(path: Path, head: dict[str, Any], shape: Shape) -> _engine.Engine:
    """An empty cache of the shape asked for, else as the exported one was."""
    try:
        engine = _engine.Engine(
            path, head["dim"], shape.max_entries or head["max_entries"], shape.max_bytes or head["max_bytes"],
            shape.storage or head["storage"], "value", head["fingerprint"], 1.0, None, False, head["secret"],
            prefix=tuple(head["prefix"]),
        )  # fmt: skip
        try:
            _engine.wind_prefix_clock(engine, *head["clock"])
        except BaseException:
            engine.close()
            raise
        return engine
    except OverflowError as error:
        raise RegionError(f"the export states an impossible geometry: {error}") from error


@contextmanager
def unspoilt() -> Iterator[None]:
    """Within: a record that is none is an error of the export."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError, msgpack.UnpackException) as error:
        raise RegionError(f"an entry or a run of the export is damaged: {error}") from error


def put_run(engine: _engine.Engine, frame: bytes) -> int:
    """Stores a run; returns how many blocks, 0: it was left out."""
    with unspoilt():
        return _engine.put_prefix_run(engine, msgpack.unpackb(frame))


def put_entry(engine: _engine.Engine, frame: bytes, dtype: Any, now_us: float) -> bool:
    """Stores an entry; False: it has expired meanwhile."""
    with unspoilt():
        record = msgpack.unpackb(frame)
        if record[VECTOR] is not None:
            record[VECTOR] = np.frombuffer(record[VECTOR], dtype=dtype).astype(np.float32)
        if record[EXPIRES] <= now_us:
            return False
        _engine.put_record(engine, tuple(record))
        return True


def fresh_beside(path: Path) -> Path:
    """An empty file of mode 0600 in the same folder."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(fd)
    return Path(name)


def is_cache(path: Path) -> bool:
    """Does the file start as a cache does, finished or not?"""
    with open(path, "rb") as file:
        return file.read(7) == b"semcore"


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Within: what goes wrong with the temporary file is said of the one that it will be."""
    try:
        yield
    except OSError as error:
        words = (error.strerror or str(error)).replace(str(temporary), str(path))
        named = words if str(path) in words else f"{path}: {words}"
        raise OSError(error.errno or errno.EIO, named) from error


def appear(temporary: Path, path: Path) -> None:
    """Gives a file its name, if nothing has it by now."""
    try:
        os.link(temporary, path)  # unlike a rename, replaces nothing
    except FileExistsError:
        raise ConfigError(f"path: {path} exists by now; an import makes a new file") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise ConfigError(f"path: {path} exists by now; an import makes a new file") from None
        temporary.rename(path)
    else:
        temporary.unlink()


def import_new(path: Path, source: BinaryIO, shape: Shape, progress: Progress = silent) -> Moved:
    """Makes a cache file of an export. It appears at `path` whole or not at all.

    Raises:
        ConfigError: `path` exists. RegionError: not an export, or damaged.
    """
    if os.path.lexists(path):
        raise ConfigError(f"path: {path} exists; an import makes a new file")
    temporary = fresh_beside(path)
    try:
        with naming(path, temporary):
            moved = fill(temporary, read(source), shape, progress)
        appear(temporary, path)
        return moved
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def compact(path: Path, shape: Shape, progress: Progress = silent) -> Moved:
    """Makes a cache file anew: with another geometry, or, when none is given, as small as its entries allow.

    Nobody else may have it open; who opens it meanwhile waits, and gets the new one. Owner and mode stay.

    Raises:
        SemcoreError: other processes have it open. OSError: its owner cannot be kept.
    """
    with remaking(path) as (engine, temporary):
        return fill(temporary, frames(engine, progress), smallest(engine, shape))


@contextmanager
def remaking(path: Path) -> Iterator[tuple[_engine.Engine, Path]]:
    """Within: a cache that nobody else has open, and an empty file beside it, which replaces it at the end.

    After an error the old file stays. Raises as `compact` does.
    """
    path = path.resolve(strict=True)
    engine = open_any(path)
    try:
        if not _engine.exclusive(engine):
            raise SemcoreError(f"{path} is open elsewhere: close it there first")
        engine.expire()
        temporary = fresh_beside(path)
        try:
            same_owner(path, temporary)
            with naming(path, temporary):
                yield engine, temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    finally:
        engine.close()


def same_owner(path: Path, other: Path) -> None:
    """Gives a file another's owner and mode, before anything is in it."""
    was, now = path.stat(), other.stat()
    if was.st_nlink > 1:
        raise SemcoreError(
            f"{path} has {was.st_nlink} names (hard links): the others would keep the old cache"
        )
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        os.chown(other, was.st_uid, was.st_gid)
    other.chmod(stat.S_IMODE(was.st_mode))


def smallest(engine: _engine.Engine, shape: Shape) -> Shape:
    """What was asked for; when nothing was, as small as the entries allow."""
    if any(shape):
        return shape
    s, made = engine._stats(), _engine.describe(engine)
    entries = max(s["entries"], 1)
    blocks = s["blocks"] - s["free_blocks"]
    wanted = _engine.bytes_for(made["dim"], made["storage"], entries, blocks, made["prefix"][0])
    return Shape(entries, wanted, made["storage"])
