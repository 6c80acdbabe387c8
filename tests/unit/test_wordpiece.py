"""Token ids equal those of the `tokenizers` package: every code point, hostile texts, real prompts.

SEMCORE_TEXTS: how many random texts (hypothesis, and the same again of a seeded generator). From
100,000 on every character is tried beside marks, and texts of 10 MB, which takes an hour; else one
in 23, and 1 MB. Most characters are [UNK] in BERT's vocabulary, which would hide what was made of
them; so characters are compared with vocabularies that hold every character of a plane.
"""

import csv
import gzip
import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semcore._engine import Table
from semcore.embed import static, table

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
tokenizers = pytest.importorskip("tokenizers")
models, normalizers, pre_tokenizers = tokenizers.models, tokenizers.normalizers, tokenizers.pre_tokenizers
Tokenizer = tokenizers.Tokenizer

TEXTS = int(os.environ.get("SEMCORE_TEXTS", "2000"))
EVERY = TEXTS >= 100_000
STEP = 1 if EVERY else 23 if TEXTS >= 1000 else 499  # a sanitizer's run has few
VOCABULARY = table.vocabulary(static.DEFAULT)  # BERT's, uncased
PLANES = [0, 1, 2, 3, 14, 15, 16]
SURROGATES = range(0xD800, 0xE000)
# Marks that survive, of several combining classes; stripped ones, of class 0 too; joiners.
MARKS = "\u302e\u1b44\U0001d165\U0001d16d\u08d4\u1baa\u0301\u0327\u05b0\u0d41\u0941\u200d\u00ad\ufe0f\u20dd"
NASTY = (
    "aZ09 \t\n\r\v\f\0\x1c\x1f\x7f\x80\x85\xa0\u2028\u2029\u200b\ufeff\ufffd\ufffe\u3000.#[]'_$+<=>^`|~"
    "\u00e9\u0130\u0131\u1e9e\u03a3\u03c2\u0345\u1f80\u1ffc\u00df\u01c5\ufb01\u2126\u212b\u037e\u1fef\u226e\u2260\u0958"
    "\uac00\ud7a3\u1100\u1161\u11a8\u0e33\u0e4d\u4e00\u9fff\ua000\uf900\ufa0e\U00020000\U0002b820\U0002b920\U0002f800"
    "\U0001f469\U0001f3fd\u00b4\u2019\u2014\u1734\u166d\U000111c9\U00011938\ua7dc\U00010d50\U00016ea0\u0f73\u0344"
) + MARKS


def reference(vocabulary: list[str]) -> Tokenizer:
    """Without special tokens: a "[CLS]" in a text is text."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    t = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return t


class Pair:
    """A vocabulary as our table and as the reference."""

    def __init__(self, path: Path, vocabulary: list[str], dim: int = 64) -> None:
        rng = np.random.default_rng(7)
        rows = rng.integers(-127, 128, (len(vocabulary), dim))
        table.write(path, vocabulary, rows, rng.random(len(vocabulary)), name="test", licence="none")
        self.ours, self.theirs, self.compared = Table(path), reference(vocabulary), 0

    def check(self, texts: list[str]) -> None:
        wanted = self.theirs.encode_batch_fast([clean(t) for t in texts], add_special_tokens=False)
        for text, want in zip(texts, wanted, strict=True):
            got = self.ours.tokens(text)
            assert got == want.ids, f"{text!a}: {got} is not {want.ids}, {want.tokens}"
        self.compared += len(texts)


def clean(text: str) -> str:
    """Lone surrogates as U+FFFD: the reference takes no others, and removes it."""
    return text if text.isascii() else "".join("\ufffd" if ord(c) in SURROGATES else c for c in text)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("bert") / "t", VOCABULARY)
    yield pair
    print(f"\nBERT: {pair.compared:,} texts equal")


def characters(plane: int, step: int = 1) -> list[str]:
    return [chr(c) for c in range(plane << 16, (plane + 1) << 16, step) if c not in SURROGATES]


def sample(plane: int) -> list[str]:
    """All of them, or some: of each block another."""
    return characters(plane, STEP)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """plane -> a vocabulary of all its characters, and of those that the tests put beside them."""
    made = {}

    def get(plane: int) -> Pair:
        if TEXTS < 1000:
            pytest.skip("few texts are asked for: no tables of whole planes")
        if plane not in made:
            alphabet = [c for c in dict.fromkeys("".join(characters(plane)) + NASTY) if c not in " \0"]
            vocabulary = ["[UNK]", *alphabet, *("##" + c for c in alphabet)]
            made[plane] = Pair(tmp_path_factory.mktemp("plane") / f"{plane}", vocabulary)
        return made[plane]

    yield get
    print(f"\ncharacters: {sum(p.compared for p in made.values()):,} texts equal")


def grouped(items, size: int = 64):
    items = list(items)
    return [" ".join(items[i : i + size]) for i in range(0, len(items), size)]


# ---- characters ----


@pytest.mark.parametrize("plane", PLANES)
def test_every_character_alone_and_in_a_word(every, plane):
    every(plane).check([f"x{c}y" for c in characters(plane)])
    every(plane).check(grouped(c + c for c in characters(plane)))
    every(plane).check(grouped(f"X{c}" for c in characters(plane)))
    every(plane).check(characters(plane))


@pytest.mark.parametrize("plane", range(17))
def test_every_character_of_every_plane_with_berts_vocabulary(bert, plane):
    bert.check(grouped(f"{c} x{c}y" for c in characters(plane)))


@pytest.mark.parametrize("plane", PLANES[:5])
def test_every_character_beside_marks(every, plane):
    """Canonical reordering: what moves, and what others do not move across."""
    pairs = [(high, low) for high in "\u302e\U0001d16d" for low in "\u1b44\u0301"]
    for high, low in pairs:
        every(plane).check(grouped(f"a{high}{c}{low}b" for c in sample(plane)))
    for mark in MARKS:
        every(plane).check(grouped(f"a{mark}{c} {c}{mark}a" for c in sample(plane)))


def test_pairs_of_nasty_characters(every):
    every(0).check([a + b for a in NASTY for b in NASTY])
    for a in NASTY:
        every(0).check(grouped(f"q{a}{b}{c}q" for b in NASTY for c in NASTY[:: min(STEP, 11)]))


def test_hangul_syllables(every):
    every(0).check(grouped((chr(c) + "\u302e" + chr(c) + "\u11a8" for c in range(0xAC00, 0xD7A4)), 16))


# ---- words ----


@pytest.mark.parametrize("n", [*range(1, 40), 98, 99, 100, 101, 102, 127, 128, 129, 200, 400, 5000])
def test_words_of_every_length(bert, n):
    parts = [
        "a",
        "Z",
        "9",
        "\u00e9",
        "\u0416",
        "\u0e01",
        "\U00010330",
        "\uac01",
        "a\u302e",
        "\u1b44\u302e",
        "e\u0301",
    ]
    for part in parts:
        word = part * n
        bert.check(
            [
                word,
                word + ".",
                "." + word,
                " " + word + " ",
                word[: n - 1] + " ",
                f"{word}\u00ad{word}",
                word + "\u4e00",
            ]
        )
        bert.check(
            ["un" + word, word[:n] + "able", "telecommunications" + word, word[:9] + "telecommunications"]
        )


def test_every_piece_of_the_vocabulary(bert):
    pieces = VOCABULARY
    bare = [p.removeprefix("##") for p in pieces]
    bert.check([*pieces, *bare, *(p.upper() for p in bare), *(f"x{p}" for p in bare)])
    bert.check([a + b for a, b in zip(bare, reversed(bare), strict=True)])


def test_special_tokens_are_text(bert):
    bert.check(["[CLS] hello [SEP]", "[UNK]", "[MASK]x[PAD]", "##ing", "a##ing", "# ##", "[unused1]"])


def test_long_pieces(tmp_path):
    """Pieces on both sides of the 16 bytes that a record holds, sharing beginnings."""
    rng = random.Random(5)
    words = {"".join(rng.choice("ab\u0436\u4e8c") for _ in range(rng.randint(1, 30))) for _ in range(400)}
    words = {w for w in words if "\u4e8c" not in w}
    words |= {"a" * n for n in range(1, 101)} | {"ab" * n for n in range(1, 30)}
    vocabulary = ["[UNK]", *sorted(words), *("##" + w for w in sorted(words))]
    pair = Pair(tmp_path / "t", vocabulary)
    assert pair.ours.validate() is None
    listed = sorted(words)
    pair.check(listed)
    pair.check(["".join(rng.choices(listed, k=rng.randint(1, 5)))[:110] for _ in range(3000)])
    pair.check(["".join(rng.choices("ab\u0436", (5, 5, 1), k=rng.randint(1, 105))) for _ in range(3000)])


# ---- texts ----

texts = (
    st.text()
    | st.text(st.sampled_from(NASTY))
    | st.text(st.sampled_from("abc ."))
    | st.text(st.characters(max_codepoint=0x24F))
)


@settings(max_examples=max(10, TEXTS // 40))
@given(st.lists(texts, min_size=20, max_size=60))
@example(["a\u2028b", "\u0085x", "\U0001f469\u200d\U0001f469", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"])
def test_any_text(bert, every, batch):
    bert.check(batch)
    if TEXTS >= 1000:
        every(0).check(batch)


@given(st.lists(st.text(st.characters() | st.sampled_from(["\ud800", "\udfff", "\udc80"]))))
def test_lone_surrogates(bert, batch):
    bert.check(batch)


def random_text(rng: random.Random, pieces: list[str]) -> str:
    kind = rng.random()
    if kind < 0.3:
        return "".join(
            chr(c)
            for c in (rng.randrange(0x110000) for _ in range(rng.randint(0, 12)))
            if c not in SURROGATES
        )
    if kind < 0.5:
        return "".join(rng.choices(NASTY, k=rng.randint(0, 40)))
    block = rng.randrange(0x3400) & ~0x7F
    if kind < 0.7:
        return "".join(rng.choices([chr(block + i) for i in range(0x80)] + [" ", "a"], k=rng.randint(1, 60)))
    return rng.choice(["", " ", "-"]).join(rng.choices(pieces, k=rng.randint(1, 30)))


def test_random_texts(bert):
    rng = random.Random(TEXTS)
    pieces = [p.removeprefix("##") for p in VOCABULARY]
    for at in range(0, TEXTS, 1000):
        bert.check([random_text(rng, pieces) for _ in range(min(1000, TEXTS - at))])


def test_real_prompts(bert):
    found = []
    for path in sorted((DATA / "prompts").glob("*.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as f:
            found += [field for row in csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE) for field in row]
    if not found:
        pytest.skip("no prompts")
    found = found[:: max(STEP // 23, 1)]
    bert.check(found)
    rng = random.Random(1)
    bert.check([" ".join(rng.choices(found, k=12)) for _ in range(min(TEXTS, 2000))])
    bert.check(["".join(rng.sample(text, len(text))) for text in found[::10]])


@pytest.mark.parametrize(
    "part",
    ["word ", "a", "\u00e9", "\u302e", "\u302e\u1b44", "\u4e00", "\u200d", " ", "\ud800", "x.", "\U0001f469"],
)
def test_megabytes(bert, part):
    text = part * (
        (10_000_000 if EVERY else 1_000_000 if TEXTS >= 1000 else 100_000)
        // len(part.encode("utf-8", "surrogatepass"))
    )
    got = bert.ours.tokens(text)
    assert got == bert.theirs.encode(clean(text), add_special_tokens=False).ids
    vector = bert.ours(text)
    assert (vector is None) == (not got)
    if got:
        assert abs(np.linalg.norm(vector) - 1) < 1e-5


# ---- the door ----


@pytest.mark.parametrize("wrong", [b"bytes", None, 1, ["a"], bytearray(b"x")])
def test_what_is_not_a_str_is_refused(bert, wrong):
    for call in (bert.ours, bert.ours.tokens, lambda x: bert.ours.embed_many([x])):
        with pytest.raises(TypeError, match="text: expected str"):
            call(wrong)


def test_max_tokens(bert):
    for text in ("one two three four", "unaffordable " * 700):
        every_id = bert.ours.tokens(text)
        for n in (1, 2, 3, 447, 448, 449, 1000, 1024, 1025, 10**12):
            assert bert.ours.tokens(text, max_tokens=n) == every_id[:n]
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="max_tokens: expected at least 1"):
                bert.ours.tokens(text, wrong)


def test_threads_share_a_table(bert):
    batch = [f"how do i reset my password {i} {'x' * (i % 120)}" for i in range(2000)]
    want, failures = bert.ours.embed_many(batch), []

    def run():
        if not np.array_equal(bert.ours.embed_many(batch), want):
            failures.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
