"""The prefix index in an export: a frame a run, each behind the one that it goes on from.

A frame is a msgpack map: the hash of the block in front of the run, those of its blocks, stamps, pins and
live values. Hashes mean something under the same secret and in an index of as many blocks only, and an export
has both. What replicas hold is left out: whoever talks to them knows better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgpack

from semcore import _engine

SHAPE, CLOCK = 5, 3  # numbers of a header's "prefix" and "clock"
MAP, MASK = 0x80, 0xF0  # first byte of a small msgpack map


def is_run(frame: bytes) -> bool:
    """Is it a run, and no entry?"""
    return bool(frame) and frame[0] & MASK == MAP


def frames(engine: _engine.Engine, runs: Sequence[int]) -> Iterator[bytes]:
    """The runs that `_engine.prefix_runs` named. What goes or changes meanwhile is left out."""
    for run in runs:
        carried = _engine.prefix_run(engine, run)
        if carried is not None:
            yield msgpack.packb(carried)
