"""What inference engines publish of their caches (vLLM, SGLang): blocks stored, removed, all cleared.

A batch is (timestamp, events, ...), an event an array with its name in front or a dict with "type".
Events are applied by their hashes alone, so they may come twice; what is stored behind a block that is not
known yet waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from semcore._engine import COMPATIBLE, Prefixes
from semcore.errors import ConfigError
from semcore.prefix.digests import low
from semcore.prefix.waiting import Place, Waiting

if TYPE_CHECKING:
    from semcore.prefix.index import PrefixIndex

NAMES = ("BlockStored", "BlockRemoved", "AllBlocksCleared")


class Events:
    """The events of all replicas of an index, and those that wait; each engine may have its own thread."""

    def __init__(self, index: PrefixIndex) -> None:
        self._index = index
        self._lock = threading.RLock()  # the index has its own; this keeps what waits in step with it
        self._waiting = Waiting()

    def apply(self, events: Any, place: Place) -> int:
        if self._index.hash == "keyed":
            raise ConfigError(f"hash: engines do not know keyed hashes; make the index with {COMPATIBLE}")
        batch = listed(events)
        with self._lock:
            return sum(self._one(event, place) for event in batch)

    def forget(self, replica: int) -> int:
        with self._lock:
            runs = Prefixes.forget(self._index, replica)
            self._waiting.forget(replica)
            return runs

    def clear(self) -> None:
        with self._lock:
            Prefixes.clear(self._index)
            self._waiting.clear()

    def _one(self, event: tuple[str, list[int], int | None], place: Place) -> bool:
        name, hashes, parent = event
        if name == "AllBlocksCleared":
            self.forget(place[0])
            return True
        if name == "BlockRemoved":
            done = self._index._events_of(False, None, hashes, *place)
            self._waiting.remove(place, hashes)
            return done
        return self._store(parent, hashes, place)

    def _store(self, parent: int | None, hashes: list[int], place: Place) -> bool:
        if not hashes:
            return True
        if not self._index._events_of(True, parent, hashes, *place):
            self._waiting.add(place, parent, hashes)
            return False
        ready = [hashes]
        while ready:
            for hash in ready.pop():
                for later in self._waiting.pop(place, hash):
                    if self._index._events_of(True, hash, later, *place):
                        ready.append(later)
                    else:
                        self._waiting.add(place, hash, later)
        return True


def listed(events: Any) -> list[tuple[str, list[int], int | None]]:
    """Events as (name, hashes, parent). Raises TypeError, ValueError."""
    if isinstance(events, (bytes, bytearray, memoryview)):
        events = _unpacked(events)
    if _is_event(events):
        return [_read(events)]
    batch = _field(events, "events")
    if batch is None and isinstance(events, Sequence) and len(events) >= 2 and _is_number(events[0]):
        batch = events[1]
    if not isinstance(batch if batch is not None else events, Sequence):
        raise TypeError(f"events: expected an event or a batch of them, got {type(events).__name__}")
    return [_read(event) for event in (events if batch is None else batch)]


def _unpacked(raw: bytes | bytearray | memoryview) -> Any:
    try:
        return msgpack.unpackb(raw, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"events: not msgpack: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _field(event: Any, name: str) -> Any:
    return event.get(name) if isinstance(event, Mapping) else getattr(event, name, None)


def _name(event: Any) -> Any:
    if isinstance(event, Sequence) and not isinstance(event, (str, bytes)):
        return event[0] if event else None
    return _field(event, "type") or type(event).__name__


def _is_event(event: Any) -> bool:
    return _name(event) in NAMES


def _read(event: Any) -> tuple[str, list[int], int | None]:
    name = _name(event)
    if name not in NAMES:
        raise ValueError(f"events: expected one of {', '.join(NAMES)}, got {name!r}")
    if name == "AllBlocksCleared":
        return name, [], None
    array = isinstance(event, Sequence)
    hashes = event[1] if array and len(event) > 1 else None if array else _field(event, "block_hashes")
    if not isinstance(hashes, Sequence) or isinstance(hashes, (str, bytes)):
        raise TypeError(f"events: {name}: expected block_hashes as a list, got {type(hashes).__name__}")
    parent = None
    if name == "BlockStored":
        parent = (event[2] if len(event) > 2 else None) if array else _field(event, "parent_block_hash")
    return name, [_hash(name, hash) for hash in hashes], None if parent is None else _hash(name, parent)


def _hash(name: str, hash: Any) -> int:
    if isinstance(hash, bool) or not isinstance(hash, (int, bytes)):
        raise TypeError(f"events: {name}: expected hashes as int or bytes, got {type(hash).__name__}")
    if hash == b"":
        raise ValueError(f"events: {name}: expected hashes as int or bytes, got no bytes")
    return low(hash)
