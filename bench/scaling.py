"""How lookups scale from one reader process to two while another process writes.

Forked workers build what they need, say that they are ready, and wait. In every round the parent
gives the ones that take part the same moment to begin and to end, so that no start-up is timed.
Readers have a core each; the writer has none of its own, and takes its time from the readers'.
The same with a private cache for every process shows what the machine itself allows; with a file
for every process, what is lost by files and what by sharing one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

import data
import filled
from versus import say

import semcore

AHEAD = 0.05  # seconds from the order to the beginning
CEILING = "private caches"  # the setting whose ratio is the machine's own
BLOCKS = {"exact": 500, "semantic": 4}  # lookups between two looks at the clock

Make = Callable[[], semcore.Cache]
Asks = tuple[list[str], list[data.Vector] | None]


@dataclass(frozen=True)
class Plan:
    """What to run: rounds of `seconds` each, with `rate` puts a second beside them."""

    kind: str  # "exact" or "semantic"
    n: int
    rounds: int
    seconds: float
    rate: float


@dataclass(frozen=True)
class Work:
    """What a worker did in a round."""

    done: int
    missed: int  # lookups that found nothing
    seconds: float

    @property
    def rate(self) -> float:
        return self.done / self.seconds


Job = Callable[[float, float], Work]  # from the moment it begins until the moment it ends


@dataclass
class Samples:
    """A setting's rounds."""

    one: list[float] = field(default_factory=list)  # lookups a second of one reader
    two: list[float] = field(default_factory=list)  # of two readers together
    puts: list[float] = field(default_factory=list)  # a second, beside two readers
    missed: int = 0

    def ratio(self) -> float:
        """Median over rounds of what two readers do beside what one does."""
        return statistics.median(b / a for a, b in zip(self.one, self.two, strict=True))


class Worker:
    """A forked process that prepares a job, says so, and does it when it is told to."""

    def __init__(self, prepare: Callable[[], Job], core: int | None = None) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, prepare, core), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Work | None:
        """What it did, or None when it is ready."""
        wait([self.pipe, self.process.sentinel])
        if not self.pipe.poll():
            raise RuntimeError(f"a worker ended with {self.process.exitcode}")
        told = self.pipe.recv()
        if isinstance(told, Exception):
            raise told
        return told  # type: ignore[no-any-return]

    def order(self, begin: float, end: float) -> None:
        self.pipe.send((begin, end))

    def close(self) -> None:
        self.process.terminate()
        self.process.join()


def _serve(pipe: Connection, prepare: Callable[[], Job], core: int | None) -> None:
    """The worker's side: until it is terminated."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        job = prepare()
        gc.collect()
        gc.freeze()
        gc.disable()
        pipe.send(None)
        while True:
            pipe.send(job(*pipe.recv()))
    except Exception as error:
        pipe.send(error)


def _reader(make: Make, asks: Asks, block: int) -> Job:
    """Lookups in a loop, by text or, where vectors are given, by meaning."""
    cache, (texts, vectors) = make(), asks
    count = len(texts if vectors is None else vectors)
    blocks = [slice(i, i + block) for i in range(0, count, block)]

    def job(begin: float, end: float) -> Work:
        done = missed = 0
        _sleep_until(begin)
        while time.monotonic() < end:
            part = blocks[done // block % len(blocks)]
            missed += _by_text(cache, texts[part]) if vectors is None else _by_meaning(cache, vectors[part])
            done += block
        return Work(done, missed, time.monotonic() - begin)

    return job


def _by_text(cache: semcore.Cache, texts: list[str]) -> int:
    """How many are missed."""
    get, missed = cache.get, 0
    for text in texts:
        missed += get(text) is None
    return missed


def _by_meaning(cache: semcore.Cache, vectors: list[data.Vector]) -> int:
    get, missed = cache.get, 0
    for vector in vectors:
        missed += get(filled.UNSEEN, vector=vector) is None
    return missed


def _writer(make: Make, w: data.Workload, rate: float) -> Job:
    """Puts at a fixed rate of rows nobody asks for; one that comes late is made up for."""
    cache, turn = make(), 0

    def job(begin: float, end: float) -> Work:
        nonlocal turn
        done = 0
        while (due := begin + done / rate) < end and time.monotonic() < end:
            _sleep_until(due)
            filled.put_spare(cache, w, w.n, turn)
            turn, done = turn + 1, done + 1
        _sleep_until(end)
        return Work(done, 0, time.monotonic() - begin)

    return job


def _sleep_until(moment: float) -> None:
    if (left := moment - time.monotonic()) > 0:
        time.sleep(left)


def _asks(kind: str, w: data.Workload, seed: int) -> Asks:
    """All texts, or all paraphrases, in an order of the reader's own, in whole blocks."""
    rng = random.Random(seed)
    whole = (w.n if kind == "exact" else len(w.hits)) // BLOCKS[kind] * BLOCKS[kind]
    if kind == "exact":
        return [data.prompt(i) for i in rng.sample(range(w.n), w.n)[:whole]], None
    return [], [w.hits[i] for i in rng.sample(range(len(w.hits)), whole)]


@dataclass
class Team:
    """Two readers and a writer on one file, or on a private cache each."""

    readers: list[Worker]
    writer: Worker

    def ready(self) -> None:
        for worker in (*self.readers, self.writer):
            worker.receive()

    def run(self, readers: list[Worker], seconds: float) -> tuple[float, float, int]:
        """Lookups a second of all `readers` together, puts a second, lookups that missed."""
        begin = time.monotonic() + AHEAD
        for worker in (*readers, self.writer):
            worker.order(begin, begin + seconds)
        works = [worker.receive() for worker in (*readers, self.writer)]
        *reads, puts = [work for work in works if work is not None]
        return sum(work.rate for work in reads), puts.rate, sum(work.missed for work in reads)


def reader_cores() -> list[int]:
    """The last two this process may use."""
    cores = sorted(os.sched_getaffinity(0))[-2:]
    if len(cores) < 2:
        raise RuntimeError("two readers need two cores")
    return cores


def siblings() -> str:
    """Which threads share a core with each reader's, as the kernel (or its hypervisor) tells it."""
    name = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    told = [Path(name.format(core)) for core in reader_cores()]
    return ", ".join(
        f"cpu {core}: {path.read_text().strip() if path.exists() else 'unknown'}"
        for core, path in zip(reader_cores(), told, strict=True)
    )


def _team(plan: Plan, w: data.Workload, make: Make, stack: ExitStack) -> Team:
    def start(prepare: Callable[[], Job], core: int | None = None) -> Worker:
        worker = Worker(prepare, core)
        stack.callback(worker.close)
        return worker

    block = BLOCKS[plan.kind]
    readers = [
        start(partial(_reader, make, _asks(plan.kind, w, core), block), core) for core in reader_cores()
    ]
    return Team(readers, start(partial(_writer, make, w, plan.rate)))


def measure(plan: Plan, parent: Path) -> dict[str, Samples]:
    """The rounds on one shared file, on files and on private caches, taken alternately."""
    w = data.make(plan.n)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-scaling-", dir=parent))
        path = Path(folder, "shared.semcore")
        filled.build(path, w, w.d).close()
        makes: dict[str, Make] = {
            "one shared file": partial(filled.reopen, path, w.d),
            "a file each": lambda: filled.build(Path(folder, f"{os.getpid()}.semcore"), w, w.d),
            CEILING: partial(filled.build, None, w, w.d),
        }
        teams = {}
        for name, make in makes.items():
            teams[name] = _team(plan, w, make, stack)
            teams[name].ready()
            say(f"{plan.kind} at {plan.n}, {name}: ready")
        return _take_turns(plan, teams)


def _take_turns(plan: Plan, teams: dict[str, Team]) -> dict[str, Samples]:
    """Every round: each team with one reader (the two take turns) and with both."""
    samples = {name: Samples() for name in teams}
    rng = random.Random(0)
    turns = [(name, count) for name in teams for count in (1, 2)]
    for round in range(plan.rounds + 1):
        for name, count in rng.sample(turns, len(turns)):
            team, kept = teams[name], samples[name]
            readers = team.readers if count == 2 else [team.readers[round % 2]]
            lookups, puts, missed = team.run(readers, plan.seconds)
            if round == 0:  # maps and caches are warm after it
                continue
            (kept.one if count == 1 else kept.two).append(lookups)
            kept.missed += missed
            if count == 2:
                kept.puts.append(puts)
    return samples
