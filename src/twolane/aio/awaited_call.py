"""AwaitedCall: one call that a task awaits, and what became of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from twolane.aio._call import LineCall, tell_soon
from twolane.errors import DeliveryError, Verdict, attach_result, refused

if TYPE_CHECKING:
    from twolane.common.logs import ClientLog


class Returned:
    """What a call returned, where that may be anything."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class AwaitedCall(LineCall):
    """One awaited call: its parameters are those of LineCall.

    Attributes
    ----------
    outcome : RecordMetadata, Returned, BaseException, or None until it is known
    sent : bool
        It has begun, and cannot be withdrawn.
    future : Wakeup, or None
        Done once `outcome` is set and the loop knows. None where nothing awaits it any more: the outcome is logged.
    """

    __slots__ = ()

    # Whether it is done also where its wait was cancelled.
    must_run = False

    def run(self) -> None:
        """Do a job that is a callable, unless it was withdrawn."""
        if self.begin():
            try:
                self.outcome = Returned(self.job())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                self.outcome = error

    def tell(self, say: ClientLog) -> None:
        """Let the task that awaits the call go on; `say` the outcome if there is none. In the loop."""
        if not tell_soon(self):
            self.log_outcome(say)

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

    def log_outcome(self, say: ClientLog) -> None:
        """Log what became of a call that nothing awaits."""
        outcome = self.outcome.value if type(self.outcome) is Returned else self.outcome
        level = logging.WARNING if isinstance(outcome, BaseException) else logging.INFO
        say(level, "a call to %r that nothing awaits any more has ended: %s", self.what, outcome)


class LastingCall(AwaitedCall):
    """A call that is made also where its wait was cancelled: the end of a transaction."""

    __slots__ = ()
    must_run = True
