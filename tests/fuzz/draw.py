"""A fuzzer's bytes as choices, and the values that most targets draw."""

from __future__ import annotations

import datetime as dt
import decimal
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.hostile import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

# Each is made again for every input: one that was read before has kept nothing of it.
HOSTILE = [value for name, value in VALUES.items() if name not in ("released memoryview", "function", "type")]
INTS = [0, 1, -1, 63, 64, -64, -65, 127, 128, 255, 256, 2**15, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32]
INTS += [2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30]
DOUBLES = [0.0, -0.0, 1.0, -1.5, 0.1, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 2.0**63, float(2**53)]
TEXTS = ["", "a", "\0", '"', "\\", "\x1f", "\x7f", "\u2028", "ü", "€", "\U0001f600", "x" * 63, "y" * 64, "ß" * 200]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Draw(random.Random):
    """A `random.Random` whose numbers are given bytes, so that what is made from a seed elsewhere is drawn from here.

    Where the bytes end everything is 0: the first choice, the empty text.
    """

    def __init__(self, data: bytes) -> None:
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Begin anew with other bytes."""
        self._data, self._at = data, 0

    def take(self, n: int) -> int:
        """Return the next `n` bytes as a number."""
        start = self._at
        self._at = start + n
        return int.from_bytes(self._data[start : start + n], "little")

    def rest(self) -> bytes:
        """Return the bytes that are left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    def seed(self, *_: Any, **__: Any) -> None:
        """Have no state but the bytes."""

    def random(self) -> float:
        return self.take(2) / 65536

    def getrandbits(self, k: int) -> int:
        return self.take((k + 7) // 8) & ((1 << k) - 1)

    def _randbelow(self, n: int) -> int:
        return self.take(1 if n <= 256 else (n.bit_length() + 7) // 8) % n

    def one_in(self, n: int) -> bool:
        """Return True for one byte of `n` (at most 256); False where the bytes have ended."""
        return self.take(1) >= 256 - 256 // n

    def below(self, n: int) -> int:
        """Return a number below `n`."""
        return self._randbelow(n)

    def integer(self) -> int:
        """Return an int: small, at an edge, or of up to 64 bits and a sign."""
        how = self.take(1)
        if how < 100:
            return how - 50
        if how < 180:
            return INTS[how % len(INTS)]
        return self.take(1 + how % 8) - (self.take(8) if how & 1 else 0)

    def within(self, low: int, high: int) -> int:
        """Return an int from `low` to `high`, often one of the two."""
        how = self.take(1)
        if how < 40:
            return low if how & 1 else high
        return low + self._randbelow(high - low + 1)

    def double(self) -> float:
        """Return a double that is a number."""
        how = self.take(1)
        if how < 160:
            return DOUBLES[how % len(DOUBLES)]
        value = float(np.frombuffer(self.take(8).to_bytes(8, "little"), "<f8")[0])
        return value if value - value == 0 else 2.5

    def text(self, most: int = 12) -> str:
        """Return a text without surrogates."""
        how = self.take(1)
        if how < 80:
            return TEXTS[how % len(TEXTS)]
        n = how % (most + 1)
        return "".join(chr(code if code < 0xD800 else code + 0x800) for code in (self.take(2) for _ in range(n)))

    def raw(self, most: int = 12) -> bytes:
        """Return bytes."""
        n = self.take(1) % (most + 1)
        return self.take(n).to_bytes(n, "little")

    def instant(self) -> dt.datetime:
        """Return a datetime in UTC, of whole microseconds."""
        return EPOCH + dt.timedelta(microseconds=self.within(-(10**15), 10**15))

    def anything(self) -> Any:
        """Return a value that few expect."""
        how = self.take(1)
        if how < 100:
            return HOSTILE[how % len(HOSTILE)]
        return ANYTHING[how % len(ANYTHING)](self)

    def json(self, depth: int = 3) -> Any:
        """Return what JSON has a form for."""
        how = self.take(1) % (12 if depth else 8)
        if how < 8:
            return SCALARS[how](self)
        if how < 10:
            return [self.json(depth - 1) for _ in range(self.below(4))]
        return {self.text(): self.json(depth - 1) for _ in range(self.below(4))}


SCALARS: list[Callable[[Draw], Any]] = [
    lambda _: None,
    lambda draw: bool(draw.below(2)),
    Draw.integer,
    Draw.integer,
    Draw.double,
    Draw.double,
    Draw.text,
    Draw.text,
]
ANYTHING: list[Callable[[Draw], Any]] = [
    *SCALARS,
    Draw.raw,
    Draw.instant,
    lambda draw: draw.instant().replace(tzinfo=None),
    lambda draw: draw.instant().date(),
    lambda draw: draw.instant().time(),
    lambda draw: dt.timedelta(microseconds=draw.integer() % 2**60),
    lambda draw: decimal.Decimal(draw.integer()).scaleb(draw.within(-20, 20)),
    lambda draw: np.int64(draw.integer() % 2**63),
    lambda draw: np.uint8(draw.below(256)),
    lambda draw: np.float32(draw.double() % 1e30),
    lambda draw: np.str_(draw.text()),
    lambda draw: np.bytes_(draw.raw()),
    lambda draw: np.datetime64(draw.integer() % 2**62, draw.choice(["s", "ms", "us", "ns", "D"])),
    lambda draw: bytearray(draw.raw()),
    lambda draw: memoryview(draw.raw()),
    lambda draw: [draw.json(1) for _ in range(draw.below(3))],
    lambda draw: {draw.text(): draw.json(1)},
    lambda draw: (draw.json(1), draw.json(1)),
    lambda draw: np.arange(draw.below(4)),
    lambda draw: "\ud800",
    lambda draw: float("nan"),
    lambda draw: float("inf"),
]
