"""``python program.py HOW ARGUMENTS``: the command, with something that happens to it.

``signals=CALL,COUNT``: as many SIGINT in its ``send_batch()`` of that number. ``file=BYTES``: no file gets larger.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

from twolane.cli.app import main
from twolane.safe.producer import SafeProducer

how, _, numbers = sys.argv.pop(1).partition("=")

if how == "signals":
    call, count = map(int, numbers.split(","))
    real = SafeProducer.send_batch

    def send_batch(self: Any, *arguments: Any, **more: Any) -> Any:
        global call
        call -= 1
        for _ in range(count if call == 0 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments, **more)

    SafeProducer.send_batch = send_batch  # type: ignore[method-assign]
elif how == "file":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(numbers), resource.RLIM_INFINITY))
main()
