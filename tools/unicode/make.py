"""Writes core/embed/unicode.c: what BERT's normalisation makes of each code point.

    python tools/unicode/make.py core/embed/unicode.c

Facts come from Python's `unicodedata` (14.0, so run it with CPython 3.11), corrected to the versions of
Unicode that the oracle, the `tokenizers` package 0.23.3, mixes. They were found by asking it about all
1,114,112 code points, alone and beside combining marks (tests/unit/test_wordpiece.py does so again):

- categories (what is a mark, a control or punctuation) are those of Unicode 8.0;
- decompositions and combining classes are those of 9.0;
- lower case and white space are those of Rust's standard library, 17.0;
- CJK Extension E begins at U+2B920 instead of U+2B820, as in BERT's own code.
"""

import sys
import unicodedata as ud
from pathlib import Path

Ranges = list[tuple[int, int]]

# Marks (Mn) of after 8.0: not stripped. U+0C04 and the like look older and are not.
MARKS: Ranges = [
    (0x07FD, 0x07FD), (0x0898, 0x089F), (0x08CA, 0x08E1), (0x09FE, 0x09FE), (0x0AFA, 0x0AFF),
    (0x0B55, 0x0B55), (0x0C04, 0x0C04), (0x0C3C, 0x0C3C), (0x0D00, 0x0D00), (0x0D3B, 0x0D3C),
    (0x0D81, 0x0D81), (0x0EBA, 0x0EBA), (0x180F, 0x180F), (0x1885, 0x1886), (0x1ABF, 0x1ACE),
    (0x1DF6, 0x1DFB), (0xA82C, 0xA82C), (0xA8C5, 0xA8C5), (0xA8FF, 0xA8FF), (0xA9BD, 0xA9BD),
    (0x10D24, 0x10D27), (0x10EAB, 0x10EAC), (0x10F46, 0x10F50), (0x10F82, 0x10F85), (0x11070, 0x11070),
    (0x11073, 0x11074), (0x110C2, 0x110C2), (0x111CF, 0x111CF), (0x1123E, 0x1123E), (0x1133B, 0x1133B),
    (0x11438, 0x1143F), (0x11442, 0x11444), (0x11446, 0x11446), (0x1145E, 0x1145E), (0x1182F, 0x11837),
    (0x11839, 0x1183A), (0x1193B, 0x1193C), (0x1193E, 0x1193E), (0x11943, 0x11943), (0x119D4, 0x119D7),
    (0x119DA, 0x119DB), (0x119E0, 0x119E0), (0x11A01, 0x11A0A), (0x11A33, 0x11A38), (0x11A3B, 0x11A3E),
    (0x11A47, 0x11A47), (0x11A51, 0x11A56), (0x11A59, 0x11A5B), (0x11A8A, 0x11A96), (0x11A98, 0x11A99),
    (0x11C30, 0x11C36), (0x11C38, 0x11C3D), (0x11C3F, 0x11C3F), (0x11C92, 0x11CA7), (0x11CAA, 0x11CB0),
    (0x11CB2, 0x11CB3), (0x11CB5, 0x11CB6), (0x11D31, 0x11D36), (0x11D3A, 0x11D3A), (0x11D3C, 0x11D3D),
    (0x11D3F, 0x11D45), (0x11D47, 0x11D47), (0x11D90, 0x11D91), (0x11D95, 0x11D95), (0x11D97, 0x11D97),
    (0x11EF3, 0x11EF4), (0x16F4F, 0x16F4F), (0x16FE4, 0x16FE4), (0x1CF00, 0x1CF2D), (0x1CF30, 0x1CF46),
    (0x1E000, 0x1E006), (0x1E008, 0x1E018), (0x1E01B, 0x1E021), (0x1E023, 0x1E024), (0x1E026, 0x1E02A),
    (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF), (0x1E944, 0x1E94A),
]  # fmt: skip
# Format characters (Cf) of after 8.0, or of another category in it: not removed.
FORMATS: Ranges = [
    (0x0890, 0x0891), (0x08E2, 0x08E2), (0x110CD, 0x110CD), (0x13430, 0x13438),
]  # fmt: skip
# Punctuation of after 8.0: part of a word.
LETTERS: Ranges = [
    (0x061D, 0x061D), (0x09FD, 0x09FD), (0x0A76, 0x0A76), (0x0C77, 0x0C77), (0x0C84, 0x0C84),
    (0x1B7D, 0x1B7E), (0x2E43, 0x2E4F), (0x2E52, 0x2E5D), (0x10EAD, 0x10EAD), (0x10F55, 0x10F59),
    (0x10F86, 0x10F89), (0x1144B, 0x1144F), (0x1145A, 0x1145B), (0x1145D, 0x1145D), (0x11660, 0x1166C),
    (0x116B9, 0x116B9), (0x1183B, 0x1183B), (0x11944, 0x11946), (0x119E2, 0x119E2), (0x11A3F, 0x11A46),
    (0x11A9A, 0x11A9C), (0x11A9E, 0x11AA2), (0x11C41, 0x11C45), (0x11C70, 0x11C71), (0x11EF7, 0x11EF8),
    (0x11FFF, 0x11FFF), (0x12FF1, 0x12FF2), (0x16E97, 0x16E9A), (0x16FE2, 0x16FE2), (0x1E95E, 0x1E95F),
]  # fmt: skip
# Marks that are of combining class 0 up to 9.0: they do not move.
STARTERS: Ranges = [
    (0x07FD, 0x07FD), (0x0898, 0x089F), (0x08CA, 0x08D3), (0x09FE, 0x09FE), (0x0C3C, 0x0C3C),
    (0x0D3B, 0x0D3C), (0x0EBA, 0x0EBA), (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA),
    (0xA82C, 0xA82C), (0x10D24, 0x10D27), (0x10EAB, 0x10EAC), (0x10F46, 0x10F50), (0x10F82, 0x10F85),
    (0x11070, 0x11070), (0x1133B, 0x1133B), (0x1145E, 0x1145E), (0x11839, 0x1183A), (0x1193D, 0x1193E),
    (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47), (0x11A99, 0x11A99),
    (0x11D42, 0x11D42), (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x16FF0, 0x16FF1), (0x1E130, 0x1E136),
    (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF),
]  # fmt: skip
STRIPPED = {0x1734}  # Mn up to 13.0, then Mc
PUNCTUATION = {0x166D, 0x111C9}  # Po up to 11.0 and 8.0
WHOLE = {0x11938}  # decomposes since 13.0
# first, last, step, what to add: lower case of letters of after 14.0
LOWER = [
    (0x1C89, 0x1C89, 1, 1), (0xA7CB, 0xA7CB, 1, -42343), (0xA7CC, 0xA7CE, 2, 1), (0xA7D2, 0xA7D4, 2, 1),
    (0xA7DA, 0xA7DA, 1, 1), (0xA7DC, 0xA7DC, 1, -42561), (0x10D50, 0x10D65, 1, 32), (0x16EA0, 0x16EB8, 1, 27),
]  # fmt: skip
CJK: Ranges = [
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
]  # fmt: skip
SPACES = {0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}

WORD, DROP, BREAK, SPACE, ALONE, MARK, MAPPED, HANGUL = range(8)
NAMES = ["WORD", "DROP", "BREAK", "SPACE", "ALONE", "MARK", "MAPPED", "HANGUL"]


def within(ranges: Ranges) -> set[int]:
    return {cp for first, last in ranges for cp in range(first, last + 1)}


marks, formats, letters, starters, cjk = map(within, (MARKS, FORMATS, LETTERS, STARTERS, CJK))
lower = {cp: cp + add for first, last, step, add in LOWER for cp in range(first, last + 1, step)}


def stripped(cp: int) -> bool:
    return cp in STRIPPED or (ud.category(chr(cp)) == "Mn" and cp not in marks and cp not in PUNCTUATION)


def removed(cp: int) -> bool:
    """Not text at all; a code point that 8.0 does not know is text."""
    return cp in (0, 0xFFFD) or (ud.category(chr(cp)) in ("Cc", "Cf", "Co", "Cs") and cp not in formats)


def combining(cp: int) -> int:
    return 0 if cp in starters else ud.combining(chr(cp))


def punctuation(cp: int) -> bool:
    if cp < 0x80:
        return 0x20 < cp < 0x7F and not chr(cp).isalnum()
    return cp in PUNCTUATION or (ud.category(chr(cp))[0] == "P" and cp not in letters)


def normal(cp: int) -> list[int]:
    """Decomposed, stripped and in lower case."""
    parts = chr(cp) if cp in WHOLE else ud.normalize("NFD", chr(cp))
    kept = [ord(c) for c in parts if not stripped(ord(c))]
    return [low for c in kept for low in ([lower[c]] if c in lower else map(ord, chr(c).lower()))]


def classify(cp: int) -> tuple[int, int | tuple[int, ...]]:
    """The kind of a code point and its argument."""
    if cp in SPACES or cp in (9, 10, 13, 32):
        return SPACE, 0
    if removed(cp):
        return DROP, 0
    if 0xAC00 <= cp < 0xD7A4:
        return HANGUL, 0
    out = normal(cp)
    if not out:  # U+0F73 is of class 0, and what it decomposes into is not
        moves = all(map(combining, map(ord, ud.normalize("NFD", chr(cp)))))
        return (DROP if moves else BREAK), 0
    if out != [cp]:
        return MAPPED, tuple(out)
    if punctuation(cp) or cp in cjk:
        return ALONE, 0
    return (MARK, combining(cp)) if combining(cp) else (WORD, 0)


def check(table: list[tuple[int, int | tuple[int, ...]]]) -> None:
    """What wordpiece.c relies upon."""
    for cp, (kind, argument) in enumerate(table):
        if kind == MAPPED:
            finals = {table[c][0] for c in argument}
            assert finals <= {WORD, ALONE, MARK}, f"U+{cp:04X}: not final"
            assert len(argument) <= 4  # SC_STEP
            assert finals != {ALONE, WORD}
            if cp in cjk:  # its spaces were put around it before it was decomposed
                assert finals == {ALONE}, f"U+{cp:04X}"


def split(values: list[int], size: int) -> tuple[list[int], list[int]]:
    """A two-level table: where each block begins, and the blocks that differ."""
    index, blocks, known = [], [], {}
    for at in range(0, len(values), size):
        block = tuple(values[at : at + size])
        if block not in known:
            known[block] = len(known)
            blocks += block
        index.append(known[block])
    return index, blocks


def rows(name: str, ctype: str, values: list[int]) -> str:
    lines, line = [], "   "
    for v in values:
        if len(line) + len(str(v)) > 118:
            lines.append(line)
            line = "   "
        line += f" {v},"
    return f"const {ctype} {name}[{len(values)}] = {{\n" + "\n".join([*lines, line]) + "\n};\n"


def main(path: str) -> None:
    assert ud.unidata_version == "14.0.0", "run with CPython 3.11"
    table = [classify(cp) for cp in range(0x110000)]
    check(table)
    sequences: dict[tuple[int, ...], int] = {}
    values, code_points, starts = [], [], [0]
    for kind, argument in table:
        if isinstance(argument, tuple):
            if argument not in sequences:
                sequences[argument] = len(sequences)
                code_points += argument
                starts.append(len(code_points))
            argument = sequences[argument]
        assert argument < 1 << 13
        values.append(kind << 13 | argument)
    index, blocks = split(values, 64)
    assert index[:2] == [0, 1]  # sc_unicode_ascii
    parts = [
        "/* Generated by tools/unicode/make.py, which says from what. Do not edit. */\n",
        '#include "unicode.h"\n\n',
        rows("sc_unicode_index", "uint16_t", index),
        rows("sc_unicode_blocks", "uint16_t", blocks),
        rows("sc_unicode_starts", "uint16_t", starts),
        rows("sc_unicode_mapped", "uint32_t", code_points),
    ]
    Path(path).write_text("".join(parts))
    size = 2 * (len(index) + len(blocks) + len(starts)) + 4 * len(code_points)
    print(f"{size} bytes of tables, {len(blocks) // 64} blocks, {len(sequences)} sequences")


if __name__ == "__main__":
    main(*sys.argv[1:])
