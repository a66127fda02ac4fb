"""What the test clusters raise."""

from __future__ import annotations

from twolane.errors import TwolaneError


class ClusterError(TwolaneError, RuntimeError):
    """A test cluster did not start, stopped on its own, or refused an order.

    Attributes
    ----------
    code : int or None
        Kafka's error code, where the cluster answered with one.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class ClusterUnavailableError(ClusterError):
    """The machine cannot run such a cluster, or the cluster cannot do that; the message says what is missing."""
