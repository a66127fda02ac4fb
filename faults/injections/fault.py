"""What every kind of fault has to say and do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient
    from faults.workload import Workload

# How often a fault that has a long form takes it, where those are allowed.
LONG_SHARE = 0.1


class Fault(ABC):
    """One fault in one round: injected, left for a while, healed. All chance comes from the generator that is passed.

    Attributes
    ----------
    name : str
        By which it is chosen and reported.
    about : str
        What is done, in a few words.
    needs : tuple of str
        What it cannot do without; see `FaultCluster.lacks`.
    is_slow : bool
        Takes half a minute or more: left out of short campaigns.
    acks_go_on : bool
        Whether records are acknowledged while it lasts.
    stops_transactions : bool
        Whether those of transactions may not be, all the same.
    starts_first : bool
        Whether it is there before the client is.
    seconds, long_seconds : tuple of float
        How long it is left, at least and at most; the long form may be missing.
    facts : dict
        What a checker has to know of this round, by the names of `RoundFacts`.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    is_slow: ClassVar[bool] = False
    acks_go_on: ClassVar[bool] = False
    stops_transactions: ClassVar[bool] = False
    starts_first: ClassVar[bool] = False
    seconds: ClassVar[tuple[float, float]] = (0.5, 2.0)
    long_seconds: ClassVar[tuple[float, float] | None] = None

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def lasts(self, random: Random, allow_long: bool) -> float:
        """Return for how many seconds it is left."""
        is_long = random.random() < LONG_SHARE
        how_far = random.random()
        shortest, longest = self.long_seconds if is_long and allow_long and self.long_seconds else self.seconds
        return shortest + how_far * (longest - shortest)

    def prepare(self, cluster: FaultCluster, workload: Workload, random: Random) -> Workload:
        """Get ready before the client starts; return what it shall do."""
        return workload

    def before(self) -> list[str]:
        """Return what stands before the client's command line."""
        return []

    @abstractmethod
    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Do it."""

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Undo it; afterwards records are acknowledged again."""
        cluster.heal()

    def finish(self) -> None:  # noqa: B027  # most have nothing to let go of
        """Let go of what `prepare` made, when the client has ended."""
