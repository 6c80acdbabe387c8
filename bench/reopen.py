"""Time to the first lookup after a restart: python bench/reopen.py [--out bench/results/reopen.md]

Every measurement is a fresh process. Its clock starts when everything is imported and has run once
in the small, and stops at the first answer; the files are in the page cache. All take turns. Files
are built once into --dir and used again: remove them when a format has changed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import sync
from pathlib import Path
from typing import Any

import report
from reopen_peers import KEPT, QUERY_FILE, Semcore, USearchLoad, USearchView
from versus import cell, say, start_again

SCRIPT = Path(__file__).with_name("reopen_peers.py")
PACKAGES = "semcore usearch mneme-cache gptcache SQLAlchemy faiss-cpu numpy"
WRITING = 372  # where the header has sc_header.writing
KILLED, RECOVERED = "semcore, its writer killed", "semcore, recovery forced"
LARGE = ("semcore", "semcore, by meaning")
NOTES = """\
- milliseconds, medians; the first lookup is opening and asking together (ratio to semcore after a clean
  close). Exact: asked by a stored text; otherwise by the vector of a paraphrase.
- d = 384. A fresh process each time, its clock started after imports and after the same was done once with
  64 entries; files in the page cache; one pinned core, one thread a library.
- usearch is the index alone: no texts, no answers. f16, 16 links; above 200,000 entries i8, 8 links.
- mneme opens its SQLite store; checkpoint: its `loads` of a tar.gz into a new store.
- killed: SIGKILL to the one process that had the file open, in the midst of puts, on a copy of the file.
- right: how many of the measurements' lookups found the right row."""


@dataclass
class Job:
    """Something to measure, in the folder of its files; `before` is done before each time."""

    label: str
    name: str
    n: int
    folder: Path
    before: Callable[[], None] = lambda: None
    opened: list[float] = field(default_factory=list)  # seconds
    asked: list[float] = field(default_factory=list)
    right: int = 0
    failed: str | None = None

    @property
    def path(self) -> Path:
        return self.folder / KEPT[self.name].file

    @property
    def first(self) -> list[float]:
        return [a + b for a, b in zip(self.opened, self.asked, strict=True)]

    def measure(self, turn: int) -> None:
        """Once more, unless it has failed."""
        if self.failed is not None:
            return
        sync()
        try:
            self.before()
            read_through(self.path)
            told = json.loads(_run("first", self.name, self.n, self.folder, turn))
        except RuntimeError as error:
            self.failed = str(error)
            say(f"{self.label} at {self.n}: {error}")
            return
        self.opened.append(told["open"])
        self.asked.append(told["ask"])
        self.right += told["right"]


def force_recovery(path: Path) -> None:
    """Set the header's word that a writer killed at work leaves set: the next opener recovers."""
    with open(path, "r+b") as file:
        file.seek(WRITING)
        file.write((1).to_bytes(4, "little"))


def kill_writer(n: int, folder: Path) -> None:
    """Let a process put into the file in `folder` and kill it after a while."""
    line = [sys.executable, str(SCRIPT), "put", Semcore.name, str(n), str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            if writer.stdout.readline() != "going\n":
                raise RuntimeError(f"the writer ended with {writer.wait()}")
            time.sleep(random.uniform(0.05, 0.25))
        finally:
            writer.kill()


def read_through(path: Path) -> None:
    """Bring the file, or all files of the folder, into the page cache."""
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass


def size(path: Path) -> int:
    """Bytes on disk."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_blocks * 512 for file in files)


def _run(*arguments: Any) -> str:
    """What reopen_peers.py prints when run with these arguments."""
    line = [sys.executable, str(SCRIPT), *map(str, arguments)]
    answer = subprocess.run(line, capture_output=True, text=True)
    if answer.returncode != 0:
        why = answer.stderr.strip().splitlines() or [f"ended with {answer.returncode}"]
        raise RuntimeError(why[-1])
    return answer.stdout.strip().splitlines()[-1] if answer.stdout.strip() else ""


def jobs(args: argparse.Namespace, copies: Path) -> list[Job]:
    """Everything to be measured; its files are built, and those to be damaged are copies."""
    wanted = [Job(name, name, args.entries, args.dir / str(args.entries)) for name in args.peers]
    if args.semcore_entries:
        names = [*LARGE, *((USearchLoad.name, USearchView.name) if args.usearch_1m else ())]
        folder = args.dir / str(args.semcore_entries)
        wanted += [Job(name, name, args.semcore_entries, folder) for name in names]
    for job in wanted:
        _build(job)
    changes: dict[str, Callable[[Path], None]] = {KILLED: lambda _: None}
    if args.recovery:
        changes[RECOVERED] = force_recovery
    ours = [job for job in wanted if job.label == Semcore.name and job.failed is None]
    return wanted + [_killed(job, label, copies, changes[label]) for job in ours for label in changes]


def _build(job: Job) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        _run("build", job.name, job.n, job.folder)
        say(f"{job.label} at {job.n}: ready after {time.perf_counter() - start:.1f} s")
    except RuntimeError as error:
        job.failed = str(error)
        say(f"{job.label} at {job.n}: not built, {error}")


def _killed(job: Job, label: str, parent: Path, change: Callable[[Path], None]) -> Job:
    """The same with a copy whose writer is killed and which then is changed, before each time."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    copy = Job(label, job.name, job.n, folder)
    shutil.copyfile(job.path, copy.path)
    shutil.copyfile(job.folder / QUERY_FILE, folder / QUERY_FILE)

    def before() -> None:
        kill_writer(job.n, folder)
        change(copy.path)

    copy.before = before
    return copy


def table(done: list[Job]) -> str:
    ours = {job.n: statistics.median(job.first) * 1e3 for job in done if job.label == "semcore" and job.first}
    head = ["files", "asked", "first lookup", "open", "ask", "least to most", "right", "MiB on disk"]
    order = sorted((job for job in done if job.first), key=lambda job: job.n)
    lines = [
        [
            f"{job.label}, {job.n:,} entries",
            "exact" if KEPT[job.name].exact else "by meaning",
            cell(statistics.median(job.first) * 1e3, ours.get(job.n)),
            cell(statistics.median(job.opened) * 1e3, None),
            cell(statistics.median(job.asked) * 1e3, None),
            f"{cell(min(job.first) * 1e3, None)} to {cell(max(job.first) * 1e3, None)}",
            f"{job.right} of {len(job.first)}",
            f"{size(job.path) / 2**20:,.0f}",
        ]
        for job in order
    ]
    failed = [f"- not timed: {job.label} at {job.n:,}: {job.failed}" for job in done if job.failed]
    return "\n".join([report.table(head, lines), *([""] if failed else []), *failed])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time to the first lookup after a restart")
    parser.add_argument("--dir", type=Path, required=True, help="where files are kept and used again")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--semcore-entries", type=int, help="also measure semcore at this size")
    parser.add_argument("--usearch-1m", action="store_true", help="and usearch at that size")
    parser.add_argument("--peers", help="separated by semicolons, any of: " + "; ".join(KEPT))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--recovery", action="store_true", help="also with recovery forced")
    parser.add_argument("--out", type=Path, help="also write the report to this file")
    args = parser.parse_args()
    args.peers = [name.strip() for name in args.peers.split(";")] if args.peers else list(KEPT)
    if unknown := sorted(set(args.peers) - set(KEPT)):
        parser.error(f"unknown peers: {', '.join(unknown)}")
    if args.usearch_1m and not args.semcore_entries:
        parser.error("--usearch-1m needs --semcore-entries")
    return args


def main() -> None:
    """Build what is missing, take turns, print the report."""
    args = _arguments()
    start_again()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that copies are removed too
    args.dir.mkdir(parents=True, exist_ok=True)
    before, order = report.load(), random.Random(0)
    with tempfile.TemporaryDirectory(prefix="copies-", dir=args.dir) as copies:
        wanted = jobs(args, Path(copies))
        for turn in range(args.rounds):
            for job in order.sample(wanted, len(wanted)):
                job.measure(turn)
            say(f"round {turn + 1} of {args.rounds}")
        results = table(wanted)
    notes = f"{NOTES}\n- {args.rounds} measurements of each"
    conditions = report.conditions(PACKAGES, before, args.dir)
    report.write(["## Time to the first lookup", results, notes, conditions], args.out)


if __name__ == "__main__":
    main()
