"""The `wordllama` extra: 256 dimensions from a static table, offline (its wheel carries its weights)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from semcore.embed import clean
from semcore.errors import ConfigError


class WordLlama:
    """wordllama's default model: some 130 us for 8 words, and more for more.

    Raises:
        ConfigError: the extra is not installed.
    """

    dim = 256

    def __init__(self) -> None:
        root, level = logging.getLogger(), logging.getLogger().level
        handlers = list(root.handlers)
        try:
            import wordllama
        except ImportError as error:
            raise ConfigError("embed: wordllama needs an extra: pip install 'semcore[wordllama]'") from error
        finally:  # its import configures the application's root logger
            root.handlers[:] = handlers
            root.setLevel(level)
        # Its loader looks for the tokenizer in a folder that its wheel does not have, and then on
        # the network; as a cache directory its own package folder is the right place.
        folder = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=self.dim)
        self.fingerprint = f"wordllama:{version('wordllama')}:l2_supercat:{self.dim}"

    def __call__(self, text: str) -> Any:
        return self.embed_many([text])[0]

    def embed_many(self, texts: Sequence[str]) -> list[Any]:
        vectors = self._model.embed([clean(text) for text in texts], norm=False)
        return [vector if vector.any() and np.isfinite(vector).all() else None for vector in vectors]
