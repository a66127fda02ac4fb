"""Every exception of the library, and the one place where those of a delivery are made: `refused`, `from_report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

from twolane.results import Verdict as Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twolane.results import BatchMetadata, DeliveryReport
    from twolane.sinks.reports import TaskReport

VALUE_LENGTH = 40
# Errors that a record gets because of another one: purged behind it, or in one request with it.
CONSEQUENCES = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._INVALID_DIFFERENT_RECORD})
NO_OFFSET = (
    "acknowledged without an offset of its own: librdkafka inferred the acknowledgement, or the broker took the record "
    "for an earlier one; it may not be in the log"
)
# A request may hold as much as batch.size; a broker holds it against the topic's own limit, and refuses all of it.
TOO_LARGE = (
    "the broker refused the request for its size: the topic's max.message.bytes is below the record, or below "
    "batch.size, which a request of many records may reach. Raise the one or lower the other"
)


def shown(value: object, length: int = VALUE_LENGTH) -> str:
    """Return ``repr(value)``, cut to `length` characters, for error messages."""
    try:
        # A slice first: the repr of a 100 MB value is not worth making to show 40 characters of it.
        text = repr(value[: length + 1] if isinstance(value, (bytes, bytearray, str)) else value)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - a value whose repr fails is still one to report; panics of Rust are no Exceptions
        text = f"<{type(value).__name__}>"
    return text if len(text) <= length else text[: length - 3] + "..."


# All that is known of a record that librdkafka did not take.
REFUSED = "refused by librdkafka"
# What to do about errors of which nothing is known but librdkafka's code.
_WAYS_OUT = {
    KafkaError._STATE: (
        "the producer has a transactional.id: call init_transactions() once, and send inside"
        " `with producer.transaction():`"
    )
}


class TwolaneError(Exception):
    """Base class of every exception that the library raises on purpose.

    Each can be copied and pickled with all its attributes and notes, whatever its constructor asks for: pools hand them
    from process to process. As with Python's own, ``__cause__``, ``__context__`` and the traceback stay behind.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return without_init, (type(self), self.args), self.__dict__


def without_init(
    kind: type[TwolaneError], arguments: tuple[Any, ...], attributes: tuple[tuple[str, Any], ...] = ()
) -> TwolaneError:
    """Make an exception anew whose attributes follow: its own constructor wants more than ``args`` has."""
    error = kind.__new__(kind, *arguments)
    # ImportError's keeps what str() shows.
    builtin: Any = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    builtin.__init__(error, *arguments)
    error.__dict__.update(attributes)
    return error


class ConfigError(TwolaneError, ValueError):
    """A setting is unknown, has a wrong value, or breaks what the lane promises.

    Attributes
    ----------
    key : str or None
        The setting, as the dotted librdkafka name.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class LibraryError(TwolaneError, ImportError):
    """librdkafka was not found, has the wrong version, or lacks a function."""


class SerializationError(TwolaneError, ValueError):
    """A value cannot be turned into record bytes. Nothing of the call was sent.

    Parameters
    ----------
    reason : str
        What was expected and what was found.
    index : int, optional
        Row of the batch, from 0.
    field : str, optional
        Path of the field, such as ``"address.lines[2]"``.
    value : object, optional
        The offending value; the message shows at most 40 characters of its repr.
    topic : str, optional
        Filled in by the producers.

    Attributes
    ----------
    index, field, topic : int, str, str or None
        As given.
    opaque : object
        Of the call, where ``on_bad_row="skip"`` left the row out.
    """

    _what = "cannot serialize"
    opaque: Any = None

    def __init__(
        self,
        reason: str,
        *,
        index: int | None = None,
        field: str | None = None,
        value: Any = ...,
        topic: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index
        self.field = field
        self.topic = topic
        self.value_text = None if value is ... else shown(value)

    def __str__(self) -> str:
        where = [
            text
            for text in (
                f"topic {self.topic!r}" if self.topic is not None else "",
                f"record {self.index}" if self.index is not None else "",
                f"field {self.field!r}" if self.field is not None else "",
            )
            if text
        ]
        place = f" ({', '.join(where)})" if where else ""
        value = f", got {self.value_text}" if self.value_text is not None else ""
        return f"{self._what}{place}: {self.reason}{value}"


class TimestampError(SerializationError):
    """A time is missing, out of range or ambiguous. Nothing of the call was sent."""

    _what = "no usable timestamp"


class QueueFullError(TwolaneError, BufferError):
    """The throughput lane's window is full and ``on_full="raise"``.

    Attributes
    ----------
    index : int
        The first record of the call that was not accepted; those before it were.
    delivery : BatchDelivery or None
        Of the accepted records of a batch call.
    """

    def __init__(self, message: str, *, index: int = 0, delivery: Any = None) -> None:
        super().__init__(message)
        self.index = index
        self.delivery = delivery


class ClosedProducerError(TwolaneError, RuntimeError):
    """The producer is closed, or was closed while the call waited.

    Attributes
    ----------
    index : int
        The first record of the call that was not accepted.
    delivery : BatchDelivery or None
        Of the records before it, where a batch was being enqueued on the throughput lane.
    """

    def __init__(self, message: str, *, index: int = 0, delivery: Any = None) -> None:
        super().__init__(message)
        self.index = index
        self.delivery = delivery


class ForkedProducerError(TwolaneError, RuntimeError):
    """The producer belongs to the parent process: make a new one after ``fork()``."""


class DeliveryError(TwolaneError, KafkaException):
    """A record was not acknowledged.

    Attributes
    ----------
    verdict : Verdict
        Not written, or unknown.
    topic : str or None
    partition : int or None
        Where it was sent; None where no partition was chosen yet.
    index : int
        Row in its call, 0 for a single record.
    possible_offset : int or None
        Where the record stands if it was written, when the broker gave it (for instance with REQUEST_TIMED_OUT).
    error : confluent_kafka.KafkaError
        Code, name, ``retriable()``, ``fatal()``; also ``args[0]``, as with confluent-kafka's exceptions.
    delivery : BatchDelivery or None
        Of the call's records, where the throughput lane's ``send_batch()`` raised this after it had enqueued some.
    opaque : object
        What was given as ``opaque=`` to the call that sent the record.
    """

    opaque: Any = None

    def __init__(
        self,
        error: KafkaError,
        *,
        verdict: Verdict,
        topic: str | None = None,
        partition: int | None = None,
        index: int = 0,
        possible_offset: int | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(error)
        self.delivery: Any = None
        self.error = error
        self.verdict = verdict
        self.topic = topic
        self.partition = partition
        self.index = index
        self.possible_offset = possible_offset
        self.detail = _WAYS_OUT.get(error.code(), detail) if detail in (None, REFUSED) else detail

    def __str__(self) -> str:
        text = self.detail or self.error.str()
        offset = f"; possible offset {self.possible_offset}" if self.possible_offset is not None else ""
        said = f"{self.verdict} ({self.error.name()}: {text}{offset})"
        if self.topic is None:  # of a transaction, or of the producer
            return said
        partition = f" partition {self.partition}" if self.partition is not None and self.partition >= 0 else ""
        return f"topic {self.topic!r}{partition}, record {self.index}: {said}"


class BatchError(DeliveryError):
    """Records of a batch were not acknowledged.

    Attributes
    ----------
    index : int
        The first record of the call that was not written.
    metadata : BatchMetadata
        Every record: partition, offset where written, error and verdict where not.
    """

    def __init__(self, error: KafkaError, *, metadata: BatchMetadata, **details: Any) -> None:
        super().__init__(error, **details)
        self.metadata = metadata

    @property
    def written(self) -> int:
        """Number of records of the call that were acknowledged."""
        return self.metadata.written

    def __str__(self) -> str:
        return f"{self.written} of {len(self.metadata)} records written; first failure: {super().__str__()}"


class FatalProducerError(DeliveryError):
    """librdkafka declared the producer unusable (an idempotence or transaction error): close it, make a new one."""


class FatalBatchError(BatchError, FatalProducerError):
    """A batch failed because librdkafka declared the producer unusable."""


class TransactionError(TwolaneError, KafkaException):
    """A transaction call failed.

    Attributes
    ----------
    error : confluent_kafka.KafkaError
        Also ``args[0]``.
    what : str
        The call: ``"commit_transaction"`` and so on.
    retriable : bool
        The same call may succeed later; it was tried until the timeout.
    must_abort : bool
        The transaction cannot be committed any more; it was aborted, or a note says how far that came.
    verdict : Verdict
        NOT_WRITTEN: not committed, and it will not be. UNKNOWN: it may be; ``commit_transaction()`` again says which.
    """

    def __init__(
        self,
        error: KafkaError,
        *,
        what: str,
        retriable: bool,
        must_abort: bool,
        verdict: Verdict = Verdict.UNKNOWN,
    ) -> None:
        super().__init__(error)
        self.verdict = verdict
        self.error = error
        self.what = what
        self.retriable = retriable
        self.must_abort = must_abort

    def __str__(self) -> str:
        if self.must_abort:
            way = "the transaction must be aborted"
        elif self.verdict is Verdict.UNKNOWN:
            way = "it may be committed: call commit_transaction() to learn its end"
        else:
            way = "retriable" if self.retriable else "not retriable"
        return f"{self.what}: {self.error.str()} ({self.error.name()}; {way})"


class TaskError(TwolaneError):
    """A task of an engine's job (Spark, Ray, Dask) could not write its rows.

    Attributes
    ----------
    report : twolane.sinks.reports.TaskReport
        Which task and attempt, its rows by their verdicts, and where those stand that were written.
    """

    def __init__(self, message: str, *, report: TaskReport) -> None:
        super().__init__(message)
        self.report = report


def refused(
    topic: str | None, code: int, detail: str, *, index: int = 0, partition: int | None = None
) -> DeliveryError:
    """Return the error of a record that was never handed over: not written."""
    error = KafkaError(code, detail)
    return DeliveryError(
        error, verdict=Verdict.NOT_WRITTEN, topic=topic, partition=partition, index=index, detail=detail
    )


def oversize(size: int, max_bytes: int) -> str:
    """Return why a record is refused that is larger than ``message.max.bytes``."""
    return f"{size} bytes with its overhead, message.max.bytes is {max_bytes}"


def from_report(
    topic: str, report: DeliveryReport, *, detail: str | None = None, fatal: str | None = None
) -> DeliveryError:
    """Return the error of a record without an acknowledgement.

    Parameters
    ----------
    detail : str, optional
        More than librdkafka says of the code.
    fatal : str, optional
        Why librdkafka declared the producer unusable: makes it a FatalProducerError.
    """
    code = report.error or KafkaError._FAIL  # there is no code for a success without an offset
    if report.error == 0:
        detail = detail or NO_OFFSET
    elif code == KafkaError.MSG_SIZE_TOO_LARGE:
        detail = detail or TOO_LARGE
    kind = DeliveryError if fatal is None else FatalProducerError
    return kind(
        KafkaError(code, fatal or detail, fatal is not None),
        verdict=report.verdict,
        topic=topic,
        partition=report.partition if report.partition >= 0 else None,
        index=report.index,
        possible_offset=report.offset if report.offset >= 0 and report.verdict is Verdict.UNKNOWN else None,
        detail=fatal or detail,
    )


def fatal_error(
    code: int, reason: str, verdict: Verdict, topic: str | None = None, what: str = ""
) -> FatalProducerError:
    """Return the error of a producer that librdkafka declared unusable."""
    return FatalProducerError(KafkaError(code, reason, True), verdict=verdict, topic=topic, detail=what + reason)


def from_metadata(metadata: BatchMetadata, fatal: str | None = None) -> BatchError:
    """Return the error of a call: the reason of the first failure by itself, the index of the first of all."""
    cause = getattr(metadata.failures, "cause", metadata.failures[0])
    error = (BatchError if fatal is None else FatalBatchError)(
        cause.error,
        metadata=metadata,
        verdict=cause.verdict,
        topic=cause.topic,
        partition=cause.partition,
        index=metadata.failures[0].index,
        possible_offset=cause.possible_offset,
        detail=cause.detail if fatal is None else f"fatal: {fatal}",
    )
    error.opaque = metadata.opaque
    return error


def cause_of(reports: Sequence[DeliveryReport]) -> DeliveryReport:
    """Return the first report that is no consequence of another; the first of all where each is one."""
    return next((report for report in reports if report.error not in CONSEQUENCES), reports[0])


def attach_result(error: BaseException, result: object, note: str) -> None:
    """Attach what became of a call to the exception that interrupted it: as ``twolane_result``, and as a note."""
    error.add_note(f"twolane: {note}")
    error.twolane_result = result  # type: ignore[attr-defined]
