"""Figures stand in the pages as the newest JSON has them."""

from __future__ import annotations

import json

import pytest

from bench import pages
from bench.aio import page as aio
from bench.load import page as load
from bench.tuning import __main__ as machine
from bench.tuning import page as tuning


@pytest.mark.parametrize(
    ("page", "text"),
    [("asyncio.md", lambda: aio.text(pages.newest("aio.json"))), ("loading.md", load.text), ("tuning.md", tuning.text)],
    ids=["aio", "load", "tuning"],
)
def test_a_page_shows_the_newest_figures(page, text):
    assert text() in (pages.ROOT / "docs" / page).read_text(), "run python -m bench.<its name>.page"


def test_a_page_without_a_place_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "asyncio.md").write_text("no place\n")
    with pytest.raises(LookupError, match="no place"):
        pages.put("asyncio.md", "bench.aio", "text")


def test_ratios_of_a_machine_are_those_of_one_round(tmp_path, monkeypatch):
    bases = [{"cpu_ns_per_record": 100.0, "records_per_second": 10.0, "rss_mib": 50.0} for _ in range(3)]
    lines = [{"cpu_ns_per_record": cpu, "records_per_second": 20.0, "rss_mib": 50.0} for cpu in (80.0, 90.0, 110.0)]
    report = {
        "date": "2026-01-01T00:00:00",
        "machine": {"cpus": 2, "cpu": "some", "load_1min": 0.1},
        "versions": {"python": "3.13", "librdkafka": "2.16.0"},
        "left_out": ["tcmalloc: not found"],
        "runs": [
            machine.summary("brokers", "as it is", bases, bases),
            machine.summary("brokers", "jemalloc", lines, bases),
        ],
    }
    (tmp_path / "bench/results/some").mkdir(parents=True)
    (tmp_path / "bench/results/some" / tuning.NAME).write_text(json.dumps(report))
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert "| jemalloc | 0.90 (0.80 to 1.10) |" in tuning.text()
    assert "Left out: tcmalloc: not found." in tuning.text()
