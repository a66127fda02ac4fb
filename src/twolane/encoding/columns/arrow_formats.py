"""What Arrow's format strings say behind their colons, and what extension types mean.

Source: https://arrow.apache.org/docs/format/CDataInterface.html and CanonicalExtensions.html
"""

from __future__ import annotations

from typing import Any

from twolane._units import ARROW_NS

DECIMAL_BYTES = {b"32": 4, b"64": 8, b"128": 16, b"256": 32}
MAX_WIDTH = 2**31 - 1
NO_MEMBER = 255
MAX_MEMBERS = 128

# Extension types whose storage is what they mean.
STORED_AS_MEANT = (b"arrow.json", b"geoarrow.wkb", b"geoarrow.wkt")
# Those that mean more, with the storage they have to have: what the format is called then.
KNOWN_AS = {(b"arrow.uuid", "w:16"): "uuid", (b"arrow.bool8", "c"): "b"}


def parameters_of(form: bytes) -> tuple[str, Any, Any, Any] | None:
    """Return the kind of type and up to three parameters; None where the format is not known.

    Returns
    -------
    tuple
        ("timestamp", nanoseconds per tick, zone or None, None), ("fixed", bytes, None, None),
        ("list", items, None, None), ("decimal", precision, scale, bytes), or
        ("dense" or "sparse", the child of each of 256 type ids, how many, None).

    Raises
    ------
    ValueError, KeyError
        If the parameters are none.
    """
    kind, colon, rest = form.partition(b":")
    if not colon:
        return None
    if len(kind) == 3 and kind[:2] == b"ts" and kind[2:] in ARROW_NS:
        return "timestamp", ARROW_NS[kind[2:]], rest.decode() or None, None
    if kind in (b"w", b"+w"):
        return "fixed" if kind == b"w" else "list", within(rest, MAX_WIDTH), None, None
    if kind in (b"+ud", b"+us"):
        ids = [within(number, MAX_MEMBERS - 1) for number in rest.split(b",")] if rest else []
        table = bytearray([NO_MEMBER]) * 256
        for child, number in enumerate(ids):
            table[number] = child
        return "dense" if kind == b"+ud" else "sparse", bytes(table), len(set(ids)), None
    if kind == b"d":
        precision, scale, *bits = rest.split(b",")
        return "decimal", within(precision, 76), int(scale), DECIMAL_BYTES[b",".join(bits) or b"128"]
    return None


def within(digits: bytes, most: int) -> int:
    """Return a number that is not negative and no larger."""
    number = int(digits)
    if not 0 <= number <= most:
        raise ValueError(digits)
    return number
