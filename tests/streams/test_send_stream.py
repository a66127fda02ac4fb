"""``send_stream()`` on both lanes, blocking and awaited: chunks, verdicts, pause, stop, pace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError

from twolane import (
    AsyncSafeProducer,
    AsyncThroughputProducer,
    BatchError,
    ConfigError,
    Json,
    SafeProducer,
    SerializationError,
    StreamControl,
    StreamSummary,
    ThroughputProducer,
)
from twolane.streams.control import StreamControl as Control
from twolane.streams.run import StreamOptions, StreamRun
from twolane.testing import ApiKey, FakeProducer, FakeThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import EmbeddedCluster

LANES = [FakeProducer, FakeThroughputProducer]
both = pytest.mark.parametrize("lane", LANES)


def rows(n: int) -> Iterator[bytes]:
    return (b"%d" % i for i in range(n))


def table(n: int) -> pa.Table:
    return pa.table({"id": list(range(n)), "name": [f"name {i}" for i in range(n)]})


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_a_reader_is_sent_chunk_by_chunk(embedded_cluster: EmbeddedCluster, lane: Any) -> None:
    seen: list[StreamSummary] = []
    embedded_cluster.create_topic("t", partitions=2)
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        summary = producer.send_stream(
            "t", table(1000).to_reader(), chunk=64, serializer=Json(), keys="name", progress=seen.append
        )
    read = embedded_cluster.records("t")
    assert (summary.rows, summary.position, summary.written, summary.in_flight) == (1000, 1000, 1000, 0)
    assert summary.stopped is None
    assert len(read) == 1000
    for partition in (0, 1):
        ids = [json.loads(record.value)["id"] for record in read if record.partition == partition]
        assert ids == sorted(ids)
        assert summary.last_offsets["t", partition] == len(ids) - 1
    assert [one.position for one in seen] == [*range(64, 1000, 64), 1000, 1000]


@pytest.mark.parametrize("lane", [AsyncSafeProducer, AsyncThroughputProducer])
@pytest.mark.parametrize("is_async", [True, False])
def test_it_is_awaited(embedded_cluster: EmbeddedCluster, lane: Any, is_async: bool) -> None:
    async def arows() -> Any:
        for row in rows(100):
            await asyncio.sleep(0)
            yield row

    async def run() -> StreamSummary:
        async with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            return await producer.send_stream("t", arows() if is_async else rows(100), chunk=7)

    summary = asyncio.run(run())
    assert (summary.position, summary.written) == (100, 100)
    assert sorted(int(record.value) for record in embedded_cluster.records("t")) == list(range(100))


def test_the_source_is_read_when_the_chunk_before_was_acknowledged() -> None:
    with FakeProducer() as producer:
        written: list[int] = []

        def source() -> Iterator[bytes]:
            for i in range(40):
                if i % 10 == 0:
                    written.append(len(producer.records))
                yield b"row"

        producer.send_stream("t", source(), chunk=10)
    assert written == [0, 10, 20, 30]


@both
def test_it_stops_at_the_first_failure_and_says_where(lane: Any) -> None:
    with lane() as producer:
        count = 0

        def source() -> Iterator[bytes]:
            nonlocal count
            for i in range(100):
                if i == 20:
                    producer.fail_next()
                count += 1
                yield b"%d" % i

        with pytest.raises(BatchError) as caught:
            producer.send_stream("t", source(), chunk=10)
        summary = caught.value.twolane_result
    assert isinstance(summary, StreamSummary)
    assert summary.position == summary.written + summary.not_written + summary.unknown
    assert summary.written >= 20
    assert summary.in_flight == 0
    assert caught.value.index == 20
    assert count < 100


@both
def test_it_goes_on_where_that_is_asked_for(lane: Any) -> None:
    with lane() as producer:
        producer.fail_next()
        summary = producer.send_stream("t", rows(100), chunk=10, on_failure="continue")
    assert summary.position == 100
    assert summary.written + summary.not_written + summary.unknown == 100
    assert summary.not_written + summary.unknown >= 1
    assert isinstance(summary.error, BatchError)


@both
def test_bad_rows_are_called_back_by_their_number_in_the_stream(lane: Any) -> None:
    bad: list[Any] = []
    source = (7 if i == 25 else b"row" for i in range(40))
    with lane() as producer:
        summary = producer.send_stream("t", source, chunk=10, on_bad_row=bad.append)
    assert (summary.written, summary.refused, summary.position) == (39, 1, 40)
    assert [error.index for error in bad] == [25]


def test_a_row_larger_than_the_topic_takes_is_a_bad_row() -> None:
    bad: list[Any] = []
    source = (bytes(3_000) if i == 25 else b"row" for i in range(40))
    with FakeProducer() as producer:
        producer._handle.open_topic("t").max_message_bytes = 2_000
        summary = producer.send_stream("t", source, chunk=10, on_bad_row=bad.append)
    assert (summary.written, summary.refused, summary.position) == (39, 1, 40)
    assert [(error.index, error.error.code()) for error in bad] == [(25, KafkaError.MSG_SIZE_TOO_LARGE)]


@both
def test_a_bad_row_refuses_its_chunk(lane: Any) -> None:
    with lane() as producer, pytest.raises(SerializationError) as caught:
        producer.send_stream("t", (7 if i == 25 else b"row" for i in range(40)), chunk=10)
    assert caught.value.index == 25
    summary = caught.value.twolane_result
    assert (summary.rows, summary.position, summary.written) == (30, 20, 20)


@both
def test_stop_ends_it_between_two_chunks(lane: Any) -> None:
    control = StreamControl()

    def stop(summary: StreamSummary) -> None:
        if summary.position == 30:
            control.stop()

    with lane() as producer:
        summary = producer.send_stream("t", rows(100), chunk=10, control=control, progress=stop)
    assert (summary.rows, summary.position, summary.written, summary.stopped) == (30, 30, 30, "stop()")


@both
def test_it_waits_while_it_is_paused(lane: Any) -> None:
    control, paused = StreamControl(), threading.Event()
    positions: list[int] = []

    def progress(summary: StreamSummary) -> None:
        positions.append(summary.position)
        if summary.position == 30:
            control.pause()
            paused.set()

    def resume() -> None:
        paused.wait(60)
        positions.append(-1)
        control.resume()

    thread = threading.Thread(target=resume)
    thread.start()
    with lane() as producer:
        summary = producer.send_stream("t", rows(50), chunk=10, control=control, progress=progress)
    thread.join()
    assert positions[:4] == [10, 20, 30, -1]
    assert summary.written == 50


def test_a_task_pauses_and_stops_it(embedded_cluster: EmbeddedCluster) -> None:
    async def run() -> StreamSummary:
        control, paused = StreamControl(), asyncio.Event()

        def progress(summary: StreamSummary) -> None:
            if summary.position == 30:
                control.pause()
                paused.set()

        async with AsyncSafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            stream = asyncio.ensure_future(
                producer.send_stream("t", rows(100), chunk=10, control=control, progress=progress)
            )
            await paused.wait()
            control.stop("enough")
            return await stream

    summary = asyncio.run(run())
    assert (summary.position, summary.stopped) == (30, "enough")


def test_a_signal_stops_it_and_a_second_one_does_what_it_did_before() -> None:
    before: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: before.append(number))
    try:

        def source() -> Iterator[bytes]:
            for i in range(100):
                if i == 25:
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGTERM)
                yield b"row"

        with FakeProducer() as producer:
            summary = producer.send_stream("t", source(), chunk=10, stop_on=[signal.SIGTERM])
        assert (summary.stopped, summary.written) == ("SIGTERM", 30)
        assert before == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert before == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_signals_are_for_the_main_thread() -> None:
    problems: list[BaseException] = []

    def run() -> None:
        with FakeProducer() as producer, pytest.raises(ConfigError, match="main thread") as caught:
            producer.send_stream("t", rows(1), stop_on=[signal.SIGTERM])
        problems.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert problems


def test_what_interrupts_it_has_the_summary() -> None:
    def source() -> Iterator[bytes]:
        yield from rows(20)
        raise KeyboardInterrupt

    with FakeProducer() as producer, pytest.raises(KeyboardInterrupt) as caught:
        producer.send_stream("t", source(), chunk=10)
    assert caught.value.twolane_result.written == 20  # type: ignore[attr-defined]


def test_the_pace_is_a_rate_of_rows() -> None:
    now = 100.0
    options = StreamOptions(65_536, 1000.0, None, Control(), (), "raise", "raise").checked()
    assert options.chunk == 100
    run = StreamRun(options, clock=lambda: now)
    assert run.delay() == 0
    run._position = 100
    assert run.delay() == pytest.approx(0.1)
    now += 0.04
    assert run.delay() == pytest.approx(0.06)
    run.control.pause()
    assert run.delay() is None
    now += 60
    assert run.delay() is None
    run.control.resume()
    assert run.delay() == pytest.approx(0)  # a pause is not made up for


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"chunk": 0}, "chunk"),
        ({"chunk": True}, "chunk"),
        ({"rate": 0}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"on_failure": "skip"}, "on_failure"),
        ({"keys": [b"a", b"b"]}, "keys"),
        ({"timestamps": pa.array([1, 2])}, "timestamps"),
        ({"headers": {"h": [b"1", b"2"]}}, "headers"),
        ({"headers": [{"h": b"1"}]}, "headers"),
    ],
)
def test_arguments_are_looked_at_first(given: dict[str, Any], what: str) -> None:
    def source() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    with FakeProducer() as producer, pytest.raises(ConfigError, match=f"^{what}: ") as caught:
        producer.send_stream("t", source(), **given)
    assert caught.value.key == what


def test_headers_name_columns_or_are_constant(embedded_cluster: EmbeddedCluster) -> None:
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send_stream("t", table(3), serializer=Json(), headers=["name"])
        producer.send_stream("u", table(3), serializer=Json(), headers={"source": b"test"}, partitions=0)
    assert [record.headers for record in embedded_cluster.records("u")] == [[("source", b"test")]] * 3
    assert {record.headers[0][0] for record in embedded_cluster.records("t")} == {"name"}


def test_a_cluster_that_goes_away_leaves_a_summary(embedded_cluster: EmbeddedCluster) -> None:
    embedded_cluster.create_topic("t", partitions=1)

    def source() -> Iterator[bytes]:
        for i in range(40):
            if i == 20:
                embedded_cluster.push_errors(ApiKey.PRODUCE, "TOPIC_AUTHORIZATION_FAILED")
            yield b"%d" % i

    with (
        SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer,
        pytest.raises(BatchError) as caught,
    ):
        producer.send_stream("t", source(), chunk=10)
    assert caught.value.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    summary = caught.value.twolane_result
    assert (summary.written, summary.not_written, summary.position) == (20, 10, 30)
    assert [int(record.value) for record in embedded_cluster.records("t")] == list(range(20))
