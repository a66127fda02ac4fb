"""Rounds that never were: a history and the log that belongs to it, and the ways in which one of them can be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from faults.checkers import check
from faults.history import ENDED, INVOKED, NOT_WRITTEN, UNKNOWN, WRITTEN, History, rows_of
from faults.records import LOGGED
from faults.workload import RoundFacts, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.checkers import Judgement

NANO = 1_000_000_000
STEP = NANO // 100
TIMEOUT = 10.0


class Round(NamedTuple):
    """A round of the safe lane."""

    history: History
    log: NDArray[Any]
    workload: Workload
    facts: RoundFacts

    def judged(self, committed: NDArray[Any] | None = None) -> Judgement:
        return check(self.history, self.log, self.workload, self.facts, committed)


def workload(**changes: Any) -> Workload:
    plain = Workload(
        lane="safe",
        front="sync",
        idempotence=True,
        transactional=False,
        batch=10,
        partitions=3,
        topic="synthetic",
        bootstrap="",
        seed=1,
        history_path="",
    )
    return replace(plain, **changes)


def make(random: np.random.Generator, calls: int, streams: int, partitions: int, batch: int) -> Round:
    """Return a round in which everything holds: calls with a failure end as the lane says they do."""
    invoked, ended, log = [], [], []
    ends = np.zeros(partitions, np.int64)
    sequences = np.zeros(streams, np.int64)
    at = STEP
    for _ in range(calls):
        stream = int(random.integers(streams))
        n = int(random.integers(1, batch + 1))
        at += 2 * STEP
        sent = rows_of(
            INVOKED,
            n,
            at=at,
            producer=1000 + stream,
            partition=random.integers(partitions, size=n),
            sequence=sequences[stream] + np.arange(n),
            call=sequences[stream],
            timestamp=1_700_000_000_000 + at // 1_000_000,
            timeout=TIMEOUT,
        )
        sequences[stream] += n
        told = rows_of(ENDED, n, at=at + STEP, verdict=NOT_WRITTEN, partition=sent["partition"], offset=-1)
        for name in ("producer", "epoch", "sequence"):
            told[name] = sent[name]
        for partition in range(partitions):
            mine = np.flatnonzero(sent["partition"] == partition)
            # Written ones, then a chunk of unknown fate, then nothing.
            fails = random.random() < 0.3
            written = int(random.integers(len(mine) + 1)) if fails else len(mine)
            unknown = int(random.integers(len(mine) - written + 1)) if fails else 0
            logged = written + unknown * int(random.integers(2))
            told["verdict"][mine[:written]] = WRITTEN
            told["verdict"][mine[written : written + unknown]] = UNKNOWN
            told["offset"][mine[:written]] = ends[partition] + np.arange(written)
            rows = np.zeros(logged, LOGGED)
            rows["partition"] = rows["sent_to"] = partition
            rows["offset"] = ends[partition] + np.arange(logged)
            rows["timestamp_type"], rows["intact"] = 1, True
            for name in ("producer", "epoch", "sequence", "timestamp"):
                rows[name] = sent[name][mine[:logged]]
            ends[partition] += logged
            log.append(rows)
        invoked.append(sent)
        ended.append(told)
    found = np.concatenate([np.empty(0, LOGGED), *log])
    events = [{"event": "started", "epoch": 0, "at": 0}, {"event": "ended", "epoch": 0, "at": at}]
    return Round(
        History(np.concatenate(invoked), np.concatenate(ended), events),
        found[np.lexsort((found["offset"], found["partition"]))],
        workload(partitions=partitions, batch=batch),
        RoundFacts(),
    )
