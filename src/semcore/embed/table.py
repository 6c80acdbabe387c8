"""Writes the table file of core/embed/table.h: a vocabulary and its rows, ready to be mapped."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcore._engine import checksum

ALIGN, INLINE, WORD_BYTES, NAME_BYTES = 64, 16, 400, 80
HEADER = struct.Struct("<8sII16sQIIIII9I2I")
SECTIONS = 11
K1, K2 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
MASK = (1 << 64) - 1


def hash_short(key: bytes) -> int:
    low, high = struct.unpack("<QQ", key.ljust(INLINE, b"\0"))
    return int(low * K1 ^ high * K2) & MASK


def hash_wide(key: bytes, continues: bool) -> int:
    h = int(continues)
    for byte in key:
        h = (h ^ byte) * K1 & MASK
        h ^= h >> 29
    return h * K2 & MASK


def build_slots(hashes: Sequence[tuple[int, int]]) -> tuple[npt.NDArray[np.uint32], int, int]:
    """An open hash of (hash, number): its slots, the binary logarithm of their count, most probes."""
    bits = max(1, (2 * len(hashes)).bit_length())
    slots, most = np.zeros(1 << bits, np.uint32), 0
    for h, number in hashes:
        place, probes = h >> (64 - bits), 0
        while slots[(place + probes) % len(slots)]:
            probes += 1
        slots[(place + probes) % len(slots)] = (h >> 31 & 0xFFF) << 20 | number + 1
        most = max(most, probes)
    return slots, bits, most


def split(vocabulary: Sequence[str]) -> list[tuple[bytes, bool]]:
    """The pieces without their "##", and whether they had it."""
    marked = [p.startswith("##") and len(p) > 2 for p in vocabulary]
    pieces = [(p[2:] if m else p, m) for p, m in zip(vocabulary, marked, strict=True)]
    if len(set(pieces)) != len(pieces):
        raise ValueError("vocabulary: a piece is there twice")
    raw = [(text.encode(), continues) for text, continues in pieces]
    for text, _ in raw:
        if not text or b"\0" in text:
            raise ValueError("vocabulary: a piece is empty or holds a NUL")
    return raw


def pack_rows(rows: npt.NDArray[np.integer], bits: int) -> bytes:
    """int8 as they are; 4 bits: dimensions 64 g + k and 64 g + 32 + k in byte k of group g, plus 8."""
    low, high = (-127, 127) if bits == 8 else (-8, 7)
    if rows.min() < low or rows.max() > high:
        raise ValueError(f"rows: expected {low} up to {high}")
    packed: npt.NDArray[np.int8] = rows.astype(np.int8)
    if bits == 4:
        codes = (rows + 8).astype(np.uint8).reshape(len(rows), -1, 2, 32)
        packed = (codes[:, :, 0] | codes[:, :, 1] << 4).view(np.int8)
    return packed.tobytes()


def pack_weights(scales: npt.NDArray[np.floating]) -> bytes:
    """15-bit weights: vectors are of length 1, so only the scales' ratios matter."""
    if not np.isfinite(scales).all() or scales.min() < 0 or scales.max() == 0:
        raise ValueError("scales: expected finite numbers that are not negative and not all zero")
    weights: npt.NDArray[np.int16] = np.rint(scales / scales.max() * 32767).astype(np.int16)
    return weights.tobytes()


def pack_vocabulary(vocabulary: Sequence[str]) -> tuple[list[int], list[bytes], int]:
    """The nine numbers of three hashes, sections SC_FIRST up to SC_TEXT, and how many long pieces."""
    pieces = split(vocabulary)
    groups: list[list[tuple[int, int]]] = [[], [], []]
    longest, text = [0, 0, 0], b""
    longs: list[bytes] = []
    for number, (piece, continues) in enumerate(pieces):
        wide = len(piece) > INLINE
        if wide and len(piece) > WORD_BYTES:
            raise ValueError(f"vocabulary: piece {number} is longer than a word can be")
        group = 2 if wide else int(continues)
        longest[group] = max(longest[group], len(piece))
        if wide:
            groups[2].append((hash_wide(piece, continues), len(longs)))
            longs.append(struct.pack("<IIII", number, len(text), len(piece), continues))
            text += piece
        else:
            groups[group].append((hash_short(piece), number))
    built = [build_slots(g) for g in groups]
    numbers = [n for b, most in zip(built, longest, strict=True) for n in (b[1], b[2], most)]
    keys = b"".join(piece[:INLINE].ljust(INLINE, b"\0") for piece, _ in pieces)
    marks = np.packbits([continues for _, continues in pieces], bitorder="little").tobytes()
    return numbers, [*(s.tobytes() for s, _, _ in built), keys, marks, b"".join(longs), text], len(longs)


def write(
    path: str | Path,
    vocabulary: Sequence[str],
    rows: npt.NDArray[np.integer],
    scales: npt.NDArray[np.floating],
    *,
    name: str,
    licence: str,
    bits: int = 8,
    unknown: str = "[UNK]",
) -> None:
    """Writes a table.

    Args:
        vocabulary: the pieces by id, those that continue a word with "##" before them.
        rows: integers of shape (pieces, dim), dim a multiple of 64: -127 to 127, or -8 to 7 with bits=4.
        scales: what each row is multiplied with; a piece of scale 0 does not count.
        name: identifies the table in a cache's fingerprint; at most 80 bytes.
        licence: whose work the rows are, and what they may be used for.

    Raises:
        ValueError: an argument does not fit the others or the format.
    """
    vocabulary = list(vocabulary)
    if rows.ndim != 2 or len(rows) != len(vocabulary) or scales.shape != (len(rows),):
        raise ValueError("rows, scales: expected one of each for every piece")
    dim = rows.shape[1]
    if dim % 64 or not 0 < dim <= 1024 or bits not in (4, 8) or len(name.encode()) > NAME_BYTES:
        raise ValueError(
            f"expected a dim of a multiple of 64 up to 1024, 4 or 8 bits, a name of {NAME_BYTES} bytes"
        )
    numbers, parts, longs = pack_vocabulary(vocabulary)
    sections = [name.encode(), licence.encode(), *parts, pack_weights(scales), pack_rows(rows, bits)]
    assert len(sections) == SECTIONS
    spans, body, at = [], [], HEADER.size + 16 * SECTIONS
    for section in sections:
        gap = -at % ALIGN
        body += [bytes(gap), section]
        spans += [at + gap, len(section)]
        at += gap + len(section)
    table = (b"SCTABLE\n", 1, HEADER.size + 16 * SECTIONS)
    fields = (at, dim, bits, len(vocabulary), longs, vocabulary.index(unknown), *numbers, 0, 0)
    tail = struct.pack(f"<{2 * SECTIONS}Q", *spans) + b"".join(body)
    check = checksum(HEADER.pack(*table, bytes(16), *fields) + tail)
    Path(path).write_bytes(HEADER.pack(*table, check, *fields) + tail)


def vocabulary(path: str | Path) -> list[str]:
    """The pieces of a table by id, those that continue a word with "##" before them."""
    raw = Path(path).read_bytes()
    numbers = HEADER.unpack_from(raw)
    count, longs = numbers[7], numbers[8]
    spans = struct.unpack_from(f"<{2 * SECTIONS}Q", raw, HEADER.size)
    keys, marks, wide, text = (raw[spans[2 * i] :][: spans[2 * i + 1]] for i in (5, 6, 7, 8))
    pieces = [keys[INLINE * i :][:INLINE].rstrip(b"\0") for i in range(count)]
    for number, at, size, _ in struct.iter_unpack("<IIII", wide[: 16 * longs]):
        pieces[number] = text[at : at + size]
    continues = np.unpackbits(np.frombuffer(marks, np.uint8), bitorder="little")
    return [("##" if mark else "") + piece.decode() for piece, mark in zip(pieces, continues, strict=False)]
