"""Learns the compact codes of a cache in the background, as it fills and as what it holds changes."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

from semcore import _engine, cells, learnt
from semcore.errors import SemcoreError

EVERY = 256  # puts between two looks at whether there is something to learn
SAMPLE_BYTES = 32 << 20  # of vectors to learn from, and
SAMPLE_ROWS = 8192
LEAST_ROWS = 512
BLOCKS = 4  # recoded at a time
PAUSE = 2e-4  # seconds between; the engine's lock is not fair, and who waits for it needs as long to wake

LEARNT, STALE, UNLEARNT = 0, 1, 2  # what `_engine.learning` says


class Learner:
    """Of one cache. A thread lives only while there is something to do."""

    def __init__(self, engine: _engine.Engine) -> None:
        self._engine = weakref.ref(engine)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._puts = 0
        self._stop = False
        _running.add(self)

    def put(self) -> None:
        """Tells of a put; now and then looks whether there is something to learn."""
        self._puts += 1
        if self._puts >= EVERY:
            self.look()

    def look(self) -> None:
        """Starts to learn in the background if there is something to learn."""
        self._puts = 0
        engine = self._engine()
        if engine is None or self._stop or _engine.learning(engine) == LEARNT:
            return
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._run, name="semcore-learner", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends: later, or never
                return
            self._thread = thread

    def forked(self) -> None:
        """In a forked child: no thread is here, and the lock may be held by nobody."""
        self._thread = None
        self._starting = threading.Lock()

    def stop(self, wait: bool = False) -> None:
        """Nothing more is learnt; with `wait`, returns when nothing runs any more."""
        self._stop = True
        if wait and self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        engine = self._engine()
        if engine is None:
            return
        try:
            learn(engine, lambda: self._stop)
        except SemcoreError:
            if not self._stop:  # else: it was closed meanwhile
                raise


def learn(
    engine: _engine.Engine, stopped: Callable[[], bool] = lambda: False, count: int | None = None
) -> None:
    """Recodes what is left to recode, learns if there is reason to, and recodes all.

    count: of cells; None: what suits the cache.
    """
    _recode(engine, stopped)
    if stopped() or _engine.learning(engine) != UNLEARNT:
        return
    generation = _engine.generation(engine)
    rows = max(LEAST_ROWS, min(SAMPLE_ROWS, SAMPLE_BYTES // (4 * engine.dim)))
    entries = engine._stats()["entries"]
    sample = _engine.sample(engine, rows)
    if len(sample) < LEAST_ROWS:
        return
    model = learnt.learn(sample)
    if count is None:
        count = _engine.cells(engine)
    if count > 1 and not stopped():
        model = _with_cells(engine, model, count, rows)
    if stopped():
        return
    with _changing:
        taken = _engine.learn(engine, model, generation, entries)
    if taken:
        _recode(engine, stopped)


def _with_cells(engine: _engine.Engine, model: learnt.Learnt, count: int, rows: int) -> learnt.Learnt:
    parts = -(-count * cells.ROWS // rows)
    samples = (_engine.sample(engine, rows, part, parts) for part in range(parts))
    return learnt.with_cells(model, samples, count, _engine.most_cells(engine)[1])


def _recode(engine: _engine.Engine, stopped: Callable[[], bool]) -> None:
    left = True
    while left and not stopped():
        with _changing:
            left = _engine.recode(engine, BLOCKS)
        time.sleep(PAUSE)


# Held while a learner writes: a child that is forked then would find its memory in the middle of a change.
_changing = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_changing.release
    )

_running: "weakref.WeakSet[Learner]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # A thread that dies with the interpreter while it holds a file's lock costs the next process a recovery.
    for learner in list(_running):
        learner.stop(wait=True)
