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
    is_shut: bool
    def __init__(
        self,
        handle: Handle,
        delivery: ReportReader,
        records: int,
        bytes: int,  # noqa: A002
        resume_at: float = 0.5,
    ) -> None: ...
    @property
    def room(self) -> int: ...
    def push(
        self, topic: Topic, feed: RecordSlice, start: int, outcome: CallResult, first_index: int
    ) -> tuple[int, int, int]: ...
    def wait_for_room(self, timeout: float) -> bool: ...
    def wait_at_gate(self, topic: Topic, partition: int, timeout: float) -> bool: ...
    def shut(self) -> None: ...
