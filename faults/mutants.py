"""Clients that lie, one each: the checkers must see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from faults.history import NOT_WRITTEN, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# What a report says, as opposed to whose it is.
TOLD = ("verdict", "code", "partition", "offset", "timestamp", "timestamp_type")


class Swap:
    """The first record that was written and the first that was not have each other's verdict."""

    def __init__(self) -> None:
        self._written: NDArray[Any] | None = None
        self._is_done = False

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self._is_done:
            return rows
        if self._written is None:
            found = np.flatnonzero(rows["verdict"] == WRITTEN)[:1]
            if not len(found):
                return rows
            self._written, rows = rows[found], np.delete(rows, found)
        found = np.flatnonzero(rows["verdict"] == NOT_WRITTEN)[:1]
        if not len(found):
            return rows
        self._is_done = True
        one, other = self._written, rows[found]
        for name in TOLD:
            one[name], other[name] = other[name].copy(), one[name].copy()
        return np.concatenate([one, other, np.delete(rows, found)])


class Lose:
    """The first verdict is never told."""

    _is_done = False

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        start, self._is_done = int(not self._is_done), True
        return rows[start:]


class Offset:
    """The first offset is one too high."""

    _is_done = False

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        found = np.flatnonzero(rows["verdict"] == WRITTEN)
        if self._is_done or not len(found):
            return rows
        self._is_done = True
        rows = rows.copy()
        rows["offset"][found[0]] += 1
        return rows


MUTANTS: dict[str, Callable[[], Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "": lambda: lambda rows: rows,
    "swap": Swap,
    "lose": Lose,
    "offset": Offset,
}
