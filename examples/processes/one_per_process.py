"""A producer for each process, made when that process first sends: it works with every way of making processes."""

from __future__ import annotations

import functools
import os

from twolane import RecordMetadata, SafeProducer, ThroughputProducer


@functools.cache
def _safe(pid: int) -> SafeProducer:
    return SafeProducer()  # KAFKA_BOOTSTRAP_SERVERS says where


@functools.cache
def _throughput(pid: int) -> ThroughputProducer:
    return ThroughputProducer()


def safe() -> SafeProducer:
    """Return this process's producer; a child made by fork() gets one of its own."""
    return _safe(os.getpid())


def throughput() -> ThroughputProducer:
    """Return this process's producer of the throughput lane."""
    return _throughput(os.getpid())


def send(number: int) -> tuple[int, int]:
    """Send a record from any process; what is returned is plain data, so a pool can hand it back."""
    metadata: RecordMetadata = safe().send("orders", str(number), key=str(number))
    assert metadata.offset is not None
    return metadata.partition, metadata.offset
