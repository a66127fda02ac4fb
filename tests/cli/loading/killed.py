"""``python killed.py EVENT ARGUMENTS``: the command, which ends itself by SIGKILL at its EVENTth step; -1 for never.

The steps are those between which the promise of ``--resume`` could break: around and within each line of the state
file, around each ``send_batch()``, and within it, where the kill races with the brokers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from twolane.cli.app import main
from twolane.cli.loading.bad_file import BadFile
from twolane.cli.loading.state import LoadState, _line
from twolane.safe.producer import SafeProducer
from twolane.throughput.producer import ThroughputProducer

left = int(sys.argv.pop(1))


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_due() -> bool:
    """Count one step; whether it is the one."""
    global left
    left -= 1
    return left == 0


def wrap(kind: Any, name: str, *, before: Any = None) -> None:
    real = getattr(kind, name)

    def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
        if is_due():
            kill()
        if before is not None:
            before(self, *arguments)
        result = real(self, *arguments, **more)
        if is_due():
            kill()
        return result

    setattr(kind, name, wrapped)


def half_a_line(state: Any, line: dict[str, Any]) -> None:
    if is_due():
        data = _line(line)
        os.write(state._descriptor, data[: len(data) // 2])
        kill()


def in_the_middle(producer: Any, *arguments: Any) -> None:
    if is_due():
        threading.Thread(target=kill).start()


wrap(LoadState, "_append", before=half_a_line)
wrap(BadFile, "add")
wrap(SafeProducer, "send_batch", before=in_the_middle)
wrap(ThroughputProducer, "send_batch", before=in_the_middle)
main()
