"""What the options of several commands have in common."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from semcore.embed import Embedder, EmbedFunction, resolve
from semcore.embed.static import Static

EMBEDDERS = "default, minilm, wordllama, a table's PATH (with a / or .sctable), or MODULE:CALLABLE"


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def embedder_of(option: str, text: str) -> Embedder | Static:
    """The embedder that an option's text names."""
    if os.sep in text or text.endswith(".sctable"):
        return Static(text)
    found = resolve(imported(option, text) if ":" in text else text)
    if found is None:
        raise ValueError(f"{option}: {text!r} is None, expected an embedder")
    return found


def imported(option: str, text: str) -> EmbedFunction:
    """What MODULE:CALLABLE names; a class is made an object without arguments."""
    module, _, attribute = text.partition(":")
    sys.path.insert(0, os.getcwd())  # as `python -m` has it
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{option}: {text!r}: {error}") from error
    return found() if isinstance(found, type) else found  # type: ignore[no-any-return]
