from collections.abc import Callable
from typing import Any, final

from twolane.client.delivery import Delivery, _Report
from twolane.errors import DeliveryError

@final
class Callbacks:
    def __len__(self) -> int: ...
    def run(
        self,
        delivery: Delivery,
        failed: Callable[[str, _Report], DeliveryError],
        raised: Callable[[BaseException], Any],
    ) -> None: ...
