"""What pandas' frames and series hold, and what they export to Arrow: asked once in a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from twolane._units import UNIT_NS
from twolane.errors import SerializationError


def is_frame(values: Any) -> bool:
    """Return whether it is a pandas frame, or one like it."""
    return hasattr(values, "iloc") and hasattr(values, "columns")


def columns_of(frame: Any) -> Iterator[tuple[str, Any]]:
    """Return label and series of each column: labels that are no text as their text, and not the index."""
    for label, series in frame.items():
        yield str(label), series


def levels_of(frame: Any) -> Iterator[tuple[str, Any]]:
    """Return the index's levels that have a name no column has."""
    index = frame.index
    labels = {str(label) for label in frame.columns}
    for level, label in enumerate(index.names):
        if label is not None and str(label) not in labels:
            yield str(label), index.get_level_values(level)


def array_of(values: Any, dtype: Any) -> tuple[Any, Any, bool] | None:
    """Return the numpy array behind a pandas series, array or index, the zone of its times, and whether NaN is missing.

    None where it has a dtype of pandas' own, which is Arrow's affair.
    """
    if isinstance(dtype, np.dtype):
        return values.to_numpy(), None, dtype.kind in "fO"
    zone, unit = getattr(dtype, "tz", None), getattr(dtype, "unit", None)
    if zone is not None and unit in UNIT_NS:
        return values.to_numpy(dtype=f"M8[{unit}]"), zone, False
    return None


def arrow_export_of(values: Any, name: str) -> Any:
    """Return what an object exports to Arrow: a capsule of a stream, or a tuple of two of an array.

    None if it offers neither protocol, and an array where pandas cannot do it: it reaches Arrow through pyarrow, which
    may be missing, or know no type.

    Raises
    ------
    SerializationError
        If the object's own code failed.
    """
    try:
        exporter = getattr(values, "__arrow_c_stream__", None)
        if exporter is not None:
            return exporter()
        exporter = getattr(values, "__arrow_c_array__", None)
        return None if exporter is None else tuple(exporter())
    except MemoryError:
        raise
    except Exception as error:
        if hasattr(values, "to_numpy") and hasattr(values, "__len__") and not hasattr(values, "columns"):
            return values.to_numpy()
        raise SerializationError(
            f"expected columns, but what exports them failed: {error!r}", field=name or None
        ) from error
