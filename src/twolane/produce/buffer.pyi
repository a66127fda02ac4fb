from typing import final

from twolane.client.handle import Handle, Topic
from twolane.produce.record_slice import RecordSlice
from twolane.reports.call_result import CallResult
from twolane.reports.reader import ReportReader

@final
class ProduceBuffer:
    records: int
    bytes: int
    low_records: int
    low_bytes: int
    def __init__(
        self,
        handle: Handle,
        reader: ReportReader,
        records: int,
        bytes: int,  # noqa: A002
        resume_at: float = 0.5,
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def available(self) -> int: ...
    def produce(
        self, topic: Topic, records: RecordSlice, start: int, result: CallResult, first_index: int
    ) -> tuple[int, int, int]: ...
    def wait_for_space(self, timeout: float) -> bool: ...
    def wait_for_first_ack(self, topic: Topic, partition: int, timeout: float) -> bool: ...
    def close(self) -> None: ...
