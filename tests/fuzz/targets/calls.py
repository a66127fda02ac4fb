"""Keys, headers, partitions and times of a call: what a record is given of them, or an error that says which."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.encoding.harness import prepared
from tests.fuzz.draw import EPOCH, Draw
from twolane import DeliveryError, SerializationError

MILLISECOND = 10**6


def bytes_of(draw: Draw) -> tuple[Any, bytes | None]:
    """Return what a key or header may be, and its bytes."""
    how = draw.below(5)
    if how == 0:
        return None, None
    if how == 1:
        text = draw.text()
        return text, text.encode()
    data = draw.raw()
    return [data, bytearray(data), memoryview(data)][how - 2], data


def column(draw: Draw, n: int, one: Any) -> tuple[Any, list[Any] | None]:
    """Return a list of n values with what they are; None where one is anything."""
    given, wanted = zip(*(one(draw) for _ in range(n)), strict=True)
    if draw.one_in(8):
        values = list(given)
        values[draw.below(n)] = draw.anything()
        return values, None
    return (list if draw.below(2) else tuple)(given), list(wanted)


def time_of(draw: Draw) -> tuple[Any, int]:
    """Return a time since 1990, and its milliseconds."""
    ms = draw.within(631_152_000_000, 4_102_444_799_999)
    how = draw.below(3)
    if how == 0:
        return ms, ms
    if how == 1:
        return np.datetime64(ms, "ms"), ms
    return EPOCH + ms * (EPOCH.resolution * 1000), ms


def header_name(draw: Draw) -> str:
    """Return a name."""
    return draw.text().replace("\0", "") or "h"


def run(data: bytes) -> None:
    draw = Draw(data)
    n = 1 + draw.below(4)
    values = [draw.raw() for _ in range(n)]
    keys, want_keys = column(draw, n, bytes_of) if draw.below(2) else (None, [None] * n)
    times, want_times = column(draw, n, time_of) if draw.below(2) else (None, [0] * n)
    names = [header_name(draw) for _ in range(draw.below(3))]
    each = draw.below(3)
    if each == 0:
        entries, want_headers = column(
            draw, n, lambda one: (lambda pairs: ([(name, given) for name, (given, _) in pairs], tuple(
                (name.encode(), wanted) for name, (_, wanted) in pairs)))([(name, bytes_of(one)) for name in names])
        )  # fmt: skip
        headers: Any = entries
    elif each == 1:
        made = {name: column(draw, n, bytes_of) for name in names}
        headers = {name: given for name, (given, _) in made.items()}
        known = all(wanted is not None for _, wanted in made.values())
        want_headers = [
            tuple((name.encode(), wanted[i]) for name, (_, wanted) in made.items()) for i in range(n)
        ] if known else None  # fmt: skip
    else:
        headers = draw.anything() if draw.one_in(4) else None
        want_headers = None if headers is not None else [()] * n
    partitions = 0 if draw.below(4) else [draw.anything() if draw.one_in(8) else 0 for _ in range(n)]
    odd = None in (want_keys, want_times, want_headers) or partitions != 0
    try:
        call = prepared(values=values, keys=keys, headers=headers, partitions=partitions, timestamps=times)
    except (SerializationError, DeliveryError):
        assert odd, f"refused: {keys!r}, {headers!r}, {times!r}"
        return
    assert call.n == n
    cut = draw.below(n + 1)
    for start, stop in ((0, cut), (cut, n)):
        if start == stop:
            continue
        sizes = call.record_slice(start, stop)[0].sizes()
        for i in range(start, stop):
            assert sizes[i - start] >= len(values[i])
        if want_keys is not None:
            found = call.keys.slice(start, stop) if call.keys is not None else [None] * (stop - start)
            assert list(found) == want_keys[start:stop]
        if want_headers is not None:
            entries, columns = call.headers.slice(start, stop)
            shared = entries if isinstance(entries, list) else [entries] * (stop - start)
            lists = [(name, list(batch)) for name, batch in columns]
            for i in range(stop - start):
                got = (*shared[i], *((name, batch[i % len(batch)]) for name, batch in lists))
                assert got == want_headers[start + i]
    if want_times is not None and times is not None:
        got = call.timestamps
        assert ([got] * n if isinstance(got, int) else got.tolist()) == want_times
