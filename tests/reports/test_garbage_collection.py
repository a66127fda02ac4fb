"""What the collector of garbage finds in circles: it frees in order, and nothing is written into what is gone."""

from __future__ import annotations

import gc

import pytest

import twolane.client.handle as handles
import twolane.reports.reader as readers
from tests.reports.test_who_takes_reports import Sender
from twolane.client.handle import Handle
from twolane.reports.call_result import CallResult
from twolane.reports.reader import ReportReader


def test_a_call_that_is_open(embedded_cluster):
    handle = Handle({"bootstrap.servers": embedded_cluster.bootstrap_servers})
    reader = ReportReader(handle)
    before = readers.live()
    outcome = CallResult(reader, 10)
    outcome.attach()
    assert readers.live() != before
    circle: list[object] = [outcome]
    circle.append(circle)
    del outcome, circle
    gc.collect()
    assert readers.live() == before
    handle.close()


def test_a_client_and_its_topic(embedded_cluster):
    before = handles.live()
    handle = Handle({"bootstrap.servers": embedded_cluster.bootstrap_servers})
    topic = handle.open_topic("some")
    circle: list[object] = [handle, topic]
    circle.append(circle)
    del handle, topic, circle
    gc.collect()
    assert handles.live() == before


@pytest.mark.parametrize("state", ["open", "closed for appends", "answered", "purged", "closed"])
def test_a_client_with_all_that_belongs_to_it(state, embedded_cluster, topic):
    """A failed test of ours left one in its traceback: its call looked for a handle that was gone."""
    before = handles.live(), readers.live()
    sender = Sender(embedded_cluster.bootstrap_servers, topic(embedded_cluster, 1))
    outcome = sender.produce()
    if state == "closed for appends":
        outcome.close_for_appends()
    elif state == "answered":
        sender.until_answered()
        sender.reader.poll(0.1)
    elif state == "purged":
        sender.handle.purge(False)
    elif state == "closed":
        sender.handle.close()
    circle: list[object] = [sender, outcome]
    circle.append(circle)
    del sender, outcome, circle
    gc.collect()
    assert (handles.live(), readers.live()) == before
