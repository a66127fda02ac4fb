"""When librdkafka has forgotten a topic's partitions behind a denial: what its statistics show."""

from __future__ import annotations

import json
import threading
from typing import Any


class Forgotten(threading.Event):
    """Is set once no broker thread has the partition any more, having had it.

    Attributes
    ----------
    settings : dict
        Of the producer that is watched; one whose thread serves `stats_cb` while the test waits.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__()
        self._name = f"{topic}-{partition}"
        self._was_known = False
        self.settings: dict[str, Any] = {"statistics.interval.ms": 50, "stats_cb": self._look}

    def _look(self, statistics: str) -> None:
        brokers = json.loads(statistics)["brokers"].values()
        is_known = any(self._name in broker["toppars"] for broker in brokers)
        if self._was_known and not is_known:
            self.set()
        self._was_known = self._was_known or is_known
