"""pack_timestamps against numpy and the Python loop: ``python -m bench.encoding.bench_timestamps``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bench.encoding._cases import run
from twolane import pack_timestamps

SIZES = {"1e4": 10_000, "1e6": 1_000_000}
N = 10_000


def array(n: int) -> Any:
    return (1_700_000_000_000_000_000 + np.arange(n) * 1_000_003).astype("M8[ns]")


def datetimes() -> list[datetime]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [start + timedelta(milliseconds=7 * i) for i in range(N)]


def numpy_case(n: int) -> Any:
    values = array(n)
    return lambda: values.astype("M8[ms]")


def ours(n: int) -> Any:
    values = array(n)
    assert (pack_timestamps(values) == values.astype("M8[ms]").astype(np.int64)).all()
    return lambda: pack_timestamps(values)


def loop() -> Any:
    values = datetimes()
    return lambda: [int(value.timestamp() * 1000) for value in values]


def ours_of_datetimes() -> Any:
    values = datetimes()
    assert pack_timestamps(values).tolist() == [round(value.timestamp() * 1000) for value in values]
    return lambda: pack_timestamps(values)


CASES = {
    **{f"datetime64ns_{name}_numpy_astype": lambda n=n: numpy_case(n) for name, n in SIZES.items()},
    **{f"datetime64ns_{name}_pack": lambda n=n: ours(n) for name, n in SIZES.items()},
    "datetimes_python_loop": loop,
    "datetimes_pack": ours_of_datetimes,
}

if __name__ == "__main__":
    run(CASES, {name: SIZES.get(name.split("_")[1], N) for name in CASES})
