"""What was measured, as pyperf keeps it: one file per cluster, its notes beside it.

A case has up to four benchmarks, all in seconds: ``wall`` and ``cpu`` per record, ``p50`` and ``p99`` of a call where a
caller waits. Each value is one process. The files are pyperf's own, so ``pyperf compare_to``, ``stats`` and ``hist``
work on them; the notes say what has no figure, and why.
"""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyperf

from bench.machine import machine, versions
from bench.matrix import Case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.contender import Result

WALL, CPU, P50, P99 = FIGURES = ("wall", "cpu", "p50", "p99")
SUFFIX, NOTES = ".json", ".notes.json"
# pyperf's own rule for a result that should not be trusted.
UNSTABLE_DEVIATION, UNSTABLE_OUTLIER = 0.10, 0.50


class Results:
    """One file of results while it grows; written as a whole each time, so what is there is always readable.

    Parameters
    ----------
    path : Path
    facts : dict
        Of the cluster; goes into every run's metadata.
    """

    def __init__(self, path: Path, facts: dict[str, str | int]) -> None:
        self.path = path
        self._benchmarks: dict[tuple[str, str], pyperf.Benchmark] = {}
        self._notes: dict[str, dict[str, str]] = {"missing": {}, "failed": {}, "void": {}, "ended": {}}
        here = machine()
        self._metadata: dict[str, Any] = {
            **facts,
            "cpu_model_name": here["cpu"],
            "cpu_count": here["cpus"],
            "memory_gib": here["memory_gib"],
            "platform": here["system"],
            **{f"{name}_version": text for name, text in versions().items()},
            "perf_version": pyperf.__version__,
            "unit": "second",
        }

    def add(self, case: Case, result: Result, rtt_s: float, number: int) -> None:
        """Take in one verified run, the one of round `number`."""
        values = {WALL: result.wall / result.records, CPU: result.cpu / result.records}
        values |= {figure: result.latencies[figure] for figure in (P50, P99) if figure in result.latencies}
        metadata = {
            **self._metadata,
            "case": json.dumps(asdict(case)),
            "lane": case.contender,
            "records": result.records,
            "round": number,
            "rtt_ms": case.rtt_ms,
            "round_trip_s": rtt_s,
            "lacks": ", ".join(result.lacks) or "nothing",
            "settings": json.dumps(result.settings),
            "client": json.dumps(result.versions),
            "load_avg_1min": os.getloadavg()[0],
            "date": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" "),
            "duration": result.wall,
        }
        for figure, value in values.items():
            name = f"{case.name}: {figure}"
            own = {"name": name, "tags": [figure], "loops": result.records if figure in (WALL, CPU) else 1}
            run = pyperf.Run([value], metadata={**metadata, **own}, collect_metadata=False)
            if (case.name, figure) in self._benchmarks:
                self._benchmarks[case.name, figure].add_run(run)
            else:
                self._benchmarks[case.name, figure] = pyperf.Benchmark([run])

    def values(self, case: Case) -> int:
        """Return how many verified runs a case has."""
        found = self._benchmarks.get((case.name, WALL))
        return found.get_nvalue() if found else 0

    def note(self, kind: str, what: str, why: str) -> None:
        """Say why something has no figure: `kind` is "missing", "failed", "void" or "ended"."""
        self._notes[kind][what] = why

    def refuse(self, case: Case, why: str) -> None:
        """Drop every figure of a case, those of earlier rounds too."""
        for figure in FIGURES:
            self._benchmarks.pop((case.name, figure), None)
        self.note("failed", case.name, why)

    @property
    def failed(self) -> dict[str, str]:
        """What went wrong, by case."""
        return self._notes["failed"]

    def save(self) -> None:
        """Write both files; nothing half-written is ever under their names."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._benchmarks:
            new = self.path.with_suffix(".new")
            pyperf.BenchmarkSuite(list(self._benchmarks.values())).dump(str(new), replace=True)
            new.replace(self.path)
        notes_of(self.path).write_text(json.dumps(self._notes, indent=2) + "\n")


def notes_of(path: Path) -> Path:
    """Return where the notes of a file of results are."""
    return path.with_suffix(NOTES)


@dataclass(frozen=True)
class Row:
    """One case as it was measured.

    Attributes
    ----------
    case : Case
    values : dict
        Figure -> seconds, a value per process.
    rounds : tuple of int
        The round of each value: what was measured next to what.
    metadata : dict
        What pyperf keeps for all runs of the case.
    """

    case: Case
    values: dict[str, tuple[float, ...]]
    rounds: tuple[int, ...]
    metadata: dict[str, Any]

    def median(self, figure: str) -> float:
        """Return the median of a figure, in seconds."""
        return statistics.median(self.values[figure])

    def noise(self, figure: str) -> float | None:
        """Return the standard deviation of a figure as a part of its mean; None of a single value."""
        return noise(self.values[figure])

    def is_unstable(self, figure: str) -> bool:
        """Whether pyperf would warn of it, or there is only one value."""
        return is_unstable(self.values[figure])

    @property
    def rate(self) -> float:
        """Records per second."""
        return 1 / self.median(WALL)

    @property
    def cpu_ns(self) -> float:
        """CPU nanoseconds per record of the producing process."""
        return self.median(CPU) * 1e9

    @property
    def is_embedded(self) -> bool:
        """Whether the brokers were librdkafka's mock."""
        return bool(self.metadata["cluster"] == "embedded")


def noise(values: tuple[float, ...]) -> float | None:
    """Return the standard deviation as a part of the mean; None of a single value."""
    return statistics.stdev(values) / statistics.fmean(values) if len(values) > 1 else None


def is_unstable(values: tuple[float, ...]) -> bool:
    """Whether `pyperf check` would warn of the deviation or of an outlier; a single value is not trusted either."""
    deviation = noise(values)
    mean = statistics.fmean(values)
    outlier = max(abs(value - mean) for value in values) / mean
    return deviation is None or deviation >= UNSTABLE_DEVIATION or outlier >= UNSTABLE_OUTLIER


def load(path: Path) -> list[Row]:
    """Read a file of results."""
    cases: dict[str, dict[str, pyperf.Benchmark]] = {}
    for benchmark in pyperf.BenchmarkSuite.load(str(path)):
        metadata = benchmark.get_metadata()
        if "case" in metadata:
            figure = benchmark.get_name().rpartition(": ")[2]
            cases.setdefault(metadata["case"], {})[figure] = benchmark
    return [_row(Case(**json.loads(text)), found) for text, found in cases.items()]


def _row(case: Case, found: dict[str, pyperf.Benchmark]) -> Row:
    wall = found[WALL]
    return Row(
        case=case,
        values={figure: benchmark.get_values() for figure, benchmark in found.items()},
        rounds=tuple(run.get_metadata()["round"] for run in wall.get_runs()),
        metadata={**wall.get_runs()[0].get_metadata(), **wall.get_metadata()},
    )


def files_of(folder: Path) -> list[Path]:
    """Return the files of results in a folder, of this suite and of pyperf's other scripts."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if not path.name.endswith(NOTES) and _is_pyperf(path)]


def _is_pyperf(path: Path) -> bool:
    return "benchmarks" in json.loads(path.read_text())


def read_notes(paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Return the notes of some files of results, together."""
    together: dict[str, dict[str, str]] = {}
    for path in paths:
        if notes_of(path).exists():
            for kind, notes in json.loads(notes_of(path).read_text()).items():
                together.setdefault(kind, {}).update(notes)
    return together
