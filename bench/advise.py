"""Which lane, and how large a batch: a short price list of a user's cluster, and what it says of a wish."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.lanes import BATCH, CONTENDERS, SAFE_BATCH, SAFE_SEND
from bench.matrix import PIPELINE, WAIT, Case
from bench.model import Costs, fit, fitting
from bench.report.tables import number
from bench.results import CPU, P50, P99, WALL, Results, load
from bench.suite import Effort, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.clusters import Kafka
    from bench.results import Row

EFFORT = Effort(rounds=2, seconds=0.4, calls=100)
LINGER_S = 0.005
# Of what was measured, so much may be counted on: brokers have other clients, networks have bad days.
USABLE = 0.8


@dataclass(frozen=True)
class Wish:
    """What a user wants; None: does not matter.

    Attributes
    ----------
    rate : float or None
        Records per second.
    p99 : float or None
        Seconds from the moment a record is there until it is acknowledged, for 99 of 100.
    partitions : int
        That the records are spread over.
    """

    rate: float | None
    p99: float | None
    partitions: int = 1


@dataclass(frozen=True)
class Survey:
    """What was measured on a cluster, with one partition.

    Attributes
    ----------
    rtt : float
        Seconds of a TCP connect to the farthest broker.
    rows : list of Row
    size : int
        Bytes of a value.
    """

    rtt: float
    rows: list[Row]
    size: int

    def row(self, contender: str, mode: str, batch: int | None = None, *, idempotence: bool) -> Row:
        """Return one of the measured cases."""
        return next(
            row
            for row in self.rows
            if (row.case.contender, row.case.mode, row.case.idempotence) == (contender, mode, idempotence)
            and batch in (None, row.case.batch)
        )

    @property
    def costs(self) -> Costs:
        """What a request and a record of the safe lane cost here; the network is in the request."""
        calls = [row for row in self.rows if row.case.contender == SAFE_BATCH]
        return fit([(row.case.batch, row.median(WALL), row.median(CPU)) for row in calls], self.size)

    @property
    def tail(self) -> float:
        """How much longer than its median a call of the safe lane takes once in a hundred."""
        calls = [row for row in self.rows if row.case.contender == SAFE_BATCH]
        return max(row.median(P99) / row.median(P50) for row in calls)


def cases(size: int) -> list[Case]:
    """Return the short price list."""
    safe = {"in_flight": 1, "idempotence": True, "size": size}
    return [
        Case(SAFE_SEND, WAIT, batch=1, **safe),
        *(Case(SAFE_BATCH, WAIT, batch=batch, **safe) for batch in sorted({1, 100, fitting(size)})),
        Case(BATCH, WAIT, batch=100, size=size, in_flight=1),
        Case(BATCH, PIPELINE, size=size, in_flight=5, idempotence=True),
        Case(BATCH, PIPELINE, size=size),
    ]


def survey(kafka: Kafka, size: int, properties: str, on_step: Callable[[str], None]) -> Survey:
    """Measure the short price list on a cluster; takes about half a minute.

    Raises
    ------
    OSError
        A broker cannot be connected to.
    RuntimeError
        A case has no figure; the message says which and why.
    """
    rtt = kafka.round_trip(0)
    with tempfile.TemporaryDirectory(prefix="twolane-advise-") as folder:
        results = Results(Path(folder) / "advise.json", kafka.facts())
        contenders = {contender.name: contender for contender in CONTENDERS}

        def step(name: str, number: int, turn: int) -> None:
            if turn == 0:
                on_step(name)

        Session(kafka, contenders, results, EFFORT, step, properties).run(cases(size))
        if results.failed:
            raise RuntimeError("; ".join(f"{name}: {why}" for name, why in results.failed.items()))
        return Survey(rtt, load(results.path), size)


@dataclass(frozen=True)
class Option:
    """One way to send.

    Attributes
    ----------
    how : str
        As code.
    rate : float
        Records per second that can be counted on.
    p99 : float
        Seconds until a record is acknowledged.
    why : str
    """

    how: str
    rate: float
    p99: float
    why: str

    def misses(self, wish: Wish) -> str | None:
        """Return what of the wish it does not give, None if it gives all."""
        if wish.rate is not None and self.rate < wish.rate:
            return f"{number(self.rate)} records/s at most"
        if wish.p99 is not None and self.p99 > wish.p99:
            return f"{number(self.p99 * 1e3)} ms p99"
        return None


@dataclass(frozen=True)
class Advice:
    """The options, the safest first, and which of them it is to be."""

    survey: Survey
    wish: Wish
    options: list[Option]

    @property
    def chosen(self) -> Option | None:
        """The first option that gives all that was wished."""
        return next((option for option in self.options if option.misses(self.wish) is None), None)

    @property
    def is_met(self) -> bool:
        """Whether any option does."""
        return self.chosen is not None

    def text(self) -> str:
        """Return the advice in words."""
        costs = self.survey.costs
        lines = [
            f"Round trip {number(self.survey.rtt * 1e3)} ms; an acknowledged request takes "
            f"{number(costs.request * 1e3)} ms and {number(costs.record * 1e6)} us for each of its records "
            f"(acks=all, idempotent, {self.survey.size} bytes, one partition).",
            "",
        ]
        for option in self.options:
            misses = option.misses(self.wish)
            state = f"no: {misses}" if misses else "CHOSEN" if option is self.chosen else "would do too"
            lines += [
                f"{option.how}: {state}",
                f"    up to {number(option.rate)} records/s, p99 {number(option.p99 * 1e3)} ms. {option.why}",
            ]
        if self.chosen is None:
            lines += ["", "Nothing meets it. More partitions, a nearer producer, or a lower wish."]
        return "\n".join(lines)


def advise(survey: Survey, wish: Wish) -> Advice:
    """Say what a survey means for a wish; the safest and simplest way that meets it is chosen."""
    return Advice(survey, wish, [_one_by_one(survey), _batches(survey, wish), *_throughput(survey)])


def _one_by_one(survey: Survey) -> Option:
    row = survey.row(SAFE_SEND, WAIT, idempotence=True)
    # A record that comes while another one is on its way waits for that one first.
    return Option(
        "SafeProducer.send()",
        USABLE * row.rate,
        2 * row.median(P99),
        "One record, one round trip through all replicas: no rate beyond that, whatever the hardware. Threads that "
        "send at the same time share requests and come to more.",
    )


def _batches(survey: Survey, wish: Wish) -> Option:
    costs = survey.costs
    batch = _largest_within(survey, wish.p99) if wish.rate is None else _smallest(costs, wish, survey.size)
    call = costs.call(batch, 0.0, survey.size)
    # While one call is on its way the next one fills: a record waits for two at the most.
    return Option(
        f"SafeProducer.send_batch() of {number(batch)}",
        USABLE * wish.partitions * batch / call,
        2 * call * survey.tail,
        f"A call of {number(batch)} takes {number(call * 1e3)} ms, {number(costs.request * 1e3)} of them for the "
        f"request however many are in it; order and verdicts are kept.",
    )


def _smallest(costs: Costs, wish: Wish, size: int) -> int:
    """Return the smallest call that brings the wished rate, or the largest there is."""
    assert wish.rate is not None
    batch = costs.batch_for(wish.rate / wish.partitions / USABLE, size=size)
    return batch or fitting(size)


def _largest_within(survey: Survey, p99: float | None) -> int:
    """Return the largest call whose records are acknowledged in time, or one."""
    most = fitting(survey.size)
    if p99 is None:
        return most
    room = p99 / (2 * survey.tail) - survey.costs.request
    return max(1, min(most, int(room / survey.costs.record))) if survey.costs.record else most


# enable.idempotence -> what it gives.
_GIVES = {
    True: "Order is kept through retries, nothing is written twice; after a record that failed for good the next ones "
    "are still written.",
    False: "As fast as librdkafka; a retry may change the order and write twice.",
}


def _throughput(survey: Survey) -> list[Option]:
    call = survey.row(BATCH, WAIT, idempotence=False).median(P99)
    return [
        Option(
            f"ThroughputProducer(enable_idempotence={idempotence}).send_batch()",
            USABLE * survey.row(BATCH, PIPELINE, idempotence=idempotence).rate,
            LINGER_S + call,
            f"{why} The p99 is the linger time and a call's.",
        )
        for idempotence, why in _GIVES.items()
    ]
