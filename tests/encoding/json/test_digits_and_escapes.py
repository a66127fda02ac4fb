"""Digits and escapes of columns, against what Python says of the same value, one by one."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from twolane import Json

N = 4000


def written(values):
    return [bytes(record).decode() for record in Json().encode_batch(values)]


def decimals(rng):
    """Few digits, at every place."""
    pairs = zip(rng.integers(1, 10_000, N), rng.integers(-9, 16, N), strict=True)
    return np.array([float(f"{digits}e{power}") for digits, power in pairs])


def random_bits(rng):
    made = rng.integers(0, 2**64, N, dtype=np.uint64).view(float)
    return made[np.isfinite(made)]


def neighbours(values):
    return np.concatenate([values, np.nextafter(values, 0), np.nextafter(values, np.inf)])


DOUBLES = {
    "any": random_bits,
    "everyday": lambda rng: rng.normal(0, 1, N) * 10.0 ** rng.integers(-6, 18, N),
    "decimals and their neighbours": lambda rng: neighbours(decimals(rng)),
    "rounded": lambda rng: np.round(rng.normal(0, 1000, N), 3),
    "powers of two and their neighbours": lambda rng: neighbours(2.0 ** np.arange(-1022, 1023)),
    "every binary exponent": lambda rng: np.ldexp(1 + rng.random(N), rng.integers(-20, 60, N)),
    "halves between two units": lambda rng: rng.integers(0, 2**53, N) / 2.0 ** rng.integers(0, 60, N),
    "integers": lambda rng: np.trunc(10 ** rng.uniform(0, 20, N)),
    "integers with zeros": lambda rng: rng.integers(1, 100, N) * 10.0 ** rng.integers(0, 20, N),
    "nothing": lambda rng: np.array([0.0, -0.0]),
}


@pytest.mark.parametrize("kind", DOUBLES)
def test_doubles(kind):
    rng = np.random.default_rng(7)
    values = DOUBLES[kind](rng)
    values = np.concatenate([values, -values])
    assert written(values) == [repr(value) for value in values.tolist()]


def test_singles():
    bits = np.random.default_rng(9).integers(0, 2**32, N, dtype=np.uint32).view(np.float32)
    round_ones = np.float32([0.1, 1e5, 1e10, 1.2345679e15, 1e16, 1e-4, 1e-5, -0.0])
    values = np.concatenate([bits[np.isfinite(bits)], round_ones])
    assert written(values) == [repr(float(str(value))) for value in values]


def test_integers():
    around = {10**power + step for power in range(20) for step in (-1, 0, 1)} | {2**64 - 1, 2**63}
    unsigned = sorted(value for value in around if 0 <= value < 2**64)
    assert written(np.array(unsigned, dtype=np.uint64)) == [str(value) for value in unsigned]
    signed = [value * sign for value in unsigned if value < 2**63 for sign in (1, -1)] + [-(2**63)]
    assert written(np.array(signed)) == [str(value) for value in signed]
    rng = np.random.default_rng(8)
    drawn = rng.integers(-(2**63), 2**63, N) >> rng.integers(0, 64, N)
    assert written(drawn) == [str(value) for value in drawn.tolist()]


@pytest.mark.parametrize("character", ['"', "\\", "\n", "\x1f", "\u00df", ""])
def test_what_is_escaped_is_found_at_every_place(character):
    texts = ["x" * before + character + "y" * behind for before in range(20) for behind in range(20)]
    assert written(pa.array(texts)) == [json.dumps(text, ensure_ascii=False) for text in texts]
