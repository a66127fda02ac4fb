"""A row for each of the schemas."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from tests.field.schemas import (
    BOOK,
    CALENDAR,
    CAN_FRAME,
    CATEGORY,
    CHAT,
    CLICK,
    COMMENT,
    CONNECT,
    CONSENT,
    DEFAULTS,
    EMPLOYEE,
    EMPTY,
    ENVELOPE,
    EUROS,
    EVENT,
    EXCHANGE_RATES,
    EXPRESSION,
    HISTOGRAM,
    ID,
    INVOICE,
    JAVA_STRINGS,
    LEDGER,
    LINKED,
    LOG_LINE,
    MAIL,
    MENU,
    METER,
    METRIC,
    NESTED_NAMESPACES,
    NOW,
    ORDER,
    OUTBOX,
    PAYMENT,
    POSITION,
    PRICE,
    PROFILE,
    READING,
    SEARCH,
    SHADOWED,
    SPAN,
    SPARK,
    TRACK,
    TRADE,
    UNKNOWN_LOGICAL,
    VERSIONED,
    WEATHER,
    WIDE,
    array,
    mapping,
    maybe,
    record,
)


class Case(NamedTuple):
    """A schema and a row of it; `has_columns` where a table of pyarrow's own making holds such rows."""

    schema: Any
    row: Any
    has_columns: bool = False
    # The row with its defaults, where fastavro does not fill them in: it takes a default of bytes for text.
    whole: Any = None


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
