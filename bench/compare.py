"""What got slower between two folders of results; a difference counts only if it stands out of both runs' noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.tables import markdown, number
from bench.results import CPU, P50, P99, WALL, files_of, load, noise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bench.results import Row

# Less than this is of no interest; more is one only if it is twice the noise as well.
LEAST = 0.05
DEVIATIONS = 2.0
UNITS = {WALL: ("ns/record", 1e9), CPU: ("CPU ns/record", 1e9), P50: ("us p50", 1e6), P99: ("us p99", 1e6)}


@dataclass(frozen=True)
class Difference:
    """One figure of one case, before and after.

    Attributes
    ----------
    file, name, figure : str
    old, new : tuple of float
        Seconds, a value per process.
    """

    file: str
    name: str
    figure: str
    old: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def change(self) -> float:
        """How much more time it takes, as a part of before; of the medians."""
        return _median(self.new) / _median(self.old) - 1

    @property
    def noise(self) -> float | None:
        """Deviation of the two together, as a part of the mean; None if one of them has a single value."""
        before, after = noise(self.old), noise(self.new)
        return math.hypot(before, after) if before is not None and after is not None else None

    @property
    def _stands_out(self) -> bool:
        return self.noise is not None and abs(self.change) > max(LEAST, DEVIATIONS * self.noise)

    @property
    def is_slower(self) -> bool:
        """Whether it takes more time than noise explains."""
        return self._stands_out and self.change > 0

    @property
    def verdict(self) -> str:
        """What can be said of it in a word."""
        if self.noise is None:
            return "one value only"
        if not self._stands_out:
            return "within noise"
        return "**slower**" if self.change > 0 else "faster"


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def differences(old: Path, new: Path, figures: Iterable[str]) -> list[Difference]:
    """Return every figure that both folders have, the greatest change for the worse first."""
    found = []
    wanted = tuple(figures)
    for path in files_of(new):
        if (old / path.name).exists():
            before = {row.case.name: row for row in load(old / path.name)}
            for row in load(path):
                if row.case.name in before:
                    found += _of_case(path.stem, before[row.case.name], row, wanted)
    return sorted(found, key=lambda one: one.change, reverse=True)


def _of_case(file: str, old: Row, new: Row, figures: Sequence[str]) -> list[Difference]:
    both = [figure for figure in figures if figure in old.values and figure in new.values]
    return [Difference(file, new.case.name, figure, old.values[figure], new.values[figure]) for figure in both]


def table(found: Sequence[Difference]) -> str:
    """Return all differences, and in a line before them how many stand out."""
    slower = sum(one.is_slower for one in found)
    changes = sorted(one.change for one in found)
    rows = []
    for one in found:
        unit, factor = UNITS[one.figure]
        before, after = (number(_median(values) * factor) for values in (one.old, one.new))
        spread = f"{one.noise:.0%}" if one.noise is not None else ""
        rows.append([one.file, one.name, unit, before, after, f"{one.change:+.0%}", spread, one.verdict])
    headings = ["", "case", "", "old", "new", "change", "noise", ""]
    return (
        f"{slower} of {len(found)} figures got slower; the median change of all is {changes[len(changes) // 2]:+.0%}, "
        "which is rather the machine than the code.\n\n" + markdown(headings, rows, left=3)
    )
