"""A history outlives its client: what was written is read, what was half written is not."""

from __future__ import annotations

import numpy as np
import pytest

from faults.history import ENDED, INVOKED, HistoryWriter, read, rows_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history"


def written(path, n=3):
    """Write n records with their verdicts, and return the sizes of the file on the way."""
    writer, sizes = HistoryWriter(path), [path.stat().st_size]
    for i in range(n):
        writer.invoked(rows_of(INVOKED, 2, sequence=[2 * i, 2 * i + 1]))
        sizes.append(path.stat().st_size)
        writer.ended(rows_of(ENDED, 2, sequence=[2 * i, 2 * i + 1], at=i))
        sizes.append(path.stat().st_size)
    writer.close()
    return sizes


def test_what_was_written_is_read_at_once(path):
    writer = HistoryWriter(path)
    writer.event("started", epoch=3)
    writer.invoked(rows_of(INVOKED, 2, sequence=[0, 1], transaction=4))
    assert read(path).invoked["transaction"].tolist() == [4, 4], "before it is closed"
    writer.ended_one(rows_of(ENDED, 1, sequence=1, at=5)[0].item())
    writer.close()
    found = read(path)
    assert found.ended["sequence"].tolist() == [1]
    assert [one["epoch"] for one in found.of("started")] == [3]
    assert writer.written == (1, 5)


def test_every_cut_leaves_the_whole_blocks(path):
    sizes = written(path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found = read(path)
        assert len(found.invoked) + len(found.ended) == 2 * sum(size >= end for end in sizes[1:])


def test_a_spoiled_block_is_not_believed(path):
    written(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = read(path)
    assert len(found.invoked) + len(found.ended) < 12


def test_a_client_that_is_started_again_goes_on_behind_the_last_whole_block(path):
    sizes = written(path)
    path.write_bytes(path.read_bytes()[: sizes[-1] - 1])
    writer = HistoryWriter(path)
    writer.event("started", epoch=1)
    writer.close()
    found = read(path)
    assert len(found.ended) == 4
    assert len(found.of("started")) == 1


def test_histories_of_several_clients_are_one(path, tmp_path):
    written(path)
    written(tmp_path / "other", 1)
    found = read(path, tmp_path / "other", tmp_path / "missing")
    assert np.array_equal(found.invoked["sequence"], [0, 1, 2, 3, 4, 5, 0, 1])
