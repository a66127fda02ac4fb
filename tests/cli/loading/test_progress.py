"""What a load shows meanwhile: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from twolane import StreamSummary
from twolane.cli.loading import progress
from twolane.cli.loading.progress import LoadProgress

if TYPE_CHECKING:
    import pytest

HALF = StreamSummary(rows=600, position=500, written=480, not_written=3, unknown=2, refused=15, seconds=0.5)


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    times = [0.0]
    shown = LoadProgress(1000, quiet=False, clock=lambda: times[-1])
    for now in (1.0, 9.9, 10.0, 10.1, 19.9, 25.0, 30.0):
        times.append(now)
        shown.show(HALF)
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["twolane: 500 of 1,000 rows, 1,000/s, refused 15, failed 5"] * 3


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    shown = LoadProgress(None, quiet=True, clock=lambda: now)
    now = 11.0
    shown.show(HALF)
    shown.close()
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(progress, "errors", lambda: console)
    shown = LoadProgress(1000, quiet=False)
    shown.show(HALF)
    shown.close()
    assert "500/1000" in screen.getvalue()
    assert "1,000/s  refused 15  failed 5" in screen.getvalue()
