"""Twolane's producers at work: both lanes, blocking or awaited, by the same code.

A stream is a coroutine. On the blocking front nothing in it ever waits for a loop, so it is run by one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
import time
from typing import TYPE_CHECKING, Any

import twolane
from faults.history import UNKNOWN
from faults.outcomes import is_expected, number_of, of_batch, of_error, of_record
from faults.streams import Block, Stream
from faults.transactions import ABORTED, COMMITTED
from faults.transactions import UNKNOWN as OPEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from faults.control import Control
    from faults.history import HistoryWriter
    from faults.workload import Workload

# Records packed at once where they are sent one by one; calls of a transaction.
PACKED, CALLS = 64, 5
ERROR_PAUSE = 0.01
PRODUCERS = 1000
TRANSACTIONS = 100_000
RESOLVE_SECONDS = 60.0
RAISE_EVERY = 10


class OnPurposeError(Exception):
    """Raised by the program itself: in a transaction, or in a callback."""


class Sender:
    """The producers of one process, one after the other, and the streams that share the one of the moment."""

    def __init__(self, workload: Workload, control: Control, history: HistoryWriter) -> None:
        self._workload, self._control, self._history = workload, control, history
        self._is_async = workload.front == "asyncio"
        self._generation = 0
        self._lock = threading.Lock()
        self._transaction = workload.epoch * TRANSACTIONS
        self._callbacks = self._calls = 0
        self._producer = self._make()
        self._is_ready = not workload.transactional

    def _make(self) -> Any:
        prefix = "Async" if self._is_async else ""
        lane = "Safe" if self._workload.lane == "safe" else "Throughput"
        return getattr(twolane, f"{prefix}{lane}Producer")(**self._workload.settings)

    @property
    def blocking(self) -> Any:
        """The blocking producer of the moment, also below an awaited one."""
        return getattr(self._producer, "_producer", self._producer)

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Send until the control says stop, and close."""
        if self._is_async:
            asyncio.run(self._run_tasks())
            return
        streams = [self._stream(number) for number in range(self._workload.streams)]
        threads = [threading.Thread(target=self._in_one_step, args=(stream,)) for stream in streams[1:]]
        for thread in threads:
            thread.start()
        self._in_one_step(streams[0])
        for thread in threads:
            thread.join()
        self._in_one_step(self._close())

    def _in_one_step(self, work: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(StopIteration):
            work.send(None)
            raise AssertionError("a blocking stream awaited something")

    async def _run_tasks(self) -> None:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(self._stream(number)) for number in range(self._workload.streams)]
        # As asyncio.run() has it, whose own handler is there only beside Python's.
        self._control.on_interrupt = lambda: [loop.call_soon_threadsafe(task.cancel) for task in tasks]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._control.on_interrupt = None
        await self._close()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _call(self, producer: Any, method: str, *arguments: Any, **keywords: Any) -> Any:
        with self._control.in_call(not self._is_async):
            result = getattr(producer, method)(*arguments, **keywords)
            return await result if inspect.iscoroutine(result) else result

    async def _pause(self, seconds: float) -> None:
        if self._is_async:
            await asyncio.sleep(max(0.0, seconds))
        elif seconds > 0:
            self._control.stopping.wait(seconds)

    async def _close(self) -> None:
        while True:
            try:
                await self._call(self._producer, "close")
                return
            except KeyboardInterrupt:
                continue
            except (twolane.TwolaneError, OnPurposeError) as error:
                self._history.event("raised by close()", error=repr(error))
                return
            except TimeoutError as error:
                # On a busy machine our callbacks may have 10^5 verdicts to write. Closing again waits for them.
                self._history.event("a callback outlasts close()", error=repr(error))

    async def _replace(self, generation: int) -> None:
        """Take a new producer, unless another stream did."""
        with self._lock:
            if generation != self._generation:
                return
            self._generation += 1
            dead, self._producer = self._producer, self._make()
            self._is_ready = not self._workload.transactional
        self._history.event("new producer", generation=generation + 1)
        with contextlib.suppress(twolane.TwolaneError, OnPurposeError):
            await self._call(dead, "close")

    # ---- streams -----------------------------------------------------------------------------------------------------

    async def _stream(self, number: int) -> None:
        workload, stream = self._workload, Stream(self._workload, number)
        begun, sent = time.monotonic(), 0
        most = None if workload.records is None else workload.records // workload.streams
        try:
            while not self._control.stopping.is_set() and (most is None or sent < most):
                generation, producer = self._generation, self._producer
                if workload.transactional:
                    n = await self._transact(stream, producer, generation)
                else:
                    n = await self._send(stream, producer, generation)
                sent += n
                if workload.records_per_second:
                    due = begun + sent * workload.streams / workload.records_per_second
                    await self._pause(due - time.monotonic())
        except KeyboardInterrupt:
            self._control.stopping.set()

    async def _send(self, stream: Stream, producer: Any, generation: int, transaction: int = 0) -> int:
        """Make one call, or some of one record each; return how many records that were."""
        workload = self._workload
        epoch = workload.epoch * PRODUCERS + generation
        if workload.method == "send_batch":
            block = stream.block(workload.batch, epoch, transaction)
            self._history.invoked(block.rows)
            await self._batch(producer, block, generation, transaction)
            return len(block)
        packed = stream.block(PACKED if not workload.records_per_second else 1, epoch, transaction)
        for row in range(len(packed)):
            block = packed.one(row)
            self._history.invoked(block.rows)
            await self._one(producer, block, generation, transaction)
        return len(packed)

    async def _batch(self, producer: Any, block: Block, generation: int, transaction: int) -> None:
        try:
            result = await self._call(
                producer, "send_batch", self._workload.topic, timeout=self._workload.timeout, **block.many()
            )
        except BaseException as error:
            await self._failed(block, error, generation, transaction)
            return
        if isinstance(result, twolane.BatchMetadata):
            self._history.ended(of_batch(block, result))
        else:
            result.add_done_callback(functools.partial(self._batch_done, block))

    async def _one(self, producer: Any, block: Block, generation: int, transaction: int) -> None:
        keywords: dict[str, Any] = {"timeout": self._workload.timeout, **block.single()}
        method = self._workload.method
        if self._workload.lane == "throughput" and method == "send":
            keywords["on_delivery"] = functools.partial(self._one_done, block)
        try:
            result = await self._call(producer, method, self._workload.topic, **keywords)
        except BaseException as error:
            await self._failed(block, error, generation, transaction)
            return
        if isinstance(result, twolane.RecordMetadata):
            self._history.ended(of_record(block, result))
        elif result is not None:
            result.add_done_callback(functools.partial(self._submitted_done, block))

    # ---- what became of it -------------------------------------------------------------------------------------------

    async def _failed(self, block: Block, error: BaseException, generation: int, transaction: int) -> None:
        told = of_error(block, error)
        if isinstance(told, twolane.BatchDelivery):
            told.add_done_callback(functools.partial(self._batch_done, block))
        else:
            self._history.ended(told)
        if not is_expected(error):
            self._history.event("unexpected", error=repr(error))
        if transaction or not isinstance(error, twolane.TwolaneError):
            raise error
        if isinstance(error, (twolane.FatalProducerError, twolane.ClosedProducerError)):
            await self._replace(generation)
        for topic, partition in getattr(self._producer, "in_doubt", ()):
            self._producer.resume(topic, partition)
        await self._pause(ERROR_PAUSE)

    def _batch_done(self, block: Block, delivery: Any) -> None:
        try:
            rows = of_batch(block, delivery.result(0))
        except twolane.BatchError as error:
            rows = of_batch(block, error.metadata)
            self._note_fatal(error)
        self._history.ended(rows)
        self._raise_at_times()

    def _one_done(self, block: Block, error: Any, metadata: Any) -> None:
        if error is None:
            rows = of_record(block, metadata)
        else:
            rows = block.ended(verdict=number_of(error.verdict), code=error.error.code())
            self._note_fatal(error)
        self._history.ended_one(rows[0].item())
        self._raise_at_times()

    def _submitted_done(self, block: Block, delivery: Any) -> None:
        try:
            self._one_done(block, None, delivery.result(0))
        except twolane.DeliveryError as error:
            self._one_done(block, error, None)

    def _note_fatal(self, error: Any) -> None:
        # The next call raises it, which is where the producer is replaced.
        if isinstance(error, twolane.FatalProducerError):
            self._history.event("fatal", error=str(error))

    def _raise_at_times(self) -> None:
        self._callbacks += 1
        if self._workload.behaviour == "raising_callbacks" and self._callbacks % RAISE_EVERY == 0:
            raise OnPurposeError("in a callback")

    # ---- transactions ------------------------------------------------------------------------------------------------

    async def _transact(self, stream: Stream, producer: Any, generation: int) -> int:
        """Make one transaction, and learn its end."""
        workload = self._workload
        self._transaction += 1
        number, end, sent, has_sent_all = self._transaction, OPEN, 0, False
        try:
            if not self._is_ready:
                await self._call(producer, "init_transactions", workload.timeout)
                self._is_ready = True
            async with self._block(producer):
                for _ in range(CALLS):
                    sent += await self._send(stream, producer, generation, number)
                if workload.abort_every and number % workload.abort_every == 0:
                    raise OnPurposeError("to abort a transaction")
                has_sent_all = True
            end = COMMITTED
        except (twolane.FatalProducerError, twolane.ClosedProducerError) as error:
            self._history.event("transaction failed", number=number, error=str(error))
            end = OPEN if has_sent_all else ABORTED
            await self._replace(generation)
        except twolane.TransactionError as error:
            self._history.event("transaction failed", number=number, error=str(error))
            end = ABORTED if number_of(error.verdict) != UNKNOWN or not has_sent_all else await self._resolve(producer)
        except (twolane.TwolaneError, OnPurposeError, TimeoutError) as error:
            self._history.event("transaction failed", number=number, error=str(error))
            end = ABORTED
        except BaseException:
            self._history.event("transaction", number=number, end=OPEN)
            raise
        self._history.event("transaction", number=number, end=end)
        if end != COMMITTED:
            await self._pause(ERROR_PAUSE)
        return sent

    async def _resolve(self, producer: Any) -> int:
        """Return how a commit ended whose answer was lost."""
        deadline = time.monotonic() + RESOLVE_SECONDS
        while time.monotonic() < deadline:
            try:
                await self._call(producer, "commit_transaction", self._workload.timeout)
                return COMMITTED
            except twolane.TransactionError as error:
                if number_of(error.verdict) != UNKNOWN:
                    return ABORTED
            except twolane.TwolaneError:
                return OPEN
        return OPEN

    @contextlib.asynccontextmanager
    async def _block(self, producer: Any) -> AsyncIterator[None]:
        """Open a transaction, blocking or awaited."""
        block = producer.transaction(self._workload.timeout)
        if self._is_async:
            async with block:
                yield
            return
        with self._control.in_call(True):
            block.__enter__()
        try:
            yield
        except BaseException as error:
            block.__exit__(type(error), error, error.__traceback__)
            raise
        with self._control.in_call(True):
            block.__exit__(None, None, None)
