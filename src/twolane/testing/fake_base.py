"""What the producers without brokers share: the records they keep, the failures they are to show."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from confluent_kafka import KafkaError

from twolane.common.batch_metadata import metadata_of
from twolane.common.topics import Topics
from twolane.common.transactions import BEGIN, INIT, State, Transactions
from twolane.config.known import ALIASES
from twolane.errors import REFUSED, Verdict, refused
from twolane.results import DeliveryReport, TimestampType
from twolane.testing.codes import error_code
from twolane.testing.records import LoggedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from twolane.client.handle import Handle, Topic
    from twolane.client.partitioner import Partitioner
    from twolane.common.arguments import ProduceCall
    from twolane.common.client_events import EventHandler
    from twolane.results import BatchMetadata
    from twolane.stats import Stats

# What librdkafka is given of the settings of a producer that meets no broker: nothing that says where or who.
_ELSEWHERE = ("bootstrap.", "security.", "sasl.", "ssl.", "enable.sasl.", "enable.ssl.", "transactional.", "debug")
BOOTSTRAP = "bootstrap.servers"
# Records that are read out of a call at a time.
SLICE = 8_192
DEFAULT_ERRORS = {Verdict.NOT_WRITTEN: "_MSG_TIMED_OUT", Verdict.UNKNOWN: "REQUEST_TIMED_OUT"}


class _Failure(NamedTuple):
    """What the next record gets in place of an offset."""

    verdict: Verdict
    code: int
    in_log: bool


class FakeTransactions(Transactions):
    """The real states, without a broker to ask."""

    def __init__(self, fake: Fake, transactional_id: str | None) -> None:
        super().__init__(cast("Any", fake)._handle, cast("Any", None), transactional_id, _nothing)
        self._fake_log = fake._log

    @property
    def refuses(self) -> bool:
        """Whether a record must not be sent now."""
        return self._id is not None and self.state is not State.OPEN

    def _wait(self, *_: Any, **__: Any) -> None:
        """Do nothing: every call succeeds at once."""

    def _init(self, deadline: float) -> None:
        if self._is_ready:
            raise self._error(INIT, (KafkaError._STATE, "", False, False, False))
        super()._init(deadline)

    def _begin(self, deadline: float, owner: object) -> None:
        if not self._is_ready:
            raise self._error(BEGIN, (KafkaError._STATE, "", False, False, False))
        self._owner, self.state = owner, State.OPEN

    def _commit(self, deadline: float) -> None:
        super()._commit(deadline)
        self._fake_log.commit()

    def _abort(self, deadline: float) -> None:
        super()._abort(deadline)
        self._fake_log.abort()


class RecordLog:
    """What a fake producer was given, and what it is to fail."""

    def __init__(self, partitions: int | Mapping[str, int]) -> None:
        self.partitions = partitions
        self.records: list[LoggedRecord] = []
        self.counts = dict.fromkeys(("accepted", "accepted_bytes", "written", "not_written", "unknown"), 0)
        self._open: list[LoggedRecord] = []  # of the transaction
        self._failures: deque[_Failure] = deque()
        self._ends: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def count_of(self, topic: str) -> int | None:
        """Return a topic's number of partitions; None where there is no such topic."""
        return self.partitions if isinstance(self.partitions, int) else self.partitions.get(topic)

    def fail(self, failure: _Failure, count: int) -> None:
        """Have the next records fail."""
        self._failures.extend([failure] * count)

    def take(
        self,
        record: tuple[str, int, bytes | None, bytes | None, Sequence[tuple[bytes, bytes | None]], int],
        index: int,
        *,
        in_transaction: bool,
    ) -> DeliveryReport:
        """Keep a record (topic, partition, key, value, headers, timestamp) or fail it; return its report."""
        topic, partition, key, value, headers, timestamp = record
        with self._lock:
            failure = self._failures.popleft() if self._failures else None
            verdict = Verdict.WRITTEN if failure is None else failure.verdict
            self.counts["accepted"] += 1
            self.counts["accepted_bytes"] += len(key or b"") + len(value or b"")
            self.counts[verdict.name.lower()] += 1
            offset = -1
            if failure is None or failure.in_log:
                offset = self._ends.get((topic, partition), 0)
                self._ends[topic, partition] = offset + 1
                named = [(name.decode(), content) for name, content in headers]
                made = LoggedRecord(topic, partition, offset, key, value, named, timestamp)
                (self._open if in_transaction else self.records).append(made)
            if failure is not None:
                return DeliveryReport(index, failure.code, verdict, partition)
            return DeliveryReport(index, 0, verdict, partition, offset, timestamp, TimestampType.CREATE_TIME)

    def behind(self, count: int) -> None:
        """Count records that were not sent, because of one before them."""
        self.counts["accepted"] += count
        self.counts["not_written"] += count

    def commit(self) -> None:
        """Make the transaction's records visible."""
        self.records += self._open
        self._open.clear()

    def abort(self) -> None:
        """Drop the transaction's records; their offsets are used up, as in Kafka."""
        self._open.clear()


class _Outcome:
    """What `metadata_of` and BatchDelivery ask of a CallResult."""

    id = -1
    unacknowledged = None
    timestamp_type = TimestampType.CREATE_TIME

    def __init__(self, n: int) -> None:
        self.offsets: NDArray[np.int64] = np.full(n, -1, dtype=np.int64)
        self.partitions: NDArray[np.int32] = np.full(n, -1, dtype=np.int32)
        self.reports: list[DeliveryReport] = []
        self.behind: list[int] = []
        self.expected = self.done = n

    def append_times(self) -> None:
        """Return nothing: times are the producer's."""


class FakeTopics(Topics):
    """The topics of a RecordLog."""

    def __init__(self, log: RecordLog, handle: Handle, events: EventHandler, servers: str) -> None:
        super().__init__(handle, events, servers)
        self._log = log

    def count(self, topic: Topic, deadline: float) -> int:  # noqa: D102 - as Topics'
        count = self._log.count_of(topic.name)
        if count is None:
            raise self.not_found(topic.name, KafkaError.UNKNOWN_TOPIC_OR_PART)
        topic.counted(count)
        topic.recount = False
        return count


class Fake:
    """What the fakes of both lanes share."""

    _log: RecordLog
    _transactions: Any
    _handle: Any
    _max_bytes: int
    _partitioner: Partitioner

    @property
    def records(self) -> list[LoggedRecord]:
        """All records, in the order in which they were sent; those of a transaction once it is committed. A copy."""
        return list(self._log.records)

    def records_of(self, topic: str) -> list[LoggedRecord]:
        """Return the records of one topic."""
        return [record for record in self._log.records if record.topic == topic]

    def clear(self) -> None:
        """Forget the records; offsets go on."""
        self._log.records.clear()

    def fail_next(
        self,
        verdict: Verdict = Verdict.NOT_WRITTEN,
        error: int | str | None = None,
        *,
        count: int = 1,
        in_log: bool = False,
    ) -> None:
        """Let the next records fail.

        Parameters
        ----------
        verdict : Verdict
            NOT_WRITTEN or UNKNOWN.
        error : int or str, optional
            Number or name of a ``confluent_kafka.KafkaError``; ``_MSG_TIMED_OUT`` or, for UNKNOWN,
            ``REQUEST_TIMED_OUT`` by default.
        count : int, default 1
            How many records.
        in_log : bool, default False
            For UNKNOWN: whether the record is among ``records`` all the same, as it may be in the log.
        """
        if verdict not in DEFAULT_ERRORS:
            raise ValueError(f"fail_next: expected Verdict.NOT_WRITTEN or Verdict.UNKNOWN, got {verdict!r}")
        if in_log and verdict is Verdict.NOT_WRITTEN:
            raise ValueError("fail_next: a record that is not written is not in the log")
        code = error_code(DEFAULT_ERRORS[verdict] if error is None else error)
        self._log.fail(_Failure(verdict, code, in_log), count)

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        made = cast("Any", super())._for_librdkafka(native)
        return {key: made[key] for key in made if not key.startswith(_ELSEWHERE)} | {"log_level": "0"}

    def stats(self) -> Stats:
        """Return the figures of this moment, as the real producer's, without latencies."""
        stats: Stats = cast("Any", super()).stats()
        return replace(stats, **cast("dict[str, Any]", self._log.counts))

    def _refuse_outside(self, topic: str) -> None:
        if self._transactions.refuses:
            raise refused(topic, KafkaError._STATE, REFUSED)

    def _take_all(self, call: ProduceCall, *, stops: bool) -> _Outcome:
        """Keep or fail the records of a call; with `stops` nothing goes behind a failure in its partition."""
        topic, outcome = call.topic.name, _Outcome(call.n)
        self._refuse_outside(topic)
        in_transaction = self._transactions.state is State.OPEN
        stopped = set()
        for start in range(0, call.n, SLICE):
            stop = min(call.n, start + SLICE)
            _, outcome.partitions[start:stop] = call.record_slice(start, stop)
            values, keys = call.values.slice(start, stop), call.keys.slice(start, stop) if call.keys else None
            shared, columns = call.headers.slice(start, stop)
            for i in range(stop - start):
                partition = int(outcome.partitions[start + i])
                if partition in stopped:
                    outcome.behind.append(start + i)
                    continue
                headers = list(shared[i] if isinstance(shared, list) else shared)
                headers += [(name, _item(column, i)) for name, column in columns]
                timestamp = call.timestamps if isinstance(call.timestamps, int) else int(call.timestamps[start + i])
                record = (topic, partition, _item(keys, i), _item(values, i), headers, timestamp)
                report = self._log.take(record, start + i, in_transaction=in_transaction)
                outcome.offsets[start + i] = report.offset
                if report.error:
                    outcome.reports.append(report)
                    if stops:
                        stopped.add(partition)
        self._log.behind(len(outcome.behind))
        return outcome

    def _metadata(self, call: ProduceCall, outcome: _Outcome, started: float, opaque: Any) -> BatchMetadata:
        return metadata_of(
            call.topic.name,
            cast("Any", outcome),
            outcome.partitions,
            written=call.n - len(outcome.reports) - len(outcome.behind),
            reports=outcome.reports,
            behind=outcome.behind,
            reason="not sent: a record before it was not written",
            code=KafkaError._PURGE_QUEUE,
            latency=time.monotonic() - started,
            skipped=call.skipped,
            opaque=opaque,
        )


def _nothing() -> None:
    """Pass nothing on."""


def _item(batch: Any, i: int) -> bytes | None:
    return None if batch is None else cast("bytes | None", batch[0 if batch.is_constant else i])


def somewhere(config: Mapping[str, Any] | None, keywords: Any) -> Any:
    """Return the keywords with an address, where none is given: nothing connects to it."""
    names = {BOOTSTRAP, *(alias for alias, name in ALIASES.items() if name == BOOTSTRAP)}
    given = {*(config if hasattr(config, "keys") else ()), *(key.replace("_", ".") for key in keywords)}  # type: ignore[misc]
    return keywords if given & names else {**keywords, "bootstrap_servers": "fake.invalid:9092"}
