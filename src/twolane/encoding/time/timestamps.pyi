from typing import Any

import numpy as np
from numpy.typing import NDArray

from twolane.encoding.time.times import Missing, Naive, Unit

def pack_timestamp(
    value: Any,
    unit: Unit | None = None,
    *,
    naive: Naive | None = None,
    missing: Missing | None = None,
    guard: bool = True,
) -> int: ...
def pack_timestamps(
    values: Any,
    unit: Unit | None = None,
    *,
    naive: Naive | None = None,
    missing: Missing | None = None,
    guard: bool = True,
    field: str | None = None,
) -> NDArray[np.int64]: ...
def timestamp_column(values: Any, n: int, *, field: str | None = None) -> NDArray[np.int64]: ...
def nanosecond_column(values: Any, n: int, *, field: str | None = None) -> NDArray[np.int64]: ...
def pack_nanoseconds(value: Any) -> int: ...
