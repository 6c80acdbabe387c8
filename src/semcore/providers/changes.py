"""Changes to requests that could save, each as a function of requests: what it saves is found by running it.

`candidates` reads from what was lost and from the rules which changes are worth a try. A change takes a
rendered request and returns another with the same tokens (padding apart), so that its price can be set
against the original's.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from semcore.providers.canonical import Rendered, Unit, compact
from semcore.providers.losses import Anchor, Loss
from semcore.providers.prompt import BYTES_A_TOKEN
from semcore.providers.rules import Rules
from semcore.providers.volatile import VOLATILE

HEAD = ("tools", "response_format", "system")
ORDERS = ("the order of the tools", "the order of keys")
KEPT = ("role", "tool_call_id", "name")  # salts that belong to the conversation
JUST_BELOW = 0.5  # of the minimum, from which padding is tried
SHORT = 256  # bytes below which a block is not cut
BLOCKS = 256  # earlier ones that are kept
FILLER = b" ." * 2
Transform = Callable[[Rendered], Rendered]


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Args:
        family: of several in one, only the best is worth telling.
        title: what to do, in words.
        transform: the request as it would be sent.
        order: in which several are applied.
    """

    family: str
    title: str
    transform: Transform
    order: int


def candidates(losses: Iterable[Loss], rules: Rules, unmarked: int, grown: int, head: int) -> list[Change]:
    """The changes that are worth a try.

    Args:
        losses: what was lost, and where.
        rules: of the provider that is paid.
        unmarked: number of requests without a breakpoint.
        grown: number of requests in which a block of a message is an earlier one and more.
        head: median tokens of tools and system prompt.
    """
    found: list[Change] = []
    for loss in losses:
        if loss.what in ORDERS and loss.part == "tools":
            title = "send the tools in one order, their keys too"
            found.append(Change("tools", title, sorted_tools, 1))
        elif loss.anchors:
            title = f"move {the(loss.what)} in {loss.part} to a block of its own at the end of the prompt"
            move = partial(moved, part=loss.part, what=loss.what, anchors=tuple(loss.anchors), rules=rules)
            found.append(Change(f"move {loss.part} {loss.what}", title, move, 5))
        elif loss.what.replace("_", "a").isalpha() and loss.what not in KEPT and loss.what.islower():
            title = f"keep {loss.what} the same"
            found.append(Change(loss.what, title, partial(without_salt, name=loss.what), 0))
    if rules.kind == "breakpoints":
        found += at_breakpoints(rules, unmarked)
        if grown:
            title = "send what is added to a message as a block of its own, instead of a longer block"
            found.append(Change("blocks", title, Splitter(), 2))
    found += [
        Change("life", f"keep entries for {name} instead of {rules.default}", partial(living, ttl=name), 4)
        for name in list(rules.lives)[1:]
    ]
    if JUST_BELOW * rules.minimum <= head < rules.minimum:
        title = f"lengthen tools and system prompt to the minimum of {rules.minimum:,} tokens (now {head:,})"
        found.append(Change("minimum", title, partial(padded, rules=rules), 2))
    return found


def at_breakpoints(rules: Rules, unmarked: int) -> list[Change]:
    found = []
    if unmarked and not rules.implicit:
        title = "ask for automatic caching (a breakpoint on the last block)"
        found.append(Change("breakpoints", title, automatic, 3))
    title = "set a breakpoint after the system prompt, besides the one on the last block"
    if unmarked and not rules.implicit:
        title = "ask for automatic caching, and set a breakpoint after the system prompt"
    found.append(Change("breakpoints", title, partial(head_marked, rules=rules), 3))
    return found


def the(what: str) -> str:
    """ "a timestamp" as "the timestamp"."""
    return "the " + what.split(" ", 1)[1]


def applied(changes: Iterable[Change], request: Rendered) -> Rendered:
    """A request with all the changes."""
    for change in sorted(changes, key=lambda change: change.order):
        request = change.transform(request)
    return request


# ---- the transforms ----


def sorted_tools(request: Rendered) -> Rendered:
    """Tools by name, and their keys in order; a breakpoint after the last stays there."""
    tools = [unit for unit in request.units if unit.part == "tools"]
    rest = [unit for unit in request.units if unit.part != "tools"]
    mark = next((unit.mark for unit in reversed(tools) if unit.mark is not None), None)
    salt = tools[0].salt if tools else ()
    tools = [unit._replace(data=in_order(unit.data), mark=None, salt=()) for unit in tools]
    tools.sort(key=lambda unit: (unit.label, unit.data))
    tools = [unit._replace(block=i if len(tools) > 1 else 0) for i, unit in enumerate(tools, 1)]
    if tools:
        tools[0] = tools[0]._replace(salt=salt)
        tools[-1] = tools[-1]._replace(mark=mark)
    return request._replace(units=(*tools, *rest))


def in_order(data: bytes) -> bytes:
    try:
        return compact(json.loads(json.dumps(json.loads(data), sort_keys=True)))
    except ValueError:
        return data


def without_salt(request: Rendered, name: str) -> Rendered:
    units = tuple(u._replace(salt=tuple(p for p in u.salt if p[0] != name)) for u in request.units)
    return request._replace(units=units)


def automatic(request: Rendered) -> Rendered:
    """A breakpoint on the last block where there is none at all."""
    marked = request.automatic is not None or any(unit.mark is not None for unit in request.units)
    return request if marked else request._replace(automatic="")


def head_marked(request: Rendered, rules: Rules) -> Rendered:
    """A breakpoint after tools and system, where the number that is allowed leaves room."""
    request = request if rules.implicit else automatic(request)
    units = list(request.units)
    last = max((i for i, unit in enumerate(units) if unit.part in HEAD), default=-1)
    if last < 0:  # without any, the first message is what sessions may share
        last = 0 if len(units) > 1 else -1
    used = sum(unit.mark is not None for unit in units) + (request.automatic is not None or rules.implicit)
    if last >= 0 and units[last].mark is None and used < rules.most:
        later = (unit.mark for unit in units[last + 1 :] if unit.mark is not None)
        mark = next(later, request.automatic or "")  # no shorter than what stands behind it
        units[last] = units[last]._replace(mark=mark)
    return request._replace(units=tuple(units))


def living(request: Rendered, ttl: str) -> Rendered:
    """Every breakpoint, and the request, with another time to live."""
    units = tuple(unit if unit.mark is None else unit._replace(mark=ttl) for unit in request.units)
    asked = None if request.automatic is None else ttl
    return request._replace(units=units, automatic=asked, ttl=ttl, retention=ttl)


def padded(request: Rendered, rules: Rules) -> Rendered:
    """Tools and system prompt lengthened to the minimum, and a breakpoint after them."""
    units = list(request.units)
    last = max((i for i, unit in enumerate(units) if unit.part in HEAD), default=-1)
    missing = rules.minimum * BYTES_A_TOKEN - sum(len(unit.data) for unit in units[: last + 1])
    if last >= 0 and 0 < missing <= (1 - JUST_BELOW) * rules.minimum * BYTES_A_TOKEN:
        units[last] = units[last]._replace(data=units[last].data + (FILLER * missing)[:missing])
        request = request._replace(units=tuple(units))
        return head_marked(request, rules) if rules.kind == "breakpoints" else request
    return request


class Splitter:
    """Blocks of messages cut where an earlier block that they begin with ended."""

    def __init__(self) -> None:
        self._ends: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()

    def __call__(self, request: Rendered) -> Rendered:
        units: list[Unit] = []
        for unit in request.units:
            ends = self._cut(unit.data) if unit.part.startswith("message") else (len(unit.data),)
            starts = (0, *ends[:-1])
            for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
                units.append(
                    unit._replace(
                        block=unit.block if len(ends) == 1 else i + 1,
                        data=unit.data[start:end],
                        mark=unit.mark if end == ends[-1] else None,
                        salt=unit.salt if i == 0 else (),
                    )
                )
        return request._replace(units=tuple(units))

    def _cut(self, data: bytes) -> tuple[int, ...]:
        """Where its pieces end."""
        if len(data) < SHORT:
            return (len(data),)
        if data not in self._ends:
            begun = (old for old in self._ends if len(old) < len(data) and data.startswith(old))
            longest = max(begun, key=len, default=None)
            before = () if longest is None else self._ends[longest]
            self._ends[data] = (*before, len(data))
            if len(self._ends) > BLOCKS:
                self._ends.popitem(last=False)
        self._ends.move_to_end(data)
        return self._ends[data]


def moved(request: Rendered, part: str, what: str, anchors: tuple[Anchor, ...], rules: Rules) -> Rendered:
    """A passage that changes, taken out of where it stands and put behind the last breakpoint."""
    taken: list[bytes] = []
    units = []
    for unit in request.units:
        if unit.part == part or (part == "messages" and unit.part.startswith("message")):
            data, found = extracted(unit.data, what, anchors)
            taken += found
            unit = unit._replace(data=data)
        units.append(unit)
    if not taken or not units:
        return request
    if rules.kind == "breakpoints" and (request.automatic is not None or rules.implicit):
        mark = units[-1].mark
        units[-1] = units[-1]._replace(mark=mark if mark is not None else request.automatic or "")
    own = Unit(units[-1].part, units[-1].block + 1, b"".join(taken))
    return request._replace(units=(*units, own), automatic=None)


def extracted(data: bytes, what: str, anchors: tuple[Anchor, ...]) -> tuple[bytes, list[bytes]]:
    """The text without the passages between anchors, and those."""
    text = data.decode("utf-8", "surrogatepass")
    taken: list[bytes] = []
    passage = VOLATILE[what].pattern if what in VOLATILE else r"\S(?:.{0,198}?\S)?"
    flags = re.IGNORECASE | re.DOTALL if what != "an id" else re.DOTALL
    for anchor in anchors:
        pattern = f"(?<={re.escape(anchor.before)})" if anchor.before else r"\A"
        match = re.compile(f"{pattern}(?:{passage})(?={re.escape(anchor.after)})", flags).search(text)
        if match and match[0]:
            taken.append(match[0].encode("utf-8", "surrogatepass"))
            text = text[: match.start()] + text[match.end() :]
    return text.encode("utf-8", "surrogatepass"), taken
