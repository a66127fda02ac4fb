"""Rounds over the cases: all once, then all again, so that a slow minute of the machine hits everybody alike."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from bench.clusters import EMBEDDED, OWN, UnreachableError
from bench.contender import Task, write_values
from bench.matrix import WAIT
from bench.measure import FailedError, measure
from bench.verify import Log, UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from bench.clusters import Kafka
    from bench.contender import Contender, Result
    from bench.matrix import Case
    from bench.results import Results

MOST_RECORDS, MOST_BYTES = 1_000_000, 200_000_000
SAVE_SECONDS = 5.0
PIPELINE_ROUND_TRIPS = 15
# A first guess of how long an answer takes, a record, a byte: only good enough to choose how many to send.
ANSWER_S = {EMBEDDED: 0.000_1}
REAL_ANSWER_S, RECORD_S, BYTE_S = 0.001, 0.000_003, 0.000_000_01
# Brokers that have just started run in the interpreter: so long they are kept busy before anything counts.
WARM_UP_SECONDS = 20.0
# Bytes that a record takes in the log beside its value.
OVERHEAD = 40


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Values of each case.
    seconds : float
        How long the clocks of one value should run.
    calls : int
        Fewest calls of a caller who waits: the p99 of a value has to come from somewhere.
    minutes : float or None
        No further case is begun after so long.
    others : int or None
        Values of each case that is not of the headline; None: as many.
    """

    rounds: int
    seconds: float
    calls: int
    minutes: float | None = None
    others: int | None = None


FAST = Effort(rounds=3, seconds=0.15, calls=50)
DEFAULT = Effort(rounds=3, seconds=0.4, calls=100)
RIGOROUS = Effort(rounds=9, seconds=1.5, calls=300)
# Everything runs, nothing is worth quoting: for tests.
SMOKE = Effort(rounds=1, seconds=0.01, calls=5)


@dataclass
class Session:
    """One run of the suite.

    Attributes
    ----------
    kafka : Kafka
    contenders : mapping of str to Contender
    results : Results
    effort : Effort
    on_step : callable
        Called before each case with its name, its number and the round.
    properties : str
        Path of a file of further client settings.
    headline : container of Case
        What has a value in every round, where `effort` gives the others fewer.
    """

    kafka: Kafka
    contenders: Mapping[str, Contender]
    results: Results
    effort: Effort
    on_step: Callable[[str, int, int], None] = lambda name, number, turn: None
    properties: str = ""
    headline: Container[Case] = ()
    _rates: dict[str, float] = field(default_factory=dict)
    _round_trips: dict[int, float] = field(default_factory=dict)

    def run(self, cases: Sequence[Case]) -> None:
        """Measure the cases; what has no figure is noted. Ctrl-C passes through, with everything saved."""
        started, saved = time.monotonic(), 0.0
        left = self._present(cases)
        try:
            with tempfile.TemporaryDirectory(prefix="twolane-bench-") as folder, self._log() as log:
                self._warm_up(left, Path(folder), log)
                for turn in range(self.effort.rounds):
                    for number, case in enumerate(self.of_round(turn, left)):
                        if self.effort.minutes is not None and time.monotonic() - started > self.effort.minutes * 60:
                            self.results.note("ended", f"round {turn + 1}", f"time was over at case {number + 1}")
                            return
                        self.on_step(case.name, number, turn)
                        if not self._measure(case, turn, Path(folder), log):
                            left.remove(case)
                        if time.monotonic() - saved > SAVE_SECONDS:
                            self.results.save()
                            saved = time.monotonic()
        except KeyboardInterrupt:
            self.results.note("ended", "interrupted", "Ctrl-C")
            raise
        finally:
            self.results.save()

    def of_round(self, turn: int, cases: Iterable[Case]) -> list[Case]:
        """Return those of the cases that a round measures."""
        all_of_them = self.effort.others is None or turn < self.effort.others
        return [case for case in cases if all_of_them or case in self.headline]

    def _log(self) -> Log:
        return Log(self.kafka.bootstrap_servers, self.properties)

    def _present(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases whose contender is here; note the others' reasons."""
        reasons = {name: self.contenders[name].missing() for name in dict.fromkeys(case.contender for case in cases)}
        for name, reason in reasons.items():
            if reason:
                self.results.note("missing", name, reason)
        return [case for case in cases if reasons[case.contender] is None]

    def _warm_up(self, cases: Sequence[Case], folder: Path, log: Log) -> None:
        """Keep brokers that were started for this busy for a while; nothing of it counts."""
        near = [case for case in cases if case.rtt_ms == 0]
        if self.kafka.kind != OWN or self.effort is SMOKE or not near:
            return
        self.on_step("warming the brokers up", 0, 0)
        deadline = time.monotonic() + WARM_UP_SECONDS
        for case in itertools.cycle(near):
            with contextlib.suppress(UnverifiedError, FailedError):
                measure(self.contenders[case.contender], self._task(case, self._values(case, folder)), self.kafka, log)
            if time.monotonic() > deadline:
                return

    @staticmethod
    def _values(case: Case, folder: Path) -> Path:
        """Return the file of the case's values."""
        path = folder / f"{case.size}.values"
        if not path.exists():
            write_values(path, case.size)
        return path

    def _measure(self, case: Case, turn: int, folder: Path, log: Log) -> bool:
        """Take one value; return whether the case may go on."""
        values = self._values(case, folder)
        try:
            if case.rtt_ms not in self._round_trips:
                self._round_trips[case.rtt_ms] = self.kafka.round_trip(case.rtt_ms)
            result = self._sized(case, values, log)
        except (UnverifiedError, FailedError, KafkaException, UnreachableError, OSError) as error:
            self.results.refuse(case, f"{type(error).__name__.removesuffix('Error').lower()}: {error}")
            return False
        self.results.add(case, result, self._round_trips[case.rtt_ms], turn)
        return True

    def _sized(self, case: Case, values: Path, log: Log) -> Result:
        """Measure with enough records for the clocks; a run that turned out much too short is done again with more."""
        while True:
            task = self._task(case, values)
            result = measure(self.contenders[case.contender], task, self.kafka, log, case.rtt_ms)
            self._rates[case.name] = result.records / result.wall
            if result.wall >= self.effort.seconds / 3 or self._task(case, values).records < 2 * task.records:
                return result

    def _task(self, case: Case, values: Path) -> Task:
        rate = self._rates.get(case.name) or _guess(case, self.kafka.kind)
        # The first and the last round trip of a pipeline should not be what is measured.
        seconds = max(self.effort.seconds, PIPELINE_ROUND_TRIPS * case.rtt_ms / 1000)
        records = int(min(rate * seconds, MOST_RECORDS, MOST_BYTES / case.size))
        if case.mode == WAIT:
            calls = max(self.effort.calls, records // case.calls_of)
            # Long calls: their number is for the tail of short ones.
            calls = min(calls, max(5, int(rate * self.effort.seconds * 10 / case.calls_of)))
            records = calls * case.calls_of
        records = max(records, case.partitions)
        warmup = min(self.contenders[case.contender].warmup, int(rate / 10))
        warmup = max(case.partitions, warmup // case.partitions * case.partitions)
        return Task(
            bootstrap_servers=self.kafka.bootstrap_servers,
            topic=self.kafka.topic(case.partitions, (records + warmup) * (case.size + OVERHEAD)),
            partitions=case.partitions,
            values=str(values),
            records=records,
            first_timestamp=int(time.time() * 1000),
            warmup=warmup,
            call=case.calls_of,
            mode=case.mode,
            data=case.data,
            acks=case.acks,
            in_flight=case.in_flight,
            idempotence=case.idempotence,
            linger_ms=0 if case.mode == WAIT else 5,
            batch_records=10_000 if case.mode == WAIT else case.batch,
            compression=case.compression,
            ca=self.kafka.ca if case.tls else "",
            properties=self.properties,
            timeout=60.0,
        )


def _guess(case: Case, kind: str) -> float:
    """Return about how many records a second a case sends."""
    answer = ANSWER_S.get(kind, REAL_ANSWER_S)
    record = RECORD_S + case.size * BYTE_S
    cycle = case.rtt_ms / 1000 + answer + case.batch * record
    in_flight = 1 if case.mode == WAIT else case.in_flight or 1_000
    # However many may be in flight, brokers answer one request after the other.
    return min(in_flight * case.batch / cycle, case.batch / answer, 0.2 / record)
