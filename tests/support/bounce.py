"""A broker killed under a job at a point that can be seen, and started again."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from faults.proxy import drop, forward
from tests.support.readers import read_all
from tests.support.waiting import PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.proxy import Action, FaultProxy, Seen
    from twolane.testing import KafkaCluster

# Requests that are answered before the one that is on its way when the broker dies.
ANSWERED = 2
# Settings by which a job has more requests than these, and outlasts the broker's restart on a busy machine.
CONFIG = {"batch.num.messages": "100", "message.timeout.ms": "300000"}


def bounce(
    cluster: KafkaCluster, proxy: FaultProxy, topic: str, job: Callable[[], Any], *, start: bool = True
) -> Any:
    """Run a job whose producers meet the proxy; return what it returned, or what it raised.

    The answer of its third Produce request is held back. Then the leader of the topic's partition 0 is killed, which
    closes its connections, and started again: what the request did is not known to the producer.

    Parameters
    ----------
    start : bool, default True
        Start the broker while the job runs; otherwise once it has ended.
    """
    on_its_way = threading.Event()

    def rule(seen: Seen) -> Action:
        if seen.number <= ANSWERED:
            return forward()
        on_its_way.set()
        return drop()

    leader = cluster.leader(topic)
    proxy.rule = rule
    thread, ends = in_thread(job)
    try:
        while not on_its_way.wait(0.05):
            assert thread.is_alive(), f"the job ended without a third request: {ends}"
        cluster.kill_broker(leader)
        proxy.rule = None
        if start:
            cluster.start_broker(leader)
    finally:
        thread.join(5 * PATIENCE)
    if not start:
        cluster.start_broker(leader)
        cluster.wait_in_sync(topic)
    assert not thread.is_alive(), "the job hangs"
    return ends[0]


def check_log(servers: str, topic: str, n: int, *, once: bool, maybe_twice: int = 0) -> None:
    """Look whether rows of the ids 0 to n - 1 are all in the log, and each once unless the report says otherwise."""
    seen = Counter(json.loads(record.value)["id"] for record in read_all(servers, topic, timeout=PATIENCE))
    assert set(seen) == set(range(n))
    if once:
        assert seen.total() <= n + maybe_twice
