from collections.abc import Callable
from typing import Any, Protocol, final

from twolane.errors import DeliveryError
from twolane.reports.flush_generations import FlushGenerations
from twolane.reports.reader import ReportReader
from twolane.results import DeliveryReport

class _Queue(Protocol):
    def append(self, report: Any, /) -> None: ...

@final
class Callbacks:
    queue: _Queue | None
    def __init__(self, generations: FlushGenerations) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self,
        reader: ReportReader,
        failed: Callable[[str, DeliveryReport], DeliveryError],
        raised: Callable[[BaseException], Any],
    ) -> None: ...
    def write_off(self, lost: Callable[[str], DeliveryError], raised: Callable[[BaseException], Any]) -> None: ...
