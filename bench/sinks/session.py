"""One engine with its workers, in a process of its own, which runs a job for each line that it is told.

``python -m bench.sinks.session ENGINE WORKERS FOLDER``: lines of JSON come in by standard input, and go out by what was
standard output when it began; what engines print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from bench.sinks import usage
from bench.sinks.cases import CASES, Case


class Engine(Protocol):
    """What ``bench.sinks.on_ENGINE.start(workers, folder)`` returns.

    Attributes
    ----------
    versions : dict of str to str
    """

    versions: dict[str, str]

    def write(self, case: Case, bootstrap: str, topic: str) -> float | None:
        """Run one job; return the CPU seconds of its tasks alone where they can be told."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


def main() -> None:
    name, workers, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**what: Any) -> None:
        print(json.dumps(what), file=answers, flush=True)

    usage.keep_orphans()
    engine: Engine = importlib.import_module(f"bench.sinks.on_{name}").start(int(workers), Path(folder))
    cases = {case.name: case for case in CASES if case.engine == name}
    try:
        answer(versions=engine.versions)
        for line in sys.stdin:
            asked = json.loads(line)
            started = time.perf_counter()
            task_cpu = engine.write(cases[asked["case"]], asked["bootstrap"], asked["topic"])
            answer(wall=time.perf_counter() - started, task_cpu=task_cpu)
    finally:
        engine.close()


if __name__ == "__main__":
    main()
