"""What a provider's cache does with a prompt, by its rules: what is read, written, and which entries live on.

Pure: nothing is changed here. Two families. `grid` (OpenAI before GPT-5.6, Gemini): a hit ends at the last
multiple of a step inside the common prefix. `breakpoints` (Anthropic, Bedrock, OpenAI from GPT-5.6): a hit
ends only where an earlier request wrote an entry. Both are "the longest live entry that is a prefix".
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from semcore.providers.live import Live
from semcore.providers.prompt import BYTES_A_TOKEN, Prompt
from semcore.providers.rules import Rules


class Touch(NamedTuple):
    """An entry that is used or written: its digest, and how long it lives in seconds if it is new."""

    digest: bytes
    ttl: float


class Plan(NamedTuple):
    """Args:
    cached: tokens read.
    writes: (name of the time to live, tokens) of what is written.
    touches: entries that are used or written, in order.
    last: number of the last unit that is read to its end; -1: none.
    reason: why it is not more, in words.
    """

    cached: int
    writes: tuple[tuple[str, int], ...]
    touches: tuple[Touch, ...]
    last: int
    reason: str


def plan(prompt: Prompt, rules: Rules, live: Live, now: float, automatic: bool) -> Plan:
    """The plan of a prompt at a time. automatic: as if the request asked for a breakpoint on its last block.

    Raises:
        ValueError: the request asks for a time to live that the rules do not know, for too many breakpoints,
            or for a longer time to live behind a shorter one.
    """
    if not prompt.units:
        return Plan(0, (), (), -1, "the prompt is empty")
    if rules.kind == "grid":
        return on_grid(prompt, rules, live, now)
    return at_breakpoints(prompt, rules, live, now, automatic)


# ---- a grid ----


def on_grid(prompt: Prompt, rules: Rules, live: Live, now: float) -> Plan:
    if prompt.total < rules.minimum:
        return Plan(0, (), (), -1, f"below the minimum of {rules.minimum:,} tokens")
    digests = prompt.grid(rules.step)
    held = 0
    for digest in digests:
        if not live.alive(digest, now):
            break
        held += 1
    tokens = prompt.tokens_at(held * rules.step * BYTES_A_TOKEN) // rules.step * rules.step
    ttl = rules.life(own(prompt, rules)).seconds
    touches = tuple(Touch(digest, ttl) for digest in reversed(digests))
    if tokens < rules.minimum:
        return Plan(0, (), touches, -1, short(prompt, rules, live, now, digests, held))
    end = held * rules.step * BYTES_A_TOKEN
    at = prompt.unit_at(end)
    last = at if prompt.byte_ends[at] <= end else at - 1
    whole = held == len(digests)
    return Plan(tokens, (), touches, last, "all of it" if whole else f"reuse ends in {prompt.units[at].name}")


def own(prompt: Prompt, rules: Rules) -> str | None:
    """The time to live that the request asks for, where it is one of this provider's."""
    asked = prompt.rendered.retention
    return asked if prompt.rendered.speaks(rules.provider) else None


def short(prompt: Prompt, rules: Rules, live: Live, now: float, digests: list[bytes], held: int) -> str:
    if held < len(digests) and (late := lateness(live, digests[held], now)):
        return late
    if held:
        name = prompt.units[prompt.unit_at(held * rules.step * BYTES_A_TOKEN)].name
        return f"reuse ends in {name}, below the minimum of {rules.minimum:,} tokens"
    return "nothing of it is known"


def lateness(live: Live, digest: bytes, now: float) -> str:
    """That an entry is there but dead, in words; else nothing."""
    entry = live.entries.get(digest)
    if entry is None or now - entry.last <= entry.ttl:
        return ""
    return f"expired: last used {now - entry.last:,.0f} s ago, lives {entry.ttl:,.0f} s"


# ---- breakpoints ----


def at_breakpoints(prompt: Prompt, rules: Rules, live: Live, now: float, automatic: bool) -> Plan:
    points = breakpoints(prompt, rules, automatic)
    if not points:
        return Plan(0, (), (), -1, "no breakpoint is set (cache_control, cachePoint, automatic=True)")
    chain = prompt.chain()
    best = max(found(prompt, rules, live, now, point) for point in points)
    cached = prompt.token_ends[best] if best >= 0 else 0
    touches = [Touch(chain[best], rules.life(None).seconds)] if best >= 0 else []
    writes: list[tuple[str, int]] = []
    done = cached
    for point, ttl in sorted(points.items()):
        if prompt.token_ends[point] < rules.minimum:
            continue
        touches.append(Touch(chain[point], rules.life(ttl).seconds))
        if prompt.token_ends[point] > done:
            writes.append((ttl, prompt.token_ends[point] - done))
            done = prompt.token_ends[point]
    why = reason(prompt, rules, live, now, points, best)
    return Plan(cached, tuple(writes), tuple(touches), best, why)


def breakpoints(prompt: Prompt, rules: Rules, automatic: bool) -> dict[int, str]:
    """Where the request writes entries: number of the unit, name of the time to live."""
    request, units = prompt.rendered, prompt.units
    marks: dict[int, str] = {}
    asked, speaks = None, request.speaks(rules.provider)
    if speaks:
        asked = request.ttl
        marks = {i: u.mark or asked or rules.default for i, u in enumerate(units) if u.mark is not None}
    by_itself = (rules.implicit and not request.explicit) or automatic
    top = request.automatic if speaks else None
    if top is not None or by_itself:
        marks.setdefault(len(units) - 1, top or asked or rules.default)
    if len(marks) > rules.most and not rules.implicit:
        raise ValueError(f"request: expected {rules.most} breakpoints at most, got {len(marks)}")
    marks = dict(sorted(marks.items())[-rules.most :])
    lives = [rules.life(ttl).seconds for ttl in marks.values()]
    if any(later > first for first, later in pairwise(lives)):
        raise ValueError(f"request: expected longer times to live first, got {', '.join(marks.values())}")
    return marks


def found(prompt: Prompt, rules: Rules, live: Live, now: float, point: int) -> int:
    """The last unit at or before a breakpoint, within the lookback, whose entry lives; -1: none."""
    chain, units = prompt.chain(), prompt.units
    least = max(0, point - rules.lookback + 1) if rules.lookback else 0
    seen = 0
    for i in range(point, least - 1, -1):
        if live.alive(chain[i], now):
            return i
        ends = i + 1 == len(units) or units[i + 1].part != units[i].part or units[i].mark is not None
        seen += ends
        if rules.latest and seen >= rules.latest:
            break
    return -1


def reason(prompt: Prompt, rules: Rules, live: Live, now: float, points: dict[int, str], best: int) -> str:
    """Why no more was read."""
    last = max(points)
    if best == last:
        return "all up to the last breakpoint"
    if best >= 0:
        return f"reuse ends after {prompt.units[best].name}"
    if prompt.token_ends[last] < rules.minimum:
        return f"below the minimum of {rules.minimum:,} tokens"
    dead = (lateness(live, prompt.chain()[i], now) for i in range(last, -1, -1))
    return next(filter(None, dead), "nothing of it is known")
