"""How far a load has come: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from twolane.cli.output import errors, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane import StreamSummary

SECONDS = 10.0


class LoadProgress:
    """Shows a load's progress on standard error.

    Parameters
    ----------
    total : int or None
        Rows, where that is known.
    quiet : bool
    clock : callable
        Seconds, rising.
    """

    def __init__(self, total: int | None, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        console = errors()
        self._total = total
        self._clock = clock
        self._due = clock() + SECONDS
        self._quiet = quiet
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}/s  refused {task.fields[refused]}  failed {task.fields[failed]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("rows", total=total, rate="0", refused=0, failed=0)
            self._bar.start()

    def show(self, summary: StreamSummary) -> None:
        """Show a summary, or keep silent where it is not yet time."""
        done = summary.position - summary.in_flight
        failed = summary.not_written + summary.unknown
        if self._bar is not None:
            rate = f"{summary.rows_per_second:,.0f}"
            self._bar.update(self._task, completed=done, rate=rate, refused=summary.refused, failed=failed)
        elif not self._quiet and self._clock() >= self._due:
            self._due += SECONDS
            of_total = f" of {self._total:,}" if self._total else ""
            say(
                f"{done:,}{of_total} rows, {summary.rows_per_second:,.0f}/s, "
                f"refused {summary.refused:,}, failed {failed:,}"
            )

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()


def text_of_result(result: dict[str, Any]) -> str:
    """Return a load's result in words."""
    counts = ", ".join(
        f"{result[name]:,} {word}"
        for name, word in (
            ("written", "written"),
            ("refused", "refused"),
            ("not_written", "not written"),
            ("unknown", "unknown"),
        )
    )
    seconds = result["seconds"]
    lines = [f"{counts} in {seconds:.1f} s ({result['written'] / seconds if seconds else 0:,.0f}/s)"]
    if result["resumed_at"] is not None:
        lines.append(f"resumed at row {result['resumed_at']:,}")
    if result["found"] or result["sent_again"]:
        lines.append(
            f"of the rows in doubt {result['found']:,} were in the log; {result['sent_again']:,} were not and were "
            "sent again: those may be there twice"
        )
    if result["stopped"]:
        lines.append(f"stopped by {result['stopped']}; the next row is {result['position']:,}")
    return "\n".join(lines)
