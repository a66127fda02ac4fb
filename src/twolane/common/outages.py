"""One log line for each broker that cannot be reached, and one when it answers again.

librdkafka logs every attempt to connect: 193 lines in five seconds of one dead broker.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from twolane.client.handle import Handle
    from twolane.common.logs import ClientLog

# How librdkafka names the broker that a line is about: "[thrd:...]: host:port/id: ...".
_BROKER = re.compile(r"^(?:\[thrd:[^\]]*\]: )?(\S+):(\d+)/\w+: (.*)", re.S)
# The log facilities, and the errors, of a connection that failed or was lost.
FACILITIES = frozenset({"FAIL", "ERROR", "REQTMOUT"})
ERRORS = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._SSL,
        KafkaError._AUTHENTICATION,
        KafkaError._ALL_BROKERS_DOWN,
    }
)


class OutageLog:
    """The outages of one client's brokers.

    Parameters
    ----------
    handle : Handle
    say : ClientLog
    """

    def __init__(self, handle: Handle, say: ClientLog) -> None:
        self._handle = handle
        self._say = say
        self._since: dict[tuple[str, int], float] = {}
        self._lines = 0

    def take(self, text: str, *, all_down: bool = False) -> bool:
        """Take a line about a connection; False where it is about none, and is to be logged as any other.

        That all brokers are down (`all_down`) is nothing new: each of them has its line.
        """
        found = _BROKER.match(text)
        if found is None and not all_down:
            return False
        self._lines += 1
        if found is not None:
            host, port, reason = found.groups()
            broker = host, int(port)
            # A line may be older than the connection's new life.
            if broker not in self._since and not self._handle.is_up(*broker):
                self._since[broker] = time.monotonic()
                self._say(logging.WARNING, "broker %s:%s cannot be reached: %s", host, port, reason)
                return True
        self._say(logging.DEBUG, "%s", text)
        return True

    def look(self) -> None:
        """Log which brokers answer again."""
        for broker, since in list(self._since.items()):
            if self._handle.is_up(*broker) and self._since.pop(broker, None) is not None:
                text = "broker %s:%s answers again after %.1f s (%d more lines about it at level DEBUG)"
                self._say(logging.WARNING, text, *broker, time.monotonic() - since, max(0, self._lines - 1))
                if not self._since:
                    self._lines = 0
