"""Transactions of both lanes: their states, what may be called in each, and the way on from every one of them."""

from __future__ import annotations

import contextlib
import enum
import math
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from twolane.client import transaction_calls as native
from twolane.common.fair_lock import FairLock, Waiter
from twolane.errors import ClosedProducerError, ConfigError, TransactionError, TwolaneError, Verdict, fatal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import TopicPartition

    from twolane.client.handle import Handle
    from twolane.errors import FatalProducerError
    from twolane.reports.reader import ReportReader

# librdkafka's calls go on where they were when called again after a time-out: short ones keep Ctrl-C alive.
STEP_MS = 500
# And not too short: a step that is over before librdkafka's thread has looked at it leaves its question behind, whose
# answer the next call takes for its own. That one then reads success, or a wrong state, before its end.
LEAST_STEP_MS = 100
# How long the abort behind a commit that failed may outlast the commit's own deadline.
ABORT_SECONDS = 1.0
# How long behind message.timeout.ms the last report of a record may come.
REPORT_SECONDS = 2.0
_Failure = tuple[int, str, bool, bool, bool]

INIT, BEGIN, COMMIT = "init_transactions", "begin_transaction", "commit_transaction"
ABORT, OFFSETS = "abort_transaction", "send_offsets_to_transaction"


# States of librdkafka's that a call goes through: one that is refused in its own was asked about too early.
_UNDERWAY = {
    INIT: ("WaitPID", "ReadyNotAcked"),
    COMMIT: ("BeginCommit", "CommittingTransaction", "CommitNotAcked"),
    ABORT: ("BeginAbort", "AbortingTransaction", "AbortedNotAcked"),
}
_NOT_FINISHED: _Failure = (KafkaError._TIMED_OUT, "librdkafka has not finished it", False, True, False)


class State(enum.Enum):
    """Where a producer's transaction stands; the value says it in a sentence.

    The state is entered *before* librdkafka is asked, and left when its answer has come: whatever interrupts the call
    in between, the same call takes it up again.
    """

    NONE = "no transaction is open"
    BEGINNING = "a transaction is being begun"
    OPEN = "a transaction is open"
    COMMITTING = "the transaction is being committed"
    ABORTING = "the transaction is being aborted"


# What may be called in each state, and what is said of everything else.
WAYS: dict[State, tuple[frozenset[str], str]] = {
    State.NONE: (frozenset({INIT, BEGIN}), "begin one with transaction()"),
    State.BEGINNING: (frozenset({BEGIN}), "transaction() waits for it"),
    State.OPEN: (frozenset({OFFSETS, COMMIT, ABORT}), "end it with commit_transaction() or abort_transaction()"),
    # librdkafka takes nothing else then: a commit may be in the log already.
    State.COMMITTING: (frozenset({COMMIT}), "call commit_transaction() to finish it and to learn its end"),
    State.ABORTING: (frozenset({ABORT, BEGIN}), "abort_transaction(), or the next transaction(), finishes that"),
}


# Said in place of "Operation not valid in state Ready" and "Init".
_INITIALISED = "it was called already, and is called once for each producer; go on with transaction()"
_NOT_INITIALISED = "call init_transactions() first, once for each producer"


class _Beginning(threading.Thread):
    """``begin_transaction`` in a thread of its own: librdkafka bounds every call but this one."""

    def __init__(self, handle: Handle) -> None:
        # No attribute of its own for the handle: from 3.13 on Thread has one of the name.
        super().__init__(target=self._begin, args=(handle,), name="twolane-begin", daemon=True)
        self.failure: _Failure | None = None
        self.problem: BaseException | None = None
        try:
            self.start()
        except RuntimeError:  # no more threads
            self.run()

    def _begin(self, handle: Handle) -> None:
        try:
            self.failure = native.begin_transaction(handle)
        except BaseException as error:
            self.problem = error


class Transactions:
    """One producer's transactions.

    One thread at a time is in a call; the others wait for it within their timeouts.

    Parameters
    ----------
    transactional_id : str or None
        The setting.
    pass_notes_on : callable
        Serves librdkafka's logs while a call waits.
    message_timeout : float
        Seconds after which every record has its report; an abort that lasts longer, and lacks one, ends the producer.

    Attributes
    ----------
    state : State
    end_by : float
        ``time.monotonic()``: the producer closes, no call may last longer.
    gave_up : bool
        librdkafka has lost the report of a record, and the producer is ended for it: waiting brings no more.
    """

    def __init__(
        self,
        handle: Handle,
        reader: ReportReader,
        transactional_id: str | None,
        pass_notes_on: Callable[[], None],
        message_timeout: float = math.inf,
    ) -> None:
        self._handle = handle
        self._reader = reader
        self._id = transactional_id
        self._message_timeout = message_timeout  # seconds
        self._reported_by = math.inf  # the abort began so long ago that every record has its report
        self._pass_notes_on = pass_notes_on
        self._fair_lock = FairLock()
        self._beginning: _Beginning | None = None
        self._failed_commit: weakref.ref[TransactionError] | None = None  # its transaction is not aborted yet
        self._owner: object = None  # the block whose end commits
        self._is_ready = False  # init_transactions() has succeeded
        self.state = State.NONE
        self.end_by = math.inf
        self.gave_up = False

    # ---- the calls -----------------------------------------------------------------------------------------------

    def init(self, deadline: float) -> None:
        """Fence older producers of the same id and wait for their transactions to end."""
        self._alone(INIT, deadline, lambda: self._init(deadline))

    def begin(self, deadline: float, owner: object = None) -> None:
        """Begin, having finished an abort that the one before was left in."""
        self._alone(BEGIN, deadline, lambda: self._begin(deadline, owner))

    def commit(self, deadline: float) -> None:
        """Commit, or go on with a commit; an error that demands it aborts instead, and is raised."""
        self._alone(COMMIT, deadline, lambda: self._commit(deadline))

    def abort(self, deadline: float) -> None:
        """Abort, or go on with an abort."""
        self._alone(ABORT, deadline, lambda: self._abort(deadline))

    def send_offsets(self, offsets: list[TopicPartition], group_metadata: Any, deadline: float) -> None:
        """Add consumed offsets to the transaction."""
        listed = [(entry.topic, entry.partition, entry.offset) for entry in offsets if entry.offset >= 0]
        if not listed:
            return

        def send(step: int) -> _Failure | None:
            return native.send_offsets(self._handle, listed, group_metadata, step)

        self._alone(OFFSETS, deadline, lambda: self._wait(OFFSETS, send, deadline))

    @contextlib.contextmanager
    def run(self, timeout: Callable[[], float]) -> Iterator[None]:
        """Begin; commit when the body ends, abort when it raises; neither where the body has ended it by itself."""
        owner = object()
        try:
            self.begin(timeout(), owner)
            yield
        except BaseException as error:
            if self._owner is owner:
                self._leave(error, timeout)
            raise
        if self._owner is owner:
            self.commit(timeout())

    def _leave(self, error: BaseException, timeout: Callable[[], float]) -> None:
        if self.state is State.COMMITTING:  # by the body
            error.add_note(f"twolane: {State.COMMITTING.value}: {WAYS[State.COMMITTING][1]}")
            return
        try:
            self.abort(timeout())
        except Exception as problem:  # noqa: BLE001 - the body's error is the one to raise
            error.add_note(f"twolane: the transaction could not be aborted either: {problem}")
        else:
            if self._failed_commit is not None and self._failed_commit() is error:
                error.verdict = Verdict.NOT_WRITTEN

    # ---- one thread at a time, in a state that allows it -------------------------------------------------------------

    def _alone(self, what: str, deadline: float, work: Callable[[], None]) -> None:
        if self._id is None:
            raise ConfigError(f"{what}: set transactional.id first", key="transactional.id")
        turn = Waiter(deadline)
        try:
            if self._fair_lock.held_by_this_thread:
                raise RuntimeError(
                    f"{what}: called from a signal handler that interrupted a transaction call of this producer"
                )
            if not self._fair_lock.acquire(turn):
                raise self._error(
                    what, (KafkaError._TIMED_OUT, "timed out waiting for another thread's call", False, True, False)
                )
            allowed, way = WAYS[self.state]
            if what not in allowed:
                raise self._error(what, (KafkaError._STATE, f"{self.state.value}: {way}", False, False, False))
            work()
        finally:
            self._fair_lock.release(turn)

    def _init(self, deadline: float) -> None:
        self._ask(INIT, native.init_transactions, deadline)
        self._is_ready = True

    def _begin(self, deadline: float, owner: object) -> None:
        if self.state is State.ABORTING:
            self._abort(deadline)
        if self.state is State.NONE:
            self._reader.begin_transaction()
            self._raise_if_fatal(BEGIN)
        # Without init_transactions() librdkafka refuses it for its state, too.
        resumed = self.state is State.BEGINNING and self._is_ready
        self.state = State.BEGINNING
        if self._beginning is None:
            self._beginning = _Beginning(self._handle)
        beginning = self._beginning
        deadline = max(deadline, time.monotonic() + STEP_MS / 1000)  # as long as the others' single step
        while beginning.is_alive():
            left = min(deadline, self.end_by) - time.monotonic()
            if left <= 0:
                raise self._error(BEGIN, (KafkaError._TIMED_OUT, "librdkafka did not answer", False, True, False))
            beginning.join(min(left, threading.TIMEOUT_MAX))
        self._beginning = None
        failure, problem = beginning.failure, beginning.problem
        if problem is not None:
            if isinstance(problem, TwolaneError):
                self.state = State.NONE
            raise problem
        if failure is not None and not (resumed and failure[0] == KafkaError._STATE):
            self.state = State.NONE
            raise self._error(BEGIN, failure)
        self._owner = owner
        self.state = State.OPEN

    def _commit(self, deadline: float) -> None:
        resumed = self.state is State.COMMITTING
        self.state = State.COMMITTING
        try:
            self._ask(COMMIT, native.commit_transaction, deadline, resumed=resumed)
        except TransactionError as error:
            if error.must_abort:
                self.state = State.ABORTING
                self._abort_instead(error, deadline)
            raise
        except BaseException as error:
            if not isinstance(error, TwolaneError):  # a signal, most of all
                error.add_note(f"twolane: {State.COMMITTING.value}: {WAYS[State.COMMITTING][1]}")
            raise
        self._end()

    def _abort_instead(self, error: TransactionError, deadline: float) -> None:
        """Abort what cannot be committed; the commit's error, which is raised, tells how far that came."""
        try:
            self._abort(max(deadline, time.monotonic() + ABORT_SECONDS))
            error.verdict = Verdict.NOT_WRITTEN
        except TransactionError as problem:
            error.add_note(f"twolane: {problem}")
            self._failed_commit = weakref.ref(error)

    def _abort(self, deadline: float) -> None:
        resumed = self.state is State.ABORTING
        self.state = State.ABORTING
        if self._reported_by == math.inf:
            self._reported_by = time.monotonic() + self._message_timeout + REPORT_SECONDS
        try:
            self._ask(ABORT, native.abort_transaction, deadline, resumed=resumed)
        except TransactionError as error:
            if not (resumed and error.must_abort):
                raise
            # That answered the call which was broken off: this one's own abort has not been asked for yet.
            self._ask(ABORT, native.abort_transaction, deadline, resumed=resumed)
        self._end()

    def _end(self) -> None:
        self._owner = None
        self._reported_by = math.inf
        self.state = State.NONE

    def give_up_if_lost(self, what: str) -> None:
        """End a producer with a record whose report is overdue: waiting brings no more (F39)."""
        self._reader.poll()
        if self._reader.count()["in_queue"]:
            native.give_up(self._handle)
            self.gave_up = True
            self._end()
            self._raise_if_fatal(what)

    def _raise_if_fatal(self, what: str) -> None:
        fatal = self._handle.fatal_error()
        if fatal is not None:
            raise self._error(what, (*fatal, True, False, False))

    # ---- asking librdkafka -------------------------------------------------------------------------------------------

    def _ask(
        self, what: str, call: Callable[[Handle, int], _Failure | None], deadline: float, *, resumed: bool = False
    ) -> None:
        self._wait(what, lambda step: call(self._handle, step), deadline, resumed=resumed)

    def _wait(
        self, what: str, call: Callable[[int], _Failure | None], deadline: float, *, resumed: bool = False
    ) -> None:
        """Call until it succeeds, fails for good, or time runs out; retriable errors are tried again.

        A call that is taken up again and is refused for the transaction's state had succeeded: its answer was lost
        in an exception of a signal handler.
        """
        while True:
            failure = call(int(max(LEAST_STEP_MS, min(STEP_MS, (deadline - time.monotonic()) * 1000))))
            if failure is not None and failure[0] == KafkaError._STATE and failure[1].endswith(_UNDERWAY.get(what, ())):
                failure = _NOT_FINISHED
            if failure is None or (resumed and failure[0] == KafkaError._STATE):
                return
            self._pass_notes_on()
            code, _, fatal, retriable, must_abort = failure
            if time.monotonic() >= self._reported_by:
                self.give_up_if_lost(what)
            if fatal or code == KafkaError._STATE:
                self._end()  # whatever is called next fails alike; or librdkafka knows of no transaction
            if fatal or not retriable or must_abort or time.monotonic() >= deadline:
                raise self._error(what, failure)
            if time.monotonic() >= self.end_by:
                raise ClosedProducerError(f"{what}: the producer was closed while the call waited")
            if code != KafkaError._TIMED_OUT:
                time.sleep(0.1)

    def _error(self, what: str, failure: _Failure) -> TransactionError | FatalProducerError:
        """Return the exception of librdkafka's failure, which says what is known of the transaction."""
        code, text, fatal, retriable, must_abort = failure
        if code == KafkaError._STATE and what in (INIT, BEGIN) and self.state in (State.NONE, State.BEGINNING):
            text = _NOT_INITIALISED if not self._is_ready else _INITIALISED if what == INIT else text
        if fatal:
            # Only a commit may have been carried out: whatever else fails for good leaves a transaction without one.
            verdict = Verdict.UNKNOWN if what == COMMIT else Verdict.NOT_WRITTEN
            return fatal_error(code, text, verdict, what=f"{what}: ")
        return TransactionError(
            KafkaError(code, text, False, retriable),
            what=what,
            retriable=retriable,
            must_abort=must_abort,
            verdict=Verdict.UNKNOWN if self.state is State.COMMITTING else Verdict.NOT_WRITTEN,
        )
