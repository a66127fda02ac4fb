"""What a round is: its fault, its client's work and all chance in it come from one number, the seed.

Consecutive seeds have all kinds of faults in turn, shuffled, so that few rounds have many of them; a seed with one kind
chosen is the same round as the seed whose turn it was.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from faults.injections import KINDS
from faults.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faults.injections.fault import Fault

# Records that a round should have, and how many of them before the fault; one by one takes longer.
MANY, FEW, FEWEST = 50_000, 1_500, 500
SHARE_BEFORE = 0.3
RECORDS_PER_SECOND = 25_000
# Faults that take their time would make a log that takes its time to read.
SLOW_RECORDS_PER_SECOND = 5_000


@dataclass(frozen=True)
class Plan:
    """One round. `workload` has neither a topic nor an address yet."""

    seed: int
    fault: str
    seconds: float
    records: int
    allow_long: bool
    workload: Workload = field(repr=False)
    random: random.Random = field(repr=False, compare=False)

    def make_fault(self) -> Fault:
        """Return the fault, new."""
        return KINDS[self.fault]()

    @property
    def replay(self) -> str:
        """The command that makes this round again."""
        short = "" if self.allow_long else " SHORT=1"
        return f"make faults ROUNDS=1 SEED={self.seed} FAULT={self.fault}{short}"


def choose(seed: int, kinds: Sequence[str]) -> str:
    """Return the kind whose turn it is."""
    turn, place = divmod(seed, len(kinds))
    deck = sorted(kinds)
    random.Random(f"deck {turn}").shuffle(deck)
    return deck[place]


def plan(seed: int, kinds: Sequence[str], *, allow_long: bool = True) -> Plan:
    """Return the round of a seed.

    Parameters
    ----------
    seed : int
    kinds : sequence of str
        The faults to choose from.
    allow_long : bool, default True
        Whether a fault may take its long form.
    """
    name = choose(seed, kinds)
    chance = random.Random(seed)
    seconds = KINDS[name]().lasts(chance, allow_long)
    lane = chance.choice(["safe", "throughput"])
    front = "asyncio" if chance.random() < 0.35 else "sync"
    is_transactional = chance.random() < 0.25
    is_idempotent = is_transactional or chance.random() < 0.5
    one_by_one = chance.random() < 0.25
    batch = 1 if one_by_one else chance.choice([50, 200, 1_000, 5_000])
    partitions = chance.randint(2, 12)
    # A blocking send() waits for its round trip, and the few sends of a transaction for several.
    slowly = FEWEST if is_transactional else FEW if lane == "safe" else MANY
    records = slowly if one_by_one else MANY
    workload = Workload(
        lane=lane,
        front=front,
        idempotence=is_idempotent,
        transactional=is_transactional,
        batch=batch,
        partitions=partitions,
        topic="",
        bootstrap="",
        seed=seed,
        history_path="",
        records_per_second=SLOW_RECORDS_PER_SECOND if KINDS[name].is_slow else RECORDS_PER_SECOND,
        streams=chance.choice([1, 1, 2, 8] if one_by_one else [1, 1, 2]) if not is_transactional else 1,
        call=chance.choice(["send", "submit"]) if one_by_one and lane == "throughput" else "",
        keys=chance.random() < 0.3,
        headers=chance.random() < 0.3,
        abort_every=7 if is_transactional and chance.random() < 0.5 else 0,
        config=_config(lane, chance),
    )
    return Plan(seed, name, seconds, records, allow_long, workload, chance)


def _config(lane: str, chance: random.Random) -> dict[str, Any]:
    """Return settings beside the lane's own: deadlines that pass within a round, so that all verdicts occur."""
    return {
        "message_timeout_ms": chance.choice([1_500, 3_000, 8_000]),
        "socket_timeout_ms": 2_000,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 500,
        "retry_backoff_ms": 50,
    }
