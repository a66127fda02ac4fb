"""Values that few expect, and every container that can hold them: what calls are given that must not break them."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Colour(enum.Enum):
    RED = 1


class NoRepr:
    def __repr__(self) -> str:
        raise ValueError("no repr")


def _circle(made: Any) -> Any:
    if isinstance(made, list):
        made.append(made)
    else:
        made["a"] = made
    return made


def _deep(levels: int = 3_000) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def _released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


VALUES: dict[str, Any] = {
    "2**64": 2**64,
    "-2**65": -(2**65),
    "2**5000": 2**5000,
    "inf": float("inf"),
    "nan": float("nan"),
    "complex": 1j,
    "numpy complex": np.complex128(1j),
    "object": object(),
    "type": int,
    "function": len,
    "list in itself": _circle([]),
    "dict in itself": _circle({}),
    "deep list": _deep(),
    "no UTF-8": b"\xff\xfe",
    "surrogate": "\ud800",
    "last datetime": dt.datetime.max,  # noqa: DTZ901 - that it has no zone is the point
    "first datetime": dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
    "NaT": np.datetime64("NaT"),
    "NaT of durations": np.timedelta64("NaT"),
    "pandas NaT": pd.NaT,
    "pandas NA": pd.NA,
    "signaling NaN": decimal.Decimal("sNaN"),
    "large decimal": decimal.Decimal("1e999999"),
    "fraction": fractions.Fraction(1, 3),
    "void": np.void(b"abc"),
    "longdouble": np.longdouble(1) / 3,
    "range": range(3),
    "set": {1},
    "released memoryview": _released(),
    "uuid": uuid.UUID(int=1),
    "enum": Colour.RED,
    "no repr": NoRepr(),
    "array": array.array("i", [1]),
    "two dimensions": np.zeros((2, 2)),
    "no dimension": np.array(3),
    "objects": np.array([1j], object),
    "last Timestamp": pd.Timestamp.max,
    "period": pd.Period("2020"),
    "interval": pd.Interval(0, 1),
    "half": np.float16(1.5),
    "ellipsis": ...,
    "NotImplemented": NotImplemented,
    "Arrow scalar": pa.scalar(1),
    "series": pl.Series([1]),
    "text": "x",
    "int": 1,
    "bool": True,
    "None": None,
    "time": dt.time(1, tzinfo=dt.UTC),
    "longest timedelta": dt.timedelta.max,
    "year 10**9": np.datetime64(10**9, "Y"),
    "attosecond": np.datetime64(1, "as"),
    "complex as a key": {1j: 1},
    "nested object": {"a": {"b": object()}},
    "tuple": (1, 2, 3),
    "counter": collections.Counter("a"),
}
# What other libraries die of, or panic at, before any of ours sees it.
_ENDLESS = {"list in itself", "dict in itself", "deep list"}
_PANICS = {"signaling NaN", "large decimal", "no repr"}


def objects(value: Any, n: int = 2) -> Any:
    made = np.empty(n, object)
    for i in range(n):
        made[i] = value
    return made


PLAIN: dict[str, Callable[[Any], Any]] = {
    "itself": lambda v: v,
    "list": lambda v: [v, v],
    "tuple": lambda v: (v, v),
    "generator": lambda v: (v for _ in range(2)),
    "dict": lambda v: {"a": v},
    "dict of lists": lambda v: {"a": [v, v]},
    "list of dicts": lambda v: [{"a": v}, {"a": v}],
    "pairs": lambda v: [("a", v)],
    "key of a dict": lambda v: {v: b"x"},
    "key of pairs": lambda v: [(v, b"x")],
    "array of objects": objects,
    "dict of objects": lambda v: {"a": objects(v)},
    "array": lambda v: np.array([v, v]),
    "dict of arrays": lambda v: {"a": np.array([v, v])},
    "array of two dimensions": lambda v: np.array([[v, v], [v, v]]),
    "dict of two dimensions": lambda v: {"a": np.array([[v], [v]])},
    "array without a dimension": lambda v: np.array(v),
}
OTHERS: dict[str, Callable[[Any], Any]] = {
    "pandas series": lambda v: pd.Series([v, v], name="a"),
    "pandas frame": lambda v: pd.DataFrame({"a": [v, v]}),
    "pandas frame of objects": lambda v: pd.DataFrame({"a": pd.Series([v, v], dtype=object)}),
    "Arrow array": lambda v: pa.array([v, v]),
    "Arrow table": lambda v: pa.table({"a": pa.array([v, v])}),
    "polars series": lambda v: pl.Series("a", [v, v]),
    "polars frame": lambda v: pl.DataFrame({"a": [v, v]}),
    "polars objects": lambda v: pl.DataFrame({"a": pl.Series([v, v], dtype=pl.Object)}),
}


def held() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give what each value is in each container that takes it: its name, and what makes it anew."""
    for name, value in VALUES.items():
        for kind, make in {**PLAIN, **OTHERS}.items():
            if kind in OTHERS and (name in _ENDLESS or (name in _PANICS and "polars" in kind)):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    make(value)
                except Exception:  # noqa: BLE001 - whatever it is: the container does not hold such values
                    continue
            yield f"{name} in {kind}", lambda make=make, value=value: make(value)  # type: ignore[misc]
