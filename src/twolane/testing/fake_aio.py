"""AsyncFakeProducer and AsyncFakeThroughputProducer: both lanes awaited, without brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from twolane.aio.base import BaseAsyncProducer
from twolane.aio.safe_producer import AsyncSafeProducer
from twolane.aio.throughput_producer import AsyncThroughputProducer
from twolane.testing.fake import FakeProducer
from twolane.testing.fake_throughput import FakeThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from twolane.config.typed import ProducerSettings
    from twolane.errors import Verdict
    from twolane.testing.records import LoggedRecord


class _AsyncFake:
    """What is asked of the blocking fake inside."""

    _producer: Any  # a Fake

    @property
    def records(self) -> list[LoggedRecord]:
        """As ``FakeProducer.records``."""
        records: list[LoggedRecord] = self._producer.records
        return records

    def records_of(self, topic: str) -> list[LoggedRecord]:
        """Return the records of one topic."""
        records: list[LoggedRecord] = self._producer.records_of(topic)
        return records

    def clear(self) -> None:
        """Forget the records; offsets go on."""
        self._producer.clear()

    def fail_next(
        self,
        verdict: Verdict | None = None,
        error: int | str | None = None,
        *,
        count: int = 1,
        in_log: bool = False,
    ) -> None:
        """Let the next records fail: `verdict`, `error`, `count` and `in_log` as of ``FakeProducer.fail_next()``."""
        arguments = {} if verdict is None else {"verdict": verdict}
        self._producer.fail_next(**arguments, error=error, count=count, in_log=in_log)


class AsyncFakeProducer(_AsyncFake, AsyncSafeProducer):
    """An AsyncSafeProducer without brokers, for tests: the same calls, awaited, with FakeProducer's checks and records.

    Parameters
    ----------
    config, partitions, check_topics, on_partition_change, on_refusal, **keywords
        As of FakeProducer.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        partitions: int | Mapping[str, int] = 1,
        check_topics: bool = False,
        on_partition_change: Literal["notice", "error"] = "notice",
        on_refusal: Literal["partition", "batch"] = "partition",
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        BaseAsyncProducer.__init__(
            self,
            FakeProducer(
                config,
                partitions=partitions,
                check_topics=check_topics,
                on_partition_change=on_partition_change,
                on_refusal=on_refusal,
                **keywords,
            ),
        )


class AsyncFakeThroughputProducer(_AsyncFake, AsyncThroughputProducer):
    """An AsyncThroughputProducer without brokers, for tests: FakeThroughputProducer's checks and records, awaited.

    Parameters
    ----------
    config, partitions, on_full, resume_at, **keywords
        As of FakeThroughputProducer.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        partitions: int | Mapping[str, int] = 1,
        on_full: Any = "block",
        resume_at: float = 0.5,
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        fake = FakeThroughputProducer(config, partitions=partitions, on_full=on_full, resume_at=resume_at, **keywords)
        self._take(fake, on_full)
