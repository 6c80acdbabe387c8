"""`ProviderCache`: what a provider's native prompt cache will charge for a request, before it is sent."""

from __future__ import annotations

import hashlib
import math
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any, TypedDict, Unpack

from semcore.providers import difference
from semcore.providers.canonical import render
from semcore.providers.live import Live
from semcore.providers.plan import Plan, breakpoints, plan
from semcore.providers.prices import base_price
from semcore.providers.prompt import Prompt, Tokens
from semcore.providers.results import Estimate, Reconciled, Totals, share, verdict
from semcore.providers.rules import Rules, day_of, rules_for
from semcore.providers.usage import Reported, reported

PENDING = 10_000  # predictions that wait for what the provider reports


class Options(TypedDict, total=False):
    """What the constructors have in common; see `ProviderCache`."""

    automatic: bool
    count: Callable[[str], int] | None
    price: float | None
    entries: int


class ProviderCache:
    """Predicts what a provider's native prompt cache does, and checks it against what the provider reports.

    Made by `openai`, `anthropic`, `gemini` or `bedrock`, which choose dated rules by model and day. Times are
    passed in, in seconds on any one clock. Not thread-safe.

    Args:
        rules: the provider's.
        model: for prices, and what separates caches where a request names no model.
        automatic: as if every request asked for a breakpoint on its last block. Also what lets a request in
            another provider's JSON be cached at breakpoints, as its own marks are not understood.
        count: tokenizer: text -> tokens. None: UTF-8 bytes // 4, an estimate that is off by a quarter for
            English and more for code and other scripts.
        price: US dollars for a million input tokens; None: from `genai-prices` (extra `prices`) where it is
            installed and knows the model, else costs are None.
        on: day of the prices, None: the newest.
        entries: most prefixes that are remembered; of a grid one a step, else one a breakpoint.

    Raises:
        ConfigError: no rules for the provider, the model or the day.
        TypeError, ValueError: a bad argument, named.
    """

    def __init__(
        self,
        rules: Rules,
        model: str,
        *,
        automatic: bool = False,
        count: Callable[[str], int] | None = None,
        price: float | None = None,
        on: date | str | None = None,
        entries: int = 1_000_000,
        _key: bytes | None = None,
    ) -> None:
        if not isinstance(rules, Rules):
            raise TypeError(f"rules: expected Rules, got {rules!r}")
        if price is not None and not (isinstance(price, (int, float)) and price >= 0):
            raise ValueError(
                f"price: expected US dollars for a million tokens from 0, or None, got {price!r}"
            )
        self.rules, self.model, self.automatic = rules, model, bool(automatic)
        self._tokens = Tokens(count)
        self._price, self._on = price, day_of(on)
        self._live = Live(entries)
        self._key = _key or os.urandom(32)
        self._pending: OrderedDict[bytes, tuple[float, Estimate]] = OrderedDict()
        self._totals = Totals()

    @classmethod
    def openai(cls, model: str, *, on: date | str | None = None, **options: Unpack[Options]) -> ProviderCache:
        """OpenAI's: a grid of 128 tokens, from GPT-5.6 on breakpoints. Raises as the class does.

        Args:
            model: such as "gpt-5.6".
            on: the day whose rules and prices; None: the newest.
            options: as for the class.
        """
        return cls(rules_for("openai", model, on), model, on=on, **options)

    @classmethod
    def anthropic(
        cls, model: str, *, on: date | str | None = None, **options: Unpack[Options]
    ) -> ProviderCache:
        """Anthropic's: breakpoints by `cache_control`. Arguments and errors as for `openai`."""
        return cls(rules_for("anthropic", model, on), model, on=on, **options)

    @classmethod
    def gemini(cls, model: str, *, on: date | str | None = None, **options: Unpack[Options]) -> ProviderCache:
        """Gemini's implicit caching: the best that can be hoped for. Arguments and errors as for `openai`."""
        return cls(rules_for("gemini", model, on), model, on=on, **options)

    @classmethod
    def bedrock(
        cls, model: str, *, on: date | str | None = None, **options: Unpack[Options]
    ) -> ProviderCache:
        """Bedrock's Converse: breakpoints by `cachePoint`. Arguments and errors as for `openai`."""
        return cls(rules_for("bedrock", model, on), model, on=on, **options)

    @staticmethod
    def explain(a: Any, b: Any) -> difference.Difference | None:
        """The first block of request `b` that breaks the reuse of `a`; None: nothing does. See `explain`."""
        return difference.explain(a, b)

    @property
    def totals(self) -> Totals:
        """Sums so far: a copy."""
        return replace(self._totals)

    def __len__(self) -> int:
        """Number of prefixes that are remembered."""
        return len(self._live)

    def estimate(self, request: Any, now: float) -> Estimate:
        """What the provider would charge for a request; nothing is remembered.

        Args:
            request: the JSON body, of this provider or another.
            now: seconds, on the clock of all other calls.

        Returns:
            Tokens and price of its prompt.

        Raises:
            TypeError, ValueError: the request or the time is unusable; named.
        """
        prompt = self._prompt(request)
        return self._estimate(prompt, self._plan(prompt, now))

    def commit(self, request: Any, now: float) -> Estimate:
        """Remembers that a request was sent. Twice at one time is as once, but for the totals.

        Args and errors as for `estimate`.

        Returns:
            What `estimate` said before it.
        """
        prompt = self._prompt(request)
        found = self._plan(prompt, now)
        estimate = self._estimate(prompt, found)
        for touch in found.touches:
            self._live.touch(touch.digest, now, touch.ttl)
        self._remember(prompt, now, estimate)
        self._totals.add(estimate)
        return estimate

    def reconcile(self, request: Any, usage: Any, now: float) -> Reconciled:
        """Compares the prediction of a request with what the provider reported, and learns from it.

        Args:
            request: as it was sent. Committed at this time before, else it is now.
            usage: of the response, or the response; see `reported`.
            now: seconds: when the request was sent.

        Returns:
            Both, the error, and what the report proves.

        Raises:
            TypeError, ValueError: the request, the usage or the time is unusable; named, and nothing was
                changed.
        """
        found = usage if isinstance(usage, Reported) else reported(usage)
        prompt = self._prompt(request)
        self._plan(prompt, now)
        when, waiting = self._pending.get(self._id(prompt), (now, None))
        predicted = waiting if waiting and when == now else self.commit(prompt, now)
        self._pending.pop(self._id(prompt), None)
        error = share(found.cached, found.total) - share(predicted.cached, predicted.tokens)
        named = found.writes if all(ttl in self.rules.lives for ttl, _ in found.writes) else ()
        ratio = self._ratio(found.total, found.cached, named or self._written(predicted, found.written))
        self._totals.compare(found, error)
        base = self._base(found.total)
        proof = self._learn(prompt, predicted, found, now)
        return Reconciled(predicted, found, error, ratio, None if base is None else base * ratio, proof)

    # ---- parts ----

    def _prompt(self, request: Any) -> Prompt:
        if isinstance(request, Prompt):
            return request
        model = request.get("model") if hasattr(request, "get") else None
        root = f"{self.rules.provider}\0{model or self.model}"
        return Prompt(render(request), root, self._tokens, self._key)

    def _plan(self, prompt: Prompt, now: float) -> Plan:
        if isinstance(now, bool) or not isinstance(now, (int, float)) or not math.isfinite(now):
            raise ValueError(f"now: expected a time in seconds, got {now!r}")
        return plan(prompt, self.rules, self._live, now, self.automatic)

    def _estimate(self, prompt: Prompt, found: Plan) -> Estimate:
        written = sum(tokens for _, tokens in found.writes)
        ratio = self._ratio(prompt.total, found.cached, found.writes)
        base = self._base(prompt.total)
        return Estimate(
            tokens=prompt.total,
            cached=found.cached,
            written=written,
            plain=prompt.total - found.cached - written,
            ratio=ratio,
            cost=None if base is None else base * ratio,
            uncached_cost=base,
            writes=found.writes,
            after=prompt.units[found.last].name if found.last >= 0 else "",
            reason=found.reason,
        )

    def _ratio(self, total: int, cached: int, writes: tuple[tuple[str, int], ...]) -> float:
        """Price relative to no cache."""
        if not total:
            return 1.0
        written = sum(tokens for _, tokens in writes)
        price = sum(tokens * self.rules.life(ttl).write for ttl, tokens in writes)
        return (total - cached - written + self.rules.read * cached + price) / total

    def _written(self, predicted: Estimate, written: int) -> tuple[tuple[str, int], ...]:
        """Reported writes without a time to live that is known: the predicted one's, else the default."""
        ttl = predicted.writes[-1][0] if predicted.writes else self.rules.default
        return ((ttl, written),) if written else ()

    def _base(self, tokens: int) -> float | None:
        if self._price is not None:
            return tokens * self._price / 1e6
        return base_price(self.rules.provider, self.model, tokens, self._on)

    def _id(self, prompt: Prompt) -> bytes:
        chain = prompt.chain()
        return chain[-1] if chain else hashlib.blake2b(b"", key=self._key).digest()

    def _remember(self, prompt: Prompt, now: float, estimate: Estimate) -> None:
        """Keeps a prediction until its report comes; of one time the first."""
        id = self._id(prompt)
        if id in self._pending and self._pending[id][0] == now:
            return
        self._pending[id] = (now, estimate)
        if len(self._pending) > PENDING:
            self._pending.popitem(last=False)

    def _learn(self, prompt: Prompt, predicted: Estimate, found: Reported, now: float) -> str:
        """Corrects what is held alive by what the provider said.

        A grid's entries were all written again by this very request, so there is nothing to correct. At
        breakpoints the report tells how far the deepest live entry reached: what we held beyond it
        and this request did not write is forgotten, and an entry that we did not know of is known from then.
        """
        if self.rules.kind == "grid" or not prompt.units or not found.total:
            return verdict(predicted, found)
        chain, scale = prompt.chain(), found.total / max(1, prompt.total)
        ends = [end * scale for end in prompt.token_ends]
        nearest = min(range(len(ends)), key=lambda i: abs(ends[i] - found.cached)) if found.cached else -1
        wrote = found.cached + found.written > 0 or self.rules.implicit
        kept = set(breakpoints(prompt, self.rules, self.automatic)) if wrote else set()
        proof = verdict(predicted, found)
        if proof == "dead":
            for i in range(nearest + 1, len(chain)):
                if i not in kept:
                    self._live.forget(chain[i])
        if not wrote:
            for i in range(len(chain)):
                self._live.forget(chain[i])
        elif nearest >= 0 and proof == "alive":
            self._live.touch(chain[nearest], now, self.rules.life(None).seconds)
        return proof
