"""Every container that can hold a value: columns of numpy, pandas, polars and Arrow, rows, and nested ones."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import sqlite3
import types
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic

# ---- columns: a name, and what makes a column of Python values (None: a missing one) -------------

Maker = Callable[[list[Any]], Any]


def of_numpy(dtype: Any) -> Maker:
    def make(values: list[Any]) -> Any:
        if np.dtype(dtype).kind in "mM":  # numpy drops the nanoseconds of pandas' types
            values = [v.to_numpy() if hasattr(v, "to_numpy") else v for v in values]
        if any(value is None for value in values):
            if np.dtype(dtype).kind in "mM":
                return np.array([np.dtype(dtype).type("NaT") if v is None else v for v in values], dtype)
            spare = next(value for value in values if value is not None)
            return np.ma.array([spare if v is None else v for v in values], dtype, mask=[v is None for v in values])
        return np.array(values, dtype)

    return make


def of_pandas(dtype: Any) -> Maker:
    return lambda values: pd.Series(values, dtype=dtype)


def of_polars(dtype: Any) -> Maker:
    return lambda values: pl.Series("f", values, dtype)


def polars_times(dtype: str) -> Maker:
    """Through numpy: of pandas' types polars would drop the nanoseconds."""
    return lambda values: pl.Series("f", of_numpy(dtype)(values))


def of_arrow(type_: Any) -> Maker:
    return lambda values: pa.array(values, type_)


def of_arrows_dictionary(type_: Any) -> Maker:
    return lambda values: pa.array(values, type_).dictionary_encode()


def of_arrows_runs(type_: Any) -> Maker:
    return lambda values: pa.RunEndEncodedArray.from_arrays(list(range(1, len(values) + 1)), pa.array(values, type_))


def extension(type_: Any, storage: Callable[[Any], Any]) -> Maker:
    def make(values: list[Any]) -> Any:
        stored = pa.array([None if v is None else storage(v) for v in values], type_.storage_type)
        return pa.ExtensionArray.from_storage(type_, stored)

    return make


def arrows(name: str, type_: Any, *, dictionary: bool = True) -> dict[str, Maker]:
    made = {f"arrow {name}": of_arrow(type_), f"arrow runs of {name}": of_arrows_runs(type_)}
    if dictionary:
        made[f"arrow dictionary of {name}"] = of_arrows_dictionary(type_)
    made[f"pandas {name}[pyarrow]"] = of_pandas(pd.ArrowDtype(type_))
    return made


INTS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def integer_columns(value: int) -> dict[str, Maker]:
    made: dict[str, Maker] = {}
    for name in INTS:
        info = np.iinfo(name)
        if not info.min <= value <= info.max:
            continue
        made[f"numpy {name}"] = of_numpy(name)
        made[f"numpy {name}, bytes swapped"] = of_numpy(np.dtype(name).newbyteorder())
        made |= arrows(name, getattr(pa, name)())
        made[f"pandas {name}"] = of_pandas(name)
        title = name.replace("ui", "UI").replace("int", "Int") if name[0] == "u" else name.title()
        made[f"pandas {title}"] = of_pandas(title)
        made[f"polars {title}"] = of_polars(getattr(pl, title))
    if -(2**63) <= value < 2**63:
        made["pandas category of ints"] = of_pandas("category")
    if -(2**127) <= value < 2**127:
        made["polars Int128"] = of_polars(pl.Int128)
    return made


def float_columns(value: Any) -> dict[str, Maker]:
    width = {np.float16: 16, np.float32: 32}.get(type(value), 64)
    name = f"float{width}"
    made = {f"numpy {name}": of_numpy(name), f"numpy {name}, bytes swapped": of_numpy(np.dtype(name).newbyteorder())}
    made |= arrows(name, getattr(pa, name)(), dictionary=width > 16)
    if width > 16:
        made |= {f"pandas {name}": of_pandas(name), f"polars Float{width}": of_polars(getattr(pl, f"Float{width}"))}
        made[f"pandas Float{width}"] = of_pandas(f"Float{width}")
    return made


def text_columns(value: str) -> dict[str, Maker]:
    made: dict[str, Maker] = {}
    if not value.endswith("\0"):
        made["numpy str"] = lambda values: np.array(values, "U") if None not in values else np.array(values, object)
    try:
        value.encode()
    except UnicodeEncodeError:
        return made
    made |= arrows("string", pa.string())
    made |= {"arrow large string": of_arrow(pa.large_string()), "arrow string view": of_arrow(pa.string_view())}
    made |= {
        "pandas str": of_pandas("str"),
        "pandas string": of_pandas("string"),
        "pandas category": of_pandas("category"),
    }
    made |= {"polars String": of_polars(pl.String), "polars Categorical": of_polars(pl.Categorical)}
    made["polars Enum"] = lambda values: pl.Series("f", values, pl.Enum(sorted({v for v in values if v is not None})))
    return made


def byte_columns(value: bytes) -> dict[str, Maker]:
    made = arrows("binary", pa.binary())
    made |= {"arrow large binary": of_arrow(pa.large_binary()), "arrow binary view": of_arrow(pa.binary_view())}
    made |= {"polars Binary": of_polars(pl.Binary)}
    if value:
        made["arrow fixed-size binary"] = of_arrow(pa.binary(len(value)))
    return made


def decimal_columns(value: Decimal) -> dict[str, Maker]:
    scale = max(0, -value.as_tuple().exponent)
    made = arrows("decimal128", pa.decimal128(20, scale))
    made |= {"arrow decimal256": of_arrow(pa.decimal256(40, scale)), "polars Decimal": of_polars(pl.Decimal(20, scale))}
    made["arrow decimal64"] = of_arrow(pa.decimal64(18, scale))
    return made


def uuid_columns(value: uuid.UUID) -> dict[str, Maker]:
    make = extension(pa.uuid(), lambda one: one.bytes)
    return {
        "arrow uuid": make,
        "pandas uuid[pyarrow]": lambda values: pd.Series(make(values), dtype=pd.ArrowDtype(pa.uuid())),
    }


def date_columns(value: datetime.date) -> dict[str, Maker]:
    made = arrows("date32", pa.date32()) | {"arrow date64": of_arrow(pa.date64()), "numpy M8[D]": of_numpy("M8[D]")}
    return made | {"polars Date": of_polars(pl.Date)}


def time_columns(value: datetime.time) -> dict[str, Maker]:
    made = arrows("time64[us]", pa.time64("us")) | {"arrow time64[ns]": of_arrow(pa.time64("ns"))}
    if value.microsecond % 1000 == 0:
        made["arrow time32[ms]"] = of_arrow(pa.time32("ms"))
    return made | {"polars Time": of_polars(pl.Time)}


def units_of(nanoseconds: int) -> list[str]:
    """The units of pandas and Arrow that hold a time with this part of a second."""
    return [unit for unit, ns in {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}.items() if nanoseconds % ns == 0]


def nanoseconds_in(value: Any) -> int:
    if isinstance(value, datetime.timedelta):
        return value.microseconds * 1000 + getattr(value, "nanoseconds", 0)
    return value.microsecond * 1000 + getattr(value, "nanosecond", 0)


def naive_columns(value: datetime.datetime) -> dict[str, Maker]:
    made: dict[str, Maker] = {}
    for unit in units_of(nanoseconds_in(value)):
        if unit == "ns" and not 1678 <= value.year <= 2261:
            continue
        made[f"numpy M8[{unit}]"] = of_numpy(f"M8[{unit}]")
        made[f"numpy M8[{unit}], bytes swapped"] = of_numpy(np.dtype(f"M8[{unit}]").newbyteorder())
        made |= arrows(f"timestamp[{unit}]", pa.timestamp(unit))
        made[f"pandas M8[{unit}]"] = of_pandas(f"M8[{unit}]")
        if unit != "s":
            made[f"polars Datetime[{unit}]"] = polars_times(f"M8[{unit}]")
    return made


def zoned_columns(value: datetime.datetime) -> dict[str, Maker]:
    zone = str(value.tzinfo)
    arrow_zone = zone if "/" in zone else "UTC" if zone == "UTC" else zone.removeprefix("UTC")
    made: dict[str, Maker] = {}
    for unit in units_of(nanoseconds_in(value)):
        made |= arrows(f"timestamp[{unit}, {zone}]", pa.timestamp(unit, arrow_zone))
        made[f"pandas M8[{unit}, {zone}]"] = of_pandas(pd.DatetimeTZDtype(unit, value.tzinfo))
        if unit != "s" and ("/" in zone or zone == "UTC"):
            made[f"polars Datetime[{unit}, {zone}]"] = zoned_polars(unit, zone)
    return made


def zoned_polars(unit: str, zone: str) -> Maker:
    def make(values: list[Any]) -> Any:
        plain = [None if v is None else v.astimezone(datetime.UTC).replace(tzinfo=None) for v in values]
        series = polars_times(f"M8[{unit}]")(plain)
        return series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)

    return make


def delta_columns(value: datetime.timedelta) -> dict[str, Maker]:
    made: dict[str, Maker] = {}
    for unit in units_of(nanoseconds_in(value)):
        made[f"numpy m8[{unit}]"] = of_numpy(f"m8[{unit}]")
        made |= arrows(f"duration[{unit}]", pa.duration(unit))
        made[f"pandas m8[{unit}]"] = of_pandas(f"m8[{unit}]")
        if unit != "s":
            made[f"polars Duration[{unit}]"] = polars_times(f"m8[{unit}]")
    return made


def bool_columns(value: bool) -> dict[str, Maker]:
    made = arrows("bool", pa.bool_()) | {"numpy bool": of_numpy(bool), "polars Boolean": of_polars(pl.Boolean)}
    made |= {"pandas bool": of_pandas(bool), "pandas boolean": of_pandas("boolean")}
    return made | {"arrow bool8": extension(pa.bool8(), int)}


def list_columns(value: list[int]) -> dict[str, Maker]:
    made = {"arrow list": of_arrow(pa.list_(pa.int64())), "arrow large list": of_arrow(pa.large_list(pa.int32()))}
    made |= {"arrow list view": of_arrow(pa.list_view(pa.int64())), "polars List": of_polars(pl.List(pl.Int64))}
    if value:
        n = len(value)
        made |= {
            "arrow fixed-size list": of_arrow(pa.list_(pa.int16(), n)),
            "polars Array": of_polars(pl.Array(pl.Int64, n)),
        }
        made["numpy, two dimensions"] = lambda values: np.array(values, object if None in values else "i4")
    return made


def dict_columns(value: dict[str, Any]) -> dict[str, Maker]:
    fields = [("x", pa.int64())]
    made = {"arrow struct": of_arrow(pa.struct(fields)), "polars Struct": of_polars(pl.Struct({"x": pl.Int64}))}
    made["numpy record"] = lambda values: (
        np.array([(v["x"],) for v in values], [("x", "i8")]) if None not in values else np.array(values, object)
    )
    return made | {
        "arrow map": lambda values: pa.array([v and list(v.items()) for v in values], pa.map_(pa.string(), pa.int64()))
    }


# ---- what holds one field of several rows --------------------------------------------------------


def of_objects(values: list[Any]) -> Any:
    """An array of objects, which numpy would take apart if they are lists."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def tables(column: Any) -> Iterator[tuple[str, Any]]:
    """The column as the field `f` of everything that has columns."""
    yield "in a dict", {"f": column}
    if isinstance(column, np.ndarray):
        if not isinstance(column, np.ma.MaskedArray) and column.ndim == 1:
            table = np.empty(len(column), [("g", "i4"), ("f", column.dtype)])
            table["f"] = column
            yield "in a structured array", table[["f"]]
            yield "with strides", {"f": np.repeat(column, 2)[::2]}
    elif isinstance(column, pd.Series):
        frame = pd.DataFrame({"f": column})
        yield "in a frame", frame
        yield "in a filtered frame", pd.concat([frame, frame])[[True, True, False, False]].set_index(pd.Index([7, 3]))
    elif isinstance(column, pl.Series):
        yield "in a polars frame", pl.DataFrame({"f": column})
    elif isinstance(column, pa.Array):
        yield "in a table", pa.table({"f": column})
        yield "in chunks", {"f": pa.chunked_array([column[:1], column[1:]])}
        yield "in a batch", pa.RecordBatch.from_arrays([column], ["f"])


def rows_of(table: Any) -> Iterator[tuple[str, list[Any]]]:
    """The rows that a frame gives when it is asked for rows."""
    if isinstance(table, pd.DataFrame):
        yield "itertuples", list(table.itertuples(index=False))
        yield "records", table.to_dict("records")
    elif isinstance(table, pl.DataFrame):
        yield "polars rows", table.rows(named=True)
    elif isinstance(table, pa.Table):
        yield "pylist", table.to_pylist()


def nested_columns(column: Any) -> Iterator[tuple[str, str, Any]]:
    """Columns whose values hold those of an Arrow or polars column: (shape, name, column)."""
    if isinstance(column, pa.Array):
        n = len(column)
        yield "array", "arrow list of", pa.ListArray.from_arrays(pa.array(range(n + 1), pa.int32()), column)
        yield "array", "arrow fixed list of", pa.FixedSizeListArray.from_arrays(column, 1)
        keys = pa.array(["k"] * n)
        yield "map", "arrow map of", pa.MapArray.from_arrays(pa.array(range(n + 1), pa.int32()), keys, column)
        yield "record", "arrow struct of", pa.StructArray.from_arrays([column], ["r"])
    elif isinstance(column, pl.Series):
        if not isinstance(column.dtype, (pl.List, pl.Array)):  # those it would make one of
            yield "array", "polars list of", pl.DataFrame({"f": column}).select(pl.concat_list("f"))["f"]
        yield "record", "polars struct of", pl.DataFrame({"r": column}).select(f=pl.struct("r"))["f"]


Named = collections.namedtuple("Named", "f")


@dataclasses.dataclass
class Data:
    f: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    f: Any


@attrs.define
class Attrs:
    f: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    f: Any


class Keyed(collections.abc.Mapping):
    """A mapping that is no dict, as the rows of SQLAlchemy's `mappings()` are."""

    def __init__(self, f: Any) -> None:
        self._held = {"f": f}

    def __getitem__(self, key: str) -> Any:
        return self._held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return 1


ROWS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda value: {"f": value},
    "OrderedDict": lambda value: collections.OrderedDict(f=value),
    "mapping": Keyed,
    "mapping proxy": lambda value: types.MappingProxyType({"f": value}),
    "tuple": lambda value: (value,),
    "named tuple": Named,
    "dataclass": Data,
    "dataclass with slots": Slotted,
    "attrs": Attrs,
    "pydantic": lambda value: Model.model_construct(f=value),
    "namespace": lambda value: types.SimpleNamespace(f=value),
}


def sqlite_row(value: Any) -> sqlite3.Row:
    with sqlite3.connect(":memory:") as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("select ? as f", [value]).fetchone()
    connection.close()
    return row


class Plain(enum.Enum):
    """Members whose name is a symbol, their value none."""

    A = 1


class Coded(enum.Enum):
    """Members whose value is a symbol, their name none."""

    FIRST = "A"


class Text(enum.StrEnum):
    A = "A"


class Mixed(str, enum.Enum):  # noqa: UP042
    FIRST = "A"


class Number(enum.IntEnum):
    A = 5


COLUMNS: dict[type, Callable[[Any], dict[str, Maker]]] = {
    bool: bool_columns,
    int: integer_columns,
    float: float_columns,
    np.float32: float_columns,
    np.float16: float_columns,
    str: text_columns,
    decimal.Decimal: decimal_columns,
    uuid.UUID: uuid_columns,
    datetime.date: date_columns,
    datetime.time: time_columns,
    datetime.timedelta: delta_columns,
    pd.Timedelta: delta_columns,
    list: list_columns,
    dict: dict_columns,
}
