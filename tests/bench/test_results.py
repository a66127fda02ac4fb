"""Figures kept by pyperf, shown with their noise, compared with their noise."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.compare import differences, table
from bench.lanes import BATCH, FLOOR, SAFE_BATCH, SAFE_SEND
from bench.matrix import PIPELINE, WAIT, Case
from bench.report import page, tables
from bench.results import CPU, P50, WALL, Results, is_unstable, load, read_notes
from tests.bench.conftest import FACTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Recorded = Callable[..., Path]

FAST = Case(BATCH, partitions=3)
LOOP = Case(FLOOR, partitions=3)
SHOWN = ("records/s", "CPU ns")
WAITING = Case(SAFE_SEND, WAIT, in_flight=1, idempotence=True, batch=1)


def test_codecs_and_tls_stand_beside_the_same_client_without(recorded: Recorded) -> None:
    ways = [FAST, replace(FAST, compression="zstd"), replace(FAST, tls=True), replace(FAST, rtt_ms=5)]
    rows = load(
        recorded("coded", [(case, [1e-6 * n], 1e-7 * n, None) for n, case in enumerate(ways, 1)]) / "brokers.json"
    )
    heading, _, line = tables.coders(rows).splitlines()
    assert heading == "|  |" + "".join(f" {way}: {what} |" for way in ("none", "zstd", "none, TLS") for what in SHOWN)
    assert line == f"| {tables.name_of(FAST)} | ~ 1 000 000 | ~ 100 | ~ 500 000 | ~ 200 | ~ 333 000 | ~ 300 |"
    assert tables.coders(rows[:1]) == ""
    assert [row.case for row in tables.of_peers(rows, PIPELINE)] == [FAST], "a peer is compared bare"


def test_a_case_comes_back_as_it_was(recorded: Recorded) -> None:
    folder = recorded("one", [(FAST, [1e-6, 2e-6, 3e-6], 5e-7, None), (WAITING, [1e-3], 1e-4, 1e-3)])
    fast, waiting = load(folder / "brokers.json")
    assert (fast.case, waiting.case) == (FAST, WAITING)
    assert fast.values[WALL] == pytest.approx((1e-6, 2e-6, 3e-6))
    assert fast.rounds == (0, 1, 2)
    assert fast.rate == pytest.approx(500_000)
    assert fast.cpu_ns == pytest.approx(500)
    assert waiting.median(P50) == pytest.approx(1e-3)
    assert waiting.metadata["broker_version"] == "none"


def test_pyperf_reads_the_file(recorded: Recorded) -> None:
    old = recorded("old", [(FAST, [1.00e-6, 1.01e-6, 1.02e-6], 5e-7, None)])
    new = recorded("new", [(FAST, [2.00e-6, 2.01e-6, 2.02e-6], 5e-7, None)])
    command = [sys.executable, "-m", "pyperf", "compare_to", str(old / "brokers.json"), str(new / "brokers.json")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "1.99x slower" in said or "2.00x slower" in said


@pytest.mark.parametrize(
    ("values", "unstable"),
    [
        ((1.0, 1.01, 1.02), False),
        ((1.0, 1.3, 0.8), True),
        ((1.0,) * 40 + (1.6,), True),  # an outlier that the deviation does not show
        ((1.0,), True),
    ],
)
def test_what_is_unstable(values: tuple[float, ...], unstable: bool) -> None:
    assert is_unstable(values) is unstable


def test_an_unstable_figure_is_marked(recorded: Recorded) -> None:
    folder = recorded("noisy", [(FAST, [1e-6, 2e-6], 5e-7, None), (LOOP, [1e-6, 1.001e-6], 5e-7, None)])
    noisy, steady = load(folder / "brokers.json")
    assert tables.rate(noisy).startswith("~ ")
    assert tables.rate(steady) == "1 000 000"
    assert tables.cpu(noisy) == "500"


def test_refusing_takes_earlier_rounds_back(tmp_path: Path, recorded: Recorded) -> None:
    folder = recorded("kept", [(FAST, [1e-6], 5e-7, None)])
    assert len(load(folder / "brokers.json")) == 1
    results = Results(tmp_path / "out" / "brokers.json", FACTS)
    results.refuse(FAST, "unverified: 1 record is missing")
    results.save()
    assert not results.path.exists()
    assert read_notes([results.path])["failed"] == {FAST.name: "unverified: 1 record is missing"}


# ---- report ---------------------------------------------------------------------------------------------------------


def price_list(delay_costs: float = 1.0) -> list[tuple[Case, list[float], float, float | None]]:
    rows: list[tuple[Case, list[float], float, float | None]] = []
    for rtt in (0, 5):
        for batch in (1, 100, 10_000):
            seconds = ((1e-3 + rtt * 1e-3 * delay_costs) * (2 if batch > 6_944 else 1) + batch * 1e-6) / batch
            case = Case(SAFE_BATCH, WAIT, in_flight=1, idempotence=True, rtt_ms=rtt, batch=batch)
            rows.append((case, [seconds, seconds * 1.01], 5e-7, seconds * batch))
        rows.append((Case(BATCH, acks="1", rtt_ms=rtt), [1e-6, 1.01e-6], 4e-7, None))
    return [*rows, (FAST, [1e-6, 1.01e-6], 4e-7, None), (LOOP, [1e-6, 1.01e-6], 2e-7, None)]


def test_the_report_is_made_of_the_json_alone(recorded: Recorded) -> None:
    folder = recorded("report", price_list())
    text = page.report(folder).read_text()
    line = "| `SafeProducer.send_batch` | acks=all, 1 in flight, idempotent | 100 | 90 500 | 16 300 |"
    assert line in text
    assert "| **`ThroughputProducer.send_batch`** | 995 000 | 400 | 2.00 |  |" in text
    assert "| `SafeProducer.send_batch` | 3 | 0% |" in text, "the model meets what follows the model"
    pictures = sorted(path.name for path in folder.glob("*.svg"))
    assert pictures == ["brokers-cpu-per-record.svg", "brokers-growth.svg", "brokers-price-of-safety.svg"]
    assert all(f"]({name})" in text for name in pictures)
    first = {name: (folder / name).read_bytes() for name in pictures}
    page.report(folder)
    assert first == {name: (folder / name).read_bytes() for name in pictures}, "the same results, the same bytes"


def test_a_missing_peer_is_in_the_table(recorded: Recorded) -> None:
    folder = recorded("missing", [(FAST, [1e-6], 5e-7, None)])
    results = Results(folder / "brokers.json", FACTS)
    results.note("missing", "aiokafka send", "aiokafka is not installed")
    results.save()
    assert "| `aiokafka send` |  |  |  | aiokafka is not installed |" in page.report(folder).read_text()


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results"):
        page.report(tmp_path)


def test_the_readme_shows_the_newest_results() -> None:
    text = (page.ROOT / "README.md").read_text()
    shown = page.PLACE.search(text)
    assert shown, "the README has a place for the figures"
    folder = page.newest()
    if folder is None:
        assert shown[0].count("\n") == 1, "figures without a file they come from"
    else:
        assert page.readme(folder) in text, f"run python -m bench report {folder} --readme"


# ---- compare --------------------------------------------------------------------------------------------------------


def test_a_difference_has_to_stand_out_of_the_noise(recorded: Recorded) -> None:
    steady, noisy, single = Case(BATCH), Case(BATCH, acks="1"), Case(BATCH, acks="0")
    old = recorded(
        "old",
        [
            (steady, [1.00e-6, 1.01e-6, 1.02e-6], 5e-7, None),
            (noisy, [1.0e-6, 1.5e-6, 0.8e-6], 5e-7, None),
            (single, [1e-6], 5e-7, None),
        ],
    )
    new = recorded(
        "new",
        [
            (steady, [1.20e-6, 1.21e-6, 1.22e-6], 5e-7, None),
            (noisy, [1.2e-6, 1.8e-6, 1.0e-6], 5e-7, None),
            (single, [2e-6], 5e-7, None),
        ],
    )
    verdicts = {one.name: one.verdict for one in differences(old, new, [WALL])}
    assert verdicts == {steady.name: "**slower**", noisy.name: "within noise", single.name: "one value only"}
    assert [one.verdict for one in differences(new, old, [WALL]) if one.name == steady.name] == ["faster"]
    assert all(one.verdict != "**slower**" for one in differences(old, new, [CPU]))
    text = table(differences(old, new, [WALL]))
    assert text.startswith("1 of 3 figures got slower")
    assert f"{steady.name} | ns/record | 1 010 | 1 210 | +20% | 1% | **slower** |" in text


def test_a_small_difference_is_nobodys_business(recorded: Recorded) -> None:
    old = recorded("old", [(FAST, [1.0000e-6, 1.0001e-6], 5e-7, None)])
    new = recorded("new", [(FAST, [1.0300e-6, 1.0301e-6], 5e-7, None)])
    assert [one.verdict for one in differences(old, new, [WALL])] == ["within noise"]
