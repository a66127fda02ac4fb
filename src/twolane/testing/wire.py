"""One Metadata question to one broker, over a plain socket.

A client library asks whichever broker it likes; to know that each broker of a cluster is up, and knows a new topic,
each has to be asked itself.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from twolane.testing.codes import ApiKey

METADATA_VERSION = 4
CLIENT_ID = b"twolane-testing"


class PartitionView(NamedTuple):
    """One partition as one broker knows it."""

    leader: int
    replicas: list[int]
    in_sync: list[int]


class ClusterView(NamedTuple):
    """The cluster as one broker knows it: broker id -> (host, port), topic -> partition -> view."""

    brokers: dict[int, tuple[str, int]]
    topics: dict[str, dict[int, PartitionView]]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return int(value)

    def string(self) -> str:
        length = self.take(">h")
        if length < 0:
            return ""
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def array(self, layout: str) -> list[int]:
        return [self.take(layout) for _ in range(self.take(">i"))]


def _string(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the broker closed the connection")
        data += part
    return data


def ask_metadata(port: int, topic: str | None = None, timeout: float = 2.0, host: str = "127.0.0.1") -> ClusterView:
    """Ask the broker at `port` for the brokers and, with `topic`, for that topic.

    Raises
    ------
    OSError
        It does not listen, or does not answer within `timeout` seconds.
    """
    topics = struct.pack(">i", 0) if topic is None else struct.pack(">i", 1) + _string(topic.encode())
    allow_auto_creation = b"\0"
    header = struct.pack(">hhi", ApiKey.METADATA, METADATA_VERSION, 1) + _string(CLIENT_ID)
    request = header + topics + allow_auto_creation
    with socket.create_connection((host, port), timeout) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _read_exactly(connection, 4))
        return _parse(_read_exactly(connection, length))


def _parse(data: bytes) -> ClusterView:
    reader = _Reader(data)
    reader.take(">i")  # correlation id
    reader.take(">i")  # throttle time
    brokers = {}
    for _ in range(reader.take(">i")):
        node = reader.take(">i")
        brokers[node] = (reader.string(), reader.take(">i"))
        reader.string()  # rack
    reader.string()  # cluster id
    reader.take(">i")  # controller
    topics = {}
    for _ in range(reader.take(">i")):
        reader.take(">h")  # error: a topic with one has no partitions
        name = reader.string()
        reader.take(">b")  # internal
        partitions = {}
        for _ in range(reader.take(">i")):
            reader.take(">h")  # error: told by leader -1 as well
            number, leader = reader.take(">i"), reader.take(">i")
            partitions[number] = PartitionView(leader, reader.array(">i"), reader.array(">i"))
        topics[name] = partitions
    return ClusterView(brokers, topics)
