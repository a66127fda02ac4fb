"""The child process that ends a `KafkaCluster` when nothing else can: after a SIGKILL of the parent, say.

Run as a file with the parent's id and the cluster's folder. Lines in: ``+PID`` and ``-PID``, the processes to end. At
the end of input, or when the parent has changed, it kills those still listed and removes the folder.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys

WATCH_SECONDS = 1.0


def listen(parent: int) -> dict[int, int]:
    """Read lines until the parent is gone; return process id -> pidfd of the processes listed then.

    A pidfd, because a process id may be given to a stranger once its process has ended.
    """
    listed: dict[int, int] = {}
    pending = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], WATCH_SECONDS)[0]:
            continue
        data = os.read(0, 1 << 12)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            pid = int(line[1:])
            if line.startswith(b"+"):
                with contextlib.suppress(ProcessLookupError):
                    listed[pid] = os.pidfd_open(pid)
            elif pid in listed:
                os.close(listed.pop(pid))
    return listed


def main() -> None:
    """Watch, then clean up."""
    parent, folder = int(sys.argv[1]), sys.argv[2]
    for pidfd in listen(parent).values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        # Readable once the process has ended: before that it could still write to the folder.
        select.select([pidfd], [], [], 10)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
