"""What the safe lane notices about topics: settings that lose records, partitions that appear, offsets that go back."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.common.topic_rules import of_durability, of_replicas
from twolane.errors import refused
from twolane.safe.topic_settings import TopicCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twolane.client.handle import Topic
    from twolane.common.logs import ClientLog
    from twolane.config.callbacks import TokenCallback
    from twolane.config.masking import Native
    from twolane.errors import DeliveryError

# Seconds after which a topic's settings are asked for again, where a record is too large for it.
ASK_AGAIN = 2.0


class TopicMonitor:
    """Keeps one producer's knowledge of its topics.

    Parameters
    ----------
    log : ClientLog
    check_topics : bool
        Ask for the topics' settings at their first use (DescribeConfigs, where it is permitted).
    strict_partitions : bool
        A changed number of partitions refuses records placed by key until ``accept()``.
    open_topic : callable
        Returns the topic of a name, whose ``max_message_bytes`` is set.
    hide : callable
        Takes secrets out of what librdkafka says.
    oauth_cb : callable, optional
        Brings tokens for the client that asks for settings.

    Attributes
    ----------
    check : TopicCheck
        Asks for the topics' settings; ended with the producer.
    notices : list of str
        Everything noticed, in order; each is also logged as a warning.
    moved : dict of str to (int, int)
        Topics that take no records by key until ``accept()``: how many partitions there were, and are.
    offsets : dict of (str, int) to int
        The last offset acknowledged in each partition. ``send()`` looks here first, and calls ``acknowledged()`` where
        it has not risen.
    """

    def __init__(
        self,
        settings: Native,
        log: ClientLog,
        *,
        check_topics: bool,
        strict_partitions: bool,
        open_topic: Callable[[str], Topic],
        hide: Callable[[str], str] = str,
        oauth_cb: TokenCallback | None = None,
    ) -> None:
        self.check = TopicCheck(settings, self._judge, log, hide, oauth_cb)
        # With compression brokers count compressed bytes, which are not known before.
        self._knows_sizes = settings.get("compression.type", "none") == "none"
        self._open_topic = open_topic
        self._asked_at: dict[str, float] = {}
        self._log = log
        self._check_topics = check_topics
        self._strict = strict_partitions
        self._counts: dict[str, int] = {}
        self._counting = threading.RLock()  # reentrant: a signal handler may count, too
        self.moved: dict[str, tuple[int, int]] = {}
        self.offsets: dict[tuple[str, int], int] = {}
        self.notices: list[str] = []

    def say(self, text: str) -> None:
        """Record a notice and log it."""
        self.notices.append(text)
        self._log(logging.WARNING, "%s", text)

    # ---- partitions ----------------------------------------------------------------------------------------------

    def counted(self, topic: str, count: int, replicas: int) -> None:
        """Take a fresh count of a topic's partitions, and how many replicas the least replicated one has."""
        with self._counting:  # of threads that count a new topic together one has it checked
            before = self._counts.get(topic)
            self._counts[topic] = count
        if before is None:
            if self._check_topics:
                self._check(topic, replicas)
        elif before != count:
            self.say(f"topic {topic!r} has {count} partitions now, {before} before: keys move to other partitions")
            if self._strict:
                self.moved.setdefault(topic, (before, count))
        if before is not None and self._check_topics:
            self._check_size(topic)

    def accept(self, topic: str) -> None:
        """Place records by key over the partitions there are now."""
        self.moved.pop(topic, None)

    def refusal(self, topic: str) -> DeliveryError:
        """Return the error of a record placed by its key, of a topic that has `moved`."""
        before, count = self.moved[topic]
        return refused(
            topic,
            KafkaError._STATE,
            f"the topic went from {before} to {count} partitions and keys would move: "
            f"call accept_partitions({topic!r}), or give the partition",
        )

    # ---- offsets -------------------------------------------------------------------------------------------------

    def acknowledged(self, topic: str, partition: int, first: int, last: int) -> None:
        """Take the offsets of acknowledged records; offsets that do not rise mean another topic of the same name."""
        known = self.offsets.get((topic, partition), -1)
        if first <= known:
            self.say(
                f"offset regression in topic {topic!r} partition {partition}: {first} was acknowledged after {known}. "
                "The topic was deleted and created again, or its log was cut: records acknowledged before may be gone"
            )
        self.offsets[topic, partition] = last

    # ---- settings ------------------------------------------------------------------------------------------------

    def _check(self, topic: str, replicas: int) -> None:
        for finding in of_replicas(topic, replicas):
            self.say(finding.text)
        self.check.ask(topic)

    def _check_size(self, topic: str) -> None:
        """Ask again for the settings of a topic for which a record was too large: its limit may have changed."""
        known, now = self._open_topic(topic), time.monotonic()
        if known.is_size_refused and now - self._asked_at.get(topic, -math.inf) >= ASK_AGAIN:
            known.is_size_refused = False
            self._asked_at[topic] = now
            self.check.ask(topic)

    def _judge(self, topic: str, found: Mapping[str, str]) -> None:
        """Say what is weak in a topic's settings, and set its limit; called by the topic check."""
        if self._knows_sizes and found.get("max.message.bytes"):
            self._open_topic(topic).max_message_bytes = int(found["max.message.bytes"])
        for finding in of_durability(topic, found):
            if finding.text not in self.notices:
                self.say(finding.text)
