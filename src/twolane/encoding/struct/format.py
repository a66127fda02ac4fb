"""What `Struct` takes as a layout, brought to one form: a structured numpy dtype."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from twolane.errors import SerializationError

CODES = {
    "c": "S1", "b": "i1", "B": "u1", "?": "b1", "h": "i2", "H": "u2", "i": "i4", "I": "u4", "q": "i8", "Q": "u8",
    "e": "f2", "f": "f4", "d": "f8",
}  # fmt: skip
TOKEN = re.compile(r"\s*(\d*)([a-zA-Z?])\s*")


def layout_of(layout: Any) -> np.dtype[Any]:
    """Return a structured dtype for a numpy dtype, whatever makes one, or a format of the `struct` module.

    Fields of a format are called f0, f1, ...; a dtype without fields becomes one field f0.

    Raises
    ------
    SerializationError
        If it is none of them, or has items that are no plain memory (objects, pointers, Pascal strings).
    """
    if isinstance(layout, struct.Struct):
        layout = layout.format
    if isinstance(layout, (str, bytes)):
        text = layout.decode() if isinstance(layout, bytes) else layout
        try:
            struct.calcsize(text)
        except struct.error:
            pass
        else:
            return dtype_of_format(text)
    try:
        dtype = np.dtype(layout)
    except TypeError:
        raise SerializationError("expected a numpy dtype or a struct format", value=layout) from None
    if dtype.hasobject:
        raise SerializationError("expected a dtype of plain memory, without objects", value=layout)
    return dtype if dtype.names else np.dtype([("f0", dtype)])


def dtype_of_format(text: str) -> np.dtype[Any]:
    """Translate a struct format: sizes, alignment and padding as `struct.calcsize` gives them."""
    order, body = (text[0], text[1:]) if text[:1] in tuple("@=<>!") else ("@", text)
    mark = {">": ">", "!": ">", "<": "<"}.get(order, "=")
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    before = ""
    for count, code in TOKEN.findall(body):
        times = int(count) if count else 1
        if code in "nNlL":
            # Their width depends on the order: native or standard.
            kind = f"{'i' if code.islower() else 'u'}{struct.calcsize(order + code)}"
        elif code in "sx":
            kind = f"S{times}"
        elif code in CODES:
            kind = CODES[code]
        else:
            raise SerializationError(f"the struct format has {code!r}, which has no meaning outside this process")
        for _ in range(1 if code in "sx" else times):
            offset = struct.calcsize(f"{order}{before}0{code}")
            before += f"{times}{code}" if code in "sx" else code
            if code != "x" and not (code == "s" and times == 0):
                names.append(f"f{len(names)}")
                formats.append(mark + kind if kind[0] in "iuf" else kind)
                offsets.append(offset)
    if not names:
        raise SerializationError("expected at least one field in the struct format", value=text)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": struct.calcsize(text)})
