"""What has been sent and is not reported yet, as a future: waited for, awaited, or called back from."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from twolane.common.arguments import seconds_of
from twolane.common.loop_wakers import waker_of
from twolane.common.waiters import Waiters
from twolane.errors import ForkedProducerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from twolane.errors import DeliveryError
    from twolane.results import RecordMetadata
    from twolane.throughput.problems import Problems

R = TypeVar("R")


class Delivery(ABC, Generic[R]):
    """Base of BatchDelivery and RecordDelivery; not for use by itself.

    It is awaitable, any number of times, and counts as a coroutine: ``asyncio.create_task(delivery)`` works.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._is_done = False
        self._seen = False
        self._callbacks: dict[object, Callable[[Any], Any]] = {}  # by a token of each, in order

    @abstractmethod
    def _take(self) -> R:
        """Return or raise what became of it, once it is done."""

    def done(self) -> bool:
        """Return whether everything was reported."""
        return self._is_done

    def result(self, timeout: float | None = None) -> R:
        """Wait for the brokers.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without end by default (every record has its ``message.timeout.ms``). Ctrl-C interrupts.

        Raises
        ------
        DeliveryError
            The record was not acknowledged; BatchError where some of a batch were not.
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
            waiters: Waiters = vars(self).setdefault("_waiters", Waiters())
            if not waiters.wait(self.done, None if timeout is None else seconds_of(timeout)):
                raise TimeoutError(f"{self!r}: not all reports within {timeout} s")
        self._seen = True
        return self._take()

    def add_done_callback(self, function: Callable[[Self], Any]) -> None:
        """Call ``function(self)`` from the producer's delivery thread when all reports are in; at once if they are.

        Raises
        ------
        ForkedProducerError
            They are not, and this is another process, which the reports never reach.
        """
        self._call_when_done(function)

    def _call_when_done(self, function: Callable[[Self], Any]) -> object:
        """Do so; return the token under which the callback is kept until then."""
        if not self._is_done:
            self._refuse_elsewhere()
        token = object()
        self._callbacks[token] = function
        # Added before is_done is read; _tell() sets it before it reads the callbacks: one of them calls it.
        if self._is_done and self._callbacks.pop(token, None) is not None:
            function(self)
        return token

    def _tell(self) -> None:
        """Wake the waiting threads and call back: it is done. Called once, in the delivery thread."""
        self._is_done = True
        waiters = vars(self).get("_waiters")
        if waiters is not None:
            waiters.wake()
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

    def _refuse_elsewhere(self) -> None:
        if self._problems.is_forked:
            raise ForkedProducerError("the reports of what was sent go to the process that sent it")

    def _keep_unseen(self, error: DeliveryError, what: str) -> None:
        """Let flush() and close() raise an error that was not asked for: failures are not lost in silence."""
        self._problems.add(error)
        self._problems.say(logging.ERROR, "nobody looked at %s: %s", what, error)

    # ---- awaiting ------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, R]:
        if not self._is_done:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            waker = waker_of(loop)
            token = self._call_when_done(lambda _: waker.end(future))
            try:
                yield from future
            finally:
                self._callbacks.pop(token, None)  # of a wait that was cancelled
        return self.result(0)

    def send(self, value: Any) -> Any:
        """Go one step on, as a coroutine: called by ``asyncio.create_task(delivery)``, not by users."""
        return self._step(lambda steps: steps.send(value))

    def throw(self, *error: Any) -> Any:
        """Raise in the step, as in a coroutine: `error` is what ends the task that awaits."""
        return self._step(lambda steps: steps.throw(*error))

    def close(self) -> None:
        """End the step, as a coroutine's ``close()``; the records go on."""
        steps = self._steps_by_task().pop(_task(), None)
        if steps is not None:
            steps.close()

    def _steps_by_task(self) -> dict[Any, Generator[Any, Any, R]]:
        """Return the awaits that tasks made of it are in: each has its own."""
        steps: dict[Any, Generator[Any, Any, R]] = vars(self).setdefault("_steps", {})
        return steps

    def _step(self, do: Callable[[Generator[Any, Any, R]], Any]) -> Any:
        by_task, task = self._steps_by_task(), _task()
        if task not in by_task:
            by_task[task] = self.__await__()
        try:
            return do(by_task[task])
        except BaseException:
            del by_task[task]
            raise

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it is the records on their way, not a description of them


class RecordDelivery(Delivery["RecordMetadata"]):
    """One record on its way.

    A future of its RecordMetadata: ask it (``done()``, ``result()``), await it, make a task of it, or give it a
    callback. Made by ``ThroughputProducer.submit()`` only.
    """

    _error: DeliveryError | None = None
    _metadata: RecordMetadata | None = None

    def __init__(self, problems: Problems) -> None:
        super().__init__(problems)
        self._started = time.monotonic()

    def __call__(self, error: DeliveryError | None, metadata: RecordMetadata | None) -> None:
        """Take the report: `error` or `metadata`. Called by the delivery thread, not by users."""
        self._error, self._metadata = error, metadata
        self._tell()

    def _take(self) -> RecordMetadata:
        if self._error is not None:
            raise self._error
        assert self._metadata is not None
        return self._metadata

    def __reduce__(self) -> tuple[Any, ...]:
        return _record_elsewhere, (self._is_done, self._error, self._metadata)

    def __del__(self) -> None:
        error = self._error
        if error is None or self._seen or self._problems.is_forked or self._started < self._problems.void_before:
            return
        self._keep_unseen(error, "a record that failed")

    def __repr__(self) -> str:
        return f"<RecordDelivery, {'done' if self._is_done else 'on its way'}>"


class Elsewhere:
    """In place of the problems of a delivery that another process has: no report comes to this one."""

    is_forked = True
    is_delivery_thread = False


def _record_elsewhere(is_done: bool, error: DeliveryError | None, metadata: RecordMetadata | None) -> RecordDelivery:
    """Return a RecordDelivery as it was when it was pickled."""
    elsewhere: Any = Elsewhere()
    record = RecordDelivery(elsewhere)
    record._is_done, record._error, record._metadata, record._seen = is_done, error, metadata, True
    return record


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop: it is stepped through by hand
        return None
