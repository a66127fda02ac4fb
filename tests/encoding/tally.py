"""How many values the property tests check: ten thousand for each serializer, a million under `make fuzz`.

An example of Hypothesis is a batch here, since schemas cost more than rows do; what counts are its values. A test
asks for the fixture `tally` and adds what it has checked; it fails if that was too little. Those are also the tests
that `make fuzz` runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
WANTED = 1_000_000 if PROFILE == "fuzz" else 10_000


@dataclass
class Tally:
    """Counts the values that one test has checked."""

    name: str
    values: int = 0

    def add(self, n: int) -> None:
        self.values += n

    def check(self) -> None:
        """Fail if fewer values were checked than promised."""
        assert self.values >= WANTED, f"{self.name} checked {self.values} values, {WANTED} are promised"


def batches_of(per_example: int) -> settings:
    """Give the settings of a test whose examples check so many values on average, or a few more.

    A quarter more examples than that takes: Hypothesis draws small ones more often at some times than at others.
    """
    return settings(max_examples=WANTED * 5 // (4 * per_example))


@st.composite
def batch(draw: st.DrawFn, values: st.SearchStrategy, at_most: int) -> list:
    """Draw a list of 0 to `at_most` values, half of that on average (Hypothesis' own lists are mostly short)."""
    n = draw(st.integers(0, at_most))
    return draw(st.lists(values, min_size=n, max_size=n))
