"""`semcore demo`: the gateway before a small model, offline, with traffic; what it answered by itself."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
from typing import TYPE_CHECKING, Any

import semcore
from semcore.cli.console import console, table
from semcore.cli.options import positive

if TYPE_CHECKING:
    from semcore.gateway.demo import Outcome

OUTCOMES = {
    "hit_exact": "from the cache: asked before",
    "hit_semantic": "from the cache: a paraphrase",
    "collapsed": "from another's call under way",
    "miss": "from the model",
}


def add_parser(commands: Any) -> None:
    p = commands.add_parser(
        "demo",
        help="the gateway before a small model, offline: see it work",
        description="Starts a small model and the gateway on free ports of this machine, and asks what"
        " customers ask a support desk: by OpenAI's client if it is installed. No network, no key.",
    )
    p.add_argument("--requests", type=positive, default=60, metavar="N", help="how many (default: 60)")
    p.add_argument("--keep", action="store_true", help="go on serving afterwards, until interrupted")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from semcore.gateway.demo import demo, traffic
    except ImportError as error:
        raise semcore.ConfigError(f"demo needs an extra: pip install 'semcore[gateway]' ({error})") from error
    with demo() as running:
        show(asyncio.run(running.run(traffic(args.requests))))
        if args.keep:
            print(f"\nthe page: {running.address}/_semcore/", flush=True)
            print(f"to try it: OPENAI_BASE_URL={running.address}/v1, and any key", flush=True)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                print()
    return 0


def show(outcome: Outcome) -> None:
    out = console()
    seen = outcome.seen
    rows = []
    for name in dict.fromkeys([*OUTCOMES, *(each.outcome for each in seen)]):
        took = [each.seconds for each in seen if each.outcome == name]
        if took:
            rows.append(
                (OUTCOMES.get(name, name), str(len(took)), f"{statistics.median(took) * 1e3:,.1f} ms")
            )
    title = f"{len(seen)} requests of two tenants by {outcome.client}, in {outcome.seconds:.1f} s"
    out.print(table(("answered", "requests", "p50"), rows, title=title))
    tokens = sum(each.saved_input + each.saved_output for each in seen)
    spared = sum(each.saved_seconds for each in seen)
    facts = [
        ("answers that were right", f"{outcome.right:,} of {len(seen):,}"),
        ("calls to the model", f"{outcome.calls:,}"),
        ("tokens it did not have to make or read", f"{tokens:,}"),
        ("seconds for which it was not busy", f"{spared:,.1f}"),
    ]
    out.print(table(("", ""), facts))
