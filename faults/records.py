"""Records that describe themselves, packed and read by the million.

A value is text, so that Kafka's own tools can print it: 56 hexadecimal digits, repeated to the size asked for. They
are, big-endian, ``producer (8 bytes) | epoch (4) | partition (4) | sequence (8) | CRC32C of these (4)``. The key is the
sequence's digits; the header ``crc`` those of the CRC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FIELDS = np.dtype([("producer", ">u8"), ("epoch", ">u4"), ("partition", ">i4"), ("sequence", ">i8"), ("crc", ">u4")])
DIGITS = 2 * FIELDS.itemsize
HEADER = "crc"
# What a log is to the checkers: where a record is, and what its value says. `sent_to` is the partition in the value;
# `extras` what it has beside one: KEY, HEADERS, their sum, or -1 where a reader cannot tell.
LOGGED = np.dtype(
    [
        ("partition", np.int32),
        ("offset", np.int64),
        ("timestamp", np.int64),
        ("timestamp_type", np.int8),
        ("producer", np.uint64),
        ("epoch", np.uint32),
        ("sent_to", np.int32),
        ("sequence", np.int64),
        ("intact", np.bool_),
        ("extras", np.int8),
    ]
)
KEY, HEADERS = 1, 2
CASTAGNOLI = 0x82F63B78


def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ CASTAGNOLI, table >> 1).astype(np.uint32)
    return table


_CRC = _crc_table()
_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2").view(np.uint16)
_NIBBLE = np.full(256, 255, dtype=np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


def crc32c(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the CRC32C (Castagnoli) of each row of an array of bytes, shape (n, width)."""
    crc = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for column in range(rows.shape[1]):
        crc = _CRC[(crc ^ rows[:, column]) & 0xFF] ^ (crc >> np.uint32(8))
    return ~crc


def _digits(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return bytes as hexadecimal digits, twice as wide."""
    return _HEX[rows].view(np.uint8)


def _fields(producer: int, epoch: int, partitions: ArrayLike, sequences: NDArray[np.int64]) -> NDArray[Any]:
    fields = np.empty(len(sequences), dtype=FIELDS)
    fields["producer"], fields["epoch"] = producer, epoch
    fields["partition"], fields["sequence"] = partitions, sequences
    fields["crc"] = crc32c(_bytes(fields)[:, :-4])
    return fields


def _bytes(fields: NDArray[Any]) -> NDArray[np.uint8]:
    return fields.view(np.uint8).reshape(len(fields), FIELDS.itemsize)


def _rows(matrix: NDArray[np.uint8]) -> list[bytes]:
    data, width = matrix.tobytes(), matrix.shape[1]
    return [data[at : at + width] for at in range(0, len(data), width)]


def _repeated(digits: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.tile(digits, (1, -(-size // DIGITS)))[:, :size]


def pack(
    producer: int, epoch: int, partitions: ArrayLike, sequences: NDArray[np.int64], size: int = DIGITS
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the values, keys and header values of records.

    Parameters
    ----------
    producer : int
        64 bits.
    epoch : int
    partitions : int or array of n
    sequences : ndarray of int64, shape (n,)
    size : int
        Bytes of a value, 56 or more.
    """
    if size < DIGITS:
        raise ValueError(f"a value has at least {DIGITS} bytes, got {size}")
    digits = _digits(_bytes(_fields(producer, epoch, partitions, sequences)))
    return _rows(_repeated(digits, size)), _rows(digits[:, 32:48]), _rows(digits[:, 48:])


def unpack(values: Sequence[bytes | None]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the fields of values, shape (n,), and whether each value is intact: digits, repetition and CRC."""
    fields = np.zeros(len(values), dtype=FIELDS)
    intact = np.zeros(len(values), dtype=np.bool_)
    sizes = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
    for size in np.unique(sizes[sizes >= DIGITS]):
        places = np.flatnonzero(sizes == size)
        data = b"".join([values[place] for place in places] if len(places) < len(values) else values)  # type: ignore[misc]
        matrix = np.frombuffer(data, dtype=np.uint8).reshape(len(places), size)
        nibbles = _NIBBLE[matrix[:, :DIGITS]]
        found = ((nibbles[:, ::2] << 4) | (nibbles[:, 1::2] & 15)).view(FIELDS)[:, 0]
        fields[places] = found
        intact[places] = (
            (nibbles < 16).all(axis=1)
            & (matrix == _repeated(matrix[:, :DIGITS], int(size))).all(axis=1)
            & (crc32c(_bytes(found)[:, :-4]) == found["crc"])
        )
    return fields, intact


def logged(
    partitions: ArrayLike,
    offsets: ArrayLike,
    timestamps: ArrayLike,
    timestamp_types: ArrayLike,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[bytes | None] | None = None,
) -> NDArray[Any]:
    """Return what a reader found, sorted by partition and offset.

    `keys` and `headers`, where a reader has them, must agree with the values or be None, else a record is not intact.
    """
    fields, intact = unpack(values)
    log = np.empty(len(values), dtype=LOGGED)
    log["partition"], log["offset"] = partitions, offsets
    log["timestamp"], log["timestamp_type"] = timestamps, timestamp_types
    log["producer"], log["epoch"] = fields["producer"], fields["epoch"]
    log["sent_to"], log["sequence"] = fields["partition"], fields["sequence"]
    log["extras"] = -1 if keys is None or headers is None else 0
    for given, where, extra in ((keys, slice(32, 48), KEY), (headers, slice(48, 56), HEADERS)):
        if given is not None and any(one is not None for one in given):
            agree = (one is None or (value or b"")[where] == one for one, value in zip(given, values, strict=True))
            intact &= np.fromiter(agree, np.bool_, len(values))
            if headers is not None:
                log["extras"] += extra * np.fromiter((one is not None for one in given), np.int8, len(values))
    log["intact"] = intact
    return log[np.lexsort((log["offset"], log["partition"]))]
