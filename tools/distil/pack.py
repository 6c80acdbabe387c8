"""The quantised rows as the file that the package ships.

python pack.py --rows table_int8.npz --out default.sctable
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from semcore._engine import Table
from semcore.embed import table

NAME = "semcore-static-1"
LICENCE = "Apache-2.0. Distilled from all-MiniLM-L6-v2 (Apache-2.0, sentence-transformers); see NOTICE."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    made = np.load(args.rows)
    pieces = [str(piece) for piece in made["vocab"]]
    bits = int(made["bits"])
    table.write(args.out, pieces, made["rows"], made["scale"], name=NAME, licence=LICENCE, bits=bits)
    why = Table(args.out).validate()
    if why is not None:
        raise SystemExit(f"{args.out}: {why}")
    print(f"{args.out}: {Table(args.out).fingerprint}")


if __name__ == "__main__":
    main()
