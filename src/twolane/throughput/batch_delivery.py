"""BatchDelivery: what ``ThroughputProducer.send_batch()`` returns before the brokers have answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from twolane.common.arguments import seconds_of
from twolane.common.batch_metadata import metadata_of
from twolane.common.failures import Failures
from twolane.common.logs import log
from twolane.common.waiters import Waiters
from twolane.errors import BatchError, ForkedProducerError, Verdict
from twolane.refused_rows import NONE
from twolane.results import DeliveryReport

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from twolane.common.skipping import Skipped
    from twolane.refused_rows import RefusedRows
    from twolane.reports.call_result import CallResult
    from twolane.results import BatchMetadata
    from twolane.throughput.problems import Problems

# librdkafka's _DESTROY: of a record whose report never came because the client was ended.
_DESTROYED = -197
REFUSED = "never enqueued: librdkafka refused a record of the call"


class BatchDelivery:
    """The records of one call on their way.

    A future of the whole batch: ask it (``done()``, ``result()``), await it, or give it a callback. Made by
    ``ThroughputProducer.send_batch()`` only. A pickled one knows in another process what was known by then.
    """

    def __init__(
        self,
        topic: str,
        result: CallResult,
        partitions: NDArray[np.int32],
        started: float,
        problems: Problems,
        skipped: Skipped | None = None,
        opaque: Any = None,
    ) -> None:
        self.topic = topic
        self.opaque = opaque
        self._skipped = skipped
        self._result = result
        self._partitions = partitions
        self._started = started
        self._problems = problems
        self._is_done = False
        self._waiters = Waiters()
        self._callbacks: dict[object, Callable[[BatchDelivery], Any]] = {}  # by a token of each, in order
        self._metadata: BatchMetadata | None = None
        self._seen = False

    @property
    def id(self) -> int:
        """Id of the tracker that counts its reports."""
        return self._result.id

    @property
    def accepted(self) -> int:
        """Records enqueued: all of the call, but where ``send_batch()`` raised."""
        return self._result.expected

    @property
    def reported(self) -> int:
        """Records whose report has come."""
        return self._result.done

    @property
    def refused(self) -> RefusedRows:
        """Of rows that ``on_bad_row="skip"`` left out the errors, by row: known at once."""
        return NONE if self._skipped is None else self._skipped.refused

    def __len__(self) -> int:
        return len(self._partitions) if self._skipped is None else self._skipped.n

    def _row(self, record: int) -> int:
        """Return the caller's number of a record."""
        return record if self._skipped is None else self._skipped.row(record)

    def done(self) -> bool:
        """Return whether every record was reported."""
        return self._is_done

    def result(self, timeout: float | None = None) -> BatchMetadata:
        """Wait for the brokers.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without end by default (every record has its ``message.timeout.ms``). Ctrl-C interrupts.

        Raises
        ------
        BatchError
            Some records were not acknowledged.
        TimeoutError
            The reports are not all in yet; ask again.
        RuntimeError
            Asked for in a delivery callback before it is done: the callback keeps the report from coming.
        ForkedProducerError
            In a child process: the reports go to the parent.
        """
        if not self._is_done:
            if self._problems.is_delivery_thread:
                raise RuntimeError("result() in a delivery callback would wait for itself: use add_done_callback()")
            self._refuse_elsewhere()
            if not self._waiters.wait(self.done, None if timeout is None else seconds_of(timeout)):
                raise TimeoutError(f"{self!r}: not all reports within {timeout} s")
        assert self._metadata is not None
        self._seen = True
        if self._metadata.failed:
            raise self._error(self._metadata)
        return self._metadata

    def add_done_callback(self, function: Callable[[BatchDelivery], Any]) -> None:
        """Call ``function(self)`` from the producer's service thread when all reports are in; at once if they are.

        Raises
        ------
        ForkedProducerError
            They are not, and this is another process, which the reports never reach.
        """
        self._call_when_done(function)

    def _call_when_done(self, function: Callable[[BatchDelivery], Any]) -> object:
        """Do so; return the token under which the callback is kept until then."""
        if not self._is_done:
            self._refuse_elsewhere()
        token = object()
        self._callbacks[token] = function
        # Added before is_done is read; _finish() sets it before it reads the callbacks: one of them calls it.
        if self._is_done and self._callbacks.pop(token, None) is not None:
            function(self)
        return token

    def __await__(self) -> Generator[Any, None, BatchMetadata]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        def reported(_: BatchDelivery) -> None:
            # The loop may be closed: then nothing waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(wake)

        token = self._call_when_done(reported)
        try:
            yield from future
        finally:
            self._callbacks.pop(token, None)  # of a wait that was cancelled
        return self.result(0)

    def _refuse_elsewhere(self) -> None:
        if self._result.is_forked:
            raise ForkedProducerError("the reports of this batch go to the process that sent it")

    def __copy__(self) -> BatchDelivery:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BatchDelivery:
        return self  # it is the records on their way, not a description of them

    def __reduce__(self) -> tuple[Any, ...]:
        known = (self.topic, self._partitions, self.accepted, self.reported, self._metadata)
        return _elsewhere, (*known, self._skipped, self.opaque)

    def _finish(self) -> None:
        """Take the reports from the compiled side, then run the callbacks. Called once, by the DeliveryThread."""
        result = self._result
        result.detach()
        # Records are enqueued by partition: those that a refusal left unsent are among those that were sent.
        _, unsent, code = result.unacknowledged or ([], [], 0)
        n = result.expected + len(unsent)
        reports = result.failures() if result.written < result.expected else []
        if result.done < result.expected:
            reports += self._lost(n, [report.index for report in reports] + unsent)
        self._metadata = metadata_of(
            self.topic,
            result,
            self._partitions[:n],
            written=result.written,
            reports=reports,
            behind=unsent,
            reason=REFUSED,
            code=code,
            latency=time.monotonic() - self._started,
            skipped=self._skipped,
            opaque=self.opaque,
        )
        self._is_done = True
        self._waiters.wake()
        problems = []
        for token in list(self._callbacks):
            function = self._callbacks.pop(token, None)
            if function is None:
                continue
            try:
                function(self)
            except BaseException as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _lost(self, n: int, known: list[int]) -> list[DeliveryReport]:
        """Return a report for each record whose own never came because the client was ended."""
        silent = self._result.offsets[:n] == -1
        silent[known] = False
        return [
            DeliveryReport(int(i), _DESTROYED, Verdict.UNKNOWN, int(self._partitions[i]))
            for i in np.flatnonzero(silent)
        ]

    def _error(self, metadata: BatchMetadata) -> BatchError:
        failures = metadata.failures
        cause = failures.cause if isinstance(failures, Failures) else failures[0]
        error = BatchError(
            cause.error,
            metadata=metadata,
            verdict=cause.verdict,
            topic=self.topic,
            partition=cause.partition,
            index=failures[0].index,
            possible_offset=cause.possible_offset,
            detail=cause.detail,
        )
        error.opaque = self.opaque
        return error

    def __del__(self) -> None:
        metadata = getattr(self, "_metadata", None)
        if globals().get("BatchError") is None:
            return  # the interpreter's end has taken the module apart; free-threaded Python lets objects live that long
        if metadata is None or not metadata.failed or self._seen or self._started < self._problems.void_before:
            return
        if self._result.is_forked:
            return  # the parent's batch, and its threads' locks
        error = self._error(metadata)
        # flush() and close() raise it: failures are not lost in silence.
        self._problems.add(error)
        log(logging.ERROR, "nobody looked at a batch with failures: %s", error)

    def __repr__(self) -> str:
        state = "done" if self.done() else f"{self.reported} reported"
        return f"<BatchDelivery of {self.accepted} records to {self.topic!r}, {state}>"


class _Elsewhere:
    """In place of the result and the problems of a batch that another process sent: no report comes to this one."""

    id = -1
    is_forked = True
    is_delivery_thread = False

    def __init__(self, expected: int, done: int) -> None:
        self.expected, self.done = expected, done


def _elsewhere(
    topic: str,
    partitions: NDArray[np.int32],
    accepted: int,
    reported: int,
    metadata: BatchMetadata | None,
    skipped: Skipped | None = None,
    opaque: Any = None,
) -> BatchDelivery:
    """Return a BatchDelivery as it was when it was pickled: its result where there was one, else none ever."""
    elsewhere: Any = _Elsewhere(accepted, reported)
    batch = BatchDelivery(topic, elsewhere, partitions, 0.0, elsewhere, skipped, opaque)
    batch._seen = True
    if metadata is not None:
        batch._metadata = metadata
        batch._is_done = True
    return batch
