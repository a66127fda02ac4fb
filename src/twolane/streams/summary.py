"""StreamSummary: how far a stream has come, or where it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twolane.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """How far a ``send_stream()`` has come, or where it stopped.

    ``position == written + not_written + unknown + refused + in_flight`` but where ``send_batch()`` itself was
    interrupted: then some rows at and behind `position` are counted, too.

    Attributes
    ----------
    rows : int
        Taken from the source.
    position : int
        Rows handed to ``send_batch()``: the number, from 0, of the first one that was not.
    written, not_written, unknown : int
        By their verdicts.
    refused : int
        Rows left out with `on_bad_row`.
    in_flight : int
        Without a verdict yet; 0 at the end.
    last_offsets : mapping of (str, int) to int
        Of the last record written to each topic and partition.
    seconds : float
        Since the call.
    stopped : str or None
        ``"stop()"``, the name of a signal, or None where the source came to its end or an error was raised.
    error : DeliveryError or None
        The first failure, where ``on_failure="continue"`` went on.
    """

    rows: int = 0
    position: int = 0
    written: int = 0
    not_written: int = 0
    unknown: int = 0
    refused: int = 0
    in_flight: int = 0
    last_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict, repr=False)
    seconds: float = 0.0
    stopped: str | None = None
    error: DeliveryError | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows with a verdict, per second since the call."""
        done = self.written + self.not_written + self.unknown + self.refused
        return done / self.seconds if self.seconds > 0 else 0.0
