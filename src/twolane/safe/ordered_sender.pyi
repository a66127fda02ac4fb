from collections.abc import Set as AbstractSet
from typing import final

from twolane.client.handle import Handle, Topic
from twolane.produce.record_slice import RecordSlice
from twolane.reports.call_result import CallResult
from twolane.reports.reader import ReportReader

@final
class OrderedSender:
    chunk_records: int
    chunk_bytes: int
    started: int
    def __init__(
        self,
        handle: Handle,
        delivery: ReportReader,
        chunk_records: int,
        chunk_bytes: int,
        batch_timeout: float = ...,
        retry_seconds: float | None = None,
        stops_all: bool = False,
    ) -> None: ...
    def end_by(self, deadline: float) -> None: ...
    def take_interruption(self) -> BaseException | None: ...
    def send(
        self,
        topic: Topic,
        records: RecordSlice,
        result: CallResult,
        first_index: int,
        deadline: float,
        stopped: AbstractSet[int] = ...,
    ) -> bool: ...
