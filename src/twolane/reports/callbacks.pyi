from collections.abc import Callable
from typing import Any, final

from twolane.errors import DeliveryError
from twolane.reports.flush_generations import FlushGenerations
from twolane.reports.reader import ReportReader
from twolane.results import DeliveryReport

@final
class Callbacks:
    def __init__(self, generations: FlushGenerations) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self,
        reader: ReportReader,
        failed: Callable[[str, DeliveryReport], DeliveryError],
        raised: Callable[[BaseException], Any],
    ) -> None: ...
    def write_off(self, lost: Callable[[str], DeliveryError], raised: Callable[[BaseException], Any]) -> None: ...
