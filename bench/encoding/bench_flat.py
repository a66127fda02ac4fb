"""Avro from columns at 10^3 to 10^7 records: the cost of a record stays what it is.

``python -m bench.encoding.bench_flat``; with ``--memory`` it prints the bytes that 10^7 records need beyond the
input, and times nothing.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np

from bench.encoding._cases import run, through
from bench.encoding._data import FIVE, five_columns
from twolane.serializers import Avro

SIZES = {f"avro5_flat_1e{power}": 10**power for power in range(3, 8)}


def columns(n: int) -> dict[str, np.ndarray]:
    """Columns of any length, made of ten thousand rows."""
    return {name: np.resize(column, n) for name, column in five_columns(10_000).items()}


def case(n: int) -> Any:
    avro, given = Avro(FIVE), columns(n)
    source = avro.bind(given)
    head = {name: column[:1000] for name, column in given.items()}
    assert list(source.slice(n - 1000, n)) == list(avro.encode_batch({k: v[-1000:] for k, v in given.items()}))
    assert list(source.slice(0, 1000)) == list(avro.encode_batch(head))
    return lambda: through(avro.bind(given))


CASES = {name: lambda n=n: case(n) for name, n in SIZES.items()}


def memory_beyond_input() -> int:
    """Return by how many bytes the process grows while 10^7 records are bound and encoded."""
    avro, given = Avro(FIVE), columns(10**7)
    through(avro.bind(columns(1000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    through(avro.bind(given))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


if __name__ == "__main__":
    if sys.argv[1:] == ["--memory"]:
        print(memory_beyond_input())
    else:
        run(CASES, SIZES)
