"""The program of a round: ``python -m faults.client WORKLOAD-AS-JSON`` sends until it is told to stop.

It prints ``started``, ``acked N SECONDS`` and ``ended``. ``stop`` or the end of its standard input, SIGTERM and SIGINT
end it in order; SIGUSR1 prints all stacks. Every verdict, and every error that nobody expected, is in its history.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

from faults.control import Control, Ticker
from faults.history import HistoryWriter
from faults.mutants import MUTANTS
from faults.workload import Workload


def main(text: str) -> int:
    """Run one workload; return 1 where something came that nobody expected."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    workload = Workload.from_json(text)
    control = Control()
    history = HistoryWriter(Path(workload.history_path), MUTANTS[workload.mutant]())
    versions = {name: version(name) for name in ("twolane", "confluent-kafka")}
    history.event("started", epoch=workload.epoch, pid=os.getpid(), versions=versions, workload=text)
    print("started", flush=True)
    code = 0
    try:
        with Ticker(history, workload.epoch):
            run(workload, control, history)
            history.event("stopping", epoch=workload.epoch)
    except BaseException as error:
        traceback.print_exc()
        history.event("unexpected", error=repr(error), trace=traceback.format_exc())
        code = 1
    history.event("ended", epoch=workload.epoch)
    history.close()
    print("ended", flush=True)
    return code


def run(workload: Workload, control: Control, history: HistoryWriter) -> None:
    """Send as the workload says."""
    if workload.peer == "confluent":
        from faults.peers.confluent import send

        send(workload, control, history)
    elif workload.peer == "java":
        from faults.peers.java import send

        send(workload, control, history)
    else:
        from faults.behaviours import beside
        from faults.senders import Sender

        sender = Sender(workload, control, history)
        with beside(workload, sender, history):
            sender.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
