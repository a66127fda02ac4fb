"""The cases of the first table and picture: each step of a guarantee, its two cases one behind the other.

A ratio is taken within a round. What it compares runs within seconds, so that a slow minute of the machine hits both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.lanes import BATCH, SAFE_BATCH, SAFE_SEND
from bench.matrix import RTT_MS, WAIT, Case, preset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.contender import Contender


@dataclass(frozen=True)
class Step:
    """From one case to another: the same but for what `name` says."""

    name: str
    before: Case
    after: Case


_FREE = Case(BATCH)
_FIVE = Case(BATCH, in_flight=5, batch=100)
_WAITED = Case(BATCH, WAIT, in_flight=1, batch=1)
_ONE = Case(SAFE_SEND, WAIT, in_flight=1, idempotence=True, batch=1)
_CALL = replace(_ONE, contender=SAFE_BATCH)

# Of records that are sent without waiting for each, one partition.
THROUGHPUT = (
    Step("`acks=1` to `acks=all`, requests of 10 000", replace(_FREE, acks="1"), _FREE),
    Step("5 requests in flight to 1, requests of 100", _FIVE, replace(_FIVE, in_flight=1)),
    Step(
        "5 requests in flight to 1, requests of 10 000",
        replace(_FIVE, batch=10_000),
        replace(_FIVE, batch=10_000, in_flight=1),
    ),
    Step(
        "idempotence off to on, requests of 10 000",
        replace(_FIVE, batch=10_000),
        replace(_FIVE, batch=10_000, idempotence=True),
    ),
    Step("safe lane: one by one to batches of 100", _ONE, replace(_CALL, batch=100)),
    Step("safe lane: batches of 100 to 10 000", replace(_CALL, batch=100), replace(_CALL, batch=10_000)),
)
# Of one record that is waited for.
LATENCY = (
    Step("`acks=1` to `acks=all`", replace(_WAITED, acks="1"), _WAITED),
    Step("idempotence off to on", replace(_ONE, idempotence=False), _ONE),
)


def headline(contenders: Iterable[Contender], kind: str) -> list[Case]:
    """Return the cases of every step at every round trip, pair by pair, and the peers."""
    steps = [
        replace(case, rtt_ms=rtt)
        for rtt in RTT_MS
        for step in (*THROUGHPUT, *LATENCY)
        for case in (step.before, step.after)
    ]
    return list(dict.fromkeys([*steps, *preset("peers", contenders, kind)]))


def first(cases: Iterable[Case], headline: Iterable[Case]) -> list[Case]:
    """Return the cases in the headline's order, those that are not in it behind."""
    wanted = list(cases)
    return list(dict.fromkeys([*(case for case in headline if case in wanted), *wanted]))
