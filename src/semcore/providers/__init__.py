"""The providers' native prompt caches: what they will charge, and which block breaks reuse. No network.

The map:

    cache.py       ProviderCache: estimate, commit, reconcile; results.py: what they answer
    canonical.py   a request as named blocks in rendered order
    apis/          one file an API: openai, anthropic, gemini, bedrock
    rules.py       the rules, chosen by model and day; rules/ are the data
    prompt.py      tokens and digests of a request's prefixes
    plan.py        what is read and written by the rules: grid, breakpoints
    live.py        what is believed to be held
    usage.py       what the provider reported
    prices.py      money, where it is known
    difference.py  where two requests part; volatile.py: times, ids, numbers
"""

from semcore.providers.cache import ProviderCache
from semcore.providers.canonical import Rendered, Unit, named, render
from semcore.providers.difference import Difference, explain
from semcore.providers.results import Estimate, Reconciled, Totals
from semcore.providers.rules import Life, Rules, rules_for
from semcore.providers.usage import Reported, reported

__all__ = [
    "Difference",
    "Estimate",
    "Life",
    "ProviderCache",
    "Reconciled",
    "Rendered",
    "Reported",
    "Rules",
    "Totals",
    "Unit",
    "explain",
    "named",
    "render",
    "reported",
    "rules_for",
]
