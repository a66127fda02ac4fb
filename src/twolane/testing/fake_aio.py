"""AsyncFakeProducer: the safe lane awaited, without brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from twolane.aio.base import BaseAsyncProducer
from twolane.aio.safe_producer import AsyncSafeProducer
from twolane.testing.fake import FakeProducer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from twolane.config.typed import ProducerSettings
    from twolane.errors import Verdict
    from twolane.testing.records import LoggedRecord


class AsyncFakeProducer(AsyncSafeProducer):
    """An AsyncSafeProducer without brokers, for tests: the same calls, awaited, with FakeProducer's checks and records.

    Parameters
    ----------
    config, partitions, check_topics, on_partition_change, **keywords
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
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        BaseAsyncProducer.__init__(
            self,
            FakeProducer(
                config,
                partitions=partitions,
                check_topics=check_topics,
                on_partition_change=on_partition_change,
                **keywords,
            ),
        )

    @property
    def records(self) -> list[LoggedRecord]:
        """As ``FakeProducer.records``."""
        return cast("FakeProducer", self._producer).records

    def records_of(self, topic: str) -> list[LoggedRecord]:
        """Return the records of one topic."""
        return cast("FakeProducer", self._producer).records_of(topic)

    def clear(self) -> None:
        """Forget the records; offsets go on."""
        cast("FakeProducer", self._producer).clear()

    def fail_next(
        self,
        verdict: Verdict | None = None,
        error: int | str | None = None,
        *,
        count: int = 1,
        in_log: bool = False,
    ) -> None:
        """Let the next records fail: `verdict`, `error`, `count` and `in_log` as of ``FakeProducer.fail_next()``."""
        fake = cast("FakeProducer", self._producer)
        arguments = {} if verdict is None else {"verdict": verdict}
        fake.fail_next(**arguments, error=error, count=count, in_log=in_log)
