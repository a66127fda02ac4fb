"""Every cell of `meanings` through every container: what comes out, and where it is not what the table says."""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from tests.encoding import containers, meanings
from tests.encoding.meanings import CELLS, RefusedRows
from tests.encoding.values import VALUES, Value
from twolane import Avro, Bytes, Json, SerializationError, Struct, TimestampError
from twolane.common.arguments import BatchArguments, Limits, prepare

UNABLE = (TypeError, ValueError, OverflowError, pa.ArrowInvalid, pa.ArrowNotImplementedError, pl.exceptions.PolarsError)
NAN = next(one for one in VALUES if one.kind == "NaN")
SHAPES = ("field", "nullable", "array", "map", "record", "alone")


@dataclass(frozen=True)
class Target:
    """A type, in one of the places where it may be."""

    family: str
    name: str
    shape: str
    heading: str
    type_: Any

    @property
    def schema(self) -> Any:
        """Avro's, of the field, or of the whole for `alone`."""
        inner = self.type_
        if self.shape == "nullable":
            return ["null", inner]
        if self.shape in ("array", "map"):
            return {"type": self.shape, "items" if self.shape == "array" else "values": inner}
        if self.shape == "record":
            return {"type": "record", "name": "Inner", "fields": [{"name": "r", "type": inner}]}
        return inner

    def dress(self, value: Any) -> Any:
        """The value as it is in the field."""
        return {"array": [value], "map": {"k": value}, "record": {"r": value}}.get(self.shape, value)

    def want(self, value: Value) -> bytes | None:
        """The bytes of a record with the value; None where it is refused."""
        try:
            return self._want(CELLS.get((value.kind, self.heading), "-"), value)
        except RefusedRows:
            return None

    def _want(self, rule: str, value: Value) -> bytes:
        if self.family == "union":
            number, type_, made = meanings.as_branch(self.name, value.kind, value.means)
            return bytes([2 * number]) + meanings.avro_bytes(type_, made)
        if self.family == "record":
            return meanings.of_record(rule, value.means)
        if self.family == "struct":
            return meanings.as_struct(rule, value.means, self.name)
        if self.family == "json":
            made = self.dress(meanings.as_json(rule, value.means, self.type_))
            return meanings.json_bytes(made if self.shape == "alone" else {"f": made})
        if self.shape == "nullable" and rule == "-" and value.kind in ("missing", "NaN"):
            return b"\0"
        made = meanings.as_avro(rule, value.means, self.type_)
        if self.shape == "nullable":
            return b"\2" + meanings.avro_bytes(self.type_, made)
        return meanings.avro_bytes(self.schema, self.dress(made))

    def __str__(self) -> str:
        return f"{self.family} {self.name}, {self.shape}"


@cache
def serializer(target_key: tuple[str, str, str]) -> Any:
    target = TARGETS[target_key]
    if target.family == "struct":
        return Struct(np.dtype([("f", target.type_)]))
    if target.family == "json":
        return Json(**target.type_)
    if target.shape == "alone":
        return Avro(target.schema)
    return Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": target.schema}]})


def targets() -> Iterator[Target]:
    for name, (heading, type_) in meanings.AVRO.items():
        for shape in SHAPES:
            if not (name == "null" and shape == "nullable"):
                yield Target("avro", name, shape, heading, type_)
    for name, options in meanings.JSON.items():
        for shape in ("field", "array", "map", "record", "alone"):
            yield Target("json", name, shape, "Json", options)
    for name, (heading, type_) in meanings.STRUCT.items():
        yield Target("struct", name, "field", heading, type_)
    for name, (branches, _) in meanings.UNIONS.items():
        yield Target("union", name, "field", f"union of {name} types", [meanings.AVRO[one][1] for one in branches])
    for name in ("Bytes, key", "header", "timestamp"):
        yield Target("record", name, "alone", name, None)


TARGETS = {(one.family, one.name, one.shape): one for one in targets()}


@dataclass
class CallResult:
    """What one container gave."""

    container: str
    got: Any
    want: Any


@dataclass
class Report:
    """All that was tried, and what came out otherwise."""

    tried: int = 0
    cells: int = 0
    containers: set[str] = field(default_factory=set)
    wrong: list[tuple[Target, Value, CallResult]] = field(default_factory=list)


def attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


# ---- columns -------------------------------------------------------------------------------------


@cache
def column_of(container: str, *values: Value | None) -> Any:
    """A column of these values (None: a missing one); None where the container has no such column."""
    held = [one for one in values if one is not None]
    if None in values and container == "pandas bool":
        return None  # bool(None) is False
    if held[0].kind == "Decimal" and len({one.means.as_tuple().exponent for one in held}) > 1:
        return None  # of one scale, which adds digits to the others
    maker = held[-1].columns[container]
    try:
        return maker([None if one is None else one.means for one in values])
    except UNABLE:
        return None


def filler(container: str, value: Value, others: list[Value]) -> Value | None:
    """Another value that is with this one in a column."""
    able = (one for one in others if container in one.columns and column_of(container, one, value) is not None)
    return next(able, None)


@cache
def tables_of(container: str, *values: Value | None) -> dict[str, list[tuple[str, Any]]]:
    """Shape -> what holds the column as the field `f`, or alone."""
    column = column_of(container, *values)
    found: dict[str, list[tuple[str, Any]]] = collections.defaultdict(list)
    if column is None:
        return found
    found["field"] = [(f"{container} {how}", table) for how, table in containers.tables(column)]
    if not container.endswith(("struct", "Struct", "record")):  # which are tables
        found["alone"] = [(container, column)]
    for shape, name, nested in attempt(lambda: list(containers.nested_columns(column))) or ():
        found[shape].append((f"{name} {container}", {"f": nested}))
    found["nullable"] = found["field"]
    return found


@cache
def row_objects(value: Value) -> list[tuple[str, Any]]:
    """The objects that mean the value, and what the row methods of frames give."""
    return [(type(one).__name__, one) for one in value.objects]


# ---- checks --------------------------------------------------------------------------------------


def is_refusal(got: Any, target: Target, index: int | None, *, column: bool) -> bool:
    """Whether it is an error of the right class that names the row and the field."""
    if type(got) is not SerializationError:
        return False
    if target.shape == "alone" or (got.field or "").startswith("f"):
        return got.index == index or (column and got.index is None)
    return False


def agrees(got: Any, wants: list[bytes | None], target: Target, *, column: bool, missing: bool = False) -> bool:
    if missing and target.shape == "alone":
        return got == [*wants[:-1], None]  # a tombstone, or no key
    bad = next((i for i, want in enumerate(wants) if want is None), None)
    if bad is None:
        return got == wants
    return is_refusal(got, target, bad, column=column)


def check_columns(report: Report, target: Target, value: Value | None, others: list[Value], want: bytes | None) -> None:
    """The value behind another one that the type takes, in every column that holds both; alone where there is none."""
    serial = serializer((target.family, target.name, target.shape))
    pairs: list[tuple[str, tuple[Value | None, ...], list[bytes | None]]] = []
    if value is None:
        for other in others:
            for name in other.columns:
                # In a pandas column of floats NaN is what is missing, and NaN where there is no null.
                is_nan = name.startswith("pandas float") and not name.endswith("]") and target.shape != "nullable"
                if is_nan and target.shape == "alone":
                    continue
                last = target.want(NAN) if is_nan and target.family != "union" else want
                pairs.append((name, (other, None), [target.want(other), last]))
    else:
        for name in value.columns:
            other = filler(name, value, others)
            if other is not None:
                pairs.append((name, (other, value), [target.want(other), want]))
            else:
                pairs.append((name, (value, value), [want, want]))
    for name, values, wants in pairs:
        for container, table in tables_of(name, *values)[target.shape]:
            if target.shape == "alone" and target.name == "record" and "map" in container:
                continue  # a record's schema asks for a table
            report.tried += 1
            report.containers.add(container)
            got = attempt(lambda table=table: list(serial.encode_batch(table)))
            if not agrees(got, wants, target, column=True, missing=value is None):
                report.wrong.append((target, value, CallResult(container, got, wants)))
            if target.shape == "alone":
                got = attempt(lambda column=table: keys(column, key_serializer=serial))
                if not agrees(got, wants, target, column=True, missing=value is None):
                    report.wrong.append((target, value, CallResult(f"{container} as keys", got, wants)))


def check_rows(report: Report, target: Target, value: Value, want: bytes | None) -> None:
    serial = serializer((target.family, target.name, target.shape))
    for name, one in row_objects(value):
        dressed = target.dress(one)
        if target.shape == "alone":
            trials = [(f"{name}, encode", lambda d=dressed: [serial.encode(d)], None, 1)]
            trials += [(f"{name}, list", lambda d=dressed: list(serial.encode_batch([d, d])), 0, 2)]
            trials += [(f"{name}, keys", lambda d=dressed: keys([d, d], key_serializer=serial), 0, 2)]
        else:
            # All kinds of rows with the first object; what the others mean does not depend on the row.
            whole = target.shape == "field" and one is value.objects[0]
            kinds = containers.ROWS if whole else {"dict": containers.ROWS["dict"]}
            if target.family == "json":  # where a tuple is an array, and not every object has a form
                kinds = {kind: make for kind, make in kinds.items() if kind not in ("tuple", "namespace")}
            trials = [
                (f"{name} in {kind}", lambda d=dressed, make=make: [serial.encode(make(d))], None, 1)
                for kind, make in kinds.items()
            ]
            lists = {"list": [dressed] * 2, "tuple": (dressed,) * 2, "objects": containers.of_objects([dressed] * 2)}
            trials += [
                (f"{name} in {kind} as column", lambda c=column: list(serial.encode_batch({"f": c})), 0, 2)
                for kind, column in lists.items()
            ]
            trials += [
                (f"{name} in {kind} rows", lambda d=dressed, make=make: list(serial.encode_batch([make(d)] * 2)), 0, 2)
                for kind, make in kinds.items()
                if kind in ("dict", "dataclass", "named tuple")
            ]
        for container, call, index, n in trials:
            report.tried += 1
            report.containers.add(container)
            got = attempt(call)
            wants = [want] * n
            if target.shape == "alone" and value.kind == "missing":
                good = got == [None] * n  # tombstones, or no keys
            else:
                good = got == wants if want is not None else is_refusal(got, target, index, column=False)
            if not good:
                report.wrong.append((target, value, CallResult(container, got, wants)))


# ---- what is beside a record's value: keys, headers, timestamps ------------------------------


def prepared(**arguments: Any) -> Any:
    topic = types.SimpleNamespace(name="t", partition_count=1, counted_at=float("inf"), max_message_bytes=10**6)
    every = dict.fromkeys(
        ("keys", "headers", "partitions", "timestamps", "timestamp_header", "serializer", "key_serializer")
    )
    fixed = {"max_bytes": 10**6, "partitioner": None}
    topics = types.SimpleNamespace(known=lambda *_: topic, look_for=lambda *_: None)
    given = {**every, "partitions": 0, "on_bad_row": "raise", "opaque": None, **arguments}
    return prepare("t", given.pop("values"), BatchArguments(**given), topics, 0.0, Limits(**fixed))


def keys(keys: Any, **rest: Any) -> list[bytes | None]:
    call = prepared(keys=keys, **{"values": [b"1", b"2"], **rest})
    batch = call.keys.slice(0, 2) if call.keys is not None else [None, None]
    return list(batch) * (2 // len(batch))


def headers(headers: Any, **rest: Any) -> list[bytes | None]:
    entries, columns = prepared(headers=headers, **{"values": [b"1", b"2"], **rest}).headers.slice(0, 2)
    if columns:
        return list(columns[0][1])
    return [dict(entry)[b"h"] for entry in (entries if isinstance(entries, list) else [entries] * 2)]


def times(timestamps: Any, **rest: Any) -> list[int]:
    found = prepared(timestamps=timestamps, **{"values": [b"1", b"2"], **rest}).timestamps
    return [found] * 2 if isinstance(found, int) else found.tolist()


def check_beside(report: Report, target: Target, value: Value, others: list[Value], want: Any) -> None:
    take = {"Bytes, key": keys, "header": headers, "timestamp": times}[target.name]
    dress = (lambda one: {"h": one}) if target.name == "header" else (lambda one: one)
    refusal = TimestampError if target.name == "timestamp" else SerializationError
    field_name = {"Bytes, key": "keys", "header": "headers", "timestamp": "timestamps"}[target.name]
    trials: list[tuple[str, Callable[[], Any], int, list[Any]]] = []
    for name, one in row_objects(value):
        lists = {"list": [one] * 2, "tuple": (one,) * 2, "objects": containers.of_objects([one] * 2)}
        trials += [
            (f"{name} in {kind}", lambda c=column: take(dress(c)), 0, [want] * 2) for kind, column in lists.items()
        ]
        # A str beside the values names a column of them.
        plain = not isinstance(one, (list, tuple, dict, np.ndarray, str)) and one is not None
        if plain or (target.name == "header" and (one is None or isinstance(one, str))):
            trials.append((f"{name}, one for all", lambda one=one: take(dress(one)), 0, [want] * 2))
        named = ["f"] if target.name == "header" else "f"
        if target.name != "header":
            rows = {"values": [{"f": one}] * 2, "serializer": AnyValue()}
            trials.append((f"{name}, column of rows", lambda n=named, r=rows: take(n, **r), 0, [want] * 2))
        else:
            trials.append((f"{name}, headers of each", lambda one=one: take([{"h": one}] * 2), 0, [want] * 2))
        if target.name == "Bytes, key":
            trials.append((f"{name}, Bytes", lambda one=one: list(Bytes().encode_batch([one] * 2)), 0, [want] * 2))
            trials.append((f"{name}, Bytes, one", lambda one=one: [Bytes().encode(one)] * 2, 0, [want] * 2))
    # A column of floats is none of bytes, even if it has nothing but NaN.
    for container in value.columns if value.kind != "NaN" else ():
        other = filler(container, value, others)
        pair = (other, value) if other is not None else (value, value)
        column = column_of(container, *pair)
        if column is None:
            continue
        wants = [target.want(one) for one in pair]
        trials.append((container, lambda c=column: take(dress(c)), wants.index(None) if None in wants else 0, wants))
        if target.name != "header":
            table = {"values": {"f": column, "g": [1, 2]}, "serializer": AnyValue()}
            trials.append((f"column {container}", lambda t=table: take("f", **t), trials[-1][2], wants))
    for container, call, index, wants in trials:
        report.tried += 1
        report.containers.add(container)
        got = attempt(call)
        if want is None and CELLS.get((value.kind, target.heading)) != "none":
            good = type(got) is refusal and (field_name in (got.field or field_name)) and got.index in (index, None)
        else:
            good = got == wants
        if not good:
            report.wrong.append((target, value, CallResult(container, got, wants)))


class AnyValue:
    """A serializer that takes every value, so that what is refused is what is beside it."""

    def bind(self, values: Any) -> Any:
        return Bytes().bind([b""] * len(values))


def check(targets: list[Target]) -> Report:
    report = Report()
    for target in targets:
        wants = {value: target.want(value) for value in VALUES}
        taken: dict[str, list[Value]] = collections.defaultdict(list)
        for value, want in wants.items():
            if want is not None:
                taken[value.kind].append(value)
        for value, want in wants.items():
            report.cells += 1
            others = [one for one in taken[value.kind] if one is not value]
            if target.family == "record":
                check_beside(report, target, value, others, want)
                continue
            if value.kind != "missing":
                check_columns(report, target, value, others, want)
            else:
                firsts = [some[0] for kind, some in taken.items() if some and kind not in ("missing", "NaN")]
                check_columns(report, target, None, firsts, want)
            check_rows(report, target, value, want)
    return report


def run() -> dict[str, Report]:
    """Everything, by the table's columns."""
    headings = dict.fromkeys(target.heading for target in TARGETS.values())
    return {heading: check([one for one in TARGETS.values() if one.heading == heading]) for heading in headings}


if __name__ == "__main__":
    found = run()
    print(
        f"{sum(one.cells for one in found.values()):,} cells of {len(VALUES)} values and {len(TARGETS)} types, "
        f"{len(set().union(*(one.containers for one in found.values()))):,} containers, "
        f"{sum(one.tried for one in found.values()):,} times encoded"
    )
