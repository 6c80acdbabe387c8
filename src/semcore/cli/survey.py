"""What recorded requests would cost at the providers, where their reuse is lost, and what changes would save.

The file is read three times, a request at a time: to look, to try each change, and to try the best
ones together.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from statistics import median

from semcore.cli.choose import Tried, choose
from semcore.cli.progress import bar
from semcore.cli.recorded import STEP, Record, Unusable, read
from semcore.errors import ConfigError
from semcore.providers import Life, ProviderCache, Rendered, Rules, Totals, rules_for
from semcore.providers.changes import HEAD, Change, applied, candidates
from semcore.providers.losses import Loss, Tracker
from semcore.providers.prompt import Prompt, Tokens

DEFAULT = {
    "openai": "gpt-5.6",
    "anthropic": "claude-sonnet-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
# Provider, model, time to live: what the same requests would cost elsewhere.
ELSEWHERE = (
    ("openai", "gpt-5.4", None),
    ("openai", "gpt-5.6", None),
    ("anthropic", "claude-sonnet-5", "5m"),
    ("anthropic", "claude-sonnet-5", "1h"),
    ("gemini", "gemini-2.5-flash", None),
    ("bedrock", DEFAULT["bedrock"], "5m"),
)
TURNS = ((1, "1"), (3, "2-3"), (7, "4-7"), (15, "8-15"), (1 << 60, "16 and more"))
AT_ONCE = 8  # sets of changes in one reading
NAMED = 20  # unusable lines that are kept
TOKENS = Tokens(None)
EVERYTHING = Rules(
    "semcore", "every prefix, for ever", date(2026, 1, 1), ("*",), "", "grid", 0, 0.0,
    {"for ever": Life(float("inf"), 1.0)}, step=16,
)  # fmt: skip


@dataclass(slots=True)
class Bucket:
    """Sums over the requests of some turns of their sessions."""

    requests: int = 0
    tokens: int = 0
    seen: int = 0
    lost: int = 0


@dataclass(slots=True)
class Scenario:
    """The requests at one provider: as they were sent, or as if sent there for so long a life of entries."""

    provider: str
    model: str
    how: str
    totals: Totals


@dataclass(slots=True)
class Survey:
    """What was found. Tokens are UTF-8 bytes // 4."""

    file: str
    requests: int = 0
    unusable: int = 0
    reasons: list[Unusable] = field(default_factory=list)
    timed: bool = True
    tokens: int = 0
    seen: int = 0
    sessions: int = 0
    turns: dict[str, Bucket] = field(default_factory=lambda: {name: Bucket() for _, name in TURNS})
    losses: list[Loss] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)
    provider: str = ""
    model: str = ""
    asked: str = ""  # the model of the requests, where there are no rules for it
    rules: Rules = EVERYTHING
    sent: Totals = field(default_factory=Totals)
    changes: list[Tried] = field(default_factory=list)
    together: Totals | None = None
    reconciled: Totals | None = None
    seconds: float = 0.0


def survey(path: Path, limit: int | None, provider: str | None, model: str | None, on: str | None) -> Survey:
    """Reads a file of recorded requests.

    Args:
        path: JSON Lines, also .gz.
        limit: at most so many requests; None: all.
        provider, model: who is paid; None: whose JSON and model the first request has.
        on: the day whose rules and prices, ISO; None: the newest.

    Raises:
        ConfigError: there are no rules for the provider, the model or the day.
        OSError, ValueError: the file cannot be read, or holds no usable request.
    """
    start = time.perf_counter()
    found, key = Survey(str(path)), os.urandom(32)
    look = Look(found, key, provider, model, on)
    for record, now in timed(path, limit, "reading", found):
        look.step(record, now)
    if not found.requests:
        why = f"; line {found.reasons[0].line}: {found.reasons[0].reason}" if found.reasons else ""
        raise ValueError(f"{path}: holds no usable requests{why}")
    look.finish()

    def trial(sets: Sequence[tuple[Change, ...]]) -> list[Totals | None]:
        return run(path, found, look.refused, sets, key, on)

    found.changes, found.together = choose(look.candidates(), found.sent, trial)
    found.seconds = time.perf_counter() - start
    return found


def timed(path: Path, limit: int | None, words: str, found: Survey | None) -> Iterator[tuple[Record, float]]:
    """Requests with their times; unusable lines are noted in `found`, where it is given."""
    now = -STEP
    with bar(words) as progress:
        for record in read(path, limit, progress):
            if isinstance(record, Unusable):
                if found is not None:
                    note(found, record)
                continue
            if record.time is None and found is not None:
                found.timed = False
            now = now + STEP if record.time is None else record.time
            yield record, now


def note(found: Survey, line: Unusable) -> None:
    found.unusable += 1
    if len(found.reasons) < NAMED:
        found.reasons.append(line)


class Look:
    """The first reading."""

    def __init__(
        self, found: Survey, key: bytes, provider: str | None, model: str | None, on: str | None
    ) -> None:
        self.found, self.key, self.on = found, key, on
        self._asked = provider, model
        self._tracker = Tracker()
        self._seen = ProviderCache(EVERYTHING, "", price=0.0, _key=key)
        self._elsewhere = [self._pricing(*row) for row in ELSEWHERE]
        self._sent: ProviderCache | None = None
        self._checked: ProviderCache | None = None
        self.refused: set[int] = set()  # lines that the provider would not take
        self._unmarked = 0
        self._heads: list[int] = []

    def _pricing(self, provider: str, model: str, ttl: str | None) -> tuple[Scenario, ProviderCache] | None:
        """None: there are no rules on that day."""
        try:
            rules = rules_for(provider, model, self.on)
        except ConfigError:
            if self.on is None:
                raise
            return None
        automatic = rules.kind == "breakpoints" and not rules.implicit
        if ttl:
            rules = replace(rules, lives={ttl: rules.life(ttl)})
        cache = ProviderCache(rules, model, on=self.on, automatic=automatic, _key=self.key)
        return Scenario(provider, model, rules.default, Totals()), cache

    def step(self, record: Record, now: float) -> None:
        if self._sent is None:
            self._choose(record)
        assert self._sent is not None
        assert self._checked is not None
        sent = own(record.request, self.found.provider)
        prompt = prompt_of(sent, record.model, self.key)
        try:
            self._sent.commit(prompt, now)
        except ValueError as error:
            note(self.found, Unusable(record.line, str(error)))
            self.refused.add(record.line)
            return
        if record.reported is not None and record.request.speaks(self.found.provider):
            self._checked.reconcile(prompt, record.reported, now)
        stripped = prompt_of(bare(record.request), record.model, self.key)
        for pair in filter(None, self._elsewhere):
            pair[1].commit(stripped, now)
        self._follow(record, stripped, now)
        marked = sent.automatic is not None or any(unit.mark is not None for unit in sent.units)
        self._unmarked += not marked

    def _follow(self, record: Record, prompt: Prompt, now: float) -> None:
        """Counts what was seen before, and what was lost."""
        found = self.found
        estimate = self._seen.commit(prompt, now)
        step = self._tracker.step(prompt.units, record.session, estimate.plain)
        bucket = found.turns[next(name for most, name in TURNS if step.turn <= most)]
        for sums in (found, bucket):
            sums.requests += 1
            sums.tokens += estimate.tokens
            sums.seen += estimate.cached
        bucket.lost += step.lost
        self._heads.append(sum(len(unit.data) for unit in prompt.units if unit.part in HEAD) // 4)

    def _choose(self, record: Record) -> None:
        """Who is paid: as asked for, else whose JSON the first request is."""
        provider, model = self._asked
        found = self.found
        found.provider = provider or record.request.api.split("-")[0]
        found.model = model or record.model or DEFAULT[found.provider]
        try:
            found.rules = rules_for(found.provider, found.model, self.on)
        except ConfigError:
            if model:
                raise
            found.asked, found.model = found.model, DEFAULT[found.provider]
            found.rules = rules_for(found.provider, found.model, self.on)
        self._sent = ProviderCache(found.rules, found.model, on=self.on, _key=self.key)
        self._checked = ProviderCache(found.rules, found.model, on=self.on, _key=self.key)

    def finish(self) -> None:
        found = self.found
        found.sessions = self._tracker.sessions
        found.losses = sorted(self._tracker.losses.values(), key=lambda loss: -loss.tokens)
        assert self._sent is not None
        found.sent = self._sent.totals
        found.scenarios = [Scenario(found.provider, found.model, "as sent", found.sent)]
        for scenario, cache in filter(None, self._elsewhere):
            scenario.totals = cache.totals
            found.scenarios.append(scenario)
        if self._checked is not None and self._checked.totals.reconciled:
            found.reconciled = self._checked.totals

    def candidates(self) -> list[Change]:
        head = int(median(self._heads)) if self._heads else 0
        return candidates(
            sorted(self.found.losses, key=lambda x: -x.tokens - x.hidden)[:8],
            self.found.rules,
            self._unmarked,
            self._tracker.grown,
            head,
        )


def run(
    path: Path,
    found: Survey,
    refused: set[int],
    sets: Sequence[tuple[Change, ...]],
    key: bytes,
    on: str | None,
) -> list[Totals | None]:
    """What the requests cost with each of some sets of changes; None: the provider would refuse them."""
    if len(sets) > AT_ONCE:  # what the caches hold is bounded, and so is their number
        rest = run(path, found, refused, sets[AT_ONCE:], key, on)
        return run(path, found, refused, sets[:AT_ONCE], key, on) + rest
    sets = [copy.deepcopy(changes) for changes in sets]  # a Splitter learns as it reads
    caches: list[ProviderCache | None] = [
        ProviderCache(found.rules, found.model, on=on, _key=key) for _ in sets
    ]
    limit = found.requests + len(refused)  # no more than at first, should the file have grown
    for record, now in timed(path, limit, "trying changes", None):
        if record.line in refused:
            continue
        sent = own(record.request, found.provider)
        for i, cache in enumerate(caches):
            if cache is None:
                continue
            try:
                cache.commit(prompt_of(applied(sets[i], sent), record.model, key), now)
            except ValueError:
                caches[i] = None
    return [None if cache is None else cache.totals for cache in caches]


def own(request: Rendered, provider: str) -> Rendered:
    """A request as its provider reads it; at another provider, what it asks for is not understood."""
    return request if request.speaks(provider) else bare(request)


def bare(request: Rendered) -> Rendered:
    units = tuple(unit if unit.mark is None else unit._replace(mark=None) for unit in request.units)
    return Rendered("units", units)


def prompt_of(request: Rendered, model: str, key: bytes) -> Prompt:
    return Prompt(request, model, TOKENS, key)
