"""Hypothesis's state machines over the embedded cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster


def run_machine(
    machine: type[RuleBasedStateMachine], cluster: EmbeddedCluster, *, examples: int, steps: int, **attributes: Any
) -> None:
    """Run a machine whose class gets the cluster and these attributes: the same examples in CI, new ones elsewhere."""
    cluster.stop_tracking()
    run_state_machine_as_test(
        type("Machine", (machine,), {"cluster": cluster, **attributes}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
