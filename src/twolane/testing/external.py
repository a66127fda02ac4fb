"""A running Kafka that was started elsewhere."""

from __future__ import annotations

from typing import Any

from twolane.testing.cluster import KafkaCluster
from twolane.testing.errors import ClusterUnavailableError
from twolane.testing.running import RunningKafka


class ExternalCluster(RunningKafka):
    """A running Kafka that was started elsewhere: everything but control of its brokers.

    Parameters
    ----------
    bootstrap_servers : str

    Notes
    -----
    What it cannot do raises `ClusterUnavailableError`, which the pytest plugin turns into a skip with that reason.
    """

    def __getattr__(self, name: str) -> Any:
        # The rest of KafkaCluster's methods, all of which need processes of one's own.
        if name.startswith("_") or not hasattr(KafkaCluster, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise ClusterUnavailableError(f"{name} needs brokers of the tests' own, {self.bootstrap_servers} is not")

    def close(self) -> None:
        """Close nothing: the cluster is not ours."""

    def heal(self) -> None:
        """Heal nothing: the cluster is not ours."""

    def logs(self, lines: int = 40) -> str:
        """Say where the logs are not."""
        return f"the logs of {self.bootstrap_servers} are not here"

    def __repr__(self) -> str:
        return f"<ExternalCluster: {self.bootstrap_servers}>"
