"""What we believe a provider holds: digests of prefixes with their last use and time to live. Bounded.

A plain dict: an estimate is asked for once a request, not in a search's inner loop. Of a grid the
ends of prefixes are touched before their beginnings, so that the least recently used digest is always a
longest prefix's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Entry(NamedTuple):
    """Last use, and how long it lives from there, in seconds."""

    last: float
    ttl: float


class Live:
    """Entries by digest; beyond `entries` the least recently used one goes."""

    def __init__(self, entries: int) -> None:
        if isinstance(entries, bool) or not isinstance(entries, int) or entries < 1:
            raise ValueError(f"entries: expected a whole number above 0, got {entries!r}")
        self.bound = entries
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self.entries)

    def alive(self, digest: bytes, now: float) -> bool:
        """Is it held? Exactly at the end of its time it still is."""
        entry = self.entries.get(digest)
        return entry is not None and now - entry.last <= entry.ttl

    def touch(self, digest: bytes, now: float, ttl: float) -> None:
        """Uses it at a time. What is alive keeps its own time to live; what is not begins to live."""
        entry = self.entries.get(digest)
        if entry is not None and now - entry.last <= entry.ttl:
            self.entries[digest] = Entry(max(now, entry.last), entry.ttl)
        else:
            self.entries[digest] = Entry(now, ttl)
        self.entries.move_to_end(digest)
        if len(self.entries) > self.bound:
            self.entries.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        self.entries.pop(digest, None)
