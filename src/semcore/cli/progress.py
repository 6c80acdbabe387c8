"""Progress on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from semcore import _engine
from semcore.cli.console import have_rich
from semcore.dump import Progress, open_any
from semcore.errors import SemcoreError

T = TypeVar("T")
EVERY = 5.0  # seconds between lines


@contextmanager
def bar(words: str) -> Iterator[Progress]:
    """A function of (done, total) that shows how far something is."""
    if not sys.stderr.isatty() or not have_rich():
        yield Lines(words)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(words, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class Lines:
    """Progress for a log: nothing of what is over soon."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._next = time.monotonic() + EVERY

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            print(f"{self._words}: {done:,} of {total:,}", file=sys.stderr, flush=True)


def tracked(steps: Iterable[T], words: str, total: int) -> Iterator[T]:
    """The steps, with their progress shown."""
    with bar(words) as progress:
        for done, step in enumerate(steps, 1):
            yield step
            if done % 64 == 0 or done == total:
                progress(done, total)


def opened(path: Path) -> _engine.Engine:
    """`open_any`, with a bar while the file is being recovered, by us or by whoever we wait for."""
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_any, path)
        wait([opening], timeout=0.2)
        if not opening.done():
            with bar(f"opening {path.name}") as progress:
                while not opening.done():
                    with suppress(SemcoreError, OSError):  # the opener will say so
                        done = _engine.peek(path)["recovering"]
                        if done is not None:
                            progress(int(done * 100), 100)
                    wait([opening], timeout=0.1)
        return opening.result()
