"""Nothing at all: what the others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faults.injections.fault import Fault

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient


class Calm(Fault):
    """No fault."""

    name, about = "none", "no fault"
    acks_go_on = True

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Do nothing."""

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Do nothing."""
