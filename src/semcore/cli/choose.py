"""Which three changes would save most: found by running sets of them, since some pay only with others.

Sorted tools save nothing while a timestamp stands behind them, and the other way round. So each change is run
alone, all are run together, and all but each; what is worth most by either count is kept, and those are run
once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from semcore.providers.changes import Change
from semcore.providers.results import Totals

BEST = 3
LEAST = 0.01  # of the bill, below which a change is not worth telling
Set = tuple[Change, ...]
Run = Callable[[Sequence[Set]], list[Totals | None]]  # what the requests cost with each of some sets


@dataclass(slots=True)
class Tried:
    """A change that pays.

    Args:
        title: what to do.
        alone: sums of the requests with this change only.
        others: sums with the other chosen ones, without it.
    """

    title: str
    alone: Totals
    others: Totals


def choose(tried: Sequence[Change], sent: Totals, run: Run) -> tuple[list[Tried], Totals | None]:
    """The changes that save most, of a family one, at most three; and the sums with all of them.

    Args:
        tried: what could be changed.
        sent: sums of the requests as they were.
        run: runs sets of changes; None for a set that the provider would refuse.
    """
    cost = Costs(sent, run)
    whole = first_of_families(tried)
    swaps = {c: tuple(c if w.family == c.family else w for w in whole) for c in tried}
    without = {c: tuple(w for w in swaps[c] if w != c) for c in tried}
    cost.know([(c,) for c in tried] + [*swaps.values(), *without.values()])

    def worth(c: Change) -> float:
        return max(cost(()) - cost((c,)), cost(without[c]) - cost(swaps[c]))

    kept = first_of_families(sorted(tried, key=lambda c: (-worth(c), c.order)))[:BEST]
    least = LEAST * sent.weighted
    kept = tuple(c for c in kept if worth(c) > least)
    while kept:
        less = [tuple(w for w in kept if w != c) for c in kept]
        cost.know([kept, *less])
        cheapest = min(less, key=cost)
        if cost(cheapest) - cost(kept) > least:
            break
        kept = cheapest
    if not kept:
        return [], None
    found = [Tried(c.title, cost.sums((c,)), cost.sums(tuple(w for w in kept if w != c))) for c in kept]
    found.sort(key=lambda one: -one.others.weighted)
    return found, cost.sums(kept)


def first_of_families(tried: Sequence[Change]) -> Set:
    found: dict[str, Change] = {}
    for change in tried:
        found.setdefault(change.family, change)
    return tuple(found.values())


class Costs:
    """Sums by set of changes, each run once."""

    def __init__(self, sent: Totals, run: Run) -> None:
        self._run, self._sent = run, sent
        self._known: dict[frozenset[str], Totals | None] = {frozenset(): sent}

    def know(self, sets: Sequence[Set]) -> None:
        """Runs those that are not known yet, in one reading."""
        missing = list({key(s): s for s in sets if key(s) not in self._known}.values())
        if missing:
            self._known |= zip(map(key, missing), self._run(missing), strict=True)

    def sums(self, of: Set) -> Totals:
        """What the provider would refuse saves nothing."""
        return self._known[key(of)] or self._sent

    def __call__(self, of: Set) -> float:
        """Tokens at the base price; infinite where the provider would refuse."""
        found = self._known[key(of)]
        return float("inf") if found is None else found.weighted


def key(of: Set) -> frozenset[str]:
    return frozenset(change.title for change in of)
