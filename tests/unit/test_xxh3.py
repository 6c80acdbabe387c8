"""XXH3-128 equals the `xxhash` package: default secret and seeds, and the exported secret variant."""

import ctypes
import random

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from semcore._engine import xxh3_128

# The algorithm's published default secret; the engine itself never uses it.
DEFAULT = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
LENGTHS = [*range(260), 511, 512, 513, 1023, 1024, 1025, 1087, 1088, 1089, 2048, 2049, 10_000, 1 << 20]
seeds = st.sampled_from([0, 1, 1 << 63, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_class(length):
    data = random.Random(length).randbytes(length)
    for seed in (0, 0x9E3779B97F4A7C15):
        assert xxh3_128(data, DEFAULT, seed) == xxhash.xxh3_128_intdigest(data, seed)


@given(st.binary(max_size=3000), seeds)
def test_random(data, seed):
    assert xxh3_128(data, DEFAULT, seed) == xxhash.xxh3_128_intdigest(data, seed)


def test_secret_variant_of_the_library():
    library = ctypes.CDLL(xxhash._xxhash.__file__)
    function = getattr(library, "XXH3_128bits_withSecret", None)
    if function is None:
        pytest.skip("this build of xxhash does not export the secret variant")
    function.restype = Hash128
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    for length in LENGTHS:
        data, secret = random.Random(length).randbytes(length), random.Random(-length).randbytes(192)
        expected = function(data, length, secret, len(secret))
        assert xxh3_128(data, secret, 0) == (expected.high << 64) | expected.low


def test_a_secret_of_another_length_is_refused():
    with pytest.raises(ValueError, match="secret: expected 192 bytes, got 3"):
        xxh3_128(b"", b"abc", 0)
