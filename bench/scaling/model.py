"""Many workers: records a second, CPU, connections, and the first bound that more of them meet.

A worker sends calls of n records, which fall on p partitions: ``q`` requests of ``b = n / q`` records. Its own pace is
the smallest of three (`twolane.cli.advising.costs` has what a request and a record cost)::

    1 / (cpu_request / b + cpu_record)                                  its own work
    n / (ceil(q / brokers) * (RTT + request) + n * record)              safe lane: one request of a connection at a time
    what it has to send                                                 a service with so many records a second

W workers want W times that. What the brokers bear is CPU: of all of them together a request costs ``leader +
(replicas - 1) * follower``, and so does a record; connections, producer ids and transactions have their prices, too.
Each bound is a use of something there is so much of; the first one is where the use is greatest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.scaling.workers import ONE
from twolane.cli.advising.costs import Costs, fit, fitting

if TYPE_CHECKING:
    from collections.abc import Mapping

# librdkafka's topic.metadata.refresh.interval.ms, and the lanes' batch.num.messages.
REFRESH_SECONDS = 300.0
MOST_RECORDS = {"safe": 100_000, "throughput": 10_000}
# Metadata requests of a producer until its first record: for the brokers, for the topic.
FIRST_METADATA = 2
SIZE = 100


@dataclass(frozen=True)
class Replicated:
    """CPU seconds at the brokers, all together: at the leader, and what each follower adds."""

    leader: float
    follower: float

    def of(self, replication: int) -> float:
        """Return the seconds with so many replicas."""
        return self.leader + (replication - 1) * self.follower


@dataclass(frozen=True)
class Prices:
    """What was measured.

    Attributes
    ----------
    clients : mapping
        Lane -> what a request and a record cost the producer.
    request, record : Replicated
        A ProduceRequest, and each of its records of 100 bytes.
    connection, producer_id, metadata, metadata_partition, transaction : float
        CPU seconds at the brokers; of metadata the request and each of the topic's partitions.
    transaction_seconds : float
        On the clock, without a delay.
    entry_bytes : float
        Of a broker's heap, for each producer id in each replica of a partition that it has written to.
    """

    clients: Mapping[str, Costs]
    request: Replicated
    record: Replicated
    connection: float
    producer_id: float
    metadata: float
    metadata_partition: float
    transaction: float
    transaction_seconds: float
    entry_bytes: float


@dataclass(frozen=True)
class Cluster:
    """Brokers, and how much of each may be used.

    Attributes
    ----------
    cores : int
        Of a broker; `busy` is the part that requests may take.
    connections : int
        Of a broker. Kafka sets no bound, descriptors and providers do: Amazon MSK 3 000 with IAM.
    heap, state : float
        Bytes of a broker's heap, and the part of it that may be producers' state.
    network : float
        Bytes a second into a broker.
    shared_cores : float, optional
        Workers and brokers on one machine of so many cores, as in the measured runs.
    """

    brokers: int = 3
    partitions: int = 12
    replication: int = 3
    rtt: float = 0.001
    cores: int = 8
    busy: float = 0.6
    connections: int = 3_000
    heap: float = 6 * 2**30
    state: float = 0.25
    network: float = 1.25e9
    shared_cores: float | None = None


@dataclass(frozen=True)
class Job:
    """What workers do.

    Attributes
    ----------
    call : int
        Records of a call; `spread` says whether they fall on all partitions or on one.
    rate : float, optional
        Records a second of a worker; None: as fast as it can.
    transaction : int
        Records of a transaction; 0: none.
    starts_per_day : float
        Producers that a worker makes in a day: each is a new producer id, unless it has a transactional id.
    start_seconds : float
        Within which all workers start.
    """

    workers: int
    lane: str = "throughput"
    call: int = 65_536
    spread: bool = True
    size: int = SIZE
    rate: float | None = None
    transaction: int = 0
    idempotence: bool = True
    starts_per_day: float = 24.0
    start_seconds: float = 30.0


@dataclass(frozen=True)
class Bound:
    """One of the things that there is so much of.

    Attributes
    ----------
    name : str
    use : float
        Of what there is: 1 is all of it.
    setting : str
        What moves it.
    """

    name: str
    use: float
    setting: str


@dataclass(frozen=True)
class Scale:
    """What the model says of a job on a cluster."""

    job: Job
    records_per_request: float
    of_worker: float
    paced_by: str
    records_per_second: float
    client_cores: float
    broker_cores: float
    requests_per_second: float
    connections: int
    bounds: tuple[Bound, ...]

    @property
    def first(self) -> Bound:
        """The bound that more workers meet first."""
        return max(self.bounds, key=lambda bound: bound.use)

    @property
    def workers_at_first(self) -> float:
        """How many workers meet it: every use grows with their number."""
        return self.job.workers / self.first.use


def requests_of(job: Job, partitions: int) -> int:
    """Return how many requests the records of a call are: librdkafka puts one partition into each."""
    parts = min(partitions, job.call) if job.spread else 1
    return parts * math.ceil(job.call / parts / min(fitting(job.size), MOST_RECORDS[job.lane]))


def connections_of(job: Job, cluster: Cluster) -> int:
    """Return a producer's connections: to the leaders of its partitions, and to the bootstrap server asked first."""
    return min(cluster.brokers, 1 + (cluster.partitions if job.spread else 1))


def scale(job: Job, cluster: Cluster, prices: Prices) -> Scale:
    """Say what so many workers reach, and what they use."""
    costs, q = prices.clients[job.lane], requests_of(job, cluster.partitions)
    b = job.call / q
    work = costs.cpu_request / b + costs.cpu_record
    paces = {"own CPU": 1 / work}
    if job.lane == "safe":
        in_turn = math.ceil(q / min(cluster.brokers, q))
        paces["round trips"] = job.call / (in_turn * (cluster.rtt + costs.request) + job.call * costs.record)
    if job.rate is not None:
        paces["what it has to send"] = job.rate
    paced_by = min(paces, key=paces.__getitem__)
    pace, commit = paces[paced_by], 0.0
    if job.transaction:
        # Partitions are announced, the transaction is ended: two round trips beside the records'.
        commit = prices.transaction_seconds + 2 * cluster.rtt
        pace = 1 / (1 / pace + commit / job.transaction)
    wanted = job.workers * pace
    at_brokers = prices.request.of(cluster.replication) / b
    at_brokers += prices.record.of(cluster.replication) * job.size / SIZE
    bounds = _bounds(job, cluster, prices, wanted, at_brokers)
    most = max(1.0, *(bound.use for bound in bounds if bound.name in FLOW))
    reached = wanted / most
    if cluster.shared_cores is not None:
        reached = min(wanted, cluster.shared_cores / (work + at_brokers))
    return Scale(
        job=job,
        records_per_request=b,
        of_worker=pace,
        paced_by=paced_by,
        records_per_second=reached,
        client_cores=reached * work,
        broker_cores=reached * at_brokers,
        requests_per_second=reached / b,
        connections=job.workers * connections_of(job, cluster),
        bounds=bounds,
    )


REQUESTS, NETWORK, CONNECTIONS, START = "broker CPU", "network", "connections", "start of all"
METADATA, PRODUCER_IDS, COORDINATORS = "metadata", "producer ids", "transaction coordinators"
# What slows the records down when it is used up; the others refuse, or fall over.
FLOW = (REQUESTS, NETWORK, COORDINATORS)
SETTINGS = {
    REQUESTS: "more records in a request: larger calls (`chunk`), `linger.ms`, rows of few partitions in a task",
    NETWORK: "`compression.type`; brokers",
    CONNECTIONS: "`max.connections`, `max.connections.per.ip`; one producer per host; brokers",
    START: "start workers over a longer time; keep producers; `max.connection.creation.rate`",
    METADATA: "`topic.metadata.refresh.interval.ms`; fewer partitions in a topic",
    PRODUCER_IDS: "keep producers; `producer.id.expiration.ms`; fewer partitions for each worker; heap",
    COORDINATORS: "more records in a transaction; `transaction.state.log.num.partitions` (at least the brokers)",
}


def _bounds(job: Job, cluster: Cluster, prices: Prices, wanted: float, at_brokers: float) -> tuple[Bound, ...]:
    cores = cluster.brokers * cluster.cores * cluster.busy
    touched = cluster.partitions if job.spread else 1
    metadata = prices.metadata + prices.metadata_partition * cluster.partitions
    makes_id = job.idempotence or job.transaction
    connections = job.workers * connections_of(job, cluster)
    start = connections * prices.connection + job.workers * FIRST_METADATA * metadata
    start += job.workers * prices.producer_id if makes_id else 0.0
    ids = 1.0 if job.transaction else max(1.0, job.starts_per_day)
    entries = job.workers * ids * touched * cluster.replication / cluster.brokers if makes_id else 0.0
    commits = wanted / job.transaction if job.transaction else 0.0
    use = {
        REQUESTS: wanted * at_brokers / cores,
        NETWORK: wanted * job.size * cluster.replication / cluster.brokers / cluster.network,
        CONNECTIONS: connections / cluster.brokers / cluster.connections,
        START: start / job.start_seconds / cores,
        METADATA: job.workers * metadata / REFRESH_SECONDS / cores,
        PRODUCER_IDS: entries * prices.entry_bytes / (cluster.heap * cluster.state),
        COORDINATORS: commits * prices.transaction / cores,
    }
    return tuple(Bound(name, value, SETTINGS[name]) for name, value in use.items())


def prices_of(report: Mapping[str, Any]) -> Prices:
    """Return the prices behind the rows of ``bench.scaling``."""
    rows = [row for row in report["sending"] if row["rtt_ms"] == 0 and row["share"] != ONE]
    alone = [row for row in rows if row["workers"] == 1 and row["replication"] == 3]
    calls = [row for row in alone if row["lane"] == "safe" and not row["spread"]]
    batches = [row for row in alone if row["lane"] == "throughput"]
    clients = {
        "safe": fit([_point(row, row["call"]) for row in calls]),
        "throughput": fit([_point(row, row["records_per_request"]) for row in batches]),
    }
    once, thrice = (_at_brokers([row for row in rows if row["replication"] == n]) for n in (1, 3))
    asked = {row["request"]: row for row in report["requests"]}
    few, *_, many = sorted((row for row in report["requests"] if "partitions" in row), key=_partitions)
    each = max(0.0, many["broker_cpu_us"] - few["broker_cpu_us"]) / (many["partitions"] - few["partitions"])
    commits = sorted(report["transactions"], key=lambda row: int(row["producers"]))
    return Prices(
        clients=clients,
        request=Replicated(once[0], max(0.0, thrice[0] - once[0]) / 2),
        record=Replicated(once[1], max(0.0, thrice[1] - once[1]) / 2),
        connection=asked["connection"]["broker_cpu_us"] / 1e6,
        producer_id=asked["InitProducerId"]["broker_cpu_us"] / 1e6,
        metadata=max(0.0, few["broker_cpu_us"] - each * few["partitions"]) / 1e6,
        metadata_partition=each / 1e6,
        transaction=commits[-1]["broker_cpu_us"] / 1e6,
        transaction_seconds=commits[0]["ms_each"] / 1e3,
        entry_bytes=report["producer_ids"][0]["bytes_per_entry"],
    )


def _partitions(row: Mapping[str, Any]) -> int:
    return int(row["partitions"])


def _point(row: Mapping[str, Any], records: float) -> tuple[int, float, float]:
    return round(records), 1 / row["records_per_second"], row["client_cpu_us_per_record"] / 1e6


def _at_brokers(rows: list[Any]) -> tuple[float, float]:
    """Return the CPU seconds of a request and of a record, with one number of replicas."""
    seconds = [(round(row["records_per_request"]), row["broker_cpu_us_per_record"] / 1e6) for row in rows]
    found = fit([(min(b, fitting(SIZE)), cpu, cpu) for b, cpu in seconds])
    return found.cpu_request, found.cpu_record


@dataclass(frozen=True)
class Prediction:
    """A measured run, and what the model says of it."""

    row: Mapping[str, Any]
    predicted: float

    @property
    def error(self) -> float:
        """How far off it is, as a part of what was measured."""
        return float(self.predicted / self.row["records_per_second"] - 1)


def cores_of(report: Mapping[str, Any]) -> float:
    """Return the cores that workers and brokers had: the most that a run used; others may have had the rest."""
    used = (
        row["records_per_second"] * (row["client_cpu_us_per_record"] + row["broker_cpu_us_per_record"]) / 1e6
        for row in report["sending"]
    )
    return min(float(report["machine"]["cpus"]), max(used))


def predictions(report: Mapping[str, Any]) -> list[Prediction]:
    """Return what the model says of every measured run whose producers are not shared."""
    prices, cores = prices_of(report), cores_of(report)
    near = min(row["round_trip_s"] for row in report["sending"])
    found = []
    for row in report["sending"]:
        if row["share"] != ONE:
            job = Job(row["workers"], row["lane"], row["call"], row["spread"])
            cluster = Cluster(
                partitions=row["partitions"],
                replication=row["replication"],
                rtt=row["round_trip_s"] - near if row["rtt_ms"] else 0.0,
                shared_cores=cores,
            )
            found.append(Prediction(row, scale(job, cluster, prices).records_per_second))
    return found


def at(job: Job, workers: int) -> Job:
    """Return a job with another number of workers."""
    return replace(job, workers=workers)
