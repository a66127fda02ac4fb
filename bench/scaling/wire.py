"""Requests that a client library would not send again and again, over plain sockets, one after another."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from twolane.testing.codes import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST, SECONDS = "127.0.0.1", 10.0
COORDINATOR_LOAD_IN_PROGRESS = 14


def metadata(topic: str) -> bytes:
    """Return a Metadata request (version 4) for one topic, as a producer asks for it."""
    name = topic.encode()
    return _request(ApiKey.METADATA, 4, struct.pack(">ih", 1, len(name)) + name + b"\0")


def init_producer_id() -> bytes:
    """Return an InitProducerId request (version 1) without a transactional id: a number for idempotence."""
    return _request(ApiKey.INIT_PRODUCER_ID, 1, struct.pack(">hi", -1, 60_000))


def api_versions() -> bytes:
    """Return the request that each connection begins with."""
    return _request(ApiKey.API_VERSIONS, 0, b"")


def _request(api: int, version: int, body: bytes) -> bytes:
    text = struct.pack(">hhih", api, version, 1, -1) + body
    return struct.pack(">i", len(text)) + text


@contextlib.contextmanager
def connected(port: int) -> Iterator[Callable[[bytes], bytes]]:
    """Open a connection; the function sends a request and returns its answer."""
    with socket.create_connection((HOST, port), SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(request: bytes) -> bytes:
            connection.sendall(request)
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            return _exactly(connection, size)

        yield ask


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("the broker closed the connection")
        parts += part
    return bytes(parts)


def is_producer_id(answer: bytes) -> bool:
    """Whether an answer to InitProducerId has one; a broker whose block is used up asks its client to come again.

    Raises
    ------
    ConnectionError
        It has another error.
    """
    (code,) = struct.unpack_from(">h", answer, 8)
    if code not in (0, COORDINATOR_LOAD_IN_PROGRESS):
        raise ConnectionError(f"InitProducerId: error {code}")
    return bool(code == 0)


def repeat(ports: list[int], ways: int, seconds: float, work: Callable[[int, float], int]) -> tuple[int, float]:
    """Have so many threads call ``work(port, deadline)``; return the sum of what they return, and the seconds."""
    counts: list[int] = []
    failures: list[BaseException] = []

    def run(port: int) -> None:
        try:
            counts.append(work(port, time.monotonic() + seconds))
        except BaseException as error:
            failures.append(error)

    started = time.perf_counter()
    threads = [threading.Thread(target=run, args=(ports[n % len(ports)],)) for n in range(ways)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts), time.perf_counter() - started


def asking(request: bytes, is_granted: Callable[[bytes], bool]) -> Callable[[int, float], int]:
    """Return work that sends one request again and again on one connection, and counts what was granted."""

    def work(port: int, deadline: float) -> int:
        n = 0
        with connected(port) as ask:
            while time.monotonic() < deadline:
                n += is_granted(ask(request))
        return n

    return work


def connecting(port: int, deadline: float) -> int:
    """Connect, ask for the versions, and close, again and again."""
    n = 0
    while time.monotonic() < deadline:
        with connected(port) as ask:
            ask(api_versions())
        n += 1
    return n
