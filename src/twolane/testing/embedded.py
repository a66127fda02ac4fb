"""librdkafka's mock cluster in a child process, as a Python object."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from twolane.testing.codes import error_code
from twolane.testing.errors import ClusterError
from twolane.testing.records import LoggedRecord, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

CHILD = Path(__file__).with_name("_mock_broker.py")
STOP_SECONDS = 5.0
MICROSECONDS = 1_000_000


class Request(NamedTuple):
    """One request that a broker of the embedded cluster received.

    Attributes
    ----------
    api_key : int
        Kind of request, see `ApiKey`.
    broker : int
        Broker that received it.
    timestamp : float
        Seconds on the clock of `time.monotonic`.
    """

    api_key: int
    broker: int
    timestamp: float


def _end_child(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the child: politely by closing its input, then by its id."""
    if os.getpid() != owner:  # A forked process runs exit handlers too; the child is not its own.
        return
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class EmbeddedCluster:
    """A Kafka cluster of librdkafka's mock brokers, in a child process.

    It listens on free ports of the loopback interface, speaks Kafka's protocol to any client, keeps about 5 MiB of each
    partition and forgets everything when it closes. Unknown topics are made on first use, with four partitions. Faults
    are scripted: errors per request, round-trip times, stopped brokers, partitions without leader.

    Parameters
    ----------
    brokers : int, default 3
        Their ids are ``1`` to `brokers`.
    track_requests : bool, default False
        Call `start_tracking` at once.

    Raises
    ------
    ClusterError
        The child process did not start; the message holds what it said.

    Notes
    -----
    The child lives in its own session, so Ctrl-C in the terminal does not take the brokers away from a producer that
    still has to drain. It ends with `close`, with this object, or with this process, in whatever way that ends.

    What it cannot show: there is no replication (``acks=all`` costs nothing) and no deduplication (an idempotent
    producer's retry of an appended record is appended again), and its delivery reports always carry the timestamp 1234
    as LogAppendTime. The record in the log does keep the time that was sent, so consume it back. A fetch answers one
    batch at a time and an empty one waits for ``fetch.wait.max.ms``: set that low in consumers. A test or benchmark of
    those matters needs `KafkaCluster`.

    Examples
    --------
    >>> from confluent_kafka import Producer
    >>> from twolane.testing import EmbeddedCluster
    >>> with EmbeddedCluster() as cluster:
    ...     cluster.create_topic("audit", partitions=2)
    ...     producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    ...     producer.produce("audit", b"login")
    ...     producer.flush(10)
    0
    """

    def __init__(self, brokers: int = 3, *, track_requests: bool = False) -> None:
        if brokers < 1:
            raise ValueError(f"a cluster has at least one broker, got {brokers}")
        self._lock = threading.Lock()
        self._brokers = brokers
        self._tracking = False
        # A file, because nothing reads a pipe while the child runs, and a full one would stop it.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        # -P: the child is run as a file, and its neighbours must not shadow modules of the standard library.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD), str(os.getpid()), str(brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            # Where this process found confluent-kafka, the child finds it too.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._end = weakref.finalize(self, _end_child, self._process, os.getpid())
        try:
            self._bootstrap_servers: str = self._answer()
        except BaseException:
            self.close()
            raise
        if track_requests:
            self.start_tracking()

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            self._stderr.seek(0)
            said = self._stderr.read().decode(errors="replace").strip() or "nothing"
            raise ClusterError(f"the embedded cluster's process {self._process.pid} is gone; it said: {said}")
        message = json.loads(line)
        if "error" in message:
            raise ClusterError(f"the embedded cluster refused: {message['text']}", code=message["error"])
        return message["ok"]

    def _do(self, name: str, *arguments: object) -> Any:
        with self._lock:
            if not self._end.alive or self._process.stdin is None:
                raise ClusterError("the embedded cluster is closed")
            try:
                self._process.stdin.write(json.dumps({"do": name, "with": arguments}).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # The child is gone: reading its answer finds out what it said.
            return self._answer()

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the brokers, comma-separated. `reset` changes them."""
        return self._bootstrap_servers

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def broker_ids(self) -> range:
        """Ids of the brokers."""
        return range(1, self._brokers + 1)

    def records(self, topic: str, timeout: float = 20.0) -> list[LoggedRecord]:
        """Read a topic from its beginning to its end with confluent-kafka's consumer, by partition and offset.

        Parameters
        ----------
        topic : str
        timeout : float, default 20
            Seconds.

        Raises
        ------
        ClusterError
            There is no such topic, or its end was not reached in time.
        """
        return read_records(self.bootstrap_servers, topic, timeout)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic.

        Parameters
        ----------
        name : str
        partitions : int, default 1

        Raises
        ------
        ClusterError
            It exists already.
        """
        self._do("create_topic", name, partitions)

    def remake_topic(self, name: str, partitions: int) -> None:
        """Delete a topic and make it anew, empty, with so many partitions.

        Parameters
        ----------
        name : str
        partitions : int

        Raises
        ------
        ClusterError
            It does not exist, or this librdkafka's mock cluster deletes no topics.
        """
        self._do("remake_topic", name, partitions)

    def set_topic_error(self, topic: str, code: int | str) -> None:
        """Let every metadata answer report an error for a topic.

        Parameters
        ----------
        topic : str
        code : int or str
            0 ends it.
        """
        self._do("set_topic_error", topic, error_code(code))

    def set_leader(self, topic: str, partition: int, broker: int | None) -> None:
        """Move a partition to another leader.

        Parameters
        ----------
        topic : str
        partition : int
        broker : int or None
            None leaves the partition without a leader.
        """
        self._do("set_leader", topic, partition, broker)

    def stop_broker(self, broker: int) -> None:
        """Close a broker's connections and refuse new ones; its partitions keep it as their leader."""
        self._do("stop_broker", broker)

    def start_broker(self, broker: int) -> None:
        """Let a stopped broker accept connections again."""
        self._do("start_broker", broker)

    def set_rtt(self, ms: int, broker: int | None = None) -> None:
        """Delay answers. A request is carried out on arrival; requests in one connection are delayed side by side.

        Parameters
        ----------
        ms : int
            Milliseconds between a request and its answer; 0 ends it.
        broker : int, optional
            Of one broker only.
        """
        self._do("set_rtt", ms, broker)

    def push_errors(self, api_key: int, codes: int | str | Iterable[int | str]) -> None:
        """Answer the next requests of a kind with errors, whichever broker gets them.

        A request answered so has no effect: its records are not appended.

        Parameters
        ----------
        api_key : int
            Kind of request, see `ApiKey`; Produce is 0.
        codes : int, str or iterable of them
            One for each request, in order. 0 lets one pass; ``"_TRANSPORT"`` closes the connection without an answer.
        """
        given = [codes] if isinstance(codes, (int, str)) else codes
        self._do("push_errors", int(api_key), [error_code(code) for code in given])

    def push_broker_errors(self, broker: int, api_key: int, errors: Iterable[tuple[int | str, int]]) -> None:
        """Answer the next requests of a kind to one broker with errors and delays.

        Parameters
        ----------
        broker : int
        api_key : int
            Kind of request, see `ApiKey`.
        errors : iterable of (code, rtt_ms)
            One for each request, in order. Code 0 with a large delay: carried out, but answered late. These come before
            those of `push_errors`.

        Notes
        -----
        `clear_errors` does not reach them (librdkafka has no call for it); `reset` does.
        """
        pairs = [(error_code(code), int(rtt_ms)) for code, rtt_ms in errors]
        self._do("push_broker_errors", broker, int(api_key), pairs)

    def pending_broker_errors(self, broker: int, api_key: int) -> int:
        """Return how many errors of `push_broker_errors` were not answered yet."""
        return int(self._do("pending_broker_errors", broker, int(api_key)))

    def clear_errors(self, api_key: int) -> None:
        """Forget the errors of `push_errors` that were not answered yet."""
        self._do("clear_errors", int(api_key))

    def start_tracking(self) -> None:
        """Keep a list of requests from now on. It grows until `clear_requests`."""
        self._do("start_tracking")
        self._tracking = True

    def stop_tracking(self) -> None:
        """Stop keeping a list of requests, and forget it."""
        self._do("stop_tracking")
        self._do("clear_requests")
        self._tracking = False

    def clear_requests(self) -> None:
        """Empty the list of requests."""
        self._do("clear_requests")

    def requests(self, api_key: int | None = None) -> list[Request]:
        """Return the requests that arrived since tracking started, in order of arrival.

        Parameters
        ----------
        api_key : int, optional
            Only those of one kind, see `ApiKey`.

        Raises
        ------
        ClusterError
            Tracking was not started.
        """
        if not self._tracking:
            raise ClusterError("requests are not tracked: call start_tracking() first")
        found = (Request(key, broker, micros / MICROSECONDS) for key, broker, micros in self._do("requests"))
        return [request for request in found if api_key is None or request.api_key == api_key]

    def reset(self) -> None:
        """Start afresh: no topics, errors, delays or tracking, every broker up, other ports.

        Takes about 2 ms. Clients of the time before cannot reconnect.
        """
        self._bootstrap_servers = self._do("renew")
        self._tracking = False

    def close(self) -> None:
        """End the child process. Harmless when done twice."""
        self._end()
        self._stderr.close()

    def __enter__(self) -> EmbeddedCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self._bootstrap_servers if self._end.alive else "closed"
        return f"<EmbeddedCluster of {self._brokers} brokers: {state}>"
