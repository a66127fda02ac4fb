"""What must hold after a round, by Jepsen's names where it has one.

Each check takes a `Joined` and returns which records break it. `check` runs them all over a history and a log; a
million records take about a second.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import KafkaError

from faults.history import NOT_WRITTEN, UNKNOWN, History, read
from faults.joined import NANO, Joined, places
from faults.records import HEADERS, KEY
from faults.transactions import aborted_reads, torn_transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from faults.workload import RoundFacts, Workload

# What twolane promises beyond a call's timeout, and the campaign of the first acknowledgement behind a fault.
LATE_SECONDS, RECOVERY_SECONDS = 1.5, 10.0
EXAMPLES = 3
MIB = 1 << 20
QUEUE_KBYTES = 1 << 20
# The embedded cluster's reports have this time, whatever the log has.
MOCK_TIME = (2, 1234)
CREATE_TIME, LOG_APPEND_TIME = 1, 2
# Of a process among its producers: epochs are `1000 * process + producer`.
PRODUCERS = 1000


@dataclass(frozen=True)
class Violation:
    """One broken promise, and how often."""

    kind: str
    count: int
    detail: str


@dataclass
class Judgement:
    """What the checkers say of a round."""

    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        """Names of the promises that were broken."""
        return {one.kind for one in self.violations}

    def to_json(self) -> str:
        """Return violations and counts as one line."""
        return json.dumps(asdict(self))


def check(
    history: History | Path | str | Sequence[Path | str],
    log: NDArray[Any],
    workload: Workload,
    facts: RoundFacts,
    committed: NDArray[Any] | None = None,
) -> Judgement:
    """Check one round.

    Parameters
    ----------
    history : History, path or paths
    log : ndarray of LOGGED
        All that is in the topic, see `faults.readers.read_log`.
    workload : Workload
        Whose promises hold.
    facts : RoundFacts
    committed : ndarray of LOGGED, optional
        What a reader of committed records sees; only where the workload is transactional.
    """
    if not isinstance(history, History):
        history = read(*([history] if not isinstance(history, (list, tuple)) else history))
    case = Joined(history, log, workload, facts)
    judgement = Judgement(counts=counts(case))
    checks = dict(CHECKS)
    if committed is not None:
        checks["aborted-read"] = lambda case: aborted_reads(case, committed)
        checks["torn-transaction"] = lambda case: torn_transactions(case, committed)
    for kind, one in checks.items():
        found = one(case)
        if isinstance(found, list):
            texts, count = found, len(found)
        else:
            indices = np.flatnonzero(found) if found.dtype == np.bool_ else found
            texts, count = [case.show(int(index)) for index in indices[:EXAMPLES]], len(indices)
        if count:
            judgement.violations.append(Violation(kind, count, "; ".join(texts[:EXAMPLES])))
    return judgement


# ---- where records are -----------------------------------------------------------------------------------------------


def lost_writes(case: Joined) -> NDArray[np.bool_]:
    """Return what was called written and is nowhere in the log."""
    return case.is_written & ~case.is_present & ~case.is_excused


def wrong_offsets(case: Joined) -> NDArray[np.bool_]:
    """Return what is in the log, but not with the partition, offset and time that were told of it."""
    at = case.at_told_offset
    holder = np.where(at >= 0, case.owner[at], -1) if len(case.log) else at
    is_elsewhere = (holder != np.arange(len(case.sent))) | (case.told["partition"] != case.sent["partition"])
    record = case.log[at] if len(case.log) else np.zeros(len(at), case.log.dtype)
    kind, time = case.told["timestamp_type"], case.told["timestamp"]
    is_mock = ((kind == MOCK_TIME[0]) & (time == MOCK_TIME[1])) | lent_times(case, record)
    differs = (record["timestamp_type"] == CREATE_TIME) & (record["timestamp"] != case.sent["timestamp"])
    differs |= (kind != 0) & ~is_mock & ((record["timestamp_type"] != kind) | (record["timestamp"] != time))
    return case.is_written & case.is_present & (is_elsewhere | differs)


def lent_times(case: Joined, record: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Return what was told a LogAppendTime though its topic has CreateTime.

    Brokers themselves answer so to the retry of an idempotent batch that is in the log already: with the last timestamp
    of that batch as the time of its append (Kafka's UnifiedLog). Nothing in the answer tells it from a real one.
    """
    if record is None:
        at = case.at_told_offset
        record = case.log[at] if len(case.log) else np.zeros(len(at), case.log.dtype)
    is_lent = (case.told["timestamp_type"] == LOG_APPEND_TIME) & (record["timestamp_type"] == CREATE_TIME)
    return is_lent & case.is_written & case.workload.idempotence


def phantom_writes(case: Joined) -> NDArray[np.bool_]:
    """Return what was called not written and is in the log: Jepsen's G1a."""
    return (case.told["verdict"] == NOT_WRITTEN) & case.is_present


def corrupt(case: Joined) -> list[str]:
    """Return records of the log that nobody sent so: their bytes, their key or header, their partition."""
    log, workload = case.log, case.workload
    extras = KEY * workload.keys + HEADERS * workload.headers
    is_wrong = ~log["intact"] | (case.owner < 0) | (log["partition"] != log["sent_to"])
    is_wrong |= (log["extras"] >= 0) & (log["extras"] != extras)
    return [f"partition {log['partition'][i]} offset {log['offset'][i]}: {log[i]}" for i in np.flatnonzero(is_wrong)]


def duplicates(case: Joined) -> NDArray[np.bool_]:
    """Return what is in the log more than once, where that was not to be.

    Without idempotence a retry may write twice. On the throughput lane a failure for good in one partition may do so in
    another (docs/hazards.md, F13), unless a transaction is aborted then.
    """
    workload = case.workload
    f13 = workload.lane == "throughput" and not workload.transactional and bool((case.told["verdict"] > 0).any())
    if not workload.idempotence or case.facts.duplicates_allowed or f13:
        return np.zeros(len(case.sent), bool)
    return case.copies > 1


def disorder(case: Joined) -> NDArray[np.int64]:
    """Return records that are in the log behind one of their stream and partition that was sent later.

    Of those written their first places count, everywhere but on the throughput lane without idempotence. On the safe
    lane with idempotence there is nothing else: whatever is in the log, also of unknown fate, is in order and once.
    """
    if not case.workload.idempotence and case.workload.lane == "throughput":
        return np.empty(0, np.int64)
    is_strict = case.workload.idempotence and case.workload.lane == "safe" and not case.facts.duplicates_allowed
    order = case.in_log_order(None if is_strict else case.is_written)
    before, behind = order[:-1], order[1:]
    is_wrong = case.same_queue(before, behind) & (case.sent["sequence"][behind] < case.sent["sequence"][before])
    return behind[is_wrong]


def gaps(case: Joined) -> NDArray[np.int64]:
    """Return records of the safe lane's batches that are written though one before them, in call and partition, is not.

    The verdicts of a call and partition are: written ones, then unknown ones, then those not written. The log has a
    prefix.
    """
    if case.workload.lane != "safe" or case.workload.method != "send_batch" or case.workload.peer:
        return np.empty(0, np.int64)
    order = case.queues()
    before, behind = order[:-1], order[1:]
    of_one_call = case.same_queue(before, behind) & (case.sent["call"][before] == case.sent["call"][behind])
    rank = np.array([0, 2, 1])[case.told["verdict"]]  # written, not written, unknown
    is_told = case.verdicts > 0
    is_wrong = is_told[before] & is_told[behind] & (rank[behind] < rank[before])
    excused = case.is_excused
    is_wrong |= case.is_present[behind] & ~case.is_present[before] & ~excused[before]
    return behind[of_one_call & is_wrong]


def inconsistent_offsets(case: Joined) -> NDArray[np.int64]:
    """Return what was told an offset that another record has, or one acknowledged before it was handed over."""
    if case.facts.log_gone_before is not None:
        return np.empty(0, np.int64)
    acked = np.flatnonzero(case.is_written & (case.told["offset"] >= 0))
    place = places(case.sent["partition"][acked], case.told["offset"][acked])
    by_place = np.argsort(place, kind="stable")
    shared = acked[by_place[1:][place[by_place][1:] == place[by_place][:-1]]]
    # The highest offset of each partition that was acknowledged before a time: places rise with partitions, too, so one
    # running maximum, in the order of partition and time, is enough.
    at, partition = case.told["at"][acked], case.sent["partition"][acked].astype(np.int64)
    start = int(case.sent["at"].min(initial=0))
    span = int(case.told["at"].max(initial=0)) - start + 2
    if span * (int(partition.max(initial=0)) + 1) >= 1 << 62:
        raise ValueError(f"a round of {span / NANO} s with so many partitions is too long to check")
    moment = partition * span + (at - start)
    by_time = np.argsort(moment, kind="stable")
    highest = np.maximum.accumulate(place[by_time])
    invoked = partition * span + np.maximum(case.sent["at"][acked] - start, 0)
    known = np.searchsorted(moment[by_time], invoked) - 1
    is_late = (known >= 0) & (place <= highest[known])
    return np.concatenate([shared, acked[is_late]])


# ---- verdicts, time, memory ------------------------------------------------------------------------------------------


def _dead_epochs(case: Joined) -> set[int]:
    """Return the processes that did not come to their end."""
    started = {one["epoch"] for one in case.history.of("started")}
    return started - {one["epoch"] for one in case.history.of("ended")}


def not_one_verdict(case: Joined) -> NDArray[np.int64] | list[str]:
    """Return records with no verdict, or more than one; and verdicts on what was never handed over."""
    if len(case.strays):
        return [f"a verdict on what was never sent: {one}" for one in case.strays]
    has_none = case.verdicts == 0
    if case.facts.is_killed:
        has_none &= ~np.isin(case.sent["epoch"] // PRODUCERS, list(_dead_epochs(case)))
    return np.flatnonzero(has_none | (case.verdicts > 1))


def broken_history(case: Joined) -> list[str]:
    """Return what makes the history itself no evidence."""
    dead = [] if case.facts.is_killed else sorted(_dead_epochs(case))
    problems = [f"process {epoch} ended without its last word, though nobody killed it" for epoch in dead]
    problems += [f"an error nobody expected: {one}" for one in case.history.of("unexpected")]
    return problems if case.is_dense else [*problems, "sequences are not those of the records handed over"]


def late_verdicts(case: Joined) -> NDArray[np.bool_]:
    """Return records whose verdict came later than the timeout and 1.5 s, beside what the process was held up."""
    if case.facts.may_run_late or case.workload.peer:
        return np.zeros(len(case.sent), bool)
    stalled = sum(one["seconds"] for one in case.history.of("stalled"))
    took = (case.told["at"] - case.sent["at"]) / NANO
    return (case.verdicts > 0) & (took > case.sent["timeout"] + LATE_SECONDS + stalled)


def unlive(case: Joined) -> list[str]:
    """Return whether no record was acknowledged within 10 s of the end of the fault, or any while it lasted."""
    facts = case.facts
    if not facts.healed_at or not len(case.sent):
        return []
    first, problems = recovery(case), []
    until = max(int(case.sent["at"].max()), max((one["at"] for one in case.history.of("stopping")), default=0))
    watched = until / NANO - facts.healed_at
    if (watched if first is None else min(first, watched)) > RECOVERY_SECONDS:
        took = "none" if first is None else f"{first:.1f} s"
        problems.append(f"first acknowledgement behind the fault: {took}, watched for {watched:.1f} s")
    if facts.traffic_expected and not during(case).any() and facts.healed_at - facts.injected_at > RECOVERY_SECONDS:
        problems.append(f"no acknowledgement within the {facts.healed_at - facts.injected_at:.1f} s of the fault")
    return problems


def recovery(case: Joined) -> float | None:
    """Return the seconds from the end of the fault to the first acknowledgement behind it."""
    behind = case.told["at"][case.is_written] / NANO - case.facts.healed_at
    behind = behind[behind >= 0]
    return float(behind.min()) if len(behind) else None


def during(case: Joined) -> NDArray[np.bool_]:
    """Return which records were acknowledged while the fault lasted."""
    at = case.told["at"] / NANO
    return case.is_written & (at >= case.facts.injected_at) & (at < case.facts.healed_at)


def memory(case: Joined) -> list[str]:
    """Return processes that took more than their start, 1.3 times their queue, and 64 MiB."""
    queue = int(case.workload.config.get("queue_buffering_max_kbytes", QUEUE_KBYTES)) * 1024
    problems = []
    for epoch in {one["epoch"] for one in case.history.of("rss")}:
        seen = [one["bytes"] for one in case.history.of("rss") if one["epoch"] == epoch]
        if max(seen) > seen[0] + 1.3 * queue + 64 * MIB:
            problems.append(f"process {epoch}: from {seen[0] / MIB:.0f} to {max(seen) / MIB:.0f} MiB")
    return problems


CHECKS: dict[str, Callable[[Joined], NDArray[Any] | list[str]]] = {
    "history": broken_history,
    "exactly-one-verdict": not_one_verdict,
    "corrupt": corrupt,
    "lost-write": lost_writes,
    "G1a": phantom_writes,
    "duplicate": duplicates,
    "order": disorder,
    "prefix": gaps,
    "offset-agrees": wrong_offsets,
    "offsets-increase": inconsistent_offsets,
    "time-bound": late_verdicts,
    "liveness": unlive,
    "memory-bound": memory,
}


def counts(case: Joined) -> dict[str, Any]:
    """Return what a report adds up: verdicts, unknowns that the log disproves, copies, times."""
    has_verdict = case.verdicts > 0
    is_unknown = has_verdict & (case.told["verdict"] == UNKNOWN)
    is_false = is_unknown & ~case.is_present & ~case.is_excused
    first = recovery(case) if case.facts.healed_at else None
    by_code = {}
    for code in np.unique(case.told["code"][is_unknown]):
        of_code = is_unknown & (case.told["code"] == code)
        by_code[KafkaError(int(code)).name()] = [int(of_code.sum()), int((of_code & is_false).sum())]
    return {
        "records": len(case.sent),
        "logged": len(case.log),
        "written": int((has_verdict & case.is_written).sum()),
        "not_written": int((has_verdict & (case.told["verdict"] == NOT_WRITTEN)).sum()),
        "unknown": int(is_unknown.sum()),
        "false_unknown": int(is_false.sum()),
        "true_unknown": int((is_unknown & case.is_present).sum()),
        "by_code": by_code,
        "lost_with_client": int((~has_verdict).sum()),
        "duplicates": int((case.copies > 1).sum()),
        "recovery_ms": None if first is None else round(first * 1000),
        "lent_times": int(lent_times(case).sum()),
        "acks_during_fault": int(during(case).sum()),
    }
