"""A unit of time, like every constant of more than one module, is stated in _units alone."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest

from tests.packaging.sources import ROOT, sources
from twolane._units import ARROW_NS, AVRO_NS, UNIT_NS, UNITS
from twolane.encoding.avro.infer import ENDING_OF_ARROW, ENDING_OF_NUMPY
from twolane.encoding.columns.arrow_formats import parameters_of
from twolane.encoding.time.times import Unit
from twolane.encoding.time.timestamps import pack_timestamps

MS = UNIT_NS["ms"]
# A digit behind them would make another number.
CONSTANTS = re.compile(
    r"(?<![\d.])(86_?400(_?000){1,4}|604_?800(_?000)*|3_?600(_?000){3}|60(_?000){3}|631_?152(_?000){2}"
    r"|4_?102_?444_?800_?000)(?!\d)"
)


def test_numpy_agrees_on_every_unit() -> None:
    for name, ns in UNIT_NS.items():
        assert np.timedelta64(1, name) == np.timedelta64(ns, "ns")
    assert set(UNIT_NS) == set(get_args(Unit))


@pytest.mark.parametrize("unit", UNIT_NS)
def test_every_unit_is_known_wherever_units_are(unit: str) -> None:
    """Adding one to the table is enough: timestamps, columns, Arrow's formats, inferred schemas."""
    ns = UNIT_NS[unit]
    n = 10**18 // ns
    want = [n * ns // MS]
    assert pack_timestamps([n], unit=unit, guard=False).tolist() == want
    assert pack_timestamps(np.array([n, n])[:1], unit=unit, guard=False).tolist() == want
    assert pack_timestamps(np.array([n], f"M8[{unit}]")).tolist() == want
    assert pack_timestamps(np.array([n, 0], f"M8[{unit}]")[::2]).tolist() == want
    assert pack_timestamps([np.datetime64(n, unit)]).tolist() == want
    assert unit in get_args(Unit)
    assert unit in ENDING_OF_NUMPY


def test_arrow_and_avro_have_the_units_that_the_table_gives_them() -> None:
    assert {letter: parameters_of(b"ts" + letter + b":") for letter in ARROW_NS} == {
        letter: ("timestamp", ns, None, None) for letter, ns in ARROW_NS.items()
    }
    for _, ns, letter, ending in UNITS:
        if letter is not None:
            assert AVRO_NS[ENDING_OF_ARROW[letter]] == (ns if ending else MS)


def test_no_other_file_states_these_constants() -> None:
    elsewhere = [
        f"{path}: {found.group()}"
        for path in sources(".pyx", ".pxd", ".py", ".pyi", below="ext/") + sources(".py", ".pyi", below="src/")
        if path.stem != "_units"
        for found in CONSTANTS.finditer((ROOT / path).read_text())
    ]
    assert not elsewhere
