"""Network namespaces: what a killed run leaves behind is found by its name, what is in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults import namespaces
from faults.namespaces import Claim, CommandError, Namespaces

# Of no campaign, which takes the lowest that is free, and of no other run of these tests.
NUMBER = 100 + os.getpid() % 149
HOW = """
import os, signal, sys
from faults.namespaces import Claim, Namespaces
claimed = Claim(int(sys.argv[1]))
made = Namespaces([1, 9], claimed.number)
print(made.client, made.host(1), made.host(9), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_number_is_claimed_once():
    claimed = Claim(NUMBER)
    with pytest.raises(OSError, match="in use"):
        Claim(NUMBER)
    claimed.release()
    Claim(NUMBER).release()


def test_names_are_recognized():
    assert namespaces.NAMED.match("twlf12")[1] == "12"
    assert namespaces.NAMED.match("twlf12-3")[1] == "12"
    for other in ("twlf", "twlf12v3", "twlfx", "docker0", "xtwlf1"):
        assert not namespaces.NAMED.match(other)


def test_who_is_not_root_gets_the_reason(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert namespaces.missing() == "needs root"


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces.shutil, "which", lambda name: None if name == "tc" else f"/sbin/{name}")
    assert namespaces.missing() == "needs tc (iproute2, util-linux)"


def test_a_failed_command_says_what_it_said():
    with pytest.raises(CommandError, match="No such file"):
        namespaces.run("cat", "/nowhere")
    with pytest.raises(CommandError, match="no-such-program"):
        namespaces.run("no-such-program")


@pytest.fixture
def number():
    """The number, where namespaces can be had: as root, and in a container only if it may."""
    if reason := namespaces.missing():
        pytest.skip(reason)
    claimed = Claim(NUMBER)
    try:
        Namespaces([1], NUMBER).close()
    except CommandError as error:
        pytest.skip(str(error))
    finally:
        claimed.release()
    return NUMBER


def test_a_killed_run_is_cleaned_up_by_the_next(number):
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", HOW, str(number)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [f"10.213.{number}.{last}" for last in (1, 11, 19)], done.stderr
    assert number in namespaces._names()
    claimed = Claim(number)  # as if it were in use
    assert number not in namespaces.remove_leftovers()
    claimed.release()
    assert number in namespaces.remove_leftovers()
    assert number not in namespaces._names()
    assert not [path for path in Path("/sys/class/net").iterdir() if path.name.startswith(f"twlf{number}")]


def test_a_slow_line_is_made_and_removed(number):
    claimed = Claim(number)
    made = Namespaces([1, 9], number)
    try:
        made.limit(1, 1_000)
        shown = namespaces.run("tc", "qdisc", "show", "dev", made.outside(1))
        inside = namespaces.run(*made.inside(1), "tc", "qdisc", "show", "dev", "eth0")
        assert "rate 1Mbit" in shown
        assert "rate 1Mbit" in inside
        made.clear()
        made.clear()  # nothing left to do
        assert "tbf" not in namespaces.run("tc", "qdisc", "show", "dev", made.outside(1))
    finally:
        made.close()
        claimed.release()


def test_packets_are_dropped_and_pass_again(number):
    claimed = Claim(number)
    made = Namespaces([1, 9], number)
    try:
        if not made.can_filter:
            pytest.skip("needs iptables")
        made.rule(1, "INPUT", "--source", made.client, "--jump", "DROP")
        assert made.client in namespaces.run(*made.inside(1), "iptables", "--wait", "--list-rules")
        made.clear()
        assert "DROP" not in namespaces.run(*made.inside(1), "iptables", "--wait", "--list-rules")
    finally:
        made.close()
        claimed.release()
