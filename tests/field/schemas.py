"""Fifty Avro schemas in the shapes of those in production, made for these tests.

What they have that small examples have not: records that contain themselves, names used again, namespaces that are
inherited and overridden, aliases, docs and properties of tools (``connect.name``, ``logicalType`` of no known kind),
defaults of every type, arrays of unions of records, maps of arrays, change events with before and after.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


def record(name: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a record's schema; a field's type, or a dict with ``type`` and more where it has a ``default``."""
    entries = [
        {"name": field, **kind}
        if isinstance(kind, dict) and kind.keys() & {"default", "order"}
        else {"name": field, "type": kind}
        for field, kind in fields.items()
    ]
    return {"type": "record", "name": name, "fields": entries, **more}


def maybe(kind: Any, **more: Any) -> dict[str, Any]:
    """Return a field that may be null, and is by default."""
    return {"type": ["null", kind], "default": None, **more}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def enum(name: str, *symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def fixed(name: str, size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **more}


def logical(kind: str, logical_type: str, /, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical_type, **more}


MILLIS, MICROS, DATE = logical("long", "timestamp-millis"), logical("long", "timestamp-micros"), logical("int", "date")
UUID_TEXT = logical("string", "uuid")
MONEY = logical("bytes", "decimal", precision=18, scale=4)
NOW = datetime(2026, 11, 28, 9, 30, 0, 123000, tzinfo=UTC)
ID = uuid.UUID("6f1c1e1e-6d5c-4f0e-9a5a-0a4a6a1b2c3d")

# ---- change events --------------------------------------------------------------------------------------------------

SOURCE = record(
    "Source",
    {
        "version": "string",
        "connector": "string",
        "ts_ms": "long",
        "snapshot": {
            "type": [{"type": "string", "connect.version": 1, "connect.parameters": {"allowed": "true,false"}}, "null"],
            "default": "false",
        },
        "lsn": maybe("long"),
    },
    namespace="io.connect.postgresql",
)
CUSTOMER = record(
    "Value",
    {
        "id": {"type": {"type": "int", "connect.default": 0}, "default": 0},
        "name": "string",
        "email": maybe("string"),
        "balance": maybe({**MONEY, "connect.name": "org.connect.data.Decimal", "connect.version": 1}),
        "created": {"type": "long", "connect.version": 1, "connect.name": "io.time.MicroTimestamp"},
    },
    **{"connect.name": "shop.public.customers.Value"},
)
ENVELOPE = record(
    "Envelope",
    {
        "before": maybe(CUSTOMER),
        "after": maybe("shop.public.customers.Value"),
        "source": SOURCE,
        "op": "string",
        "ts_ms": maybe("long"),
        "transaction": maybe(
            record("block", {"id": "string", "total_order": "long", "data_collection_order": "long"}, namespace="event")
        ),
    },
    namespace="shop.public.customers",
    **{"connect.name": "shop.public.customers.Envelope", "connect.version": 2},
)
OLD = {"id": 7, "name": "Ada", "email": None, "balance": Decimal("12.5000"), "created": 1_790_000_000_000_000}
EVENT = {
    "before": OLD,
    "after": {**OLD, "email": "ada@example.org"},
    "source": {"version": "3.1", "connector": "postgresql", "ts_ms": 1, "snapshot": "last", "lsn": 33_554_432},
    "op": "u",
    "ts_ms": 1_790_000_000_123,
    "transaction": {"id": "571", "total_order": 1, "data_collection_order": 1},
}
OUTBOX = record(
    "Outbox",
    {
        "id": UUID_TEXT,
        "aggregate_type": "string",
        "aggregate_id": "string",
        "type": "string",
        "payload": {"type": "string", "connect.name": "io.data.Json"},
        "at": MICROS,
    },
    namespace="outbox.event",
)

# ---- trees, lists, graphs -------------------------------------------------------------------------------------------

CATEGORY = record("Category", {"name": "string", "parent": maybe("Category"), "children": array("Category")})
COMMENT = record(
    "Comment",
    {"author": "string", "text": "string", "replies": {"type": array("forum.Comment"), "default": []}},
    namespace="forum",
)
LINKED = record("Node", {"value": "long", "next": ["null", "Node"]}, namespace="list")
EXPRESSION = record(
    "Expr",
    {
        "node": [
            record("Literal", {"value": ["long", "double", "string", "boolean"]}),
            record("Call", {"function": "string", "arguments": array("Expr")}),
            record("Reference", {"path": array("string")}),
        ]
    },
    namespace="query",
)
MENU = record("Menu", {"title": "string", "items": mapping(["string", "Menu"])})
EMPLOYEE = record(
    "Employee",
    {
        "name": "string",
        "manager": maybe("Employee"),
        "office": record("Address", {"street": "string", "city": "string"}, namespace="hr.places"),
        "home": maybe("hr.places.Address"),
    },
    namespace="hr",
)

# ---- orders and money -----------------------------------------------------------------------------------------------

PRICE = record("Price", {"amount": MONEY, "currency": fixed("Currency", 3)}, namespace="money")
LINE = record(
    "Line",
    {"sku": "string", "quantity": {"type": "int", "default": 1}, "price": PRICE, "tags": maybe(array("string"))},
    namespace="orders",
)
STATUS = enum(
    "Status", "UNKNOWN", "PLACED", "PAID", "SHIPPED", default="UNKNOWN", namespace="orders", aliases=["State"]
)
ORDER = record(
    "Order",
    {
        "id": UUID_TEXT,
        "status": {"type": STATUS, "default": "UNKNOWN"},
        "lines": array(LINE),
        "total": "money.Price",
        "placed_at": MILLIS,
        "notes": {"type": mapping("string"), "default": {}},
    },
    namespace="orders",
    aliases=["Purchase", "legacy.Order"],
    doc="An order as the shop has it.",
)
EUROS = {"amount": Decimal("19.9900"), "currency": b"EUR"}
PAYMENT = record(
    "Payment",
    {
        "id": "string",
        "method": [
            record("Card", {"network": enum("Network", "VISA", "MASTERCARD"), "last4": fixed("Last4", 4)}),
            record("Transfer", {"iban": "string", "bic": maybe("string")}),
            record("Wallet", {"provider": "string", "token": "bytes"}),
        ],
        "amount": logical("fixed", "decimal", name="Amount", size=8, precision=16, scale=2),
    },
    namespace="payments",
)
LEDGER = record(
    "Entry",
    {"account": "long", "debit": MONEY, "credit": MONEY, "booked": DATE, "valuta": DATE, "reversed": "boolean"},
    namespace="ledger",
)
INVOICE = record(
    "Invoice",
    {
        "number": {"type": "string", "order": "ignore"},
        "due": maybe(DATE, doc="None: at once", aliases=["payable"]),
        "positions": array(["null", record("Position", {"text": "string", "net": "double"})]),
    },
)
TRADE = record(
    "Trade",
    {"symbol": "string", "price": "double", "size": "int", "side": enum("Side", "BUY", "SELL"), "at": MICROS},
    namespace="market.v2",
)
BOOK = record(
    "Book",
    {"symbol": "string", "bids": array(record("Level", {"price": "double", "size": "long"})), "asks": array("Level")},
    namespace="market.v2",
)
EXCHANGE_RATES = record("Rates", {"base": "string", "rates": mapping("double"), "day": DATE})

# ---- telemetry ------------------------------------------------------------------------------------------------------

READING = record(
    "Reading",
    {"device": "string", "at": MILLIS, "celsius": "float", "humidity": maybe("float"), "ok": "boolean"},
    namespace="iot",
)
METRIC = record(
    "Metric",
    {"name": "string", "labels": mapping("string"), "value": ["double", "long"], "timestamp": "long"},
)
HISTOGRAM = record("Histogram", {"bounds": array("double"), "counts": array("long"), "sum": "double", "count": "long"})
SPAN = record(
    "Span",
    {
        "trace_id": fixed("TraceId", 16),
        "span_id": fixed("SpanId", 8),
        "parent_id": maybe("SpanId"),
        "name": "string",
        "kind": {"type": enum("Kind", "INTERNAL", "SERVER", "CLIENT", default="INTERNAL"), "default": "INTERNAL"},
        "attributes": mapping(["string", "boolean", "long", "double", array("string")]),
        "events": array(record("SpanEvent", {"name": "string", "nanos": "long"})),
    },
    namespace="tracing",
)
LOG_LINE = record(
    "LogLine",
    {
        "at": MICROS,
        "level": enum("Level", "TRACE", "DEBUG", "INFO", "WARN", "ERROR"),
        "logger": "string",
        "message": "string",
        "context": {"type": mapping(["null", "string"]), "default": {}},
        "error": maybe(record("Error", {"type": "string", "stack": array("string"), "cause": maybe("Error")})),
    },
    namespace="logs",
)
POSITION = record(
    "Position",
    {"vehicle": "long", "lat": "double", "lon": "double", "heading": maybe("int"), "at": MILLIS, "fix": "boolean"},
)
TRACK = record("Track", {"id": "string", "points": array(record("Point", {"x": "float", "y": "float", "z": "float"}))})
CAN_FRAME = record("Frame", {"id": "int", "data": fixed("Data", 8), "time_us": "long"}, namespace="vehicle.can")
WEATHER = record(
    "Forecast",
    {
        "station": "string",
        "hours": mapping(record("Hour", {"celsius": "float", "rain_mm": maybe("float"), "wind": array("float")})),
    },
)
METER = record(
    "MeterValues",
    {
        "meter": "string",
        "from": MILLIS,
        "to": MILLIS,
        "registers": array(
            record("Register", {"obis": "string", "value": "long", "scale": {"type": "int", "default": 0}})
        ),
    },
    namespace="energy",
)

# ---- people and their clicks ----------------------------------------------------------------------------------------

CLICK = record(
    "Click",
    {
        "user": maybe("long"),
        "session": "string",
        "url": "string",
        "referrer": maybe("string"),
        "at": MILLIS,
        "ab_tests": {"type": mapping("string"), "default": {}},
    },
    namespace="web",
    owner="growth",
    pii=["user", "session"],
)
PROFILE = record(
    "Profile",
    {
        "name": {"type": "string", "pii": True, "default": "n/a"},
        "born": maybe(DATE),
        "phones": array(record("Phone", {"type": enum("PhoneType", "HOME", "WORK", "MOBILE"), "number": "string"})),
        "languages": {"type": array("string"), "default": ["en"]},
        "picture": maybe("bytes"),
    },
    namespace="people",
)
CONSENT = record(
    "Consent",
    {"subject": UUID_TEXT, "purposes": mapping("boolean"), "given": logical("long", "local-timestamp-millis")},
)
MAIL = record(
    "Mail",
    {
        "from": "string",
        "to": array("string"),
        "headers": array(record("Header", {"name": "string", "value": "string"})),
        "parts": array(
            [
                record("Text", {"charset": "string", "text": "string"}),
                record("File", {"name": "string", "data": "bytes"}),
            ]
        ),
    },
)
CHAT = record(
    "Chat",
    {
        "room": "string",
        "content": [
            "string",
            record("Image", {"url": "string", "width": "int", "height": "int"}),
            record("Poll", {"question": "string", "votes": mapping("int")}),
        ],
    },
    namespace="chat",
)
SEARCH = record(
    "Search",
    {"terms": array("string"), "filters": mapping(array(["string", "long"])), "page": {"type": "int", "default": 0}},
)
CALENDAR = record(
    "Appointment",
    {
        "day": DATE,
        "start": logical("int", "time-millis"),
        "end": logical("long", "time-micros"),
        "repeats": maybe(logical("fixed", "duration", name="Every", size=12)),
    },
)

# ---- tools' own habits ----------------------------------------------------------------------------------------------

CONNECT = record(
    "ConnectDefault",
    {
        "id": {"type": "long", "connect.type": "int64"} | {"default": -1},
        "flags": {"type": [{"type": "int", "connect.type": "int8"}, "null"], "default": 7},
        "raw": {"type": "bytes", "default": "\u00ff\u0000"},
    },
    namespace="io.connect.avro",
)
SPARK = record(
    "topLevelRecord",
    {
        "id": ["long", "null"],
        "struct": [
            record("struct", {"a": ["int", "null"], "b": ["string", "null"]}, namespace="topLevelRecord"),
            "null",
        ],
        "list": [array(["double", "null"]), "null"],
        "map": [mapping(["string", "null"]), "null"],
    },
)
JAVA_STRINGS = record(
    "Strings",
    {
        "text": {"type": {"type": "string", "avro.java.string": "String"}, "default": ""},
        "by_name": {"type": "map", "values": "long", "avro.java.string": "String"},
        "list": {"type": "array", "items": "string", "java-class": "java.util.List"},
    },
    namespace="com.example.generated",
)
WIDE = record("Wide", {f"c{number:03}": "double" if number % 3 else maybe("long") for number in range(120)})
UNKNOWN_LOGICAL = record(
    "Odd",
    {
        "ip": logical("fixed", "ip-address", name="Ip", size=4),
        "at": logical("string", "iso-8601"),
        "n": logical("int", "u16"),
    },
)
EMPTY = record("Nothing", {}, namespace="events")
NESTED_NAMESPACES = record(
    "Outer",
    {
        "inner": record(
            "Inner",
            {"leaf": record("Leaf", {"n": "int"}), "again": "b.Leaf", "far": record("a.Leaf", {"s": "string"})},
            namespace="b",
        ),
        "near": "a.Leaf",
        "other": "b.Leaf",
    },
    namespace="a",
)
SHADOWED = record("R", {"R": maybe("R"), "string": "string", "null": "null", "type": array("bytes")})
DEFAULTS = record(
    "Defaults",
    {
        "n": {"type": "null", "default": None},
        "b": {"type": "boolean", "default": True},
        "i": {"type": "int", "default": -1},
        "d": {"type": "double", "default": 1e300},
        "f": {"type": fixed("F", 2), "default": "\u0001\u00fe"},
        "e": {"type": enum("E", "A", "B"), "default": "B"},
        "a": {"type": array(array("int")), "default": [[1, 2], []]},
        "m": {"type": mapping(array("string")), "default": {"k": ["v"]}},
        "r": {"type": record("Sub", {"x": {"type": "int", "default": 4}, "y": "string"}), "default": {"y": "z"}},
        "u": {"type": ["string", "null"], "default": "first"},
    },
)
VERSIONED = [
    record("Created", {"id": "long", "by": "string"}, namespace="events.v1"),
    record("Created", {"id": "long", "by": "string", "at": MILLIS}, namespace="events.v2"),
    record("Deleted", {"id": "long"}, namespace="events.v2"),
]
