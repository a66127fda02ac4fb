"""Records say what they are, whoever reads them; one changed byte is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.records import DIGITS, HEADERS, KEY, crc32c, logged, pack, unpack

SEQUENCES = np.arange(50, dtype=np.int64)


def test_the_crc_is_castagnolis():
    """The check value of the polynomial's catalogue entry, and RFC 3720's examples."""
    for data, crc in ((b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)):
        assert crc32c(np.frombuffer(data, np.uint8).reshape(1, -1))[0] == crc


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**62),
    st.integers(DIGITS, 300),
)
def test_what_is_packed_is_read(producer, epoch, partition, first, size):
    values, keys, headers = pack(producer, epoch, partition, first + SEQUENCES, size)
    fields, intact = unpack(values)
    assert intact.all()
    assert {len(value) for value in values} == {size}
    assert (fields["producer"] == np.uint64(producer)).all()
    assert (fields["epoch"] == epoch).all()
    assert (fields["partition"] == partition).all()
    assert (fields["sequence"] == first + SEQUENCES).all()
    assert values[7].startswith(f"{producer:016x}{epoch:08x}{partition:08x}".encode() + keys[7] + headers[7])


@given(st.integers(0, 49), st.integers(0, 111), st.integers(0, 255))
def test_one_changed_byte_is_seen(row, at, byte):
    values, _, _ = pack(5, 1, 2, SEQUENCES, 112)
    changed = bytearray(values[row])
    is_changed = changed[at] != byte
    changed[at] = byte
    values[row] = bytes(changed)
    _, intact = unpack(values)
    assert intact[row] != is_changed
    assert intact.sum() == len(values) - is_changed


@pytest.mark.parametrize("value", [None, b"", b"x" * 10, b"\xff" * 112])
def test_other_values_are_no_records(value):
    values, _, _ = pack(5, 1, 2, SEQUENCES[:1])
    _, intact = unpack([value, *values])
    assert intact.tolist() == [False, True]


def test_keys_and_headers_have_to_agree():
    values, keys, headers = pack(5, 1, 2, SEQUENCES[:3])
    log = logged(2, [2, 0, 1], 7, 1, values, keys, headers)
    assert log["offset"].tolist() == [0, 1, 2]
    assert log["sequence"].tolist() == [1, 2, 0]
    assert log["intact"].all()
    assert set(log["extras"]) == {KEY + HEADERS}
    wrong = logged(2, [0, 1, 2], 7, 1, values, [keys[1], *keys[1:]], [headers[0], None, headers[2]])
    assert wrong["intact"].tolist() == [False, True, True]
    assert wrong["extras"].tolist() == [KEY + HEADERS, KEY, KEY + HEADERS]
