from collections.abc import Callable
from typing import Any, final

from twolane.errors import DeliveryError
from twolane.reports.reader import ReportReader, _Report
from twolane.reports.trackers import FlushGenerations

@final
class Callbacks:
    def __init__(self, rounds: FlushGenerations) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self,
        delivery: ReportReader,
        failed: Callable[[str, _Report], DeliveryError],
        raised: Callable[[BaseException], Any],
    ) -> None: ...
    def write_off(self, lost: Callable[[str], DeliveryError], raised: Callable[[BaseException], Any]) -> None: ...
