"""What inference engines publish of their caches (vLLM, SGLang): blocks stored, removed, all cleared.

A batch is (timestamp, events, ...), an event an array with its name in front or a dict with "type".
Events are applied by their hashes alone, so they may come twice; what is stored behind a block that is not
known yet waits
for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from semcore.errors import ConfigError
from semcore.prefix.cbor import low

if TYPE_CHECKING:
    from semcore.prefix.index import Namespace, PrefixIndex

NAMES = ("BlockStored", "BlockRemoved", "AllBlocksCleared")
MOST_WAITING = 4096
Key = tuple[int, Any, int]  # replica, namespace, parent


class Events:
    """The events of all replicas of an index, and those that wait."""

    def __init__(self, index: PrefixIndex) -> None:
        self._index = index
        self._waiting: OrderedDict[Key, list[list[int]]] = OrderedDict()

    def apply(self, events: Any, replica: int, namespace: Namespace) -> int:
        if self._index.hash == "keyed":
            raise ConfigError(
                "hash: engines do not know keyed hashes; make the index with hash='xxh3-64' or 'sha256_cbor'"
            )
        return sum(self._one(event, replica, namespace) for event in listed(events))

    def forget(self, replica: int) -> None:
        for key in [key for key in self._waiting if key[0] == replica]:
            del self._waiting[key]

    def _one(self, event: tuple[str, Any, Any], replica: int, namespace: Namespace) -> bool:
        name, hashes, parent = event
        if name == "AllBlocksCleared":
            self._index.forget(replica)
            return True
        if name == "BlockRemoved":
            self._drop_waiting(hashes, replica, namespace)
            return self._index._events_of(False, None, hashes, replica, namespace)
        return self._store(parent, hashes, replica, namespace)

    def _store(self, parent: int | None, hashes: list[int], replica: int, namespace: Namespace) -> bool:
        if not hashes:
            return True
        if not self._index._events_of(True, parent, hashes, replica, namespace):
            self._wait((replica, namespace, parent or 0), hashes)
            return False
        for hash in hashes:
            for later in self._waiting.pop((replica, namespace, hash), ()):
                self._store(hash, later, replica, namespace)
        return True

    def _wait(self, key: Key, hashes: list[int]) -> None:
        waiting = self._waiting.setdefault(key, [])
        if hashes not in waiting:
            waiting.append(hashes)
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)

    def _drop_waiting(self, hashes: list[int], replica: int, namespace: Namespace) -> None:
        for hash in hashes:
            self._waiting.pop((replica, namespace, hash), None)
        gone = set(hashes)
        for (whose, where, _), waiting in self._waiting.items():
            if whose == replica and where == namespace:
                for k, stored in enumerate(waiting):
                    first = next((i for i, hash in enumerate(stored) if hash in gone), len(stored))
                    waiting[k] = stored[:first]


def listed(events: Any) -> list[tuple[str, list[int], int | None]]:
    """Events as (name, hashes, parent). Raises TypeError, ValueError."""
    if isinstance(events, (bytes, bytearray, memoryview)):
        events = msgpack.unpackb(events, strict_map_key=False)
    if _is_event(events):
        return [_read(events)]
    batch = _field(events, "events")
    if batch is None and isinstance(events, Sequence) and len(events) >= 2 and _is_number(events[0]):
        batch = events[1]
    if not isinstance(batch if batch is not None else events, Sequence):
        raise TypeError(f"events: expected an event or a batch of them, got {type(events).__name__}")
    return [_read(event) for event in (events if batch is None else batch)]


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
    return low(hash)
