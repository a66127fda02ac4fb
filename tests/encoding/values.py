"""One or more values of each kind in `meanings`, and the objects that mean the same in a row."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from tests.encoding import containers

UTC = datetime.UTC
YORK = ZoneInfo("America/New_York")
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@dataclass(frozen=True, eq=False)
class Value:
    """One value: its kind, what it means to the rules, the objects that mean it in rows, the columns that hold it."""

    kind: str
    means: Any
    objects: tuple[Any, ...]
    columns: dict[str, containers.Maker]

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.means!r}"


def integers(value: int) -> list[Any]:
    info = [np.iinfo(name) for name in containers.INTS]
    return [value, *(one.dtype.type(value) for one in info if one.min <= value <= one.max)]


def add_columns(add: Any, value: Any, scalar: Any) -> None:
    """Columns of times without a zone: numpy's, which knows none, and those of what could have said one."""
    columns = containers.naive_columns(value)
    add("datetime64", value, scalar, columns={name: make for name, make in columns.items() if name[:5] == "numpy"})
    add("naive column", value, columns={name: make for name, make in columns.items() if name[:5] != "numpy"})


def made() -> list[Value]:
    found = []

    def add(kind: str, means: Any, *objects: Any, columns: dict[str, containers.Maker] | None = None) -> None:
        if columns is None:
            find = containers.COLUMNS.get(type(means))
            columns = find(means) if find is not None else {}
        found.append(Value(kind, means, objects, columns))

    for flag in (True, False):
        add("bool", flag, flag, np.bool_(flag))
    for whole in (5, -5, 200, -40_000, 1_700_000_000_000, 2**31, -(2**40)):
        add("int", whole, *integers(whole))
    for whole in (2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30):
        add("int", whole, *integers(whole))
    for number in (1.5, 0.1, -0.0, 2.0, 1e300, 5e-324, 1.7e9, float("inf"), float("-inf")):
        add("float", number, number, np.float64(number))
    for single in (np.float32(0.1), np.float32(3e38), np.float16(0.1)):
        add("float", single, single)
    nan = float("nan")
    # What pandas makes of it: nothing, in its own nullable types and Arrow's; in float64 it is both (see `harness`).
    plain = {name: make for name, make in containers.float_columns(nan).items() if not name.startswith("pandas")}
    add("NaN", nan, nan, np.float64(nan), np.float32(nan), columns=plain)
    for text in ("A", "ä€😀", "", "a\0b", "end\0", "\ud800x", str(ID)):
        add("str", text, text, np.str_(text))
    for data in (b"ab", b"\xff\xfe", b"", ID.bytes, b"twelve bytes"):
        add("bytes", data, data, bytearray(data), memoryview(data))
        add("byte column", data, columns=containers.byte_columns(data))
    for digits in ("1.25", "-7.10", "-1.2", "0", "0.00", "1.234", "12345678.90", "1E+3", "NaN"):
        plain = Decimal(digits)
        add("Decimal", plain, plain, columns={} if digits in ("NaN", "1E+3") else None)
    add("UUID", ID, ID)
    for day in ("2026-07-01", "1969-12-31", "0001-01-01", "9999-12-31"):
        date = datetime.date.fromisoformat(day)
        add("date", date, date, np.datetime64(day, "D"))
    for clock in ("01:02:03.456789", "00:00:00", "23:59:59.999000"):
        time = datetime.time.fromisoformat(clock)
        add("time", time, time)
    for text in ("2026-07-01T22:00:00", "2026-07-01T22:00:00.123456", "1969-12-31T23:59:59.999999", "0001-01-01"):
        value = datetime.datetime.fromisoformat(text)
        add("naive datetime", value, value, pd.Timestamp(value), columns={})
        add_columns(add, value, np.datetime64(value, "us"))
    fine = pd.Timestamp("2026-07-01T22:00:00.123456789")
    add("naive datetime", fine, fine, columns={})
    add_columns(add, fine, fine.to_datetime64())
    half_past = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    for value in (
        datetime.datetime(2026, 7, 1, 22, tzinfo=YORK),
        datetime.datetime(2026, 12, 31, 22, 0, 0, 123456, tzinfo=YORK),
        datetime.datetime(2026, 11, 1, 1, 30, tzinfo=YORK, fold=1),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime.datetime(2026, 7, 1, 2, 0, tzinfo=half_past),
    ):
        add("zoned datetime", value, value, pd.Timestamp(value), columns=containers.zoned_columns(value))
    fine = fine.tz_localize(YORK)
    add("zoned datetime", fine, fine, columns=containers.zoned_columns(fine))
    for span in (datetime.timedelta(1, 3661, 1999), datetime.timedelta(0), datetime.timedelta(-1, 5)):
        add("timedelta", span, span, pd.Timedelta(span), np.timedelta64(span))
    fine = pd.Timedelta(86_400_000_001_001, "ns")
    add("timedelta", fine, fine, fine.to_timedelta64(), columns=containers.delta_columns(fine))
    nothing = (None, pd.NaT, pd.NA, np.datetime64("NaT"), np.timedelta64("NaT"), np.ma.masked)
    add("missing", None, *nothing, columns={})
    for items in ([1, 2], []):
        add("list", items, items, tuple(items), np.array(items, "i8"))
    add("dict", {"x": 1}, {"x": 1})
    add("Enum member", 1, containers.Plain.A, columns={})
    add("Enum member", "A", containers.Coded.FIRST, columns={})
    add("StrEnum member", "A", containers.Text.A, containers.Mixed.FIRST, columns={})
    add("IntEnum member", 5, containers.Number.A, columns={})
    month = pd.Period("2026-07", "M")
    add("Period", month, month, columns={"pandas period": pd.Series, "pandas PeriodIndex": pd.PeriodIndex})
    return found


VALUES = made()
