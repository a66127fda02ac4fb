"""One value, one meaning: every cell of `meanings`, through every container that can hold the value.

`python -m tests.encoding.harness` says how many cells and containers there are.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.encoding.harness import TARGETS, Target, check
from tests.encoding.values import Value

HEADINGS = list(dict.fromkeys(target.heading for target in TARGETS.values()))


def shown(target: Target, value: Value | None, outcome: Any) -> str:
    got = outcome.got
    if isinstance(got, Exception):
        got = f"{got!r}, index {getattr(got, 'index', None)}, field {getattr(got, 'field', None)}"
    return f"{value.name if value else 'missing'} as {target} in {outcome.container}: want {outcome.want}, got {got}"


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("heading", HEADINGS)
def test_a_value_means_the_same_in_every_container(heading):
    found = check([target for target in TARGETS.values() if target.heading == heading])
    assert found.tried > 1000
    assert not found.wrong, f"{len(found.wrong)} of {found.tried}\n" + "\n".join(
        shown(*one) for one in found.wrong[:20]
    )
