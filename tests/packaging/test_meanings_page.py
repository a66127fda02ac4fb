"""The tables of docs/serializers.md are those that the tests of the encoders go by."""

from __future__ import annotations

from tests.encoding import meanings
from tests.packaging.sources import ROOT


def test_the_page_has_the_tables_of_the_tests() -> None:
    text = (ROOT / "docs" / "serializers.md").read_text()
    assert meanings.on_page(text) == text, "python -m tests.encoding.meanings docs/serializers.md writes them"
