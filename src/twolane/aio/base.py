"""BaseAsyncProducer: what both lanes' producers for asyncio share: their loop, calls in line, transactions, the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from twolane.aio.awaited_call import AwaitedCall, LastingCall, Returned
from twolane.aio.call_line import CallLine
from twolane.aio.preparation import Preparation, Preparations
from twolane.common.arguments import topic_name, warmed
from twolane.errors import ClosedProducerError, ForkedProducerError
from twolane.streams.sender import AsyncStreamSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType

    from confluent_kafka import TopicPartition

    from twolane.safe.producer import SafeProducer
    from twolane.serializers import Serializer
    from twolane.stats import Stats
    from twolane.throughput.producer import ThroughputProducer

P = TypeVar("P", "SafeProducer", "ThroughputProducer")
# Serializers with a registry that are remembered to know a topic's schema id; more begin anew.
MOST_WARM = 1_000


class BaseAsyncProducer(AsyncStreamSender, Generic[P]):
    """Base of both; not for use by itself. It belongs to the event loop in which it is first awaited."""

    def __init__(self, producer: P) -> None:
        self._producer: P = producer
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # in which the loop ran last
        self._line: CallLine
        self._preparations: Preparations
        self._warm: dict[tuple[int, str, str], Any] = {}

    def _make(self) -> Callable[[list[AwaitedCall]], None]:
        """Return what makes the calls of a group, in the line's thread; without a reference to this object."""
        raise NotImplementedError

    # ---- the loop ------------------------------------------------------------------------------------------------

    def _enter(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, to which the producer belongs from now on; refuse others."""
        loop = asyncio.get_running_loop()
        if self._producer._handle.is_forked:
            raise ForkedProducerError("this producer was made before fork(): make a new one in the child process")
        if loop is not self._loop:
            if self._closed:
                raise ClosedProducerError("the producer is closed")
            if self._loop is not None:
                state = "closed" if self._loop.is_closed() else "another one"
                raise RuntimeError(
                    f"{self!r} belongs to the event loop in which it was first awaited, which is {state}: make a "
                    "producer for each loop"
                )
            self._preparations = Preparations(loop, self._producer._topics.known, self._producer._say)
            self._line = CallLine(loop, self._make(), "twolane-aio", self._producer._say)
            self._loop = loop
        if self._closed:
            raise ClosedProducerError("the producer is closed")
        self._thread = threading.get_ident()
        return loop

    async def _in_line(self, what: str, job: Callable[[], Any], deadline: float) -> Any:
        """Do something in the thread, behind the calls before it."""
        call = AwaitedCall(what, deadline, job, self._enter())
        self._line.append(call)
        return await call.wait()

    async def _in_line_for_sure(self, what: str, job: Callable[[], Any]) -> Any:
        """Do the same; it is done also where the wait for it was cancelled."""
        call = LastingCall(what, math.inf, job, self._enter())
        self._line.append(call)
        return await call.wait()

    async def _beside(self, what: str, job: Callable[[], Any]) -> Any:
        """Do something in a thread of its own, whatever is in line."""
        loop, say = asyncio.get_running_loop(), self._producer._say
        call = AwaitedCall(what, math.inf, job, loop)

        def run() -> None:
            call.run()
            try:
                loop.call_soon_threadsafe(call.tell, say)
            except RuntimeError:  # the loop is closed, and no task of it goes on
                call.log_outcome(say)

        threading.Thread(target=run, name="twolane-aio-call", daemon=True).start()
        return await call.wait()

    async def _settled(self, deadline: float) -> None:
        """Wait until the calls that are being prepared are in line."""
        loop = self._enter()
        waiting: list[asyncio.Task[Any]] = []
        for topic in list(self._preparations.topics):
            call = AwaitedCall(topic, deadline, None, loop)
            self._preparations.append(topic, Preparation(call, nothing, lambda call: call.tell(self._producer._say)))
            waiting.append(asyncio.ensure_future(call.wait()))
        if waiting:
            done, late = await asyncio.wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
            for task in done:
                task.exception()  # told to those who await the calls before it
            for task in late:
                task.cancel()

    # ---- preparing -----------------------------------------------------------------------------------------------

    def _is_cold(self, topic: str, value: Serializer | None, key: Serializer | None) -> bool:
        """Return whether one of the serializers may have to ask a registry for this topic."""
        if value is None and key is None:
            return False
        for serializer, field in ((value, "value"), (key, "key")):
            if (
                getattr(serializer, "warm_up", None) is not None
                and getattr(serializer, "registry", serializer) is not None
                and (id(serializer), topic, field) not in self._warm
            ):
                return True
        return False

    def _warm_up(self, topic: str, value: Serializer | None, key: Serializer | None, deadline: float) -> None:
        """Let the serializers ask; in a thread."""
        for serializer, field in ((value, "value"), (key, "key")):
            if serializer is not None:
                warmed(serializer, topic, field, deadline)
                if len(self._warm) >= MOST_WARM:
                    self._warm.clear()
                self._warm[id(serializer), topic, field] = serializer

    def _line_up(
        self,
        topic: str,
        call: AwaitedCall,
        value: Serializer | None,
        key: Serializer | None,
        until: float,
        partition: int | None = None,
    ) -> None:
        """Put a call in line; where it has to ask for its topic or its serializers' ids, by `until`, after that."""
        begin_by = call.deadline
        if (
            topic not in self._preparations.topics
            and self._producer._knows_partitions(topic, partition)
            and not self._is_cold(topic, value, key)
        ):
            self._line.append(call)
            return

        def go_on(call: AwaitedCall) -> None:
            call.deadline = begin_by
            self._line.append(call)

        call.deadline = until
        self._preparations.append(topic, Preparation(call, lambda: self._warm_up(topic, value, key, until), go_on))

    # ---- both lanes ----------------------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, str]:
        """The settings in force, by librdkafka's names; secrets are masked. A copy."""
        return self._producer.config

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Log in with these from the next connection on; not awaited. As the blocking ``set_sasl_credentials()``."""
        self._producer.set_sasl_credentials(username, password)

    def stats(self) -> Stats:
        """Return the producer's figures of this moment; not awaited. See ``Stats``."""
        return self._producer.stats()

    async def partitions_for(self, topic: str, timeout: float | None = None) -> set[int]:
        """Return the partitions of a topic, asked of the brokers now. As the blocking ``partitions_for()``."""
        self._enter()
        topic_name(topic)
        partitions: set[int] = await self._beside(
            "partitions_for", lambda: self._producer.partitions_for(topic, timeout)
        )
        return partitions

    async def init_transactions(self, timeout: float | None = None) -> None:
        """Register the ``transactional.id``; once, before the first ``transaction()``. As the blocking one."""
        await self._in_line(
            "init_transactions",
            lambda: self._producer.init_transactions(timeout),
            self._producer._deadline(timeout),
        )

    @contextlib.asynccontextmanager
    async def transaction(self, timeout: float | None = None) -> AsyncIterator[None]:
        """Make everything sent in an ``async with`` block visible together, or not at all. As the blocking one.

        Parameters
        ----------
        timeout : float, optional
            Seconds to begin, and again to end it; ``message.timeout.ms`` by default.

        Notes
        -----
        Of one producer there is one transaction at a time: whatever any task sends meanwhile belongs to it. A block
        that is cancelled is aborted. One that is cancelled while it ends ends all the same, and how is logged.

        Examples
        --------
        >>> async with producer.transaction():                                  # doctest: +SKIP
        ...     await producer.send_batch("ledger", entries)
        """
        block = self._producer.transaction(timeout)
        begun = AwaitedCall("transaction", self._producer._deadline(timeout), block.__enter__, self._enter())
        self._line.append(begun)
        try:
            await begun.wait()
        except BaseException:
            if begun.future is None:  # it is being begun: behind that it is aborted
                undone = AwaitedCall("abort_transaction", math.inf, lambda: _undo(begun, block), self._enter())
                undone.future = None
                self._line.append(undone)
            raise
        try:
            yield
        except BaseException as raised:
            caught = raised  # the name of an except clause ends with it
            trace = raised.__traceback__
            await self._in_line_for_sure("abort_transaction", lambda: block.__exit__(type(caught), caught, trace))
            raise
        await self._in_line_for_sure("commit_transaction", lambda: block.__exit__(None, None, None))

    async def commit_transaction(self, timeout: float | None = None) -> None:
        """Commit the transaction that is open, or go on with a commit that timed out. As the blocking one."""
        await self._in_line_for_sure("commit_transaction", lambda: self._producer.commit_transaction(timeout))

    async def abort_transaction(self, timeout: float | None = None) -> None:
        """Abort the transaction that is open, or go on with an abort that timed out. As the blocking one."""
        await self._in_line_for_sure("abort_transaction", lambda: self._producer.abort_transaction(timeout))

    async def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group_metadata: Any, timeout: float | None = None
    ) -> None:
        """Commit consumed offsets with the transaction: `offsets` and `group_metadata` as of the blocking one."""
        listed = list(offsets)
        await self._in_line(
            "send_offsets_to_transaction",
            lambda: self._producer.send_offsets_to_transaction(listed, group_metadata, timeout),
            self._producer._deadline(timeout),
        )

    # ---- the end -------------------------------------------------------------------------------------------------

    async def close(self, timeout: float | None = None) -> None:
        """End the producer: calls in line are turned away, those on their way may end, the client is destroyed.

        Idempotent. A producer whose loop is closed can be closed from any other. Cancelling the wait does not stop it.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default. Then what is in flight is purged and gets its verdict.
        """
        if self._producer._handle.is_forked:
            self._closed = True
            return
        loop = asyncio.get_running_loop()
        if self._loop is not None and loop is not self._loop and not self._loop.is_closed() and not self._closed:
            self._enter()  # says whose it is
        self._closed = True
        if self._loop is loop:
            self._line.refuse(_closed_meanwhile)
        try:
            await self._beside("close", lambda: self._producer.close(timeout))
        finally:
            if self._loop is not None:
                self._line.stop()

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        producer = getattr(self, "_producer", None)
        return f"<{type(self).__name__}, refused>" if producer is None else repr(producer)

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: make one in each process")

    def __del__(self) -> None:
        producer = getattr(self, "_producer", None)
        # Attributes may be missing where __init__ raised.
        if producer is None or getattr(self, "_closed", True) or producer._handle.is_forked:
            return
        try:
            warnings.warn(
                f"unclosed {self!r}: await close() or use an async with statement",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
        finally:
            # Also where warnings are errors: the records matter more.
            try:
                producer._end_unclosed()
            except Exception as problem:  # noqa: BLE001 - no caller could take it
                producer._say(logging.ERROR, "closing %r", producer, error=problem)
            if self._loop is not None:
                self._line.stop()


def _closed_meanwhile() -> ClosedProducerError:
    return ClosedProducerError("the producer was closed while the call waited; nothing was sent")


def _undo(begun: AwaitedCall, block: contextlib.AbstractContextManager[None]) -> None:
    """Abort a transaction that began after its block was cancelled."""
    if type(begun.outcome) is Returned:
        error = asyncio.CancelledError()
        with contextlib.suppress(asyncio.CancelledError):
            block.__exit__(type(error), error, None)


def nothing() -> None:
    """Prepare nothing."""
