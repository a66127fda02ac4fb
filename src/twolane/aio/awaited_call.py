"""AwaitedCall: one call that a task awaits, and what became of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from twolane.common.logs import log
from twolane.errors import DeliveryError, Verdict, attach_result, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.common.record import Record

# Between a thread that begins calls and a loop that withdraws them; held for some instructions.
_deciding = threading.Lock()


class Returned:
    """What a call returned, where that may be anything."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class AwaitedCall:
    """One awaited call.

    Parameters
    ----------
    what : str
        The topic, or the name of the call.
    deadline : float
        ``time.monotonic()``: until then it is to be begun.
    job : Record or callable or None
        What is to be done; None until it is known.
    loop : asyncio.AbstractEventLoop

    Attributes
    ----------
    outcome : RecordMetadata, Returned, BaseException, or None until it is known
    sent : bool
        It has begun, and cannot be withdrawn.
    future : asyncio.Future of None, or None
        Done once `outcome` is set and the loop knows. None where nothing awaits it any more: the outcome is logged.
    """

    __slots__ = ("deadline", "future", "job", "outcome", "sent", "what")

    # Whether it goes in a group with its neighbours; whether it is done also where its wait was cancelled.
    is_record = False
    must_run = False

    def __init__(
        self, what: str, deadline: float, job: Record | Callable[[], Any] | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.what = what
        self.deadline = deadline
        self.job: Any = job
        self.outcome: Any = None
        self.sent = False
        self.future: asyncio.Future[None] | None = loop.create_future()

    def begin(self) -> bool:
        """Set `sent`; False where the call has its outcome already: it was withdrawn."""
        with _deciding:
            if self.outcome is not None:
                return False
            self.sent = True
            return True

    def end_unsent(self, outcome: BaseException) -> bool:
        """Set the outcome of a call that has not begun; False, having done nothing, if it has, or has its outcome."""
        with _deciding:
            if self.sent or self.outcome is not None:
                return False
            self.outcome = outcome
            return True

    def run(self) -> None:
        """Do a job that is a callable, unless it was withdrawn."""
        if self.begin():
            try:
                self.outcome = Returned(self.job())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                self.outcome = error

    def tell(self) -> None:
        """Let the task that awaits the call go on; log the outcome if there is none. In the loop."""
        future = self.future
        if future is None:
            self.log_outcome()
        elif not future.done():
            future.set_result(None)

    async def wait(self) -> Any:
        """Wait for the outcome and return or raise it; see `leave` for what ends the wait before."""
        assert self.future is not None
        try:
            await self.future
        except BaseException as interruption:
            self.leave(interruption)
            raise
        return self.result()

    def result(self) -> Any:
        """Return or raise the outcome."""
        outcome = self.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome.value if type(outcome) is Returned else outcome

    def late(self) -> DeliveryError:
        """Return the error of a call whose time ran out before it began."""
        return refused(self.what, KafkaError._TIMED_OUT_QUEUE, "timed out waiting for the calls before it")

    def leave(self, interruption: BaseException) -> None:
        """Stop awaiting: withdraw the call if it has not begun; say on what ended the wait what became of it.

        Parameters
        ----------
        interruption : BaseException
            CancelledError, or GeneratorExit of a coroutine that was destroyed with its loop.
        """
        if not self.must_run:
            self.end_unsent(refused(self.what, KafkaError._FAIL, "not sent: the wait for it was cancelled"))
        outcome: Any = self.outcome
        if outcome is None:
            self.future = None
            detail = "the wait for it was cancelled; what becomes of it is logged"
            outcome = refused(self.what, KafkaError._FAIL, detail)
            outcome.verdict = Verdict.UNKNOWN
        elif type(outcome) is Returned:
            outcome = outcome.value
        name = "the record being sent" if self.is_record else f"the call to {self.what!r}"
        attach_result(interruption, outcome, f"{name}: {outcome}")

    def log_outcome(self) -> None:
        """Log what became of a call that nothing awaits."""
        outcome = self.outcome.value if type(self.outcome) is Returned else self.outcome
        level = logging.WARNING if isinstance(outcome, BaseException) else logging.INFO
        log(level, "a call to %r that nothing awaits any more has ended: %s", self.what, outcome)


class AwaitedRecord(AwaitedCall):
    """A call whose job is one record, which goes with its neighbours in line."""

    __slots__ = ()
    is_record = True


class LastingCall(AwaitedCall):
    """A call that is made also where its wait was cancelled: the end of a transaction."""

    __slots__ = ()
    must_run = True
