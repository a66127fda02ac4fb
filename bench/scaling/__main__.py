"""Measure what bounds many workers: producers on their host, requests at the brokers, workers side by side.

``python -m bench.scaling --json FILE`` starts three brokers of its own and takes about six minutes on a machine with
nothing else to do; ``python -m bench.scaling.page FILE`` then makes the tables and the picture of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import machine, write
from bench.scaling import brokers as broker
from bench.scaling import footprint, transactions, wire
from bench.scaling.workers import ONE
from twolane.testing import KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_SECONDS = 15.0
CALL = 65_536
THREADS = "threads"


def sending(seconds: float) -> list[dict[str, Any]]:
    """Return the runs of workers, in the order in which they are measured."""
    safe, fast = {"lane": "safe", "seconds": seconds}, {"lane": "throughput", "seconds": seconds}
    near = {"spread": False, **safe}
    return [
        # Requests of one record, from a service's threads: a producer each, and one for all.
        *({"share": THREADS, "workers": n, "call": 1, **near} for n in (1, 4, 16)),
        {"share": THREADS, "workers": 16, "call": 1, "replication": 1, **near},
        {"share": ONE, "workers": 16, "call": 1, "partitions": 1, **near},
        # Workers with a partition each: what a call costs, and what a round trip does.
        *({"workers": 1, "call": n, **near} for n in (100, 5_000)),
        *({"workers": n, "call": 100, "rtt_ms": 20, **near} for n in (1, 2, 4)),
        # Batch jobs: calls of an engine's size over all partitions.
        *({"workers": n, "call": CALL, **lane} for lane in (safe, fast) for n in (1, 2, 4)),
        *({"share": ONE, "workers": 4, "call": CALL, **lane} for lane in (safe, fast)),
        *({"workers": 1, "call": CALL, "partitions": 500, **lane} for lane in (safe, fast)),
        *({"workers": 2, "call": CALL, "replication": 1, **lane} for lane in (safe, fast)),
    ]


def parts(given: argparse.Namespace, brokers: broker.Brokers) -> dict[str, Callable[[], list[Any]]]:
    """Return the parts of a run by their names in the JSON file."""
    seconds = given.seconds

    def requests() -> list[Any]:
        rows = [broker.connect(brokers, seconds)]
        rows.append(broker.ask(brokers, "InitProducerId", wire.init_producer_id(), seconds))
        for n in broker.TOPICS_OF:
            name = f"Metadata, {n} partitions"
            rows.append(broker.ask(brokers, name, wire.metadata(brokers.topic(n)), seconds) | {"partitions": n})
        return rows

    def ids() -> list[Any]:
        try:
            return [broker.producer_ids(brokers)]
        except LookupError as error:
            print(f"producer_ids: {error}", flush=True)
            return []

    sets = [one for one in footprint.SETS if one[2] <= given.most and one[3] <= given.most]
    return {
        "footprint": lambda: footprint.measure(brokers.bootstrap, brokers.topic(3), 3, sets),
        "requests": requests,
        # The first ones find the coordinators' code interpreted: measured twice, kept once.
        "transactions": lambda: [transactions.measure(brokers, n, seconds) for n in (16, 1, 4, 16)][1:],
        "sending": lambda: [row for one in sending(seconds) if (row := broker.send(brokers, **one))],
        "producer_ids": ids,
    }


def warm_up(brokers: broker.Brokers, seconds: float) -> None:
    """Keep the brokers busy first: a JVM that has just started interprets its code."""
    for lane, call in (("throughput", CALL), ("safe", 1)):
        what = {"lane": lane, "call": call, "workers": 4, "share": THREADS, "seconds": seconds / 2}
        broker.send(brokers, spread=call > 1, **what)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.5, help="of each run (default: 2.5)")
    parser.add_argument("--most", type=int, default=200, help="producers or processes side by side (default: 200)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="default: all of them")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    started, load, found = time.monotonic(), machine()["load_1min"], {}
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(KafkaCluster(jvm_options=(), config=broker.SETTINGS))
        brokers = broker.Brokers(cluster, stack)
        warm_up(brokers, min(WARM_SECONDS, 6 * given.seconds))
        brokers.learn_idle()
        save = functools.partial(
            write,
            given.json,
            f"bench.scaling: three brokers, runs of {given.seconds} s; broker CPU is that of all three together",
            cluster={"brokers": 3, "kafka": cluster.version, "idle_cores": round(brokers.idle, 3)},
            load_before=load,
        )
        for name, part in parts(given, brokers).items():
            if not given.only or name in given.only:
                found[name] = part()
                save(**found)
                print(f"{name}: {time.monotonic() - started:.0f} s so far", flush=True)


if __name__ == "__main__":
    main()
