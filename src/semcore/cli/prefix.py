"""`semcore prefix report FILE`: what providers' prompt caches make of recorded requests."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semcore.cli.console import console, table
from semcore.cli.options import positive
from semcore.cli.survey import Scenario, Survey, survey
from semcore.providers.results import Totals
from semcore.providers.rules import PROVIDERS

SHOWN = 6  # places of loss, unusable lines


def add_parser(commands: Any) -> None:
    prefix = commands.add_parser("prefix", help="about prompts that begin alike")
    actions = prefix.add_subparsers(dest="action", required=True, metavar="ACTION")
    p = actions.add_parser(
        "report",
        help="what providers' prompt caches make of recorded requests, and what would save most",
        description="FILE: JSON Lines (also .gz) of request bodies (OpenAI chat or responses, Anthropic,"
        " Gemini, Bedrock), alone or as {time, session, request, response or usage}. Tokens are bytes / 4.",
    )
    p.add_argument("file", type=Path, metavar="FILE")
    p.add_argument("--provider", choices=PROVIDERS, help="who is paid (default: whose requests they are)")
    p.add_argument("--model", help="whose rules and prices (default: as requested)")
    p.add_argument("--on", metavar="DATE", help="the day of rules and prices (default: the newest)")
    p.add_argument("--limit", type=positive, help="stop after so many requests")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.add_argument("--out", type=Path, metavar="JSON", help="write the report as JSON to a file too")
    p.add_argument("--plot", type=Path, metavar="PNG", help="write a plot (needs the extra plot)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    found = survey(args.file, args.limit, args.provider, args.model, args.on)
    for line in found.reasons[:SHOWN]:
        print(f"{args.file}, line {line.line}: {line.reason}", file=sys.stderr)
    if args.json:
        print(json.dumps(as_dict(found), indent=2))
    else:
        render(found, console())
    if args.out:
        args.out.write_text(json.dumps(as_dict(found), indent=2) + "\n", encoding="utf-8")
        print(f"report written to {args.out}", file=sys.stderr)
    if args.plot:
        from semcore.cli.plot import plot_prefix

        plot_prefix(found, args.plot)
        print(f"plot written to {args.plot}", file=sys.stderr)
    return 0


# ---- for programs ----


def as_dict(found: Survey) -> dict[str, Any]:
    return {
        "file": found.file,
        "requests": found.requests,
        "unusable": found.unusable,
        "unusable_lines": [line._asdict() for line in found.reasons],
        "timed": found.timed,
        "tokens": found.tokens,
        "seen": found.seen,
        "seen_share": share(found.seen, found.tokens),
        "sessions": found.sessions,
        "turns": {name: asdict(bucket) for name, bucket in found.turns.items()},
        "losses": [
            {"part": x.part, "what": x.what, "requests": x.requests, "tokens": x.tokens, "hidden": x.hidden,
             "example": x.example}
            for x in found.losses
        ],
        "scenarios": [
            {"provider": x.provider, "model": x.model, "how": x.how} | sums(x.totals) for x in found.scenarios
        ],
        "paid": {"provider": found.provider, "model": found.model, "asked": found.asked,
                 "rules": found.rules.name, "effective": found.rules.effective.isoformat(),
                 "source": found.rules.source},
        "changes": [
            {"title": x.title, "alone": sums(x.alone) | saved(found.sent, x.alone, found.sent)}
            | saved(x.others, found.together, found.sent)
            for x in found.changes if found.together
        ],
        "together": None if found.together is None
        else sums(found.together) | saved(found.sent, found.together, found.sent),
        "reported": None if found.reconciled is None else reconciled(found.reconciled),
        "seconds": found.seconds,
    }  # fmt: skip


def sums(totals: Totals) -> dict[str, Any]:
    return {
        "tokens": totals.tokens,
        "cached": totals.cached,
        "written": totals.written,
        "plain": totals.plain,
        "ratio": totals.ratio,
        "cost": totals.cost,
        "uncached_cost": totals.uncached_cost,
    }


def saved(before: Totals, after: Totals, bill: Totals) -> dict[str, Any]:
    """What is spared: of the bill, in tokens at the base price, and in money where that is known."""
    tokens = before.weighted - after.weighted
    money = None if before.cost is None or after.cost is None else before.cost - after.cost
    return {"saved_share": tokens / bill.weighted, "saved_tokens": round(tokens), "saved_cost": money}


def reconciled(totals: Totals) -> dict[str, Any]:
    return {
        "requests": totals.reconciled,
        "tokens": totals.reported_tokens,
        "cached": totals.reported_cached,
        "error": totals.error,
        "absolute_error": totals.absolute_error,
    }


# ---- for people ----


def render(found: Survey, out: Any) -> None:
    """Prints the report on a console."""
    title = f"{found.file}: {found.requests:,} requests, {found.tokens:,} tokens in {found.seconds:.2f} s"
    out.print(title, highlight=False, markup=False)
    out.print(turns_table(found))
    if found.losses:
        out.print(losses_table(found))
    out.print(scenarios_table(found.scenarios))
    for name, text in facts(found):
        out.print(f"  {name:<16}{text}", highlight=False, markup=False, soft_wrap=True)
    title = f"What would save most at {found.provider}, {found.model}:"
    out.print(title if found.changes else f"{title} nothing that was tried", highlight=False, markup=False)
    for line in changes(found):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def turns_table(found: Survey) -> Any:
    rows = [
        (name, f"{b.requests:,}", f"{b.tokens:,}", percent(b.seen, b.tokens), percent(b.lost, b.tokens))
        for name, b in found.turns.items()
        if b.requests
    ]
    return table(("turn of session", "requests", "tokens", "seen before", "lost"), rows)


def losses_table(found: Survey) -> Any:
    rows = [
        (x.part, x.what, f"{x.requests:,}", f"{x.tokens:,}", percent(x.tokens, found.tokens), f"{x.hidden:,}")
        for x in found.losses[:SHOWN]
    ]
    return table(("reuse lost in", "by", "requests", "tokens", "of all", "hidden"), rows, left=2)


def scenarios_table(scenarios: list[Scenario]) -> Any:
    rows = []
    for x in scenarios:
        t = x.totals
        shares = [percent(part, t.tokens) for part in (t.cached, t.written, t.plain)]
        rows.append((named(x), *shares, f"{t.ratio:.1%}", money(t.cost)))
    return table(("at", "cached", "written", "plain", "price", "cost"), rows)


def facts(found: Survey) -> list[tuple[str, str]]:
    lost = sum(loss.tokens for loss in found.losses)
    lines = [
        ("seen before", f"{found.seen:,} of {found.tokens:,} tokens ({percent(found.seen, found.tokens)})"),
        ("lost", f"{lost:,} tokens sent before, behind a change ({percent(lost, found.tokens)})"),
        ("sessions", f"{found.sessions:,}"),
        ("price", "of the prompts, relative to no cache" + known(found)),
        ("rules", f"{found.provider}: {found.rules.name}, of {found.rules.effective}"),
    ]
    if found.asked:
        lines.append(("model", f"no rules for {found.asked}: taken as {found.model}"))
    if found.reconciled is not None:
        lines.append(("reported", compared(found.reconciled)))
    if not found.timed:
        lines.append(("times", "not all recorded: taken as one second apart"))
    if found.unusable:
        lines.append(("unusable", f"{found.unusable:,} lines"))
    return lines


def known(found: Survey) -> str:
    unknown = any(x.totals.cost is None for x in found.scenarios)
    return "; money needs the extra prices, and a model it knows" if unknown else ", and in US dollars"


def compared(totals: Totals) -> str:
    cached = percent(totals.reported_cached, totals.reported_tokens)
    off = f"{totals.absolute_error or 0:.1%}"
    return f"{cached} cached of {totals.reconciled:,} requests with a usage; predictions are off by {off}"


def changes(found: Survey) -> list[str]:
    """The changes and what they save: of three, each beside the other two."""
    if found.together is None:
        return []
    lines = []
    for i, x in enumerate(found.changes, 1):
        text = spared(x.others, found.together, found.sent)
        if len(found.changes) > 1:
            alone = saved(found.sent, x.alone, found.sent)["saved_share"]
            text += f" beside the others, {alone:.1%} alone"
        lines.append(f"  {i}. {x.title}: {text}")
    cached = (
        percent(found.sent.cached, found.sent.tokens),
        percent(found.together.cached, found.together.tokens),
    )
    text = spared(found.sent, found.together, found.sent)
    return [*lines, f"  All: {text}; cached {cached[0]} -> {cached[1]}"]


def spared(before: Totals, after: Totals, bill: Totals) -> str:
    found = saved(before, after, bill)
    cost = "" if found["saved_cost"] is None else f", {money(found['saved_cost'])}"
    return f"{found['saved_share']:.1%} less ({found['saved_tokens']:,} tokens{cost})"


def named(scenario: Scenario) -> str:
    at = "bedrock " if scenario.provider == "bedrock" else ""
    return f"{at}{short(scenario.model)}, {scenario.how}"


def short(model: str) -> str:
    """Without a vendor before it and a version behind it."""
    model = re.sub(r"^(?:.*[/])?(?:[a-z]+\.)*(?=[a-z])|-\d{8}.*$", "", model)
    return model if len(model) <= 18 else f"{model[:17]}…"


def percent(part: float, whole: float) -> str:
    return f"{share(part, whole):.1%}"


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def money(cost: float | None) -> str:
    return "" if cost is None else f"${cost:,.2f}" if cost >= 0.1 else f"${cost:.4f}"
