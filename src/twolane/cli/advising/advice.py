"""Which lane, how large a batch, how long to linger: what a short price list of a cluster says of a wish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twolane.cli.advising.costs import Costs, fit, fitting, number

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of what was measured, so much may be counted on: brokers have other clients, networks have bad days.
USABLE = 0.8
# The throughput lane's default, in milliseconds.
LINGER = 5.0


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
class Measured:
    """One way to send, as it was measured.

    Attributes
    ----------
    batch : int
        Records of a call.
    seconds, cpu : float
        Of the clock and of this process's CPU, for each record.
    p50, p99 : float
        Seconds of a call.
    """

    batch: int
    seconds: float
    cpu: float
    p50: float = 0.0
    p99: float = 0.0

    @property
    def rate(self) -> float:
        """Records per second."""
        return 1 / self.seconds


@dataclass(frozen=True)
class Survey:
    """What was measured on a cluster, with one partition.

    Attributes
    ----------
    rtt : float
        Seconds of a TCP connect to the farthest broker.
    size : int
        Bytes of a value.
    one_by_one : Measured
        ``SafeProducer.send()``.
    calls : tuple of Measured
        ``SafeProducer.send_batch()`` of several sizes.
    waiting : Measured
        ``ThroughputProducer.send_batch()``, each call waited for.
    pipelines : mapping of bool to Measured
        The same without waiting, by ``enable.idempotence``.
    """

    rtt: float
    size: int
    one_by_one: Measured
    calls: tuple[Measured, ...]
    waiting: Measured
    pipelines: Mapping[bool, Measured]

    @property
    def costs(self) -> Costs:
        """What a request and a record of the safe lane cost here; the network is in the request."""
        return fit([(one.batch, one.seconds, one.cpu) for one in self.calls], self.size)

    @property
    def tail(self) -> float:
        """How much longer than its median a call of the safe lane takes once in a hundred."""
        return max(one.p99 / one.p50 for one in self.calls)


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
    return Advice(survey, wish, [_one_by_one(survey), _batches(survey, wish), *_throughput(survey, wish)])


def _one_by_one(survey: Survey) -> Option:
    # A record that comes while another one is on its way waits for that one first.
    return Option(
        "SafeProducer.send()",
        USABLE * survey.one_by_one.rate,
        2 * survey.one_by_one.p99,
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


def _throughput(survey: Survey, wish: Wish) -> list[Option]:
    call = survey.waiting.p99
    # Longer lingering makes fuller requests; a p99 bounds it.
    linger = LINGER if wish.p99 is None else max(0.0, min(LINGER, int((wish.p99 - call) * 1e4) / 10))
    return [
        Option(
            f"ThroughputProducer(enable_idempotence={idempotence}, linger_ms={linger:g}).send_batch()",
            USABLE * pipeline.rate,
            linger / 1000 + call,
            f"{_GIVES[idempotence]} The p99 is the linger time and a call's.",
        )
        for idempotence, pipeline in sorted(survey.pipelines.items(), reverse=True)
    ]
