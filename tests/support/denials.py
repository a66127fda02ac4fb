"""Deny a topic while one of its records is in flight, and see librdkafka forget the topic's partitions."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from faults.proxy import falsify, once, refuse

if TYPE_CHECKING:
    from faults.proxy import Action, FaultProxy, Seen


def deny_while_in_flight(proxy: FaultProxy, first: bytes, denied: bytes, code: int, until: threading.Event) -> None:
    """Deny the record `denied` once the broker has been sent `first`, whose answer, `code`, waits for `until`."""
    arrived = threading.Event()
    rule = once(
        {first: falsify(code, until=until), denied: refuse(KafkaError.TOPIC_AUTHORIZATION_FAILED, until=arrived)}
    )

    def watch(seen: Seen) -> Action:
        if first in seen.request:
            arrived.set()
        return rule(seen)

    proxy.rule = watch


class Forgotten(threading.Event):
    """Is set once a broker thread lets go of the partition.

    A line of librdkafka's log says so. The next answer about metadata makes the partition anew, often within
    milliseconds: too early for the statistics, which show it as before.

    Attributes
    ----------
    settings : dict
        Of the producer that is watched.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__()
        self._line = f"{topic} [{partition}]: leaving broker"
        logger = logging.Logger("forgotten", logging.DEBUG)
        logger.addFilter(self._look)
        self.settings: dict[str, Any] = {"debug": "topic", "logger": logger}

    def _look(self, record: logging.LogRecord) -> bool:
        if self._line in record.getMessage():
            self.set()
        return True
