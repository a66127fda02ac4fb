"""Other replicas for partitions, in another order: the one administrator's request that confluent-kafka has not.

AlterPartitionReassignments version 0 (KIP-455). The first replica is the preferred leader; with the same brokers in
another order nothing is copied.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from faults.produce_wire import Builder, Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

API_KEY = 45
TIMEOUT_SECONDS = 20.0


class ReassignError(Exception):
    """The cluster refused; the message holds Kafka's error code."""


def set_replicas(bootstrap: str, topic: str, replicas: Mapping[int, Sequence[int]]) -> None:
    """Set the replicas of some partitions, through the first broker that can be reached."""
    request = _request(topic, replicas)
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), TIMEOUT_SECONDS) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                with connection.makefile("rb") as answers:
                    (length,) = struct.unpack(">i", answers.read(4))
                    _check(answers.read(length))
            return
        except OSError:
            continue
    raise ReassignError(f"none of {bootstrap} can be reached")


def _request(topic: str, replicas: Mapping[int, Sequence[int]]) -> bytes:
    builder = Builder(is_compact=False)
    builder.number("h", API_KEY)
    builder.number("h", 0)
    builder.number("i", 1)  # correlation id
    builder.string(b"faults")  # client id: not compact
    builder.is_compact = True
    builder.tags()
    builder.number("i", int(TIMEOUT_SECONDS * 1_000))
    builder.length("i", 1)
    builder.string(topic.encode())
    builder.length("i", len(replicas))
    for partition, brokers in replicas.items():
        builder.number("i", partition)
        builder.length("i", len(brokers))
        for broker in brokers:
            builder.number("i", broker)
        builder.tags()
    builder.tags()
    builder.tags()
    return bytes(builder.data)


def _check(body: bytes) -> None:
    """Raise for an error of the whole or of a partition."""
    cursor = Cursor(body, is_compact=True)
    cursor.number("i")  # correlation id
    cursor.tags()
    cursor.number("i")  # throttle time
    codes = [cursor.number("h")]
    cursor.string()
    for _ in range(cursor.length("i")):
        cursor.string()
        for _ in range(cursor.length("i")):
            cursor.number("i")
            codes.append(cursor.number("h"))
            cursor.string()
            cursor.tags()
        cursor.tags()
    if any(codes):
        raise ReassignError(f"error codes {codes}")
