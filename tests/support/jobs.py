"""Jobs of engines: a broker or a worker killed under one at a point that can be seen, and what its log has to be."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from faults.proxy import drop, forward
from tests.support.readers import read_all
from tests.support.waiting import PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faults.proxy import Action, FaultProxy, Seen
    from tests.support.readers import ReadRecord
    from twolane.testing import KafkaCluster

# Requests that are answered before the one that is on its way when the broker dies.
ANSWERED = 2
# Settings by which a job has more requests than these, and outlasts the broker's restart on a busy machine.
CONFIG = {"batch.num.messages": "100", "message.timeout.ms": "300000"}


def transactional(name: str) -> dict[str, str]:
    """Return the same with transactions, which last as long."""
    return {**CONFIG, "transactional.id": name, "transaction.timeout.ms": CONFIG["message.timeout.ms"]}


def bounce(cluster: KafkaCluster, proxy: FaultProxy, topic: str, job: Callable[[], Any]) -> Any:
    """Run a job whose producers meet the proxy; return what it returns.

    With its third Produce request on its way the leader of the topic's partition 0 is killed, which closes its
    connections, and started again: what the request did is not known to the producer.
    """
    leader = cluster.leader(topic)

    def restart() -> None:
        cluster.kill_broker(leader)
        cluster.start_broker(leader)

    return disturb(proxy, restart, job)


def disturb(proxy: FaultProxy, disturbance: Callable[[], None], job: Callable[[], Any]) -> Any:
    """Run a job whose producers meet the proxy, and something beside it once their third Produce request is on its way.

    That request is not answered. The job runs in the caller's thread, to which Spark binds its session.
    """
    on_its_way, is_over = threading.Event(), threading.Event()

    def rule(seen: Seen) -> Action:
        if seen.number <= ANSWERED:
            return forward()
        on_its_way.set()
        return drop()

    def wait() -> str:
        while not on_its_way.wait(0.05):
            if is_over.is_set():
                return "the job ended without a third request"
        proxy.rule = None
        disturbance()
        return "disturbed"

    proxy.rule = rule
    thread, ends = in_thread(wait)
    try:
        result = job()
    finally:
        is_over.set()
        thread.join(2 * PATIENCE)
    assert ends == ["disturbed"]
    return result


def check_log(servers: str, topic: str, n: int, *, once: bool, maybe_twice: int = 0) -> None:
    """Look whether rows of the ids 0 to n - 1 are all in the log, and each once unless the report says otherwise."""
    seen = Counter(json.loads(record.value)["id"] for record in read_all(servers, topic, timeout=PATIENCE))
    assert set(seen) == set(range(n))
    if once:
        assert seen.total() <= n + maybe_twice


def check_order_by_key(log: Iterable[ReadRecord], keys: int) -> None:
    """Look whether each key's rows were written by one task, in the order of their field `at`."""
    tasks: dict[bytes | None, set[bytes | None]] = {}
    times: dict[bytes | None, list[int]] = {}
    for record in sorted(log, key=lambda record: (record.partition, record.offset)):
        tasks.setdefault(record.key, set()).add(dict(record.headers)["twolane-task"])
        times.setdefault(record.key, []).append(json.loads(record.value)["at"])
    assert len(times) == keys
    assert all(len(found) == 1 for found in tasks.values())
    assert all(found == sorted(found) for found in times.values())
