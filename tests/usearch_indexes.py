"""Small caches and usearch indexes, and batches of more than one size."""

import sys

import numpy as np
import pytest

from semcore import exchange

usearch = pytest.importorskip("usearch.index")
DIM = 16
OPTIONS = {"embed": None, "dim": DIM, "max_entries": 300, "max_bytes": "4 MiB", "threshold": -1.0}
linux = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")


def fill(cache, vectors, **where) -> dict[int, int]:
    """An entry a vector; which id is which vector's."""
    return {cache.put(f"q{i}", i, vector=v, **where): i for i, v in enumerate(vectors)}


def index_of(vectors, keys=None, **options):
    index = usearch.Index(**{"ndim": vectors.shape[1], "metric": "cos", "dtype": "f32"} | options)
    index.add(np.arange(len(vectors), dtype=np.uint64) if keys is None else np.asarray(keys), vectors)
    return index


@pytest.fixture(name="batches", params=[1 << 30, 7 * 4 * DIM], ids=["one batch", "batches of 7"])
def batches_of_two_sizes(request, monkeypatch):
    monkeypatch.setattr(exchange, "BATCH_BYTES", request.param)
