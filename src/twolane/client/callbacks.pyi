from collections.abc import Callable
from typing import Any, final

from twolane.client.delivery import Delivery, _Report
from twolane.client.slots import Rounds
from twolane.errors import DeliveryError

@final
class Callbacks:
    def __init__(self, rounds: Rounds) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self,
        delivery: Delivery,
        failed: Callable[[str, _Report], DeliveryError],
        raised: Callable[[BaseException], Any],
    ) -> None: ...
    def write_off(self, lost: Callable[[str], DeliveryError], raised: Callable[[BaseException], Any]) -> None: ...
