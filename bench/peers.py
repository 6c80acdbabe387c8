"""The systems we measure against, one small adapter each, behind one Protocol.

Every adapter is set so that a true cosine of THRESHOLD or more is a hit, gets its vectors ready
made, and owns all that it stores: the memory it took can be read off the process. A peer whose
packages are missing is skipped with a reason. Indexes (`kind = "index"`) find a row only; their
adapters keep the answers in a list. peer.py says what an adapter is; Semcore, our own, is here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from data import Vector, Workload
from peer import THRESHOLD, UNSEEN, Local, Peer
from peer_caches import BinarySemanticCache, GPTCache, Mneme, RedisVL
from peer_indexes import FaissFlat, FaissHNSW, HNSWLib, USearchExact, USearchF32, USearchI8


class Semcore(Local):
    """Our own, in private memory."""

    name = "semcore"
    exact = True
    needs = ("semcore",)

    @classmethod
    def prepare(cls) -> None:
        from semcore import Cache  # noqa: F401  (a build without it is not ready)

    def _fill(self, w: Workload) -> None:
        import semcore

        self.cache = semcore.Cache(
            None,
            embed=None,
            dim=w.d,
            max_entries=w.n,
            max_bytes=w.n * 4096 + (16 << 20),
            threshold=THRESHOLD,
        )
        for i, vector in enumerate(w.vectors):
            self.put(i, w.text(i), vector, w.response(i))

    def exact_hit(self, i: int) -> str | None:
        hit = self.cache.get(f"question {i}")
        return hit.value if hit else None

    def lookup(self) -> Callable[[str], object]:
        get: Callable[[str], object] = self.cache.get
        return get

    def semantic(self, query: Vector) -> str | None:
        hit = self.cache.get(UNSEEN, vector=query)
        return hit.value if hit else None

    def put(self, i: int, text: str, vector: Vector, response: str) -> None:
        self.cache.put(text, response, vector=vector)

    def close(self) -> None:
        self.cache.close()


class SemcoreTurnedOver(Semcore):
    """The same after every slot was freed and used again three times."""

    name = "semcore-turned-over"

    def _fill(self, w: Workload) -> None:
        super()._fill(w)
        ids = list(self.cache)
        for turn in range(3):
            for i, id in enumerate(ids):
                self.cache.delete(id=id)
                text = w.text(i) if turn == 2 else f"{turn} {w.text(i)}"
                ids[i] = self.cache.put(text, w.response(i), vector=w.vectors[i])


PEERS: tuple[type[Local], ...] = (
    Semcore,
    SemcoreTurnedOver,
    BinarySemanticCache,
    Mneme,
    RedisVL,
    GPTCache,
    USearchF32,
    USearchI8,
    USearchExact,
    FaissFlat,
    FaissHNSW,
    HNSWLib,
)
skipped: list[tuple[str, str]] = []  # (name, reason) of what available() left out


def available() -> dict[str, type[Peer]]:
    """The peers that can run here by name; the others are listed in `skipped`."""
    skipped.clear()
    found: dict[str, type[Peer]] = {}
    for peer in PEERS:
        reason = _missing(peer)
        if reason is None:
            found[peer.name] = peer  # type: ignore[assignment]
        else:
            skipped.append((peer.name, reason))
    return found


def _missing(peer: type[Local]) -> str | None:
    """Why `peer` cannot run. Absent packages are seen before importing: GPTCache installs them."""
    for module in peer.needs:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return f"{module.partition('.')[0]} is not installed"
    try:
        peer.prepare()
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None
