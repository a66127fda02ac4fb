"""Runs targets: seeded inputs, or atheris' where it is installed; each target in a process of its own.

An input that fails is written as a file, whatever it does to its process: the input is in shared memory while it runs.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = Callable[[bytes], None]

FOLDER = Path(__file__).parent
REGRESSIONS = FOLDER / "regressions"
TARGETS = sorted(path.stem for path in (FOLDER / "targets").glob("[a-z]*.py"))
# Seconds of processor time that one input may take, and bytes that a process may.
LONGEST, MOST_BYTES = 1.0, 6 * 2**30
SIZES = [0, 1, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512]
CORPUS = 64


class TooSlowError(Exception):
    """An input took longer than a second of processor time."""


def load(target: str) -> Run:
    """Return the function of a target."""
    run: Run = importlib.import_module(f"tests.fuzz.targets.{target}").run
    return run


def inputs(rng: random.Random) -> Iterator[bytes]:
    """Yield inputs without end: new ones, and ones from before with other bytes in them."""
    corpus: list[bytes] = [b""]
    while True:
        for _ in range(256):
            if rng.random() < 0.4:
                data = bytearray(rng.choice(corpus))
                for _ in range(rng.choice((1, 1, 2, 4))):
                    at = rng.randrange(len(data) + 1)
                    data[at : at + rng.choice((0, 1, 1, 2))] = rng.randbytes(rng.choice((0, 1, 1, 2, 8)))
                yield bytes(data)
            else:
                yield rng.randbytes(rng.choice(SIZES))
        corpus = [*corpus[-CORPUS:], rng.randbytes(rng.choice(SIZES))]


@dataclass
class Outcome:
    """What became of one run of a target."""

    target: str
    seed: int
    executions: int = 0
    seconds: float = 0.0
    crashes: list[str] = field(default_factory=list)


class Shared:
    """The input that runs, and how many there were: in memory that outlives the process."""

    HEAD = 16

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.HEAD + 2**16)

    def begin(self, count: int, data: bytes) -> None:
        """Keep an input before it runs."""
        memory, end = self._memory, self.HEAD + len(data)
        memory[:16] = count.to_bytes(8, "little") + len(data).to_bytes(8, "little")
        memory[16:end] = data

    @property
    def count(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    @property
    def data(self) -> bytes:
        return self._memory[16 : 16 + int.from_bytes(self._memory[8:16], "little")]


def execute(run: Run, data: bytes) -> None:
    """Run one input; TooSlowError if it takes a second."""
    begun = time.process_time()
    run(data)
    if time.process_time() - begun > LONGEST:
        raise TooSlowError(f"{time.process_time() - begun:.1f} s of processor time")


def fuzz(target: str, *, seed: int, runs: int, seconds: float, crashes: Path) -> Outcome:
    """Run a target in a child process, again after each input that fails, until there were enough of them."""
    outcome = Outcome(target, seed)
    begun = time.monotonic()
    for attempt in range(100):
        left, time_left = runs - outcome.executions, seconds - (time.monotonic() - begun)
        if left <= 0 or time_left <= 0:
            break
        shared = Shared()
        child = os.fork()
        if not child:
            _child(target, shared, f"{seed}.{attempt}", left, time_left)
        _, status = os.waitpid(child, 0)
        outcome.executions += shared.count
        if status:
            outcome.crashes.append(keep(target, shared.data, crashes).name)
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "failed"
            print(f"{target}: {how} after {outcome.executions} executions: {outcome.crashes[-1]}", flush=True)
            if len(outcome.crashes) >= 10:
                break
    outcome.seconds = round(time.monotonic() - begun, 1)
    return outcome


def keep(target: str, data: bytes, folder: Path) -> Path:
    """Write an input that failed, and return its file."""
    path = folder / target / f"{hashlib.sha256(data).hexdigest()[:12]}.hex"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data.hex() + "\n")
    return path


def _child(target: str, shared: Shared, seed: str, runs: int, seconds: float) -> None:
    """Run inputs until one fails, and end the process."""
    code = 1
    try:
        import resource  # which Windows has not

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        run = load(target)
        gc.collect()
        gc.freeze()
        end = time.monotonic() + seconds
        for count, data in enumerate(inputs(random.Random(f"{target} {seed}")), 1):
            shared.begin(count, data)
            execute(run, data)
            if count >= runs or (not count % 64 and time.monotonic() > end):
                break
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the input is kept
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
