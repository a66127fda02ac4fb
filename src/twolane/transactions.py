"""Transactions of the safe lane: begin, commit on success, abort on error, and which errors leave which way open."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from twolane.client import transactions as native
from twolane.client.handle import kafka_error
from twolane.errors import ClosedProducerError, ConfigError, FatalProducerError, TransactionError, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import TopicPartition

    from twolane.client.handle import Handle

# librdkafka's calls go on where they were when called again after a time-out: short ones keep Ctrl-C alive.
STEP_MS = 500
_TIMED_OUT = -185
_Told = tuple[int, str, bool, bool, bool]


class Transactions:
    """One producer's transactions.

    Parameters
    ----------
    transactional_id : str or None
        The setting.
    pass_notes_on : callable
        Serves librdkafka's logs while a call waits.
    """

    def __init__(self, handle: Handle, transactional_id: str | None, pass_notes_on: Callable[[], None]) -> None:
        self._handle = handle
        self._id = transactional_id
        self._pass_notes_on = pass_notes_on
        self.is_open = False
        self.end_by = math.inf  # time.monotonic(): the producer closes, no call may last longer

    def _run(self, what: str, call: Callable[[int], _Told | None], deadline: float) -> None:
        """Call until it succeeds, fails for good, or time runs out; retriable errors are tried again."""
        if self._id is None:
            raise ConfigError(f"{what}: set transactional.id first", key="transactional.id")
        while True:
            left_ms = int((deadline - time.monotonic()) * 1000)
            told = call(max(1, min(STEP_MS, left_ms)))
            self._pass_notes_on()
            if told is None:
                return
            code, text, fatal, retriable, must_abort = told
            if fatal:
                raise FatalProducerError(
                    kafka_error(code, text, fatal=True), verdict=Verdict.UNKNOWN, topic=None, detail=f"{what}: {text}"
                )
            if not retriable or must_abort or time.monotonic() >= deadline:
                raise TransactionError(
                    kafka_error(code, text, retriable=retriable), what=what, retriable=retriable, must_abort=must_abort
                )
            if time.monotonic() >= self.end_by:
                raise ClosedProducerError(f"{what}: the producer was closed while the call waited")
            if code != _TIMED_OUT:
                time.sleep(0.1)

    def init(self, deadline: float) -> None:
        """Fence older producers of the same id and wait for their transactions to end."""
        self._run("init_transactions", lambda step: native.init_transactions(self._handle, step), deadline)

    def begin(self) -> None:
        """Begin."""
        self._run("begin_transaction", lambda _: native.begin_transaction(self._handle), time.monotonic())
        self.is_open = True

    def commit(self, deadline: float) -> None:
        """Commit; an error that demands it aborts instead, and is raised."""
        try:
            self._run("commit_transaction", lambda step: native.commit_transaction(self._handle, step), deadline)
        except TransactionError as error:
            if error.must_abort:
                self.abort(deadline + 10.0)
            raise
        self.is_open = False

    def abort(self, deadline: float) -> None:
        """Abort."""
        self._run("abort_transaction", lambda step: native.abort_transaction(self._handle, step), deadline)
        self.is_open = False

    def send_offsets(self, offsets: list[TopicPartition], group_metadata: Any, deadline: float) -> None:
        """Add consumed offsets to the transaction."""
        listed = [(entry.topic, entry.partition, entry.offset) for entry in offsets if entry.offset >= 0]
        if not listed:
            return
        self._run(
            "send_offsets_to_transaction",
            lambda step: native.send_offsets(self._handle, listed, group_metadata, step),
            deadline,
        )

    @contextlib.contextmanager
    def run(self, timeout: Callable[[], float]) -> Iterator[None]:
        """Begin; commit when the body ends, abort when it raises."""
        self.begin()
        try:
            yield
        except BaseException as error:
            try:
                self.abort(timeout())
            except Exception as problem:  # noqa: BLE001 - the body's error is the one to raise
                error.add_note(f"twolane: the transaction could not be aborted either: {problem}")
            raise
        self.commit(timeout())
