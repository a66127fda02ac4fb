"""Fifty Avro schemas in the shapes of those in production, each with a row; made for these tests.

What they have that small examples have not: records that contain themselves, names used again, namespaces that are
inherited and overridden, aliases, docs and properties of tools (``connect.name``, ``logicalType`` of no known kind),
defaults of every type, arrays of unions of records, maps of arrays, change events with before and after.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A schema and a row of it; `has_columns` where a table of pyarrow's own making holds such rows."""

    schema: Any
    row: Any
    has_columns: bool = False
    # The row with its defaults, where fastavro does not fill them in: it takes a default of bytes for text.
    whole: Any = None


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

CASES: dict[str, Case] = {
    "change event": Case(ENVELOPE, EVENT),
    "change event, row removed": Case(ENVELOPE, {**EVENT, "after": None, "op": "d", "transaction": None}),
    "outbox": Case(
        OUTBOX,
        {"id": ID, "aggregate_type": "Order", "aggregate_id": "7", "type": "Paid", "payload": '{"a":1}', "at": NOW},
    ),
    "category tree": Case(
        CATEGORY,
        {
            "name": "root",
            "parent": None,
            "children": [{"name": "leaf", "parent": {"name": "p", "parent": None, "children": []}, "children": []}],
        },
    ),
    "comments": Case(
        COMMENT,
        {
            "author": "a",
            "text": "\u00e4",
            "replies": [{"author": "b", "text": ""}, {"author": "c", "text": "!", "replies": []}],
        },
    ),
    "linked list": Case(LINKED, {"value": 1, "next": {"value": 2, "next": {"value": 3, "next": None}}}),
    "expression": Case(
        EXPRESSION,
        {"node": {"function": "f", "arguments": [{"node": {"value": 1.5}}, {"node": {"path": ["a", "b"]}}]}},
    ),
    "menu": Case(MENU, {"title": "File", "items": {"Open": "o", "Recent": {"title": "Recent", "items": {}}}}),
    "employee": Case(
        EMPLOYEE,
        {
            "name": "E",
            "manager": {"name": "M", "manager": None, "office": {"street": "s", "city": "c"}, "home": None},
            "office": {"street": "s", "city": "c"},
            "home": {"street": "h", "city": "c"},
        },
    ),
    "price": Case(PRICE, EUROS),
    "order": Case(
        ORDER,
        {
            "id": ID,
            "status": "PAID",
            "lines": [{"sku": "a", "quantity": 2, "price": EUROS, "tags": ["x"]}, {"sku": "b", "price": EUROS}],
            "total": EUROS,
            "placed_at": NOW,
        },
    ),
    "payment by card": Case(
        PAYMENT, {"id": "p", "method": {"network": "VISA", "last4": b"4242"}, "amount": Decimal("-12.30")}
    ),
    "payment by wallet": Case(
        PAYMENT, {"id": "p", "method": {"provider": "w", "token": b"\0\xff"}, "amount": Decimal("99999999999999.99")}
    ),
    "ledger": Case(
        LEDGER,
        {
            "account": 1,
            "debit": Decimal("1.0000"),
            "credit": Decimal("0.0000"),
            "booked": date(2026, 2, 28),
            "valuta": date(1969, 12, 31),
            "reversed": False,
        },
        has_columns=True,
    ),
    "invoice": Case(INVOICE, {"number": "1", "due": date(2026, 1, 1), "positions": [None, {"text": "t", "net": 0.1}]}),
    "trade": Case(TRADE, {"symbol": "ABC", "price": 1.25, "size": 100, "side": "SELL", "at": NOW}, has_columns=True),
    "order book": Case(
        BOOK,
        {
            "symbol": "ABC",
            "bids": [{"price": 1.0, "size": 5}],
            "asks": [{"price": 1.5, "size": 7}, {"price": 2.0, "size": 1}],
        },
        has_columns=True,
    ),
    "exchange rates": Case(
        EXCHANGE_RATES, {"base": "EUR", "rates": {"USD": 1.17, "JPY": 160.0}, "day": date(2026, 1, 2)}
    ),
    "reading": Case(
        READING, {"device": "d", "at": NOW, "celsius": -1.5, "humidity": None, "ok": True}, has_columns=True
    ),
    "metric": Case(METRIC, {"name": "up", "labels": {"job": "a"}, "value": 1.0, "timestamp": 1}),
    "histogram": Case(HISTOGRAM, {"bounds": [0.1, 1.0], "counts": [1, 2, 3], "sum": 4.5, "count": 6}, has_columns=True),
    "span": Case(
        SPAN,
        {
            "trace_id": bytes(range(16)),
            "span_id": bytes(8),
            "parent_id": bytes(range(8)),
            "name": "GET /",
            "kind": "SERVER",
            "attributes": {"http.status": 200, "ok": True, "path": "/", "share": 0.5, "tags": ["a", "b"]},
            "events": [{"name": "sent", "nanos": 2**62}],
        },
    ),
    "log line": Case(
        LOG_LINE,
        {
            "at": NOW,
            "level": "ERROR",
            "logger": "app",
            "message": "\U0001f4a5",
            "context": {"user": "u", "tenant": None},
            "error": {"type": "E", "stack": ["a", "b"], "cause": {"type": "C", "stack": [], "cause": None}},
        },
    ),
    "position": Case(
        POSITION,
        {"vehicle": 1, "lat": 52.5, "lon": 13.4, "heading": None, "at": NOW, "fix": True},
        has_columns=True,
    ),
    "track": Case(TRACK, {"id": "t", "points": [{"x": 1.0, "y": 2.0, "z": 3.5}]}, has_columns=True),
    "CAN frame": Case(CAN_FRAME, {"id": 0x7FF, "data": b"\1\2\3\4\5\6\7\x08", "time_us": 1}),
    "forecast": Case(WEATHER, {"station": "s", "hours": {"06": {"celsius": 1.0, "rain_mm": 0.5, "wind": [1.0, 2.0]}}}),
    "meter values": Case(
        METER, {"meter": "m", "from": NOW, "to": NOW, "registers": [{"obis": "1.8.0", "value": 1, "scale": -3}]}
    ),
    "click": Case(CLICK, {"user": 9, "session": "s", "url": "/", "referrer": None, "at": NOW, "ab_tests": {"t": "b"}}),
    "profile": Case(
        PROFILE,
        {
            "name": "n",
            "born": date(1990, 5, 1),
            "phones": [{"type": "WORK", "number": "1"}],
            "languages": [],
            "picture": b"",
        },
    ),
    "consent": Case(CONSENT, {"subject": ID, "purposes": {"ads": False}, "given": datetime(2026, 7, 1, 12, 0)}),  # noqa: DTZ001
    "mail": Case(
        MAIL,
        {
            "from": "a",
            "to": ["b", "c"],
            "headers": [{"name": "Subject", "value": "x"}],
            "parts": [{"charset": "utf-8", "text": "t"}, {"name": "f", "data": b"1"}],
        },
    ),
    "chat, text": Case(CHAT, {"room": "r", "content": "hello"}),
    "chat, poll": Case(CHAT, {"room": "r", "content": {"question": "?", "votes": {"yes": 2}}}),
    "search": Case(SEARCH, {"terms": ["a"], "filters": {"price": [1, "cheap"], "none": []}}),
    "appointment": Case(
        CALENDAR, {"day": date(2026, 3, 1), "start": time(9, 30), "end": time(10, 0, 0, 5), "repeats": None}
    ),
    "Connect's defaults": Case(CONNECT, {}, whole={"id": -1, "flags": 7, "raw": b"\xff\0"}),
    "Spark's nullable everything": Case(
        SPARK, {"id": 1, "struct": {"a": None, "b": "x"}, "list": [1.0, None], "map": {"k": None}}
    ),
    "Java's strings": Case(JAVA_STRINGS, {"by_name": {"a": 1}, "list": ["x", ""]}),
    "120 fields": Case(WIDE, {f"c{number:03}": number if number % 3 == 0 else number / 8 for number in range(120)}),
    "logical types of nobody": Case(UNKNOWN_LOGICAL, {"ip": b"\x7f\0\0\1", "at": "2026-11-28", "n": 65_535}),
    "no fields": Case(EMPTY, {}),
    "namespaces in namespaces": Case(
        NESTED_NAMESPACES,
        {
            "inner": {"leaf": {"n": 1}, "again": {"n": 2}, "far": {"s": "x"}},
            "near": {"s": "y"},
            "other": {"n": 3},
        },
    ),
    "fields named like types": Case(SHADOWED, {"R": None, "string": "s", "null": None, "type": [b"a", b""]}),
    "a default of every type": Case(
        DEFAULTS,
        {},
        whole={
            "n": None,
            "b": True,
            "i": -1,
            "d": 1e300,
            "f": b"\x01\xfe",
            "e": "B",
            "a": [[1, 2], []],
            "m": {"k": ["v"]},
            "r": {"x": 4, "y": "z"},
            "u": "first",
        },
    ),
    "root union, first version": Case(VERSIONED, ("events.v1.Created", {"id": 1, "by": "x"})),
    "root union, second version": Case(VERSIONED, ("events.v2.Created", {"id": 1, "by": "x", "at": NOW})),
    "root union, by type": Case(VERSIONED, {"-type": "events.v2.Deleted", "id": 5}),
    "root array": Case(array(record("Item", {"k": "string", "v": maybe("long")})), [{"k": "a", "v": 1}, {"k": "b"}]),
    "root map": Case(mapping(array("long")), {"a": [1, -1], "": []}),
}
