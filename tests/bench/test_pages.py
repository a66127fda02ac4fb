"""Figures stand in the pages as the newest JSON has them."""

from __future__ import annotations

import pytest

from bench import pages
from bench.aio import page as aio
from bench.load import page as load


@pytest.mark.parametrize(
    ("page", "text"),
    [("asyncio.md", lambda: aio.text(pages.newest("aio.json"))), ("loading.md", load.text)],
    ids=["aio", "load"],
)
def test_a_page_shows_the_newest_figures(page, text):
    assert text() in (pages.ROOT / "docs" / page).read_text(), "run python -m bench.aio.page, bench.load.page"


def test_a_page_without_a_place_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "asyncio.md").write_text("no place\n")
    with pytest.raises(LookupError, match="no place"):
        pages.put("asyncio.md", "bench.aio", "text")
