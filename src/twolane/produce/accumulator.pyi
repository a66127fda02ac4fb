from typing import final

from twolane.client.handle import Handle
from twolane.reports.reader import ReportReader

@final
class RecordAccumulator:
    def __init__(self, handle: Handle, reader: ReportReader) -> None: ...
    def __len__(self) -> int: ...
    def drain(self) -> int: ...
