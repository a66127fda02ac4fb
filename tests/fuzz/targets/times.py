"""Times of records against Python's ints: `pack_timestamps` and `pack_timestamp` in every unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tests.fuzz.draw import EPOCH, Draw
from twolane import TimestampError, pack_timestamps
from twolane.encoding.time.timestamps import pack_timestamp

PER_MS = {"ns": 10**6, "us": 10**3, "ms": 1}
MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "D": 86_400_000, "W": 7 * 86_400_000}


def in_ms(ticks: int, unit: str) -> int | None:
    """Return a time's milliseconds, rounded down; None where Kafka has no such time."""
    ms = ticks * MS[unit] if unit in MS else ticks // PER_MS[unit]
    return ms if 0 < ms < 2**63 else None


def run(data: bytes) -> None:
    draw = Draw(data)
    unit = draw.choice([*PER_MS, *MS])
    how = draw.below(6)
    n = 1 + draw.below(4)
    if how == 5:
        values = [draw.anything() for _ in range(n)]
        for call in (pack_timestamps, lambda held, **rest: [pack_timestamp(one, **rest) for one in held]):
            try:
                made = call(values, unit=draw.choice([None, unit]), naive=draw.choice([None, "utc"]), missing="now")
            except TimestampError:
                continue
            assert all(-1 <= one < 2**63 for one in np.asarray(made).tolist())
        return
    ticks = [draw.within(-(2**62), 2**62) if draw.one_in(4) else draw.take(6) for _ in range(n)]
    wanted = [in_ms(tick, unit) for tick in ticks]
    given: Any = ticks
    if how == 1:
        given = np.array(ticks)
    elif how == 2:
        given = np.array(ticks, f"M8[{unit}]")
    elif how == 3 and unit in ("s", "ms", "us", "ns"):
        given = pa.array(ticks, pa.timestamp(unit, "UTC"))
    elif how == 4:
        unit = "us"
        given = [draw.instant() for _ in range(n)]
        wanted = [in_ms((one - EPOCH) // EPOCH.resolution, "us") for one in given]
    plain = given is ticks or (how == 1)
    try:
        made = pack_timestamps(given, unit if plain else None, naive="utc", guard=False)
    except TimestampError as error:
        assert None in wanted, f"refused: {given!r} in {unit}"
        assert error.index is None or wanted[error.index] is None, f"{given!r} in {unit}: {error}"
        return
    assert made.tolist() == wanted, f"{given!r} in {unit} became {made!r}"
