"""What `ProviderCache` answers: an estimate, a comparison with what was reported, and sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from semcore.providers.usage import Reported


class Estimate(NamedTuple):
    """What a request will be charged for its prompt. `cached + written + plain == tokens`.

    Args:
        tokens: of the whole prompt.
        cached: read from the provider's cache.
        written: written to it, at a price of its own.
        plain: at the base price.
        ratio: price relative to no cache at all; 1.0 for an empty prompt.
        cost: US dollars, None: the base price is not known.
        uncached_cost: the same without any cache.
        writes: (name of the time to live, tokens) of `written`.
        after: the last block that is read to its end, such as "message 3"; "": none.
        reason: why it is not more, in words.
    """

    tokens: int
    cached: int
    written: int
    plain: int
    ratio: float
    cost: float | None
    uncached_cost: float | None
    writes: tuple[tuple[str, int], ...]
    after: str
    reason: str


class Reconciled(NamedTuple):
    """A prediction beside what the provider reported.

    Args:
        predicted: ours, in our tokens.
        reported: theirs, in theirs.
        error: share of the prompt reported as cached, less the predicted share; in [-1, 1].
        ratio: price relative to no cache, of what was reported.
        cost: the same in US dollars, None: the base price is not known.
        proof: "dead": entries we held for alive were gone, and were forgotten. "alive": some we did not know
            of was there, and is known now. "as predicted": neither.
    """

    predicted: Estimate
    reported: Reported
    error: float
    ratio: float
    cost: float | None
    proof: str


@dataclass(slots=True)
class Totals:
    """Sums over what was committed, in our tokens, and over what was reconciled; `reported_...` in theirs."""

    requests: int = 0
    tokens: int = 0
    cached: int = 0
    written: int = 0
    plain: int = 0
    weighted: float = 0.0
    cost: float | None = 0.0
    uncached_cost: float | None = 0.0
    reconciled: int = 0
    reported_tokens: int = 0
    reported_cached: int = 0
    error_sum: float = 0.0
    absolute_error_sum: float = 0.0

    @property
    def ratio(self) -> float:
        """Price of all relative to no cache; 1.0 when nothing was committed."""
        return self.weighted / self.tokens if self.tokens else 1.0

    @property
    def error(self) -> float | None:
        """Mean error of the predicted share, signed; None: nothing was reconciled."""
        return self.error_sum / self.reconciled if self.reconciled else None

    @property
    def absolute_error(self) -> float | None:
        """Mean absolute error of the predicted share; None: nothing was reconciled."""
        return self.absolute_error_sum / self.reconciled if self.reconciled else None

    def add(self, e: Estimate) -> None:
        """Counts a committed request."""
        self.requests += 1
        self.tokens += e.tokens
        self.cached += e.cached
        self.written += e.written
        self.plain += e.plain
        self.weighted += e.ratio * e.tokens
        self.cost = plus(self.cost, e.cost)
        self.uncached_cost = plus(self.uncached_cost, e.uncached_cost)

    def compare(self, found: Reported, error: float) -> None:
        """Counts a reconciled request."""
        self.reconciled += 1
        self.reported_tokens += found.total
        self.reported_cached += found.cached
        self.error_sum += error
        self.absolute_error_sum += abs(error)


def plus(a: float | None, b: float | None) -> float | None:
    """The sum; unknown as soon as one is."""
    return None if a is None or b is None else a + b


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def verdict(predicted: Estimate, found: Reported) -> str:
    """What a report proves; a difference below a tenth of the prompt is the tokenizer's."""
    apart = share(found.cached, found.total) - share(predicted.cached, predicted.tokens)
    if found.cached == 0 and predicted.cached:
        return "dead"
    if found.cached and not predicted.cached:
        return "alive"
    if abs(apart) < 0.1:
        return "as predicted"
    return "alive" if apart > 0 else "dead"
