"""Where several workers count together: a directory beside the cache file, for as long as they serve.

Each worker writes what it counted into a file of its own, at most once a second; whoever is asked adds them
up. Rejected: prometheus-client's multi-process mode, where every count is a locked write into a mapping;
for a hit that takes many times as long as `tally.py` does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semcore import ConfigError
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Json


@contextmanager
def counting_together(cache: str | os.PathLike[str]) -> Iterator[str]:
    """Makes `CACHE.metrics`, and removes it afterwards.

    Raises:
        ConfigError: another gateway counts there.
    """
    path = Path(f"{os.fspath(cache)}.metrics")
    path.mkdir(mode=0o700, exist_ok=True)
    with (path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path}: another gateway counts there; give it a cache file of its own"
            ) from None
        for left in path.glob("*.json"):  # of one that was killed
            left.unlink()
        try:
            yield str(path)
        finally:
            shutil.rmtree(path)


class Noticeboard:
    """A worker's place in the directory.

    Args:
        directory: None: there is one worker, and nothing is written.
    """

    def __init__(self, directory: str | os.PathLike[str] | None) -> None:
        self._directory = None if directory is None else Path(directory)
        self._own = f"{os.getpid()}-{os.urandom(4).hex()}.json"

    def __bool__(self) -> bool:
        return self._directory is not None

    def write(self, counted: Json) -> None:
        """Replaces what this worker wrote."""
        if self._directory is not None:
            new = self._directory / (self._own + ".new")
            new.write_bytes(dumps(counted))
            new.replace(self._directory / self._own)

    def others(self) -> list[Json]:
        """What other workers wrote, also those that are gone."""
        if self._directory is None:
            return []
        return [loads(path.read_bytes()) for path in self._directory.glob("*.json") if path.name != self._own]
