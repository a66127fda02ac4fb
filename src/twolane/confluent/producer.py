"""The producer with confluent-kafka's methods, arguments and errors, over the throughput lane."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import KafkaError, KafkaException

from twolane.client import transaction_calls
from twolane.config.known import KNOWN
from twolane.config.masking import masked
from twolane.config.policy import BOOTSTRAP
from twolane.confluent.core import CLOSED, NO_BROKERS, Core
from twolane.confluent.records import UNASSIGNED, Reports, Sent, kept, kept_headers, of_message
from twolane.confluent.unknown_topics import UnknownTopics
from twolane.errors import ClosedProducerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from confluent_kafka import TopicPartition

    from twolane.confluent.records import OnDelivery

# Seconds between two looks at what flush() and a transaction call wait for; signals are handled in between.
STEP = 0.1


class Producer:
    """An asynchronous producer with the interface of ``confluent_kafka.Producer``.

    Parameters
    ----------
    config : dict, optional
        librdkafka's settings and confluent-kafka's callbacks: ``on_delivery``, ``error_cb``, ``stats_cb``,
        ``oauth_cb``, ``logger``. Callbacks run in the thread that calls ``poll()`` or ``flush()``.
    **keywords
        The same, for names without a dot: ``logger=...``.

    Raises
    ------
    KafkaException
        A setting is unknown or has a wrong value.

    Notes
    -----
    Where confluent-kafka is silent twolane is not: the settings that switch off the verification of brokers work, with
    one warning; a producer that is dropped with records in its queue warns before they are lost.
    """

    _core: Core | None = None

    def __init__(self, config: Mapping[str, Any] | None = None, /, **keywords: Any) -> None:
        if not isinstance(config, Mapping) and not keywords:
            raise TypeError("expected configuration dict")
        settings = {**(config or {}), **keywords}
        settings.update(settings.pop("default.topic.config", None) or {})
        self._reports = Reports(str(settings.pop("delivery.report.only.error", False)).lower() == "true")
        self._on_delivery: OnDelivery | None = _callback(settings, "on_delivery", "dr_cb", "dr_msg_cb")
        if settings.pop("throttle_cb", None) is not None:
            warnings.warn("throttle_cb is not called: see stats_cb, brokers' throttle", UserWarning, stacklevel=2)
        for name in ("error_cb", "stats_cb"):
            if callback := _callback(settings, name):
                settings[name] = partial(self._reports.add, callback)
        settings.setdefault(BOOTSTRAP, settings.pop("metadata.broker.list", NO_BROKERS))
        try:
            self._core = Core(settings, self._reports)
        except ConfigError as error:
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, _reason_of(error, settings))) from error
        self._unknown_topics = UnknownTopics(self._core)

    # ---- records ---------------------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = UNASSIGNED,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Mapping[str, Any] | list[tuple[str, Any]] | None = None,
    ) -> None:
        """Enqueue one record and return.

        Parameters
        ----------
        topic : str
        value, key : str (UTF-8), bytes or None
        partition : int
            -1: by the key, else any.
        callback, on_delivery : callable, optional
            Called as ``f(err, msg)`` by ``poll()`` or ``flush()`` when the record's report is in.
        timestamp : int
            Milliseconds; 0 for now.
        headers : dict or list of (str, str or bytes or None), optional

        Raises
        ------
        BufferError
            The queue is full (``queue.buffering.max.messages``, ``queue.buffering.max.kbytes``).
        KafkaException
            The record is too large, its partition does not exist, or the producer had a fatal error.
        RuntimeError
            The producer was closed.
        """
        core = self._core or self._open()
        deliver = callback or on_delivery or self._on_delivery
        if deliver is None and topic in self._unknown_topics.known:
            core.hand_over(topic, value, key, headers, partition, timestamp, None, None)
            return
        if type(value) is not bytes:
            value = kept(value, "value")
        if type(key) is not bytes:
            key = kept(key, "key")
        if headers is not None:
            headers = kept_headers(headers)
        if topic in self._unknown_topics.known:
            record = (value, key, headers, timestamp, monotonic())
            core.hand_over(topic, value, key, headers, partition, timestamp, deliver, record)
        else:
            sent = Sent(deliver, value, key, headers, timestamp, monotonic())
            self._produce(core, _checked_topic(topic), sent, partition)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        partition: int = UNASSIGNED,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> int:
        """Enqueue many records; return how many were.

        Parameters
        ----------
        topic : str
        messages : list of dict
            Each with ``value``, ``key``, ``partition``, ``timestamp``, ``headers``, ``callback`` (or ``on_delivery``),
            all optional. One that is refused gets its KafkaError as ``_error``.
        partition : int
            Of the messages without their own.
        callback, on_delivery : callable, optional
            Of the messages without their own.
        """
        core = self._open()
        topic = _checked_topic(topic)
        if not isinstance(messages, list):
            raise TypeError("messages must be a list")
        started = monotonic()
        default = callback or on_delivery or self._on_delivery
        records = [of_message(i, message, partition, default, started) for i, message in enumerate(messages)]
        n = 0
        for message, (sent, place) in zip(messages, records, strict=True):
            try:
                self._produce(core, topic, sent, place)
                n += 1
            except BufferError:
                message["_error"] = KafkaError(KafkaError._QUEUE_FULL)
            except KafkaException as error:
                message["_error"] = error.args[0]
        return n

    def _produce(self, core: Core, topic: str, sent: Sent, partition: int) -> None:
        if not self._unknown_topics.take(topic, sent, partition, lambda: core._buffer.records - len(self)):
            core.send_on(topic, sent, partition)

    # ---- reports -----------------------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> int:
        """Run the callbacks of what has happened; return how many ran.

        Parameters
        ----------
        timeout : float
            Seconds to wait for the first; -1 for as long as it takes.

        Raises
        ------
        Exception
            What a callback raised; the next call goes on behind it.
        """
        self._open()
        if timeout != 0 and not self._reports.events:
            self._wait(None if timeout is None or timeout < 0 else timeout)
        return self._reports.serve()

    def _wait(self, timeout: float | None) -> None:
        """Wait for an event."""
        events, deadline = self._reports.events, None if timeout is None else monotonic() + timeout
        while not events:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                return
            self._reports.arrivals.wait(lambda: bool(events), left)

    def flush(self, timeout: float = -1) -> int:
        """Wait until every record has its report and every callback has run; return how many are left.

        Parameters
        ----------
        timeout : float
            Seconds; -1 for as long as it takes.
        """
        core = self._open()
        deadline = math.inf if timeout is None or timeout < 0 else monotonic() + timeout
        while True:
            step = max(0.0, min(STEP, deadline - monotonic()))
            try:
                left = core.flush(step)
            except ClosedProducerError as error:
                raise RuntimeError(CLOSED) from error
            except KafkaException:  # of records without a callback
                left = core.stats().in_queue
            if not left and len(self._unknown_topics):
                self._wait(step)
            self._reports.serve()
            left = max(left, len(self))
            if not left or monotonic() >= deadline:
                return left

    def __len__(self) -> int:
        """Return how many records have no report, and how many callbacks have not run."""
        if self._core is None:
            return 0
        unreported = max(self._core.stats().in_queue, len(self._core._callbacks))
        return unreported + len(self._reports.events) + len(self._unknown_topics)

    def __bool__(self) -> bool:
        return True

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Drop records; each gets its report.

        Parameters
        ----------
        in_queue : bool
            Those that are in no request.
        in_flight : bool
            Those whose request has no answer yet.
        blocking : bool
            Wait until they are taken out.
        """
        core = self._open()
        if in_queue:
            self._unknown_topics.purge()
            core._accumulator.drain()
        core._handle.purge(in_flight, blocking, in_queue)

    # ---- the cluster -------------------------------------------------------------------------------------------------

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Return the cluster's metadata, as ``confluent_kafka.admin.AdminClient.list_topics()``."""
        return self._admin().list_topics(*([] if topic is None else [topic]), timeout=timeout)

    def cluster_id(self, timeout: float = -1) -> str | None:
        """Return the cluster's id."""
        return self.list_topics(timeout=timeout).cluster_id  # type: ignore[no-any-return]

    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient({**self._open()._settings.connection()})

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Log in with these from the next connection on."""
        self._open().set_sasl_credentials(username, password)

    # ---- transactions ------------------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float = -1) -> None:
        """Register the ``transactional.id``, and end what an earlier producer of that id left open."""
        self._transact(transaction_calls.init_transactions, timeout)

    def begin_transaction(self) -> None:
        """Begin a transaction."""
        core = self._open()
        self._unknown_topics.failure = None
        _raise(transaction_calls.begin_transaction(core._handle))

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """Commit a consumer's positions with the transaction."""
        listed = [(entry.topic, entry.partition, entry.offset) for entry in positions]
        core = self._open()
        self._transact(lambda _, ms: transaction_calls.send_offsets(core._handle, listed, group_metadata, ms), timeout)

    def commit_transaction(self, timeout: float = -1) -> None:
        """Wait for the reports of the transaction's records, and commit."""
        self._open()
        started = monotonic()
        while len(self._unknown_topics) and (timeout is None or timeout < 0 or monotonic() < started + timeout):
            sleep(STEP / 10)
        if len(self._unknown_topics):
            _raise((KafkaError._TIMED_OUT, "a topic's partitions are not known yet", False, True, False))
        failure = self._unknown_topics.failure
        if failure is not None:  # librdkafka knows nothing of that record and would commit the others
            _raise((failure.code(), failure.str(), False, False, True))
        self._transact(transaction_calls.commit_transaction, timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        """Drop the transaction's records, and abort."""
        self._open()
        self._unknown_topics.purge()
        self._transact(transaction_calls.abort_transaction, timeout)
        self._unknown_topics.failure = None

    def _transact(self, call: Callable[[Any, int], Any], timeout: float) -> None:
        """Call in steps, between which signals are handled; librdkafka goes on where a call ran out of time."""
        core = self._open()
        core._accumulator.drain()
        deadline = math.inf if timeout is None or timeout < 0 else monotonic() + timeout
        while True:
            left = deadline - monotonic()
            failure = call(core._handle, max(1, int(min(STEP * 5, left) * 1000)))
            if failure is None:
                return
            if failure[0] != KafkaError._TIMED_OUT or left <= STEP * 5:
                _raise(failure)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> bool:
        """Flush, run the callbacks, and end the client; return True."""
        if self._core is not None:
            try:
                self.flush()
            finally:
                self._end(self._core, None)
        return True

    def _end(self, core: Core, timeout: float | None) -> None:
        try:
            core.close(timeout)
        except KafkaException:  # of records without a callback
            pass
        finally:
            self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        core = self._core
        if core is None:
            return
        left = len(self)
        if left:
            text = f"{left} records were dropped with their producer: call flush()"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)
        core._buffer.close()  # no warning of its own: confluent-kafka's producers need not be closed
        core._delivery_thread.abandon(0.0)

    def _open(self) -> Core:
        if self._core is None:
            raise RuntimeError(CLOSED)
        return self._core


def _callback(settings: dict[str, Any], *names: str) -> Any:
    found = None
    for name in names:
        value = settings.pop(name, None)
        if value is not None and not callable(value):
            raise TypeError(f"expected {name} property as a callable function")
        found = found or value
    return found


def _checked_topic(topic: Any) -> str:
    if not isinstance(topic, str):
        raise TypeError(f"topic: expected str, got {type(topic).__name__}")
    return topic


def _raise(failure: tuple[int, str, bool, bool, bool] | None) -> None:
    if failure is not None:
        code, text, fatal, retriable, must_abort = failure
        raise KafkaException(KafkaError(code, text, fatal, retriable, must_abort))


def _reason_of(error: ConfigError, settings: Mapping[str, Any]) -> str:
    """Return why a setting is refused, in librdkafka's words where it has any."""
    key = error.key
    if key is None or key not in settings:
        return str(error)
    if key not in KNOWN:
        return f'No such configuration property: "{key}" ({error})'
    return f'Invalid value for configuration property "{key}": {masked(key, str(settings[key]))} ({error})'
