"""What every adapter of a peer is, and what those inside this process share."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from data import Vector, Workload

THRESHOLD = 0.85  # true cosine that makes a hit
UNSEEN = "question"  # a text nobody stored


class Peer(Protocol):
    """A semantic cache, or an index with a list of answers, filled and ready to be asked."""

    name: ClassVar[str]
    kind: ClassVar[Literal["cache", "index"]]
    exact: ClassVar[bool]  # finds a stored text without its vector

    def build(self, w: Workload) -> None: ...

    def exact_hit(self, i: int) -> str | None: ...

    def lookup(self) -> Callable[[str], object]:
        """The peer's own exact lookup by text, without this adapter around it."""
        ...

    def semantic(self, query: Vector) -> str | None: ...

    def put(self, i: int, text: str, vector: Vector, response: str) -> None: ...

    def bytes(self) -> int | None:
        """Memory that build() took, where it can be told."""
        ...

    def close(self) -> None: ...


class Local:
    """What the peers inside this process share: memory is what resident size grew by."""

    name: ClassVar[str]
    kind: ClassVar[Literal["cache", "index"]] = "cache"
    exact: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()  # modules
    grown = 0

    @classmethod
    def prepare(cls) -> None:
        """Import what the peer needs."""
        for module in cls.needs:
            importlib.import_module(module)

    def build(self, w: Workload) -> None:
        before = resident()
        self._fill(w)
        self.grown = resident() - before

    def _fill(self, w: Workload) -> None:
        raise NotImplementedError

    def exact_hit(self, i: int) -> str | None:
        raise NotImplementedError(f"{self.name} has no exact layer")

    def lookup(self) -> Callable[[str], object]:
        raise NotImplementedError(f"{self.name} has no exact layer")

    def bytes(self) -> int | None:
        return self.grown

    def close(self) -> None:
        """Nothing to end."""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def chunks(n: int, size: int) -> Iterator[range]:
    return (range(i, min(i + size, n)) for i in range(0, n, size))


def resident() -> int:
    """Resident bytes of this process after what is free was given back."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
