from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["s", "ms", "us", "ns", "m", "h", "D", "W"]
Naive = Literal["utc", "local"]

def pack_timestamp(value: Any, unit: Unit | None = None, *, naive: Naive | None = None, guard: bool = True) -> int: ...
def pack_timestamps(
    values: Any,
    unit: Unit | None = None,
    *,
    naive: Naive | None = None,
    guard: bool = True,
    field: str | None = None,
) -> NDArray[np.int64]: ...
def timestamp_column(
    values: Any,
    n: int,
    unit: Unit | None = None,
    *,
    naive: Naive | None = None,
    guard: bool = True,
    field: str | None = None,
) -> NDArray[np.int64]: ...
def nanosecond_column(
    values: Any,
    n: int,
    unit: Unit | None = None,
    *,
    naive: Naive | None = None,
    guard: bool = True,
    field: str | None = None,
) -> NDArray[np.int64]: ...
def pack_nanoseconds(value: Any) -> int: ...
