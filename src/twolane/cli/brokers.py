"""Brokers asked by confluent-kafka's admin client, with the reasons why they have no answer."""

from __future__ import annotations

import socket
import statistics
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

from twolane.cli.exits import Exit, Stop
from twolane.config.masking import Hider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from twolane.config.policy import Settings

# Seconds for each question, and for each connection.
TIMEOUT, CONNECT = 10.0, 3.0
# What waiting longer does not mend.
_FINAL = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})


class Admin:
    """Asks for brokers and topics.

    Parameters
    ----------
    settings : Settings
        Of a producer; those of its connection are used.
    """

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka.admin import AdminClient

        self._hide, self._servers = Hider(settings.native), settings.shown["bootstrap.servers"]
        self._errors: list[KafkaError] = []
        given: dict[str, Any] = {**settings.connection(), "log_level": 0, "error_cb": self._errors.append}
        self._admin = AdminClient(given)

    def metadata(self) -> Any:
        """Return brokers and topics.

        Raises
        ------
        Stop
            No broker answered, or the login was refused; says what librdkafka said last.
        """
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return self._admin.list_topics(timeout=1.0)
            except KafkaException as error:
                self._admin.poll(0)
                final = [one for one in self._errors if one.code() in _FINAL]
                if final or time.monotonic() > deadline:
                    reasons = [one for one in self._errors if one.code() != KafkaError._ALL_BROKERS_DOWN]
                    why = (final or reasons or [error.args[0]])[-1]
                    what = "the login was refused" if final else "no broker answered"
                    text = self._hide(f"{what}, bootstrap.servers={self._servers}: {why.str()}")
                    raise Stop(Exit.UNAVAILABLE, text) from None

    def topic_settings(self, topics: Sequence[str]) -> Iterator[Mapping[str, str] | str]:
        """Yield the settings of each topic, or why they are not told."""
        from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        futures = self._admin.describe_configs(resources, request_timeout=TIMEOUT)
        for resource in resources:
            try:
                found = futures[resource].result(TIMEOUT + 1)
                yield {name: entry.value or "" for name, entry in found.items()}
            except (KafkaException, TimeoutError) as error:
                why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
                yield self._hide(why)

    def create_topic(self, name: str, replicas: int) -> None:
        """Make a topic of one partition and wait until all its replicas are there.

        Raises
        ------
        Stop
            The brokers refuse, or it takes too long.
        """
        from confluent_kafka.cimpl import NewTopic

        try:
            new = NewTopic(name, 1, replicas)
            self._admin.create_topics([new], operation_timeout=TIMEOUT)[name].result(TIMEOUT + 1)
        except (KafkaException, TimeoutError) as error:
            why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
            raise Stop(
                Exit.UNAVAILABLE, self._hide(f"no topic can be made ({why}); name one of yours with -t")
            ) from None
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            found = self._admin.list_topics(name, timeout=TIMEOUT).topics[name].partitions
            if found and len(found[0].isrs) == replicas:
                return
            time.sleep(0.05)
        raise Stop(Exit.UNAVAILABLE, f"topic {name} is not on {replicas} brokers after {TIMEOUT:.0f} s")

    def delete_topic(self, name: str) -> None:
        """Delete a topic, some time soon."""
        self._admin.delete_topics([name])[name].exception(TIMEOUT)


def connect_time(host: str, port: int, times: int = 1) -> float:
    """Return the median seconds of a TCP connect: one round trip.

    Raises
    ------
    OSError
        There is no connection.
    """
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        with socket.create_connection((host, port), CONNECT):
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)
