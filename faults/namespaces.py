"""A network namespace for each node of a cluster, behind one bridge: what can be cut, lossy or slow for one of them.

Everything is named ``twlf<number>``, and a socket of that name is held while it is in use, so that a later run finds
what a killed one left behind (`remove_leftovers`).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "twlf"
NUMBERS = range(1, 250)
NAMED = re.compile(rf"{PREFIX}(\d+)(?:-\d+)?$")
RUN_NETNS = Path("/run/netns")
CLIENT = 1  # the last part of the address of everything outside the namespaces
FIRST_NODE = 10
COMMAND_SECONDS = 10.0


class CommandError(Exception):
    """A command that changes the system failed; the message holds what it said."""


def run(*command: str) -> str:
    """Run a command and return its output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def missing() -> str:
    """Return why there can be no namespaces, else an empty string."""
    if os.geteuid():
        return "needs root"
    absent = [name for name in ("ip", "tc", "nsenter") if shutil.which(name) is None]
    if absent:
        return f"needs {', '.join(absent)} (iproute2, util-linux)"
    return ""


class Claim:
    """A number that no other run on this machine has; the kernel takes it back however the process ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.bind(f"\0{PREFIX}{number}")
        except OSError:
            self._socket.close()
            raise

    def release(self) -> None:
        """Let others have it."""
        self._socket.close()


def claim() -> Claim:
    """Return the first free number."""
    for number in NUMBERS:
        try:
            return Claim(number)
        except OSError:
            continue
    raise CommandError(f"all of {NUMBERS} are in use")


def _mounts() -> list[tuple[str, str]]:
    """Return (source, folder) of what is mounted."""
    lines = Path("/proc/mounts").read_text().splitlines()
    return [(parts[0], parts[1].replace("\\040", " ")) for parts in map(str.split, lines)]


def _names() -> set[int]:
    """Return the numbers of all runs that have left something, in use or not."""
    names = [*_listed(RUN_NETNS), *_listed(Path("/sys/class/net")), *(source for source, _ in _mounts())]
    return {int(found[1]) for name in names if (found := NAMED.match(name))}


def _listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def remove_leftovers() -> list[int]:
    """Remove the processes, namespaces, bridges and mounts of runs that have ended; return their numbers."""
    found = []
    for number in sorted(_names()):
        try:
            claimed = Claim(number)
        except OSError:
            continue  # still in use
        try:
            remove(number)
            found.append(number)
        finally:
            claimed.release()
    return found


def remove(number: int) -> None:
    """Remove all that bears this number; what is not there is no error."""
    for name in _listed(RUN_NETNS):
        if re.match(rf"{PREFIX}{number}-\d+$", name):
            for pid in run("ip", "netns", "pids", name).split():
                os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", name)
    for link in _listed(Path("/sys/class/net")):
        if re.match(rf"{PREFIX}{number}(v\d+)?$", link):
            # A pair also goes with the namespace of its other end, some time soon.
            with contextlib.suppress(CommandError):
                run("ip", "link", "delete", link)
    for source, folder in _mounts():
        if source == f"{PREFIX}{number}":
            run("umount", "--lazy", folder)


class Namespaces:
    """Owner of the namespaces of some nodes.

    Parameters
    ----------
    nodes : iterable of int
    number : int
        See `claim`.

    Attributes
    ----------
    client : str
        The address from which clients come.
    can_filter : bool
        Whether packets can be dropped: iptables is installed.
    """

    def __init__(self, nodes: Iterable[int], number: int) -> None:
        self.number = number
        self.nodes = list(nodes)
        self.client = self._address(CLIENT)
        self.can_filter = shutil.which("iptables") is not None
        try:
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "address", "add", f"{self.client}/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
            for node in self.nodes:
                self._add(node)
        except BaseException:
            self.close()
            raise

    def _add(self, node: int) -> None:
        name, outside = self._name(node), self.outside(node)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", outside, "master", self.bridge, "up")
        for command in (
            ("address", "add", f"{self.host(node)}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            run("ip", "-netns", name, *command)

    @property
    def bridge(self) -> str:
        """Name of the bridge."""
        return f"{PREFIX}{self.number}"

    def _name(self, node: int) -> str:
        return f"{PREFIX}{self.number}-{node}"

    def _address(self, last: int) -> str:
        return f"10.213.{self.number}.{last}"

    def outside(self, node: int) -> str:
        """Return the name of a node's link as the bridge sees it."""
        return f"{PREFIX}{self.number}v{node}"

    def host(self, node: int) -> str:
        """Return the address of a node."""
        return self._address(FIRST_NODE + node)

    def inside(self, node: int) -> list[str]:
        """Return what stands before a command that runs in a node's namespace."""
        return ["nsenter", f"--net={RUN_NETNS / self._name(node)}"]

    def rule(self, node: int, *rule: str) -> None:
        """Append an iptables rule in a node's namespace, such as ``INPUT -s 10.0.0.1 -j DROP``."""
        run(*self.inside(node), "iptables", "--wait", "--append", *rule)

    def limit(self, node: int, kilobits: int) -> None:
        """Let no more than this pass each second, towards the node and from it."""
        shape = ("root", "tbf", "rate", f"{kilobits}kbit", "burst", "16kb", "latency", "400ms")
        run("tc", "qdisc", "replace", "dev", self.outside(node), *shape)
        run(*self.inside(node), "tc", "qdisc", "replace", "dev", "eth0", *shape)

    def clear(self) -> None:
        """Let everything pass again."""
        for node in self.nodes:
            if self.can_filter:
                run(*self.inside(node), "iptables", "--wait", "--flush")
            for before, device in ((), self.outside(node)), (self.inside(node), "eth0"):
                if "tbf" in run(*before, "tc", "qdisc", "show", "dev", device):
                    run(*before, "tc", "qdisc", "delete", "dev", device, "root")

    def close(self) -> None:
        """Remove it all."""
        remove(self.number)
