"""Requests and answers that a proxy loses, forges, holds back and cuts short (`faults.proxy`)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from faults import proxy
from faults.injections.fault import Fault
from faults.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient
    from faults.workload import Workload

# Of 100 requests, those that pass unharmed.
OFTEN = 60
# Kafka's error codes. Refusals say that nothing was appended; brokers may say the others after an append, too.
UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TIMED_OUT, NETWORK = 3, 5, 6, 7, 13
NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND, STORAGE, UNKNOWN = 19, 20, 56, -1
CORRUPT, MSG_SIZE_TOO_LARGE, TOPIC_AUTHORIZATION, INVALID_RECORD = 2, 10, 29, 87


class ProxiedFault(Fault):
    """The client goes through a proxy, which does this to some of its Produce requests."""

    actions: ClassVar[Sequence[proxy.Action]]
    acks_go_on = True
    seconds, long_seconds = (0.5, 2.5), (5.0, 10.0)
    _proxy: FaultProxy | None = None

    def prepare(self, cluster: FaultCluster, workload: Workload, random: Random) -> Workload:
        """Start the proxy, which passes everything on."""
        self._proxy = FaultProxy(cluster.proxied, cluster.hosts)
        self._proxy.start()
        return replace(workload, bootstrap=self._proxy.bootstrap_servers)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Let it misbehave."""
        assert self._proxy is not None
        self._proxy.at_random(random.randrange(1 << 32), proxy.mixed(self.actions, OFTEN))

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Let everything pass."""
        assert self._proxy is not None
        self._proxy.rule = None

    def finish(self) -> None:
        """Wait for what is held back, then end the proxy."""
        ended, self._proxy = self._proxy, None
        if ended is not None:
            with contextlib.closing(ended):
                ended.wait_for_ghosts(sum(one.action.kind == "hold" for one in ended.seen))


class DropAnswers(ProxiedFault):
    """Appended, and the client never learns it."""

    name, about = "answer-dropped", "the answer to an appended request, and all behind it, never arrive"
    actions = (proxy.drop(),)


class CloseBefore(ProxiedFault):
    """The connection ends, and nothing was appended."""

    name, about = "closed-before", "the connection is closed instead of passing a request on"
    actions = (proxy.close_before(),)


class CloseAfter(ProxiedFault):
    """The connection ends, and the records are in the log."""

    name, about = "closed-after", "the connection is closed instead of passing the answer back"
    actions = (proxy.close_after(),)


class Truncate(ProxiedFault):
    """Half an answer."""

    name, about = "truncated-answer", "the connection is closed in the middle of an answer"
    actions = (proxy.truncate(),)


class Delay(ProxiedFault):
    """Late answers, some later than the client waits."""

    name, about = "late-answer", "answers 50 ms to 3 s late"
    actions = (proxy.delay(0.05), proxy.delay(0.5), proxy.delay(3.0))


class Ghost(ProxiedFault):
    """A request that arrives after the client has given up on it (F2)."""

    name, about = "ghost", "a request is held back, and appended 0.5 to 5 s later"
    actions = (proxy.hold(0.5), proxy.hold(2.0), proxy.hold(5.0))


class Refuse(ProxiedFault):
    """Errors of brokers that have appended nothing."""

    name, about = "refused", "a request is refused with an error code, and never seen by a broker"
    actions = tuple(
        proxy.refuse(code)
        for code in (
            *(UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, STORAGE),
            *(CORRUPT, MSG_SIZE_TOO_LARGE, TOPIC_AUTHORIZATION, INVALID_RECORD),
        )
    )


class FailAfterAppend(ProxiedFault):
    """Errors that brokers may return after they have appended (F3)."""

    name, about = "error-after-append", "an appended request is answered with an error code"
    actions = tuple(
        proxy.falsify(code) for code in (NOT_LEADER, TIMED_OUT, NETWORK, NOT_ENOUGH_AFTER_APPEND, STORAGE, UNKNOWN)
    )


class Everything(ProxiedFault):
    """All of them together."""

    name, about = "proxy-mixed", "all that a proxy does, mixed"
    actions = (
        *(*DropAnswers.actions, *CloseBefore.actions, *CloseAfter.actions, *Truncate.actions, *Delay.actions),
        *(*Ghost.actions, *Refuse.actions, *FailAfterAppend.actions),
    )
