"""confluent-kafka's producer with the settings that are widely called safe."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer

from faults.history import UNKNOWN, WRITTEN
from faults.streams import Block, Stream

if TYPE_CHECKING:
    from faults.control import Control
    from faults.history import HistoryWriter
    from faults.workload import Workload

RECIPE = {"acks": "all", "retries": 3, "max.in.flight.requests.per.connection": 1, "linger.ms": 0, "log_level": 0}
FULL_SECONDS, FLUSH_SECONDS = 0.05, 60.0


def send(workload: Workload, control: Control, history: HistoryWriter) -> None:
    """Send until told to stop; "send" waits for each report, everything else sends on."""
    given = {name.replace("_", "."): value for name, value in workload.settings.items()}
    producer = Producer({**RECIPE, **given})
    stream = Stream(workload, 0)
    begun, sent = time.monotonic(), 0
    while not control.stopping.is_set() and (workload.records is None or sent < workload.records):
        packed = stream.block(workload.batch, workload.epoch * 1000)
        for row in range(len(packed)):
            block = packed.one(row)
            history.invoked(block.rows)
            _produce(producer, workload.topic, block, history)
            if workload.method == "send":
                producer.flush(FLUSH_SECONDS)
        sent += len(packed)
        if workload.records_per_second:
            producer.poll(max(0.0, begun + sent / workload.records_per_second - time.monotonic()))
    producer.flush(FLUSH_SECONDS)
    producer.purge()
    producer.flush(FLUSH_SECONDS)


def _produce(producer: Any, topic: str, block: Block, history: HistoryWriter) -> None:
    arguments = block.single()
    report = functools.partial(_report, block, history)
    while True:
        try:
            producer.produce(topic, on_delivery=report, **arguments)
        except BufferError:
            producer.poll(FULL_SECONDS)
        except KafkaException as error:
            history.ended(block.ended(verdict=UNKNOWN, code=error.args[0].code()))
            return
        else:
            producer.poll(0)
            return


def _report(block: Block, history: HistoryWriter, error: Any, message: Any) -> None:
    """Note a report: of a failure its user does not know whether the record is in the log."""
    if error is not None:
        history.ended_one(block.ended(verdict=UNKNOWN, code=error.code())[0].item())
        return
    offset = message.offset()
    kind, at = message.timestamp()
    row = block.ended(
        verdict=WRITTEN,
        partition=message.partition(),
        offset=-1 if offset is None else offset,
        timestamp=at,
        timestamp_type=kind,
    )
    history.ended_one(row[0].item())
