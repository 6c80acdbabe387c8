"""semcore: the embedded engine for caching what language models say.

    import semcore

    cache = semcore.Cache(embed=my_embedder)          # private memory; a path makes it a file
    cache.put("What is my order status?", answer)
    hit = cache.get("where's my order?")              # Hit or None

The map:

    cache.py      Cache: meaning on top of the engine (thresholds, time to live, embedding)
    hit.py        what comes back
    flight.py     one computation for all who ask the same, also in other words
    embed/        text to vector: our own table, MiniLM, a server's model, any callable; and how good one is
    dump.py       export, import, compact: a cache into another file; carry.py its prefix index
    reembed.py    another embedder for a filled cache
    prefix/       PrefixIndex: what of a prompt has been seen before, and who holds it
    many.py       several texts at once
    exchange.py   a partition as a usearch index, and an index as a cache
    providers/    the providers' native prompt caches: what they will charge, and what breaks reuse
    clients/      the cache in the official clients, and LangChain's
    errors.py     what goes wrong
    cli/          the `semcore` command
    _engine.pyx   the door: the one place where Python meets C
    core/         the engine in C11: region, exact, semantic, eviction, simd
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from semcore import embed
from semcore._args import bytes_needed
from semcore.cache import Cache
from semcore.errors import CapacityError, ConfigError, EmbeddingError, RegionError, SemcoreError
from semcore.hit import Candidate, Explanation, Hit, Lookup, Saving, Stats
from semcore.prefix import PrefixIndex

if TYPE_CHECKING:
    from semcore import providers as providers
    from semcore.providers import ProviderCache as ProviderCache

__version__ = "0.1.0"
__all__ = [
    "Cache",
    "Candidate",
    "CapacityError",
    "ConfigError",
    "EmbeddingError",
    "Explanation",
    "Hit",
    "Lookup",
    "PrefixIndex",
    "ProviderCache",
    "RegionError",
    "Saving",
    "SemcoreError",
    "Stats",
    "bytes_needed",
    "embed",
    "providers",
]


def __getattr__(name: str) -> Any:
    """The providers' caches, imported when they are first asked for."""
    if name == "ProviderCache":
        return import_module("semcore.providers").ProviderCache
    if name == "providers":
        return import_module("semcore.providers")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
