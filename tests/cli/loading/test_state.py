"""The state file and what is read of the log: rows in doubt, and records that are of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from twolane import SafeProducer, TopicColumn
from twolane.cli.loading.state import Doubt, LoadState
from twolane.cli.loading.tail import LogTail, content_of, ranges_of

if TYPE_CHECKING:
    from pathlib import Path

    from twolane.testing import EmbeddedCluster

LOAD: dict[str, Any] = {"topic": "t"}


def test_rows_in_doubt_begin_with_the_first_that_is_not_settled(tmp_path: Path) -> None:
    state = LoadState(tmp_path / "state", LOAD, resume=False)
    for number in range(3):
        # Handed over while those before it are on their way: the ends that are known are the first ones.
        state.handing_over(number * 10, 10, {"t": {"0": 100}} | ({"u": {"0": 7}} if number == 2 else {}), number)
    state.settled(0, 10, 1, [("t", 0, 100, 104), ("t", 0, 110, 113)])
    state.settled(20, 10, 2, [("u", 0, 7, 16)])
    state.close()
    again = LoadState(tmp_path / "state", LOAD, resume=True)
    others = {("t", 0, offset) for offset in (*range(100, 105), *range(110, 114))}
    assert again.doubt == Doubt(10, 30, {"t": {"0": 100}}, others)
    assert (again.position, again.refused, again.bad_size, again.done) == (30, 1, 1, False)
    again.settled(10, 20, 0, [])
    again.end(30)
    again.close()
    last = LoadState(tmp_path / "state", LOAD, resume=True)
    assert (last.doubt, last.position, last.done) == (None, 30, True)
    last.close()


def test_a_topic_that_came_later_begins_where_it_did_then(tmp_path: Path) -> None:
    state = LoadState(tmp_path / "state", LOAD, resume=False)
    state.handing_over(0, 10, {"t": {"0": 5}}, 0)
    state.handing_over(10, 10, {"t": {"0": 9}, "u": {"0": 3}}, 0)
    state.close()
    again = LoadState(tmp_path / "state", LOAD, resume=True)
    assert again.doubt is not None
    assert again.doubt.ends == {"t": {"0": 5}, "u": {"0": 3}}
    again.close()


def test_equal_records_of_others_are_not_counted(embedded_cluster: EmbeddedCluster) -> None:
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        topics = TopicColumn(["t", "u"] * 4)
        first = producer.send_batch(topics, [b"same"] * 8, partitions=0)
        producer.send_batch(topics, [b"same"] * 8, partitions=0)
    ranges = ranges_of(first)
    assert ranges == [("t", 0, 0, 3), ("u", 0, 0, 3)]
    others = {(topic, partition, offset) for topic, partition, low, high in ranges for offset in range(low, high + 1)}
    tail = LogTail({"bootstrap.servers": embedded_cluster.bootstrap_servers, "linger.ms": "5"})
    try:
        found = tail.contents({"t": {"0": 2}, "u": {"0": 0}}, others)
    finally:
        tail.close()
    assert found == {content_of("t", None, b"same", None): 4, content_of("u", None, b"same", None): 4}


@pytest.mark.parametrize("text", ['{"id": 1}\n', "no json", '{"load": 1'])
def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(Exception, match="no state file of twolane load"):
        LoadState(tmp_path / "file", LOAD, resume=True)
    assert (tmp_path / "file").read_text() == text
