"""A request made ready: where its blocks end in bytes and tokens, and the keyed digests of its prefixes."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from itertools import accumulate

from semcore.providers.canonical import Rendered, Salt, Unit

BYTES_A_TOKEN = 4
KNOWN = 100_000  # counted texts that are remembered
Count = Callable[[str], int]


class Tokens:
    """Counts tokens: by a tokenizer's callable, each text once; or, without one, four bytes as a token.

    Args:
        count: text -> whole number of tokens; None: the UTF-8 bytes of the whole prefix, divided by 4.
    """

    def __init__(self, count: Count | None) -> None:
        if count is not None and not callable(count):
            raise TypeError(f"count: expected a callable that takes a text, got {count!r}")
        self.count = count
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def ends(self, units: tuple[Unit, ...]) -> list[int]:
        """Tokens up to the end of each unit.

        Raises:
            ValueError: the callable returned no whole number from 0.
        """
        if self.count is None:
            return [end // BYTES_A_TOKEN for end in accumulate(len(unit.data) for unit in units)]
        return list(accumulate(self._one(unit.data) for unit in units))

    def _one(self, data: bytes) -> int:
        key = hashlib.blake2b(data, digest_size=16).digest()
        if key not in self._known:
            number = self.count(data.decode("utf-8", "surrogatepass"))  # type: ignore[misc]
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise ValueError(f"count: expected a whole number of tokens from 0, got {number!r}")
            self._known[key] = number
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return self._known[key]


class Prompt:
    """A rendered request with its tokens and digests.

    Args:
        rendered: from `canonical.render`.
        root: what separates caches: provider and model.
        tokens: counts.
        key: of the digests, at most 64 bytes; digests of two keys never meet.
    """

    def __init__(self, rendered: Rendered, root: str, tokens: Tokens, key: bytes) -> None:
        self.rendered = rendered
        self.units = rendered.units
        self.exact = tokens.count is None  # bytes are tokens
        self.byte_ends = list(accumulate(len(unit.data) for unit in self.units))
        self.token_ends = tokens.ends(self.units)
        self._key = key
        self._root = self._hash(root.encode())
        self._chain: list[bytes] | None = None
        self._grids: dict[int, list[bytes]] = {}

    @property
    def total(self) -> int:
        """Tokens of the whole prompt."""
        return self.token_ends[-1] if self.token_ends else 0

    def _hash(self, *parts: bytes) -> bytes:
        state = hashlib.blake2b(key=self._key, digest_size=16)
        for part in parts:
            state.update(part)
        return state.digest()

    def chain(self) -> list[bytes]:
        """The digest of the prefix up to the end of each unit."""
        if self._chain is None:
            chain, last = [], self._root
            for unit in self.units:
                last = self._hash(last, self._hash(unit.data), self._hash(flat(unit.salt)))
                chain.append(last)
            self._chain = chain
        return self._chain

    def grid(self, step: int) -> list[bytes]:
        """The digest of the prefix at each multiple of `step` times four bytes; units may end anywhere."""
        if step not in self._grids:
            self._grids[step] = self._digests(step * BYTES_A_TOKEN)
        return self._grids[step]

    def _digests(self, width: int) -> list[bytes]:
        text = b"".join(unit.data for unit in self.units)
        starts = [0, *self.byte_ends]
        salts = [(at, flat(unit.salt)) for at, unit in zip(starts, self.units, strict=False) if unit.salt]
        out, last, j = [], self._root, 0
        for at in range(0, len(text) - width + 1, width):
            parts = [last, text[at : at + width]]
            while j < len(salts) and salts[j][0] < at + width:
                parts.append(b"%d:" % (salts[j][0] - at) + salts[j][1])
                j += 1
            last = self._hash(*parts)
            out.append(last)
        return out

    def tokens_at(self, position: int) -> int:
        """Tokens of so many of its bytes; with a tokenizer, inside a unit in proportion."""
        if self.exact:
            return position // BYTES_A_TOKEN
        i = bisect_right(self.byte_ends, position)
        if i == len(self.units):
            return self.total
        start = self.byte_ends[i - 1] if i else 0
        before = self.token_ends[i - 1] if i else 0
        return before + (self.token_ends[i] - before) * (position - start) // len(self.units[i].data)

    def unit_at(self, position: int) -> int:
        """Number of the unit that holds the byte at a position; past the end, the last."""
        return min(bisect_right(self.byte_ends, position), len(self.units) - 1)


def flat(salt: Salt) -> bytes:
    """A salt as bytes, each text with its length."""
    texts = [text.encode("utf-8", "surrogatepass") for pair in salt for text in pair]
    return b"".join(b"%d:%b" % (len(text), text) for text in texts)
