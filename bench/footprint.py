"""What processes that have one file open take of the machine's memory, by proportional set size.

    python bench/footprint.py FILE ENTRIES fork|spawn

It is run in an interpreter of its own (by shared.py), which imports semcore and nothing large, as
the parent of forked web workers does. Prints JSON: for 1 and for COUNT workers the PSS of all of
them, with their parent's, and of the file's mapping alone, in bytes.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import data
import filled
import numpy as np

COUNT = 4
SEARCHES = 20  # of each worker
DIM = 384

HEADER = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)$")


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    workers: int
    with_parent: int
    mapping: int


def measure(path: Path, entries: int, method: str) -> dict[str, Memory]:
    """For "1" and for COUNT workers, in an interpreter of its own."""
    line = [sys.executable, __file__, str(path), str(entries), method]
    answer = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    return {count: Memory(**found) for count, found in json.loads(answer.stdout).items()}


def touch(pipe: Connection, path: Path, entries: int) -> None:
    """A worker: look up everything, search a little, and stay until told to go."""
    with filled.reopen(path, DIM) as cache:
        missed = sum(cache.get(data.prompt(i)) is None for i in range(entries))
        rng = np.random.default_rng(os.getpid())
        for query in rng.standard_normal((SEARCHES, DIM), dtype=np.float32):
            cache.get(filled.UNSEEN, vector=query)
        gc.collect()
        pipe.send(missed)
        pipe.recv()


def together(count: int, path: Path, entries: int, method: str) -> Memory:
    """The memory of `count` workers that have all touched everything."""
    context = multiprocessing.get_context(method)
    pipes, workers = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        workers.append(context.Process(target=touch, args=(theirs, path, entries), daemon=True))  # type: ignore[attr-defined]
        workers[-1].start()
        theirs.close()
        pipes.append(ours)
    if missed := sum(pipe.recv() for pipe in pipes):
        raise RuntimeError(f"{missed} entries are missing")
    pids = [worker.pid for worker in workers]
    whole = sum(map(pss, pids))
    memory = Memory(whole, whole + pss(os.getpid()), sum(pss_of_mapping(pid, path) for pid in pids))
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.send(None)
        worker.join()
    return memory


def pss(pid: int) -> int:
    return _sum_pss(Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())


def pss_of_mapping(pid: int, path: Path) -> int:
    """Of what the process has mapped of the file."""
    lines, ours = [], False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if header := HEADER.match(line):
            ours = header[1] == str(path)
        elif ours:
            lines.append(line)
    return _sum_pss(lines)


def _sum_pss(lines: list[str]) -> int:
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def main() -> None:
    path, entries, method = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    found = {str(count): asdict(together(count, path, entries, method)) for count in (1, COUNT)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
