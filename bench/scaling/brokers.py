"""What requests of each kind cost the brokers: CPU seconds of all of them, on which the machine has less influence."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psutil
from confluent_kafka import Producer

from bench.clusters import TOPIC_SETTINGS, round_trip
from bench.peers import delay
from bench.scaling import wire, workers
from bench.verify import CATCH_UP, Log, UnverifiedError
from twolane.testing import KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the brokers of everyday life have them, which the tests' do not.
SETTINGS = {"num.network.threads": 3, "num.io.threads": 8, "transaction.state.log.num.partitions": 12}
IDLE_WINDOWS, IDLE_SECONDS = 6, 0.7
# Between looks at the brokers' CPU time, and the least that is said of it: the kernel's tick.
SAMPLE_SECONDS, TICK = 0.02, 0.01
TOPICS_OF = (12, 100, 500)
PID_PRODUCERS, PID_PARTITIONS = 10, 500
# Objects of an entry: so many for each. A fetch that waits has one for each partition, which makes other numbers.
LEAST, MOST = 0.9, 1.1
Histogram = dict[str, tuple[int, int]]


class Brokers:
    """Three real brokers, what they use of the CPU, and topics on them."""

    def __init__(self, cluster: KafkaCluster, stack: contextlib.ExitStack) -> None:
        self.cluster = cluster
        self.bootstrap = cluster.bootstrap_servers
        self.ports = [int(address.rpartition(":")[2]) for address in self.bootstrap.split(",")]
        self.pids = [cluster.pid(node) for node in cluster.broker_ids]
        self._processes = [psutil.Process(pid) for pid in self.pids]
        self._log = stack.enter_context(Log(self.bootstrap))
        self._topics: dict[tuple[int, int], str] = {}
        self.idle = 0.0
        self._proxy = None if delay.missing() else stack.enter_context(delay.DelayingProxy(cluster.proxied))

    def cpu(self) -> float:
        """Return the CPU seconds that all brokers have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def learn_idle(self) -> None:
        """Measure what brokers use that have nothing to do; it is taken off everything else.

        Their compilers go on for some time after what they were asked last: the least of some windows counts.
        """
        found = []
        for _ in range(IDLE_WINDOWS):
            cpu, started = self.cpu(), time.perf_counter()
            time.sleep(IDLE_SECONDS)
            found.append((self.cpu() - cpu) / (time.perf_counter() - started))
        self.idle = min(found)

    @contextlib.contextmanager
    def sampled(self) -> Iterator[list[tuple[float, float]]]:
        """Note the time and the brokers' CPU seconds again and again while a block runs."""
        samples, over = [(time.time(), self.cpu())], threading.Event()

        def note() -> None:
            while not over.wait(SAMPLE_SECONDS):
                samples.append((time.time(), self.cpu()))

        thread = threading.Thread(target=note)
        thread.start()
        try:
            yield samples
        finally:
            over.set()
            thread.join()
            samples.append((time.time(), self.cpu()))

    def used(self, samples: list[tuple[float, float]], began: float, ended: float) -> float:
        """Return the CPU seconds between two times, less what the brokers use when idle."""
        (first, before), (last, after) = (min(samples, key=lambda one: abs(one[0] - at)) for at in (began, ended))
        return max(after - before - self.idle * (last - first), TICK)

    @contextlib.contextmanager
    def metered(self, row: dict[str, Any]) -> Iterator[None]:
        """Put into a row the CPU seconds that the brokers used in a block, less what they use when idle."""
        began, cpu = time.time(), self.cpu()
        yield
        ended = time.time()
        row["broker_cpu_s"] = self.used([(began, cpu), (ended, self.cpu())], began, ended)

    def topic(self, partitions: int, replication: int = 3) -> str:
        """Return a topic; the same one for the same sizes."""
        if (partitions, replication) not in self._topics:
            name = f"scaling-{partitions}-{replication}-{uuid.uuid4().hex[:6]}"
            few = {} if replication > 1 else {"min.insync.replicas": 1}
            self.cluster.create_topic(name, partitions, replication, {**TOPIC_SETTINGS, **few})
            self._topics[partitions, replication] = name
        return self._topics[partitions, replication]

    def bootstrap_at(self, rtt_ms: int) -> str | None:
        """Return the address at which answers take so much longer; None where nothing can delay them."""
        if not rtt_ms:
            return self.bootstrap
        if self._proxy is None:
            return None
        self._proxy.set_rtt(rtt_ms)
        return self._proxy.bootstrap_servers

    def count(self, topic: str, partitions: int, expected: int = 0) -> int:
        """Return how many records a topic has; where they are fewer than expected, after some seconds."""
        deadline = time.monotonic() + CATCH_UP
        while (found := sum(self._log.ends(topic, partitions))) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


def send(brokers: Brokers, **what: Any) -> dict[str, Any] | None:
    """Measure workers that send, and check what they say was written; None without a way to delay answers."""
    row = {
        "share": "processes",
        "replication": 3,
        "rtt_ms": 0,
        "spread": True,
        "settings": {},
        "partitions": 12,
        "seconds": 2.0,
        **what,
    }
    bootstrap = brokers.bootstrap_at(row["rtt_ms"])
    if bootstrap is None:
        return None
    row["round_trip_s"] = round(round_trip(bootstrap), 6)
    topic = brokers.topic(row["partitions"], row["replication"])
    before = brokers.count(topic, row["partitions"])
    task = {**row, "topic": topic, "settings": {**row["settings"], "bootstrap.servers": bootstrap}}
    with brokers.sampled() as samples:
        lines = workers.run(task)
    written, warm = (sum(int(line[key]) for line in lines) for key in ("written", "warm"))
    found = brokers.count(topic, row["partitions"]) - before
    if found != written + warm:
        raise UnverifiedError(f"{row}: {written + warm} records reported, {found} in the log")
    began, ended = min(line["began"] for line in lines), max(line["ended"] for line in lines)
    wall, cpu = ended - began, brokers.used(samples, began, ended)
    requests = sum(line["requests"] for line in lines)
    row |= {
        "records": written,
        "records_per_second": round(written / wall, 1),
        "requests_per_second": round(requests / wall, 1),
        "records_per_request": round(written / max(requests, 1), 2),
        "client_cpu_us_per_record": round(sum(line["cpu"] for line in lines) / written * 1e6, 4),
        "broker_cpu_us_per_record": round(cpu / written * 1e6, 4),
        "broker_cpu_us_per_request": round(cpu / max(requests, 1) * 1e6, 2),
    }
    print({key: row[key] for key in row if key not in ("settings", "seconds", "spread")}, flush=True)
    return row


def ask(brokers: Brokers, name: str, request: bytes, seconds: float, ways: int = 8) -> dict[str, Any]:
    """Measure one request, asked for on so many connections at once, each waiting for its answer."""
    with wire.connected(brokers.ports[0]) as once:
        size = len(once(request)) + 4
    is_granted = wire.is_producer_id if request == wire.init_producer_id() else bool
    row: dict[str, Any] = {"request": name, "answer_bytes": size}
    with brokers.metered(row):
        n, wall = wire.repeat(brokers.ports, ways, seconds, wire.asking(request, is_granted))
    return _asked(row, n, wall)


def connect(brokers: Brokers, seconds: float) -> dict[str, Any]:
    """Measure connections: TCP, ApiVersions, close."""
    row: dict[str, Any] = {"request": "connection", "answer_bytes": 0}
    with brokers.metered(row):
        n, wall = wire.repeat(brokers.ports, 8, seconds, wire.connecting)
    return _asked(row, n, wall)


def _asked(row: dict[str, Any], n: int, wall: float) -> dict[str, Any]:
    row |= {
        "count": n,
        "per_second": round(n / wall, 1),
        "broker_cpu_us": round(row.pop("broker_cpu_s") / n * 1e6, 1),
    }
    print(row, flush=True)
    return row


def histogram(pid: int) -> Histogram:
    """Return the instances and bytes of each class of a broker's heap, collected; LookupError without jcmd."""
    try:
        done = subprocess.run(
            ["jcmd", str(pid), "GC.class_histogram"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LookupError(f"jcmd: {error}") from error
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[3]: (int(row[1]), int(row[2])) for row in rows if len(row) > 3 and row[0].endswith(":")}


def per_entry(before: Histogram, after: Histogram, entries: int) -> float:
    """Return the bytes of an entry: of those classes of which there is one object more for each."""
    grown = [
        (count - before.get(name, (0, 0))[0], size - before.get(name, (0, 0))[1])
        for name, (count, size) in after.items()
    ]
    return sum(size for count, size in grown if LEAST * entries <= count <= MOST * entries) / entries


def producer_ids(brokers: Brokers, producers: int = PID_PRODUCERS, partitions: int = PID_PARTITIONS) -> dict[str, Any]:
    """Measure what a broker's heap keeps of each idempotent producer in each partition that it has written to."""
    topic = brokers.topic(partitions)
    settings = {"bootstrap.servers": brokers.bootstrap, "enable.idempotence": True, "linger.ms": 5}
    for _ in range(2):  # what a partition's first records need is not counted
        _write_everywhere(Producer(settings), topic, partitions)
    pids = [pid for pid in brokers.pids if pid]
    before = [histogram(pid) for pid in pids]
    for _ in range(producers):
        _write_everywhere(Producer(settings), topic, partitions)
    sizes = [per_entry(one, histogram(pid), producers * partitions) for one, pid in zip(before, pids, strict=True)]
    row = {"producers": producers, "partitions": partitions, "bytes_per_entry": round(statistics.median(sizes), 1)}
    print(row, flush=True)
    return row


def _write_everywhere(producer: Producer, topic: str, partitions: int) -> None:
    failures: list[Any] = []
    for partition in range(partitions):
        producer.produce(
            topic, b"v", partition=partition, on_delivery=lambda error, _: failures.append(error) if error else None
        )
        producer.poll(0)
    if producer.flush(60) or failures:
        raise UnverifiedError(f"{topic}: not every partition was written to: {failures[:1]}")
