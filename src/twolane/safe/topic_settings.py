"""Topics' settings, asked of the brokers once per topic: by one client and one thread, which end when all are answered.

A client of its own, not the producer's: with one request in flight a record would wait for an answer that is late.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from twolane.config.policy import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twolane.common.logs import ClientLog
    from twolane.config.callbacks import TokenCallback
    from twolane.config.masking import Native

# Seconds until a request without an answer is given up.
TIMEOUT = 10.0
# Seconds that it takes to end, at most, with brokers that can be looked up.
PATIENCE = 1.0
# Topics that wait to be asked for, and those that one request asks for.
MOST_WAITING, MOST_AT_ONCE = 1_000, 100


class TopicCheck:
    """Asks for topics' settings (DescribeConfigs) beside the callers.

    Between two bursts of new topics it has neither a thread nor a client. Where it is not permitted, not supported or
    not answered, nothing is said of them: records are sent without the check.

    Parameters
    ----------
    settings : mapping
        The producer's.
    found : callable(topic, settings)
        Called in the thread with what the brokers answered.
    log : ClientLog
    hide : callable
        Takes secrets out of what librdkafka says.
    oauth_cb : callable, optional
        Brings tokens.
    """

    def __init__(
        self,
        settings: Native,
        found: Callable[[str, Mapping[str, str]], None],
        log: ClientLog,
        hide: Callable[[str], str],
        oauth_cb: TokenCallback | None = None,
    ) -> None:
        self._oauth_cb = oauth_cb
        self._settings = settings
        self._found = found
        self._log = log
        self._hide = hide
        self._waiting: list[str] = []
        # Reentrant: a signal handler may send to a new topic wherever Python runs.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_running = False
        self._is_ended = False
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()  # whose put() a signal handler may call

    def ask(self, topic: str) -> None:
        """Have a topic asked for soon. Raises nothing, waits for nothing."""
        with self._lock:
            if self._is_ended:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._log(logging.INFO, "the settings of topic %r are not checked: too many topics wait for it", topic)
                return
            self._waiting.append(topic)
            if self._is_running:
                return
            self._is_running = True
            try:
                self._thread = threading.Thread(target=self._run, name="twolane-topic-check", daemon=True)
                self._thread.start()
            except (RuntimeError, MemoryError) as error:
                # The process has no thread left. The next new topic tries again for both.
                self._thread, self._is_running = None, False
                self._log(logging.INFO, "topic settings are not checked: %s", error)

    def end(self) -> None:
        """Ask for nothing any more, and wait for no answer. Does not wait itself."""
        self._is_ended = True
        self._news.put(None)

    def join(self, deadline: float) -> None:
        """Wait until thread and client have ended, or until `deadline` (``time.monotonic()``) and a moment longer."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, deadline + PATIENCE - time.monotonic()))

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._has_more():
            # With its last reference the client is destroyed, before the thread ends or makes another.
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - confluent-kafka's, and whatever an answer may hold
                # As text: a log handler that keeps the exception would keep the client, by way of the traceback.
                self._log(logging.INFO, "topic settings are not checked: %s", self._hide(str(error)))

    def _has_more(self) -> bool:
        with self._lock:
            self._is_running = bool(self._waiting) and not self._is_ended
            return self._is_running

    def _take(self) -> list[str]:
        with self._lock:
            topics, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            return [] if self._is_ended else topics

    def _serve(self) -> None:
        # Imported here: the module is large, and a throughput service never needs it.
        from confluent_kafka import admin

        topics = self._take()
        settings: dict[str, Any] = {**connection(self._settings), "log_level": 0}
        if self._oauth_cb is not None:
            settings["oauth_cb"] = self._oauth_cb
        client = admin.AdminClient(settings)
        while topics:
            for topic, answer in self._answers(client, topics):
                error = answer.exception() if answer.done() else "no answer"
                if error is None:
                    self._found(topic, {name: entry.value for name, entry in answer.result().items()})
                else:
                    # Never raised here: its traceback would keep this frame, and with it the client.
                    self._log(
                        logging.INFO, "the settings of topic %r could not be read: %s", topic, self._hide(str(error))
                    )
            topics = self._take()

    def _answers(self, client: Any, topics: list[str]) -> list[tuple[str, Any]]:
        """Ask for topics and wait; those without an answer by then have a future that is not done."""
        from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        asked = client.describe_configs(resources, request_timeout=TIMEOUT)
        deadline = time.monotonic() + TIMEOUT + 1
        for future in asked.values():
            future.add_done_callback(lambda _: self._news.put(None))
        while not self._is_ended and not all(future.done() for future in asked.values()):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=left)
        return [(resource.name, future) for resource, future in asked.items()]
