"""A history and a log laid side by side: for each record that was handed over, what was told and where it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.history import WRITTEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.history import History
    from faults.workload import RoundFacts, Workload

NANO = 1_000_000_000
# Of one offset among all partitions.
PLACE_BITS = 44


def places(partitions: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number for each partition and offset; numbers rise as offsets do."""
    return (partitions.astype(np.int64) << PLACE_BITS) + offsets


class Joined:
    """Everything the checkers look at.

    Attributes
    ----------
    sent : ndarray of INVOKED, shape (n,)
        By stream, then sequence. A stream is what one producer and epoch sent in order.
    stream : ndarray of int64, shape (n,)
    verdicts : ndarray of int64, shape (n,)
        How many each record has.
    told : ndarray of ENDED, shape (n,)
        The last verdict of each; verdict -1 where there is none.
    log : ndarray of LOGGED, shape (m,)
        By partition, then offset.
    owner : ndarray of int64, shape (m,)
        Index in `sent` of each record of the log, -1 of what was never sent.
    copies : ndarray of int64, shape (n,)
        How often each record is in the log.
    strays : ndarray of ENDED
        Verdicts on what was never handed over.
    """

    def __init__(self, history: History, log: NDArray[Any], workload: Workload, facts: RoundFacts) -> None:
        self.history, self.log, self.workload, self.facts = history, log, workload, facts
        self._numbers: dict[tuple[int, int], int] = {}
        invoked = history.invoked
        stream = self._streams(invoked, add=True)
        order = np.argsort(stream, kind="stable")
        self.sent, self.stream = invoked[order], stream[order]
        self._first = np.searchsorted(self.stream, np.arange(len(self._numbers) + 1))
        expected = np.arange(len(self.sent)) - self._first[self.stream]
        self.is_dense = bool((self.sent["sequence"] == expected).all())
        by = self._find(history.ended)
        self.strays = history.ended[by < 0]
        self.verdicts = np.bincount(by[by >= 0], minlength=len(self.sent))
        self.told = np.zeros(len(self.sent), history.ended.dtype)
        self.told["verdict"], self.told["offset"] = -1, -1
        self.told[by[by >= 0]] = history.ended[by >= 0]
        self.owner = self._find(log)
        self.copies = np.bincount(self.owner[self.owner >= 0], minlength=len(self.sent))
        gone = facts.log_gone_before
        self.is_excused = self.sent["at"] < int(gone * NANO) if gone is not None else np.zeros(len(self.sent), bool)

    def _streams(self, rows: NDArray[Any], *, add: bool = False) -> NDArray[np.int64]:
        """Return the number of each row's stream, -1 of one that is not known."""
        if not len(rows):
            return np.empty(0, np.int64)
        changes = (rows["producer"][1:] != rows["producer"][:-1]) | (rows["epoch"][1:] != rows["epoch"][:-1])
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        pairs = zip(rows["producer"][starts].tolist(), rows["epoch"][starts].tolist(), strict=True)
        numbers = self._numbers
        found = [numbers.setdefault(pair, len(numbers)) if add else numbers.get(pair, -1) for pair in pairs]
        return np.repeat(np.array(found, np.int64), np.diff(np.append(starts, len(rows))))

    def _find(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return the index in `sent` of what rows are about, -1 where there is none."""
        stream = self._streams(rows)
        at = self._first[stream] + rows["sequence"]
        is_known = (stream >= 0) & (rows["sequence"] >= 0) & (at < self._first[stream + 1])
        return np.where(is_known, at, -1)

    # ---- what several checks ask for ---------------------------------------------------------------------------------

    @property
    def is_written(self) -> NDArray[np.bool_]:
        return self.told["verdict"] == WRITTEN

    @property
    def is_present(self) -> NDArray[np.bool_]:
        return self.copies > 0

    @functools.cached_property
    def at_told_offset(self) -> NDArray[np.int64]:
        """The index in the log of what is where each record was told to be, -1 where nothing is."""
        if not len(self.log):
            return np.full(len(self.sent), -1)
        wanted = places(self.sent["partition"], self.told["offset"])
        known = places(self.log["partition"], self.log["offset"])
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where((known[at] == wanted) & (self.told["offset"] >= 0), at, -1)

    def in_log_order(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return indices in `sent` as the log has them, by stream and partition; only those `chosen`, once each."""
        owner = self.owner[self.owner >= 0]
        if chosen is not None:
            owner = owner[chosen[owner]]
            _, first = np.unique(owner, return_index=True)
            owner = owner[np.sort(first)]
        group = self.stream[owner] * (int(self.sent["partition"].max(initial=0)) + 1) + self.sent["partition"][owner]
        return owner[np.argsort(group, kind="stable")]

    def queues(self) -> NDArray[np.int64]:
        """Return indices in `sent` by stream and partition, in the order of sending."""
        return np.lexsort((self.sent["sequence"], self.sent["partition"], self.stream))

    def same_queue(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether records of these indices have the same stream and partition."""
        partition = self.sent["partition"]
        return (self.stream[one] == self.stream[other]) & (partition[one] == partition[other])

    def show(self, index: int) -> str:
        """Return what is known of one record."""
        sent, told = self.sent[index], self.told[index]
        verdict = ("written", "not written", "unknown", "no verdict")[told["verdict"]]
        found = self.log["offset"][self.owner == index]
        return (
            f"producer {sent['producer']:x} epoch {sent['epoch']} sequence {sent['sequence']} to partition"
            f" {sent['partition']}: {verdict} (code {told['code']}, offset {told['offset']}),"
            f" in the log at {found.tolist()}"
        )
