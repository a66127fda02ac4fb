"""What both lanes share: the client, topics and their partitions, logs, the end of a producer's life."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import warnings
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from twolane.client.handle import Handle
from twolane.common.arguments import Limits, bind_arguments, seconds_of, topic_name
from twolane.common.by_topic import Parts, TopicColumn, bind_by_topic
from twolane.common.client_events import EventHandler
from twolane.common.logs import ClientLog
from twolane.common.outages import OutageLog
from twolane.common.process_exit import Exits
from twolane.common.tokens import TokenThread
from twolane.common.topics import Topics
from twolane.config.callbacks import ClientOptions
from twolane.config.masking import Hider, masked
from twolane.config.policy import BOOTSTRAP, ProducerPolicy, Settings, settings_for
from twolane.errors import ClosedProducerError, ConfigError
from twolane.reports.reader import ReportReader
from twolane.stats import ClientStats, LatencyHistogram, Stats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from twolane.client.partitioner import Partitioner
    from twolane.common.arguments import BatchArguments, ProduceCall

# Failed requests after which a plain idempotent producer must end: its epoch, which rises with them, has 32 767
# numbers, and librdkafka begins anew at 0. The rest is for rises without a failure: a request behind one that is
# retried, refused for its sequence number, and old brokers that forget a producer.
EPOCHS = 30_000
# Said of a client that was closed and is not gone.
STILL_RUNS = "a closed client's threads still run: a name look-up, a request for partitions or a call has not come back"
# Bound of the drain at interpreter exit.
EXIT_TIMEOUT = 30.0

_open: weakref.WeakSet[BaseProducer] = weakref.WeakSet()


class BaseProducer(ABC):
    """Base of both lanes; not for use by itself."""

    _policy: ProducerPolicy
    _partitioner: Partitioner  # made by the lane

    def __init__(self, config: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> None:
        self._refused_rows = 0
        self._counting = threading.RLock()
        options, config, keywords = ClientOptions.taken_from(config, keywords)
        self._settings: Settings = settings_for(
            self._policy,
            config,
            keywords,
            allow_insecure=options.allow_insecure,
            has_oauth_cb=options.oauth_cb is not None,
        )
        self._options = options
        native = self._settings.native
        self._max_bytes = self._settings.number("message.max.bytes")
        self._timeout = self._settings.number("message.timeout.ms") / 1000
        if self._timeout <= 0:
            self._timeout = float(2**31)
        # librdkafka masks passwords in its log (debug=conf), but not what stands in a URL, and not all that it quotes.
        self._hide = Hider(native)
        self._handle = Handle(
            self._for_librdkafka(native), self._settings.shown, self._hide, options.oauth_cb is not None
        )
        self._reader = ReportReader(
            self._handle, self._settings.number("retries") if "retries" in native else 2**31 - 1, native["acks"] == "0"
        )
        if self._settings.flag("enable.idempotence") and "transactional.id" not in native:
            self._reader.epochs = EPOCHS  # with transactions the coordinator renews a producer id in time
        self._say = ClientLog(self._hide(self._handle.name), options.logger)
        outages = OutageLog(self._handle, self._say)
        protocol = native.get("security.protocol", "plaintext").upper()
        self._events = EventHandler(self._reader, self._hide, self._say, options, outages, protocol)
        self._topics = Topics(self._handle, self._events, self._settings.shown[BOOTSTRAP])
        self._tokens: TokenThread | None = None
        if options.oauth_cb is not None:
            self._tokens = TokenThread(
                self._handle, options.oauth_cb, native.get("sasl.oauthbearer.config", ""), self._hide, self._say
            )
        if self._settings.insecure:
            self._say.warn(f"allow_insecure=True: {'; '.join(self._settings.insecure)}", UserWarning)
        _open.add(self)
        _exits.watch()

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        """Return what librdkafka is given; lanes override what they take over from it."""
        return dict(native)

    @property
    def _closed(self) -> bool:
        return self._handle.draining

    @property
    def config(self) -> dict[str, str]:
        """The settings in force, by librdkafka's names; secrets are masked. A copy."""
        return dict(self._settings.shown)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Log in with these from the next connection on; connections that are open stay.

        Parameters
        ----------
        username, password : str
            For PLAIN and SCRAM, in place of ``sasl.username`` and ``sasl.password``.

        Raises
        ------
        ConfigError
            One of them is no string, is empty, or holds a NUL character.
        """
        given = {"sasl.username": username, "sasl.password": password}
        for key, value in given.items():
            if not isinstance(value, str) or not value or "\0" in value:
                raise ConfigError(f"set_sasl_credentials: expected text for {key}, without NUL characters", key=key)
            self._settings.native[key] = value  # read by clients that are made later
            self._settings.shown[key] = self._settings.given[key] = masked(key, value)
            self._hide.learn(key, value)
        self._handle.set_sasl_credentials(username.encode(), password.encode())

    # ---- topics --------------------------------------------------------------------------------------------------

    def partitions_for(self, topic: str, timeout: float | None = None) -> set[int]:
        """Return the partitions of a topic, asked of the brokers now.

        Parameters
        ----------
        topic : str
        timeout : float, optional
            Seconds; ``message.timeout.ms`` by default.

        Raises
        ------
        DeliveryError
            Unknown topic, or no broker answered in time. Nothing was sent.
        """
        return set(range(self._topics.count(self._handle.open_topic(topic_name(topic)), self._deadline(timeout))))

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self._timeout if timeout is None else seconds_of(timeout))

    # ---- figures -------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Return the producer's figures of this moment; ``accepted == written + not_written + unknown + in_queue``."""
        if not self._closed:
            with contextlib.suppress(ClosedProducerError):
                self._events.poll()
        text = self._events.statistics
        return Stats(
            **self._reader.count(),
            latency=LatencyHistogram.of(*self._reader.latency_counts()),
            client=ClientStats.of(text) if text else None,
            refused=self._refused_rows,
            client_id=self._say.name,
            requests=self._handle.produce_requests,
        )

    def _bind(self, topic: str, values: Any, given: BatchArguments, deadline: float) -> ProduceCall:
        """Check the arguments of a ``send_batch()``, and count the rows that it leaves out."""
        limits = Limits(self._max_bytes, self._partitioner)
        call = bind_arguments(topic, values, given, self._topics, deadline, limits)
        if call.skipped is not None:
            # Reentrant: a signal handler may send with the producer that it interrupts.
            with self._counting:
                self._refused_rows += len(call.skipped.refused)
        return call

    def _bind_by_topic(self, topic: TopicColumn, values: Any, given: BatchArguments, deadline: float) -> Parts:
        """Do as `_bind` for records of several topics."""
        parts = bind_by_topic(topic, values, given, lambda name, rows, its: self._bind(name, rows, its, deadline))
        with self._counting:
            self._refused_rows += len(parts.refused)
        return parts

    # ---- the end -------------------------------------------------------------------------------------------------

    @abstractmethod
    def flush(self, timeout: float | None = None) -> int:
        """Wait until nothing is in flight."""

    @abstractmethod
    def close(self, timeout: float | None = None) -> None:
        """End the producer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if getattr(self, "_reader", None) is None:
            return f"<{type(self).__name__}, refused>"  # in a traceback: __init__ raised
        state = "forked" if self._handle.is_forked else "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state}, {BOOTSTRAP}={self._settings.shown[BOOTSTRAP]}>"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: make one in each process")

    def __del__(self) -> None:
        # Attributes may be missing where __init__ raised.
        handle = getattr(self, "_handle", None)
        if handle is None or handle.draining or handle.is_forked:
            return
        try:
            warnings.warn(
                f"unclosed {self!r}: call close() or use a with statement", ResourceWarning, source=self, stacklevel=2
            )
        finally:
            # Also where warnings are errors: the records matter more.
            with contextlib.suppress(Exception):
                self._end_unclosed()

    def _end_unclosed(self) -> None:
        """Do what can be done for a producer that was not closed; called while it is collected, in any thread."""
        self.close(EXIT_TIMEOUT)


def _close_all() -> None:
    """Drain what is still open when the interpreter ends; say so."""
    for producer in list(_open):
        if producer._closed or producer._handle.is_forked:
            continue
        text = f"{producer!r} was open at interpreter exit: draining it for up to {EXIT_TIMEOUT:.0f} s"
        producer._say.warn(text, ResourceWarning)
        try:
            producer.close(EXIT_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the next one is to be closed too
            producer._say(logging.ERROR, "closing %r at interpreter exit", producer, error=error)


_exits = Exits(_close_all)
