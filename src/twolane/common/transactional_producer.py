"""The transaction methods of both lanes."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from twolane.common.base import BaseProducer
from twolane.common.transactions import INIT, OFFSETS, State, Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import TopicPartition


class TransactionalProducer(BaseProducer):
    """Base of both lanes; the lanes say when a call may wait and what has to end before a commit."""

    _transactions: Transactions

    @abstractmethod
    def _check_may_wait(self, what: str) -> None:
        """Raise where the call must not wait for the brokers."""

    def _run_alone(self, what: str, deadline: float, work: Callable[[], None]) -> None:
        """Call `work` when no other call of the producer is in progress that it would disturb."""
        work()

    def _await_reports(self, timeout: float | None) -> None:
        """Wait for the reports of the transaction's records."""

    def _forget_failures(self) -> None:
        """Forget the failures of records whose transaction failed."""

    def init_transactions(self, timeout: float | None = None) -> None:
        """Register the ``transactional.id``; once, before the first ``transaction()``.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        ConfigError
            No ``transactional.id`` is set.
        TransactionError
            ``.retriable`` ones were retried until the timeout.
        FatalProducerError
            Another producer has taken the id over.
        """
        self._check_may_wait(INIT)
        deadline = self._deadline(timeout)
        self._run_alone(INIT, deadline, lambda: self._transactions.init(deadline))

    @contextlib.contextmanager
    def transaction(self, timeout: float | None = None) -> Iterator[None]:
        """Make everything sent in a ``with`` block visible together, or not at all, whichever thread sent it.

        Commits when the block ends, aborts when it raises. The throughput lane waits for every report and every
        callback first, and aborts when a record failed or a callback raised; records still in the queue are dropped
        then. A commit that fails for good aborts and raises TransactionError; one whose answer was lost is retried
        until `timeout`. When that runs out the error says what is open: ``commit_transaction()`` goes on with a commit;
        ``abort_transaction()``, or the next ``transaction()``, with an abort.

        Parameters
        ----------
        timeout : float, optional
            Seconds to begin, for the reports, and again to end it; ``message.timeout.ms`` by default.

        Raises
        ------
        TransactionError, FatalProducerError
        DeliveryError, Exception
            As ``flush()`` of the throughput lane.

        Examples
        --------
        >>> with producer.transaction():                                       # doctest: +SKIP
        ...     producer.send_batch("ledger", entries)
        ...     producer.send_offsets_to_transaction(consumer.position(assigned), consumer.consumer_group_metadata())
        """
        self._check_may_wait("transaction")
        try:
            with self._transactions.run(lambda: self._deadline(timeout)):
                yield
                self._await_reports(timeout)
        except BaseException:
            self._forget_failures()
            raise

    def commit_transaction(self, timeout: float | None = None) -> None:
        """Commit the transaction that is open, or go on with a commit that timed out or was interrupted.

        For a commit at the end of a ``transaction()`` block that raised: this says what became of it.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        TransactionError
            ``.verdict`` is UNKNOWN where it may be committed: call this again. ``.must_abort``: it failed, and was
            aborted.
        FatalProducerError
            Another producer has taken the ``transactional.id`` over.
        """
        self._check_may_wait("commit_transaction")
        if self._transactions.state is State.OPEN:
            self._await_reports(timeout)
        self._transactions.commit(self._deadline(timeout))

    def abort_transaction(self, timeout: float | None = None) -> None:
        """Abort the transaction that is open, or go on with an abort that timed out or was interrupted.

        Parameters and errors are those of ``commit_transaction()``. A commit that has begun cannot be aborted.
        """
        self._check_may_wait("abort_transaction")
        self._transactions.abort(self._deadline(timeout))
        self._forget_failures()

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], group_metadata: Any, timeout: float | None = None
    ) -> None:
        """Commit consumed offsets with the transaction: read, process, write exactly once.

        Parameters
        ----------
        offsets : list of confluent_kafka.TopicPartition
            Of the next records to read, as ``consumer.position()`` gives them.
        group_metadata : object
            ``consumer.consumer_group_metadata()`` of a confluent-kafka consumer.
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        TransactionError
            ``.retriable`` ones were retried until the timeout; ``.must_abort`` says that the transaction is lost.
        FatalProducerError
            Another producer has taken the ``transactional.id`` over.
        """
        self._check_may_wait(OFFSETS)
        deadline = self._deadline(timeout)
        self._run_alone(OFFSETS, deadline, lambda: self._transactions.send_offsets(offsets, group_metadata, deadline))
