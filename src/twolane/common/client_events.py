"""What librdkafka says of itself: log lines and errors go to Python's logging, statistics are kept as text."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from twolane.common.outages import ERRORS, FACILITIES
from twolane.common.tokens import NO_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.common.logs import ClientLog
    from twolane.common.outages import OutageLog
    from twolane.config.callbacks import ClientOptions
    from twolane.reports.reader import ReportReader

_DEBUG = 7  # what the setting `debug` adds: no connection's failure, but all that goes on
# syslog's levels, as librdkafka uses them, to Python's.
_LEVELS = {0: 50, 1: 50, 2: 50, 3: 40, 4: 30, 5: 20, 6: 20, 7: 10}
_LOG, _ERROR = 0x4, 0x8
# What librdkafka, or OpenSSL inside it, leaves open about a login that fails: the text, and what to look at.
_HINTS = (
    (
        re.compile("certificate verify failed"),
        "; the certificate is of an authority that ssl.ca.location does not have, has expired, or is for another host "
        "than bootstrap.servers or the broker names",
    ),
    (
        re.compile("alert (bad certificate|certificate required|certificate unknown|unknown ca)"),
        "; the broker takes no client without a certificate that it trusts: ssl.certificate.location, ssl.key.location",
    ),
)
# With log.connection.close=false librdkafka says nothing of a connection that the other side closes.
_SILENT = (
    "%s: they closed every connection without a reason, which a listener does that speaks another security.protocol "
    "than %s"
)
# Of partitions that were paused, which pass for a consumer's: late, and the call has raised the reason (F40).
TO_CONSUMERS = "]: desired partition is no"


class EventHandler:
    """Handles one client's events but its delivery reports, in any thread that has the GIL.

    Parameters
    ----------
    hide : callable
        Takes secrets out of a text.
    log : ClientLog
    options : ClientOptions
        ``error_cb`` and ``stats_cb`` are called.
    outages : OutageLog
        Logs what is about a connection.
    protocol : str
        ``security.protocol``, for messages.

    Attributes
    ----------
    last_error : str
        The last error that the client reported, for the message of a call that fails.
    statistics : str
        The last statistics, as JSON: `stats()` parses them.
    """

    def __init__(
        self,
        delivery: ReportReader,
        hide: Callable[[str], str],
        log: ClientLog,
        options: ClientOptions,
        outages: OutageLog,
        protocol: str,
    ) -> None:
        self._protocol = protocol
        self._outages = outages
        self._reader = delivery
        self._hide = hide
        self._log = log
        self._options = options
        self.last_error = ""
        self.statistics = ""

    def poll(self) -> None:
        """Take the events that are there, and handle them."""
        self._reader.poll(0)
        self.handle()

    def handle(self) -> None:
        """Handle the events that were taken."""
        for kind, level, facility, note in self._reader.client_events.take_all():
            text = self._hide(note)
            if TO_CONSUMERS in text:
                continue
            if kind == _LOG:
                if level <= 3:
                    self.last_error = text = explained(text)
                if level == _DEBUG or facility not in FACILITIES or not self._outages.take(text):
                    self._log(_LEVELS.get(level, 20), "%s: %s", facility, text)
            elif kind == _ERROR:
                text = explained(text)
                all_down = level == KafkaError._ALL_BROKERS_DOWN
                if not all_down:
                    self.last_error = text
                elif not self.last_error:  # which would say why
                    self.last_error = _SILENT % (text, self._protocol)
                is_said = text.startswith(NO_TOKEN)  # by the thread that asks for tokens
                if not (is_said or (level in ERRORS and self._outages.take(text, all_down=all_down))):
                    self._log(logging.WARNING, "%s: %s", KafkaError(level).name(), text)
                self._call_back(self._options.error_cb, KafkaError(level, text, level == KafkaError._FATAL))
            else:
                self.statistics = text
                self._call_back(self._options.stats_cb, text)
        self._outages.look()

    def _call_back(self, function: Callable[[Any], Any] | None, argument: Any) -> None:
        """Call a callback of the user's; what it raises is logged and goes no further."""
        if function is not None:
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - it must not change a verdict, nor end a thread
                self._log(logging.ERROR, "%s raised", getattr(function, "__name__", "a callback"), error=error)


def explained(text: str) -> str:
    """Return what librdkafka says of a failure, with what else its cause may be."""
    return text + "".join(hint for pattern, hint in _HINTS if pattern.search(text))
