"""Does a peer answer rightly? One that does not is not timed."""

from __future__ import annotations

from data import Workload
from peer import Peer

RECALL = 0.99  # least share of paraphrases a peer must answer


def check(peer: Peer, workload: Workload) -> str | None:
    """The first thing `peer` answers wrongly, or None."""
    return _wrong_exact(peer, workload) or _wrong_hits(peer, workload) or _wrong_misses(peer, workload)


def _wrong_exact(peer: Peer, w: Workload) -> str | None:
    if not peer.exact:
        return None
    for i in map(int, w.rows):
        if peer.exact_hit(i) != w.response(i):
            return f"wrong or no answer to the stored text of row {i}"
    if peer.exact_hit(w.n) is not None:
        return "answers a text that is not stored"
    return None


def _wrong_hits(peer: Peer, w: Workload) -> str | None:
    found = 0
    for query, row in zip(w.hits, w.rows, strict=True):
        answer = peer.semantic(query)
        if answer is not None and answer != w.response(int(row)):
            return f"another row's answer to a paraphrase of row {row}"
        found += answer is not None
    recall = found / len(w.hits)
    return f"recall {recall:.3f} of paraphrases, under {RECALL}" if recall < RECALL else None


def _wrong_misses(peer: Peer, w: Workload) -> str | None:
    served = sum(peer.semantic(query) is not None for query in w.misses)
    return f"answers {served} of {len(w.misses)} strangers" if served else None
