"""The prefix index: what of this prompt has been seen before, what is attached to it, and who holds it.

index.py    PrefixIndex
chat.py     a chat as units: tools, system, messages
events.py   what vLLM and SGLang publish
digests.py  block hashes of vLLM and SGLang
cbor.py     canonical CBOR, for one of vLLM's
"""

from semcore._engine import Inserted, Match, Route
from semcore.prefix.index import Difference, PrefixIndex

__all__ = ["Difference", "Inserted", "Match", "PrefixIndex", "Route"]
