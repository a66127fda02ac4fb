"""Rows that a call with ``on_bad_row="skip"`` left out: kept as numbers and words, exceptions only when looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from twolane.errors import SerializationError, TimestampError, without_init

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.errors import TwolaneError

# What makes the error of one row, and with what.
Report = tuple[Callable[..., "TwolaneError"], tuple[Any, ...]]


def remade(kind: type[SerializationError], reason: str, field: str | None, value_text: str | None) -> TwolaneError:
    """Make an error of a value anew, from its words."""
    error = kind(reason, field=field)
    error.value_text = value_text
    return error


def report_of(error: SerializationError) -> Report:
    """Give what is kept of an error: not the value, and no traceback that keeps a frame's objects alive.

    Of an error of the user's own its attributes too: what its constructor asks for is not known.
    """
    if type(error) not in (SerializationError, TimestampError):
        return without_init, (type(error), error.args, tuple(error.__dict__.items()))
    return remade, (type(error), error.reason, error.field, error.value_text)


class RefusedRows(Sequence["TwolaneError"]):
    """A read-only sequence with the error of each row that was left out, by row.

    The errors are those that the row alone raises with ``on_bad_row="raise"``: SerializationError, TimestampError, or a
    DeliveryError where it is too large or its partition does not exist. They are made anew whenever one is looked at;
    `indices` costs nothing.

    Attributes
    ----------
    indices : ndarray of int64
        The rows in their call, rising.
    topic : str or None
    opaque : object
        As given to the call; each error has it.
    """

    def __init__(
        self, indices: NDArray[np.int64], reports: list[Report], topic: str | None = None, opaque: Any = None
    ) -> None:
        self.indices = indices
        self.topic = topic
        self.opaque = opaque
        self._reports = reports

    def before(self, row: int) -> RefusedRows:
        """Give those of the rows before one."""
        n = int(np.searchsorted(self.indices, row))
        return self if n == len(self) else RefusedRows(self.indices[:n], self._reports[:n], self.topic, self.opaque)

    def _make(self, place: int) -> TwolaneError:
        make, words = self._reports[place]
        error: Any = make(*words)
        error.index, error.topic = int(self.indices[place]), self.topic
        if self.opaque is not None:
            error.opaque = self.opaque
        return error  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self._reports)

    @overload
    def __getitem__(self, index: int) -> TwolaneError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TwolaneError]: ...
    def __getitem__(self, index: int | slice) -> TwolaneError | Sequence[TwolaneError]:
        places = range(len(self._reports))[index]
        return self._make(places) if isinstance(places, int) else [self._make(place) for place in places]

    def __iter__(self) -> Iterator[TwolaneError]:
        return map(self._make, range(len(self._reports)))

    def __repr__(self) -> str:
        return f"<{len(self)} rows refused>"


NONE = RefusedRows(np.empty(0, dtype=np.int64), [])
