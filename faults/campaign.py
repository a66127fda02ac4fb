"""Rounds on real brokers: a topic, a client that writes its history, a fault, its healing, the log read and judged.

What a round found is one line of the results' file. The history, the client's log and the brokers' are kept where
something was found.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from faults import results
from faults.checkers import Judgement, Violation, check
from faults.injections import KINDS
from faults.namespaces import CommandError
from faults.plan import SHARE_BEFORE, Plan, plan
from faults.readers import console, disagreement, dump_log, read_log
from faults.reassign import ReassignError
from faults.running_client import RunningClient, StuckClientError
from faults.workload import RoundFacts
from twolane.testing import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from faults.cluster import FaultCluster
    from faults.workload import Workload

# Before the fault nothing is in the way, so this is generous; after it a client may have to wait for its deadlines.
BEFORE_SECONDS = 60.0
# No acknowledgement at all for so long after the healing: the client is stuck.
RECOVERY_SECONDS = 60.0
# For the records before and after the fault: a round that is slow is cut short.
AFTER_SECONDS = 8.0
# A client that cannot end within this is stuck.
END_SECONDS = 60.0
READ_SECONDS = 60.0
# In every so many rounds others read the log, too, which takes about 5 s more.
READ_AGAIN_EVERY = 10
MOST_VOID_IN_A_ROW = 3
# What may go wrong with the cluster, the system or the reader, and says nothing about the client.
VOID = (ClusterError, CommandError, ReassignError, KafkaException, OSError)
# What a busy machine alone can break.
OF_SPEED = frozenset({"liveness", "time-bound", "memory-bound"})


@dataclass
class Round:
    """What became of one round; `void` says why it has no verdict, if it has none."""

    plan: Plan
    seconds: float = 0.0
    recovery_seconds: float | None = None
    silence_seconds: float = 0.0
    facts: RoundFacts | None = None
    workload: dict[str, Any] = field(default_factory=dict)
    judgement: Judgement | None = None
    violations: list[Violation] = field(default_factory=list)
    remarks: list[Violation] = field(default_factory=list)
    void: str = ""
    variant: str = "twolane"

    def line(self, cluster: FaultCluster, versions: dict[str, str]) -> dict[str, Any]:
        """Return it as it is kept."""
        return {
            "seed": self.plan.seed,
            "fault": self.plan.fault,
            "variant": self.variant,
            "fault_seconds": round(self.plan.seconds, 3),
            "workload": self.workload,
            "facts": vars(self.facts) if self.facts else {},
            "counts": self.judgement.counts if self.judgement else {},
            "violations": [vars(one) for one in self.violations],
            "recovery_seconds": self.recovery_seconds,
            "silence_seconds": round(self.silence_seconds, 3),
            "seconds": round(self.seconds, 2),
            "void": self.void,
            "profile": cluster.profile,
            "isolated": cluster.network is not None,
            "replay": self.plan.replay,
            "versions": versions,
        }


@dataclass(frozen=True)
class Client:
    """Whose producer sends; the default is twolane's, of this interpreter.

    `name` stands in the results, `peer` is that of the workload, `python` another interpreter; with `only_blocks` all
    calls are those that an older twolane has, too.
    """

    name: str = "twolane"
    peer: str = ""
    python: str = sys.executable
    only_blocks: bool = False

    def works(self, workload: Workload) -> Workload:
        """Return what it does in a round: peers know no lanes and no transactions, and send one by one."""
        if self.only_blocks:
            workload = replace(workload, front="sync", call="")
        if not self.peer:
            return workload
        return replace(
            workload, peer=self.peer, transactional=False, abort_every=0, idempotence=True, behaviour="plain", streams=1
        )


OURS = Client()


def run_round(cluster: FaultCluster, one: Plan, folder: Path, client: Client = OURS) -> Round:
    """Run one round; its files go into `folder`."""
    folder.mkdir(parents=True)
    started = time.monotonic()
    found = Round(one, variant=client.name)
    try:
        _run(cluster, one, folder, found, client)
    except StuckClientError as error:
        found.violations.append(Violation("stuck", 1, str(error)))
    except VOID as error:
        found.void = f"{type(error).__name__}: {error}"
        (folder / "brokers.log").write_text(cluster.logs(200))
    found.seconds = time.monotonic() - started
    return found


def _run(cluster: FaultCluster, one: Plan, folder: Path, found: Round, whose: Client) -> None:
    topic = f"faults-{one.seed}-{time.time_ns()}"
    fault, chance = one.make_fault(), one.random
    workload = replace(
        one.workload,
        topic=topic,
        bootstrap=cluster.bootstrap_servers,
        history_path=str(folder / "history"),
    )
    with contextlib.ExitStack() as stack:
        stack.callback(fault.finish)
        workload = fault.prepare(cluster, whose.works(workload), chance)
        found.workload = vars(workload)
        cluster.create_topic(topic, workload.partitions)
        stack.callback(_delete, cluster, topic)
        stack.callback(cluster.heal)
        client = stack.enter_context(
            RunningClient(workload, folder / "client.log", python=whose.python, before=fault.before())
        )
        client.wait_started()
        if not fault.starts_first:
            if not client.wait_acked(1, BEFORE_SECONDS):
                raise StuckClientError(f"no acknowledgement within {BEFORE_SECONDS} s, before the fault")
            client.wait_acked(int(one.records * SHARE_BEFORE), AFTER_SECONDS)
        injected = time.monotonic()
        fault.inject(cluster, client, chance)
        time.sleep(one.seconds)
        fault.heal(cluster, client)
        healed = time.monotonic()
        first = client.wait_ack_after(healed, RECOVERY_SECONDS)
        if first is not None:
            found.recovery_seconds = round(first - healed, 3)
            client.wait_acked(one.records, AFTER_SECONDS)
        found.silence_seconds = client.silence(injected)
        client.stop(END_SECONDS)
        fault.finish()
        if first is None:
            found.violations.append(Violation("stuck", 1, f"no acknowledgement within {RECOVERY_SECONDS} s"))
        found.facts = RoundFacts(
            fault=one.fault,
            injected_at=injected,
            healed_at=healed,
            duplicates_allowed=not workload.idempotence,
            traffic_expected=fault.acks_go_on and not (workload.transactional and fault.stops_transactions),
            **fault.facts,
        )
        cluster.rest()
        if whose.peer != "java":  # whose records are its own
            found.judgement = _judge(cluster, client, found.facts)
            found.violations += found.judgement.violations


def _judge(cluster: FaultCluster, client: RunningClient, facts: RoundFacts) -> Judgement:
    workload = client.workload
    log = read_log(cluster.bootstrap_servers, workload.topic, timeout=READ_SECONDS)
    committed = None
    if workload.transactional:
        committed = read_log(cluster.bootstrap_servers, workload.topic, "read_committed", timeout=READ_SECONDS)
    found = check(workload.history_path, log, workload, facts, committed=committed)
    if workload.seed % READ_AGAIN_EVERY == 0 and len(log):
        found.counts["read_again"] = len(log)
        found.violations += _read_again(cluster, workload.topic, log)
    return found


def _read_again(cluster: FaultCluster, topic: str, log: NDArray[Any]) -> list[Violation]:
    """Hold a log against what the console consumer reads, and one partition of it against its files."""
    partition = int(log["partition"][0])
    of_files = log[log["partition"] == partition]
    differences = {
        "console consumer": disagreement(log, console(cluster, topic, len(log), READ_SECONDS)),
        "files": disagreement(of_files, dump_log(cluster, topic, partition)),
    }
    return [Violation("readers-disagree", 1, f"{name}: {found}") for name, found in differences.items() if found]


def _delete(cluster: FaultCluster, topic: str) -> None:
    with contextlib.suppress(ClusterError):
        cluster.delete_topic(topic)


def possible(cluster: FaultCluster, kinds: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the kinds that can be had on this cluster, and of the others why not."""
    reasons = {
        name: next((cluster.lacks[need] for need in KINDS[name].needs if need in cluster.lacks), "") for name in kinds
    }
    return [name for name, reason in reasons.items() if not reason], {name: why for name, why in reasons.items() if why}


def run(
    cluster: FaultCluster,
    kinds: list[str],
    seed: int,
    rounds: int,
    folder: Path,
    *,
    allow_long: bool = True,
    is_lenient: bool = False,
    deadline: float = float("inf"),
    client: Client = OURS,
) -> Iterator[Round]:
    """Run rounds, append each to ``results.jsonl`` in `folder`, and yield it.

    Parameters
    ----------
    cluster : FaultCluster
    kinds : list of str
        Names of faults; see `possible`.
    seed : int
        Of the first round; the next one's is one more.
    rounds : int
    folder : Path
        Files of the rounds where something was found stay here.
    allow_long : bool, default True
    is_lenient : bool, default False
        What a busy machine alone can break (`OF_SPEED`) is a remark, no violation.
    deadline : float, optional
        By `time.monotonic`: no round begins later.
    client : Client, optional
    """
    versions = results.versions(client.python)
    voids = 0
    for number in range(rounds):
        if time.monotonic() > deadline:
            return
        one = plan(seed + number, kinds, allow_long=allow_long)
        files = folder / f"round-{one.seed}-{one.fault}"
        shutil.rmtree(files, ignore_errors=True)
        found = run_round(cluster, one, files, client)
        if is_lenient:
            found.remarks = [one for one in found.violations if one.kind in OF_SPEED]
            found.violations = [one for one in found.violations if one.kind not in OF_SPEED]
        results.append(folder / "results.jsonl", found.line(cluster, versions))
        if not found.violations and not found.void:
            shutil.rmtree(files)
        voids = voids + 1 if found.void else 0
        yield found
        if voids == MOST_VOID_IN_A_ROW:
            raise ClusterError(f"{voids} rounds in a row could not be made: {found.void}")
