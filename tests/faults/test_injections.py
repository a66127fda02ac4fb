"""Each kind of fault is documented, healed, and says what it cannot do without."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from faults.campaign import possible
from faults.injections import KINDS
from faults.injections.proxied import FailAfterAppend
from twolane.verdicts import REFUSED_BEFORE_APPEND

ROOT = Path(__file__).parents[2]
# What `FaultCluster.lacks` speaks of.
NEEDS = {"namespaces", "packets"}


def test_every_kind_is_documented():
    page = (ROOT / "docs/faults.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_is_whole(kind):
    assert kind.about
    assert not kind.about.endswith(".")
    assert set(kind.needs) <= NEEDS
    for least, most in filter(None, (kind.seconds, kind.long_seconds)):
        assert 0 <= least < most
    kind()  # made without anything


def test_what_cannot_be_had_is_said_with_its_reason():
    loopback = SimpleNamespace(lacks={"namespaces": "needs root", "packets": "needs root"})
    kinds, skipped = possible(loopback, KINDS)
    assert set(kinds) | set(skipped) == set(KINDS)
    assert {"dns", "disk-full", "loss", "reset"} <= set(skipped)
    assert set(skipped.values()) == {"needs root"}
    assert {"none", "sigstop", "kill-leader", "ghost", "sigkill", "recreate-topic"} <= set(kinds)


def test_no_lie_that_no_broker_tells():
    """An error that proves that nothing was appended never follows an append: the checkers would call it G1a."""
    assert not {action.code for action in FailAfterAppend.actions} & REFUSED_BEFORE_APPEND
    assert {action.kind for action in FailAfterAppend.actions} == {"falsify"}
