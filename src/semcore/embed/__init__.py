"""Text to vector.

An embedder is any callable that takes a text (``str``) and returns a vector of fixed length, or
None for a text that has no meaning to compare (such a text is matched exactly only). Optional
attributes: ``dim`` (int), ``fingerprint`` (str: two embedders with the same one may share a cache),
``embed_many(texts) -> sequence of vectors or None``, and ``aembed(text)``, a coroutine function that
asyncio's callers await instead.

Ours are ``Static`` (the default), ``MiniLM``, ``WordLlama`` and ``OpenAICompatible``; each is imported when
it is first asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from semcore.errors import ConfigError, EmbeddingError

if TYPE_CHECKING:
    from semcore.embed.minilm import MiniLM as MiniLM
    from semcore.embed.openai import OpenAICompatible as OpenAICompatible
    from semcore.embed.static import Static as Static
    from semcore.embed.wordllama import WordLlama as WordLlama

# Ours by name, each imported when it is asked for: some take a second, or an extra.
NAMED = {
    "default": ("static", "default"),
    "static": ("static", "default"),
    "wordllama": ("wordllama", "WordLlama"),
    "minilm": ("minilm", "MiniLM"),
}
OURS = {"Static": "static", "MiniLM": "minilm", "WordLlama": "wordllama", "OpenAICompatible": "openai"}
PROBE = "semcore"
MOST_NAME = 119  # bytes of a fingerprint
Vector = npt.NDArray[np.float32]
EmbedFunction = Callable[[str], Any]


def __getattr__(name: str) -> Any:
    """Our own embedders."""
    if name not in OURS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{OURS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *OURS})


class Embedder:
    """A callable with its dimension, its fingerprint, and checks on what it returns.

    Args:
        function: text -> vector or None.

    Raises:
        EmbeddingError: the function fails on a probe text, or does not return a vector.
    """

    def __init__(self, function: EmbedFunction) -> None:
        self._function = function
        self._many = getattr(function, "embed_many", None)
        self._async: Callable[[str], Awaitable[Any]] | None = getattr(function, "aembed", None)
        dim = getattr(function, "dim", None)
        stated = getattr(function, "fingerprint", None)
        probe = None if dim is not None and stated else self._call(function, PROBE)
        if dim is None and probe is None:
            raise EmbeddingError(f"embed: returned None for the probe text {PROBE!r}; give it a `dim`")
        try:
            self.dim = np.asarray(probe).size if dim is None else index(dim)
        except TypeError:
            raise EmbeddingError(f"embed: expected a whole number as its dim, got {dim!r}") from None
        self.fingerprint = str(stated or name_of(function, self.dim, self._checked(probe)))

    def __call__(self, text: str) -> Vector | None:
        """The vector of a text, or None when it has none.

        Raises:
            EmbeddingError: the function raised, or returned something that is not such a vector.
        """
        return self._checked(self._call(self._function, text))

    async def aembed(self, text: str) -> Vector | None:
        """The same by the function's own ``aembed`` where it has one."""
        if self._async is None:
            return self(text)
        try:
            vector = await self._async(text)
        except Exception as error:
            raise failed(error) from error
        return self._checked(vector)

    def many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, by ``embed_many`` where the embedder has it."""
        if self._many is None or not texts:
            return [self(text) for text in texts]
        vectors = list(self._call(self._many, list(texts)))
        if len(vectors) != len(texts):
            raise EmbeddingError(f"embed_many: returned {len(vectors)} vectors for {len(texts)} texts")
        return [self._checked(vector) for vector in vectors]

    @staticmethod
    def _call(function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return function(argument)
        except Exception as error:
            raise failed(error) from error

    def _checked(self, vector: Any) -> Vector | None:
        if vector is None:
            return None
        try:
            array = np.array(vector, dtype=np.float32)  # a copy: an embedder may use its buffer again
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"embed: returned no vector: {error}") from error
        if array.shape != (self.dim,):
            raise EmbeddingError(f"embed: returned shape {array.shape}, expected ({self.dim},)")
        norm = float(np.dot(array, array))
        if not np.isfinite(norm) or norm == 0:
            raise EmbeddingError("embed: returned a vector that is zero or not finite")
        return array


def failed(error: Exception) -> EmbeddingError:
    """What an embedder's own error is raised as."""
    if isinstance(error, EmbeddingError):
        return EmbeddingError(*error.args)
    return EmbeddingError(f"embed: {type(error).__name__}: {error}")


def clean(text: str) -> str:
    """Lone surrogates replaced: what other libraries and servers take is valid Unicode only."""
    return text.encode("utf-8", "replace").decode("utf-8")


def name_of(function: object, dim: int, probe: Vector | None) -> str:
    """A fingerprint for a callable that states none.

    Where it is defined, its dimension, and 32 signs of random projections of a probe text's vector:
    two models behind one wrapper, lambda or bound method do not share a cache.
    """
    kind = function if hasattr(function, "__qualname__") else type(function)
    signs = 0
    if probe is not None:
        projections = np.random.default_rng(0).choice([-1.0, 1.0], (32, dim)) @ probe
        signs = int(np.packbits(projections > 0).view(np.uint32)[0])
    name = f"{kind.__module__}.{kind.__qualname__}:{dim}:{signs:08x}"
    return name.encode()[-MOST_NAME:].decode(errors="ignore")


def resolve(embed: str | EmbedFunction | None) -> Embedder | Static | None:
    """What the argument ``embed`` of a cache stands for.

    Raises:
        ConfigError: it is a name without its extra installed, a class, or neither a name nor a callable.
    """
    if embed is None:
        return None
    from semcore.embed.static import Static

    if isinstance(embed, str) and embed in NAMED:
        embed = named(embed)
    if isinstance(embed, (Embedder, Static)):
        return embed
    if isinstance(embed, type):
        raise ConfigError(
            f"embed: expected an embedder, got the class {embed.__name__}: make an object of it"
        )
    if callable(embed):
        return Embedder(embed)
    raise ConfigError(f"embed: expected {', '.join(map(repr, NAMED))}, a callable or None, got {embed!r}")


def named(name: str) -> Any:
    """A new embedder of ours (the default one: always the same)."""
    module, maker = NAMED[name]
    return getattr(import_module(f"{__name__}.{module}"), maker)()
