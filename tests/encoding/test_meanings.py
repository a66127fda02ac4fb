"""One value, one meaning: every cell of `meanings`, through every container that can hold the value.

`python -m tests.encoding.harness` says how many cells and containers there are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from tests.encoding.harness import TARGETS, Report, Target, check
from tests.encoding.values import Value

HEADINGS = list(dict.fromkeys(target.heading for target in TARGETS.values()))

# What is not yet as the table says: patterns of kind, heading and container, and why. An entry that matches nothing any
# more is a failure, so that the list only shrinks.
KNOWN: list[tuple[str, str, str, str]] = [
    ("missing", "", "pandas float", "NaN of a frame is null, of a series NaN"),
]


@cache
def report(heading: str) -> Report:
    return check([target for target in TARGETS.values() if target.heading == heading])


def known(target: Target, value: Value | None, container: str) -> tuple[str, str, str, str] | None:
    kind = value.kind if value is not None else "missing"
    for entry in KNOWN:
        texts = (kind, target.heading, container)
        if all(re.search(pattern, text) for pattern, text in zip(entry[:3], texts, strict=True)):
            return entry
    return None


def shown(target: Target, value: Value | None, outcome: Any) -> str:
    got = outcome.got
    if isinstance(got, Exception):
        got = f"{got!r}, index {getattr(got, 'index', None)}, field {getattr(got, 'field', None)}"
    return f"{value.name if value else 'missing'} as {target} in {outcome.container}: want {outcome.want}, got {got}"


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("heading", HEADINGS)
def test_a_value_means_the_same_in_every_container(heading):
    found = report(heading)
    assert found.tried > 1000
    wrong = [one for one in found.wrong if known(one[0], one[1], one[2].container) is None]
    assert not wrong, f"{len(wrong)} of {found.tried}\n" + "\n".join(shown(*one) for one in wrong[:20])
