"""Stored blocks that wait for the one that they are behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_WAITING = 4096
Place = tuple[int, tuple[str | bytes, ...]]  # replica, namespace


class Stored:
    """One event that waits: `left` of its hashes, from the first, have not been removed since."""

    __slots__ = ("hashes", "left", "parent", "place")

    def __init__(self, place: Place, parent: int | None, hashes: tuple[int, ...]) -> None:
        self.place, self.parent, self.hashes, self.left = place, parent, hashes, len(hashes)


class Waiting:
    """At most `MOST_WAITING` events; when there are more, the oldest goes."""

    def __init__(self) -> None:
        self._events: dict[tuple[Place, int | None, tuple[int, ...]], Stored] = {}  # oldest first
        self._behind: dict[tuple[Place, int | None], dict[Stored, None]] = {}
        self._holding: dict[tuple[Place, int], dict[Stored, int]] = {}  # where in the event a hash is

    def __len__(self) -> int:
        return len(self._events)

    def add(self, place: Place, parent: int | None, hashes: list[int]) -> None:
        key = (place, parent, tuple(hashes))
        known = self._events.get(key)
        if known is not None:
            known.left = len(hashes)
            return
        event = self._events[key] = Stored(*key)
        self._behind.setdefault((place, parent), {})[event] = None
        for at, hash in enumerate(hashes):
            self._holding.setdefault((place, hash), {}).setdefault(event, at)
        if len(self._events) > MOST_WAITING:
            self._drop(next(iter(self._events.values())))

    def pop(self, place: Place, parent: int) -> Iterator[list[int]]:
        """What waits behind a block, and does so no more."""
        for event in list(self._behind.get((place, parent), ())):
            self._drop(event)
            yield list(event.hashes[: event.left])

    def remove(self, place: Place, hashes: list[int]) -> None:
        """Blocks went: what they hold up, and their own part of events, comes no more."""
        for hash in hashes:
            for event in list(self._behind.get((place, hash), ())):
                self._drop(event)
            for event, at in list(self._holding.get((place, hash), {}).items()):
                event.left = min(event.left, at)
                if event.left == 0:
                    self._drop(event)

    def forget(self, replica: int) -> None:
        for event in [event for event in self._events.values() if event.place[0] == replica]:
            self._drop(event)

    def clear(self) -> None:
        self._events.clear()
        self._behind.clear()
        self._holding.clear()

    def _drop(self, event: Stored) -> None:
        del self._events[event.place, event.parent, event.hashes]
        _discard(self._behind, (event.place, event.parent), event)
        for hash in set(event.hashes):
            _discard(self._holding, (event.place, hash), event)


def _discard(of: dict[Any, dict[Stored, Any]], key: object, event: Stored) -> None:
    del of[key][event]
    if not of[key]:
        del of[key]
