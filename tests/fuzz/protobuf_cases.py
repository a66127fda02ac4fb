"""Protobuf messages made from a number, with columns whose values an input draws."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, NamedTuple

from tests.encoding.protobuf.generated import Columns, Schema
from tests.fuzz.draw import Draw
from twolane import Protobuf


class Case(NamedTuple):
    """A message class, how its fields are held, our serializer, and what its values are drawn from."""

    kind: Any
    columns: Columns
    protobuf: Protobuf
    draw: Draw


@cache
def case(number: int) -> Case:
    """Return a message with at least one field."""
    rng = random.Random(number)
    while True:
        kind = Schema(rng).kind
        # The shapes keep what they were made with: bytes enough for making them, later an input's.
        draw = Draw(rng.randbytes(1 << 16))
        columns = Columns(draw, kind.DESCRIPTOR)
        if columns.fields:
            return Case(kind, columns, Protobuf(kind), draw)
